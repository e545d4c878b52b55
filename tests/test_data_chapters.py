"""Chapters on other data than MNIST: UCI's 8×8 digits, and a folder of four shapes,
12×12, that is made here.

A thorough run tries every chapter on both, which takes minutes; else the tests run one chapter on
each.
"""

import struct

import numpy as np
import pytest
from test_notebooks import build
from thorough import THOROUGH

CHAPTERS = ("00", "01", "02", "04", "05", "06", "08")
EVERY = [(chapter, data) for chapter in CHAPTERS for data in ("uci", "shapes")]
RUN = EVERY if THOROUGH else [("00", "uci"), ("04", "shapes")]


def draw(kind, random):
    """An image (12, 12) of one of four kinds: upright bar, lying bar, square, slanted line."""
    image = np.zeros((12, 12))
    row, column = random.integers(2, 5, 2)
    width = random.integers(1, 3)
    if kind == 0:
        image[1:11, column + 2 : column + 2 + width] = 1
    elif kind == 1:
        image[row + 2 : row + 2 + width, 1:11] = 1
    elif kind == 2:
        image[row : row + 6, column : column + 6] = 1
        image[row + width : row + 6 - width, column + width : column + 6 - width] = 0
    else:
        for step in range(9):
            image[1 + step, column - 1 + step : column - 1 + step + width] = 1
    return image * random.uniform(0.6, 1)


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """Four IDX files: 400 images for training and 100 for testing, of four classes."""
    folder, random = tmp_path_factory.mktemp("data") / "shapes", np.random.default_rng(0)
    folder.mkdir()
    for half, count in (("train", 400), ("t10k", 100)):
        labels = (np.arange(count) % 4).astype(np.uint8)
        images = np.stack([draw(kind, random) for kind in labels])
        images = (255 * images).round().astype(np.uint8)
        (folder / f"{half}-images-idx3-ubyte").write_bytes(idx(images))
        (folder / f"{half}-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder


def text_of(notebook):
    return "\n".join(
        build.output_text(output) for cell in notebook.cells for output in cell.get("outputs", [])
    )


@pytest.mark.parametrize(("chapter", "data"), RUN)
def test_a_chapter_runs_on_another_data_set(monkeypatch, shapes, chapter, data):
    monkeypatch.setenv("COURSE_SET", str(shapes) if data == "shapes" else data)
    path = build.choose([chapter])[0]
    notebook = build.read_source(build.source_of(path))
    build.execute(notebook, path.stem, path.parent, fast=True)  # raises for a cell that fails
    build.clean_outputs(notebook)
    assert build.output_problems(path.stem, notebook) == []
    text = text_of(notebook)
    name = "UCI" if data == "uci" else "shapes"
    lines = [line for line in text.splitlines() if line.startswith(f"{name}: ")]
    assert lines, "the data set is named"
    skipped = f"apply only to MNIST, so everything that depends on them is skipped for {name}."
    assert text.count(skipped) == 1
    assert "MNIST: " not in text
    if chapter in ("05", "07"):
        assert "The shipped classifier was trained on MNIST only, so a new one was trained" in text
