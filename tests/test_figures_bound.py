"""The figures of the chapter on the bound: what carries the message is read back from the axes."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from course_lib.figures import bound as figures
from course_lib.probability.elbo import Bound


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """Figures stay open after they are shown, so that a test can read them."""
    monkeypatch.setattr(plt, "show", lambda: None)
    yield
    plt.close("all")


def labels(ax):
    return ax.get_legend_handles_labels()[1]


def line(ax, label):
    return next(drawn for drawn in ax.get_lines() if drawn.get_label() == label)


def bounds(*gaps):
    """Bounds below log P(x) = −1 by these gaps."""
    values = [(-1.0 - gap + 0.5, 0.5, -1.0, 0.0) for gap in gaps]
    return [Bound(*(torch.tensor(v, dtype=torch.float64) for v in value)) for value in values]


def test_each_finite_mixture_has_a_panel_with_its_kl():
    x = torch.linspace(-1, 1, 5)
    p = torch.full((5,), 0.5)
    figures.finite_mixtures(x, p, {3: p / 2, 8: p}, {3: 0.25, 8: 0.0})
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == ["K = 3\nKL 0.25 nats", "K = 8\nKL 0 nats"]
    np.testing.assert_array_equal(axes[0].get_lines()[1].get_ydata(), p / 2)


def test_densities_are_drawn_as_given():
    z = torch.linspace(-3, 3, 7)
    curves = [torch.rand(7) for _ in range(3)]
    for draw in (figures.distributions_of_z, figures.two_directions):
        draw(z, *curves)
        ax = plt.gcf().axes[0]
        assert len(labels(ax)) == 3
        for shown, curve in zip(ax.get_lines(), curves, strict=True):
            np.testing.assert_array_equal(shown.get_ydata(), curve)


def test_the_tangent_touches_at_one():
    figures.tangent(torch.tensor([0.5, 1.0, 2.0]))
    ax = plt.gcf().axes[0]
    assert (line(ax, "t − 1").get_ydata() >= line(ax, "log t").get_ydata()).all()
    assert line(ax, "t − 1").get_ydata()[1] == line(ax, "log t").get_ydata()[1] == 0


def test_the_trap_marks_start_and_end_on_both_curves():
    w = torch.linspace(0, 2, 21)
    figures.over_w(w, w - 5, -w - 5, start=1.0, end=0.2, y_min=-8)
    ax = plt.gcf().axes[0]
    dots = [np.asarray(drawn.get_ydata()) for drawn in ax.get_lines() if drawn.get_marker() == "o"]
    np.testing.assert_allclose(dots[0], [-4, -4.8], atol=1e-6)  # log P(x) falls
    np.testing.assert_allclose(dots[1], [-6, -5.2], atol=1e-6)  # L_b rises
    assert {"start", "end"} <= {text.get_text() for text in ax.texts}


def test_levels_shade_the_gap_and_nothing_else():
    figures.levels({"start": (-2.0, -5.0), "q first": (-2.0, -2.0)})
    ax = plt.gcf().axes[0]
    assert [(bar.get_y(), bar.get_height()) for bar in ax.patches] == [(-5.0, 3.0), (-2.0, 0.0)]
    assert set(labels(ax)) == {"log P(x)", "$L_b$", "gap"}
    assert {text.get_text() for text in ax.texts} == {"−2.00", "−5.00"}


def test_half_rounds_have_a_panel_a_run():
    figures.half_rounds({"full": [(-2, -2), (-1, -1.5)], "fixed": [(-2, -4), (-3, -3.5)]}, y_min=-5)
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == ["full", "fixed"]
    np.testing.assert_array_equal(line(axes[1], "log P(x)").get_ydata(), [-2, -3])
    np.testing.assert_array_equal(line(axes[1], "$L_b$").get_xdata(), [0.5, 1])
    assert axes[0].get_ylim()[0] == -5


def test_a_closed_gap_stands_on_its_own_line_and_open_ones_fill_the_scale():
    histories = {"EM": bounds(1e-16, 0.1, 0.0, 0.1), "encoder": bounds(0.5, 0.4, 0.02, 0.1)}
    figures.methods(histories)
    left, right = plt.gcf().axes
    assert labels(left) == ["EM", "encoder"]
    # a decade below the least open gap's
    np.testing.assert_allclose(line(right, "EM").get_ydata(), 1e-3)
    np.testing.assert_allclose(line(right, "encoder").get_ydata(), [0.5, 0.02])
    assert right.get_yscale() == "log"
    assert right.get_ylim()[0] > 1e-4


def test_closing_gaps_are_drawn_in_logs():
    figures.closing({"fitted q": [1.0, 0.1], "encoder": [1.0, 0.5]})
    ax = plt.gcf().axes[0]
    assert ax.get_yscale() == "log"
    np.testing.assert_array_equal(line(ax, "encoder").get_ydata(), [1.0, 0.5])


def test_training_shows_the_gap_in_logs_and_the_two_parts():
    figures.training(bounds(200.0, 5.0), [0, 10], below=50)
    left, right = plt.gcf().axes
    assert left.get_yscale() == "log"
    np.testing.assert_allclose(left.get_lines()[0].get_ydata(), [200, 5])
    assert set(labels(right)) == {"reconstruction", "KL(q‖P(z))"}
    assert right.get_ylim()[0] == -50


def test_error_bars_are_two_standard_errors():
    figures.estimates([10, 100], [1.0, 2.0], [0.5, 0.1], exact=2.1)
    figures.tightening([1, 10], [3.0, 1.0], [0.5, 0.1])
    for number in plt.get_fignums():
        (bars,) = plt.figure(number).axes[0].containers
        segments = bars[2][0].get_segments()
        np.testing.assert_allclose([high - low for (_, low), (_, high) in segments], [2.0, 0.4])


def test_the_noise_of_both_estimators_is_drawn():
    figures.estimator_noise([0.5, 1.0], [1.0, 3.0], [2.0, 0.0])
    ax = plt.gcf().axes[0]
    np.testing.assert_array_equal(line(ax, "KL sampled, too").get_ydata(), [2.0, 0.0])
    assert ax.get_ylim()[0] < 0  # the zero is seen


def test_type_is_large_enough_to_read(monkeypatch):
    figures.levels({"start": (-2.0, -5.0)})
    ax = plt.gcf().axes[0]
    texts = [*ax.texts, *ax.get_xticklabels(), *ax.get_legend().get_texts(), ax.yaxis.label]
    assert min(text.get_fontsize() for text in texts) >= 10
