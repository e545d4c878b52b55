"""Convert a notebook to slides: which cells are shown, which parts of them,
and the speaker's notes.

The metadata of a cell determine its part in the slides. Cells without such metadata are not shown.

    "slideshow": {"slide_type": "slide"}    starts a slide; subslide, fragment, "-", notes and skip
                                            as usual
    "slide": {"text": "## …", …}            what the slide shows of the cell; all keys are optional:
        text     Markdown that replaces a Markdown cell, or is shown above a code cell; a line "---"
                 starts another slide
        show     for a code cell: "code", "output", "both", or "figure" (the output without printed
                 text); by default the output, or the code if the cell has no output
        lines    the lines of code to show, such as "3-9" or "1-4, 8-12", counted from 1
        below    Markdown below what the cell shows

The speaker's notes consist of the notebook's own text: the full text of cells for which the slide
shows a shorter one, and the prose up to the next slide or section. If there is none, the notes are
the prose before the slide.
"""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import nbformat
from nbformat import NotebookNode

STARTS = ("slide", "subslide")
SHOWN = (*STARTS, "fragment", "-")
KEYS = {"text", "show", "lines", "below"}
CODE_LINES, CODE_WIDTH = 14, 60  # the most that is legible from the last row
HEADING = re.compile(r"^#{1,3} ", re.MULTILINE)
BREAK = re.compile(r"\n+---\n+")
PREDICT = re.compile(r"^\*\*Predict\.\*\*", re.MULTILINE)
ANSWER = re.compile(r"^\*\*Answer\.\*\*", re.MULTILINE)
CLAIMS_CELL = "claims"
MEASURED = "measured"  # the beginning of the heading of the column with the measured numbers
CLAIM_LINES = 17.5  # the number of table lines that fit on a slide
CLAIM_WIDTH = 102  # the number of characters per line, over all columns


class SlideError(Exception):
    """Raised with one sentence that says what is wrong with the slide metadata of a cell."""


@dataclass
class Part:
    """One piece of a slide."""

    kind: Literal["text", "code", "picture", "widget", "printed", "claims"]
    content: str
    step: bool = False  # whether the piece appears one step later
    alt: str = ""


@dataclass
class Slide:
    parts: list[Part] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # Markdown
    below: bool = False  # whether the slide is below the previous one
    before: str = ""  # the prose before the slide in the notebook

    def of(self, kind: str) -> list[Part]:
        return [part for part in self.parts if part.kind == kind]

    @property
    def text(self) -> str:
        return "\n\n".join(part.content for part in self.of("text"))

    @property
    def title(self) -> str:
        found = re.search(r"^#+ (.+)$", self.text, re.MULTILINE)
        return found[1] if found else ""


@dataclass
class Deck:
    name: str  # 04_vae
    title: str
    slides: list[Slide]


def role(cell: NotebookNode) -> str:
    """Return the slide type of a cell: one of SHOWN, "notes", "skip", or "" if there is none."""
    return cell.metadata.get("slideshow", {}).get("slide_type", "") or ""


def excerpt(source: str, lines: str) -> str:
    """Return the selected lines of a source, without their common indentation."""
    all_lines = source.splitlines()
    chosen: list[str] = []
    for part in lines.split(","):
        first, _, last = part.strip().partition("-")
        piece = all_lines[int(first) - 1 : int(last or first)]
        if not piece:
            raise SlideError(
                f"there are no lines {part.strip()} in a cell of {len(all_lines)} lines"
            )
        chosen += piece
    return textwrap.dedent("\n".join(chosen))


@cache
def readable(source: str) -> str:
    """Fit code to a slide: long lines lose their comments, and those still too long are wrapped."""
    lines = source.strip("\n").splitlines()
    short = [line if len(line) <= CODE_WIDTH else re.sub(r"\s{2,}# .*", "", line) for line in lines]
    if max(map(len, short)) > CODE_WIDTH:
        command = [sys.executable, "-m", "ruff", "format", "--line-length", str(CODE_WIDTH), "-"]
        done = subprocess.run(command, input="\n".join(short), capture_output=True, text=True)
        if done.returncode == 0:  # an excerpt that is not valid Python by itself stays as it is
            short = done.stdout.splitlines()
    return "\n".join(short)


