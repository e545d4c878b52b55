"""The loss of a VAE out of the fused kernels: what `VAE.loss` computes, in fewer passes and launches."""

from torch import Tensor

from course_lib.kernels.backend import check
from course_lib.kernels.elbo import fused_elbo
from course_lib.kernels.reparameterize import fused_reparameterize
from course_lib.models.vae import VAE


def fused_loss(model: VAE, x: Tensor, beta: float | Tensor = 1.0) -> dict[str, Tensor]:
    """−L_b of images x (N, D), in nats per image: {"loss", "reconstruction", "kl"}, as `VAE.loss`.

    Raises ValueError for a model whose pixels are not black or white, or whose prior is not normal.
    """
    kind = model.config.likelihood, model.config.prior
    check(
        kind == ("bernoulli", "normal"),
        "The kernels know a bernoulli likelihood and a normal prior, "
        f"not {' and '.join(kind)}: use model.loss.",
    )
    mu, logvar = model.encode(x)  # (N, d)
    terms = fused_elbo(model.decode(fused_reparameterize(mu, logvar)), x, mu, logvar)
    reconstruction, kl = terms.reconstruction.mean(), terms.kl.mean()
    return {"loss": reconstruction + beta * kl, "reconstruction": reconstruction, "kl": kl}
