"""The E-step of a full-covariance Gaussian mixture, without storing the N×K responsibilities.

Each program of the first kernel processes a tile of rows and loops over the components, whitening
the differences x − mean_k and summing the densities relative to a running maximum. The result is
log P(x), one number per row. Each program of the second kernel processes one component and loops
over a span of rows, computing each density again, dividing it by P(x), and accumulating the sums
for the M-step in registers. The sums of each span are stored separately, and torch then adds them
up in a fixed order, so repeating the computation gives bit-identical results. Densities are
computed twice so that they never have to be stored.

The following lower bounds on the cost of one iteration assume N = 60,000 rows of d = 20 numbers in
float32. A component's log-density is a quadratic polynomial with F = 1 + d + d(d + 1)/2 = 231
coefficients. For each (row, component) pair, the E-step and the sums of the M-step each need one
multiplication and one addition per coefficient: a total of 4F = 924 operations per pair. The memory
traffic is at least 4Nd bytes = 4.8 MB to read x, plus 2·4FK bytes to read the parameters and write
the sums. Storing the responsibilities as a matrix adds 4NK bytes of writes and 4NK bytes of reads.

    K                                                        20        100        512
    pairs N·K                                             1.2 M      6.0 M     30.7 M
    bytes of x and of parameters and sums, 8FK           4.8 MB     5.0 MB     5.7 MB
    additional bytes of the matrix, 8NK                  9.6 MB      48 MB     246 MB
    operations, 924 N·K                                   1.1 G      5.5 G       28 G
    operations of these kernels, 6,144 N·K                7.4 G       37 G      189 G
    time at 3.35 TB/s, without the matrix                1.4 µs     1.5 µs     1.7 µs
    time at 3.35 TB/s, with the matrix                   4.3 µs      16 µs      75 µs
    time at 67 Tflop/s, 924 operations per pair           17 µs      83 µs     424 µs
    time at 67 Tflop/s, 6,144 operations per pair        110 µs     550 µs     2.8 ms

(The rates of 3.35 TB/s and 67 Tflop/s, the latter without tensor cores, are from the data sheet of
an H100 SXM; none of the times in the table was measured.) The operations, rather than the memory
traffic, determine the lower bound on the time. For K = 512, the matrix occupies 123 MB (20 GB for
ten million rows), but transferring it takes less than a fifth of the time needed for the
operations. These kernels perform more operations than necessary: `tl.dot` requires sizes that are
powers of 2, so 20 becomes 32; the triangular or symmetric form of the matrices is not exploited;
and each density is computed twice. The total is 3 · 2 · 32² = 6,144 operations per pair. The two
matrix products in `fast_steps` need only 924 operations per pair, but they subtract large squares,
which loses digits in float32. The number of bytes that the kernels transfer is close to the
minimum, because each kernel reads x from memory only once, and after that from the GPU's cache,
which is larger than 4.8 MB.

In principle, a single launch would be enough. For any K, this implementation needs only two kernel
launches, one sum over the spans, and about six small operations on the parameters, whereas a loop
over components would need about ten operations per component.

If partial sums were stored for each tile of rows instead of for each span, a single kernel would be
enough, but this is practical only for small K. For K = 512, storing 421 sums per component for each
of the 938 tiles of 64 rows would take 809 MB, more than six times the size of the matrix that the
kernels avoid.

Sources: Milakov & Gimelshein 2018, "Online normalizer calculation for softmax" (running maximum);
Bloch et al. 2026, "Flash-GMM", arXiv 2606.10896 (which uses two kernels, with atomic additions in
bfloat16).
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from course_lib.kernels.backend import check, compute_dtype, jit, kernel_runs, rows, tl, triton
from course_lib.probability.em import Parameters
from course_lib.probability.gaussians import LOG_2PI

# For each padded number of dimensions: the rows of a tile, and the warps (of 32 threads) that share
# the work. The tiles are as large as the registers allow (`tests/test_kernels.py` checks this with
# the compiler).
TILES = {
    16: {"ROWS": 64, "num_warps": 4},
    32: {"ROWS": 64, "num_warps": 4},
    64: {"ROWS": 32, "num_warps": 8},
}
PROGRAMS = 2048  # of the second kernel: about a dozen per multiprocessor on a large GPU
# "tf32" on tensor cores has 10-bit mantissas: too short for densities of hundreds of nats.
PRECISION = "ieee"
LOWEST = -3.0e38  # used in place of log 0 = −∞, because −∞ − (−∞) is NaN
REFERENCE_NUMBERS = 2**26  # differences that the reference stores at once: 256 MB in float32


class FullStatistics(NamedTuple):
    """The statistics for the M-step, relative to the current means.

    With c_nk = x_n − mean_k, the fields are counts = Σ_n resp_nk, of shape (K,);
    first = Σ_n resp_nk c_nk, of shape (K, D); second = Σ_n resp_nk c_nk c_nkᵀ, of shape (K, D, D);
    and log_px = log P(x_n) in nats, of shape (N,).
    Sums of differences retain precision that sums of x and x xᵀ would lose if x is far from 0.
    The sum Σ_n resp_nk x_n can be recovered as first + counts · means.
    """

    counts: Tensor
    first: Tensor
    second: Tensor
    log_px: Tensor

    @property
    def log_likelihood(self) -> Tensor:
        """The log-likelihood Σ_n log P(x_n), summed in float64 to limit rounding errors."""
        return self.log_px.sum(dtype=torch.float64)

    def parameters(self, means: Tensor, reg_covar: float = 0.0) -> Parameters:
        """Perform the M-step: return the new weights, means and covariances.

        `means` are the means used in the E-step. `reg_covar` is added to every variance. A
        component whose responsibilities are all 0 keeps its mean.
        """
        counts = self.counts + 10 * torch.finfo(self.counts.dtype).eps  # (K,), never exactly 0
        shift = self.first / counts[:, None]  # (K, D): how far the means move
        covariances = self.second / counts[:, None, None] - shift[:, :, None] * shift[:, None, :]
        covariances.diagonal(dim1=-2, dim2=-1).add_(reg_covar)
        return Parameters(counts / counts.sum(), means + shift, covariances)


def _log_peak(weights: Tensor, factors: Tensor) -> Tensor:
    """Return log weight_k + log N(x | k) at x = mean_k: factors (K, D, D) → (K,)."""
    log_scales = factors.diagonal(dim1=-2, dim2=-1).log().sum(1)
    return weights.log() + log_scales - 0.5 * factors.shape[-1] * LOG_2PI


def full_mixture_statistics_reference(
    x: Tensor, weights: Tensor, means: Tensor, factors: Tensor
) -> FullStatistics:
    """The PyTorch reference for `full_mixture_statistics`.

    It computes batched matrix products for one block of rows at a time.
    """
    k, dim = means.shape
    log_peak = _log_peak(weights, factors)
    counts = torch.zeros_like(weights)
    first = torch.zeros_like(means)
    second = torch.zeros_like(factors)
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
    """Load rows n of x as a tile of shape (ROWS, DIMS), padded with zeros."""
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
    """Return tile − mean_k and log weight_k + log N(x | k).

    The first has shape (ROWS, DIMS), and the second has shape (ROWS,).
    """
    d = tl.arange(0, DIMS)
    inside = (d[:, None] < D) & (d[None, :] < D)
    mean = tl.load(means + k * D + d, mask=d < D, other=0.0)
    factor = tl.load(factors + (k * D + d[:, None]) * D + d[None, :], mask=inside, other=0.0)
    centred = tile - mean[None, :]
    # the padding adds zeros
    white = tl.dot(centred, factor, input_precision=PRECISION, out_dtype=KIND)
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
    K: tl.constexpr,  # constexpr because K bounds the loop; K and D are the same in every iteration
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
    k = tl.program_id(0).to(tl.int64)  # consecutive programs share a span, so x stays in the cache
    span = tl.program_id(1).to(tl.int64)
    count = tl.zeros((ROWS,), KIND)
    first = tl.zeros((DIMS,), KIND)
    second = tl.zeros((DIMS, DIMS), KIND)
    for start in range(0, SPAN, ROWS):
        n = span * SPAN + start + tl.arange(0, ROWS)
        tile = _load_rows(x, x_row, n, N, D, DIMS, KIND)
        centred, joint = _log_joint(tile, means, factors, log_peak, k, D, PRECISION, DIMS, KIND)
        # rows past the end get responsibility 0
        log_p = tl.load(log_px + n, mask=n < N, other=float("inf"))
        resp = tl.exp(joint - log_p)
        weighted = resp[:, None] * centred
        count += resp
        first += tl.sum(weighted, 0)
        second = tl.dot(
            tl.trans(weighted), centred, second, input_precision=PRECISION, out_dtype=KIND
        )
    d = tl.arange(0, DIMS)
    # no other program writes here, so nothing need be atomic
    out = sums + (span * K + k) * (1 + D + D * D)
    tl.store(out, tl.sum(count, 0))
    tl.store(out + 1 + d, first, mask=d < D)
    inside = (d[:, None] < D) & (d[None, :] < D)
    tl.store(out + 1 + D + d[:, None] * D + d[None, :], second, mask=inside)


def full_mixture_statistics(
    x: Tensor, weights: Tensor, means: Tensor, factors: Tensor
) -> FullStatistics:
    """Perform one E-step for x of shape (N, D), and return the statistics that the M-step needs.

    weights: shape (K,). means: shape (K, D). factors: shape (K, D, D), with an upper triangular
    matrix U for each component such that U Uᵀ = covariance⁻¹, as in scikit-learn's
    `precisions_cholesky_` and as returned by
    `mixtures.density.precision_factors(covariances, "full")`. The M-step is
    `FullStatistics.parameters`. Additional memory: N numbers, plus 1 + D + D² numbers for each
    component or for each of about 2,000 programs, whichever gives the larger total. In float32, a
    log-density has a relative rounding error of about 1e-7, so the responsibilities for a point
    with a log-density of −10⁵ nats have only two correct digits. The reference implementation is
    used for more than 64 dimensions and, on a GPU, for float64 data. On a GPU, the values of
    weights and factors are not checked. Raises ValueError for incompatible arguments, negative
    weights, and factors that are not upper triangular with a positive diagonal. Source: Bishop,
    Pattern Recognition and Machine Learning, section 9.2.
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
    # with fewer components, spans are shorter
    tiles_of_span = triton.cdiv(tiles, triton.cdiv(PROGRAMS, k))
    spans = triton.cdiv(tiles, tiles_of_span)
    x = rows(x)
    given = x, means.contiguous(), factors.contiguous(), _log_peak(weights, factors)
    log_px = x.new_empty(n, dtype=kind)
    sums = x.new_empty(spans, k, 1 + dim + dim * dim, dtype=kind)
    _full_log_px_kernel[(tiles,)](*given, log_px, x.stride(0), n, k, dim, LOWEST=LOWEST, **settings)
    span = tiles_of_span * settings["ROWS"]
    _full_sums_kernel[(k, spans)](
        *given, log_px, sums, x.stride(0), n, k, dim, SPAN=span, **settings
    )
    counts, first, second = sums.sum(0).split([1, dim, dim * dim], dim=1)
    return FullStatistics(counts[:, 0], first, second.reshape(k, dim, dim), log_px)


