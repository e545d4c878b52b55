"""The figures of "Inside the GPU", on tiny inputs: what carries the message is drawn."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from course_lib.figures import gpu as figures
from course_lib.kernels.step_times import Span


@pytest.fixture(autouse=True)
def _figures_stay_open(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: None)
    yield
    plt.close("all")


def axes():
    return plt.gcf().axes


def tick_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels(which="both")]


def test_timeline_names_the_phases():
    figures.timeline([Span("mm", 0, 3), Span("add", 4, 5)], [Span("forward", 0, 5)])
    (ax,) = axes()
    assert "forward" in {text.get_text() for text in ax.texts}


def test_step_by_width_shows_every_width_once_and_clips_no_point():
    times = {4: 300.0, 8: 310.0, 1024: 900.0, 2048: 4000.0}
    figures.step_by_width(times, floor=120.0)
    (ax,) = axes()
    assert tick_labels(ax.xaxis) == ["4", "8", "1,024", "2,048"]
    low, high = ax.get_ylim()
    assert low < 120
    assert high > 4000


def test_parts_of_a_step_stand_one_after_the_other():
    figures.parts_of_a_step({"forward": 100.0, "backward": 50.0})
    (ax,) = axes()
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [(0, 100), (100, 50)]
    assert "50 µs" in ax.texts[1].get_text()


def test_a_part_with_a_negative_difference_is_drawn_as_0():
    figures.parts_of_a_step(
        {"forward": 100.0, "recording": 40.0, "backward": -12_338.0, "Adam": 60.0}
    )
    (ax,) = axes()
    bars = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert bars == [(0, 100), (100, 40), (140, 0), (140, 60)]
    assert ax.texts[2].get_text().strip() == "0 µs"
    assert ax.get_xlim()[1] > 200


def test_bandwidth_draws_every_size():
    figures.bandwidth([256, 4096, 10**8], [0.1, 3.0, 9.0])
    (ax,) = axes()
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [256, 4096, 10**8])
    assert "1 kB" in tick_labels(ax.xaxis)


def test_strides_have_counts_left_and_times_right():
    figures.strides([1, 2, 4], [4, 8, 16], [0.2, 0.4, 0.8])
    left, right = axes()
    np.testing.assert_allclose(left.lines[0].get_ydata(), [4, 8, 16])
    assert tick_labels(right.xaxis) == ["1", "2", "4"]


def test_the_roof_is_the_smaller_of_peak_and_bandwidth():
    figures.roofline(
        {"products": ([1.0, 100.0], [1e9, 5e10])}, peak_flops=6e10, bytes_per_second=1e10
    )
    (ax,) = axes()
    roof = ax.lines[0]
    np.testing.assert_allclose(roof.get_ydata(), np.minimum(6e10, 1e10 * roof.get_xdata()))
    assert {"products", "this machine's roof (measured)"} <= {
        text.get_text() for text in ax.get_legend().get_texts()
    }


def test_neighbouring_programs_have_different_shades_and_numbers():
    who = torch.tensor([[0, 0, 1], [2, 2, 3]])
    figures.programs(who)
    (ax,) = axes()
    shade = ax.images[0].get_array()
    assert (shade[:, 1] != shade[:, 2]).all()
    assert {text.get_text() for text in ax.texts} == {f"program {k}" for k in range(4)}


def test_every_count_is_written():
    count = torch.tensor([[1, 1], [2, 1], [1, 0]])
    figures.counts({"with": count, "without": count})
    first, second = axes()
    assert [text.get_text() for text in first.texts] == ["1", "1", "2", "1", "1", "0"]
    assert tick_labels(second.yaxis) == ["image 0", "image 1", "no image"]
    keys = [text.get_text() for text in second.figure.legends[0].get_texts()]
    assert keys == ["never written", "written once", "written twice"]


def test_running_maximum_marks_where_a_larger_term_came():
    joint = torch.tensor([-3.0, -2.0, -4.0, -1.0])
    figures.running_maximum(joint, 2, torch.tensor([-2.0, -1.0]), torch.tensor([1.4, 1.5]))
    left, right = axes()
    np.testing.assert_allclose(right.lines[1].get_xdata(), [4])
    assert "log P(x)" in {text.get_text() for text in left.get_legend().get_texts()}


def test_digits_stand_in_a_row_with_their_titles():
    figures.digits_in_a_row(torch.rand(2, 4, 4), ["grey", "drawn"])
    assert [ax.get_title() for ax in axes()] == ["grey", "drawn"]


def test_bars_have_a_panel_for_this_machine():
    figures.bars({"slow": 20.0, "fast": 10.0}, "this machine's CPU")
    (ax,) = axes()
    assert ax.get_title() == "this machine's CPU"
