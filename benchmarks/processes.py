"""How many images a second the plain VAE trains on in one process, and in processes that share the training.

    python benchmarks/processes.py [--processes 2] [--rounds 2] [--batch 128 1024]

In turn: one process without torchrun, in one thread and in as many as the group has processes; a group of
one; and the whole group. Each process of a group computes in one thread. All of this is done for each batch
size. Each run trains for four epochs on MNIST. The first warms up; of the other three, which process 0
times, the median counts.
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
    """Print the images per second of every epoch but the first."""
    from course_lib.data import mnist  # here, because the process that only starts others needs no PyTorch
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
    """Images per second, epoch by epoch, of a training run started this way."""
    command = [sys.executable, *launcher, __file__, "--train", str(batch_size)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("rate ")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch", type=int, nargs="+", default=[128, 1024])
    parser.add_argument("--train", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.train:
        train_and_time(asked.train)
        return
    processes = asked.processes
    torchrun = ["-m", "torch.distributed.run", "--standalone"]
    ways = {  # in words: the launcher, the threads of each process
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
                rate = f"{found[name][-1]:,.0f} images a second"
                print(f"batches of {batch_size}, round {i + 1}, {name}: {rate}", flush=True)
        base = statistics.mean(found["one process"])
        for name, values in found.items():
            rate = f"{statistics.mean(values):,.0f} images a second"
            times = f"{statistics.mean(values) / base:.2f} times one process"
            print(f"batches of {batch_size}, {name}: {rate}, {times}")


if __name__ == "__main__":
    main()
