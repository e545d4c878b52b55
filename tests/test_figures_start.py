"""The figures of "Start here", on tiny inputs: what carries their message is there."""

import matplotlib.pyplot as plt
import pytest
import torch

from course_lib.figures import start


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_rows_of_images_carry_their_titles():
    start.image_rows({"above": torch.rand(3, 16), "below": torch.rand(3, 16)}, (4, 4))
    assert [ax.get_title() for ax in plt.gcf().axes] == ["above", "below"]


def test_an_image_is_drawn_beside_one_bar_for_each_pixel():
    image = torch.rand(16)
    start.image_as_point(image, (4, 4))
    picture, bars = plt.gcf().axes
    assert len(picture.images) == 1
    assert [bar.get_height() for bar in bars.patches] == pytest.approx(image.tolist())


def test_the_blank_page_stands_as_a_line_at_its_cost_beside_two_histograms():
    start.surprise(
        {"digits": 200 + torch.rand(50), "dust": 190 + torch.rand(50)}, {"blank page": 127.0}
    )
    ax = plt.gcf().axes[0]
    low, high = ax.get_xlim()
    assert low < 127 < 200 < high
    assert list(ax.lines[0].get_xdata()) == [127.0, 127.0]
    labels = {text.get_text() for text in ax.get_legend().get_texts()}
    assert labels == {"digits", "dust", "blank page"}


def test_the_map_has_a_box_for_each_chapter_and_every_arrow():
    start.course_map()
    ax = plt.gcf().axes[0]
    titles = [text.get_text() for text in ax.texts if text.get_text()]
    assert titles == list(start.CHAPTERS)
    assert len(ax.texts) == len(start.CHAPTERS) + len(start.ARROWS)
    reached = {second for _, second in start.ARROWS}
    # a way leads to every chapter but the first
    assert reached == set(range(1, len(start.CHAPTERS)))
