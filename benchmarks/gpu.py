"""Measure a training step in several ways, and each kernel and its reference, for “Inside the GPU”.

    python benchmarks/gpu.py [--quick] [--json FILE]

The plain VAE, 784-400-20, batch 128, Adam with learning rate 1e-3, float32, pixels binarized anew
at each step. The time of a step is the difference between a longer and a shorter training run, so
that the costs of compilation and capture cancel. All times are medians over the rounds, in one
process. The first figures are two floors for any step: the bytes that it must move, and the
launches that the usual way needs. Kernels are timed at a size that fills a GPU: with their
gradients, to compare them with their references, and alone, to compare their bandwidth with that of
a copy. An iteration of EM with full covariances is compared with its lower bounds, bytes and
operations, and with scikit-learn's on the same device, which needs SCIPY_ARRAY_API=1 in the
environment; cuML has no Gaussian mixture (its issue 2034). On a CPU the same tables are printed for
the references, which run there.

--quick: a fraction of the sizes. --json: write the figures with the machine, versions and date; the
last chapter plots the file course_lib/weights/gpu.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import sklearn
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from vae import Tutorial

from course_lib import kernels
from course_lib.data import Digits, binarize, fixed_binarization, mnist
from course_lib.device import pick_device
from course_lib.evaluation.likelihood import elbo
from course_lib.files import usable, write_whole
from course_lib.kernels import full_e_step
from course_lib.mixtures.density import precision_factors
from course_lib.mixtures.fast_steps import FastSteps
from course_lib.models.vae import VAE
from course_lib.probability.em import Parameters
from course_lib.training import Run

BATCH = 128
TUTORIAL, EAGER, COMPILE, GRAPH = "the tutorial's loop", "our eager loop", "compile", "graph"
BOTH, FUSED, FUSED_GRAPH = "graph + compile", "fused kernels", "graph + fused kernels"
WAYS = {  # name: (loss, whether the step is one graph)
    EAGER: ("plain", False),
    COMPILE: ("compiled", False),
    FUSED: ("fused", False),
    GRAPH: ("plain", True),
    BOTH: ("compiled", True),
    FUSED_GRAPH: ("fused", True),
}
Row = dict[str, Any]


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def clock(work: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Return the median seconds of `work`, after three runs that compile, allocate and warm up."""
    taken = []
    for i in range(rounds + 3):
        wait(device)
        begin = time.perf_counter()
        work()
        wait(device)
        taken.append(time.perf_counter() - begin)
        if i < 3 and sum(taken) > 20:  # on a slow CPU one run is enough to warm up
            break
    return statistics.median(taken[3:] or taken[-1:])


def copy_bandwidth(device: torch.device, size: int) -> float:
    """Measure the bytes per second, read and written, of a copy, as a reference for kernels."""
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * size / clock(lambda: target.copy_(source), device, 10)


def launch_seconds(device: torch.device) -> float:
    """Measure the seconds per launch of a minimal operation.

    The operation adds 1 to one number, and is launched a thousand times.
    """
    one = torch.zeros(1, device=device)

    def thousand() -> None:
        for _ in range(1000):
            one.add_(1)

    return clock(thousand, device, 5) / 1000


# ---------------------------------------------------------------- the training step


def setup(
    digits: Digits, loss: str, device: torch.device
) -> tuple[Run, Callable[[Any], dict[str, Tensor]]]:
    """Return a run of the plain VAE, and its complete update function."""
    torch.manual_seed(0)
    images = digits.images.flatten(1)
    model = VAE().to(device)
    optimizer = torch.optim.Adam(
        model.parameters(), 1e-3, fused=True, capturable=device.type == "cuda"
    )
    terms = {"plain": model.loss, "fused": lambda x: kernels.fused_loss(model, x)}
    compute = torch.compile(model.loss) if loss == "compiled" else terms[loss]
    # with the fused kernels the data are row indices, because one kernel gathers and binarizes
    data = torch.arange(len(images), device=device) if loss == "fused" else images

    def update(batch: Tensor) -> dict[str, Tensor]:
        x = kernels.gather_binarize(images, batch) if loss == "fused" else binarize(batch)
        losses = compute(x)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        return losses

    return Run(data, batch_size=BATCH, model=model, optimizer=optimizer), update