def outputs(cell: NotebookNode) -> Iterator[Part]:
    """Yield the outputs of a cell: widgets, pictures, tables, and printed text."""
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "data-course=" in data.get("text/html", ""):
            kind = data.get("text/plain", "").removesuffix("(…)")
            yield Part("widget", data["text/html"], alt=kind)
        elif "image/png" in data:
            alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
            yield Part("picture", data["image/png"], alt=alt)
        elif "text/markdown" in data:
            is_table_of_claims = CLAIMS_CELL in cell.metadata.get("tags", [])
            yield Part("claims" if is_table_of_claims else "text", data["text/markdown"])
        elif output.output_type == "stream":
            yield Part("printed", output.text.rstrip())
        elif "text/plain" in data:
            yield Part("printed", data["text/plain"])


def shown(cell: NotebookNode) -> list[Part]:
    """Return the parts that a cell contributes to a slide."""
    own: dict[str, Any] = cell.metadata.get("slide", {})
    if unknown := set(own) - KEYS:
        raise SlideError(
            f"`slide` has the unknown key {min(unknown)!r}; "
            f"the known keys are {', '.join(sorted(KEYS))}"
        )
    if cell.cell_type == "markdown":
        parts = [Part("text", own.get("text", cell.source))]
    else:
        made = list(outputs(cell))
        show = own.get("show", "output" if made else "code")
        if show not in ("code", "output", "both", "figure"):
            raise SlideError(f"`show` must be code, output, both or figure, not {show!r}")
        if show == "figure":
            made = [part for part in made if part.kind != "printed"]
        parts = [Part("text", own["text"])] if "text" in own else []
        if show in ("code", "both"):
            source = excerpt(cell.source, own["lines"]) if "lines" in own else cell.source
            parts.append(Part("code", readable(source)))
        if show != "code":
            parts += made
    if "below" in own:
        parts.append(Part("text", own["below"]))
    step = role(cell) == "fragment"
    for part in parts:
        part.step = step
    return parts


def slides_of(nb: NotebookNode) -> list[Slide]:
    """Return all slides of a notebook, each with its notes."""
    slides: list[Slide] = []
    prose = ""  # the prose that was read last
    speaking = False  # whether the next prose belongs to the notes of the previous slide
    for number, cell in enumerate(nb.cells):
        part = role(cell)
        if part in STARTS:
            slides.append(Slide(below=part == "subslide", before=prose))
            speaking = True
        elif not slides or part == "skip":
            continue
        first = len(slides) - 1  # the first slide on which this cell appears
        try:
            if part in SHOWN:
                for piece in shown(cell):
                    add(slides, piece)
            elif part not in ("", "notes"):
                raise SlideError(f"{part!r} is not a slide type")
        except SlideError as error:
            raise SlideError(f"cell {number}: {error}") from error
        if cell.cell_type != "markdown":
            continue
        prose = cell.source
        if part == "" and HEADING.search(cell.source):
            speaking = False
        if part == "notes" or (part in SHOWN and "text" in cell.metadata.get("slide", {})):
            for slide in slides[first:]:
                slide.notes.append(cell.source)
        elif part == "" and speaking:
            slides[-1].notes.append(cell.source)
    for slide in slides:
        slide.notes = slide.notes or [slide.before]
        slide.notes += [f"*In the figure:* {part.alt}" for part in slide.of("picture") if part.alt]
    made: list[Slide] = []
    for slide in slides:
        made += claims_slides(slide) if slide.of("claims") else [slide]
    return made


def add(slides: list[Slide], piece: Part) -> None:
    """Add a piece to the last slide. Text after a break starts another slide."""
    contents = BREAK.split(piece.content) if piece.kind == "text" else [piece.content]
    slides[-1].parts.append(replace(piece, content=contents[0]))
    for content in contents[1:]:
        slides.append(Slide([replace(piece, content=content, step=False)]))


