"""The figures of "The conditional VAE" show what they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from course_lib.figures import conditional as figures

SHAPE = (4, 3)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def images(*sizes):
    return torch.rand(*sizes, 12, generator=torch.Generator().manual_seed(0))


def test_training_has_a_curve_for_each_model():
    figures.training({"a": [3.0, 2.0, 1.0], "b": [3.0, 3.0, 3.0]}, smooth=2)
    ax = plt.gca()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [2.5, 1.5])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_told_stands_rows_above_codes():
    labels = torch.tensor([0, 1, 1])
    figures.told({"both": images(4)}, {"both": torch.zeros(3, 2)}, labels, SHAPE)
    top, bottom = plt.gcf().axes
    assert top.get_title() == "told: both"
    assert len(bottom.collections) == 2  # a cloud for each label


def test_a_sheet_has_a_row_for_each_code():
    figures.sheet(images(3, 2), "title", SHAPE)
    assert plt.gca().get_images()[0].get_array().shape[:2] == (3 * 6, 2 * 5)


def test_transfers_frame_the_label_of_the_original():
    figures.transfers(images(2), images(2, 5), torch.tensor([4, 0]), SHAPE)
    left, right = plt.gcf().axes
    assert left.get_title() == "original"
    assert [patch.get_xy() for patch in right.patches] == [(4 * 5, 0), (0, 6)]


def test_probes_have_a_bar_for_each_code_and_kind():
    figures.probes(
        {"a": {"linear": 0.1, "curved": 0.5}, "b": {"linear": 0.2, "curved": 0.6}}, chance=0.1
    )
    ax = plt.gca()
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [0.1, 0.2, 0.5, 0.6])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


@pytest.mark.parametrize("count", [0, 3, 30])
def test_misread_samples_say_what_was_asked_and_what_was_read(count):
    asked, read = torch.full((count,), 4), torch.full((count,), 9)
    figures.misread(images(count), asked, read, SHAPE)
    titles = [ax.get_title() for ax in plt.gcf().axes if ax.get_title()]
    assert titles == ["4→9"] * min(count, 20)


def test_margins_are_differences():
    figures.margins(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0]))
    heights = [bar.get_height() for bar in plt.gca().patches]
    assert sum(heights) == 2
    assert plt.gca().lines[0].get_xdata()[0] == 0


def test_foreign_images_stand_above_their_lines():
    figures.foreign({"blank": torch.zeros(12)}, {"blank": 7.0}, torch.tensor([8.0, 9.0]), SHAPE)
    below, above = plt.gcf().axes
    assert above.get_title() == "blank"
    assert below.lines[0].get_xdata()[0] == 7


def test_parts_are_stacked():
    figures.parts({0: (3.0, 2.0, 1.0), 1: (4.0, 3.5, 0.5)})
    bars = plt.gca().patches
    assert [bar.get_height() for bar in bars] == [2.0, 3.5, 1.0, 0.5]
    assert [bar.get_y() for bar in bars[2:]] == [2.0, 3.5]
    assert [text.get_text() for text in plt.gca().texts] == ["1.00", "0.50"]


def test_samples_are_the_first_fifty():
    figures.samples(images(60), SHAPE)
    assert plt.gca().get_images()[0].get_array().shape[0] == 5 * 6
