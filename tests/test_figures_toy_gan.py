"""The figures of "A GAN in one dimension" show their input; the game by hand is the package's."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from course_lib.figures import toy_gan as figures
from course_lib.toy_gan import Game, History, Settings, noise

LINE = np.linspace(-2, 2, 9)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def games():
    played = [History(Settings(batch=16, seed=seed)) for seed in range(2)]
    for game in played:
        game.play(2, 1)
    return played


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_snapshots_stand_side_by_side():
    shots = {
        "first": (torch.zeros(5, 1), torch.full((9, 1), 0.25)),
        "last": (torch.ones(5, 1), torch.ones(9, 1)),
    }
    figures.snapshots(torch.tensor(LINE)[:, None], np.ones(9), shots)
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes[:2]] == ["first", "last"]
    np.testing.assert_allclose(axes[2].lines[-1].get_ydata(), 0.25)  # D has an axis of its own
    assert [text.get_text() for text in plt.gcf().legends[0].get_texts()] == [
        "generated points",
        "data p(x)",
        "D(x), right axis",
    ]


def test_the_best_discriminator_is_p_over_p_plus_q():
    p, q = np.full(9, 0.3), np.full(9, 0.1)
    figures.best_discriminator(LINE, p, q, np.full(9, 0.5))
    left, right = plt.gcf().axes
    np.testing.assert_allclose(right.lines[0].get_ydata(), 0.75)
    assert legend(right) == ["p / (p + q)", "D(x) after training"]
    assert len(left.lines) == 2


def test_lengths_of_step_have_a_logarithmic_axis_and_their_levels():
    figures.lengths_of_step([0.1, 1.0], [0.0, 3.0], [0.5, 0.2], before=0.4)
    left, right = plt.gcf().axes
    assert left.get_xscale() == "log"
    assert right.lines[-1].get_ydata()[0] == 0.4


def test_each_seed_has_a_line_and_each_kind_one_label():
    curve = (np.zeros(3), np.ones(3))
    figures.frozen_and_free({"D frozen": [curve, curve], "D free": [curve, curve]})
    left, right = plt.gcf().axes
    assert len(left.lines) == len(right.lines) == 4
    assert legend(left) == ["D frozen", "D free"]
    np.testing.assert_allclose(right.lines[0].get_ydata(), 1)


def test_gradients_are_compared_in_logarithms():
    figures.gradients([1, 2], {"a": [1, 2], "b": [0.5, 0.1]})
    (ax,) = plt.gcf().axes
    assert ax.get_yscale() == "log"
    assert legend(ax) == ["a", "b"]


def test_divergences_mark_where_the_blocks_part():
    figures.divergences([0, 1, 2], [0, 0.7, 0.7], [0, 1, 2])
    left, right = plt.gcf().axes
    assert left.lines[-1].get_xdata()[0] == right.lines[-1].get_xdata()[0] == 1
    assert left.texts[0].get_text() == "the blocks part"


def test_runs_have_a_line_for_each_seed_and_mark_levels_and_changes(games):
    figures.runs(
        {"a": games}, {"jsd": "JSD", "std": "spread"}, log=["jsd"], levels={"std": 0.5}, changes=[1]
    )
    left, right = plt.gcf().axes
    assert [left.get_title(), right.get_title()] == ["JSD", "spread"]
    assert left.get_yscale() == "log"
    assert (len(left.lines), len(right.lines)) == (2 + 1, 2 + 1 + 1)
    np.testing.assert_allclose(left.lines[1].get_ydata(), games[1].column("jsd"))


def test_the_map_shows_its_numbers():
    figures.rate_map(np.array([[0.1, 0.2], [0.3, 0.4]]), (0.001, 0.01), 300)
    ax = plt.gcf().axes[0]
    assert [text.get_text() for text in ax.texts] == ["0.10", "0.20", "0.30", "0.40"]
    assert "300 rounds" in ax.get_title()


def test_curves_count_in_rounds():
    figures.curves({"a": [np.ones(3)]}, "title", "round", every=20)
    np.testing.assert_allclose(plt.gca().lines[0].get_xdata(), [0, 20, 40])


def test_generators_stand_beside_the_data(games):
    figures.generators(games[0], {"first": 0, "last": 2})
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == ["first", "last", "data"]
    np.testing.assert_allclose(axes[1].lines[0].get_ydata(), games[0].column("x")[2])


def test_the_game_played_by_hand_is_the_package_s():
    """The notebook's losses, updates and loop, with the package's first weights and noise."""

    def draw(stream, step):
        # (N, 1) in (0, 1)
        return torch.from_numpy(noise.uniform(0, [stream], step, 256)[0])[:, None]

    def update(optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    theirs, networks = Game(Settings(seed=0)), []
    for player in (theirs.g, theirs.d):
        hidden = [nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh()]
        ours = nn.Sequential(*hidden, nn.Linear(16, 1)).double()
        nn.utils.vector_to_parameters(player.weights.clone(), ours.parameters())
        networks.append(ours)
    g, d = networks
    optimizer_g = torch.optim.Adam(g.parameters(), lr=1e-3, betas=(0.5, 0.999))
    optimizer_d = torch.optim.Adam(d.parameters(), lr=5e-3, betas=(0.5, 0.999))
    for step in range(20):
        x = torch.from_numpy(np.interp(draw(noise.D_DATA, step), *theirs.table))
        fake = g(2 * draw(noise.D_Z, step) - 1).detach()
        update(optimizer_d, softplus(-d(x)).mean() + softplus(d(fake)).mean())
        update(optimizer_g, softplus(-d(g(2 * draw(noise.G_Z, step) - 1))).mean())
    theirs.step(20)
    for ours, player in ((g, theirs.g), (d, theirs.d)):
        weights = nn.utils.parameters_to_vector(ours.parameters()).detach()
        # float64, sums in another order
        assert float((weights - player.weights).abs().max()) < 1e-8
