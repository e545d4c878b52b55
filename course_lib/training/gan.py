"""The recipe for training a GAN: the steps of both players, and their hyperparameters."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from course_lib import require
from course_lib.data import Digits
from course_lib.models.gan import GAN, update_discriminator, update_generator
from course_lib.training.kinds import fit_kind_weights
from course_lib.training.loop import Run
from course_lib.training.schedules import adam, half_cosine, set_rate

Losses = dict[str, Tensor]


@dataclass(frozen=True)
class GANRecipe:
    """A GAN and its training, with one Adam optimizer per player.

    config: the fields of GANConfig, except `shape`. A step consists of `d_steps` updates of D and
    one update of G. If the last batch of an epoch has fewer than two images for each update of D, D
    is updated only once, on the whole batch.

    Raises ValueError for an invalid batch_size, d_steps, r1_every or ema_decay, and for weigh_kinds
    unless the GAN has kinds and no labels.
    """

    config: dict[str, Any] = field(default_factory=dict)
    epochs: float = 5
    batch_size: int = 64  # at least 2, because batch norm needs the variance over images
    loss: str = "nonsaturating"
    lr_generator: float = 1e-3
    lr_discriminator: float = 1e-3
    # no momentum: old gradients mislead when the other player moves
    betas: tuple[float, float] = (0.0, 0.99)
    cosine: bool = True  # both learning rates fall to 0 along half a cosine
    d_steps: int = 1
    r1: float = 0.0  # weight γ of `r1_penalty`; 0 means no penalty
    r1_every: int = 1  # apply R1 only once every `r1_every` steps, with `r1_every` times the weight
    penalty: float = 0.0  # weight of `gradient_penalty`
    # The upper limit of the average's decay per step. After n steps, the decay is n / (9 + n), so
    # that G's initial weights are soon forgotten; it reaches 0.998 after 4,491 steps.
    ema_decay: float = 0.998
    mean_image: bool = True  # G's first output is the mean image instead of a grey image
    weigh_kinds: bool = False  # after training, EM estimates how frequent each kind should be
    autocast: bool = False  # matrix products in bfloat16, on devices that support it

    def __post_init__(self) -> None:
        steps = require.is_count(self.d_steps) and require.is_count(self.r1_every)
        if not require.is_count(self.batch_size, 2) or not steps:
            raise ValueError(
                "batch_size must be an integer of at least 2, and d_steps and r1_every must be "
                f"positive integers, but got batch_size={self.batch_size!r}, "
                f"d_steps={self.d_steps!r} and r1_every={self.r1_every!r}."
            )
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must be at least 0 and below 1, but got {self.ema_decay}.")
        if self.weigh_kinds and (not self.config.get("kinds") or self.config.get("labels")):
            raise ValueError(
                "weigh_kinds=True is only for an unconditional GAN with kinds, "
                'as in GANRecipe({"kinds": 20}, weigh_kinds=True).'
            )

    @property
    def rows(self) -> int:
        """The number of data rows per step."""
        return self.batch_size * self.d_steps

    def build(self, digits: Digits) -> GAN:
        """Return the GAN in its initial state.

        Raises ValueError if the labels of the digits do not fit a conditional GAN.
        """
        images = digits.images
        gan = GAN(shape=list(images.shape[1:]), **self.config).to(images.device)
        gan.to(memory_format=torch.channels_last)  # faster convolutions
        if gan.config.labels:
            # a GPU's error message would be unclear
            require.labels(digits.labels, gan.config.labels)
        if self.mean_image:
            gan.start_at(images.flatten(1).float().mean(0) / 255)
        return gan

    def parts(self, gan: GAN, capturable: bool) -> dict[str, Any]:
        """Return a dictionary of everything that a step changes: the GAN and both optimizers."""
        how: dict[str, Any] = {"device": gan.generator.bias.device, "capturable": capturable}
        of_g = adam(gan.generator.parameters(), self.lr_generator, self.betas, **how)
        of_d = adam(gan.discriminator.parameters(), self.lr_discriminator, self.betas, **how)
        return {"gan": gan, "generator_optimizer": of_g, "discriminator_optimizer": of_d}

    def hyperparameters(self, gan: GAN) -> dict[str, Any]:
        """Return the values a checkpoint must match besides the GAN's and optimizers' options."""
        names = (
            "loss",
            "cosine",
            "d_steps",
            "r1",
            "r1_every",
            "penalty",
            "ema_decay",
            "mean_image",
        )
        return {name: getattr(self, name) for name in names}

    def rounds_products(self, gan: GAN) -> bool:
        """Return whether the operands of matrix products may be rounded to bfloat16 on a CPU."""
        return False

    def batch(self, gan: GAN) -> None:
        """Return None, because a GAN's step itself converts bytes to pixels in [0, 1]."""

    def step(self, run: Run, loss: None = None) -> Callable[[tuple[Tensor, ...]], Losses]:
        """Return a step that updates D `d_steps` times and then G once.

        The step takes images (B, D) as bytes and, for a conditional GAN, labels (B,). The rows are
        divided among the updates of D. G's update generates as many images as D's last update used.
        The step returns the losses of G's update and of D's last update.
        """
        gan, of_g, of_d = run.parts.values()

        def step(batch: tuple[Tensor, ...]) -> Losses:
            if self.cosine:
                factor = half_cosine(run.progress)
                set_rate(of_g, self.lr_generator * factor)
                set_rate(of_d, self.lr_discriminator * factor)
            r1 = self.r1 * self.r1_every if self._has_r1(run) else 0.0
            losses: Losses = {}
            d_steps = self.d_steps if len(batch[0]) >= 2 * self.d_steps else 1  # no single images
            for part in zip(*(rows.tensor_split(d_steps) for rows in batch), strict=True):
                x = part[0] / 255  # (B / d_steps, D)
                y = part[1] if len(part) > 1 else None
                losses = update_discriminator(
                    gan, x, of_d, self.loss, y=y, r1=r1, penalty=self.penalty
                )
            losses |= update_generator(gan, len(x), of_g, self.loss, y=y)
            # Adam counts G's steps on the device. A CUDA graph would freeze run.step, a number in
            # Python, at its value during the capture.
            steps = of_g.state[gan.generator.bias]["step"].to(gan.generator.bias.dtype)
            gan.update_ema((steps / (9 + steps)).clamp(max=self.ema_decay))
            return losses

        return step

    def finish(self, gan: GAN, digits: Digits, row_weights: Tensor | None = None) -> None:
        """If `weigh_kinds` is True, estimate the weights of the trained GAN's kinds and store them
        in `gan.config`; see the module `training.kinds`.

        row_weights (N,): the relative probability with which training drew each image.
        """
        if self.weigh_kinds:
            weights = fit_kind_weights(gan, digits, row_weights)
            gan.config = replace(gan.config, kind_weights=weights.tolist())

    def is_complete(self, gan: GAN) -> bool:
        """Return whether the kinds have weights, if they should."""
        return not self.weigh_kinds or gan.config.kind_weights is not None

    def variant(self, run: Run) -> Callable[[], Hashable]:
        """Return a function that tells whether the next step includes R1.

        Steps with R1 launch additional kernels, so they need a CUDA graph of their own.
        """
        return lambda: self._has_r1(run)

    def _has_r1(self, run: Run) -> bool:
        return self.r1 != 0 and run.step % self.r1_every == 0
