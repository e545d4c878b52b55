"""Draw z = mu + exp(logvar / 2) · e without storing the noise; the backward pass recomputes it."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from course_lib.kernels.backend import check, compute_dtype, jit, kernel_runs, rows, tl, triton
from course_lib.kernels.philox import as_seed, normal

BLOCK = 1024  # elements per program


def reparameterize_reference(
    mu: Tensor, logvar: Tensor, seed: Tensor | int | None = None
) -> Tensor:
    """The PyTorch reference for `fused_reparameterize`. The same seed gives the same z."""
    kind, counter = compute_dtype(mu), torch.arange(mu.numel(), device=mu.device).view(mu.shape)
    e = normal(as_seed(seed, mu.device), counter).to(kind)  # autograd stores e for backward
    return (mu.to(kind) + torch.exp(0.5 * logvar.to(kind)) * e).to(mu.dtype)


@jit
def _forward_kernel(
    mu, logvar, seed, z, mu_row, logvar_row, size, d, KIND: tl.constexpr, BLOCK: tl.constexpr
):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    # the noise of element i depends only on the seed and on i
    e = tl.randn(tl.load(seed), i).to(KIND)
    row = (i // d).to(tl.int64)  # the offset of a row in a slice may exceed 32 bits
    m = tl.load(mu + row * mu_row + i % d, mask=i < size, other=0.0).to(KIND)
    v = tl.load(logvar + row * logvar_row + i % d, mask=i < size, other=0.0).to(KIND)
    tl.store(z + i, m + tl.exp(0.5 * v) * e, mask=i < size)


@jit
def _backward_kernel(
    g, logvar, seed, d_logvar, g_row, logvar_row, size, d, KIND: tl.constexpr, BLOCK: tl.constexpr
):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    e = tl.randn(tl.load(seed), i).to(KIND)  # the same noise as in the forward pass
    row = (i // d).to(tl.int64)
    v = tl.load(logvar + row * logvar_row + i % d, mask=i < size, other=0.0).to(KIND)
    upstream = tl.load(g + row * g_row + i % d, mask=i < size, other=0.0).to(KIND)
    tl.store(d_logvar + i, upstream * 0.5 * tl.exp(0.5 * v) * e, mask=i < size)


def _launch(kernel: Any, first: Tensor, logvar: Tensor, seed: Tensor) -> Tensor:
    """Run `kernel` on two tensors of shape (R, d), with any row stride, and return its output."""
    out = torch.empty(logvar.shape, dtype=logvar.dtype, device=logvar.device)
    kind = tl.float64 if out.dtype == torch.float64 else tl.float32
    programs, steps = (triton.cdiv(out.numel(), BLOCK),), (first.stride(0), logvar.stride(0))
    kernel[programs](
        first, logvar, seed, out, *steps, out.numel(), out.shape[1], KIND=kind, BLOCK=BLOCK
    )
    return out


class _Reparameterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mu: Tensor, logvar: Tensor, seed: Tensor) -> Tensor:
        ctx.save_for_backward(logvar, seed)
        return _launch(_forward_kernel, rows(mu), rows(logvar), seed)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None]:
        logvar, seed = ctx.saved_tensors
        return g, _launch(_backward_kernel, rows(g), rows(logvar), seed), None  # dz/dmu = 1


def fused_reparameterize(mu: Tensor, logvar: Tensor, seed: Tensor | int | None = None) -> Tensor:
    """Draw z = mu + exp(logvar / 2) · e with e ~ N(0, I); z is differentiable in mu and logvar.

    mu, logvar: tensors of the same shape and dtype. seed: an int or a one-element int64 tensor; if
    None, a seed is drawn from torch's global generator. The noise is generated in float32, whatever
    the dtype of z. Raises ValueError for incompatible arguments.
    Source: Kingma & Welling 2014, section 2.4. The random number generator is described in
    `kernels.philox`.
    """
    check(
        mu.shape == logvar.shape and mu.dtype == logvar.dtype and mu.is_floating_point(),
        "mu and logvar must have the same shape and the same floating-point dtype, but got "
        f"{tuple(mu.shape)} {mu.dtype} and {tuple(logvar.shape)} {logvar.dtype}.",
    )
    check(mu.device == logvar.device, "mu and logvar must be on the same device.")
    check(0 < mu.numel() < 2**31, f"mu must contain 1 to 2³¹ − 1 numbers, but got {mu.numel():,}.")
    seed = as_seed(seed, mu.device)
    if not kernel_runs("fused_reparameterize", mu):
        return reparameterize_reference(mu, logvar, seed)
    flat = (-1, mu.shape[-1]) if mu.ndim else (1, 1)
    return _Reparameterize.apply(mu.reshape(flat), logvar.reshape(flat), seed).view(mu.shape)
