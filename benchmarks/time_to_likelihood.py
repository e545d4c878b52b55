"""Measure how long a VAE must train to reach a given likelihood on MNIST's test digits.

    python benchmarks/time_to_likelihood.py                         print the stored table
    python benchmarks/time_to_likelihood.py ENTRY [--seeds 0 1 2]   measure ENTRY and store its row

ENTRY is a file such as benchmarks/entries/ours.py.

The rules, and how to write an entry, are in docs/time_to_likelihood.md.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from course_lib.data import fixed_binarization, mnist
from course_lib.device import knows_bfloat16
from course_lib.evaluation.likelihood import nll
from course_lib.files import write_whole

GOALS = (90.0, 88.0, 86.3, 85.0)  # nats
DRAWS = 50  # samples of z per digit
THREADS = 2
LIMIT = 5 * 60  # seconds of training
SEEDS = 3
PREVIEW = 1_000  # digits used for the preview of a measurement
MARGIN = 1.5  # nats allowed for the error of the preview, whose standard error is 0.7
TABLE = Path(__file__).with_suffix(".json")


class Enough(Exception):
    """Raised by `checkpoint` when the last goal is reached or the time is up.

    An entry need not catch it.
    """


class Race:
    """One training run, with the goals that it has reached so far.

    Its clock stops while the model is measured.
    """

    def __init__(self, test: Tensor, limit: float = LIMIT) -> None:
        self.test, self.limit = test, limit  # test: (N, D), zeros and ones
        self.seconds = 0.0  # of training
        self.reached: dict[float, float] = {}  # by goal: seconds of training
        self.best = float("inf")  # the best measurement on all digits
        self.unmeasured: Any = None  # the last model, if it has not been measured on all digits
        self.since = time.perf_counter()

    def checkpoint(self, model: Any) -> None:
        """Stop the clock, measure the model, and record the goals that it reaches.

        The model must have the attributes that `course_lib.evaluation.nll` needs. Raises Enough
        when the run is over.
        """
        self.seconds += time.perf_counter() - self.since
        self.unmeasured = model
        if self.seconds > self.limit:
            raise Enough
        goals = [goal for goal in GOALS if goal not in self.reached]
        if likelihood_bound(model, self.test[:PREVIEW]) <= goals[0] + MARGIN:
            value = self.measure(model)
            self.reached |= {goal: self.seconds for goal in goals if value <= goal}
        if GOALS[-1] in self.reached:
            raise Enough
        self.since = time.perf_counter()

    def measure(self, model: Any) -> float:
        """Print and return the likelihood bound on all test digits, and update the best value."""
        value = likelihood_bound(model, self.test)
        self.best = min(self.best, value)
        self.unmeasured = None
        print(f"{self.seconds:7.1f} s: {value:.2f} nats", flush=True)
        return value


def likelihood_bound(model: Any, x: Tensor) -> float:
    """Return the importance-weighted upper bound on −log P(x), in nats, averaged over the images.

    x has the shape (N, D).
    """
    half = knows_bfloat16(x.device)
    with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16, enabled=half):
        return float(nll(model, x, DRAWS, rows_at_once=500, progress=False)[DRAWS].mean)


def load_entry(path: Path) -> Any:
    """Import an entry's file as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SystemExit(
            f"{path} is not a Python file. Give the path of an entry, "
            "such as benchmarks/entries/ours.py."
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    missing = [name for name in ("NAME", "train") if not hasattr(module, name)]
    if not module.__doc__:
        missing.append("docstring")
    if missing:
        raise SystemExit(
            f"{path} has no {' and no '.join(missing)}. See docs/time_to_likelihood.md."
        )
    return module


