"""Convert slides to HTML."""

from __future__ import annotations

import base64
import html
import importlib.util
import io
import json
import re
import sys
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from deck import PREDICT, Deck, Part, Slide
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from PIL import Image
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path += [str(ROOT), str(ROOT / "notebooks"), str(ROOT / "tools" / "site")]
import projector  # noqa: E402
from formulas import formula  # noqa: E402

# A formula and the text that follows it without a space; no line may break between them.
FORMULA_AND_MORE = re.compile(r'(<span class="math inline">(?:(?!</span>).)*</span>)([^\s<]+)')
LONG = 70  # characters; printed output with longer lines is set in smaller type
TYPE_OF_NOTEBOOK = 12.5  # pixels; the smallest type in a notebook's figure, 10 points at 90 dpi
BESIDE = 1.5  # a picture with a smaller ratio of width to height has its text next to it


# ---------------------------------------------------------------- text and code


@cache
def site() -> Any:
    """Import tools/site/build.py by its path, because another folder has a build.py as well."""
    path = ROOT / "tools" / "site" / "build.py"
    spec = importlib.util.spec_from_file_location("site_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def drawn_formula(tex: str, options: dict[str, bool]) -> str:
    if not options["display_mode"]:
        return formula(tex)
    return f'<div class="formula" tabindex="0">{formula(tex, "block")}</div>'


@cache
def reader() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": True, "typographer": True})
    markdown.enable(["table", "smartquotes"])
    return markdown.use(dollarmath_plugin, renderer=drawn_formula, double_inline=True)


def prose(text: str) -> str:
    """Convert Markdown to HTML.

    Links to chapters lead to their slides, and other links to the repository.
    """
    made = reader().render(site().with_minus_signs(site().linked(text, "notebooks")))
    made = FORMULA_AND_MORE.sub(r'<span class="together">\1\2</span>', made)
    return made.replace('.ipynb"', '.html"')


def code(source: str) -> str:
    lines = highlight(source, PythonLexer(), HtmlFormatter(nowrap=True)).rstrip("\n")
    return f'<pre class="code" tabindex="0"><code>{lines}</code></pre>'


def code_styles() -> str:
    """The colours of code in the light and in the dark theme, as CSS."""
    light = HtmlFormatter(style="a11y-light").get_style_defs('[data-theme="light"] .code')
    dark = HtmlFormatter(style="a11y-dark").get_style_defs('[data-theme="dark"] .code')
    return f"{light}\n{dark}"


# ---------------------------------------------------------------- pictures and widgets


@lru_cache(maxsize=512)
def picture_file(png: str, chapter: str) -> tuple[bytes, bool]:
    """Return the projector's version of a picture or, if there is none, the notebook's own.

    The second value is True for the projector's version. png: the notebook's picture, in base64.
    """
    path = projector.folder_of(ROOT / "notebooks" / chapter) / projector.name_of(png)
    if path.exists():
        return path.read_bytes(), True
    return base64.b64decode(png), False


def picture(part: Part, chapter: str) -> str:
    data, anew = picture_file(part.content, chapter)
    image = Image.open(io.BytesIO(data))
    wide, high = image.size
    fields = getattr(image, "text", {})
    small = fields.get(projector.TYPE, TYPE_OF_NOTEBOOK)
    encoded = base64.b64encode(data).decode()
    return (
        f'<figure class="picture{" anew" if anew else ""}"><img style="--ratio: {wide / high:.4f}" '
        f'data-type="{float(small):.1f}" '
        f'alt="{html.escape(part.alt)}" src="data:image/png;base64,{encoded}"></figure>'
    )


def ratio(part: Part, chapter: str) -> float:
    data, _ = picture_file(part.content, chapter)
    wide, high = Image.open(io.BytesIO(data)).size
    return wide / high


def renewed(part: Part) -> str:
    """Return a saved widget with the current script."""
    from course_lib import widgets  # imported late, because it imports torch

    kind: Any = getattr(widgets, part.alt, None)
    return kind.renewed(part.content) if kind is not None else part.content


def widget(part: Part) -> str:
    """A placeholder for a widget, which gets a frame when its slide is first shown."""
    state = json.dumps({"kind": part.alt, "html": renewed(part)}).replace("<", "\\u003c")
    return (
        f'<div class="live" data-kind="{part.alt}">'
        f'<script type="application/json">{state}</script></div>'
    )


# ---------------------------------------------------------------- slides


def piece(part: Part, chapter: str) -> str:
    if part.kind == "text":
        made = asked(part.content)
    elif part.kind == "code":
        return stepped(code(part.content), part)
    elif part.kind == "printed":
        long = " long" if max(map(len, part.content.splitlines() or [""])) > LONG else ""
        made = f'<pre class="printed{long}" tabindex="0">{html.escape(part.content)}</pre>'
    elif part.kind == "picture":
        return stepped(picture(part, chapter), part)
    elif part.kind == "widget":
        return widget(part)
    else:
        made = f'<div class="claims">{prose(part.content)}</div>'
    return stepped(made, part)


def stepped(made: str, part: Part) -> str:
    return f'<div class="fragment later">{made}</div>' if part.step else made


def asked(text: str) -> str:
    """Convert text to HTML, with its question, if any, in a box."""
    question = PREDICT.search(text)
    if question is None:
        return prose(text)
    before, after = text[: question.start()], text[question.start() :]
    return f'{prose(before)}<div class="ask">{prose(after)}</div>'


def kinds(slide: Slide, parts: list[Part], chapter: str) -> str:
    """The CSS classes of a slide for its contents and its layout.

    parts: the parts without the title.
    """
    held = {part.kind for part in parts}
    found = {f"with-{kind}" for kind in held}
    if slide.text.startswith("# "):
        found.add("opening")
    elif held <= {"text", "printed"} and not any("|---" in part.content for part in parts):
        found.add("words-only")
    shown = [part for part in parts if part.kind == "picture"]
    if len(shown) == 1 and len(held) > 1 and ratio(shown[0], chapter) < BESIDE:
        found.add("beside")
    return " ".join(sorted(found))


def split_title(slide: Slide) -> tuple[str, list[Part]]:
    """Return the heading as HTML, and the parts without the heading."""
    parts = list(slide.parts)
    first = parts[0]
    if first.kind == "text" and first.content.startswith("#"):
        heading, _, rest = first.content.partition("\n")
        parts[0] = Part("text", rest.strip(), first.step)
        if not rest.strip():
            parts = parts[1:]
        return prose(heading), parts
    return "", parts


def body(slide: Slide, chapter: str) -> str:
    """The HTML of a slide without its notes."""
    title, parts = split_title(slide)
    classes = kinds(slide, parts, chapter)
    if "beside" in classes.split():
        words = "".join(piece(part, chapter) for part in parts if part.kind != "picture")
        shown = "".join(piece(part, chapter) for part in parts if part.kind == "picture")
        inner = f'<div class="words">{words}</div>{shown}'
    else:
        inner = "".join(piece(part, chapter) for part in parts)
    return f'<div class="sheet {classes}">{title}<div class="body">{inner}</div></div>'


def notes(slide: Slide) -> str:
    """The notes as HTML, with headings no larger than the rest."""
    heading = re.compile(r"^#+ (.+)$", re.MULTILINE)
    return "".join(prose(heading.sub(r"**\1**", note)) for note in slide.notes)


def section(slide: Slide, chapter: str) -> str:
    return f'<section>{body(slide, chapter)}<aside class="notes">{notes(slide)}</aside></section>'


def sections(deck: Deck) -> str:
    """The HTML of all slides. Slides below another one are in the same section."""
    columns: list[list[str]] = []
    for slide in deck.slides:
        made = section(slide, deck.name)
        if slide.below and columns:
            columns[-1].append(made)
        else:
            columns.append([made])
    return "\n".join(
        column[0] if len(column) == 1 else f"<section>{''.join(column)}</section>"
        for column in columns
    )
