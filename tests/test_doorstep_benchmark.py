"""The measurement of a page at first sight, on a small page."""

import importlib.util
from pathlib import Path

pytest_plugins = ["browser"]

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "doorstep.py"
PAGE = """<!doctype html>
<script src="more.js"></script>
<script src="https://elsewhere.example/library.js"></script>
<div class="course-widget" data-step="80"></div>
"""


def test_a_page_is_weighed_and_timed_and_its_foreign_requests_are_counted(
    chromium, tmp_path, capsys
):
    spec = importlib.util.spec_from_file_location("benchmark_of_the_doorstep", SCRIPT)
    doorstep = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(doorstep)
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "more.js").write_text("1;\n")
    server, address = doorstep.served(tmp_path)
    try:
        visit = doorstep.first_seen(chromium, "toygan", address, None, rounds=2)
        visit.page.close()
    finally:
        server.shutdown()
        server.server_close()
    said = capsys.readouterr().out
    assert f"toygan: 2 files, {len(PAGE) + 3} bytes" in said
    assert "requests to other hosts: {'elsewhere.example': 1}" in said
    assert "(medians of 2)" in said
