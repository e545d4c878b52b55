"""Move a chapter to another position in the sequence: `python notebooks/renumber.py how_good 05`.

The chapter gets the new number, and the others move up or down. Files, titles and all links in
notebooks, docs, README and tests are updated. Texts refer to chapters by name, so no sentence has
to change. Outputs are kept, because a new name does not require running a notebook again.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import nbformat
from build import (
    ROOT,
    NotebookError,
    agree,
    all_notebooks,
    save,
    source_of,
    source_sha256,
    write_atomically,
)
from nbformat import NotebookNode

TEXTS = (
    "README.md",
    "Makefile",
    "docs/*.md",
    "tests/*.py",
    "course_lib/**/*.py",
    "benchmarks/*.py",
    "tools/**/*.py",
    "tools/**/*.md",
    "notebooks/*.py",
    "notebooks/source/*.py",
    "notebooks/homework/*/*.py",
)


def topic(stem: str) -> str:
    """Return the name of a chapter without its number, such as "vae" for "04_vae"."""
    return stem[3:]


def new_stems(stems: list[str], moved: str, number: int) -> dict[str, str]:
    """Map each chapter's old name to its new name if the topic `moved` gets the number `number`."""
    order = [stem for stem in stems if topic(stem) != moved]
    if len(order) == len(stems):
        raise NotebookError(
            f"no chapter is called {moved!r}; the names are {', '.join(map(topic, stems))}"
        )
    if not 0 <= number <= len(order):
        raise NotebookError(f"the number must be between 00 and {len(order):02}, not {number:02}")
    order.insert(number, next(stem for stem in stems if topic(stem) == moved))
    return {stem: f"{place:02}_{topic(stem)}" for place, stem in enumerate(order)}


def renamed(text: str, stems: dict[str, str]) -> str:
    """Replace the old names of all chapters in a text by their new names, simultaneously."""
    pattern = re.compile("|".join(map(re.escape, stems)))
    text = pattern.sub(lambda found: stems[found[0]], text)
    # in a table of chapters, the number is in the column before the link
    number = r"^\| \d\d (?=\| \[[^\]]+\]\((?:\.\./)?(?:notebooks/)?(\d\d)_)"
    return re.sub(number, r"| \1 ", text, flags=re.MULTILINE)


def retitled(source: str, stem: str) -> str:
    """Replace the chapter number at the beginning of the title in a first cell."""
    return re.sub(r"^# \d\d · ", f"# {stem[:2]} · ", source)


def rename_output(output: NotebookNode, stems: dict[str, str]) -> None:
    """Update the links in an output of a cell, such as a table."""
    data = output.get("data", {})
    for kind in ("text/markdown", "text/html"):
        if isinstance(data.get(kind), str):
            data[kind] = renamed(data[kind], stems)


def renumber(moved: str, number: int, root: Path = ROOT) -> dict[str, str]:
    """Move the chapter in all files. Returns a mapping from old names to new names."""
    folder = root / "notebooks"
    paths = all_notebooks(folder)
    stems = new_stems([path.stem for path in paths], moved, number)
    notebooks = {path.stem: nbformat.read(path, as_version=4) for path in paths}
    for pattern in TEXTS:
        for path in root.glob(pattern):
            text = path.read_text(encoding="utf-8")
            if (new := renamed(text, stems)) != text:
                write_atomically(path, new)
    sources = {path.stem: source_of(path).read_text(encoding="utf-8") for path in paths}
    for path in paths:
        path.unlink()
        source_of(path).unlink()
    for old, new in stems.items():
        notebook, target = notebooks[old], folder / f"{new}.ipynb"
        fresh = notebook.metadata.get("course", {}).get("source_sha256") == source_sha256(notebook)
        for cell in notebook.cells:
            cell.source = renamed(cell.source, stems)
            for output in cell.get("outputs", []):
                rename_output(output, stems)
        notebook.cells[0].source = retitled(notebook.cells[0].source, new)
        if fresh:
            notebook.metadata.course["source_sha256"] = source_sha256(notebook)
        agree(notebook)
        save(notebook, target)
        title = re.sub(r"^# # \d\d · ", f"# # {new[:2]} · ", sources[old], count=1, flags=re.M)
        write_atomically(source_of(target), title)
    return stems


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("topic", help="the chapter's name without its number, such as how_good")
    parser.add_argument("number", type=int, help="the chapter's new number, such as 05")
    asked = parser.parse_args(arguments)
    try:
        stems = renumber(asked.topic, asked.number)
    except NotebookError as error:
        print(f"Nothing was changed: {error}.", file=sys.stderr)
        return 1
    for old, new in stems.items():
        if old != new:
            print(f"{old} → {new}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
