"""The E-step of a mixture of diagonal Gaussians without the N×K responsibilities in memory.

A Gaussian's log-density is linear in phi(x) = [1, x, x²] (see `fast_steps`), so a tile of log-densities is a
small matrix product. A first kernel adds their exponentials up as it walks over the components, keeping the
largest so far: log P(x), one number a row. A second makes each tile again, divides by P(x), and adds the
responsibilities' products with [1, x, x²] to the statistics. What is computed twice is never stored.
Source of the running maximum: Milakov & Gimelshein 2018, "Online normalizer calculation for softmax".
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from course_lib.kernels.backend import check, jit, kernel_runs, rows, tl, triton
from course_lib.mixtures.fast_steps import coefficients, features

TILE = {"ROWS": 64, "COMPONENTS": 64, "DIMS": 32}  # a tile of log-densities: 16 KB, kept in registers
PRECISION = "ieee"  # tensor cores' "tf32" has 10 bits, too few for a difference of large squares
LOWEST = -3.0e38  # stands for log 0: minus infinity less itself is no number


class Statistics(NamedTuple):
    """What the M-step needs: sums (K, 1 + 2D) = Σ_n resp_nk · [1, x_n, x_n²]; and log P(x_n), (N,), nats."""

    sums: Tensor
    log_px: Tensor


def mixture_statistics_reference(x: Tensor, weights: Tensor, means: Tensor, variances: Tensor) -> Statistics:
    """What `mixture_statistics` must equal, with the N×K matrix."""
    x = x if x.dtype == torch.float64 else x.float()
    phi, c = features(x, "diag"), coefficients(weights, means, variances, "diag")  # (N, F), (F, K)
    joint = phi @ c  # (N, K): log weight_k + log N(x_n | k)
    log_px = torch.logsumexp(joint, 1)
    return Statistics(torch.exp(joint - log_px[:, None]).T @ phi, log_px)


@jit
def _joint(
    x,
    c,
    x_row,
    n,
    k,
    N,
    K: tl.constexpr,
    D: tl.constexpr,
    PRECISION: tl.constexpr,
    DIMS: tl.constexpr,
    KIND: tl.constexpr,
):
    """A tile of phi(x) @ c: rows n, components k; −∞ where there is no such component."""
    linear = tl.zeros((n.shape[0], k.shape[0]), KIND)
    for start in range(0, D, DIMS):
        d = start + tl.arange(0, DIMS)
        here = (n[:, None] < N) & (d[None, :] < D)
        there = (d[:, None] < D) & (k[None, :] < K)
        v = tl.load(x + n[:, None] * x_row + d[None, :], mask=here, other=0.0).to(KIND)
        c1 = tl.load(c + (1 + d[:, None]) * K + k[None, :], mask=there, other=0.0)
        c2 = tl.load(c + (1 + D + d[:, None]) * K + k[None, :], mask=there, other=0.0)
        linear = tl.dot(v, c1, linear, input_precision=PRECISION, out_dtype=KIND)
        linear = tl.dot(v * v, c2, linear, input_precision=PRECISION, out_dtype=KIND)
    constant = tl.load(c + k, mask=k < K, other=float("-inf"))
    return linear + constant[None, :]


@jit
def _log_px_kernel(
    x,
    c,
    log_px,
    x_row,
    N,
    K: tl.constexpr,
    D: tl.constexpr,
    LOWEST: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COMPONENTS: tl.constexpr,
    DIMS: tl.constexpr,
    KIND: tl.constexpr,
):
    n = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    largest, total = tl.full((ROWS,), LOWEST, KIND), tl.zeros((ROWS,), KIND)
    for start in range(0, K, COMPONENTS):
        k = start + tl.arange(0, COMPONENTS)
        joint = _joint(x, c, x_row, n, k, N, K, D, PRECISION, DIMS, KIND)
        new = tl.maximum(largest, tl.max(joint, 1))
        total = total * tl.exp(largest - new) + tl.sum(tl.exp(joint - new[:, None]), 1)
        largest = new
    tl.store(log_px + n, largest + tl.log(total), mask=n < N)


@jit
def _sums_kernel(
    x,
    c,
    log_px,
    sums,
    x_row,
    N,
    K: tl.constexpr,
    D: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COMPONENTS: tl.constexpr,
    DIMS: tl.constexpr,
    KIND: tl.constexpr,
):
    n = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    k = tl.program_id(1) * COMPONENTS + tl.arange(0, COMPONENTS)
    joint = _joint(x, c, x_row, n, k, N, K, D, PRECISION, DIMS, KIND)
    log_p = tl.load(log_px + n, mask=n < N, other=float("inf"))  # rows beyond the end get no responsibility
    resp = tl.exp(joint - log_p[:, None])
    row = sums + k * (1 + 2 * D)  # many programs add to the same sums: each addition is atomic
    tl.atomic_add(row, tl.sum(resp, 0), mask=k < K)
    for start in range(0, D, DIMS):
        d = start + tl.arange(0, DIMS)
        v = tl.load(x + n[:, None] * x_row + d[None, :], mask=(n[:, None] < N) & (d[None, :] < D), other=0.0)
        v = v.to(KIND)
        there = (k[:, None] < K) & (d[None, :] < D)
        s1 = tl.dot(tl.trans(resp), v, input_precision=PRECISION, out_dtype=KIND)
        s2 = tl.dot(tl.trans(resp), v * v, input_precision=PRECISION, out_dtype=KIND)
        tl.atomic_add(row[:, None] + 1 + d[None, :], s1, mask=there)
        tl.atomic_add(row[:, None] + 1 + D + d[None, :], s2, mask=there)


def mixture_statistics(x: Tensor, weights: Tensor, means: Tensor, variances: Tensor) -> Statistics:
    """One E-step: x (N, D), weights (K,), means, variances (K, D) give Σ_n resp_nk [1, x, x²], log P(x_n).

    `fast_steps.parameters(sums, D, "diag", reg_covar)` is the M-step. Memory beyond x: K(1 + 2D) + N numbers.
    As in `fast_steps`, center x first: squares far from 0 lose digits. On a GPU the order of addition differs
    from run to run, and sums in their last digits; float64 goes to the reference there, and the signs
    are not checked.
    Raises ValueError for tensors that do not fit, weights below 0 and variances not above it. Source: Bishop,
    Pattern Recognition and Machine Learning, section 9.2.
    """
    check(
        x.ndim == 2 and 0 not in x.shape and x.is_floating_point(),
        f"x is (N, D) of a floating type with at least one number, not {x.dtype} {tuple(x.shape)}.",
    )
    check(
        means.shape == variances.shape == (len(weights), x.shape[1]) and weights.ndim == 1,
        f"For x (N, {x.shape[1]}), weights are (K,), means and variances (K, {x.shape[1]}), not "
        f"{tuple(weights.shape)}, {tuple(means.shape)} and {tuple(variances.shape)}.",
    )
    kind = torch.float64 if x.dtype == torch.float64 else torch.float32
    check(
        weights.dtype == means.dtype == variances.dtype == kind,
        f"For x of {x.dtype}, weights, means and variances are {kind}.",
    )
    check(
        x.device == weights.device == means.device == variances.device,
        "x, weights, means and variances must be on one device.",
    )
    if x.device.type == "cpu":  # on a GPU, looking would make each step wait
        check(
            bool((variances > 0).all() and (weights >= 0).all()),
            f"Variances are above 0, and weights not below it: the smallest are {float(variances.min()):.3g} "
            f"and {float(weights.min()):.3g}.",
        )
    double = "no float64 on a GPU here" if kind == torch.float64 and x.device.type == "cuda" else ""
    if not kernel_runs("mixture_statistics", x, double):
        return mixture_statistics_reference(x, weights, means, variances)
    c = coefficients(weights, means, variances, "diag").contiguous()  # (F, K)
    x, (n, dim), k = rows(x), x.shape, len(weights)
    log_px, sums = x.new_empty(n, dtype=kind), x.new_zeros(k, 1 + 2 * dim, dtype=kind)
    settings: dict[str, Any] = TILE | {
        "PRECISION": PRECISION,
        "KIND": tl.float64 if kind == torch.float64 else tl.float32,
    }
    rows_of_tiles, columns = triton.cdiv(n, TILE["ROWS"]), triton.cdiv(k, TILE["COMPONENTS"])
    _log_px_kernel[(rows_of_tiles,)](x, c, log_px, x.stride(0), n, k, dim, LOWEST=LOWEST, **settings)
    _sums_kernel[(rows_of_tiles, columns)](x, c, log_px, sums, x.stride(0), n, k, dim, **settings)
    return Statistics(sums, log_px)
