"""The toy GAN's figures hold what they are given, and their labels."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from course_lib.plots import PRIOR
from course_lib.toy_gan import History, Settings, dirac, figures


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def game():
    history = History(Settings(batch=16))
    history.play(2, 1)
    return history


def test_moments_stand_side_by_side_in_their_order(game):
    figures.moments(game, (2, 0), ["last"])
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes][:2] == [
        "last",
        f"round 0: JSD {game.column('jsd')[0]:.3f}",
    ]
    drawn = {line.get_label(): line.get_ydata() for line in axes[0].lines}
    np.testing.assert_allclose(drawn["generator q(x)"], game.column("q")[2])
    right = plt.gcf().axes[2]  # D's own axis
    assert [text.get_text() for text in right.get_yticklabels()] == ["0", "½", "1"]
    np.testing.assert_allclose(
        next(v for v in right.lines if v.get_label() == "D(x)").get_ydata(), game.column("d")[2]
    )
    names = [text.get_text() for text in plt.gcf().legends[0].get_texts()]
    assert names == ["data p(x)", "generator q(x)", "D(x)", "D*(x), the best D"]


def test_compared_lines_have_one_label_each_and_the_same_look_in_every_panel():
    x, y = np.arange(3), np.array([[1.0, 2], [3, 4], [5, 6]])
    panels = {
        "one": {"a": (x, y), "b": (x, y[:, 0])},
        "two": {"a": (x, y[:, 1]), "b": (x, y[:, 0])},
    }
    axes = figures.compare(panels, "round", log=["two"], marks={"one": 4.0})
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["a", "b"]
    assert [ax.get_yscale() for ax in axes] == ["linear", "log"]
    assert (
        axes[0].lines[0].get_color() == axes[1].lines[0].get_color() != axes[1].lines[1].get_color()
    )
    assert axes[0].lines[-1].get_color() == PRIOR
    assert axes[0].lines[-1].get_ydata()[0] == 4.0
    np.testing.assert_array_equal(axes[0].lines[1].get_ydata(), y[:, 1])


def test_the_plane_shows_each_path_and_its_eigenvalues():
    paths = {g: dirac.trajectory((1.0, 0.0), 0.2, 20, "minimax", r1=g) for g in (0.0, 1.0)}
    figures.dirac_planes(paths, paths[0.0][:5])
    first, second = plt.gcf().axes
    np.testing.assert_allclose(second.lines[0].get_xydata(), paths[1.0])
    assert first.get_title() == "R1 with γ = 0\neigenvalues ± 0.50i"
    assert second.get_title() == "R1 with γ = 1\neigenvalues −0.50 and −0.50"
    assert figures.both(*dirac.eigenvalues(0.3)) == "−0.15 ± 0.48i"
    assert first.get_legend() is second.get_legend() is None  # it lies on no ring
