"""The site as files: every link leads somewhere, nothing comes from elsewhere or is too large."""

from __future__ import annotations

import importlib.util
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import numpy as np
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from site_folder import BUILD, ROOT
from test_notebooks import build

from course_lib.checks.report import COLOUR
from course_lib.widgets import ElboBars

pytest_plugins = ["browser", "site_folder"]

LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("link", "href")}
LARGEST = {"chapter": 1_500_000, "toygan.html": 400_000, "shared": 600_000}
CITED = re.compile(r"\b([A-Z][\w’-]+(?: et al\.| & [A-Z][\w’-]+)) (\d{4})\b")


class Reader(HTMLParser):
    """What a page has and what it asks for."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.lang: str | None = None
        self.title = ""
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if found.get("id"):
            self.ids.add(str(found["id"]))
        if tag == "html":
            self.lang = found.get("lang")
        if tag == "img":
            self.images.append(found)
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        for element, name in LOADED:
            if (
                tag == element
                and found.get(name)
                and found.get("rel") not in ("next", "prev", "search", "index", "canonical")
            ):
                self.loads.append(str(found[name]))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "title" and not self.title:
            self.title = data.strip()


@pytest.fixture(scope="module")
def pages(site) -> dict[str, Reader]:
    """Every page of the site, by its path."""
    return {
        path.relative_to(site).as_posix(): Reader(path.read_text(encoding="utf-8"))
        for path in sorted(site.rglob("*.html"))
        if "_static" not in path.parts
    }


CHAPTERS = [f"notebooks/{path.stem}.html" for path in build.all_notebooks()]


def test_every_chapter_and_every_document_has_its_page(pages):
    documents = [f"docs/{path.stem}.html" for path in (ROOT / "docs").glob("*.md")]
    expected = [
        "index.html",
        "bibliography.html",
        "search.html",
        "toygan.html",
        *CHAPTERS,
        *documents,
    ]
    assert set(expected) <= set(pages)


def test_every_link_and_every_anchor_leads_somewhere(site, pages):
    broken = []
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (site / name).parent / unquote(parts.path) if parts.path else site / name
            path = target.resolve()
            if not path.is_file():
                broken.append(f"{name}: {link}")
                continue
            known = pages.get(path.relative_to(site.resolve()).as_posix())
            if parts.fragment and known is not None and unquote(parts.fragment) not in known.ids:
                broken.append(f"{name}: {link}")
    assert broken == []


def test_nothing_is_loaded_from_another_machine(site, pages):
    for name, page in pages.items():
        assert [link for link in page.loads if urlsplit(link).netloc] == [], name
        text = (site / name).read_text(encoding="utf-8")
        assert not re.search(r"(?:url\(|import\(?|fetch\()\s*[\"']?(?:https?:)?//", text), name
    for sheet in site.rglob("*.css"):
        assert not re.search(
            r"url\(\s*[\"']?(?:https?:)?//|@import", sheet.read_text(encoding="utf-8")
        ), sheet


def test_pages_have_a_language_a_title_and_pictures_with_words(pages):
    titles = [page.title for page in pages.values()]
    assert all(titles)
    assert len(set(titles)) == len(titles)
    for name, page in pages.items():
        assert page.lang == "en", name
        assert [image for image in page.images if not image.get("alt")] == [], name


def test_the_words_for_a_picture_are_the_author_s(site, pages):
    """What a chapter says of its pictures is in its page; others are numbered in their section."""
    for chapter, path in zip(CHAPTERS, build.all_notebooks(), strict=True):
        shown = {image.get("alt") for image in pages[chapter].images}
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                alt = output.get("metadata", {}).get("image/png", {}).get("alt")
                if alt and "text/html" not in output.data:
                    assert alt in shown


def weight(site: Path, name: str, page: Reader) -> tuple[int, int]:
    """Bytes of a page with its own pictures, and of the files that it shares with other pages."""
    links = [link for link in page.loads if not link.startswith("data:")]
    files = {((site / name).parent / unquote(urlsplit(link).path)).resolve() for link in links}
    files = {path for path in files if path.is_file()}
    shared = {path for path in files if "_static" in path.parts}
    own = (site / name).stat().st_size + sum(path.stat().st_size for path in files - shared)
    return own, sum(path.stat().st_size for path in shared)


def test_a_visitor_on_a_slow_line_waits_no_longer_than_promised(site, pages):
    for name in CHAPTERS:
        own, shared = weight(site, name, pages[name])
        assert own <= LARGEST["chapter"], name
        assert shared <= LARGEST["shared"], name
    assert (site / "toygan.html").stat().st_size <= LARGEST["toygan.html"]
    assert pages["toygan.html"].loads == [
        link for link in pages["toygan.html"].loads if link.startswith("data:")
    ]


def test_a_chapter_says_where_it_can_be_run(site, pages):
    for name, path in zip(CHAPTERS, build.all_notebooks(), strict=True):
        links = " ".join(pages[name].links)
        assert f"colab.research.google.com/github/{slug()}/blob/main/notebooks/{path.name}" in links
        assert f"mybinder.org/v2/gh/{slug()}/main" in links
        assert (site / "notebooks" / path.name).read_bytes() == path.read_bytes()


def slug() -> str:
    return re.search(
        r'Repository = "https://github.com/(.+)"', (ROOT / "pyproject.toml").read_text()
    )[1]


def test_set_up_and_checks_are_folded(site):
    for name, path in zip(CHAPTERS, build.all_notebooks(), strict=True):
        cells = nbformat.read(path, as_version=4).cells
        folded = [c for c in cells if {"parameters", "check"} & set(c.metadata.get("tags", []))]
        text = (site / name).read_text(encoding="utf-8")
        assert len(re.findall(r'<details class="[^"]*\bhide\b', text)) > len(folded) > 0
        assert text.count("Show the imports") == 1


def test_formulas_are_mathml(site):
    for name in CHAPTERS:
        text = (site / name).read_text(encoding="utf-8")
        prose = re.sub(
            r"<(script|style|pre|code|math)\b.*?</\1>|<[^>]+>", " ", text, flags=re.DOTALL
        )
        assert not re.search(r"\\(?:frac|log|sum|int|mathbf|left|mathrm)\b|\$", prose), name
    assert sum((site / name).read_text(encoding="utf-8").count("<math") for name in CHAPTERS) > 50


def test_numbers_that_code_has_written_get_a_true_minus_sign(builder):
    text = "The gap is -8.9 (-0.1 to -3) in pages 3-9 of a two-digit k-1, $x -1$ and `y -1`."
    text += "\n\n$$a = -1$$\n\n```\nb = -1\n```\n\nand -1e-09"
    made = (
        "The gap is \u22128.9 (\u22120.1 to \u22123) in pages 3-9 of a two-digit k-1, $x -1$ and "
        "`y -1`."
    )
    made += "\n\n$$a = -1$$\n\n```\nb = -1\n```\n\nand \u22121e\u221209"
    assert builder.with_minus_signs(text) == made


def test_a_link_out_of_the_site_keeps_its_anchor(builder):
    """Files that have no page here are shown by the repository, at the same place."""
    text = "[a](../course_lib/plots.py#L3) [b](../README.md) "
    text += "[c](glossary.md#elbo) [d](../notebooks/04_vae.ipynb#loss)"
    made = builder.linked(text, "docs")
    address = f"https://github.com/{slug()}/blob/main"
    assert f"[a]({address}/course_lib/plots.py#L3)" in made
    assert f"[b]({address}/README.md)" in made
    assert "[c](glossary.md#elbo)" in made
    assert "[d](../notebooks/04_vae.ipynb#loss)" in made


def test_whoever_is_cited_is_in_the_bibliography(site):
    """An author and a year that a chapter names lead to the bibliography."""
    missing = []
    for name in CHAPTERS:
        text = (site / name).read_text(encoding="utf-8")
        article = re.sub(
            r"<(script|style|pre|math)\b.*?</\1>",
            " ",
            text.split('role="main"')[1],
            flags=re.DOTALL,
        )
        without = re.sub(r"<a\b.*?</a>", " ", article, flags=re.DOTALL).replace("&amp;", "&")
        missing += [
            f"{name}: {' '.join(found)}" for found in CITED.findall(re.sub(r"<[^>]+>", "", without))
        ]
    assert missing == []


def test_words_of_the_glossary_explain_themselves(site, pages):
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (.+)$", glossary, re.MULTILINE)
    assert len(headings) >= 40
    assert headings == sorted(headings, key=str.lower)
    terms, _, symbols = glossary.partition("\n## Symbols\n")
    assert symbols
    entries = re.split(r"^### .+$", terms, flags=re.MULTILINE)[1:]
    assert all(re.search(r"\(Chapter \d\d\)\s*$", entry) for entry in entries)
    page = site / "notebooks" / f"{build.all_notebooks()[2].stem}.html"
    text = page.read_text(encoding="utf-8")
    tips = re.findall(r'<a href="([^"]+)" class="term" data-tip="([^"]+)">', text)
    assert len(tips) > 5
    assert len({link for link, _ in tips}) == len(tips)  # each word once a page


@pytest.fixture(scope="module")
def builder():
    """The site's build.py, under a name of its own: the notebooks have a build.py too."""
    spec = importlib.util.spec_from_file_location("build_of_the_site", BUILD)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_saved_widget_gets_the_script_of_today(builder, tmp_path):
    """Its state and its picture stay; what it did not know when it was saved has its default."""
    data, _ = ElboBars()._repr_mimebundle_()
    old = data["text/html"].replace("const COLOUR", "const OLD_COLOUR")
    output = new_output("display_data", data={"text/html": old, "text/plain": "ElboBars(…)"})
    path = tmp_path / "04_old.ipynb"
    nbformat.write(
        new_notebook(cells=[new_markdown_cell("# Old"), new_code_cell("1", outputs=[output])]), path
    )
    html = builder.prepared(path).cells[1].outputs[0].data["text/html"]
    assert "OLD_COLOUR" in old
    assert "OLD_COLOUR" not in html
    assert data["image/png"] in html


