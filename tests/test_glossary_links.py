"""A chapter's text leads to the glossary where it first uses one of its words."""

import copy
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "notebooks"))
import glossary_links  # noqa: E402

CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


def linked(text: str, chapter: str = "04") -> str:
    nb = new_notebook(cells=[new_markdown_cell(text)])
    glossary_links.link(nb, chapter)
    return nb.cells[0].source


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_links_each_word_where_it_first_uses_it(path):
    nb = nbformat.read(path, as_version=4)
    again = copy.deepcopy(nb)
    glossary_links.link(again, path.stem[:2])
    assert [cell.source for cell in again.cells] == [cell.source for cell in nb.cells], (
        "build.py link adds it"
    )


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_each_link_leads_to_an_entry(path):
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    found = glossary_links.LINK_TO.findall(text)
    assert len(found) > 3
    assert len(set(found)) == len(found)  # each word once
    assert set(found) <= {glossary_links.anchor(heading) for heading in glossary_links.headings()}


def test_anchors_are_those_that_github_makes():
    assert glossary_links.anchor("evidence lower bound (ELBO)") == "evidence-lower-bound-elbo"
    assert glossary_links.anchor("Fréchet distance") == "fréchet-distance"
    assert (
        glossary_links.anchor("Jensen–Shannon divergence (JSD)") == "jensenshannon-divergence-jsd"
    )


def test_only_the_first_use_is_linked_in_either_of_its_forms():
    assert linked("A VAE. A variational auto-encoder.") == (
        "A [VAE](../docs/glossary.md#variational-auto-encoder-vae). A variational auto-encoder."
    )
    assert linked("Two Priors.") == "Two [Priors](../docs/glossary.md#prior)."


def test_the_longer_word_counts():
    found = linked("Posterior collapse, then the posterior.")
    assert found.startswith(
        "[Posterior collapse](../docs/glossary.md#posterior-collapse), then the [posterior]"
    )
    assert linked(
        "[posterior collapse](../docs/glossary.md#posterior-collapse) is no posterior collapse"
    ) == ("[posterior collapse](../docs/glossary.md#posterior-collapse) is no posterior collapse")


@pytest.mark.parametrize(
    "text",
    [
        "`prior`",
        "$\\text{prior}$",
        "$$\\text{prior}$$",
        "```\nprior\n```",
        "# The prior",
        "| prior | 1 |",
        "[the prior](04_vae.ipynb)",
        "![prior](images/a.png)",
        "<span title='prior'>",
        "https://example.org/prior",
        "*Deep Priors, a prior for all seasons*",
        "a-prior-like thing",
    ],
)
def test_no_link_in_code_formulas_links_headings_tables_and_titles(text):
    assert linked(text) == text


def test_a_word_that_means_something_else_in_a_chapter_is_left_alone():
    assert linked("a generator", "09") == "a generator"
    assert linked("a generator", "08") != "a generator"


def test_a_paragraph_is_wrapped_anew_and_formulas_stay_whole():
    words = " ".join(["word"] * 20)
    found = linked(f"{words} prior $a = b + c$ {words}\n{words}")
    assert max(map(len, found.split("\n"))) <= glossary_links.WIDTH
    assert "$a = b + c$" in found
    assert found.replace("\n", " ").count("word") == 60
