"""The clock of the open table, its goals, and the example of an entry in its page."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest
import torch

from course_lib.data import Digits
from course_lib.models.vae import VAE

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "benchmarks" / "time_to_likelihood.py"
PAGE = (ROOT / "docs" / "time_to_likelihood.md").read_text(encoding="utf-8")
X = torch.zeros(4, 784)


@pytest.fixture
def bench(monkeypatch):
    """The benchmark as a module, with a likelihood that the test says and a clock that it winds."""
    spec = importlib.util.spec_from_file_location("time_to_likelihood", FILE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "time_to_likelihood", module)
    spec.loader.exec_module(module)
    module.now = 0.0
    monkeypatch.setattr(module, "time", type("Clock", (), {"perf_counter": lambda: module.now}))
    return module


def measured_as(bench, monkeypatch, *values: float) -> list[int]:
    """Let measurements give these values in turn, and take 100 s each;
    returns how many images each had.
    """
    rest, sizes = list(values), []

    def measure(model, x):
        sizes.append(len(x))
        bench.now += 100
        return rest.pop(0)

    monkeypatch.setattr(bench, "likelihood_bound", measure)
    return sizes


def test_the_clock_stands_while_the_model_is_measured(bench, monkeypatch):
    measured_as(bench, monkeypatch, 200, 89, 89.5, 84, 84.5)
    race = bench.Race(X)
    for _ in range(2):
        bench.now += 7
        race.checkpoint(None)
    assert race.seconds == 14
    assert race.reached == {90.0: 14.0}
    bench.now += 7
    with pytest.raises(bench.Enough):
        race.checkpoint(None)
    assert race.reached == {90.0: 14.0, 88.0: 21.0, 86.3: 21.0, 85.0: 21.0}
    assert race.best == 84.5


def test_far_from_a_goal_a_first_look_is_enough(bench, monkeypatch):
    monkeypatch.setattr(bench, "PREVIEW", 2)
    sizes = measured_as(bench, monkeypatch, 91.6, 91.4, 90.1)
    race = bench.Race(X)
    race.checkpoint(None)
    race.checkpoint(None)
    assert sizes == [2, 2, 4]
    assert race.reached == {}
    assert race.best == 90.1


def test_a_run_that_gets_nowhere_ends_and_says_how_far_it_came(bench, monkeypatch):
    measured_as(bench, monkeypatch, 95, 84)

    def train(digits, seed, checkpoint):
        while True:
            bench.now += 15
            checkpoint("a model")

    found = bench.run(train, None, X, 3, limit=20)
    assert found["seed"] == 3
    assert found["seconds"] == 30
    assert found["best"] == 84  # the last one is measured
    # but what is reached after the time does not count
    assert set(found["reached"].values()) == {None}


def test_an_entry_that_returns_early_is_measured_once_more(bench, monkeypatch):
    measured_as(bench, monkeypatch, 120, 119)
    assert (
        bench.run(lambda digits, seed, checkpoint: checkpoint("a model"), None, X, 0)["best"] == 119
    )
    with pytest.raises(SystemExit, match="without calling checkpoint"):
        bench.run(lambda digits, seed, checkpoint: None, None, X, 0)


def test_the_table_has_the_median_and_the_slowest(bench):
    def one(*seconds):
        return {"seed": 0, "reached": dict(zip(map(str, bench.GOALS), seconds, strict=True))} | {
            "best": 84.9,
            "seconds": 99.0,
        }

    row = bench.row_of("it", {"runs": [one(1, 9, 5, None), one(3, 9, 6, None), one(2, 12, 7, 8)]})
    assert (
        row
        == "| it | 2 (3) | 9 (12) | 6 (7) | reached by 1 of 3 seeds | 84.90, 84.90, 84.90 | 99 s |"
    )


@pytest.mark.parametrize("name", ["ours", "ours_independent_pixels", "tutorial", "pythae_vae"])
def test_an_entry_can_be_read(bench, name):
    entry = bench.load_entry(ROOT / "benchmarks" / "entries" / f"{name}.py")
    assert entry.__doc__.splitlines()[0].endswith(".")


def test_what_is_no_entry_is_named(bench, tmp_path):
    with pytest.raises(SystemExit, match="is not a Python file"):
        bench.load_entry(tmp_path / "nothing.py")
    (tmp_path / "half.py").write_text("NAME = 'half'\n")
    with pytest.raises(SystemExit, match="has no train and no docstring"):
        bench.load_entry(tmp_path / "half.py")


def test_the_page_s_example_is_an_entry(bench, tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "mine.py").write_text(code)
    entry = bench.load_entry(tmp_path / "mine.py")
    models = []

    def checkpoint(model):
        models.append(model)
        raise bench.Enough

    images = torch.randint(0, 256, (300, 28, 28), dtype=torch.uint8)
    digits = Digits(images, torch.zeros(300, dtype=torch.long), "noise")
    with pytest.raises(bench.Enough):
        entry.train(digits, 0, checkpoint)
    assert isinstance(models[0], VAE)
    monkeypatch.undo()  # the true measure
    assert 0 < bench.likelihood_bound(models[0], X) < 2_000


def test_the_page_shows_the_rows_that_were_measured(bench):
    stored = json.loads(FILE.with_suffix(".json").read_text(encoding="utf-8"))
    assert len(stored) >= 3
    for name, entry in stored.items():
        assert bench.row_of(name, entry) in PAGE
