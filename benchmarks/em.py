"""One iteration of EM, the course's and scikit-learn's, side by side: MNIST on 20 principal components.

    python benchmarks/em.py [--quick]

Both get the same weights, means and precisions, full covariance, float64, reg_covar 1e-6 and tol 0, and run
alternately in one process. The time of an iteration is the difference between a longer and a shorter fit, so
that start and end cancel; the median over the rounds is reported. Memory: what the process grew by in a fit.

The second table is for a fitted mixture: both classes hold the same parameters. score_samples, predict and
predict_proba are called alternately on all the digits, for every covariance type.
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
SCORED = (3, 20, 100)  # components: from a figure in two dimensions to a model of all digits
METHODS = ("score_samples", "predict", "predict_proba")
COVARIANCES = ("full", "tied", "diag", "spherical")


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


def fitted(
    x: np.ndarray, k: int, covariance_type: str
) -> tuple[GaussianMixture, sklearn.mixture.GaussianMixture]:
    """Our mixture and scikit-learn's, both with the parameters of one iteration from the same k digits."""
    variance = x.var(0)
    precisions: dict[str, np.ndarray] = {
        "full": np.broadcast_to(np.diag(1 / variance), (k, x.shape[1], x.shape[1])),
        "tied": np.diag(1 / variance),
        "diag": np.broadcast_to(1 / variance, (k, x.shape[1])),
        "spherical": np.full(k, 1 / variance.mean()),
    }
    start = {
        "covariance_type": covariance_type,
        "weights_init": np.full(k, 1 / k),
        "means_init": x[np.random.default_rng(0).choice(len(x), k, replace=False)],
        "precisions_init": precisions[covariance_type].copy(),
        "max_iter": 1,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one iteration does not converge, and both say so
        ours = GaussianMixture(k, **start).fit(x)
        theirs = sklearn.mixture.GaussianMixture(k, **start).fit(x)
    return ours, theirs


def compare_scoring(x: np.ndarray, k: int, covariance_type: str, rounds: int) -> str:
    """One row of the second table: how many times as fast as scikit-learn's each method is."""
    ours, theirs = fitted(x, k, covariance_type)
    ratios, apart = [], 0.0
    for method in METHODS:
        seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
        for _ in range(rounds):
            begin = time.perf_counter()
            our_values = getattr(ours, method)(x)
            middle = time.perf_counter()
            their_values = getattr(theirs, method)(x)
            seconds["ours"].append(middle - begin)
            seconds["theirs"].append(time.perf_counter() - middle)
        apart = max(apart, float(np.abs(our_values - their_values).max()))
        mine, other = (statistics.median(seconds[name]) for name in seconds)
        ratios.append(f"{1000 * mine:.1f} / {1000 * other:.1f} ms, {other / mine:.1f}×")
    return f"| {k} | {covariance_type} | {' | '.join(ratios)} | {apart:.0e} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a minute instead of three")
    quick = parser.parse_args().quick
    plan = QUICK if quick else FULL
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
    rounds = 3 if quick else 11
    print("\nA fitted mixture, ours / scikit-learn's, and how many times as fast ours is:\n")
    print("| components | covariances | score_samples | predict | predict_proba | values apart, at most |")
    print("|---:|---|---:|---:|---:|---:|")
    for k in SCORED:
        for covariance_type in COVARIANCES:
            print(compare_scoring(x, k, covariance_type, rounds), flush=True)


if __name__ == "__main__":
    main()
