"""The measurement of a page at first sight, on a small page."""

import importlib.util
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("name", ["doorstep", "toy_gan"])
def test_without_a_browser_the_benchmarks_go_on_to_the_next_script(name, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("COURSE_CHROMIUM", raising=False)
    monkeypatch.setattr("sys.argv", [name, "--quick"])
    spec = importlib.util.spec_from_file_location(
        f"benchmark_{name}", SCRIPT.with_name(f"{name}.py")
    )
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main()
    assert "Nothing was measured, because Chromium was not found" in capsys.readouterr().out


def test_every_benchmark_has_a_quick_way():
    """`make bench QUICK=1` passes --quick to each script."""
    scripts = sorted(SCRIPT.parent.glob("*.py"))
    assert len(scripts) >= 10
    assert [path.name for path in scripts if '"--quick"' not in path.read_text()] == []
