"""Schedules of the learning rate, and optimizers for which they also work in a CUDA graph.

There, the learning rate must be a tensor. `progress` is the completed fraction of training, from 0
to 1, as a scalar tensor.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Adam


def adam(
    parameters: Iterable[nn.Parameter],
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    *,
    device: torch.device,
    capturable: bool = False,
) -> Adam:
    """Return an Adam optimizer for use with `set_rate`.

    capturable: whether the optimizer can be used in a CUDA graph.
    """
    optimizer = Adam(parameters, lr, betas, fused=True, capturable=capturable)
    # set the tensor here, because the optimizer's defaults are part of the identity of a checkpoint
    optimizer.param_groups[0]["lr"] = torch.tensor(lr, device=device)
    return optimizer


def half_cosine(progress: Tensor) -> Tensor:
    """Return the factor of the learning rate that falls from 1 to 0 along half a cosine period."""
    return 0.5 * (1 + torch.cos(math.pi * progress))


def late_decay(progress: Tensor, decay: float) -> Tensor:
    """Return the factor of the learning rate that is 1 at first, and that falls linearly to 0 in
    the last part of training, the fraction `decay`.

    Source: Hägele et al. 2024, who call it a cooldown.
    """
    return ((1 - progress) / decay).clamp(max=1.0)


def set_rate(optimizer: Adam, lr: Tensor) -> None:
    """Set the learning rate of an optimizer that was made by `adam`."""
    optimizer.param_groups[0]["lr"].copy_(lr)
