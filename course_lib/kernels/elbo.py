"""Both terms of −L_b and all their gradients, computed in one pass over the logits.

If the loss of a VAE is composed of PyTorch functions, they repeatedly read and write tensors as
large as the batch. The kernel reads each logit and each pixel once, and writes one number per
pixel: the gradient with respect to the logit. The two sums for an image are accumulated on the
chip. Each program processes one image.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from course_lib.kernels.backend import check, compute_dtype, jit, kernel_runs, rows, tl, triton
from course_lib.probability.gaussians import kl_diag
from course_lib.probability.likelihoods import log_bernoulli


class Terms(NamedTuple):
    """The two terms of −L_b for each image, in nats.

    reconstruction (N,): −log P(x|z). kl (N,): KL(q(z|x) ‖ N(0, I)).
    """

    reconstruction: Tensor
    kl: Tensor


def elbo_reference(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Terms:
    """The PyTorch reference for `fused_elbo`, built from the course's own probability functions."""
    kind = compute_dtype(logits)
    target = x.to(kind) / 255 if x.dtype == torch.uint8 else x.to(kind)
    return Terms(-log_bernoulli(logits.to(kind), target), kl_diag(mu.to(kind), logvar.to(kind)))


@jit
def _log1p(s):  # log(1 + s) for 0 ≤ s ≤ 1, accurate even for a small s (Kahan)
    one = 1.0 + s
    kept = one - 1.0  # the part of s left after rounding 1 + s
    return tl.where(kept == 0, s, tl.log(one) * s / tl.where(kept == 0, 1.0, kept))


@jit
def _pixels(logits, x, pixel, inside, BYTES: tl.constexpr, KIND: tl.constexpr):
    """Return each pixel's logit, its target in [0, 1], and exp(−|logit|), which cannot overflow."""
    logit = tl.load(logits + pixel, mask=inside, other=0.0).to(KIND)
    target = tl.load(x + pixel, mask=inside, other=0).to(KIND)
    if BYTES:
        target = target / 255.0
    return logit, target, tl.exp(-tl.abs(logit))


@jit
def _elbo_kernel(
    logits,
    x,
    mu,
    logvar,
    reconstruction,
    kl,
    d_logits,
    d_mu,
    d_logvar,
    logits_row,
    x_row,
    mu_row,
    logvar_row,
    D: tl.constexpr,  # constexpr because D and d bound the loops; the image size does not change
    d: tl.constexpr,
    share,
    GRADIENTS: tl.constexpr,
    BYTES: tl.constexpr,
    KIND: tl.constexpr,
    BLOCK: tl.constexpr,
    Z: tl.constexpr,
):
    # the image; its logits begin at logits + n · logits_row, and so on
    n = tl.program_id(0).to(tl.int64)
    total = tl.zeros((BLOCK,), KIND)
    for start in range(0, D, BLOCK):
        pixel = start + tl.arange(0, BLOCK)
        inside = pixel < D  # the last block may extend past the image
        a, t, small = _pixels(logits + n * logits_row, x + n * x_row, pixel, inside, BYTES, KIND)
        # log(1 + eᵃ) equals max(a, 0) + log(1 + e^−|a|), which never overflows
        total += tl.where(inside, tl.maximum(a, 0.0) - t * a + _log1p(small), 0.0)
        if GRADIENTS:
            p = tl.where(a >= 0, 1.0, small) / (1.0 + small)  # sigmoid(a)
            tl.store(d_logits + n * D + pixel, (p - t) * share, mask=inside)
    tl.store(reconstruction + n, tl.sum(total, 0))

    sums = tl.zeros((Z,), KIND)
    for start in range(0, d, Z):
        k = start + tl.arange(0, Z)
        m = tl.load(mu + n * mu_row + k, mask=k < d, other=0.0).to(KIND)
        v = tl.load(logvar + n * logvar_row + k, mask=k < d, other=0.0).to(KIND)
        sums += 0.5 * (tl.exp(v) - 1.0 - v + m * m)  # 0 where masked: exp(0) − 1 − 0 + 0
        if GRADIENTS:
            tl.store(d_mu + n * d + k, m * share, mask=k < d)
            tl.store(d_logvar + n * d + k, 0.5 * (tl.exp(v) - 1.0) * share, mask=k < d)
    tl.store(kl + n, tl.sum(sums, 0))


@jit
def _other_gradients_kernel(
    logits,
    x,
    mu,
    logvar,
    g_reconstruction,
    g_kl,
    d_logits,
    d_mu,
    d_logvar,
    logits_row,
    x_row,
    mu_row,
    logvar_row,
    D: tl.constexpr,
    d: tl.constexpr,
    written,
    BYTES: tl.constexpr,
    KIND: tl.constexpr,
    BLOCK: tl.constexpr,
    Z: tl.constexpr,
):
    n = tl.program_id(0).to(tl.int64)
    g = tl.load(g_reconstruction + n)
    # if g equals `written`, as in most cases, the gradients in memory are already correct
    if g != written:
        for start in range(0, D, BLOCK):
            pixel = start + tl.arange(0, BLOCK)
            inside = pixel < D
            a, t, small = _pixels(
                logits + n * logits_row, x + n * x_row, pixel, inside, BYTES, KIND
            )
            p = tl.where(a >= 0, 1.0, small) / (1.0 + small)
            tl.store(d_logits + n * D + pixel, (p - t) * g, mask=inside)
    g = tl.load(g_kl + n)
    if g != written:
        for start in range(0, d, Z):
            k = start + tl.arange(0, Z)
            m = tl.load(mu + n * mu_row + k, mask=k < d, other=0.0).to(KIND)
            v = tl.load(logvar + n * logvar_row + k, mask=k < d, other=0.0).to(KIND)
            tl.store(d_mu + n * d + k, m * g, mask=k < d)
            tl.store(d_logvar + n * d + k, 0.5 * (tl.exp(v) - 1.0) * g, mask=k < d)


