"""How many images a second the plain VAE trains on in one process, and in processes that share the training.

    python benchmarks/processes.py [--processes 2] [--rounds 2]

Each process computes in one thread. In turn: one process without torchrun, a group of one, and the group.
They train four epochs of MNIST in batches of 128. The first warms up; of the other three, which process 0
times, the median counts.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import time

EPOCHS = 4


def train_and_time() -> None:
    """Print images a second of each epoch but the first."""
    from course_lib.data import mnist  # here, because the process that only starts others needs no PyTorch
    from course_lib.recipes import RECIPES, train
    from course_lib.training.processes import first, group, own_device

    with group():
        digits = first(mnist).to(own_device())
        clock = {"evaluate": lambda model: {"seconds": time.perf_counter()}}
        _, run = train(RECIPES["plain"], digits, epochs=EPOCHS, quiet=True, **clock)
        seconds = run.evaluations.get("seconds", [])
        for start, stop in itertools.pairwise(seconds):
            print(f"rate {len(digits) / (stop - start):.0f}")


def rates(launcher: list[str]) -> list[float]:
    """Images a second, an epoch each, of a training started this way."""
    command = [sys.executable, *launcher, __file__, "--train"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("rate ")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.train:
        train_and_time()
        return
    torchrun = ["-m", "torch.distributed.run", "--standalone"]
    launchers = {
        "one process": [],
        "a group of 1": [*torchrun, "--nproc-per-node=1"],
        f"a group of {asked.processes}": [*torchrun, f"--nproc-per-node={asked.processes}"],
    }
    found: dict[str, list[float]] = {name: [] for name in launchers}
    for i in range(asked.rounds):
        for name, launcher in launchers.items():
            found[name].append(statistics.median(rates(launcher)))
            print(f"round {i + 1}, {name}: {found[name][-1]:,.0f} images a second")
    base = statistics.mean(found["one process"])
    for name, values in found.items():
        rate = statistics.mean(values)
        print(f"{name}: {rate:,.0f} images a second, {rate / base:.2f} times one process")


if __name__ == "__main__":
    main()
