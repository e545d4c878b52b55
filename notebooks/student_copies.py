"""Write copies of the chapters for students, without outputs and with folded answers.

    python notebooks/student_copies.py FOLDER [NB …]

`make release` runs this command. A click on "Answer" unfolds an answer, and a click on "Why?"
unfolds its explanation. Code that prints an answer is collapsed. The chapters themselves keep their
answers and outputs.

A fold begins at a paragraph that starts with "**Answer.**" or "**Why?**". It ends at the end of its
cell, or before the next such paragraph, a heading or a paragraph that starts with "**Predict.**".
Text that students need before the next code cell therefore belongs in a cell of its own.
"""

import re
import sys
from pathlib import Path

import build
import glossary_links
import nbformat
from nbformat import NotebookNode

BEGINS = re.compile(r"^\*\*(Answer\.|Why\?)\*\*", re.MULTILINE)
ANSWER_IN_CODE = '"**Answer.** '
# The end of a fold: the next fold, a heading, or the next question.
ENDS = re.compile(r"^(?:#{1,6} |\*\*(?:Answer\.|Why\?|Predict\.)\*\*)", re.MULTILINE)
FOLDED = "<details>\n<summary>{}</summary>\n\n{}\n\n</details>"


def folded(text: str) -> str:
    """Fold each answer and each explanation in the Markdown of a cell."""
    parts = []
    while found := BEGINS.search(text):
        end = ENDS.search(text, found.end())
        stop = end.start() if end else len(text)
        summary = found[1].removesuffix(".")
        parts += [text[: found.start()], FOLDED.format(summary, text[found.start() : stop].strip())]
        text = "\n\n" + text[stop:] if end else ""
    return "".join([*parts, text])


def student_copy(nb: NotebookNode) -> NotebookNode:
    """Return the student copy of a chapter.

    Its links to the glossary lead to the course's repository.
    """
    copy = nbformat.from_dict(nb)
    copy.metadata.pop("course", None)  # its statements about outputs do not apply to the copy
    glossary = f"{build.repository_address()}/blob/main/docs/glossary.md#"
    for cell in copy.cells:
        for name in ("slide", "slideshow", "alt"):  # student copies are not used for lectures
            cell.metadata.pop(name, None)
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
            if ANSWER_IN_CODE in cell.source:  # Jupyter collapses code that computes the answer
                cell.metadata["jupyter"] = {"source_hidden": True}
        else:
            cell.source = folded(cell.source).replace(glossary_links.ADDRESS, glossary)
    return copy


def write(folder: Path, names: list[str]) -> list[Path]:
    """Write the copies of these chapters, or of all chapters, and return their paths."""
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
    count = len(written)
    print(f"Student copies without outputs were written to {arguments[0]}. Chapters: {count}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
