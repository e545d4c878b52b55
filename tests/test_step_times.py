"""Profiles and the file of a GPU's figures. The figures here are made up, for testing only."""

from __future__ import annotations

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
from torch.profiler import record_function

from course_lib.kernels import step_times
from course_lib.kernels.step_times import (
    Span,
    bars,
    counts,
    describe,
    passes,
    profiled,
    programs,
    shipped,
    timeline,
)

MADE_UP = {
    "machine": "Imaginary GPU",
    "device": "cuda",
    "versions": {"torch": "9.9", "triton": None},
    "date": "2031-01-02",
    "quick": False,
    "steps": {
        "the tutorial's loop": {"us": 4000.0, "images_s": 32_000.0},
        "graph": {"us": 50.0, "images_s": 2_560_000.0},
        "compile": {"left_out": "no compiler"},
    },
}


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_a_profile_knows_its_operations_and_phases():
    x, w = torch.randn(64, 64), torch.randn(64, 64, requires_grad=True)

    def work():
        with record_function("forward"):
            loss = (x @ w).relu().sum()
        with record_function("backward"):
            loss.backward()

    work()
    operations, phases = profiled(work)
    assert [p.name for p in phases] == ["forward", "backward"]
    names = [o.name for o in operations]
    assert names[:3] == ["matmul", "relu", "sum"]  # the mm inside of matmul is not listed again
    assert "mm" in names[3:]  # of the backward pass
    assert all(0 <= s.begin <= s.end for s in operations + phases)
    assert phases[0].end <= phases[1].begin
    (product,) = [o for o in operations if o.name == "matmul"]
    assert phases[0].begin <= product.begin <= product.end <= phases[0].end


def test_the_timeline_draws_every_span():
    operations = [Span("linear", 0, 5), Span("relu", 6, 7), Span("mm", 8, 12)]
    five = [
        Span(name, i, i + 1)
        for i, name in enumerate(("batch", "forward", "loss", "backward", "Adam"))
    ]
    ax = timeline(operations, five)
    assert len(ax.patches) == 8
    assert len({p.get_facecolor() for p in ax.patches}) == 7  # five phases, two kinds of operations
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "matrix products: 2",
        "all other operations: 1",
    ]
    assert {t.get_text() for t in ax.texts} == {span.name for span in five}


def test_without_a_file_nothing_is_invented(tmp_path):
    assert shipped(tmp_path / "gpu.json") is None
    assert describe(None).startswith("No GPU has been measured for this page yet")
    assert not re.search(r"\d|`", describe(None))  # no numbers, and no commands for students to run
    figure = bars({"our eager loop": 900.0}, "this machine")
    assert len(figure.axes) == 1
    assert figure.axes[0].get_title() == "this machine"


def test_once_there_is_a_file_it_stands_beside_this_machine(tmp_path):
    path = tmp_path / "gpu.json"
    path.write_text(json.dumps(MADE_UP))
    found = shipped(path)
    assert describe(found) == "Measured on Imaginary GPU, torch 9.9, 2031-01-02."
    assert "quick run" in describe(MADE_UP | {"quick": True})
    figure = bars({"the tutorial's loop": 9000.0, "our eager loop": 900.0}, "this machine", found)
    here, there = figure.axes
    assert (here.get_title(), there.get_title()) == ("this machine", "Imaginary GPU")
    assert [p.get_width() for p in here.patches] == [9000.0, 900.0]
    assert [p.get_width() for p in there.patches] == [4000.0, 50.0]  # what was left out has no bar
    assert here.get_xlim() == there.get_xlim()
    figure.canvas.draw()
    limits = here.get_xlim()
    assert limits[0] == 0  # else the lengths of the bars say nothing
    assert limits[1] > 9000
    assert here.get_xscale() == "linear"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "not json",
        json.dumps(MADE_UP | {"device": "cpu"}),
        json.dumps(MADE_UP | {"steps": {}}),
        json.dumps({k: v for k, v in MADE_UP.items() if k != "date"}),
    ],
)
def test_another_file_is_refused(text, tmp_path):
    path = tmp_path / "gpu.json"
    path.write_text(text)
    with pytest.raises(
        ValueError, match=r"gpu.json contains no GPU timings. Create it on a GPU with"
    ):
        shipped(path)


def test_a_shipped_file_is_of_a_gpu_and_a_full_run():
    found = shipped()
    if found is None:
        pytest.skip("no GPU has been measured yet")
    assert not found["quick"]
    assert (
        found["steps"]["graph + fused kernels"]["us"] < found["steps"]["the tutorial's loop"]["us"]
    )
    assert found["which"].startswith("Triton on")


def test_the_benchmark_names_the_file_that_is_looked_for():
    text = (Path(__file__).parent.parent / "benchmarks" / "gpu.py").read_text(encoding="utf-8")
    assert step_times.SHIPPED.as_posix().endswith("course_lib/weights/gpu.json")
    assert "course_lib/weights/gpu.json" in text


def test_passes_count_reads_and_writes_but_no_views():
    x, y = torch.randn(7, 3), torch.randn(7, 3)
    assert passes(lambda: x.view(3, 7).mT, 21) == 0
    assert passes(lambda: x + y, 21) == 3
    assert passes(lambda: (x * 2).exp().sum(), 21) == 5  # read, written, read, written, read
    assert passes(lambda: x + y, 20) == 0


def test_pictures_of_programs_show_each_tile_once():
    who = torch.tensor([[0, 0, 0, 1], [5, 5, 5, 7]], dtype=torch.int32)
    ax = programs(who)
    assert {(t.get_text(), t.get_position()) for t in ax.texts} == {
        ("0", (1, 0)),
        ("1", (3, 0)),
        ("5", (1, 1)),
        ("7", (3, 1)),
    }
    # ids to colours, one each
    assert ax.images[0].get_array().tolist() == [[0, 0, 0, 1], [2, 2, 2, 3]]
    count = torch.tensor([[1, 1, 1, 1, 1], [2, 2, 1, 1, 1], [1, 0, 0, 0, 0]])
    ax = counts(count, "how often", plt.subplots()[1])
    assert [t.get_text() for t in ax.texts] == ["1", "1", "2", "1", "1", "0"]  # every fourth place
    assert [t.get_text() for t in ax.get_yticklabels()] == ["image 0", "image 1", "no image"]
