"""The figures of "Gaussian mixtures and EM", on tiny inputs: what carries the message is there."""

import matplotlib.pyplot as plt
import pytest
import torch

from course_lib.figures import mixtures as figures

GENERATOR = torch.Generator().manual_seed(0)
GRID = torch.linspace(-3, 3, 20)
CURVE = torch.exp(-(GRID**2))
POINTS = torch.randn(12, 2, generator=GENERATOR, dtype=torch.float64)
RESP = torch.rand(12, 2, generator=GENERATOR, dtype=torch.float64)
RESP /= RESP.sum(1, keepdim=True)
HALF = torch.full((2,), 0.5, dtype=torch.float64)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def axes():
    return plt.gcf().axes


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_densities_stand_above_a_histogram():
    figures.density(GRID, {"truth": CURVE, "one Gaussian": CURVE / 2}, POINTS[:, 0])
    assert labels(axes()[0]) == ["samples", "truth", "one Gaussian"]


def test_both_ways_to_sample_stand_beside_each_other():
    figures.two_ways_to_sample(GRID, CURVE, POINTS[:, 0], POINTS[:, 1])
    assert [ax.get_title() for ax in axes()] == ["ancestral sampling", "one draw of each, averaged"]


def test_steps_of_em_say_their_number_and_their_log_likelihood():
    trace = [(HALF, POINTS[:2, 0], HALF, RESP)] * 4
    figures.em_steps_1d(POINTS[:, 0], trace, [-4.0, -3.0, -2.5, -2.0], steps=(0, 1, 2, 3))
    assert axes()[0].get_title() == "step 0: −4.000 nats"
    flat = [(HALF, POINTS[:2], torch.eye(2).double().expand(2, 2, 2), RESP)] * 3
    figures.em_steps_2d(POINTS, flat, [-4.0, -3.0, -2.5], steps=(0, 2))
    assert [ax.get_title() for ax in axes()] == ["step 0: −4.000 nats", "step 2: −2.500 nats"]
    assert all(len(ax.patches) == 4 for ax in axes())  # two ellipses for each of two Gaussians


def test_the_log_likelihood_leaves_out_the_first_leap():
    figures.log_likelihood([-9.0, -3.0, -2.0], truth=-1.5)
    curve, truth = axes()[0].lines
    assert list(curve.get_xdata()) == [1, 2]
    assert list(truth.get_ydata()) == [-1.5, -1.5]


def test_each_kind_of_start_has_a_row_with_all_its_ends():
    figures.where_starts_end({"random points": [-2.0, -1.0], "k-means": [-1.0, -1.0]}, truth=-0.9)
    ax = axes()[0]
    assert [len(line.get_xdata()) for line in ax.lines[:2]] == [2, 2]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["random points", "k-means"]


def test_a_panel_for_each_common_width():
    figures.hardening(POINTS, {1.5: (POINTS[:2], RESP), 0.01: (POINTS[:2], RESP)})
    assert [ax.get_title() for ax in axes()] == ["σ = 1.5", "σ = 0.01"]


def test_the_spike_shrinks_to_the_right():
    figures.spike(torch.logspace(0, -10, 5), torch.arange(5.0))
    left, right = axes()[0].get_xlim()
    assert left > right


def test_fitted_and_fresh_points_are_told_apart():
    figures.price_of_narrowness([1e-6, 1.0], -torch.rand(2, 3), -2 - torch.rand(2, 3))
    assert labels(axes()[0]) == ["points used for the fit", "fresh points"]


def test_densities_of_several_sizes_keep_the_truth_in_sight():
    figures.fitted_densities(GRID, CURVE, {1: CURVE.log(), 8: CURVE.log()})
    assert [ax.get_title() for ax in axes()] == ["K = 1", "K = 8"]
    assert all(len(ax.collections) == 1 for ax in axes())


def test_kl_is_drawn_beside_the_price_of_finite_data():
    figures.kl_and_price({1: 0.3, 2: 0.1}, [0.001, 0.002])
    assert [text.get_text() for text in axes()[0].get_xticklabels()] == ["1", "2"]
    assert len(axes()[0].lines) == 2


def test_bic_touches_zero_where_it_is_lowest():
    figures.bic_curves(range(2, 5), [[30.0, 10.0, 20.0]], truth=3)
    lowest = axes()[0].lines[1]
    assert (float(lowest.get_xdata()[0]), float(lowest.get_ydata()[0])) == (3.0, 0.0)


def test_digit_likelihoods_are_costs():
    figures.digit_likelihoods({1: -30.0, 4: -25.0}, {1: -31.0, 4: -26.0}, {1: 32.0, 4: 29.0})
    ax = axes()[0]
    assert list(ax.lines[0].get_ydata()) == [30.0, 25.0]
    assert len(labels(ax)) == 3


def test_sheets_of_digits_cut_off_what_is_beyond_black_and_white():
    figures.digit_sheets({"real": torch.rand(3, 16), "drawn": 3 * torch.rand(3, 16) - 1})
    assert [ax.get_title() for ax in axes()] == ["real", "drawn"]


def test_bits_are_compared_with_bits():
    figures.bits_with_bits({0.0: 0.0, 9.0: 0.5}, {1: 0.1, 9: 0.3, 40: 0.6}, limit=0.8)
    label, vector, limit = axes()[0].lines
    assert list(label.get_xdata()) == [0.0, 9.0]
    assert list(vector.get_xdata()) == [1, 9, 40]
    assert list(limit.get_ydata()) == [0.8, 0.8]
