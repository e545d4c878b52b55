"""A chapter as one HTML file that needs neither Python nor a network: formulas, pictures and widgets inside.

nbconvert's own page asks a CDN for MathJax, RequireJS and more; here formulas are MathML, which browsers draw
themselves, and the widgets of the course bring their own engine.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

# 4.5 : 1 at least on the cells' #f5f5f5, which JupyterLab's own colours miss; outputs that were saved with
# the old grey of "Not started" are mended as well.
STYLE = """
:root { --jp-mirror-editor-comment-color: #2f6363; --jp-mirror-editor-number-color: #006b00;
  --jp-mirror-editor-operator-color: #7d00c4; --jp-cell-prompt-not-active-opacity: 1; }
.highlight .ow { color: #7d00c4 }
span[style*="#7F7F7F"] { color: #595959 !important }
:focus-visible { outline: 3px solid #004B7A; outline-offset: 2px }
math { font-size: 118% }
"""
# What scrolls sideways can be scrolled with the keys, too.
SCRIPT = """
const wide = () => document.querySelectorAll("main :is(.jp-RenderedHTMLCommon, .jp-OutputArea-output, pre)")
  .forEach((e) => {
    if (e.scrollWidth > e.clientWidth && getComputedStyle(e).overflowX !== "visible") e.tabIndex = 0;
    else e.removeAttribute("tabindex");
  });
addEventListener("load", wide);
addEventListener("resize", wide);
"""
# the blocks of nbconvert's page that load something from elsewhere
TEMPLATE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock html_head_js -%}
{%- block jupyter_widgets -%}{%- endblock jupyter_widgets -%}
{%- block html_head_js_mathjax -%}{%- endblock html_head_js_mathjax -%}
{%- block html_head_js_mermaidjs -%}
<style>STYLE</style>
<script>SCRIPT</script>
{%- endblock html_head_js_mermaidjs -%}
""".replace("STYLE", STYLE).replace("SCRIPT", SCRIPT)


class Formulas(IPythonRenderer):
    """Markdown to HTML, with each formula as MathML."""

    def inline_math(self, body: str, display: str = "inline") -> str:
        formula = convert(body, display=display)
        # as TeX sets them: a little room before what a function is taken of
        return re.sub(r"(<mi>(?:log|exp|ln)</mi>)", r'\1<mspace width="0.17em"/>', formula)

    def block_math(self, body: str) -> str:
        return f"<p>{self.inline_math(body, 'block')}</p>"

    multiline_math = block_math

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        # nbconvert parses a heading for its anchor, which gives MathML a prefix that no browser knows
        return super().heading(text, level, **attrs).replace("ns0:", "").replace(":ns0", "")


class Offline(HTMLExporter):
    """nbconvert's page without anything that comes from elsewhere."""

    raw_template = TEMPLATE

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        return MarkdownWithMath(renderer=Formulas(escape=False, anchor_link_text="")).render(source)


def descriptions(nb: NotebookNode) -> list[str]:
    """A text for each picture, for those who do not see it: which one it is, and of which section."""
    found, heading, n = [], "", 0
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            headings = re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE)
            heading, n = (headings[-1], 0) if headings else (heading, n)
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}) and "text/html" not in output.data:
                n += 1
                found.append(f"Figure {n} of the section “{heading.replace('$', '')}”")
    return found


def renew_widgets(nb: NotebookNode) -> None:
    """Give each saved widget the script of today: what is mended in a widget is mended in its page."""
    from course_lib import widgets  # it imports torch, which most of build.py can do without

    for cell in nb.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            kind = getattr(widgets, data.get("text/plain", "").removesuffix("(…)"), None)
            if "data-course=" in data.get("text/html", "") and kind is not None:
                data["text/html"] = kind.renewed(data["text/html"])


def page(notebook: Path) -> str:
    """The HTML of a saved notebook; links to other chapters lead to their pages."""
    nb = nbformat.read(notebook, as_version=4)
    renew_widgets(nb)
    nb.metadata["title"] = nb.cells[0].source.splitlines()[0].lstrip("# ")
    html, _ = Offline().from_notebook_node(nb)
    texts = iter(descriptions(nb))
    html = re.sub(r"<th(?: [^>]*)?>\s*</th>", "<td></td>", html)  # a corner that names no row and no column
    html = re.sub("No description has been provided for this image", lambda _: next(texts), html)
    return re.sub(r'href="(\d\d_\w+)\.ipynb', r'href="\1.html', html)
