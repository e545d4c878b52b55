"""The pictures of GANs show the numbers that they were given: read back from the axes."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from course_lib.evaluation import gan_figures


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_rows_of_digits_with_their_names():
    rows = {"one": torch.rand(20, 784), "two": torch.rand(5, 784)}
    axes = gan_figures.digit_rows(rows, title="both")
    assert [ax.texts[0].get_text() for ax in axes] == ["one", "two"]
    assert axes[0].get_title() == "both"
    sheets = [ax.images[0].get_array() for ax in axes]
    assert [sheet.shape for sheet in sheets] == [(30, 16 * 30), (30, 5 * 30)]  # no more than 16
    np.testing.assert_array_equal(sheets[1][1:29, 91:119], rows["two"][3].view(28, 28).numpy())


def test_the_tournament_has_generators_in_rows():
    belief = torch.rand(3, 4)
    ax = gan_figures.tournament(belief)
    np.testing.assert_array_equal(ax.images[0].get_array(), belief.numpy())
    assert [label.get_text() for label in ax.get_xticklabels()] == ["v1", "v2", "v3", "v4"]
    assert len(ax.get_yticklabels()) == 3
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("judged by D", "images of G")
    assert ax.images[0].get_clim() == (0, 1)


def test_more_ink_is_red_and_no_pull_is_white():
    slope = torch.zeros(3, 784)
    slope[1, 28 * 5 + 7] = 2.0
    gan_figures.pull(torch.rand(3, 784), slope)
    bottom = plt.gcf().axes[1].images[0]
    values = bottom.get_array()
    assert values.shape == (28, 3 * 28)
    assert values[5, 28 + 7] == 2
    red, _, blue, _ = bottom.to_rgba(values)[5, 28 + 7]
    assert red > 2 * blue
    assert min(bottom.to_rgba(values)[0, 0]) > 0.95


def test_a_game_shows_both_losses_and_the_distance():
    log = {"step": [10, 20], "discriminator": [1.2, 1.1], "generator": [0.9, 1.0]}
    gan_figures.game(log, [10, 20], [50.0, 5.0])
    left, right = plt.gcf().axes
    assert [list(line.get_ydata()) for line in left.lines[:2]] == [[1.2, 1.1], [0.9, 1.0]]
    assert left.lines[2].get_ydata()[0] == pytest.approx(np.log(4), abs=1e-3)
    assert list(right.lines[0].get_ydata()) == [50, 5]
    assert right.get_yscale() == "log"


def test_classes_and_boxes():
    shares = torch.arange(10) / 45
    gan_figures.classes(
        {"a": (torch.rand(30, 784), shares, "says"), "b": (torch.rand(30, 784), shares, "")}
    )
    bars = [bar.get_height() for bar in plt.gcf().axes[1].patches]
    np.testing.assert_allclose(bars, shares.numpy())
    assert plt.gcf().axes[1].get_title() == "says"
    ax = gan_figures.boxes(
        {"x": torch.tensor([1.0, 2, 3]), "y": torch.tensor([4.0, 5, 6])}, "share"
    )
    assert [label.get_text() for label in ax.get_yticklabels()] == ["x", "y"]
    assert ax.get_xlabel() == "share"


def test_rows_of_bytes_of_colours_and_of_other_sizes():
    grey = torch.full((3, 6, 4), 128, dtype=torch.uint8)
    axes = gan_figures.digit_rows({"bytes": grey, "flat": grey.flatten(1) / 255}, shape=(6, 4))
    for ax in axes:
        np.testing.assert_allclose(ax.images[0].get_array()[1:7, 1:5], 128 / 255, atol=1e-7)
    colour = torch.rand(3, 3, 6, 4)
    for images, shape in ((colour, None), (colour.flatten(1), (3, 6, 4))):
        (ax,) = gan_figures.digit_rows({"colour": images}, shape=shape)
        np.testing.assert_allclose(
            ax.images[0].get_array()[1:7, 7:11], colour[1].permute(1, 2, 0), atol=1e-7
        )


def test_what_cannot_be_drawn_leaves_no_half_figure():
    bad = torch.full((3, 784), 255.0)
    slope, shares = torch.zeros(3, 784), torch.full((10,), 0.1)
    for draw in (
        lambda: gan_figures.digit_rows({"good": bad / 255, "bad": bad}),
        lambda: gan_figures.pull(bad, slope),
        lambda: gan_figures.classes({"bad": (bad, shares, "")}),
    ):
        with pytest.raises(
            ValueError, match=r"Pixels must be in \[0, 1\], but these range from 255 to 255"
        ):
            draw()
        assert plt.get_fignums() == []
    with pytest.raises(
        ValueError, match=r"the same shape as the images, \(3, 784\), but got \(2, 784\)"
    ):
        gan_figures.pull(bad / 255, slope[:2])


def test_a_pull_on_colours_adds_up_its_channels():
    slope = torch.zeros(2, 3, 6, 4)
    slope[1, :, 5, 2] = torch.tensor([1.0, 2.0, 4.0])
    gan_figures.pull(torch.rand(2, 3, 6, 4), slope)
    values = plt.gcf().axes[1].images[0].get_array()
    assert values.shape == (6, 2 * 4)
    assert values[5, 4 + 2] == 7
    assert values.sum() == 7
    gan_figures.pull(torch.rand(2, 24), torch.ones(2, 24), shape=(6, 4))
    assert plt.gcf().axes[1].images[0].get_array().shape == (6, 2 * 4)


def test_as_many_classes_as_there_are():
    shares = torch.tensor([0.5, 0.3, 0.2])
    gan_figures.classes({"a": (torch.rand(5, 3, 6, 4), shares, "says")})
    right = plt.gcf().axes[1]
    np.testing.assert_allclose([bar.get_height() for bar in right.patches], shares)
    assert right.lines[0].get_ydata()[0] == pytest.approx(1 / 3)
    assert len(right.get_xticks()) == 3


def test_beliefs_may_still_carry_gradients():
    belief = torch.rand(2, 2, requires_grad=True)
    np.testing.assert_array_equal(
        gan_figures.tournament(belief).images[0].get_array(), belief.detach()
    )
