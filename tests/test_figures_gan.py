"""The figures of the chapter "GANs on MNIST", on tiny inputs: what carries the message is drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from course_lib.figures import gan as figures


@pytest.fixture(autouse=True)
def _figures_stay_open(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: None)
    yield
    plt.close("all")


def axes():
    return plt.gcf().axes


def test_digit_rows_names_every_row():
    figures.digit_rows({"real": torch.rand(3, 16), "made": torch.rand(3, 16)})
    assert [ax.texts[0].get_text() for ax in axes()] == ["real", "made"]


def test_preference_has_a_point_a_digit_and_the_line_of_no_preference():
    figures.preference_by_digit([0.4, 0.7], [0.02, 0.02])
    (ax,) = axes()
    assert list(ax.lines[0].get_ydata()) == [0.4, 0.7]
    (bars,) = ax.collections
    ends = [segment[:, 1] for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, [(0.36, 0.44), (0.66, 0.74)])  # two standard errors each way
    assert any(set(line.get_ydata()) == {0.5} for line in ax.lines)
    assert "no preference" in ax.texts[0].get_text()


def test_tournament_draws_what_is_counted_between_0_and_1():
    table = torch.tensor([[0.5, 0.9], [0.1, 0.5]])
    figures.tournament(table)
    ax = axes()[0]
    np.testing.assert_allclose(ax.images[0].get_array(), table)
    assert ax.images[0].get_clim() == (0, 1)
    assert [text.get_text() for text in ax.texts] == ["0.50", "0.90", "0.10", "0.50"]


def test_losses_have_a_line_a_seed_in_both_panels():
    run = {"discriminator": [1.0, 1.2], "generator": [0.9, 0.8], "distance": [50.0, 5.0]}
    figures.losses_against_distance([run, run])
    left, right = axes()
    assert [ax.get_ylabel() for ax in (left, right)] == ["D's loss, nats", "G's loss, nats"]
    assert {text.get_text() for text in right.get_legend().get_texts()} == {"seed 0", "seed 1"}
    assert any(np.allclose(line.get_ydata(), np.log(4)) for line in left.lines)


def test_pull_draws_images_above_and_slopes_below():
    figures.pull(torch.rand(3, 16), torch.randn(3, 16), shape=(4, 4))
    assert [len(ax.images) for ax in axes()] == [1, 1]


def test_frozen_and_free_are_rows_of_two_panels():
    figures.frozen_and_free(
        {"D frozen": [(0.6, 3.0), (0.7, 4.0)], "D free": [(0.4, 70.0), (0.3, 80.0)]}
    )
    left, right = axes()
    assert [label.get_text() for label in left.get_yticklabels()] == ["D frozen", "D free"]
    np.testing.assert_allclose(right.lines[1].get_xdata(), [70, 80])
    assert left.get_xlim()[0] < 0  # a marker at 0 covers no label


def test_matching_has_a_row_a_kind_of_game():
    figures.matching(
        {"matched": [(0.6, 0.9, 20.0)], "too fast": [(0.1, 0.01, 90.0), (0.0, 0.02, 95.0)]}
    )
    rank, spread, distance = axes()
    assert [label.get_text() for label in rank.get_yticklabels()] == ["matched", "too fast"]
    np.testing.assert_allclose(spread.lines[1].get_xdata(), [0.01, 0.02])
    assert distance.get_xlim()[0] == 0


def test_judgements_are_a_table_with_a_row_a_kind(monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "display", shown.append)
    figures.judgements(
        {"GAN": {"frechet": 0.5, "recall": 0.8}, "floor": {"frechet": 0.1, "recall": 0.9}}
    )
    lines = shown[0].data.splitlines()
    assert lines[0] == "| | frechet | recall |"
    assert lines[2:] == ["| GAN | 0.5 | 0.8 |", "| floor | 0.1 | 0.9 |"]


def test_two_sample_test_stands_beside_chance():
    figures.two_sample_test({"real": [0.5, 0.51], "made": [0.8, 0.82]})
    (ax,) = axes()
    assert any(set(line.get_xdata()) == {0.5} for line in ax.lines)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["real", "made"]


def test_boxes_are_named():
    figures.boxes({"x": torch.tensor([1.0, 2, 3]), "y": torch.tensor([4.0, 5, 6])}, "share")
    (ax,) = axes()
    assert ax.get_xlabel() == "share"


def test_step_sizes_compare_walk_and_cross_fade():
    confidence = {"walk": torch.rand(4), "cross-fade": torch.rand(4)}
    figures.step_sizes(torch.rand(5, 3) + 1, confidence)
    left, right = axes()
    assert "cross-fade" in {text.get_text() for text in left.get_legend().get_texts()}
    assert len(right.lines) == 2
