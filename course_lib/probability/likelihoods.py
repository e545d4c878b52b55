"""The likelihoods P(x|z) of pixels, computed from a decoder's logits.

`observed_pixels` converts images to the pixels that a likelihood models.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal
from torch.nn import functional as F

from course_lib.data.digits import binarize, fixed_binarization


def observed_pixels(images: Tensor, likelihood: str, *, fixed: bool = False) -> Tensor:
    """Convert uint8 images of shape (..., H, W)
    to the floating-point pixels that a likelihood models.

    For "gaussian", the pixels are grey: the bytes divided by 255. For "bernoulli" and
    "autoregressive", the pixels are black or white. By default, each call draws a new binarization,
    as in training. If `fixed` is True, the binarization is always the same, as in testing. Raises
    ValueError for images that are not uint8.
    """
    if images.dtype != torch.uint8:
        raise ValueError(
            f"images must be bytes (uint8), as in digits.images, but got {images.dtype}."
        )
    if likelihood == "gaussian":
        return images.float() / 255
    return fixed_binarization(images) if fixed else binarize(images)


def log_bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    """Return log P(x) in nats for independent pixels that are 1 with probability sigmoid(logit).

    x and logits have shape (..., D), and the result has shape (...). The log-likelihood is the sum
    over pixels of x·log p + (1 − x)·log(1 − p), where p = sigmoid(l) for a pixel with logit l. Each
    term equals x·l − log(1 + eˡ), which is finite for every logit l. If x contains grey values, the
    result is a negative cross-entropy rather than a log-likelihood. Raises ValueError if x has an
    integer type, such as uint8, and contains values other than 0 and 1.
    """
    if not x.is_floating_point() and x.numel() and not 0 <= int(x.min()) <= int(x.max()) <= 1:
        raise ValueError(
            f"Pixels must be in [0, 1], but got {x.dtype} values from {int(x.min())} to "
            f"{int(x.max())}. Use digits.pixels() or binarize(images)."
        )
    if logits.device.type == "cpu":
        kind = torch.result_type(logits, x)
        return _LogBernoulli.apply(*torch.broadcast_tensors(logits.to(kind), x.to(kind)))
    return (logits * x).sum(-1) - F.softplus(logits).sum(-1)


class _LogBernoulli(torch.autograd.Function):
    # On a CPU, torch's softplus computes log1p to an accuracy that is lost in the sum over pixels,
    # and its backward pass computes p again. Avoiding both makes a training step of the plain VAE
    # a tenth shorter.
    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> Tensor:
        p = torch.sigmoid(logits)
        ctx.save_for_backward(logits, x, p)
        # log(1 + eˡ) = max(l, 0) − log max(p, 1 − p), and max(p, 1 − p) is in [½, 1]
        larger = torch.rsub(p, 1)
        torch.maximum(p, larger, out=larger)
        return larger.log_().addcmul_(logits, x).sub_(torch.relu(logits)).sum(-1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None]:
        logits, x, p = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: the gradient must be differentiable
            p = torch.sigmoid(logits)
        grad = grads[0][..., None]
        return torch.sub(x, p).mul_(grad), grad * logits if ctx.needs_input_grad[1] else None


class Pixels(Independent):
    """The distribution of images of shape (D,) whose pixels are independent Bernoulli variables."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__(Bernoulli(logits=logits, validate_args=False), 1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log P(x) in nats.

        value and logits are broadcast to (..., D), and the result has shape (...).
        """
        return log_bernoulli(self.base_dist.logits, value)


class BernoulliPixels(nn.Module):
    """The Bernoulli likelihood of binary pixels; a pixel is 1 with probability sigmoid(logit)."""

    def distribution(self, logits: Tensor) -> Distribution:
        """Return P(x|z) for logits of shape (..., D).

        The distribution has batch shape (...) and event shape (D,).
        """
        return Pixels(logits)

    def log_prob(self, x: Tensor, logits: Tensor) -> Tensor:
        """Return log P(x|z) in nats, of shape (N,), for x and logits, both of shape (N, D)."""
        return log_bernoulli(logits, x)


class GaussianPixels(nn.Module):
    """The Gaussian likelihood of grey pixels, where each pixel has mean sigmoid(logit)
    and all share one variance.

    variance: a fixed number, or None to learn the variance, with 0.05 as the initial value.
    """

    log_variance: Tensor

    def __init__(self, variance: float | None = None) -> None:
        super().__init__()
        start = torch.tensor(math.log(0.05 if variance is None else variance))
        if variance is None:
            self.log_variance = nn.Parameter(start)
        else:
            # A fixed variance is saved in the configuration, because saved weights may be rounded.
            self.register_buffer("log_variance", start, persistent=False)

    def distribution(self, logits: Tensor) -> Distribution:
        """Return P(x|z) for logits of shape (..., D).

        The distribution has batch shape (...) and event shape (D,).
        """
        scale = torch.exp(0.5 * self.log_variance)
        return Independent(Normal(torch.sigmoid(logits), scale, validate_args=False), 1)

    def log_prob(self, x: Tensor, logits: Tensor) -> Tensor:
        """Return log P(x|z) in nats, of shape (N,), for x and logits, both of shape (N, D)."""
        return self.distribution(logits).log_prob(x)
