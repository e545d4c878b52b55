"""How a GAN is trained in the course's one loop: both players' steps, and every number that they need."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from course_lib import require
from course_lib.data import Digits
from course_lib.models.gan import GAN, update_discriminator, update_generator
from course_lib.training.loop import Run
from course_lib.training.schedules import adam, set_rate

Losses = dict[str, Tensor]


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
    ema_decay: float = 0.998  # of the averaged weights, a step; in the first steps they follow faster
    mean_image: bool = True  # G begins at the mean image instead of at grey
    autocast: bool = False  # products in bfloat16, on a device that knows it

    def __post_init__(self) -> None:
        steps = require.is_count(self.d_steps) and require.is_count(self.r1_every)
        if not require.is_count(self.batch_size, 2) or not steps:
            raise ValueError(
                "batch_size is a whole number of at least 2, d_steps and r1_every of at least 1."
            )
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay lies from 0 to below 1, not at {self.ema_decay}.")

    @property
    def rows(self) -> int:
        """How many rows of the data a step takes."""
        return self.batch_size * self.d_steps

    def build(self, digits: Digits) -> GAN:
        """The GAN as the training begins with it."""
        images = digits.images
        gan = GAN(shape=list(images.shape[1:]), **self.config).to(images.device)
        gan.to(memory_format=torch.channels_last)  # faster convolutions
        if gan.config.labels:
            require.labels(digits.labels, gan.config.labels)  # a GPU would stop at such a label, with no word
        if self.mean_image:
            gan.start_at(images.flatten(1).float().mean(0) / 255)
        return gan

    def parts(self, gan: GAN, capturable: bool) -> dict[str, Any]:
        """All that a step changes, by name."""
        how: dict[str, Any] = {"device": gan.generator.bias.device, "capturable": capturable}
        of_g = adam(gan.generator.parameters(), self.lr_generator, self.betas, **how)
        of_d = adam(gan.discriminator.parameters(), self.lr_discriminator, self.betas, **how)
        return {"gan": gan, "generator_optimizer": of_g, "discriminator_optimizer": of_d}

    def hyperparameters(self, gan: GAN) -> dict[str, Any]:
        """What must be the same in a checkpoint, beside config and rates, which the parts have."""
        names = ("loss", "cosine", "d_steps", "r1", "r1_every", "penalty", "ema_decay", "mean_image")
        return {name: getattr(self, name) for name in names}

    def rounds_products(self, gan: GAN) -> bool:
        """Whether a CPU may round the factors of products."""
        return False

    def batch(self, gan: GAN) -> None:
        """The rows as they are: a GAN learns the grey images, and a step makes pixels of the bytes."""

    def step(self, run: Run, loss: None = None) -> Callable[[tuple[Tensor, ...]], Losses]:
        """`d_steps` steps of D, each on its part of the rows, then one of G, on the players' own losses."""
        gan, of_g, of_d = run.parts.values()

        def step(batch: tuple[Tensor, ...]) -> Losses:
            if self.cosine:
                set_rate(of_g, self.lr_generator, run.progress)
                set_rate(of_d, self.lr_discriminator, run.progress)
            r1 = self.r1 * self.r1_every if self._has_r1(run) else 0.0
            losses: Losses = {}
            d_steps = self.d_steps if len(batch[0]) >= 2 * self.d_steps else 1  # no part of one image
            for part in zip(*(rows.tensor_split(d_steps) for rows in batch), strict=True):
                x = part[0] / 255
                y = part[1] if len(part) > 1 else None
                losses = update_discriminator(gan, x, of_d, self.loss, y=y, r1=r1, penalty=self.penalty)
            losses |= update_generator(gan, len(x), of_g, self.loss, y=y)
            # Adam's own count of G's steps, on the device: a graph would keep the run.step of its capture
            steps = of_g.state[gan.generator.bias]["step"].to(gan.generator.bias.dtype)
            gan.update_ema((steps / (9 + steps)).clamp(max=self.ema_decay))
            return losses

        return step

    def variant(self, run: Run) -> Callable[[], Hashable]:
        """Steps with R1 and steps without launch different kernels."""
        return lambda: self._has_r1(run)

    def _has_r1(self, run: Run) -> bool:
        return self.r1 != 0 and run.step % self.r1_every == 0
