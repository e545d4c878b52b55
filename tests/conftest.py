"""What all tests share: no window for figures, the same examples in every run."""

from __future__ import annotations

import functools
import itertools
import signal
from pathlib import Path

import matplotlib
import pytest
from hypothesis import HealthCheck, settings

matplotlib.use("Agg")

# derandomize: a red test is red again for the next person. No deadline: two workers share two
# cores. No database: the same examples need none, and whoever tests a folder of somebody else
# cannot write one.
settings.register_profile(
    "course",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("course")


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return Path(__file__).parent.parent


@functools.cache
def opens_jupyterlab(file: str) -> bool:
    """Whether a file's tests open notebooks in JupyterLab; `file` is relative to the root."""
    path = Path(__file__).parent.parent / file
    return path.suffix == ".py" and "lab.open(" in path.read_text(encoding="utf-8")


# They wait for the network, and for attacks that last until a time limit ends them.
WAITING = {"test_install.py", "test_grading_attacks.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: one that begins last leaves the other workers idle.

    Notebooks, which compute, and files that mostly wait, for example for a browser, come in turns:
    three workers that all compute share two cores, and while all three wait, the cores are idle.
    """
    files = list(dict.fromkeys(item.path for item in items))
    browser = {i.path for i in items if "chromium" in getattr(i, "fixturenames", ())}
    in_lab = [path for path in files if opens_jupyterlab(str(path))]
    waiting = [p for p in files if (p in browser and p not in in_lab) or p.name in WAITING]
    notebooks = [path for path in files if path.suffix == ".ipynb"]
    turns = [path for pair in itertools.zip_longest(notebooks, waiting) for path in pair if path]
    place = {path: number for number, path in enumerate([*in_lab, *turns])}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """With `--dist loadfile`, all files that open JupyterLab go to one worker.

    Each worker would start a server of its own and load its page, which takes longer than many a
    file's tests.
    """
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class OneJupyterLab(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "all files that open JupyterLab" if opens_jupyterlab(file) else file

    return OneJupyterLab(config, log)


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    """A shell's background job ignores Ctrl-C, and so would tests that press it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
