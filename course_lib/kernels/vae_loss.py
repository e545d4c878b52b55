"""The loss of a VAE from the fused kernels: what `VAE.loss` computes, in fewer passes and launches."""

from typing import Any

from torch import Tensor

from course_lib.kernels.backend import check
from course_lib.kernels.elbo import fused_elbo
from course_lib.kernels.reparameterize import fused_reparameterize
from course_lib.models.autoregressive_vae import AutoregressiveVAE
from course_lib.models.vae import LatentImages


def reason_against(model: Any) -> str:
    """Why the kernels do not compute this model's loss; "" if they do."""
    config = model.config
    if not hasattr(config, "likelihood"):
        return f"The kernels know the loss of a VAE, not that of a model such as {type(model).__name__}."
    kind = config.likelihood, config.prior
    if kind != ("bernoulli", "normal"):
        return (
            "The kernels know a bernoulli likelihood and a normal prior, "
            f"not {' and '.join(kind)}: use model.loss."
        )
    if isinstance(model, AutoregressiveVAE):
        return "The kernels know pixels that are independent given z, not autoregressive: use model.loss."
    return ""


def fused_loss(model: LatentImages, x: Tensor, beta: float | Tensor = 1.0) -> dict[str, Tensor]:
    """−L_b of images x (N, D), in nats per image: {"loss", "reconstruction", "kl"}, as `VAE.loss`.

    model: a VAE, or `given(y)` of a ConditionalVAE. Raises ValueError for a model with another loss: whose
    pixels are not black or white, or not independent, or whose prior is not normal.
    """
    against = reason_against(model)
    check(not against, against)
    mu, logvar = model.encode(x)  # (N, d)
    terms = fused_elbo(model.decode(fused_reparameterize(mu, logvar)), x, mu, logvar)
    reconstruction = terms.reconstruction.mean()
    kl = terms.kl.mean()
    return {"loss": reconstruction + beta * kl, "reconstruction": reconstruction, "kl": kl}
