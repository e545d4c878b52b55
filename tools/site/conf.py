"""The Sphinx configuration of the course's site, and the course's extensions of Sphinx.

`build.py` prepares the source folder and runs Sphinx.
"""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_nb.core.render import NbElementRenderer
from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from build import ROOT, address, repository  # noqa: E402
from formulas import formula  # noqa: E402

sys.path.append(str(ROOT / "notebooks"))  # at the end, because that folder also has a build.py
from glossary_links import forms  # noqa: E402

project = "Deep generative models"
author = "the course’s authors"
language = "en"
html_title = project
extensions = ["myst_nb", "sphinxcontrib.bibtex", "sphinx_copybutton"]
nb_execution_mode = "off"
nb_ipywidgets_js: dict[
    str, Any
] = {}  # the widgets include their scripts, and those of ipywidgets would come from a CDN
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
nb_render_markdown_format = "myst"  # also render tables and formulas in the outputs of cells
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]
bibtex_bibfiles = [str(HERE / "references.bib")]
bibtex_default_style = "plain"
exclude_patterns = [".doctrees"]
copybutton_selector = "div.cell_input pre, div.highlight-default pre, div.highlight-bash pre"

html_theme = "furo"
html_static_path = [str(HERE / "static")]
templates_path = [str(HERE / "templates")]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_favicon = str(HERE / "static" / "favicon.svg")
html_math_renderer = "mathml"
html_copy_source = False
html_show_copyright = False
html_use_index = False
html_theme_options = {
    "top_of_page_buttons": [],
    "light_css_variables": {
        "color-brand-primary": "#00527E",
        "color-brand-content": "#00527E",
        "color-brand-visited": "#00527E",
        "course-right": "#1F6AA5",
        "course-wrong": "#A84700",
        "course-quiet": "#595959",
    },
    "dark_css_variables": {
        "color-brand-primary": "#7CC4F0",
        "color-brand-content": "#7CC4F0",
        "color-brand-visited": "#7CC4F0",
        "course-right": "#7CC4F0",
        "course-wrong": "#FFA366",
        "course-quiet": "#B0B0B0",
    },
}
pygments_style = "a11y-light"
pygments_dark_style = "a11y-dark"
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "play.html",
        "sidebar/scroll-end.html",
    ]
}


# ---------------------------------------------------------------- formulas


def inline_formula(writer: Any, node: nodes.math) -> None:
    writer.body.append(formula(node.astext()))
    raise nodes.SkipNode


