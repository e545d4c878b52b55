"""The figures and the table of "How good is a VAE?": what carries the message is drawn."""

import json

import matplotlib.pyplot as plt
import pytest
import torch

from course_lib.figures import likelihood as figures
from course_lib.models.vae import VAE
from course_lib.recipes import QUALITY


@pytest.fixture(autouse=True)
def close_figures():
    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def quality():
    return json.loads(QUALITY.read_text())


def labels_of(ax):
    return ax.get_legend_handles_labels()[1]


@pytest.mark.parametrize("figure", [figures.bound_and_integral, figures.mixture_and_integral])
def test_a_curve_ends_beside_the_exact_integral(figure):
    figure({1: torch.tensor([5.0, 7.0]), 50: torch.tensor([4.0, 4.0])}, torch.tensor([3.0, 5.0]))
    curve, line = plt.gca().lines
    assert list(curve.get_ydata()) == [6.0, 4.0]
    assert set(line.get_ydata()) == {4.0}
    assert "exact integral" in labels_of(plt.gca())


def test_each_image_is_a_point_beside_the_diagonal():
    figures.image_by_image(
        torch.tensor([1.0, 2, 3]), torch.tensor([1.5, 2, 2.5]), "seed 0", "seed 1"
    )
    ax = plt.gca()
    assert len(ax.collections[0].get_offsets()) == 3
    assert list(ax.lines[0].get_xdata()) == [1.0, 3.0]
    assert "seed 1" in ax.get_ylabel()


def test_each_protocol_has_two_bars_that_say_what_they_are():
    figures.protocols({"drawn": 110.0, "grey": 115.0}, {"drawn": 110.0, "grey": 112.0})
    ax = plt.gca()
    assert [bar.get_height() for bar in ax.patches] == [110.0, 115.0, 110.0, 112.0]
    assert labels_of(ax) == ["measured on its own pixels", "measured on drawn pixels"]
    assert "L_b" not in ax.get_ylabel()  # on grey pixels the loss is no bound


def test_the_table_states_the_protocol_of_the_paper_beside_ours(quality):
    best = {"epochs": 123, "test_nll": {"1": [82.6, 0.2], "5000": [81.58, 0.2]}}
    table = figures.beside_a_paper(quality, best)
    assert table.count("Burda et al. 2016") == 2
    assert "86.76" in table
    assert "| 123 | 82.60 | 81.58 |" in table
    assert "3 seeds" in table
    assert "k = 5,000" in table


def test_each_ingredient_has_a_bar_of_the_nats_it_bought(quality):
    lost = figures.ingredients(quality)
    ax = plt.gca()
    assert sorted(bar.get_width() for bar in ax.patches) == pytest.approx(sorted(lost.values()))
    assert lost["two layers of 500 in place of one of 400"] == pytest.approx(
        93.534 - 88.623, abs=1e-2
    )
    assert {text.get_text() for text in ax.get_yticklabels()} == set(lost)


def test_each_seed_is_a_point_and_each_prior_has_a_mean():
    figures.seeds({"normal": torch.tensor([1.0, 3.0]), "flower": torch.tensor([2.0, 2.5])})
    ax = plt.gca()
    assert [list(line.get_ydata()) for line in ax.lines] == [[1.0, 3.0], [2.0, 2.5]]
    assert [float(c.get_segments()[0][0, 1]) for c in ax.collections] == [2.0, 2.25]


def test_the_draws_from_each_prior_have_a_plane_of_their_own():
    figures.priors({"normal prior": torch.randn(7, 2), "flower prior": torch.randn(5, 2)})
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == ["normal prior", "flower prior"]
    assert [len(ax.collections[0].get_offsets()) for ax in axes] == [7, 5]
    assert axes[0].get_xlim() == axes[1].get_xlim()


def test_the_codes_lie_over_draws_from_the_prior():
    models = {
        name: VAE(shape=(4, 4), latent=2, hidden=(3,), prior=name) for name in ("normal", "flower")
    }
    figures.codes_over_prior(models, torch.rand(6, 16).round(), torch.arange(6) % 3)
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == ["normal prior", "flower prior"]
    assert len(axes[0].collections[0].get_offsets()) == 4_000
    assert len(axes[0].collections) == 1 + 3  # the prior, and the numerals of three labels


def test_each_sheet_stands_under_its_name():
    figures.sheets({"one": torch.rand(6, 16), "two": torch.rand(6, 16)}, (4, 4), columns=3)
    assert [ax.get_title() for ax in plt.gcf().axes] == ["one", "two"]