def _check_arguments(x: Tensor, weights: Tensor, means: Tensor, factors: Tensor) -> None:
    """Raise ValueError for arguments that `full_mixture_statistics` cannot use."""
    check(
        x.ndim == 2 and 0 not in x.shape and x.is_floating_point(),
        "x must be a non-empty floating-point tensor of shape (N, D), "
        f"but got {x.dtype} {tuple(x.shape)}.",
    )
    dim = x.shape[1]
    check(
        weights.ndim == 1
        and len(weights) > 0
        and means.shape == (len(weights), dim)
        and factors.shape == (len(weights), dim, dim),
        f"For x of shape (N, {dim}), weights must have shape (K,), means (K, {dim}) and factors "
        f"(K, {dim}, {dim}), but got {tuple(weights.shape)}, {tuple(means.shape)} and "
        f"{tuple(factors.shape)}.",
    )
    kind = compute_dtype(x)
    check(
        weights.dtype == means.dtype == factors.dtype == kind,
        f"For x of dtype {x.dtype}, weights, means and factors must be {kind}.",
    )
    check(
        x.device == weights.device == means.device == factors.device,
        "x, weights, means and factors must be on the same device.",
    )
    if x.device.type == "cpu":  # on a GPU, this check would stall every step
        smallest = float(factors.diagonal(dim1=-2, dim2=-1).min())
        check(
            smallest > 0 and bool((weights >= 0).all()),
            "The diagonals of factors must be positive and weights non-negative, "
            f"but the smallest diagonal entry is {smallest:.3g} "
            f"and the smallest weight is {float(weights.min()):.3g}.",
        )
        check(
            not factors.tril(-1).any(),
            "factors must be upper triangular, like scikit-learn's `precisions_cholesky_`: "
            "if they are lower triangular, pass factors.mT.",
        )


def _padded(dim: int) -> int:
    """Return `dim` rounded up to a power of 2 that is at least 16, as `tl.dot` requires."""
    return max(16, 1 << (dim - 1).bit_length())


def _reason_against(x: Tensor) -> str:
    """Return the reason why the kernels cannot compute the statistics of x, or "" if they can."""
    if x.dtype == torch.float64 and x.device.type == "cuda":
        return "no support for float64 on a GPU"
    if _padded(x.shape[1]) not in TILES:
        return f"no support for more than {max(TILES)} dimensions"
    return ""