def step_seconds(
    digits: Digits, loss: str, graph: bool, steps: int, rounds: int, device: Any
) -> float:
    """Return the median time of a training step, in seconds.

    In each round, the time of a short training run is subtracted from that of a longer one, and
    the difference is divided by the number of extra steps.
    """
    run, update = setup(digits, loss, device)
    epoch = -(-len(digits) // BATCH)  # steps per epoch, including an incomplete batch

    def more(count: int) -> float:
        wait(device)
        begin = time.perf_counter()
        run.train(update, (run.step + count) / epoch, report_every=100, graph=graph, quiet=True)
        wait(device)
        return time.perf_counter() - begin

    # compile first, also for the smaller batch at the end of an epoch
    more(epoch + 1 if loss == "compiled" or device.type == "cuda" else 8)
    short = max(8, steps // 5)
    return statistics.median((more(short + steps) - more(short)) / steps for _ in range(rounds))


class Counter(TorchDispatchMode):
    """Count the operations called, which on a CPU correspond to the launches on a GPU."""

    n = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.n += 1
        return function(*args, **(kwargs or {}))


def operations(digits: Digits, loss: str, device: torch.device) -> int:
    """Count the kernels that one eager step launches on a GPU, or the operations that it calls
    on a CPU.
    """
    _, update = setup(digits, loss, device)
    index = torch.arange(BATCH, device=device)
    batch = index if loss == "fused" else digits.images.flatten(1)[:BATCH]
    for _ in range(3):
        update(batch)
    if device.type != "cuda":
        with Counter() as counter:
            update(batch)
        return counter.n
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        update(batch)
        wait(device)
    return sum(event.device_type == torch.autograd.DeviceType.CUDA for event in profiler.events())


def floors(digits: Digits, device: torch.device, quick: bool) -> Row:
    """Compute lower bounds for the time of a step, and the launches of the usual way."""
    weights = sum(p.numel() for p in VAE().parameters())
    # float32: the forward and the backward pass each read the weights once, and the gradient is
    # written. Adam reads the weights, the gradient and two moments, and writes all of them except
    # the gradient.
    moved = 4 * weights * (1 + 1 + 1 + 4 + 3) + BATCH * 784
    bandwidth = copy_bandwidth(device, 2**26 if quick or device.type != "cuda" else 2**30)
    launch = launch_seconds(device)
    count = {loss: operations(digits, loss, device) for loss in ("plain", "fused")}
    return {
        "bytes": moved,
        "copy_gb_s": bandwidth / 1e9,
        "bytes_us": moved / bandwidth * 1e6,
        "launch_us": launch * 1e6,
        "operations": count["plain"],
        "operations_fused": count["fused"],
        "launches_us": launch * count["plain"] * 1e6,
    }


def steps(digits: Digits, device: torch.device, quick: bool) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    size = BATCH * (8 if quick else 50)
    few = Digits(digits.images[:size], digits.labels[:size], "")
    tutorial = Tutorial(few)
    rows[TUTORIAL] = row(clock(tutorial.epoch, device, 1 if quick else 5) / (len(few) // BATCH))
    count, rounds = (20, 1) if quick else (2000, 5) if device.type == "cuda" else (200, 3)
    for name, (loss, graph) in WAYS.items():
        if graph and device.type != "cuda":
            rows[name] = {"left_out": "a graph needs CUDA"}
            continue
        try:
            rows[name] = row(step_seconds(digits, loss, graph, count, rounds, device))
        except Exception as error:  # without a compiler, the other rows are still useful
            first_line = str(error).strip().splitlines()[0]
            rows[name] = {"left_out": f"{type(error).__name__}: {first_line[:100]}"}
        if loss == "fused" and "us" in rows[name]:
            rows[name]["ran"] = sorted({kernels.ran["fused_elbo"], kernels.ran["gather_binarize"]})
    return rows


def row(seconds: float) -> Row:
    return {"us": seconds * 1e6, "images_s": BATCH / seconds}


def hundred_epochs(digits: Digits, test: Tensor, loss: str, device: torch.device) -> Row:
    """Time a training of 100 epochs from the first step to the last, and compute its test −ELBO."""
    run, update = setup(digits, loss, device)
    wait(device)
    begin = time.perf_counter()
    run.train(update, 100, report_every=469, graph=True, quiet=True)
    wait(device)
    return {
        "seconds": time.perf_counter() - begin,
        "minus_elbo": -float(elbo(run.parts["model"].eval(), test).elbo),
    }


# ---------------------------------------------------------------- the kernels


def with_gradients(function: Any, leaves: list[Tensor], *others: Any) -> Callable[[], None]:
    """Return a function that calls `function`, averages its results, and computes the gradients."""

    def work() -> None:
        for leaf in leaves:
            leaf.grad = None
        out = function(*leaves, *others)
        total = sum(part.mean() for part in out) if isinstance(out, tuple) else out.mean()
        total.backward()

    return work


Job = tuple[int, Callable[[], object], dict[str, Callable[[], object]]]


def kernel_jobs(device: torch.device, n: int) -> dict[str, Job]:
    """Return what to measure for each kernel.

    A job contains the number of bytes that the kernel must move, a call of the kernel alone, and a
    call for each way to compute its results.
    """
    torch.manual_seed(0)
    pixels, d = 784, 20
    logits, x = torch.randn(n, pixels, device=device), torch.rand(n, pixels, device=device)
    mu, logvar = torch.randn(n, d, device=device), torch.randn(n, d, device=device)
    leaves = [t.requires_grad_() for t in (logits, mu, logvar)]
    images = torch.randint(0, 256, (n, pixels), dtype=torch.uint8, device=device)
    index, seed = torch.randperm(n, device=device), kernels.new_seed(device)
    wide = [torch.randn(n, pixels, device=device).requires_grad_() for _ in range(2)]

    def ways(job: Callable[[Any], Callable[[], object]], fused: Any, reference: Any) -> Row:
        compiled = torch.compile(reference)
        return {
            "kernel": job(fused),
            "reference": job(reference),
            "compiled reference": job(compiled),
        }

    def terms(function: Any) -> Callable[[], object]:
        return with_gradients(lambda a, m, v: function(a, x, m, v), leaves)

    def draw(function: Any) -> Callable[[], object]:
        return with_gradients(lambda m, v: function(m, v, seed), wide)

    def gather(function: Any) -> Callable[[], object]:
        return lambda: function(images, index, seed)

    return {
        # reads logits and pixels, and writes the gradient with respect to the logits
        "fused ELBO": (
            12 * n * pixels,
            lambda: kernels.fused_elbo(logits, x, mu, logvar),
            ways(terms, kernels.fused_elbo, kernels.elbo_reference),
        ),
        # reads two arrays, and writes one
        "reparameterization": (
            12 * n * pixels,
            lambda: kernels.fused_reparameterize(*wide, seed),
            ways(draw, kernels.fused_reparameterize, kernels.reparameterize_reference),
        ),
        # reads one byte and writes one float32 per pixel
        "gather + binarize": (
            5 * n * pixels,
            gather(kernels.gather_binarize),
            ways(gather, kernels.gather_binarize, kernels.gather_binarize_reference),
        ),
    }


def attempt(work: Callable[[], object], device: torch.device, rounds: int) -> float | None:
    try:
        return clock(work, device, rounds)
    except Exception as error:
        print(f"left out: {type(error).__name__}: {str(error).strip().splitlines()[0][:100]}")
        return None


def measure_kernels(device: torch.device, quick: bool, copy_gb_s: float) -> dict[str, Row]:
    n = 60_000 if device.type == "cuda" and not quick else 2_000
    found = {}
    for name, (size, alone, ways) in kernel_jobs(device, n).items():
        seconds = {way: attempt(work, device, 3 if quick else 20) for way, work in ways.items()}
        if not has_kernels(device):
            seconds["kernel"] = None  # the public function has used the reference
        entry: Row = {"rows": n, "ms": {way: s and s * 1e3 for way, s in seconds.items()}}
        if seconds["kernel"]:
            entry["gb_s"] = size / clock(alone, device, 3 if quick else 20) / 1e9
            entry["share_of_copy"] = entry["gb_s"] / copy_gb_s
        found[name] = entry
    return found


def has_kernels(device: torch.device) -> bool:
    return device.type == "cuda" and kernels.which(device).startswith("Triton on")


def measure_e_step(device: torch.device, quick: bool) -> dict[str, Row]:
    """Measure the time, and on a GPU the peak memory in addition to the data."""
    n, k = (60_000, 512) if device.type == "cuda" and not quick else (2_000, 64)
    reference = kernels.mixture_statistics_reference
    ways = {
        "kernel": kernels.mixture_statistics,
        "reference": reference,
        "compiled reference": torch.compile(reference),
    }
    found = {}
    for d in (50, 784):
        torch.manual_seed(0)
        x, means = torch.randn(n, d, device=device), torch.randn(k, d, device=device)
        weights, variances = torch.full((k,), 1 / k, device=device), torch.ones_like(means)
        arguments = (x, weights, means, variances)
        entry: Row = {"n": n, "d": d, "k": k, "ms": {}, "peak_mb": {}}
        for way, function in ways.items():
            work = lambda f=function, a=arguments: f(*a)  # noqa: E731
            taken = (
                None
                if way == "kernel" and not has_kernels(device)
                else attempt(work, device, 3 if quick else 10)
            )
            entry["ms"][way] = taken and taken * 1e3
            entry["peak_mb"][way] = taken and peak_mb(work, device)
        found[f"d = {d}"] = entry
    return found


def peak_mb(work: Callable[[], object], device: torch.device) -> float | None:
    """Measure the peak memory that `work` allocates, in MB.

    Returns None on a CPU, where memory is not tracked.
    """
    if device.type != "cuda":
        return None
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


# ---------------------------------------------------------------- EM with full covariances

KERNEL, TENSOR_CORES, REFERENCE = "kernel", "kernel on tensor cores", "reference"
PRODUCTS, SCIKIT_LEARN = "two products", "scikit-learn"
Statistics = Callable[[], kernels.FullStatistics]


def product_rate(device: torch.device, size: int) -> float:
    """Measure the operations per second of a square float32 matrix product, as a reference."""
    a = torch.ones(size, size, device=device)
    return 2 * size**3 / clock(lambda: a @ a, device, 10)


def full_statistics(x: Tensor, start: Parameters, factors: Tensor) -> dict[str, Statistics]:
    """Return the implementations of the E-step that return sufficient statistics."""
    given = x, start.weights, start.means, factors

    def on_tensor_cores() -> kernels.FullStatistics:
        # three products of 10-bit numbers instead of one of 24-bit numbers
        with mock.patch.object(full_e_step, "PRECISION", "tf32x3"):
            return kernels.full_mixture_statistics(*given)

    found: dict[str, Statistics] = {
        REFERENCE: lambda: kernels.full_mixture_statistics_reference(*given)
    }
    if has_kernels(x.device):
        found |= {
            KERNEL: lambda: kernels.full_mixture_statistics(*given),
            TENSOR_CORES: on_tensor_cores,
        }
    return found


def iteration(statistics: Statistics, means: Tensor) -> Callable[[], object]:
    """Return a function that performs one iteration of EM.

    An iteration consists of the E-step, the M-step, and the computation of the next Cholesky
    factors.
    """

    def work() -> Tensor:
        new = statistics().parameters(means, reg_covar=1e-6)
        return precision_factors(new.covariances, "full")

    return work


def by_scikit_learn(x: Tensor, start: Parameters, factors: Tensor) -> Callable[[], None]:
    """Return a function for one iteration of EM by scikit-learn on the device of x."""
    mixture = GaussianMixture(len(start.weights))

    def work() -> None:
        if os.environ.get("SCIPY_ARRAY_API") != "1":
            raise RuntimeError(
                "scikit-learn accepts tensors only with SCIPY_ARRAY_API=1 in the environment."
            )
        mixture.weights_, mixture.means_, mixture.covariances_ = start
        mixture.precisions_cholesky_ = factors
        with sklearn.config_context(array_api_dispatch=True):
            _, log_resp = mixture._e_step(x)
            mixture._m_step(x, log_resp)

    return work


def measure_full_em(device: torch.device, quick: bool, copy_gb_s: float) -> dict[str, Row]:
    """Measure an iteration of EM: time, lower bounds, memory, and the error of log P(x)."""
    is_full = device.type == "cuda" and not quick
    n, d, sizes = (60_000, 20, (20, 100, 512)) if is_full else (2_000, 20, (20,))
    rate = product_rate(device, 4096 if device.type == "cuda" else 1024)
    # the coefficients of a component's quadratic; see kernels/full_e_step.py
    coefficients = 1 + d + d * (d + 1) // 2
    found = {}
    for k in sizes:
        torch.manual_seed(0)
        x = torch.randn(n, d, device=device)
        eyes = torch.eye(d, device=device).repeat(k, 1, 1)
        start = Parameters(torch.full((k,), 1 / k, device=device), x[:k].clone(), eyes)
        statistics = full_statistics(x, start, eyes)  # identity matrices are their own factors
        ways = {name: iteration(way, start.means) for name, way in statistics.items()}
        steps = FastSteps(x, "full", reg_covar=1e-6)
        ways[PRODUCTS] = lambda steps=steps, start=start: steps.iterate(start)
        ways[SCIKIT_LEARN] = by_scikit_learn(x, start, eyes)
        in_float64 = (t.double() for t in (x, start.weights, start.means, eyes))
        exact = kernels.full_mixture_statistics_reference(*in_float64).log_px
        entry: Row = {"n": n, "d": d, "k": k, "ms": {}, "peak_mb": {}, "nats_off": {}}
        entry["floor_bytes_ms"] = (4 * n * d + 8 * coefficients * k) / copy_gb_s / 1e6
        entry["floor_operations_ms"] = 4 * coefficients * n * k / rate * 1e3
        for name, work in ways.items():
            taken = attempt(work, device, 3 if quick else 10)
            entry["ms"][name] = taken and taken * 1e3
            entry["peak_mb"][name] = taken and peak_mb(work, device)
            if entry["peak_mb"][name] and name == PRODUCTS and steps.cached is not None:
                # the features are kept between iterations, so they were allocated before
                entry["peak_mb"][name] += steps.cached.nbytes / 1e6
            if taken and name in statistics:
                entry["nats_off"][name] = float((statistics[name]().log_px - exact).abs().max())
        found[f"K = {k}"] = entry
    return found


# ---------------------------------------------------------------- the report


def number(value: float | None, form: str = ".2f") -> str:
    return "" if value is None else f"{value:{form}}"


def report(found: Row) -> str:
    f, rows = found["floors"], found["steps"]
    names = {"cpu": "operations called", "cuda": "launches"}
    lines = [
        "Two floors (lower bounds) for the time of a step:",
        (
            f"- bytes: {f['bytes'] / 1e6:.1f} MB at {f['copy_gb_s']:.0f} GB/s (copy) "
            f"= {f['bytes_us']:.1f} µs"
        ),
        f"- {names[found['device']]}: {f['operations']} ({f['operations_fused']} with the fused "
        f"functions) at {f['launch_us']:.2f} µs each = {f['launches_us']:.0f} µs",
        "",
        (
            "| one step of the plain VAE, batch 128 | µs | images per second "
            "| speed-up over tutorial |"
        ),
        "|---|---:|---:|---:|",
    ]
    for name, entry in rows.items():
        if "us" in entry:
            ratio = rows[TUTORIAL]["us"] / entry["us"]
            by = f" ({', '.join(entry['ran'])})" if "ran" in entry else ""
            lines.append(
                f"| {name}{by} | {entry['us']:,.0f} | {entry['images_s']:,.0f} | {ratio:.1f}× |"
            )
        else:
            lines.append(f"| {name} | left out: {entry['left_out']} | | |")
    for name, entry in found["hundred_epochs"].items():
        lines.append(
            f"\n100 epochs, {name}: {entry['seconds']:.2f} s, "
            f"reaching a test −ELBO of {entry['minus_elbo']:.2f} nats."
        )
    lines += [
        "",
        (
            "| kernel, with its gradients | rows | ms | GB/s | share of copy "
            "| reference, ms | compiled, ms |"
        ),
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, entry in found["kernels"].items():
        ms, share, gb_s = entry["ms"], entry.get("share_of_copy"), entry.get("gb_s")
        lines.append(
            f"| {name} | {entry['rows']:,} | {number(ms['kernel'], '.3f')} | "
            f"{number(gb_s, '.0f')} | {number(share, '.0%')} | {number(ms['reference'], '.3f')} | "
            f"{number(ms['compiled reference'], '.3f')} |"
        )
    lines += e_step_table(found["e_step"])
    lines += full_em_table(found["full_em"])
    return "\n".join(lines)


def e_step_table(found: Row) -> list[str]:
    lines = [
        "",
        "| E-step | kernel, ms | reference | compiled | peak, kernel, MB | reference | compiled |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    ways = ("kernel", "reference", "compiled reference")
    for entry in found.values():
        ms = " | ".join(number(entry["ms"][way]) for way in ways)
        peak = " | ".join(number(entry["peak_mb"][way]) for way in ways)
        lines.append(f"| N = {entry['n']:,}, d = {entry['d']}, K = {entry['k']} | {ms} | {peak} |")
    return lines


def full_em_table(found: Row) -> list[str]:
    lines = [
        "",
        "| EM with full covariances, one iteration | ms | peak, MB | error of log P(x), nats |",
        "|---|---:|---:|---:|",
    ]
    for entry in found.values():
        size = f"N = {entry['n']:,}, d = {entry['d']}, K = {entry['k']}"
        lines.append(f"| {size}: floor, bytes | {entry['floor_bytes_ms']:.4f} | | |")
        lines.append(f"| {size}: floor, operations | {entry['floor_operations_ms']:.3f} | | |")
        for name, taken in entry["ms"].items():
            off = number(entry["nats_off"].get(name), ".1e")
            peak = number(entry["peak_mb"][name], ".1f")
            ms = number(taken, ".3f") or "left out"
            lines.append(f"| {size}: {name} | {ms} | {peak} | {off} |")
    return lines


def machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} threads of a CPU, {platform.system()} {platform.machine()}"


def measure(device: torch.device, quick: bool) -> Row:
    digits, test = mnist(True, device), mnist(False, device, quiet=True)
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "triton": kernels.triton.__version__ if kernels.triton else None,
    }
    found: Row = {
        "machine": machine(device),
        "device": device.type,
        "versions": versions,
        "date": datetime.date.today().isoformat(),
        "quick": quick,
        "which": kernels.which(device),
        "floors": floors(digits, device, quick),
        "steps": steps(digits, device, quick),
        "hundred_epochs": {},
    }
    if device.type == "cuda" and not quick:
        x = fixed_binarization(test.images).flatten(1)
        for name, (loss, graph) in WAYS.items():
            if graph and "us" in found["steps"][name]:
                found["hundred_epochs"][name] = hundred_epochs(digits, x, loss, device)
    found["kernels"] = measure_kernels(device, quick, found["floors"]["copy_gb_s"])
    found["e_step"] = measure_e_step(device, quick)
    found["full_em"] = measure_full_em(device, quick, found["floors"]["copy_gb_s"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="use a fraction of the sizes, to test that everything runs",
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    asked = parser.parse_args()
    target = usable(asked.json) if asked.json else None
    found = measure(pick_device(), asked.quick)
    print(
        f"\n{found['machine']}; {found['which']}; versions {found['versions']}; {found['date']}\n"
    )
    print(report(found))
    if target:
        write_whole(target, f"{json.dumps(found, indent=1)}\n".encode())
        print(f"\nWritten to {target}.")


if __name__ == "__main__":
    main()
