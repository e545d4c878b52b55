"""Fused GPU kernels, each with a plain PyTorch reference that defines the correct results.

The kernels are in separate modules: `elbo`, `reparameterize`, `batch`, `e_step` and `full_e_step`.
Each public function chooses automatically between its kernel and its reference. For each function,
`ran` records which of the two computed the latest result; `which(device)` describes the
implementation that would be used on a device. No kernel runs inside a `with switched_off():` block.
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
