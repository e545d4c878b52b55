"""The saved notebooks keep the course's standards, and the tool that makes them does what it says.

nbval runs the notebooks themselves (see the Makefile); here they are read as they are saved.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).parent.parent


def load_build() -> ModuleType:
    sys.path.insert(0, str(ROOT / "notebooks"))  # as for a script that is run there
    spec = importlib.util.spec_from_file_location(
        "notebooks_build", ROOT / "notebooks" / "build.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


build = load_build()


@pytest.mark.parametrize("notebook", build.all_notebooks(), ids=lambda path: path.stem)
def test_saved_notebook_is_in_order(notebook):
    """In sync with its source; fresh outputs, no error, stderr or path; a chapter's standards."""
    assert build.check(notebook) == []


def test_the_first_notebook_exists():
    assert "00_start_here" in [path.stem for path in build.all_notebooks()]


# ---------------------------------------------------------------- a small chapter for faults


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "source").mkdir()
    return tmp_path


def write_source(folder: Path, *cells: str, name: str = "01_tiny") -> Path:
    path = folder / "source" / f"{name}.py"
    path.write_text(
        "\n\n".join(f"# %% {cell}" if cell[0] == "[" else f"# %%\n{cell}" for cell in cells) + "\n"
    )
    return folder / f"{name}.ipynb"


def touch_newer(path: Path, other: Path) -> None:
    later = other.stat().st_mtime + 10
    os.utime(path, (later, later))


def test_a_new_source_becomes_a_notebook_with_tags_and_ids(folder):
    text = '# %% [markdown]\n# # Title\n\n# %%\npass\n\n# %% tags=["parameters"]\nn = 1\n'
    (folder / "source" / "01_tiny.py").write_text(text)
    notebook = folder / "01_tiny.ipynb"
    nb = build.pair(notebook)
    assert notebook.exists()
    assert [c.cell_type for c in nb.cells] == ["markdown", "code", "code"]
    assert nb.cells[2].metadata.tags == ["parameters"]
    assert len({c.id for c in nb.cells}) == 3
    nbformat.validate(nb)


def test_ids_stay_when_a_cell_is_changed_and_one_is_added(folder):
    notebook = write_source(folder, "a = 1", "b = 2", "c = 3")
    before = [c.id for c in build.pair(notebook).cells]
    write_source(folder, "a = 1", "b = 20", "new = 0", "c = 3")
    touch_newer(folder / "source" / "01_tiny.py", notebook)
    after = build.pair(notebook).cells
    assert [c.source for c in after] == ["a = 1", "b = 20", "new = 0", "c = 3"]
    assert [after[0].id, after[1].id, after[3].id] == before
    assert after[2].id not in before
    assert [c.id for c in build.pair(notebook).cells] == [
        c.id for c in after
    ]  # and a second time nothing moves


def test_a_tag_that_is_taken_away_in_the_source_goes(folder):
    source = folder / "source" / "01_tiny.py"
    source.write_text('# %% tags=["parameters"]\nn = 1\n')
    notebook = folder / "01_tiny.ipynb"
    assert build.pair(notebook).cells[0].metadata.tags == ["parameters"]
    source.write_text("# %%\nn = 1\n")
    touch_newer(source, notebook)
    assert "tags" not in build.pair(notebook).cells[0].metadata


METADATA = {
    "tags": ["check"],
    "slideshow": {"slide_type": "subslide"},
    "nbgrader": {"grade": True, "grade_id": "one", "points": 4},
    "alt": 'The curve falls from 4 to 1, then stays: a "plateau", as 50 % of the runs show.',
}


def test_slides_grading_and_alternative_texts_survive_the_way_there_and_back(folder):
    notebook = write_source(folder, "a = 1")
    nb = build.pair(notebook)
    nb.cells[0].metadata.update(METADATA, collapsed=True)
    build.save(nb, notebook)
    assert build.pair(notebook).cells[0].metadata == METADATA
    assert build.read_source(folder / "source" / "01_tiny.py").cells[0].metadata == METADATA
    source = folder / "source" / "01_tiny.py"
    source.write_text(source.read_text().replace("subslide", "notes"))
    assert build.pair(notebook).cells[0].metadata["slideshow"] == {"slide_type": "notes"}


