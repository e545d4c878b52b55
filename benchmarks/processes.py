"""Measure the speed of training the plain VAE, in one process and in a group of processes.

    python benchmarks/processes.py [--processes 2] [--rounds 2] [--batch 128 1024]
    python benchmarks/processes.py --quick          one round, and only batches of 1,024

For each batch size, these runs alternate: one process without torchrun, with one thread and with as
many threads as the group has processes; a group of one process; and the whole group. Each process
of a group uses one thread. Each run trains for four epochs on MNIST. The first epoch is a warm-up.
Process 0 times the other three, and their median is reported, in images per second.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import statistics
import subprocess
import sys
import time

EPOCHS = 4


def train_and_time(batch_size: int) -> None:
    """Train, and print the images per second of every epoch except the first."""
    from course_lib.data import mnist  # here, because the parent process needs no PyTorch
    from course_lib.recipes import RECIPES, train
    from course_lib.training.processes import first, group, own_device

    with group():
        digits = first(mnist).to(own_device())
        clock = {"evaluate": lambda model: {"seconds": time.perf_counter()}}
        recipe = dataclasses.replace(RECIPES["plain"], batch_size=batch_size)
        _, run = train(recipe, digits, epochs=EPOCHS, quiet=True, **clock)
        seconds = run.evaluations.get("seconds", [])
        for start, stop in itertools.pairwise(seconds):
            print(f"rate {len(digits) / (stop - start):.0f}")


def rates(launcher: list[str], batch_size: int, threads: int) -> list[float]:
    """Start a training run, and return its images per second for each epoch."""
    command = [sys.executable, *launcher, __file__, "--train", str(batch_size)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("rate ")]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--processes", type=int, default=2, help="the size of the group (default: 2)"
    )
    parser.add_argument(
        "--rounds", type=int, default=2, help="how often each run is repeated (default: 2)"
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[128, 1024], help="the batch sizes")
    parser.add_argument("--quick", action="store_true", help="one round, and only batches of 1,024")
    parser.add_argument("--train", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.quick:
        asked.rounds, asked.batch = 1, [1024]
    if asked.train:
        train_and_time(asked.train)
        return
    processes = asked.processes
    torchrun = ["-m", "torch.distributed.run", "--standalone"]
    ways = {  # description: (launcher, threads per process)
        "one process": ([], 1),
        f"one process, {processes} threads": ([], processes),
        "a group of 1": ([*torchrun, "--nproc-per-node=1"], 1),
        f"a group of {processes}": ([*torchrun, f"--nproc-per-node={processes}"], 1),
    }
    for batch_size in asked.batch:
        found: dict[str, list[float]] = {name: [] for name in ways}
        for i in range(asked.rounds):
            for name, (launcher, threads) in ways.items():
                found[name].append(statistics.median(rates(launcher, batch_size, threads)))
                rate = f"{found[name][-1]:,.0f} images per second"
                print(f"batches of {batch_size}, round {i + 1}, {name}: {rate}", flush=True)
        base = statistics.mean(found["one process"])
        for name, values in found.items():
            rate = f"{statistics.mean(values):,.0f} images per second"
            times = f"{statistics.mean(values) / base:.2f} times the rate of one process"
            print(f"batches of {batch_size}, {name}: {rate}, {times}")


if __name__ == "__main__":
    main()
