"""Print handouts as A4 PDFs with Chromium: the slides with their notes, then the chapter's text."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import deck as decks
import nbformat
import render
import vendor
from deck import Part, Slide
from make import environment, text

PAPER = 688  # pixels; the width of an A4 page without its margins, at 96 per inch
# Set formulas that are wider than their column in smaller type, because paper cannot be scrolled.
NARROWER = """() => {
    for (const box of document.querySelectorAll(".formula")) {
        const times = box.clientWidth / box.scrollWidth;
        const size = parseFloat(getComputedStyle(box).fontSize);
        if (times < 1) box.style.fontSize = `${0.97 * times * size}px`;
    }
}"""
HIDDEN = ("check", "imports", "parameters")  # tags of cells that are omitted on paper


class HandoutError(Exception):
    """Raised with one sentence that says why a handout cannot be made."""


def chromium() -> str:
    """Return the path of the browser: $COURSE_CHROMIUM, or else the first known browser on PATH."""
    names = ["chromium", "chromium-browser", "google-chrome", "chromium-headless-shell"]
    for name in (os.environ.get("COURSE_CHROMIUM"), *names):
        if name and (path := shutil.which(name)):
            return path
    raise HandoutError(
        "Handouts need Chromium, which was not found. Set COURSE_CHROMIUM to its path."
    )


def strip(part: Part) -> str:
    """The picture of a widget, which the saved page shows before the script runs."""
    picture = part.content.partition("</div>")[0]
    return f'<figure class="strip">{picture}</div></figure>'


def sheet(slide: Slide, chapter: str) -> str:
    """A slide's HTML for paper, with all steps visible and a picture in place of each widget."""
    parts = [Part("text", strip(part)) if part.kind == "widget" else part for part in slide.parts]
    return render.body(Slide(parts), chapter).replace('class="fragment later"', 'class="later"')


def page(notebook: Path) -> str:
    """The handout of a chapter as one HTML page."""
    deck = decks.read(notebook)
    slides = [
        {"sheet": sheet(slide, deck.name), "notes": render.notes(slide)} for slide in deck.slides
    ]
    return (
        environment()
        .get_template("handout.html")
        .render(
            title=deck.title,
            slides=slides,
            chapter=chapter_text(notebook),
            fonts=vendor.fonts(),
            code_css=render.code_styles(),
            css=text("slides.css"),
            print_css=text("handout.css"),
        )
    )


def chapter_text(notebook: Path) -> str:
    """The notebook as HTML: prose, code and outputs."""
    nb = nbformat.read(notebook, as_version=4)
    made = []
    for cell in nb.cells:
        if set(cell.metadata.get("tags", [])) & set(HIDDEN):
            continue
        if cell.cell_type == "markdown":
            made.append(render.prose(cell.source))
            continue
        if "claims" not in cell.metadata.get("tags", []):
            made.append(render.code(cell.source))
        for part in decks.outputs(cell):
            if part.kind == "widget":
                made.append(strip(part))
            elif part.kind == "picture":
                made.append(f'<figure class="still">{picture(part)}</figure>')
            else:
                made.append(render.piece(part, notebook.stem))
    return "\n".join(made)


def picture(part: Part) -> str:
    return f'<img alt="" src="data:image/png;base64,{part.content}">'


def build(notebooks: list[Path], folder: Path) -> list[Path]:
    """Print the handouts of these chapters, and return the paths of the PDFs."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    made = []
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as work:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for notebook in notebooks:
            source = Path(work) / f"{notebook.stem}.html"
            source.write_text(page(notebook), encoding="utf-8")
            shown = browser.new_page(viewport={"width": PAPER, "height": 1000})
            shown.emulate_media(media="print")
            shown.goto(source.as_uri(), wait_until="load")
            shown.evaluate("document.fonts.ready.then(() => 0)")
            shown.evaluate(NARROWER)
            target = folder / f"{notebook.stem}.pdf"
            shown.pdf(path=target, format="A4", print_background=True, prefer_css_page_size=True)
            shown.close()
            made.append(target)
            print(f"{target.name}: {target.stat().st_size / 1e6:.1f} MB")
        browser.close()
    return made