def test_a_picture_carries_the_alternative_text_of_its_cell(folder):
    draw = (
        "import matplotlib.pyplot as plt\n"
        "plt.plot([1, 2])\nplt.show()\nplt.plot([2, 1])\nplt.show()"
    )
    texts = [
        "A straight line that rises from 1 to 2 over the whole picture.",
        "A straight line that falls.",
    ]
    notebook = write_source(folder, draw)
    nb = build.pair(notebook)
    nb.cells[0].metadata["alt"] = texts
    build.save(nb, notebook)
    build.run(notebook)
    nb = nbformat.read(notebook, as_version=4)
    assert [o.metadata["image/png"]["alt"] for o in build.pictures(nb.cells[0])] == texts
    assert len(build.alt_problems("01_tiny", nb)) == 1  # the second only names the picture
    nb.cells[0].metadata["alt"] = [texts[0], texts[0]]
    build.save(nb, notebook)
    nb = build.pair(notebook)
    assert ["two pictures" in p for p in build.alt_problems("01_tiny", nb)] == [True]


def test_an_edit_in_the_notebook_reaches_the_source(folder):
    notebook = write_source(folder, "a = 1")
    nb = build.pair(notebook)
    nb.cells[0].source = "a = 2"
    build.save(nb, notebook)
    touch_newer(notebook, folder / "source" / "01_tiny.py")
    build.pair(notebook)
    assert "a = 2" in (folder / "source" / "01_tiny.py").read_text()
    assert build.pairable(build.read_source(folder / "source" / "01_tiny.py")) == build.pairable(nb)


def test_the_changed_twin_wins_though_the_other_was_saved_later(folder):
    """JupyterLab saves a notebook if cells only ran; git dates all files of a checkout alike."""
    notebook, source = write_source(folder, "a = 1"), folder / "source" / "01_tiny.py"
    nb = build.pair(notebook)
    write_source(folder, "a = 2")
    build.save(nb, notebook)
    touch_newer(notebook, source)
    assert build.pair(notebook).cells[0].source == "a = 2"
    nb = build.pair(notebook)
    nb.cells[0].source = "a = 3"
    build.save(nb, notebook)
    touch_newer(source, notebook)
    assert build.pair(notebook).cells[0].source == "a = 3"
    assert "a = 3" in source.read_text()


def test_two_changed_twins_are_both_left_alone(folder):
    notebook, source = write_source(folder, "a = 1", "b = 1"), folder / "source" / "01_tiny.py"
    nb = build.pair(notebook)
    write_source(folder, "a = 2", "b = 1")
    nb.cells[1].source = "b = 2"
    build.save(nb, notebook)
    before = notebook.read_bytes(), source.read_bytes()
    with pytest.raises(
        build.NotebookError, match=r"both 01_tiny\.ipynb and source/01_tiny\.py have changed"
    ):
        build.pair(notebook)
    assert (notebook.read_bytes(), source.read_bytes()) == before
    write_source(folder, "a = 1", "b = 2")  # alike again
    assert (
        build.text_sha256(build.pair(notebook))
        == nbformat.read(notebook, 4).metadata.course.text_sha256
    )


def test_run_saves_outputs_and_what_they_were_made_from(folder, monkeypatch):
    monkeypatch.setenv("COURSE_FAST", "1")  # a full run must not inherit the small budgets
    notebook = write_source(
        folder, "import os\nprint('fast', 'COURSE_FAST' in os.environ)", "1 + 1"
    )
    build.run(notebook)
    nb = nbformat.read(notebook, as_version=4)
    assert nb.cells[0].outputs[0].text == "fast False\n"
    assert nb.cells[1].outputs[0].data["text/plain"] == "2"
    assert nb.metadata.course.source_sha256 == build.source_sha256(nb)
    assert nb.metadata.kernelspec.name == "python3"
    assert all("execution" not in c.metadata for c in nb.cells)
    assert list(folder.glob(".*")) == []  # no half-written file is left

    stale = [p for p in build.check(notebook) if "older code" in p]
    assert stale == []
    nb.cells[1].source = "1 + 2"
    build.save(nb, notebook)
    touch_newer(notebook, folder / "source" / "01_tiny.py")
    build.pair(notebook)
    assert any("older code" in p for p in build.check(notebook))


