"""The E-step of a mixture of Gaussians with full covariances, without the N×K responsibilities in memory.

A first kernel takes a tile of rows and walks over the components: it whitens the differences x − mean_k and
adds up the densities, keeping the largest so far. It leaves log P(x), one number a row. A second takes one
component and walks over a span of rows: it makes each density again, divides by P(x), and keeps the sums that
the M-step needs in registers. Each span leaves its own sums, and torch adds the spans up in a fixed order, so
that the same data give the same bits. What is computed twice is never stored.

The floors under one iteration, for N = 60,000 rows of d = 20 numbers in float32. A component's log-density is
a quadratic with F = 1 + d + d(d + 1)/2 = 231 coefficients. The E-step needs a multiplication and an addition
for each of them and every pair of row and component, and the M-step's sums need as many: 4F = 924 operations
a pair. Bytes: x is read, 4Nd = 4.8 MB; parameters come in and sums go out, 2·4FK. With a matrix of
responsibilities, 4NK bytes are written and read at least once each.

    K                                                        20        100        512
    pairs N·K                                             1.2 M      6.0 M     30.7 M
    bytes: x and 8FK                                     4.8 MB     5.0 MB     5.7 MB
    bytes of the matrix, 8NK, on top of those            9.6 MB      48 MB     246 MB
    operations, 924 N·K                                  1.1 G       5.5 G      28 G
    operations of these kernels, 6,144 N·K               7.4 G        37 G     189 G
    time at 3.35 TB/s, without the matrix                1.4 µs     1.5 µs     1.7 µs
    time at 3.35 TB/s, with it                           4.3 µs      16 µs      75 µs
    time at 67 Tflop/s, 924 operations a pair             17 µs      83 µs     424 µs
    time at 67 Tflop/s, 6,144 operations a pair          110 µs     550 µs    2.8 ms

(3.35 TB/s and 67 Tflop/s, without tensor cores, are from the data sheet of an H100 SXM; nothing here is
measured.) Operations set the floor. The matrix costs memory, 123 MB here and 20 GB for ten million rows, but
less than a fifth of that time. These kernels do more operations than they must: `tl.dot` wants powers of 2,
so that 20 becomes 32; it knows no triangles and no symmetry; and each density is made twice, which is
3 · 2 · 32² = 6,144. The two products of `fast_steps` do 924, but they subtract large squares, which costs
float32 its digits. In bytes the kernels stay near the floor: x comes from memory once for each of them, and
for all components but the first from the GPU's cache, which is larger than 4.8 MB.

Launches: one in principle. Here it is two kernels, one sum over the spans, and half a dozen small operations
on the parameters, whatever K is; a loop over components launches some ten operations for each of them.

Partial sums for each tile of rows in place of spans would let one kernel do it all, as long as K is small:
938 tiles of 64 rows, 512 components and 421 numbers are 808 MB, six times the matrix that is to be avoided.

Sources: Milakov & Gimelshein 2018, "Online normalizer calculation for softmax", for the running maximum;
Bloch et al. 2026, "Flash-GMM" (arXiv 2606.10896), for the two kernels; they add up by atomics, in bfloat16.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from course_lib.kernels.backend import check, compute_dtype, jit, kernel_runs, rows, tl, triton
from course_lib.probability.em import Parameters
from course_lib.probability.gaussians import LOG_2PI

# For each padded number of dimensions, the rows that a program works on at a time and how many times 32
# threads share the work: as many rows as their registers hold (`tests/test_kernels.py` asks the compiler).
TILES = {
    16: {"ROWS": 64, "num_warps": 4},
    32: {"ROWS": 64, "num_warps": 4},
    64: {"ROWS": 32, "num_warps": 8},
}
PROGRAMS = 2048  # of the second kernel: a dozen for each processor of a large GPU
PRECISION = "ieee"  # tensor cores' "tf32" has 10 bits, too few for a log-density of some hundred nats
LOWEST = -3.0e38  # stands for log 0: minus infinity less itself is no number
REFERENCE_NUMBERS = 2**26  # differences that the reference holds at once: 256 MB of float32


class FullStatistics(NamedTuple):
    """What the M-step needs, with differences c_nk = x_n − mean_k from the means that went in.

    counts (K,) = Σ_n resp_nk, first (K, D) = Σ_n resp_nk c_nk, second (K, D, D) = Σ_n resp_nk c_nk c_nkᵀ, and
    log_px (N,) = log P(x_n) in nats. Σ_n resp_nk x_n is first + counts · means; but differences keep their
    digits where x and x xᵀ, far from 0, would lose them.
    """

    counts: Tensor
    first: Tensor
    second: Tensor
    log_px: Tensor

    @property
    def log_likelihood(self) -> Tensor:
        """Σ_n log P(x_n), in float64, as it is the sum of many numbers of one sign."""
        return self.log_px.sum(dtype=torch.float64)

    def parameters(self, means: Tensor, reg_covar: float = 0.0) -> Parameters:
        """The M-step: the new weights, means and covariances, from the means that the statistics began with.

        `reg_covar` is added to every variance. A component without any responsibility keeps its mean.
        """
        counts = self.counts + 10 * torch.finfo(self.counts.dtype).eps  # (K,), never exactly 0
        shift = self.first / counts[:, None]  # (K, D): how far the means move
        covariances = self.second / counts[:, None, None] - shift[:, :, None] * shift[:, None, :]
        covariances.diagonal(dim1=-2, dim2=-1).add_(reg_covar)
        return Parameters(counts / counts.sum(), means + shift, covariances)


def _log_peak(weights: Tensor, factors: Tensor) -> Tensor:
    """log weight_k + log N(x | k) where x is mean_k: (K,), from factors (K, D, D)."""
    log_scales = factors.diagonal(dim1=-2, dim2=-1).log().sum(1)
    return weights.log() + log_scales - 0.5 * factors.shape[-1] * LOG_2PI


def full_mixture_statistics_reference(
    x: Tensor, weights: Tensor, means: Tensor, factors: Tensor
) -> FullStatistics:
    """What `full_mixture_statistics` must equal, from batched products, some rows at a time."""
    k, dim = means.shape
    log_peak = _log_peak(weights, factors)
    counts, first, second = torch.zeros_like(weights), torch.zeros_like(means), torch.zeros_like(factors)
    log_px = []
    for block in x.to(compute_dtype(x)).split(max(1, REFERENCE_NUMBERS // (k * dim))):
        centred = block - means[:, None]  # (K, n, D)
        white = centred @ factors  # (K, n, D): standard normal under the component
        joint = log_peak[:, None] - 0.5 * (white**2).sum(2)  # (K, n): log weight_k + log N(x_n | k)
        log_px.append(torch.logsumexp(joint, 0))  # (n,)
        resp = torch.exp(joint - log_px[-1])  # (K, n)
        weighted = resp[:, :, None] * centred  # (K, n, D)
        counts += resp.sum(1)
        first += weighted.sum(1)
        second += weighted.mT @ centred
    return FullStatistics(counts, first, second, torch.cat(log_px))


@jit
def _load_rows(x, x_row, n, N, D: tl.constexpr, DIMS: tl.constexpr, KIND: tl.constexpr):
    """The rows n of x, (ROWS, DIMS); 0 beyond the end and beyond D."""
    d = tl.arange(0, DIMS)
    inside = (n[:, None] < N) & (d[None, :] < D)
    return tl.load(x + n[:, None] * x_row + d[None, :], mask=inside, other=0.0).to(KIND)


@jit
def _log_joint(
    tile,
    means,
    factors,
    log_peak,
    k,
    D: tl.constexpr,
    PRECISION: tl.constexpr,
    DIMS: tl.constexpr,
    KIND: tl.constexpr,
):
    """A tile of rows less the mean of component k, (ROWS, DIMS), and log weight_k + log N(x | k), (ROWS,)."""
    d = tl.arange(0, DIMS)
    inside = (d[:, None] < D) & (d[None, :] < D)
    mean = tl.load(means + k * D + d, mask=d < D, other=0.0)
    factor = tl.load(factors + (k * D + d[:, None]) * D + d[None, :], mask=inside, other=0.0)
    centred = tile - mean[None, :]
    white = tl.dot(centred, factor, input_precision=PRECISION, out_dtype=KIND)  # padding adds zeros
    return centred, tl.load(log_peak + k) - 0.5 * tl.sum(white * white, 1)


@jit
def _full_log_px_kernel(
    x,
    means,
    factors,
    log_peak,
    log_px,
    x_row,
    N,
    K: tl.constexpr,  # constants, as the loops run to them; they do not change from one iteration to the next
    D: tl.constexpr,
    LOWEST: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    DIMS: tl.constexpr,
    KIND: tl.constexpr,
):
    n = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    tile = _load_rows(x, x_row, n, N, D, DIMS, KIND)
    largest = tl.full((ROWS,), LOWEST, KIND)
    total = tl.zeros((ROWS,), KIND)
    for k in range(K):
        _, joint = _log_joint(tile, means, factors, log_peak, k, D, PRECISION, DIMS, KIND)
        new = tl.maximum(largest, joint)
        total = total * tl.exp(largest - new) + tl.exp(joint - new)
        largest = new
    tl.store(log_px + n, largest + tl.log(total), mask=n < N)


@jit
def _full_sums_kernel(
    x,
    means,
    factors,
    log_peak,
    log_px,
    sums,
    x_row,
    N,
    K,
    D: tl.constexpr,
    SPAN: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    DIMS: tl.constexpr,
    KIND: tl.constexpr,
):
    k = tl.program_id(0).to(tl.int64)  # neighbours in time are components of one span: x stays in the cache
    span = tl.program_id(1).to(tl.int64)
    count = tl.zeros((ROWS,), KIND)
    first = tl.zeros((DIMS,), KIND)
    second = tl.zeros((DIMS, DIMS), KIND)
    for start in range(0, SPAN, ROWS):
        n = span * SPAN + start + tl.arange(0, ROWS)
        tile = _load_rows(x, x_row, n, N, D, DIMS, KIND)
        centred, joint = _log_joint(tile, means, factors, log_peak, k, D, PRECISION, DIMS, KIND)
        log_p = tl.load(log_px + n, mask=n < N, other=float("inf"))  # no responsibility beyond the end
        resp = tl.exp(joint - log_p)
        weighted = resp[:, None] * centred
        count += resp
        first += tl.sum(weighted, 0)
        second = tl.dot(tl.trans(weighted), centred, second, input_precision=PRECISION, out_dtype=KIND)
    d = tl.arange(0, DIMS)
    out = sums + (span * K + k) * (1 + D + D * D)  # nobody else writes here: no atomic additions
    tl.store(out, tl.sum(count, 0))
    tl.store(out + 1 + d, first, mask=d < D)
    inside = (d[:, None] < D) & (d[None, :] < D)
    tl.store(out + 1 + D + d[:, None] * D + d[None, :], second, mask=inside)


def full_mixture_statistics(x: Tensor, weights: Tensor, means: Tensor, factors: Tensor) -> FullStatistics:
    """One E-step: x (N, D), weights (K,), means (K, D), factors (K, D, D) give what the M-step needs.

    factors are scikit-learn's `precisions_cholesky_`, upper triangular U with U Uᵀ = covariance⁻¹;
    `mixtures.density.precision_factors(covariances, "full")` makes them. `FullStatistics.parameters` is the
    M-step. Memory beyond x: N numbers, and 1 + D + D² for each component or each of some 2,000 programs,
    whichever are more. In float32, rounding moves a log-density by some 1e-7 of itself, so that points at
    −10⁵ nats have responsibilities to two digits. On a GPU, float64 and more than 64 dimensions go to the
    reference, and the signs are not checked.
    Raises ValueError for tensors that do not fit, weights below 0, and factors that are no such triangles.
    Source: Bishop, Pattern Recognition and Machine Learning, section 9.2.
    """
    _check_arguments(x, weights, means, factors)
    if not kernel_runs("full_mixture_statistics", x, _reason_against(x)):
        return full_mixture_statistics_reference(x, weights, means, factors)
    (n, dim), k = x.shape, len(weights)
    kind, padded = compute_dtype(x), _padded(dim)
    settings: dict[str, Any] = TILES[padded] | {
        "PRECISION": PRECISION,
        "DIMS": padded,
        "KIND": tl.float64 if kind == torch.float64 else tl.float32,
    }
    tiles = triton.cdiv(n, settings["ROWS"])
    tiles_of_span = triton.cdiv(tiles, triton.cdiv(PROGRAMS, k))  # fewer components, shorter spans
    spans = triton.cdiv(tiles, tiles_of_span)
    x = rows(x)
    given = x, means.contiguous(), factors.contiguous(), _log_peak(weights, factors)
    log_px = x.new_empty(n, dtype=kind)
    sums = x.new_empty(spans, k, 1 + dim + dim * dim, dtype=kind)
    _full_log_px_kernel[(tiles,)](*given, log_px, x.stride(0), n, k, dim, LOWEST=LOWEST, **settings)
    span = tiles_of_span * settings["ROWS"]
    _full_sums_kernel[(k, spans)](*given, log_px, sums, x.stride(0), n, k, dim, SPAN=span, **settings)
    counts, first, second = sums.sum(0).split([1, dim, dim * dim], dim=1)
    return FullStatistics(counts[:, 0], first, second.reshape(k, dim, dim), log_px)


def _check_arguments(x: Tensor, weights: Tensor, means: Tensor, factors: Tensor) -> None:
    """Raise ValueError for what `full_mixture_statistics` cannot take."""
    check(
        x.ndim == 2 and 0 not in x.shape and x.is_floating_point(),
        f"x is (N, D) of a floating type with at least one number, not {x.dtype} {tuple(x.shape)}.",
    )
    dim = x.shape[1]
    check(
        weights.ndim == 1
        and len(weights) > 0
        and means.shape == (len(weights), dim)
        and factors.shape == (len(weights), dim, dim),
        f"For x (N, {dim}), weights are (K,), means (K, {dim}) and factors (K, {dim}, {dim}), not "
        f"{tuple(weights.shape)}, {tuple(means.shape)} and {tuple(factors.shape)}.",
    )
    kind = compute_dtype(x)
    check(
        weights.dtype == means.dtype == factors.dtype == kind,
        f"For x of {x.dtype}, weights, means and factors are {kind}.",
    )
    check(
        x.device == weights.device == means.device == factors.device,
        "x, weights, means and factors must be on one device.",
    )
    if x.device.type == "cpu":  # on a GPU, looking would make each step wait
        smallest = float(factors.diagonal(dim1=-2, dim2=-1).min())
        check(
            smallest > 0 and bool((weights >= 0).all()),
            f"A factor's diagonal is above 0, and weights not below it: the smallest are {smallest:.3g} and "
            f"{float(weights.min()):.3g}.",
        )
        check(
            not factors.tril(-1).any(),
            "Factors are upper triangular, as scikit-learn's `precisions_cholesky_`: pass factors.mT?",
        )


def _padded(dim: int) -> int:
    """The sides of the kernels' matrices: a power of 2, and no less than 16, as `tl.dot` wants them."""
    return max(16, 1 << (dim - 1).bit_length())


def _reason_against(x: Tensor) -> str:
    """Why the kernels do not compute this x; "" if they do."""
    if x.dtype == torch.float64 and x.device.type == "cuda":
        return "no float64 on a GPU here"
    if _padded(x.shape[1]) not in TILES:
        return f"no more than {max(TILES)} dimensions here"
    return ""
