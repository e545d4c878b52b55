"""Build the website from the saved notebooks, without executing them or downloading anything.

python tools/site/build.py [FOLDER]      writes the site into FOLDER (default: build/site)

The notebooks and pages are copied into a source folder and prepared for reading: setup code is
folded, links and alternative texts are added, and widgets get the current script. Then Sphinx
builds the site. In addition, `toygan.html` is written as a single file that can be sent by mail.
"""

from __future__ import annotations

import argparse
import io
import json
import posixpath
import re
import shutil
import sys
import time
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
from jinja2 import Environment, FileSystemLoader
from nbformat import NotebookNode

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))  # so that the widgets are found even if the course is not installed

# The pages in docs/, in the order in which they are listed. Pages that do not exist are left out,
# and pages that are not named here come last.
TEACH = (
    "teaching",
    "installing",
    "homework",
    "hub",
    "measurements",
    "time_to_likelihood",
    "training_on_many",
    "accessibility",
    "contributing",
    "house",
)
LOOK_UP = ("glossary", "errata")

LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)\s#]+)(#[^)\s]*)?(?=\))")
TO_GLOSSARY = re.compile(r"\[([^]]*)\]\(\.\./docs/glossary\.md#[^)]*\)")
# Code and formulas.
VERBATIM = re.compile(r"(```.*?```|``.*?``|\$\$.*?\$\$|\$[^$]*\$|`[^`]*`)", re.DOTALL)
HYPHEN = re.compile(r"(?<=[\s(])-(?=\d)|(?<=\de)-(?=\d)")
PICTURES = ("image/png", "image/jpeg", "image/svg+xml")
FOLDED = {
    "imports": "the imports",
    "parameters": "the settings",
    "check": "the check",
    "claims": "how the table is made",
}