def test_a_fast_run_saves_nothing(folder):
    notebook = write_source(folder, "import os\nassert os.environ['COURSE_FAST'] == '1'")
    build.pair(notebook)
    before = notebook.read_bytes()
    build.run(notebook, fast=True)
    assert notebook.read_bytes() == before


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("1 / 0", "failed"),
        ("import sys\nprint('careful', file=sys.stderr)", "writes to stderr: careful"),
        ("print('/home/someone/file')", "shows a path of this machine"),
        (r"print('C:\\Users\\someone')", "shows a path of this machine"),
        ("object()", "shows a memory address"),
    ],
)
def test_a_faulty_cell_is_named_and_nothing_is_saved(folder, code, sentence):
    notebook = write_source(folder, "a = 1", code)
    build.pair(notebook)
    before = notebook.read_bytes()
    with pytest.raises(build.NotebookError, match="01_tiny, cell 1") as caught:
        build.run(notebook)
    assert sentence in str(caught.value)
    assert notebook.read_bytes() == before


# ---------------------------------------------------------------- outputs


def with_output(output) -> nbformat.NotebookNode:
    nb = new_notebook(cells=[new_code_cell("show()", outputs=[output])])
    return build.tidy(nb)


def test_a_widget_keeps_its_picture_and_loses_its_view():
    data = {build.WIDGET_VIEW: {"model_id": "0"}, "image/png": "iVBO", "text/html": "<p>"}
    nb = with_output(new_output("display_data", data=data))
    build.clean_outputs(nb)
    assert set(nb.cells[0].outputs[0].data) == {"image/png", "text/html"}
    assert build.output_problems("x", nb) == []


def test_a_widget_without_a_picture_is_reported():
    nb = with_output(
        new_output("display_data", data={build.WIDGET_VIEW: {"model_id": "0"}, "text/plain": "W()"})
    )
    build.clean_outputs(nb)
    assert "without a picture" in build.output_problems("x", nb)[0]


def test_a_progress_bar_keeps_its_last_state():
    nb = with_output(new_output("stream", name="stdout", text="start\n 10%\r 50%\r100%\ndone\r\n"))
    build.clean_outputs(nb)
    assert nb.cells[0].outputs[0].text == "start\n100%\ndone\r\n"


def test_a_picture_that_spells_a_path_is_no_path():
    picture = "A" * 300 + "/home/" + "B" * 300
    nb = with_output(
        new_output(
            "display_data", data={"image/png": picture, "text/html": f"<img src='{picture}'>"}
        )
    )
    assert build.output_problems("x", nb) == []
    nb = with_output(new_output("display_data", data={"text/html": "<a href='/home/me/x'>"}))
    assert "path of this machine" in build.output_problems("x", nb)[0]


def test_a_large_notebook_names_its_largest_cell():
    nb = with_output(new_output("display_data", data={"image/png": "A" * (build.MAX_BYTES + 1)}))
    assert "the largest cell is x, cell 0" in build.output_problems("x", nb)[0]


def test_tidy_drops_what_belongs_to_one_run():
    nb = new_notebook(
        cells=[new_code_cell("1", metadata={"execution": {"start": "now"}, "tags": ["parameters"]})]
    )
    nb.metadata = nbformat.from_dict(
        {"widgets": {"state": 1}, "language_info": {"version": "3.11.7"}}
    )
    build.tidy(nb)
    assert nb.cells[0].metadata == {"tags": ["parameters"]}
    assert "widgets" not in nb.metadata
    assert "version" not in nb.metadata.language_info


