"""The built site, for the tests that look at it: `pytest_plugins = ["browser", "site_folder"]`.

It is built once for all workers of a test run, in a process of its own.

(PYTEST_DONT_REWRITE: this file is imported by tests and loaded as a plugin, in either order.)
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "tools" / "site" / "build.py"
LONGEST = 1800  # seconds to wait for another worker's build


@pytest.fixture(scope="session")
def site(tmp_path_factory, worker_id) -> Path:
    """The folder of the site."""
    # a site that was built before, while its tests are written
    if built := os.environ.get("COURSE_SITE"):
        return Path(built).resolve()
    pytest.importorskip("sphinx", reason="Sphinx is not installed")
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":  # the workers of one run share the folder above their own
        shared = shared.parent
    folder, log = shared / "site", shared / "site.log"
    try:
        (shared / "site.lock").mkdir()
    except FileExistsError:  # another worker builds, or has built, it
        late = time.monotonic() + LONGEST
        while not log.exists() and time.monotonic() < late:
            time.sleep(0.5)
    else:
        done = subprocess.run(
            [sys.executable, BUILD, folder], cwd=ROOT, capture_output=True, text=True
        )
        unfinished = shared / "site.unfinished"
        unfinished.write_text(f"{done.returncode}\n{done.stdout}{done.stderr}", encoding="utf-8")
        unfinished.replace(log)
    code, said = log.read_text(encoding="utf-8").split("\n", 1)
    assert code == "0", said
    return folder