def luminance(colour: str) -> float:
    part = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("status", COLOUR)
def test_a_verdict_can_be_read_on_white_and_on_a_dark_theme(status):
    light = luminance(COLOUR[status]) + 0.05
    assert (luminance("#FFFFFF") + 0.05) / light >= 4.5
    assert light / (luminance("#212121") + 0.05) >= 3
    sheet = (BUILD.parent / "static" / "site.css").read_text(encoding="utf-8")
    # the site has a shade of its own for each ground
    assert f'[style*="{COLOUR[status]}"]' in sheet


def test_the_address_of_a_fork_reaches_cards_and_links(builder, tmp_path, monkeypatch):
    """The site takes its address from the one place that holds it."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    text = text.replace(slug(), "Someone/their.course")
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(builder, "ROOT", tmp_path)
    assert builder.repository() == "Someone/their.course"
    assert builder.address() == "https://someone.github.io/their.course/"


def test_the_workflow_publishes_what_make_site_builds():
    workflow = yaml.safe_load(
        (ROOT / ".github" / "workflows" / "site.yml").read_text(encoding="utf-8")
    )
    assert set(workflow["jobs"]) == {"build", "publish"}
    steps = workflow["jobs"]["build"]["steps"]
    assert "make site" in [step.get("run") for step in steps]
    used = [
        step["uses"].split("@")[0]
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if "uses" in step
    ]
    assert used == [
        "actions/checkout",
        "actions/setup-python",
        "actions/upload-pages-artifact",
        "actions/deploy-pages",
    ]
    (upload,) = [step for step in steps if "upload-pages" in step.get("uses", "")]
    assert upload["with"]["path"] == "build/site"
    assert workflow["permissions"] == {"contents": "read", "pages": "write", "id-token": "write"}