def block_formula(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="math">{formula(node.astext(), "block")}</div>')
    raise nodes.SkipNode


# ---------------------------------------------------------------- pictures

plain_image = NbElementRenderer.render_image


def described_image(self: NbElementRenderer, data: Any) -> list[nodes.Element]:
    """Render an image with the alternative text of its output.

    By itself, myst-nb reads only the alternative text of the cell.
    """
    made = plain_image(self, data)
    if alt := data.output_metadata.get(data.mime_type, {}).get("alt"):
        made[0]["alt"] = alt
    return made


# ---------------------------------------------------------------- links that are added to the text

TERM = re.compile(r"^### (.+)\n\n((?:.+\n)+)", re.MULTILINE)
CHAPTERS = re.compile(r"\b[Cc]hapters? \d\d(?:(?:, and |, | and | or | to )\d\d)*")
NAME = r"(?:(?:van den|van der|von|de) )?[A-Z][\w’'-]+"
AUTHORS = rf"{NAME}(?: et al\.|(?:, {NAME})*,? (?:&|and) {NAME})?"
CITED = re.compile(rf"\b({AUTHORS}),? \(?(\d{{4}})\b")
NOT_IN = (
    nodes.reference,
    nodes.literal,
    nodes.literal_block,
    nodes.title,
    nodes.raw,
    nodes.citation,
)


def slug(heading: str) -> str:
    return nodes.make_id(heading)


def glossary() -> dict[str, tuple[str, str]]:
    """Map each term, in lower case, to the anchor and the plain-text explanation of its entry."""
    path = ROOT / "docs" / "glossary.md"
    found = {}
    for term, text in TERM.findall(path.read_text(encoding="utf-8")) if path.exists() else []:
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", " ".join(text.split()))
        plain = re.sub(r"[*_`$]|\\(?=\w)", "", plain)
        for form in forms(term):
            found[form.lower()] = (slug(term), plain)
    return found


def cited_as(people: list[Any]) -> set[str]:
    """Return the ways in which a text may cite the authors of a work."""
    names = [" ".join([*person.prelast_names, *person.last_names]) for person in people]
    if len(names) == 1:
        return {names[0]}
    words = (" & ", " and ", ", & ", ", and ")
    whole = {f"{', '.join(names[:-1])}{word}{names[-1]}" for word in words}
    return whole | {f"{names[0]} et al."} if len(names) > 2 else whole


class Links:
    """The links of one page to chapters, to cited works, and, once per term, to the glossary."""

    def __init__(self, app: Sphinx, docname: str):
        self.uri = lambda target: app.builder.get_relative_uri(docname, target)
        self.words = {} if docname == "docs/glossary" else dict(self.known_words(app))
        self.chapters = {
            name.split("/")[1][:2]: name
            for name in app.env.found_docs
            if re.match(r"notebooks/\d\d_", name) and name != docname
        }
        self.works = {}
        for citation in app.env.get_domain("cite").citations:  # type: ignore[attr-defined]
            for authors in cited_as(citation.entry.persons["author"]):
                anchor = f"{self.uri('bibliography')}#{citation.citation_id}"
                self.works[authors, citation.entry.fields["year"]] = anchor

    @staticmethod
    def known_words(app: Sphinx) -> dict[str, tuple[str, str]]:
        return app.config.course_glossary

    def anchor(self, target: str, words: str, **attributes: str) -> str:
        more = "".join(f' {name}="{html.escape(value)}"' for name, value in attributes.items())
        return f'<a href="{html.escape(target)}"{more}>{html.escape(words)}</a>'

    def found(self, text: str) -> list[tuple[int, int, str]]:
        """Return (start, end, HTML) of each possible link in a text, in order, without overlaps."""
        links = []
        for match in CHAPTERS.finditer(text):
            for number in re.finditer(r"\d\d", match[0]):
                if name := self.chapters.get(number[0]):
                    start, end = match.start() + number.start(), match.start() + number.end()
                    start = match.start() if number.start() <= len("chapters ") else start
                    links.append((start, end, self.anchor(self.uri(name), text[start:end])))
        for match in CITED.finditer(text):
            if target := self.works.get((match[1], match[2])):
                end = match.end(2)
                links.append((match.start(), end, self.anchor(target, text[match.start() : end])))
        if self.words:
            either = "|".join(sorted(map(re.escape, self.words), key=len, reverse=True))
            for match in re.finditer(rf"\b({either})(?:s|es)?\b", text, re.IGNORECASE):
                entry = self.words.get(match[1].lower())
                if entry is None or any(a < match.end() and match.start() < b for a, b, _ in links):
                    continue
                self.words = {
                    word: other for word, other in self.words.items() if other[0] != entry[0]
                }
                target = f"{self.uri('docs/glossary')}#{entry[0]}"
                made = self.anchor(target, match[0], **{"class": "term", "data-tip": entry[1]})
                links.append((*match.span(), made))
        return sorted(links)


def add_links(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    if not docname.startswith(("notebooks/", "docs/")):
        return
    links = Links(app, docname)
    for text in list(doctree.findall(nodes.Text)):
        if any(isinstance(parent, NOT_IN) for parent in parents(text)):
            continue
        made, end, words = [], 0, str(text)
        for start, stop, code in links.found(words):
            made += [nodes.Text(words[end:start]), nodes.raw("", code, format="html")]
            end = stop
        if made:
            text.parent.replace(text, [*made, nodes.Text(words[end:])])


def parents(node: Any) -> list[Any]:
    found = []
    while node.parent is not None:
        node = node.parent
        found.append(node)
    return found


# ---------------------------------------------------------------- the head of a page


def head(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Add the metadata for shared links and for search engines."""
    title = re.sub(r"<[^>]+>", "", context.get("title", "")) or project
    text = (
        "A hands-on course: Gaussian mixtures and EM, "
        "the evidence lower bound, VAEs and GANs on MNIST."
    )
    if doctree is not None and page != "index":
        prose = (p.astext() for p in doctree.findall(nodes.paragraph))
        text = next((" ".join(p.split()) for p in prose if len(p) > 60), text)
    tags = {"og:type": "article", "og:site_name": project, "og:title": html.unescape(title)}
    tags["og:description"] = text if len(text) <= 200 else f"{text[:197].rsplit(' ', 1)[0]} …"
    if address():  # a card needs absolute URLs
        tags["og:url"] = f"{address()}{page}.html"
        tags["og:image"] = f"{address()}_static/card.png"
        shown = "a mixture fitted to a pinwheel, a bound, and digits"
        tags["og:image:alt"] = f"Pictures from the course: {shown}"
    escaped = {name: html.escape(value) for name, value in tags.items()}
    lines = [f'<meta property="{name}" content="{value}">' for name, value in escaped.items()]
    lines.append(f'<meta name="description" content="{escaped["og:description"]}">')
    lines.append('<meta name="twitter:card" content="summary_large_image">')
    context["metatags"] = context.get("metatags", "") + "\n".join(lines)
    context["repository"] = f"https://github.com/{repository()}"


def mend(app: Sphinx, failure: Exception | None) -> None:
    """Correct the HTML for screen readers.

    This concerns empty table headings, wrong names, and headings without a level.
    """
    if failure is None:
        for path in Path(app.outdir).rglob("*.html"):
            page = path.read_text(encoding="utf-8")
            mended = re.sub(r"<th(?: [^>]*)?>(?:\s|<p>|</p>)*</th>", "<td></td>", page)
            mended = mended.replace(' aria-label="Toggle hidden content"', "")
            mended = mended.replace(
                'class="caption" role="heading">', 'class="caption" role="heading" aria-level="2">'
            )
            if mended != page:
                path.write_text(mended, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    NbElementRenderer.render_image = described_image  # type: ignore[method-assign]
    app.add_html_math_renderer("mathml", (inline_formula, None), (block_formula, None))
    app.add_config_value("course_glossary", glossary(), "html")
    app.connect("doctree-resolved", add_links)
    app.connect("html-page-context", head)
    app.connect("build-finished", mend)
    return {"parallel_read_safe": False, "parallel_write_safe": False}
