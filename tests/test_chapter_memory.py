"""A chapter that takes too much memory is found: while nbval runs it,
and in what its full run recorded.

`make test` runs each chapter once, with small budgets; notebooks/conftest.py measures its kernel in
that run. A full run records its peak in the saved notebook, and `build.check` reads it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from test_notebooks import build

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(),
    reason="only Linux tells the peak memory of another process",
)


@needs_proc
def test_the_cell_that_takes_too_much_memory_fails(tmp_path):
    for name in ("conftest.py", "kernel_memory.py"):
        shutil.copy(NOTEBOOKS / name, tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    modest = "kept = b'x' * 200_000_000"
    greedy = "given_back_at_once = b'x' * 1_300_000_000; del given_back_at_once"
    cells = [new_code_cell(source) for source in ("import sys", modest, greedy)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "chapter.ipynb")

    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--nbval-lax",
        "chapter.ipynb",
    ]
    command.append("--nbval-current-env")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert re.search(r"FAILED chapter\.ipynb::Cell 2", done.stdout)
    assert "uses 1.5 GB in addition to its imports, but the limit is 1.0 GB" in done.stdout


@needs_proc
def test_a_run_records_the_peak_of_its_kernel(tmp_path, capfd):
    cells = [new_code_cell("import sys"), new_code_cell("b'x' * 300_000_000\nNone")]
    notebook = tmp_path / "01_tiny.ipynb"
    build.save(new_notebook(cells=cells), notebook)
    _, memory = build.run(notebook)
    assert 0.29 < memory.beyond_imports < 0.35
    recorded = nbformat.read(notebook, as_version=4).metadata.course.memory
    assert recorded == {
        "peak": round(memory.peak, 2),
        "beyond_imports": round(memory.beyond_imports, 2),
    }


def chapter(sentence: str, peak: float, beyond_imports: float) -> nbformat.NotebookNode:
    nb = new_notebook(cells=[new_markdown_cell(f"# 01 · Title\n{sentence}")])
    nb.metadata["course"] = nbformat.from_dict(
        {"memory": {"peak": peak, "beyond_imports": beyond_imports}}
    )
    return nb


def test_a_full_run_beyond_the_limit_is_named():
    nb = chapter("It needs 2.1 GB of memory.", peak=2.1, beyond_imports=1.3)
    (problem,) = build.memory_problems("01_tiny", nb)
    assert (
        problem == "01_tiny: uses 1.3 GB of memory in addition to its imports; the limit is 1.0 GB"
    )


def test_the_opening_says_what_was_measured():
    assert build.memory_problems("01_tiny", chapter("It needs 1.4 GB of memory.", 1.5, 0.7)) == []
    (problem,) = build.memory_problems("01_tiny", chapter("It needs 0.9 GB of memory.", 1.5, 0.7))
    assert problem == "01_tiny: the opening states 0.9 GB of memory, but the run used 1.5 GB"
    (problem,) = build.memory_problems("01_tiny", chapter("It needs no GPU.", 1.5, 0.7))
    assert problem == "01_tiny: the opening does not state the memory that the chapter needs, in GB"


@pytest.mark.parametrize("notebook", build.all_notebooks(), ids=lambda path: path.stem)
def test_every_chapter_says_how_much_memory_it_takes(notebook):
    assert build.STATED_MEMORY.search(build.opening(build.read_source(build.source_of(notebook))))


def test_a_run_prints_no_warning_of_its_kernel(tmp_path, capfd):
    """The kernel writes to the terminal's own stderr, past Python's."""
    notebook = tmp_path / "01_tiny.ipynb"
    build.save(new_notebook(cells=[new_code_cell("print('hello')")]), notebook)
    build.run(notebook, fast=True)
    said = capfd.readouterr()
    assert said.out + said.err == ""


def test_the_first_code_cell_of_every_chapter_holds_its_imports():
    """What the kernel holds after that cell counts as the imports."""
    for notebook in build.all_notebooks():
        cells = build.read_source(build.source_of(notebook)).cells
        first = next(cell for cell in cells if cell.cell_type == "code")
        assert build.has_import(first), notebook.stem
