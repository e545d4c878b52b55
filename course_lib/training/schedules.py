"""Optimizers whose learning rate is a tensor, so that schedules also work in a CUDA graph."""

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


def set_rate(optimizer: Adam, lr: float, progress: Tensor) -> None:
    """Set the learning rate, which decays from `lr` to 0 along half a cosine period.

    progress: the completed fraction of training, from 0 to 1.
    """
    optimizer.param_groups[0]["lr"].copy_(lr * 0.5 * (1 + torch.cos(math.pi * progress)))
