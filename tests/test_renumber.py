"""One command puts a chapter in between: names, titles and links follow, outputs stay."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_notebooks import ROOT, build

sys.path.insert(0, str(ROOT / "notebooks"))
sys.modules.setdefault("build", build)  # so that both files share one NotebookError
import renumber  # noqa: E402


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """Three chapters that link to each other, and a README with a table of them."""
    (tmp_path / "notebooks" / "source").mkdir(parents=True)
    chapters = {"00_start": "01_vae", "01_vae": "02_gan", "02_gan": "00_start"}
    for stem, other in chapters.items():
        title = new_markdown_cell(
            f"# {stem[:2]} · About {stem[3:]}\n\nSee [the other]({other}.ipynb)."
        )
        table = {"text/markdown": f"| [claim]({other}.ipynb) |", "image/png": "aGVsbG8="}
        shown = new_code_cell("show()", outputs=[new_output("display_data", table)])
        nb = build.tidy(new_notebook(cells=[title, shown]))
        nb.metadata["course"] = nbformat.from_dict({"source_sha256": build.source_sha256(nb)})
        build.agree(nb)
        path = tmp_path / "notebooks" / f"{stem}.ipynb"
        build.save(nb, path)
        build.write_atomically(build.source_of(path), build.as_source(nb))
    rows = [f"| {stem[:2]} | [About {stem[3:]}](notebooks/{stem}.ipynb) |" for stem in chapters]
    (tmp_path / "README.md").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_a_chapter_moves_and_everything_follows(course):
    stems = renumber.renumber("gan", 1, course)
    assert stems == {"00_start": "00_start", "01_vae": "02_vae", "02_gan": "01_gan"}
    paths = build.all_notebooks(course / "notebooks")
    assert [path.stem for path in paths] == ["00_start", "01_gan", "02_vae"]
    assert "| 01 | [About gan](notebooks/01_gan.ipynb) |" in (course / "README.md").read_text()
    links = {"00_start": "02_vae", "01_gan": "00_start", "02_vae": "01_gan"}
    for path in paths:
        nb = nbformat.read(path, as_version=4)
        assert nb.cells[0].source.startswith(f"# {path.stem[:2]} · About {path.stem[3:]}\n")
        assert f"({links[path.stem]}.ipynb)" in nb.cells[0].source
        assert (
            nb.cells[1].outputs[0].data["text/markdown"] == f"| [claim]({links[path.stem]}.ipynb) |"
        )
        # the twins agree, and the outputs still count as those of this text
        assert build.pairable(build.read_source(build.source_of(path))) == build.pairable(nb)
        assert nb.metadata.course.source_sha256 == build.source_sha256(nb)
        assert nb.metadata.course.text_sha256 == build.text_sha256(nb)


@pytest.mark.parametrize(
    ("topic", "number", "sentence"),
    [("cat", 1, "the names are start, vae, gan"), ("gan", 3, "must be between 00 and 02, not 03")],
)
def test_what_cannot_be_is_said_and_nothing_is_changed(course, topic, number, sentence):
    before = {path: path.read_bytes() for path in course.rglob("*") if path.is_file()}
    with pytest.raises(build.NotebookError, match=sentence):
        renumber.renumber(topic, number, course)
    assert {path: path.read_bytes() for path in course.rglob("*") if path.is_file()} == before