def run(
    train: Callable[..., None], digits: Any, test: Tensor, seed: int, limit: float = LIMIT
) -> dict[str, Any]:
    """Train an entry once.

    Returns the seconds to each goal (None if the goal was not reached), the seconds of the whole
    training, and the best value.
    """
    race = Race(test, limit)
    with contextlib.suppress(Enough):
        train(digits, seed, race.checkpoint)
    if race.unmeasured is not None:
        race.measure(race.unmeasured)
    elif race.best == float("inf"):
        raise SystemExit("The train function of the entry returned without calling checkpoint.")
    return {
        "seed": seed,
        "reached": {str(goal): race.reached.get(goal) for goal in GOALS},
        "seconds": race.seconds,
        "best": race.best,
    }


def row_of(name: str, entry: dict[str, Any]) -> str:
    """Return the table row of an entry, with the median and the slowest time over the seeds
    for each goal.
    """
    runs = entry["runs"]
    cells = []
    for goal in map(str, GOALS):
        times = [one["reached"][goal] for one in runs]
        if None in times:
            count = sum(one is not None for one in times)
            cells.append(f"reached by {count} of {len(times)} seeds" if count else "not reached")
        else:
            cells.append(f"{statistics.median(times):.0f} ({max(times):.0f})")
    best = ", ".join(f"{one['best']:.2f}" for one in runs)
    seconds = max(one["seconds"] for one in runs)
    return f"| {name} | {' | '.join(cells)} | {best} | {seconds:.0f} s |"


def print_table(entries: dict[str, Any]) -> None:
    goals = " | ".join(f"{goal:g}" for goal in GOALS)
    print(
        f"| seconds until the NLL is at most | {goals} | best NLL of each seed | longest training |"
    )
    print(f"|---|{'---:|' * (len(GOALS) + 2)}")
    for name, entry in entries.items():
        print(row_of(name, entry))
    for name, entry in entries.items():
        print(f"\n{name}: {entry['about']} ({entry['machine']})")


def measure(path: Path, seeds: list[int]) -> None:
    """Measure an entry on this machine and store its row."""
    entry = load_entry(path)
    torch.set_num_threads(THREADS)
    digits, test = mnist(True, "cpu", quiet=True), mnist(False, "cpu", quiet=True)
    if (len(digits), len(test)) != (60_000, 10_000):
        raise SystemExit("The table needs all of MNIST, which was not found. See data/README.md.")
    x = fixed_binarization(test.images).flatten(1)  # (10,000, 784)
    runs: list[dict[str, Any]] = []
    for seed in seeds:
        print(f"{entry.NAME}, seed {seed}")
        runs.append(run(entry.train, digits, x, seed))
    if len(runs) < SEEDS and any(one["reached"][str(GOALS[0])] for one in runs):
        print(f"Not stored, because a row with times needs at least {SEEDS} seeds.")
        print(row_of(entry.NAME, {"runs": runs}))
        return
    known = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
    machine = f"{platform.machine()}, {'with' if knows_bfloat16(x.device) else 'without'} bfloat16"
    known[entry.NAME] = {
        "about": entry.__doc__.strip().splitlines()[0],
        "machine": f"{machine}, torch {torch.__version__.partition('+')[0]}",
        "runs": runs,
    }
    write_whole(TABLE, f"{json.dumps(known, indent=1)}\n".encode())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "entries",
        nargs="*",
        type=Path,
        help="the files of the entries to measure; if none is given, the stored table is printed",
    )
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=int,
        default=[0, 1, 2],
        help="the seeds to train with (default: 0 1 2)",
    )
    parser.add_argument("--quick", action="store_true", help="only print the stored table")
    asked = parser.parse_args()
    entries = [] if asked.quick else asked.entries
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0  # not available on Windows
    if entries and load > 0.5:
        print(f"The machine is busy (load {load:.1f}), so the measured times will be too long.")
    for path in entries:
        measure(path, asked.seeds)
    if TABLE.exists():
        print_table(json.loads(TABLE.read_text(encoding="utf-8")))
    else:
        print("Nothing has been measured yet.")


if __name__ == "__main__":
    main()
