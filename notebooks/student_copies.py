"""Students' copies of the chapters: without outputs, and with the answers to each Predict folded away.

    python notebooks/student_copies.py FOLDER [NB …]

writes them into a folder, as `make release` does. A click on "Answer" unfolds it. The code that
prints an answer is collapsed. The chapters themselves keep their answers and outputs.
"""

import re
import sys
from pathlib import Path

import build
import glossary_links
import nbformat
from nbformat import NotebookNode

ANSWER = re.compile(r"^\*\*Answer\.\*\*", re.MULTILINE)
ANSWER_IN_CODE = '"**Answer.** '
# Where an answer and its reason end: a heading, or the next question.
ENDS = re.compile(r"^(?:#{1,6} |\*\*Predict\.\*\*)", re.MULTILINE)
FOLDED = "<details>\n<summary>Answer</summary>\n\n{}\n\n</details>"


def folded(text: str) -> str:
    """A cell's Markdown, with each answer, and the reason behind it, folded away."""
    parts = []
    while found := ANSWER.search(text):
        end = ENDS.search(text, found.end())
        stop = end.start() if end else len(text)
        parts += [text[: found.start()], FOLDED.format(text[found.start() : stop].strip())]
        text = "\n\n" + text[stop:] if end else ""
    return "".join([*parts, text])


def student_copy(nb: NotebookNode) -> NotebookNode:
    """A copy of a chapter as a student gets it. Its links to the glossary lead to the course's repository."""
    copy = nbformat.from_dict(nb)
    copy.metadata.pop("course", None)  # what it says about outputs no longer holds
    glossary = f"{build.repository_address()}/blob/main/docs/glossary.md#"
    for cell in copy.cells:
        for name in ("slide", "slideshow", "alt"):  # a student's copy is not lectured from
            cell.metadata.pop(name, None)
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
            if ANSWER_IN_CODE in cell.source:  # its numbers are computed: Jupyter collapses the code
                cell.metadata["jupyter"] = {"source_hidden": True}
        else:
            cell.source = folded(cell.source).replace(glossary_links.ADDRESS, glossary)
    return copy


def write(folder: Path, names: list[str]) -> list[Path]:
    """Write the copies of these chapters, or of all of them, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for chapter in build.choose(names):
        path = folder / chapter.name
        build.save(student_copy(nbformat.read(chapter, as_version=4)), path)
        written.append(path)
    return written


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        print(__doc__)
        return 2
    try:
        written = write(Path(arguments[0]), arguments[1:])
    except (build.NotebookError, OSError) as error:
        print(error)
        return 2
    print(f"{len(written)} chapters for students, without outputs, are in {arguments[0]}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
