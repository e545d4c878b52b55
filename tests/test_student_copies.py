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
FOLD = re.compile(
    r"<details>\n<summary>(?:Answer|Why\?)</summary>\n\n(.*?)\n\n</details>", re.DOTALL
)
# a question, an answer or an explanation, except in the list in "Start here" that introduces these
# words
MARK = re.compile(r"(?<!^- )\*\*(Predict\.|Answer\.|Why\?)\*\*", re.MULTILINE)


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
            assert set(MARK.findall(FOLD.sub("", cell.source))) <= {"Predict."}
            for fold in FOLD.findall(cell.source):
                assert "Predict." not in MARK.findall(fold), "a question is hidden inside an answer"
                assert fold.startswith(("**Answer.**", "**Why?**"))
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


def test_a_fold_ends_at_a_heading_or_the_next_question():
    answers = "Look.\n\n**Answer.** Yes.\n\nOr so.\n\n**Why?** So.\n\n### Next\n\nText.\n\n"
    text = answers + "**Answer.** No.\n\n**Predict.** And?"
    folded = student_copies.folded(text)
    assert FOLD.findall(folded) == ["**Answer.** Yes.\n\nOr so.", "**Why?** So.", "**Answer.** No."]
    assert FOLD.sub("", folded).split() == ["Look.", "###", "Next", "Text.", "**Predict.**", "And?"]


def test_an_explanation_in_a_cell_of_its_own_is_folded():
    folded = student_copies.folded("**Why?** Because.\n\nIt is so.")
    assert (
        folded
        == "<details>\n<summary>Why?</summary>\n\n**Why?** Because.\n\nIt is so.\n\n</details>"
    )


def test_only_the_beginning_of_a_paragraph_begins_a_fold():
    text = "- **Answer.** Compare.\n- **Why?** Read.\n\nSee **Why?** below."
    assert student_copies.folded(text) == text


def test_a_chapter_that_is_not_there_is_named(tmp_path, capsys):
    assert student_copies.main([str(tmp_path), "77"]) == 2
    assert "77" in capsys.readouterr().out
    assert student_copies.main([]) == 2
