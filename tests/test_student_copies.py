"""Students' copies of the chapters: no answer is given away, and none of the text is missing."""

import re
import sys

import nbformat
import pytest
from test_notebooks import ROOT, build

sys.path.insert(0, str(ROOT / "notebooks"))
sys.modules.setdefault("build", build)  # so that both files share one NotebookError
import student_copies  # noqa: E402

CHAPTERS = build.all_notebooks()
FOLD = re.compile(r"<details>\n<summary>Answer</summary>\n\n(.*?)\n\n</details>", re.DOTALL)


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """Stem -> the chapter's copy, as written."""
    written = student_copies.write(tmp_path_factory.mktemp("students"), [])
    return {path.stem: nbformat.read(path, as_version=4) for path in written}


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_copy_shows_no_output_and_no_answer(copies, chapter):
    copy = copies[chapter.stem]
    for cell in copy.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            hidden = cell.metadata.get("jupyter", {}).get("source_hidden", False)
            assert hidden == ("**Answer.**" in cell.source)
        else:
            assert not student_copies.ANSWER.search(FOLD.sub("", cell.source))
    assert sum(len(FOLD.findall(cell.source)) for cell in copy.cells) >= 5


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_unfolded_it_is_the_chapter(copies, chapter):
    """The same cells with the same words, in the same order, and the same tags."""
    original = nbformat.read(chapter, as_version=4)
    glossary = f"{build.repository_address()}/blob/main/docs/glossary.md#"
    for mine, theirs in zip(copies[chapter.stem].cells, original.cells, strict=True):
        unfolded = FOLD.sub(r"\1", mine.source).replace(glossary, "../docs/glossary.md#")
        assert unfolded.split() == theirs.source.split()
        assert mine.metadata.get("tags") == theirs.metadata.get("tags")


def test_an_answer_ends_at_a_heading_or_the_next_question():
    answers = "Look.\n\n**Answer.** Yes.\n\n**Why?** So.\n\n### Next\n\nText.\n\n"
    text = answers + "**Answer.** No.\n\n**Predict.** And?"
    folded = student_copies.folded(text)
    assert FOLD.findall(folded) == ["**Answer.** Yes.\n\n**Why?** So.", "**Answer.** No."]
    assert FOLD.sub("", folded).split() == ["Look.", "###", "Next", "Text.", "**Predict.**", "And?"]


def test_a_chapter_that_is_not_there_is_named(tmp_path, capsys):
    assert student_copies.main([str(tmp_path), "77"]) == 2
    assert "77" in capsys.readouterr().out
    assert student_copies.main([]) == 2
