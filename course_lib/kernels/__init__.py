"""Fused kernels for the GPU, each with the plain PyTorch function that it must equal beside it.

One file a kernel: `elbo`, `reparameterize`, `batch`, `e_step`. The public functions choose by themselves
between the kernel and its twin; `ran` says which of them computed each function's last result,
`which(device)` which would, and inside of `with twins():` no kernel runs.
"""

from course_lib.kernels.backend import jit, ran, tl, triton, twins, which
from course_lib.kernels.batch import gather_binarize, gather_binarize_twin
from course_lib.kernels.e_step import Statistics, mixture_statistics, mixture_statistics_twin
from course_lib.kernels.elbo import Terms, elbo_twin, fused_elbo
from course_lib.kernels.philox import new_seed
from course_lib.kernels.reparameterize import fused_reparameterize, reparameterize_twin
from course_lib.kernels.vae_loss import fused_loss

__all__ = [
    "Statistics",
    "Terms",
    "elbo_twin",
    "fused_elbo",
    "fused_loss",
    "fused_reparameterize",
    "gather_binarize",
    "gather_binarize_twin",
    "jit",
    "mixture_statistics",
    "mixture_statistics_twin",
    "new_seed",
    "ran",
    "reparameterize_twin",
    "tl",
    "triton",
    "twins",
    "which",
]