def repository() -> str:
    """Return owner/name from pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"].removeprefix("https://github.com/")


def address() -> str:
    """Return the URL of the site on GitHub Pages, or "" as long as the owner is a placeholder."""
    owner, name = repository().split("/")
    return "" if owner == "OWNER" else f"https://{owner.lower()}.github.io/{name}/"


# ---------------------------------------------------------------- notebooks


def chapters() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def launch(chapter: Path) -> str:
    """Links to places where the chapter can be run, as a line of HTML."""
    path = f"notebooks/{chapter.name}"
    in_lab = quote(f"lab/tree/{path}", safe="")
    colab = f"https://colab.research.google.com/github/{repository()}/blob/main/{path}"
    binder = f"https://mybinder.org/v2/gh/{repository()}/main?urlpath={in_lab}"
    return (
        f'<p class="launch"><a href="{colab}">Open in Colab</a> '
        f'<a href="{binder}">Open in Binder</a> '
        f'<a href="{chapter.name}" download>Download the notebook</a></p>'
    )


def fold(cell: NotebookNode) -> None:
    """Fold cells that most readers do not need: imports, settings and checks."""
    tags = cell.metadata.get("tags", [])
    named = next((words for tag, words in FOLDED.items() if tag in tags), None)
    if named is None:
        return
    hide = "hide-cell" if "check" in tags else "hide-input"
    cell.metadata["tags"] = [*tags, hide]
    prompts = {"code_prompt_show": f"Show {named}", "code_prompt_hide": f"Hide {named}"}
    cell.metadata["mystnb"] = prompts


def join_imports(nb: NotebookNode) -> None:
    """Join the cells with imports, so that the page shows a single folded cell."""
    imports = [cell for cell in nb.cells if "imports" in cell.metadata.get("tags", [])]
    for cell in imports[1:]:
        imports[0].source += f"\n\n{cell.source}"
        nb.cells.remove(cell)


def describe(nb: NotebookNode) -> None:
    """Give each picture without an alternative text one that identifies the picture."""
    heading, number = "", 0
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            for line in re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE):
                heading, number = line.replace("$", ""), 0
        for output in cell.get("outputs", []):
            for kind in PICTURES:
                if kind in output.get("data", {}):
                    number += 1
                    text = f"Figure {number} of the section “{heading}”"
                    output.metadata.setdefault(kind, {}).setdefault("alt", text)


def renew_widgets(nb: NotebookNode) -> None:
    """Give each saved widget the current script, so that corrections to a widget reach its page."""
    from course_lib import widgets  # imported late, because it imports torch

    for cell in nb.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            kind = getattr(widgets, data.get("text/plain", "").removesuffix("(…)"), None)
            if "data-course=" in data.get("text/html", "") and kind is not None:
                data["text/html"] = kind.renewed(data["text/html"])


def linked(text: str, folder: str) -> str:
    """Redirect links in Markdown to files outside the site to the repository.

    Links to the glossary become plain text, because the site and the slides add their own.
    """

    def lead(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[1]))
        shown = path.endswith((".ipynb", ".md")) and path.startswith(("notebooks/", "docs/"))
        if (shown and path.count("/") == 1) or Path(path).suffix in (".png", ".svg", ".jpg"):
            return match[0]
        return f"https://github.com/{repository()}/blob/main/{path}{match[2] or ''}"

    return LINK.sub(lead, TO_GLOSSARY.sub(r"\1", text))


def with_minus_signs(text: str) -> str:
    """Replace the hyphens of negative numbers with minus signs in Markdown printed by code.

    This includes negative exponents, as in 1e-5.
    """
    parts = VERBATIM.split(text)
    parts[::2] = [HYPHEN.sub("\N{MINUS SIGN}", part) for part in parts[::2]]
    return "".join(parts)


def prepared(chapter: Path) -> NotebookNode:
    """Return a chapter as the site shows it."""
    nb = nbformat.read(chapter, as_version=4)
    title, _, rest = nb.cells[0].source.partition("\n")
    nb.cells[0].source = f"{title}\n\n{launch(chapter)}\n{rest}"
    join_imports(nb)
    describe(nb)
    renew_widgets(nb)
    for cell in nb.cells:
        if cell.cell_type == "code":
            fold(cell)
            for output in cell.outputs:
                data = output.get("data", {})
                if "text/markdown" in data:
                    data["text/markdown"] = with_minus_signs(data["text/markdown"])
        else:
            cell.source = linked(cell.source, "notebooks")
    return nb


# ---------------------------------------------------------------- the source folder


def pages(names: tuple[str, ...]) -> list[str]:
    return [f"docs/{name}" for name in names if (ROOT / "docs" / f"{name}.md").exists()]


def stage(source: Path) -> None:
    """Write the source files for Sphinx."""
    for folder in ("notebooks", "docs"):
        (source / folder).mkdir(parents=True)
    for chapter in chapters():
        nbformat.write(prepared(chapter), source / "notebooks" / chapter.name)
    shutil.copytree(ROOT / "notebooks" / "images", source / "notebooks" / "images")
    for page in (ROOT / "docs").glob("*.md"):
        text = linked(page.read_text(encoding="utf-8"), "docs")
        (source / "docs" / page.name).write_text(text, encoding="utf-8")
    others = sorted({page.stem for page in (ROOT / "docs").glob("*.md")} - {*TEACH, *LOOK_UP})
    index = Environment(keep_trailing_newline=True).from_string(
        (HERE / "index.md").read_text(encoding="utf-8")
    )
    text = index.render(
        chapters=[f"notebooks/{chapter.stem}" for chapter in chapters()],
        teach=pages((*TEACH, *others)),
        look_up=pages(LOOK_UP),
    )
    (source / "index.md").write_text(text, encoding="utf-8")
    shutil.copy(HERE / "bibliography.md", source)


# ---------------------------------------------------------------- the toy GAN's own page


def toy_gan() -> str:
    """The ToyGAN widget as a self-contained page."""
    from course_lib.toy_gan import PRESETS
    from course_lib.toy_gan.settings import CHOICES, NUMBERS, WHOLE
    from course_lib.widgets import ToyGAN
    from course_lib.widgets.toy_gan import listed, tables

    template = Environment(loader=FileSystemLoader(HERE)).get_template("toygan.html")
    state = {
        "presets": [shown | {"rounds": PRESETS[shown["name"]].rounds} for shown in listed()],
        "tables": tables(),
        "plain": True,
        "begin": PRESETS["balanced"].settings.to_json(),
        "choices": CHOICES,
        "numbers": NUMBERS | WHOLE,
        "whole": list(WHOLE),
    }
    script = re.sub(r"^export .*;$", "", ToyGAN.source, flags=re.MULTILINE)
    gif = (HERE / "vendor" / "gifenc.js").read_text(encoding="utf-8")
    return template.render(
        address=address(),
        style=(HERE / "toygan.css").read_text(encoding="utf-8"),
        gif=as_constants(gif),
        widget=script.replace("</script", "<\\/script"),
        state=json.dumps(state, separators=(",", ":")).replace("<", "\\u003c"),
        script=(HERE / "toygan.js").read_text(encoding="utf-8"),
        icon=quote((HERE / "static" / "favicon.svg").read_text(encoding="utf-8")),
    )


def as_constants(module: str) -> str:
    """Embed a JavaScript module in another: exports become constants, and all else stays local."""
    body, listed = re.fullmatch(r"(.*)export\{([^}]*)\};?\s*", module, re.DOTALL).groups()
    pairs = [pair.split(" as ") for pair in listed.split(",") if not pair.endswith(" as default")]
    inside = ", ".join(f"{name}: {own}" for own, name in pairs)
    outside = ", ".join(name for _, name in pairs)
    return f"const {{ {outside} }} = (() => {{\n{body}\nreturn {{ {inside} }};\n}})();"


def card(path: Path, title: str, line: str, picture: Any) -> None:
    """Write the preview picture for shared links, 1200×630: two lines of text above an image."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.3), dpi=100)
    figure.text(0.04, 0.86, title, size=44, weight="bold")
    figure.text(0.04, 0.75, line, size=22)
    axes = figure.add_axes((0.03, 0.04, 0.94, 0.64))
    axes.imshow(picture)
    axes.axis("off")
    figure.savefig(path)


