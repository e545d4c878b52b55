"""Fused kernels for the GPU, each with the plain PyTorch function that it must equal beside it.

One file a kernel: `elbo`, `reparameterize`, `batch`, `e_step`, `full_e_step`. The public functions choose by
themselves between the kernel and its reference; `ran` says which of them computed each function's last
result, `which(device)` which would, and inside of `with switched_off():` no kernel runs.
"""

from course_lib.kernels.backend import jit, ran, switched_off, tl, triton, which
from course_lib.kernels.batch import gather_binarize, gather_binarize_reference
from course_lib.kernels.e_step import Statistics, mixture_statistics, mixture_statistics_reference
from course_lib.kernels.elbo import Terms, elbo_reference, fused_elbo
from course_lib.kernels.full_e_step import (
    FullStatistics,
    full_mixture_statistics,
    full_mixture_statistics_reference,
)
from course_lib.kernels.philox import new_seed
from course_lib.kernels.reparameterize import fused_reparameterize, reparameterize_reference
from course_lib.kernels.vae_loss import fused_loss

__all__ = [
    "FullStatistics",
    "Statistics",
    "Terms",
    "elbo_reference",
    "full_mixture_statistics",
    "full_mixture_statistics_reference",
    "fused_elbo",
    "fused_loss",
    "fused_reparameterize",
    "gather_binarize",
    "gather_binarize_reference",
    "jit",
    "mixture_statistics",
    "mixture_statistics_reference",
    "new_seed",
    "ran",
    "reparameterize_reference",
    "switched_off",
    "tl",
    "triton",
    "which",
]