def _settings(logits: Tensor, x: Tensor, mu: Tensor) -> dict[str, Any]:
    # block sizes are powers of 2; a row of more than 1,024 numbers is split into several blocks
    return {
        "BYTES": x.dtype == torch.uint8,
        "KIND": tl.float64 if logits.dtype == torch.float64 else tl.float32,
        "BLOCK": min(1024, triton.next_power_of_2(logits.shape[1])),
        "Z": min(1024, triton.next_power_of_2(mu.shape[1])),
    }


class _FusedElbo(torch.autograd.Function):
    """The autograd function behind `fused_elbo`.

    `forward` writes the gradients of the mean of −L_b over images; `backward` recomputes them for
    any other loss.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor, gradients: bool
    ) -> Any:
        (n, pixels), d, share = logits.shape, mu.shape[1], 1 / len(logits)
        terms = [logits.new_empty(n, dtype=compute_dtype(logits)) for _ in range(2)]
        shapes = (logits.shape, mu.shape, mu.shape) if gradients else ((1,), (1,), (1,))
        ctx.written = [logits.new_empty(shape) for shape in shapes]
        given = [rows(t) for t in (logits, x, mu, logvar)]
        steps = [t.stride(0) for t in given]
        _elbo_kernel[(n,)](
            *given,
            *terms,
            *ctx.written,
            *steps,
            pixels,
            d,
            share,
            GRADIENTS=gradients,
            **_settings(logits, x, mu),
        )
        ctx.save_for_backward(*given)
        return tuple(terms)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_reconstruction: Tensor, g_kl: Tensor) -> Any:
        logits, x, mu, _ = given = ctx.saved_tensors
        found, share = ctx.written, 1 / len(logits)
        if found is None:
            # an earlier backward has returned them; nothing equals NaN, so all are recomputed
            found, share = [logits.new_empty(t.shape) for t in (logits, mu, mu)], float("nan")
        ctx.written = None
        upstream = [g.contiguous() for g in (g_reconstruction, g_kl)]
        steps = [t.stride(0) for t in given]
        _other_gradients_kernel[(len(logits),)](
            *given,
            *upstream,
            *found,
            *steps,
            logits.shape[1],
            mu.shape[1],
            share,
            **_settings(logits, x, mu),
        )
        return found[0], None, found[1], found[2], None


def fused_elbo(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Terms:
    """Compute the two terms of −L_b for each image, in nats: −log P(x|z) and KL(q(z|x) ‖ N(0, I)).

    logits (N, D): the output of the decoder. x (N, D): pixels in [0, 1], or bytes as in
    `Digits.images`, which are divided by 255; x must not require gradients. mu, logvar (N, d): the
    parameters of q(z|x). The kernel's forward pass also computes the gradients of the mean of −L_b
    over images; if the loss is not this mean, the backward pass computes the gradients again. Sums
    are computed in float64 for float64 logits, and in float32 for all others. Large logits do not
    cause overflow. Raises ValueError for incompatible arguments. Source: Kingma & Welling 2014,
    equation 10 and appendix C.1.
    """
    check(
        logits.ndim == 2 and logits.shape == x.shape,
        "logits and x must both have shape (N, D), "
        f"but got {tuple(logits.shape)} and {tuple(x.shape)}.",
    )
    check(
        mu.ndim == 2 and mu.shape == logvar.shape and len(mu) == len(logits),
        f"mu and logvar must both have shape (N, d) with N = {len(logits)}, "
        f"but got {tuple(mu.shape)} and {tuple(logvar.shape)}.",
    )
    check(
        0 not in (*logits.shape, *mu.shape),
        "The tensors must not be empty: pass at least one image, one pixel and one dimension of z.",
    )
    check(
        logits.is_floating_point() and logits.dtype == mu.dtype == logvar.dtype,
        "logits, mu and logvar must have the same floating-point dtype, but got "
        f"{logits.dtype}, {mu.dtype} and {logvar.dtype}.",
    )
    check(
        x.dtype == torch.uint8 or x.is_floating_point(),
        f"x must contain floating-point pixels in [0, 1] or bytes (uint8), but got {x.dtype}.",
    )
    check(not x.requires_grad, "x is a target and must not require gradients: pass x.detach().")
    check(
        logits.device == x.device == mu.device == logvar.device,
        "logits, x, mu and logvar must be on the same device.",
    )
    if not kernel_runs("fused_elbo", logits):
        return elbo_reference(logits, x, mu, logvar)
    wanted = torch.is_grad_enabled() and any(t.requires_grad for t in (logits, mu, logvar))
    return Terms(*_FusedElbo.apply(logits, x, mu, logvar, wanted))
