"""Compare one iteration of EM with scikit-learn's, on MNIST projected to 20 principal components.

    python benchmarks/em.py [--quick]
    python benchmarks/em.py --peers [--quick] [--components K ...]    compare with other packages

Both implementations start from the same weights, means and full precisions, with float64,
reg_covar=1e-6 and tol=0, and run alternately in one process. The time per iteration is the
difference between a longer and a shorter fit, so that setup costs cancel; the median over the
rounds is reported. Memory is the growth of the process during a fit.

The second table is for fitted mixtures with the same parameters. score_samples, predict and
predict_proba are called alternately on all digits, for every covariance type.

With --peers, the packages that em_peers/ adapts run alternately in one process, for every
covariance type, in float64 and in float32, from the same start, with reg_covar=0. Each row contains
the largest difference between the parameters after one iteration and those of scikit-learn in
float64, relative to the largest of their kind.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import platform
import statistics
import threading
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from types import ModuleType
from typing import Any

# scikit-learn needs this for tensors, and it must be set before SciPy is imported.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

import em_peers
import numpy as np
import psutil
import sklearn
import sklearn.mixture
import torch
from em_peers import METHODS

from course_lib.data import mnist
from course_lib.mixtures import GaussianMixture

# components: (rounds, extra iterations of the longer fit). With 512, scikit-learn needs about 8 s
# per iteration.
FULL = {20: (5, 4), 100: (3, 2), 512: (2, 1)}
# How many times as many extra iterations our fits get, so that their difference exceeds the noise.
OURS = 10
QUICK = {20: (3, 2), 100: (2, 1), 512: (1, 1)}
SCORED = (3, 20, 100)  # components, from a two-dimensional figure to a model of all digits
COVARIANCES = ("full", "tied", "diag", "spherical")
DTYPES = ("float64", "float32")
ROUNDS = {20: 3, 100: 3, 512: 2}  # components: rounds of the comparison with other packages
LONGER = 1.0  # seconds by which the longer fit should exceed the shorter one
LEAST = 3  # extra iterations at least, because the time of one is lost in the noise
MOST = 10  # extra iterations at most, because components could collapse in a longer fit
# With 512 full covariances and no reg_covar, some components collapse in the fourth iteration, and
# an iteration takes seconds, so one or two extra iterations suffice.
FEW = 1, 2


def projected() -> np.ndarray:
    """Return the training digits projected onto their first 20 principal components.

    The result has the shape (N, 20). Before the projection, the pixels are in [0, 1].
    """
    pixels = mnist(True).pixels()
    pixels = pixels - pixels.mean(0)
    scatter = sum(block.double().T @ block.double() for block in pixels.split(10_000))
    basis = torch.linalg.eigh(scatter).eigenvectors[:, -20:]  # (784, 20)
    return (pixels.double() @ basis).numpy()


def timed(
    run: Callable[[], Any], clock: Callable[[], float] = time.perf_counter
) -> tuple[Any, float, float]:
    """Return the result of `run`, its seconds, and the peak growth of the process in megabytes."""
    process, done = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    begin = clock()
    with warnings.catch_warnings(record=True):  # with tol=0 fits never converge, and packages warn
        result = run()
    seconds = clock() - begin
    done.set()
    watcher.join()
    return result, seconds, (peak - before) / 1e6


def compare(x: np.ndarray, k: int, rounds: int, more: int) -> str:
    """Return one row of the first table, for k components and the same start in both packages."""
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
                fit = functools.partial(kind(k, max_iter=n, **start).fit, x)
                model, took[n], grown = timed(fit)
                memory[name] = max(memory[name], grown)
            seconds[name].append((took[1 + steps] - took[1]) / steps)
            last = model.lower_bound_ if name == "theirs" else model.lower_bounds_[more]
            bound[name] = float(last)
    ours, theirs = (statistics.median(seconds[name]) for name in classes)
    apart = abs(bound["ours"] / bound["theirs"] - 1)
    return (
        f"| {k} | {ours:.3f} s | {theirs:.3f} s | {theirs / ours:.1f}× | {apart:.0e} "
        f"| {memory['ours']:.0f} MB | {memory['theirs']:.0f} MB |"
    )


def fitted(
    x: np.ndarray, k: int, covariance_type: str
) -> tuple[GaussianMixture, sklearn.mixture.GaussianMixture]:
    """Fit our mixture and scikit-learn's with one iteration from the same k digits."""
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
        warnings.simplefilter("ignore")  # one iteration does not converge, and both packages warn
        ours = GaussianMixture(k, **start).fit(x)
        theirs = sklearn.mixture.GaussianMixture(k, **start).fit(x)
    return ours, theirs


