"""Optimizers whose learning rate is a tensor, so that a schedule also works within a CUDA graph."""

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
    """An Adam for `set_rate`. capturable: its steps may become a CUDA graph."""
    optimizer = Adam(parameters, lr, betas, fused=True, capturable=capturable)
    # set here, where it does not change the optimizer's defaults as well, by which a checkpoint knows its run
    optimizer.param_groups[0]["lr"] = torch.tensor(lr, device=device)
    return optimizer


def set_rate(optimizer: Adam, lr: float, progress: Tensor) -> None:
    """From lr to 0 along half a cosine, as progress () goes from 0 to 1."""
    optimizer.param_groups[0]["lr"].copy_(lr * 0.5 * (1 + torch.cos(math.pi * progress)))
