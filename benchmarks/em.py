"""One iteration of EM, the course's and scikit-learn's, side by side: MNIST on 20 principal components.

    python benchmarks/em.py [--quick]

Both get the same weights, means and precisions, full covariance, float64, reg_covar 1e-6 and tol 0, and run
alternately in one process. The time of an iteration is the difference between a longer and a shorter fit, so
that start and end cancel; the median over the rounds is reported. Memory: what the process grew by in a fit.
"""

from __future__ import annotations

import argparse
import functools
import os
import platform
import statistics
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import sklearn
import sklearn.mixture
import torch

from course_lib.data import mnist
from course_lib.mixtures import GaussianMixture

# components: rounds, iterations more in the longer fit. scikit-learn takes some 8 s an iteration for 512.
FULL = {20: (5, 4), 100: (3, 2), 512: (2, 1)}
OURS = 10  # times as many of ours: the difference between the two fits must stand out from the noise
QUICK = {20: (3, 2), 100: (2, 1), 512: (1, 1)}


def projected() -> np.ndarray:
    """The training digits (N, 784), pixels in [0, 1], on their first 20 principal components: (N, 20)."""
    pixels = mnist(True).pixels()
    pixels = pixels - pixels.mean(0)
    scatter = sum(block.double().T @ block.double() for block in pixels.split(10_000))
    basis = torch.linalg.eigh(scatter).eigenvectors[:, -20:]  # (784, 20)
    return (pixels.double() @ basis).numpy()


def timed(run: Callable[[], Any]) -> tuple[Any, float, float]:
    """What `run` returns, its seconds, and the megabytes by which the process grew meanwhile, at most."""
    process, done = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    begin = time.perf_counter()
    with warnings.catch_warnings(record=True):  # tol = 0 never converges, and both say so
        result = run()
    seconds = time.perf_counter() - begin
    done.set()
    watcher.join()
    return result, seconds, (peak - before) / 1e6


def compare(x: np.ndarray, k: int, rounds: int, more: int) -> str:
    """One row of the table: K components, the same start for both."""
    shared = np.linalg.inv(np.cov(x.T))
    start = {
        "weights_init": np.full(k, 1 / k),
        "means_init": x[np.random.default_rng(0).choice(len(x), k, replace=False)],
        "precisions_init": np.broadcast_to(shared, (k, *shared.shape)).copy(),
        "tol": 0,
        "reg_covar": 1e-6,
    }
    classes = {"ours": GaussianMixture, "theirs": sklearn.mixture.GaussianMixture}
    seconds: dict[str, list[float]] = {name: [] for name in classes}
    memory, bound = dict.fromkeys(classes, 0.0), {}
    for _ in range(rounds):
        for name, kind in classes.items():
            steps = more if name == "theirs" else OURS * more
            took = {}
            for n in (1, 1 + steps):
                model, took[n], grown = timed(functools.partial(kind(k, max_iter=n, **start).fit, x))
                memory[name] = max(memory[name], grown)
            seconds[name].append((took[1 + steps] - took[1]) / steps)
            bound[name] = float(model.lower_bound_ if name == "theirs" else model.lower_bounds_[more])
    ours, theirs = (statistics.median(seconds[name]) for name in classes)
    apart = abs(bound["ours"] / bound["theirs"] - 1)
    return (
        f"| {k} | {ours:.3f} s | {theirs:.3f} s | {theirs / ours:.1f}× | {apart:.0e} "
        f"| {memory['ours']:.0f} MB | {memory['theirs']:.0f} MB |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a minute instead of three")
    plan = QUICK if parser.parse_args().quick else FULL
    x = projected()
    print(
        f"\nEM on {len(x):,} digits of 20 dimensions, full covariance, float64. {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, {platform.system()} {platform.machine()}; Python "
        f"{platform.python_version()}, torch {torch.__version__}, scikit-learn {sklearn.__version__}, "
        f"numpy {np.__version__}.\n"
    )
    print(
        "| components | ours, an iteration | scikit-learn | ratio | log-likelihood apart | our memory | its |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|")
    timed(functools.partial(GaussianMixture(20, max_iter=1, tol=0, random_state=0).fit, x))  # libraries load
    for k, (rounds, more) in plan.items():
        if 50 * k <= len(x):  # the 5,000 digits that serve without MNIST are too few for 100 components
            print(compare(x, k, rounds, more), flush=True)
    k = min(512, len(x) // 50)
    model = GaussianMixture(k, max_iter=20, tol=0, random_state=0)
    model, seconds, grown = timed(functools.partial(model.fit, x))
    print(
        f"\n{model.n_iter_} iterations with {k} components, k-means start included: {seconds:.0f} s, "
        f"{grown:.0f} MB, {model.lower_bound_:.3f} nats a digit."
    )


if __name__ == "__main__":
    main()