def compare_scoring(x: np.ndarray, k: int, covariance_type: str, rounds: int) -> str:
    """Return one row of the second table: the speed of each method relative to scikit-learn's."""
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


class PeerTables:
    """Compare the course with other packages in two tables.

    One table is about iterations of EM, and the other is about the methods of fitted mixtures.
    """

    def __init__(self, x: np.ndarray, peers: list[ModuleType], clock: Callable[[], float]):
        self.x, self.peers, self.clock = x, peers, clock
        # the parameters of scikit-learn, in float64
        self.reference: dict[tuple[int, str], em_peers.Parameters] = {}

    def print_tables(self, components: list[int]) -> None:
        """Print both tables, each row as soon as it has been measured."""
        title = "An iteration of EM: seconds, the ratio to ours, and the memory of a fit"
        self.print_table(title, self.iterations, components)
        title = "A fitted mixture: score_samples / predict / predict_proba, in milliseconds"
        self.print_table(title, self.methods, components)

    def print_table(self, title: str, measure: Callable[..., Any], components: list[int]) -> None:
        """Print one table.

        measure: `iterations` or `methods`, which returns cells and the last column.
        """
        names = " | ".join(peer.NAME for peer in self.peers)
        print(f"\n{title}:\n\n| components | covariances | dtype | {names} | largest difference |")
        print("|---:|---|---|" + "---:|" * (len(self.peers) + 1))
        for k, covariance_type, dtype in itertools.product(components, COVARIANCES, DTYPES):
            cells, apart = measure(k, covariance_type, dtype)
            columns = " | ".join(cells.get(peer.NAME, "–") for peer in self.peers)
            print(f"| {k} | {covariance_type} | {dtype} | {columns} | {apart:.0e} |", flush=True)

    def able(self, covariance_type: str, dtype: str) -> list[ModuleType]:
        """Return the packages that support this covariance type and this dtype."""
        return [
            peer
            for peer in self.peers
            if covariance_type in peer.COVARIANCES and dtype in peer.DTYPES
        ]

    def iterations(self, k: int, covariance_type: str, dtype: str) -> tuple[dict[str, str], float]:
        """Return a table cell for each package, and the largest difference between parameters
        after one iteration.
        """
        x = self.x.astype(dtype)
        start = em_peers.start_at(x, k, covariance_type)
        peers = self.able(covariance_type, dtype)
        seconds: dict[str, list[float]] = {peer.NAME: [] for peer in peers}
        memory: dict[str, float] = {}
        more: dict[str, int] = {}  # extra iterations of the longer fit
        least, most = FEW if (k, covariance_type) == (512, "full") else (LEAST, MOST)
        found = {}
        # these fits are not counted: mapping memory makes a first fit slower than an iteration
        for peer in peers:
            fit = peer.prepare(x, start, covariance_type, 1)
            model, short, memory[peer.NAME] = timed(fit, self.clock)
            found[peer.NAME] = peer.parameters(model)
            more[peer.NAME] = min(most, max(least, round(LONGER / short)))
        for _ in range(ROUNDS[k]):
            for peer in peers:
                name = peer.NAME
                _, short, _ = timed(peer.prepare(x, start, covariance_type, 1), self.clock)
                fit = peer.prepare(x, start, covariance_type, 1 + more[name])
                _, long, grown = timed(fit, self.clock)
                seconds[name].append((long - short) / more[name])
                memory[name] = max(memory[name], grown)
        if dtype == "float64":
            self.reference[k, covariance_type] = found["scikit-learn"]
        reference = self.reference[k, covariance_type]
        apart = max(em_peers.apart(parameters, reference) for parameters in found.values())
        ours = statistics.median(seconds["ours"])
        cells = {}
        for name in found:
            time_taken = statistics.median(seconds[name])
            cells[name] = f"{time_taken:.3f} s, {time_taken / ours:.1f}×, {memory[name]:.0f} MB"
        return cells, apart

    def methods(self, k: int, covariance_type: str, dtype: str) -> tuple[dict[str, str], float]:
        """Return a table cell for each package that has the methods, and the largest difference
        in log-likelihood.
        """
        x = self.x.astype(dtype)
        start = em_peers.start_at(x, k, covariance_type)
        peers = [peer for peer in self.able(covariance_type, dtype) if hasattr(peer, METHODS[0])]
        models = {}
        for peer in peers:
            models[peer.NAME], _, _ = timed(peer.prepare(x, start, covariance_type, 1))
        # one text for each method
        milliseconds: dict[str, list[str]] = {peer.NAME: [] for peer in peers}
        apart = 0.0
        for method in METHODS:
            calls = {
                peer.NAME: functools.partial(getattr(peer, method), models[peer.NAME], x)
                for peer in peers
            }
            values = {name: call() for name, call in calls.items()}  # JAX compiles in a first call
            if method == "score_samples":
                apart = max(float(np.abs(each - values["ours"]).max()) for each in values.values())
            seconds: dict[str, list[float]] = {name: [] for name in calls}
            for _ in range(ROUNDS[k]):
                for name, call in calls.items():
                    begin = self.clock()
                    call()
                    seconds[name].append(self.clock() - begin)
            for name, all_seconds in seconds.items():
                milliseconds[name].append(f"{1000 * statistics.median(all_seconds):.0f}")
        return {name: " / ".join(of_methods) for name, of_methods in milliseconds.items()}, apart


