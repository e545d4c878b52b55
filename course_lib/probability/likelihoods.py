"""P(x|z): what a decoder's logits say about the pixels, and which pixels a likelihood is about."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal
from torch.nn import functional as F

from course_lib.data.digits import binarize, fixed_binarization


def observed_pixels(images: Tensor, likelihood: str, *, fixed: bool = False) -> Tensor:
    """Bytes (..., H, W), 0 to 255, as the float pixels that a model of this likelihood is to explain.

    For "gaussian" they are grey, the bytes over 255. For "bernoulli" and "autoregressive" they are black or
    white: drawn anew at each call, as for training, or fixed for good, as for test figures. Raises ValueError
    for images that are not uint8.
    """
    if images.dtype != torch.uint8:
        raise ValueError(f"Pixels are observed from bytes (uint8), as in digits.images, not {images.dtype}.")
    if likelihood == "gaussian":
        return images.float() / 255
    return fixed_binarization(images) if fixed else binarize(images)


def log_bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    """log P(x), in nats, of pixels that are 1 with probability sigmoid(logits): both (..., D), result (...).

    It is a sum over the image's pixels: x·log p + (1 − x)·log(1 − p), which with p = sigmoid(l) is
    x·l − log(1 + eˡ), finite whatever the logit. For grey x it is a cross-entropy and no likelihood. Raises
    ValueError for x of whole numbers beyond 0 and 1: bytes are not pixels yet.
    """
    if not x.is_floating_point() and x.numel() and not 0 <= int(x.min()) <= int(x.max()) <= 1:
        raise ValueError(
            f"Pixels lie in [0, 1]; these {x.dtype} reach from {int(x.min())} to {int(x.max())}: "
            "use digits.pixels() or binarize(images)."
        )
    if logits.device.type == "cpu":
        kind = torch.result_type(logits, x)
        return _LogBernoulli.apply(*torch.broadcast_tensors(logits.to(kind), x.to(kind)))
    return (logits * x).sum(-1) - F.softplus(logits).sum(-1)


class _LogBernoulli(torch.autograd.Function):
    # on a CPU torch's softplus spends its time in log1p, for digits of tiny values that no sum over pixels
    # shows, and its backward in p, which is known here: together a tenth of a training step of the plain VAE
    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> Tensor:
        p = torch.sigmoid(logits)
        ctx.save_for_backward(logits, x, p)
        # log(1 + eˡ) = max(l, 0) − log max(p, 1 − p), whose logarithm is of a number in [½, 1]
        larger = torch.rsub(p, 1)
        torch.maximum(p, larger, out=larger)
        return larger.log_().addcmul_(logits, x).sub_(torch.relu(logits)).sum(-1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None]:
        logits, x, p = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph: the gradient shall have derivatives of its own
            p = torch.sigmoid(logits)
        grad = grads[0][..., None]
        return torch.sub(x, p).mul_(grad), grad * logits if ctx.needs_input_grad[1] else None


class Pixels(Independent):
    """Images (D,) of independent pixels, each 1 with probability sigmoid(logits), as a torch distribution."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__(Bernoulli(logits=logits, validate_args=False), 1)

    def log_prob(self, value: Tensor) -> Tensor:
        """log P(x) in nats: value and logits broadcast to (..., D), the result is (...)."""
        return log_bernoulli(self.base_dist.logits, value)


class BernoulliPixels(nn.Module):
    """Black and white pixels: each is 1 with probability sigmoid(logit)."""

    def distribution(self, logits: Tensor) -> Distribution:
        """P(x|z) for logits (..., D): batch shape (...), one image (D,) its event."""
        return Pixels(logits)

    def log_prob(self, x: Tensor, logits: Tensor) -> Tensor:
        """log P(x|z) in nats: images x and logits (N, D) give (N,)."""
        return log_bernoulli(logits, x)


class GaussianPixels(nn.Module):
    """Grey pixels: each is Gaussian around sigmoid(logit), with one variance for all.

    variance: a number, or None for one that is learned, from 0.05 on.
    """

    log_variance: Tensor

    def __init__(self, variance: float | None = None) -> None:
        super().__init__()
        start = torch.tensor(math.log(0.05 if variance is None else variance))
        if variance is None:
            self.log_variance = nn.Parameter(start)
        else:
            # It is no part of the saved weights, where it might be rounded: the configuration keeps it.
            self.register_buffer("log_variance", start, persistent=False)

    def distribution(self, logits: Tensor) -> Distribution:
        """P(x|z) for logits (..., D): batch shape (...), one image (D,) its event."""
        scale = torch.exp(0.5 * self.log_variance)
        return Independent(Normal(torch.sigmoid(logits), scale, validate_args=False), 1)

    def log_prob(self, x: Tensor, logits: Tensor) -> Tensor:
        """log P(x|z) in nats: images x and logits (N, D) give (N,)."""
        return self.distribution(logits).log_prob(x)