def read(notebook: Path) -> Deck:
    nb = nbformat.read(notebook, as_version=4)
    title = nb.cells[0].source.partition("\n")[0].lstrip("# ")
    try:
        return Deck(notebook.stem, title, slides_of(nb))
    except SlideError as error:
        raise SlideError(f"{notebook.stem}, {error}") from error


def problems(deck: Deck) -> list[str]:
    """List the faults of a deck.

    Among these are a number of slides outside 15 to 25, anything that is not legible from the last
    row, and answers shown before their questions.
    """
    found = []
    if not 15 <= len(deck.slides) <= 25:
        found.append(f"{deck.name}: {len(deck.slides)} slides; a chapter must have 15 to 25")
    asked = 0
    for number, slide in enumerate(deck.slides, 1):
        here = f"{deck.name}, slide {number} ({slide.title})"
        for code in slide.of("code"):
            lines = code.content.splitlines()
            if len(lines) > CODE_LINES:
                found.append(f"{here}: {len(lines)} lines of code, more than {CODE_LINES}")
            longest = max(map(len, lines))
            if longest > CODE_WIDTH:
                found.append(
                    f"{here}: a line of code has {longest} characters, more than {CODE_WIDTH}"
                )
        if not slide.notes:
            found.append(f"{here}: the speaker has no notes")
        if not slide.title:
            found.append(f"{here}: it has no title")
        for part in slide.parts:
            for answer in marks(part):
                asked += -1 if answer else 1
                if asked < 0:
                    found.append(f"{here}: an answer without a question before it")
                    asked = 0
                elif asked > 1:
                    found.append(f"{here}: a new question before the last one is answered")
                    asked = 1
        predicts = PREDICT.search(slide.text) and not ANSWER.search(slide.text)
        if asked and predicts and slide.of("picture"):
            found.append(f"{here}: the answer is visible together with its question")
    if asked:
        found.append(f"{deck.name}: the last question has no answer")
    return found


def marks(part: Part) -> list[bool]:
    """List the questions (False) and answers (True) in a text part, in order."""
    if part.kind != "text":
        return []
    places = [(m.start(), False) for m in PREDICT.finditer(part.content)]
    places += [(m.start(), True) for m in ANSWER.finditer(part.content)]
    return [answer for _, answer in sorted(places)]


# ---------------------------------------------------------------- the table of claims


def claims_slides(slide: Slide) -> list[Slide]:
    """Distribute tables of claims over slides.

    If there is a verdict, the numbers move to the notes.
    """
    made: list[Slide] = []
    for header, rows in tables(slide.of("claims")[0].content):
        measured = next(at for at, name in enumerate(header) if name.startswith(MEASURED))
        columns = [at for at, name in enumerate(header) if name != "#" and at != measured]
        if len(columns) == 1:  # there is nothing to show but the numbers
            columns = [at for at, name in enumerate(header) if name != "#"]
        for page in pages(rows, columns):
            whole = [[*header], ["---"] * len(header), *page]
            shown = [[row[at] for at in columns] for row in whole]
            lines = "\n".join(f"| {' | '.join(row)} |" for row in shown)
            title = f"## {slide.title}, continued" if made else f"## {slide.title}"
            figures = [f"*{row[columns[0]]}:* {row[measured]}" for row in page]
            parts = [Part("text", title), Part("claims", lines)]
            made.append(Slide(parts, figures, slide.below and not made))
    made[0].notes += slide.notes
    return made


def pages(rows: list[list[str]], columns: list[int]) -> list[list[list[str]]]:
    """Distribute the rows of a table over pages, with as many on each page as fit."""
    made: list[list[list[str]]] = [[]]
    used = 0.0
    for row in rows:
        lines = 0.4 + max(-(-len(row[at]) * len(columns) // CLAIM_WIDTH) for at in columns)
        if made[-1] and used + lines > CLAIM_LINES:
            made.append([])
            used = 0.0
        made[-1].append(row)
        used += lines
    return made


def tables(text: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Yield the header and the rows of each Markdown table. A bar inside a cell is written \\|."""
    for block in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        lines = [line.strip().strip("|") for line in block.strip().splitlines()]
        cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]
        yield cells[0], cells[2:]