def installed_peers() -> list[ModuleType]:
    """Return the installed packages.

    Prints their versions, and a message for each missing package.
    """
    peers, versions = [], []
    for name in em_peers.NAMES:
        peer, missing = em_peers.load(name)
        if peer is None:
            print(missing)
        else:
            peers.append(peer)
            versions += [f"{package} {version(package)}" for package in peer.PACKAGES]
    print("Compared with " + ", ".join(dict.fromkeys(versions)) + ".")
    return peers


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer rounds (about one minute instead of three); with --peers, only 20 components",
    )
    parser.add_argument(
        "--peers", action="store_true", help="compare with several other packages instead"
    )
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="with --peers, measure CPU time, for a busy machine; use a single thread",
    )
    parser.add_argument(
        "--components",
        type=int,
        nargs="+",
        choices=ROUNDS,
        help="with --peers, only these numbers of components",
    )
    return parser.parse_args()


def main() -> None:
    args = options()
    x = projected()
    print(
        f"\nEM on {len(x):,} digits in 20 dimensions. {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, {platform.system()} {platform.machine()}; Python "
        f"{platform.python_version()}, torch {torch.__version__}, scikit-learn "
        f"{sklearn.__version__}, numpy {np.__version__}.\n"
    )
    if args.peers:
        clock = time.process_time if args.processor_time else time.perf_counter
        components = args.components or ([20] if args.quick else list(ROUNDS))
        PeerTables(x, installed_peers(), clock).print_tables(components)
        return
    print_iterations(x, QUICK if args.quick else FULL)
    print_scoring(x, rounds=3 if args.quick else 11)


def print_iterations(x: np.ndarray, plan: dict[int, tuple[int, int]]) -> None:
    """Print the table of iterations, and the figures for a complete fit with many components."""
    print("Full covariance, float64:\n")
    print(
        "| components | ours, per iteration | scikit-learn | ratio | log-likelihood difference "
        "| memory, ours | memory, scikit-learn |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|")
    # The first fit loads the libraries.
    timed(functools.partial(GaussianMixture(20, max_iter=1, tol=0, random_state=0).fit, x))
    for k, (rounds, more) in plan.items():
        if 50 * k <= len(x):  # the 5,000 digits used without MNIST are too few for 512 components
            print(compare(x, k, rounds, more), flush=True)
    k = min(512, len(x) // 50)
    model = GaussianMixture(k, max_iter=20, tol=0, random_state=0)
    model, seconds, grown = timed(functools.partial(model.fit, x))
    print(
        f"\n{model.n_iter_} iterations with {k} components, including the k-means start: "
        f"{seconds:.0f} s, {grown:.0f} MB, {model.lower_bound_:.3f} nats per digit."
    )


def print_scoring(x: np.ndarray, rounds: int) -> None:
    """Print the table of the methods of a fitted mixture."""
    print(
        "\nThe methods of a fitted mixture, ours / scikit-learn's, and how many times as fast "
        "ours are:\n"
    )
    print(
        "| components | covariances | score_samples | predict | predict_proba "
        "| largest difference |"
    )
    print("|---:|---|---:|---:|---:|---:|")
    for k in SCORED:
        for covariance_type in COVARIANCES:
            print(compare_scoring(x, k, covariance_type, rounds), flush=True)


if __name__ == "__main__":
    main()
