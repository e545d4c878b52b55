"""The chapters as pages on disk: what nbconvert would fetch is inside, and nothing asks for a network."""

from __future__ import annotations

import re

import nbformat
import numpy as np
import pytest
import torch
from browser import Page
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_notebooks import build

from course_lib.checks.report import COLOUR
from course_lib.widgets import LatentExplorer

pytest_plugins = ["browser"]

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="


@pytest.fixture
def small(tmp_path):
    """The page of a notebook with formulas, two pictures and a link to another chapter."""
    picture = new_output("display_data", data={"image/png": PIXEL, "text/plain": "<Figure>"})
    cells = [
        new_markdown_cell("# 02 · The bound\n\nSee [chapter 01](01_mixtures.ipynb), not `$x$`; it is $L_b$:"),
        new_markdown_cell("## The gap $L_b$\n\n$$\n\\log P(x) = \\int \\frac{a}{b}\\,dz\n$$"),
        new_code_cell("1", outputs=[picture, picture], execution_count=1),
    ]
    path = tmp_path / "02_bound.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return build.page(path)


def test_formulas_become_mathml(small):
    assert small.count("<math") == small.count("</math>") == 3  # one in a line, one in a heading, one alone
    assert "ns0" not in small
    assert "<msub><mi>L</mi><mi>b</mi></msub>" in small
    assert '<mi>log</mi><mspace width="0.17em">' in small
    assert "<mfrac>" in small
    assert "$x$" in small  # in code it is no formula


def test_titles_links_and_descriptions(small):
    assert "<title>02 · The bound</title>" in small
    assert 'href="01_mixtures.html"' in small
    texts = re.findall('alt="(.*?)"', small)
    assert texts == [f"Figure {n} of the section “The gap L_b”" for n in (1, 2)]


def test_a_saved_widget_gets_the_script_of_today(tmp_path):
    """Its state and its picture stay; what it did not know when it was saved has its default."""
    widget = LatentExplorer(lambda z: torch.zeros(len(z), 5, 8), limits=2.5)
    data, _ = widget._repr_mimebundle_()
    old = data["text/html"].replace("const TILE = 11;", "const TILE = 7;").replace('"channels": 1, ', "")
    assert old != data["text/html"]
    output = new_output("display_data", data={"text/html": old, "text/plain": "LatentExplorer(…)"})
    path = tmp_path / "04_old.ipynb"
    nbformat.write(
        new_notebook(cells=[new_markdown_cell("# Old"), new_code_cell("1", outputs=[output])]), path
    )
    html = build.page(path)
    assert "const TILE = 11;" in html
    assert "const TILE = 7;" not in html
    assert '"channels": 1, ' in html
    assert '"limits": 2.5' in html
    assert data["image/png"] in html
    assert LatentExplorer.renewed("<p>nothing of ours</p>") == "<p>nothing of ours</p>"


def test_a_corner_without_words_is_no_heading(tmp_path):
    table = "# 01 · Table\n\n| | a |\n|---|---|\n| b | 1 |\n"
    path = tmp_path / "01_table.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell(table)]), path)
    html = build.page(path)
    assert not re.search(r"<th[^>]*>\s*</th>", html)
    assert "<th>a</th>" in html


def luminance(colour: str) -> float:
    part = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("status", COLOUR)
def test_a_verdict_can_be_read_on_white_and_on_a_dark_theme(status):
    light = luminance(COLOUR[status]) + 0.05
    assert (luminance("#FFFFFF") + 0.05) / light >= 4.5
    assert light / (luminance("#212121") + 0.05) >= 3


def test_nothing_is_loaded_from_elsewhere(small):
    assert not re.findall(r"""(?:src=|href=|url\(|import\(?)\s*["']?(?:https?:)?//""", small)


def test_the_command_writes_one_page_each(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(build, "PAGES", tmp_path / "pages")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    assert build.main(["pages", "08"]) == 0
    assert [p.name for p in (tmp_path / "pages").iterdir()] == ["08_gpu_kernels.html"]
    assert "08_gpu_kernels.html" in capsys.readouterr().out


@pytest.mark.parametrize("notebook", build.all_notebooks(), ids=lambda path: path.stem)
def test_a_chapter_on_disk_is_whole_without_a_network(notebook, chromium, tmp_path):
    nb = nbformat.read(notebook, as_version=4)
    outputs = [o.get("data", {}) for cell in nb.cells for o in cell.get("outputs", [])]
    alive = sum("data-course=" in data.get("text/html", "") for data in outputs)
    path = tmp_path / f"{notebook.stem}.html"
    path.write_text(build.page(notebook), encoding="utf-8")
    page, asked = Page(chromium, 1100, 900), []
    page.on("request", lambda r: asked.append(r.url) if r.url.startswith("http") else None)
    try:
        page.goto(path.as_uri(), wait_until="load")
        page.wait_for_function(
            "n => document.querySelectorAll('.course-widget canvas').length >= n", arg=alive
        )
        assert asked == []
        assert page.errors == []
        prose = "".join(page.locator(".jp-RenderedMarkdown :is(p, li, td):not(:has(code))").all_inner_texts())
        assert len(prose) > 1000
        assert not set("$\\") & set(prose)
        bad = "all => all.filter((e) => !e.complete || !e.naturalWidth || !e.alt).length"
        assert page.eval_on_selector_all("img", bad) == 0
        wide = "[...document.querySelectorAll('main, math, img, .course-widget')]"
        wide += ".filter((e) => e.getBoundingClientRect().right > innerWidth + 1).length"
        assert page.evaluate(wide) == 0  # nothing is cut off
    finally:
        page.close()