# ---------------------------------------------------------------- standards


def good_chapter() -> list[nbformat.NotebookNode]:
    """The smallest chapter that keeps every standard: 25 cells."""
    cells = [
        new_markdown_cell(
            "# 01 Title\n\nYou will be able to do this. It takes 3 minutes and needs nothing."
        ),
        new_code_cell(
            "import sys\n\nif 'google.colab' in sys.modules:\n    pass",
            metadata={"tags": ["imports"]},
        ),
        new_code_cell("from x import FAST, checks", metadata={"tags": ["imports"]}),
        new_code_cell("n = 1 if FAST else 2", metadata={"tags": ["parameters"]}),
    ]
    for i in range(6):
        cells += [new_markdown_cell(f"Predict {i}."), new_code_cell(f"print({i})")]
    cells += [
        new_markdown_cell(f"## {build.CLAIMS}"),
        new_code_cell("table()"),
        new_markdown_cell("## Exercises"),
    ]
    for i in range(3):
        stub = f"def f{i}(x):\n    # 1. add\n    raise NotImplementedError"
        cells += [
            new_markdown_cell(f"**{i}**"),
            new_code_cell(stub),
            new_code_cell(f"checks.f{i}(f{i})"),
        ]
    return cells


def faults(change) -> list[str]:
    cells = good_chapter()
    change(cells)
    return build.style_problems("x", new_notebook(cells=cells))


def test_a_good_chapter_has_no_problem():
    assert faults(lambda cells: None) == []


def replace(number: int, source: str):
    return lambda cells: cells[number].update(source=source)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda cells: cells.__delitem__(slice(4, 16)), "at least 20"),
        (lambda cells: cells.extend(new_code_cell("1") for _ in range(40)), "are prose"),
        (replace(5, "\n".join("x = 1" for _ in range(21))), "21 lines of code"),
        (lambda cells: [c.update(source=c.source + "\nx = 1" * 10) for c in cells], "median"),
        (replace(5, "import os"), "is not tagged `imports`"),
        (lambda cells: cells.insert(10, cells.pop(2)), "the first code cells"),
        (replace(1, "import sys\nfrom x import FAST"), "Colab"),
        (lambda cells: cells[3].update(metadata={}), "tagged `parameters`: 0"),
        (replace(5, "steps = 1 if FAST else 10"), "only in the parameters cell"),
        (replace(0, "# Title\n\nIt takes 3 minutes and needs nothing."), "you will be able to"),
        (replace(16, "## Summary"), "What the lecture said"),
        (replace(18, "## Homework"), "'Exercises'"),
        (
            lambda cells: [c.update(source="pass") for c in cells if "checks." in c.source],
            "cells that check an exercise: 0",
        ),
        (replace(20, "def f0(x):\n    return 0"), "stub"),
        (replace(4, " "), "empty"),
    ],
)
def test_each_broken_standard_is_named(change, sentence):
    assert any(sentence in problem for problem in faults(change)), faults(change)


def test_choose_knows_numbers_and_names_and_says_what_there_is(folder):
    write_source(folder, "1", name="03_three")
    write_source(folder, "1", name="04_four")
    assert [p.stem for p in build.choose(["04"], folder)] == ["04_four"]
    assert [p.stem for p in build.choose(["notebooks/03_three.ipynb"], folder)] == ["03_three"]
    assert len(build.choose([], folder)) == 2
    with pytest.raises(build.NotebookError, match="the notebooks are 03_three, 04_four"):
        build.choose(["09"], folder)


@pytest.mark.parametrize(
    "arguments", [["run", "--fast", "04", "05"], ["run", "04", "05", "--fast"]]
)
def test_fast_may_stand_before_or_after_the_notebooks(monkeypatch, arguments):
    ran = []
    monkeypatch.setattr(
        build, "run", lambda path, fast: ran.append((path.stem[:2], fast)) or (0.0, build.Meter())
    )
    assert build.main(arguments) == 0
    assert ran == [("04", True), ("05", True)]
