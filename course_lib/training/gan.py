"""How a GAN is trained: both players' steps in the course's one loop, and every number that they need."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from course_lib import require
from course_lib.data import as_digits
from course_lib.device import knows_bfloat16
from course_lib.models.gan import GAN, update_discriminator, update_generator
from course_lib.training import Run


@dataclass(frozen=True)
class GANRecipe:
    """A GAN and its training by two Adams, one a player; an update of G comes after `d_steps` of D.

    Where an epoch's last rows are fewer than two images a step, D does one step on all of them.
    """

    config: dict[str, Any] = field(default_factory=dict)
    epochs: float = 5
    batch_size: int = 64  # at least 2, because batch norm knows no variance of one image
    loss: str = "nonsaturating"
    lr_generator: float = 1e-3
    lr_discriminator: float = 1e-3
    betas: tuple[float, float] = (0.0, 0.99)  # no momentum: the other player moves, an old slope misleads
    cosine: bool = True  # both learning rates fall to 0 along half a cosine
    d_steps: int = 1
    r1: float = 0.0  # weight γ of `r1_penalty`; 0: none
    r1_every: int = 1  # it is computed in every such step, with as many times the weight
    penalty: float = 0.0  # weight of `gradient_penalty`
    average: float = 0.998  # decay of the averaged weights a step; in the first steps they follow faster
    mean_image: bool = True  # G begins at the mean image instead of at grey
    autocast: bool = False  # products in bfloat16, on a device that knows it

    def __post_init__(self) -> None:
        steps = require.is_count(self.d_steps) and require.is_count(self.r1_every)
        if not require.is_count(self.batch_size, 2) or not steps:
            raise ValueError(
                "batch_size is a whole number of at least 2, d_steps and r1_every of at least 1."
            )
        if not 0 <= self.average < 1:
            raise ValueError(f"average, a decay, lies from 0 to below 1, not at {self.average}.")


def train_gan(
    recipe: GANRecipe,
    digits: Any,
    seed: int = 0,
    epochs: float | None = None,
    checkpoint: str | Path | None = None,
    evaluate: Callable[[GAN], dict[str, float]] | None = None,
    *,
    weights: Tensor | None = None,
    **options: Any,
) -> tuple[GAN, Run]:
    """The recipe's GAN trained on the digits, in eval mode, and its Run.

    digits: Digits, or any map-style data set, which is read into Digits first. epochs: others than the
    recipe's. checkpoint: a file to resume from. weights: (N,), how often each row is drawn, as for `Run`.
    options: those of `Run.train`, but evaluate is given the GAN, and autocast goes before the recipe's. The
    run's history holds what the two updates return.
    Raises ValueError for an unknown loss, and for a graph with a penalty that is not in each step.
    """
    if not isinstance(recipe, GANRecipe):
        raise ValueError(f"train_gan takes a GANRecipe, not {type(recipe).__name__}.")
    digits = as_digits(digits)
    torch.manual_seed(seed)
    images = digits.images.flatten(1)  # (N, D), bytes
    device = images.device
    graph = bool(options.get("graph")) and device.type == "cuda"
    if graph and recipe.r1 and recipe.r1_every > 1:
        raise ValueError("In a graph every step is the same: take r1_every=1, or no graph.")
    gan = GAN(shape=list(digits.images.shape[1:]), **recipe.config).to(device)
    gan.to(memory_format=torch.channels_last)  # faster convolutions
    if gan.config.labels:
        require.labels(digits.labels, gan.config.labels)  # a GPU would stop at such a label, with no word
    if recipe.mean_image:
        gan.start_at(images.float().mean(0) / 255)
    players = {"generator": recipe.lr_generator, "discriminator": recipe.lr_discriminator}
    optimizers = {}
    for name, lr in players.items():
        learned = getattr(gan, name).parameters()
        optimizers[name] = torch.optim.Adam(learned, lr, recipe.betas, fused=True, capturable=graph)
        # a tensor, so that it can change inside a CUDA graph; the defaults, by which a checkpoint knows its
        # run, stay as they are
        optimizers[name].param_groups[0]["lr"] = torch.tensor(lr, device=device)
    data = (images, digits.labels) if gan.config.labels else (images,)
    parts: dict[str, Any] = {"gan": gan}
    parts |= {f"{name}_optimizer": optimizer for name, optimizer in optimizers.items()}
    # epochs may be more than they were, and autocast be another machine's; config and rates the parts have
    told = ("loss", "cosine", "d_steps", "r1", "r1_every", "penalty", "average", "mean_image")
    facts = {name: getattr(recipe, name) for name in told}
    rows = recipe.batch_size * recipe.d_steps
    drawn = {} if weights is None else {"weights": weights}
    run = Run(data, batch_size=rows, seed=seed, checkpoint=checkpoint, facts=facts, **parts, **drawn)

    def update(batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        if recipe.cosine:
            for name, lr in players.items():
                rate = optimizers[name].param_groups[0]["lr"]
                rate.copy_(lr * 0.5 * (1 + torch.cos(math.pi * run.progress)))
        r1 = recipe.r1 * recipe.r1_every if run.step % recipe.r1_every == 0 else 0.0
        terms: dict[str, Tensor] = {}
        d_steps = recipe.d_steps if len(batch[0]) >= 2 * recipe.d_steps else 1  # no part of one image
        for part in zip(*(rows.tensor_split(d_steps) for rows in batch), strict=True):
            x, y = part[0] / 255, part[1] if len(part) > 1 else None
            terms = update_discriminator(
                gan, x, optimizers["discriminator"], recipe.loss, y=y, r1=r1, penalty=recipe.penalty
            )
        terms |= update_generator(gan, len(x), optimizers["generator"], recipe.loss, y=y)
        # G's steps by Adam's own count, on the device: a CUDA graph would keep the run.step of its capture
        steps = optimizers["generator"].state[gan.generator.bias]["step"].to(gan.generator.bias.dtype)
        gan.follow((steps / (9 + steps)).clamp(max=recipe.average))
        return terms

    measure = (lambda: evaluate(gan)) if evaluate else None
    length = recipe.epochs if epochs is None else epochs
    options.setdefault("autocast", recipe.autocast and knows_bfloat16(device))
    run.train(update, length, evaluate=measure, **options)
    return gan.eval(), run
