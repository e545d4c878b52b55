"""The E-step of a mixture of diagonal Gaussians, without storing the N×K responsibilities.

The log-density of a diagonal Gaussian is linear in phi(x) = [1, x, x²] (see `fast_steps`), so a
tile of log-densities is computed as a small matrix product. The first kernel loops over the
components, sums their densities relative to a running maximum, and stores log P(x), one number per
row. The second kernel computes each tile again, divides the densities by P(x) to obtain the
responsibilities, and adds the products of these and [1, x, x²] to the statistics. Tiles are
computed twice so that they never have to be stored.
Source for the running maximum: Milakov & Gimelshein 2018, "Online normalizer calculation for
softmax".
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from course_lib.kernels.backend import check, jit, kernel_runs, rows, tl, triton
from course_lib.mixtures.fast_steps import coefficients, features

TILE = {"ROWS": 64, "COMPONENTS": 64, "DIMS": 32}  # a tile of log-densities: 16 KB, in registers
# "tf32" on tensor cores has a 10-bit mantissa: too short for differences of large squares.
PRECISION = "ieee"
LOWEST = -3.0e38  # used in place of log 0 = −∞, because −∞ − (−∞) is NaN


class Statistics(NamedTuple):
    """The statistics for the M-step, and log P(x) for each row.

    sums (K, 1 + 2D): Σ_n resp_nk · [1, x_n, x_n²]. log_px (N,): log P(x_n) in nats.
    """

    sums: Tensor
    log_px: Tensor


def mixture_statistics_reference(
    x: Tensor, weights: Tensor, means: Tensor, variances: Tensor
) -> Statistics:
    """The PyTorch reference for `mixture_statistics`.

    Unlike the kernels, it stores an N×K matrix.
    """
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
    """Return a tile of phi(x) @ c for rows n and components k, with −∞ for components beyond K."""
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
    # rows past the end get responsibility 0
    log_p = tl.load(log_px + n, mask=n < N, other=float("inf"))
    resp = tl.exp(joint - log_p[:, None])
    row = sums + k * (1 + 2 * D)  # many programs add to the same sums, so each addition is atomic
    tl.atomic_add(row, tl.sum(resp, 0), mask=k < K)
    for start in range(0, D, DIMS):
        d = start + tl.arange(0, DIMS)
        v = tl.load(
            x + n[:, None] * x_row + d[None, :], mask=(n[:, None] < N) & (d[None, :] < D), other=0.0
        )
        v = v.to(KIND)
        there = (k[:, None] < K) & (d[None, :] < D)
        s1 = tl.dot(tl.trans(resp), v, input_precision=PRECISION, out_dtype=KIND)
        s2 = tl.dot(tl.trans(resp), v * v, input_precision=PRECISION, out_dtype=KIND)
        tl.atomic_add(row[:, None] + 1 + d[None, :], s1, mask=there)
        tl.atomic_add(row[:, None] + 1 + D + d[None, :], s2, mask=there)


def mixture_statistics(x: Tensor, weights: Tensor, means: Tensor, variances: Tensor) -> Statistics:
    """Perform one E-step: return Σ_n resp_nk · [1, x_n, x_n²] and log P(x_n) for x of shape (N, D).

    weights: shape (K,). means, variances: shape (K, D). The M-step is
    `fast_steps.parameters(sums, D, "diag", reg_covar)`. The kernels need additional memory for
    about 2K(1 + 2D) + N numbers. Centre x first, as for `fast_steps`, because precision is lost
    when one large square is subtracted from another. On a GPU, the reference is used for float64.
    The signs of weights and variances are checked only on the CPU. The last digits of the kernels'
    sums vary between runs on a GPU, because the order of the additions varies. Raises ValueError
    for incompatible arguments, negative weights, and non-positive variances. Source: Bishop,
    Pattern Recognition and Machine Learning, section 9.2.
    """
    check(
        x.ndim == 2 and 0 not in x.shape and x.is_floating_point(),
        "x must be a non-empty floating-point tensor of shape (N, D), "
        f"but got {x.dtype} {tuple(x.shape)}.",
    )
    check(
        means.shape == variances.shape == (len(weights), x.shape[1]) and weights.ndim == 1,
        f"For x of shape (N, {x.shape[1]}), weights must have shape (K,), and means and variances "
        f"(K, {x.shape[1]}), but got {tuple(weights.shape)}, {tuple(means.shape)} and "
        f"{tuple(variances.shape)}.",
    )
    kind = torch.float64 if x.dtype == torch.float64 else torch.float32
    check(
        weights.dtype == means.dtype == variances.dtype == kind,
        f"For x of dtype {x.dtype}, weights, means and variances must be {kind}.",
    )
    check(
        x.device == weights.device == means.device == variances.device,
        "x, weights, means and variances must be on the same device.",
    )
    if x.device.type == "cpu":  # on a GPU, this check would stall every step
        check(
            bool((variances > 0).all() and (weights >= 0).all()),
            "Variances must be positive and weights non-negative, but the smallest variance is "
            f"{float(variances.min()):.3g} and the smallest weight is {float(weights.min()):.3g}.",
        )
    on_gpu = x.device.type == "cuda"
    double = "no support for float64 on a GPU" if kind == torch.float64 and on_gpu else ""
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
    _log_px_kernel[(rows_of_tiles,)](
        x, c, log_px, x.stride(0), n, k, dim, LOWEST=LOWEST, **settings
    )
    _sums_kernel[(rows_of_tiles, columns)](x, c, log_px, sums, x.stride(0), n, k, dim, **settings)
    return Statistics(sums, log_px)
