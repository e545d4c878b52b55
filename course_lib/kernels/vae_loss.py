"""The loss of a VAE, computed by fused kernels with fewer passes and launches than `VAE.loss`."""

from typing import Any

from torch import Tensor

from course_lib.kernels.backend import check
from course_lib.kernels.elbo import fused_elbo
from course_lib.kernels.reparameterize import fused_reparameterize
from course_lib.models.autoregressive_vae import AutoregressiveVAE
from course_lib.models.vae import LatentImages


def reason_against(model: Any) -> str:
    """Return the reason why the kernels cannot compute this model's loss, or "" if they can."""
    config = model.config
    if not hasattr(config, "likelihood"):
        name = type(model).__name__
        return f"The kernels can only compute the loss of a VAE, not that of {name}."
    kind = config.likelihood, config.prior
    if kind != ("bernoulli", "normal"):
        return (
            "The kernels need likelihood='bernoulli' and prior='normal', "
            f"not {kind[0]!r} and {kind[1]!r}: use model.loss."
        )
    if isinstance(model, AutoregressiveVAE):
        return (
            "The kernels need pixels that are independent given z, not autoregressive: "
            "use model.loss."
        )
    return ""


def fused_loss(model: LatentImages, x: Tensor, beta: float | Tensor = 1.0) -> dict[str, Tensor]:
    """Compute the loss for images x (N, D), in nats per image.

    Returns a dictionary with the same keys as `VAE.loss`.

    model: a VAE, or the result of `ConditionalVAE.given`. Raises ValueError unless the model is a
    VAE with a normal prior and black-and-white pixels that are independent given z.
    """
    against = reason_against(model)
    check(not against, against)
    mu, logvar = model.encode(x)  # (N, d)
    terms = fused_elbo(model.decode(fused_reparameterize(mu, logvar)), x, mu, logvar)
    reconstruction = terms.reconstruction.mean()
    kl = terms.kl.mean()
    return {"loss": reconstruction + beta * kl, "reconstruction": reconstruction, "kl": kl}
