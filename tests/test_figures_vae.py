"""The figures of the chapter "The VAE on MNIST": what carries the message is drawn and labelled."""

import matplotlib.pyplot as plt
import pytest
import torch

from course_lib.figures import vae as figures


@pytest.fixture(autouse=True)
def close_figures():
    plt.close("all")
    yield
    plt.close("all")


def labels_of(ax):
    return ax.get_legend_handles_labels()[1]


def test_each_row_of_images_has_its_label():
    figures.labelled_rows({"test": torch.rand(4, 48), "drawn": torch.rand(4, 48)}, (6, 8))
    axes = plt.gcf().axes
    assert [ax.texts[0].get_text() for ax in axes] == ["test", "drawn"]
    assert axes[0].images[0].get_array().shape == (8, 40)  # one white pixel around each of the four


def test_the_columns_of_images_have_their_names():
    figures.labelled_rows(
        {"a": torch.rand(3, 48), "b": torch.rand(3, 48)}, (6, 8), ["−1", "0", "1"]
    )
    above = plt.gcf().axes[0].texts[1:]
    assert [text.get_text() for text in above] == ["−1", "0", "1"]
    assert [text.get_position()[0] for text in above] == [4.5, 14.5, 24.5]


def test_the_two_parts_of_the_loss_add_up_to_its_upper_edge():
    figures.loss_parts([(0, 500.0, 0.5), (50, 100.0, 10.0), (100, 80.0, 20.0)])
    ax = plt.gca()
    assert labels_of(ax) == ["KL", "reconstruction", "$-L_b$, their sum"]
    assert ax.lines[0].get_ydata().tolist() == [500.5, 110.0, 100.0]
    assert "501" in ax.get_title() or "500" in ax.get_title()
    assert "100" in ax.get_title()


def test_the_losses_of_an_image_and_of_a_batch_share_an_axis():
    figures.scatter_of_losses(torch.randn(50), 0.1 * torch.randn(50))
    assert labels_of(plt.gca()) == ["one image", "a batch of 128"]


def test_each_property_has_its_bars_and_its_total():
    figures.shares(torch.rand(2, 5), torch.tensor([0.8, 0.9]), ["ink", "slant"])
    axes = plt.gcf().axes
    assert [len(ax.patches) for ax in axes] == [5, 5]
    assert [round(ax.lines[0].get_ydata()[0], 3) for ax in axes] == [0.8, 0.9]
    assert "slant" in axes[1].get_ylabel()


def test_each_beta_has_a_curve():
    figures.kl_by_dimension({beta: torch.rand(6) for beta in (0.25, 1, 4)})
    ax = plt.gca()
    assert labels_of(ax) == ["β = 0.25", "β = 1", "β = 4"]
    assert all(len(line.get_ydata()) == 6 for line in ax.lines)
