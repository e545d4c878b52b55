"""Make slides and handouts from the saved notebooks, without executing them.

python tools/slides/make.py [NB ...] [--out FOLDER]             write slides into build/slides
python tools/slides/make.py --handout [NB ...] [--out FOLDER]   write PDFs into build/handout

A file of slides is self-contained: it includes reveal.js, the fonts, the figures and the widgets.
reveal.js and the fonts are downloaded once with npm.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))
import deck as decks  # noqa: E402
import render  # noqa: E402
import vendor  # noqa: E402

NOTEBOOKS = ROOT / "notebooks"


def chosen(names: list[str]) -> list[Path]:
    """Return the notebooks whose names begin with one of `names`, or all if `names` is empty."""
    there = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not names:
        return there
    found = [path for path in there if any(path.stem.startswith(Path(name).stem) for name in names)]
    if not found:
        raise decks.SlideError(f"no notebook begins with {names[0]!r}")
    return found


def text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def environment() -> Environment:
    return Environment(loader=FileSystemLoader(HERE / "templates"), keep_trailing_newline=True)


def icon() -> str:
    return quote((ROOT / "tools" / "site" / "static" / "favicon.svg").read_text(encoding="utf-8"))


def in_script(script: str) -> str:
    """Escape a script for a page, so that nothing in it looks like the end of the script."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def page(deck: decks.Deck) -> str:
    return (
        environment()
        .get_template("deck.html")
        .render(
            title=deck.title,
            icon=icon(),
            fonts=vendor.fonts(),
            reveal_css=vendor.reveal("dist/reveal.css"),
            code_css=render.code_styles(),
            css=text("slides.css"),
            slides=render.sections(deck),
            reveal_js=in_script(vendor.reveal("dist/reveal.js")),
            notes_js=in_script(vendor.reveal("dist/plugin/notes.js")),
            script=text("theme.js") + text("slides.js"),
        )
    )


def front_page(all_decks: list[decks.Deck]) -> str:
    shown = [
        {"name": deck.name, "short": deck.title.partition(" · ")[2], "slides": deck.slides}
        for deck in all_decks
    ]
    return (
        environment()
        .get_template("index.html")
        .render(
            decks=shown,
            icon=icon(),
            fonts=vendor.fonts(),
            css=text("slides.css"),
            script=text("theme.js"),
        )
    )


def build(notebooks: list[Path], folder: Path) -> list[decks.Deck]:
    """Write the slides of these notebooks, and a front page for all notebooks that have slides."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [deck for deck in map(decks.read, notebooks) if deck.slides]
    for deck in made:
        (folder / f"{deck.name}.html").write_text(page(deck), encoding="utf-8")
    everything = [deck for deck in map(decks.read, chosen([])) if deck.slides]
    (folder / "index.html").write_text(front_page(everything), encoding="utf-8")
    return made


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NB")
    parser.add_argument(
        "--handout", action="store_true", help="write handouts as PDFs instead of slides"
    )
    parser.add_argument("--out", type=Path, help="the output folder")
    options = parser.parse_args(arguments)
    try:
        notebooks = chosen(options.names)
        if options.handout:
            import handout

            handout.build(notebooks, options.out or ROOT / "build" / "handout")
            return 0
        folder = options.out or ROOT / "build" / "slides"
        for deck in build(notebooks, folder):
            size = (folder / f"{deck.name}.html").stat().st_size / 1e6
            print(f"{deck.name}: {len(deck.slides)} slides, {size:.1f} MB")
        print(f"The front page is {folder / 'index.html'}.")
    except (decks.SlideError, vendor.VendorError) as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