def cards(folder: Path) -> None:
    """Write the card of the course, and one for the toy GAN that shows moments of a fair game."""
    from matplotlib.image import imread

    from course_lib.widgets import ToyGAN

    course = imread(ROOT / "notebooks" / "images" / "course.png")
    line = "From mixtures and EM to VAEs and GANs"
    card(folder / "card.png", "Deep generative models", line, course)
    game = io.BytesIO()
    ToyGAN("balanced").strip().savefig(game, dpi=100)
    game.seek(0)
    line = "A one-dimensional GAN that learns before your eyes"
    card(folder / "card-toygan.png", "Green tries to look like black", line, imread(game))


# ---------------------------------------------------------------- all of it


def build(folder: Path) -> int:
    """Write the site into the folder. Returns 0 if Sphinx reported no problems."""
    from sphinx.application import Sphinx
    from sphinx.util.console import nocolor

    source = folder.with_name(f"{folder.name}-source")
    for old in (source, folder):
        shutil.rmtree(old, ignore_errors=True)
    stage(source)
    nocolor()
    paths = [str(path) for path in (source, HERE, folder, source / ".doctrees")]
    app = Sphinx(*paths, "html", freshenv=True, status=None)
    app.build()
    for chapter in chapters():
        shutil.copy(chapter, folder / "notebooks")
    (folder / "toygan.html").write_text(toy_gan(), encoding="utf-8")
    cards(folder / "_static")
    (folder / ".nojekyll").touch()  # otherwise GitHub Pages omits folders whose names begin with _
    executed = folder.with_name("jupyter_execute")  # where myst-nb stores pictures
    for work in (source, executed):
        shutil.rmtree(work, ignore_errors=True)
    return app.statuscode


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the course's website.")
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=ROOT / "build" / "site",
        help="the output folder, which is replaced",
    )
    folder = parser.parse_args().folder.resolve()
    began = time.perf_counter()
    status = build(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    seconds = time.perf_counter() - began
    print(f"{folder}: {size / 1e6:.1f} MB in {seconds:.0f} s. Open index.html there.")
    return status


if __name__ == "__main__":
    sys.exit(main())
