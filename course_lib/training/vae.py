"""The recipe for training a VAE, a conditional VAE or an auto-encoder."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from course_lib import require
from course_lib.data import Digits
from course_lib.models.autoencoder import AutoEncoder
from course_lib.models.conditional_vae import ConditionalVAE
from course_lib.models.vae import VAE
from course_lib.probability.likelihoods import observed_pixels
from course_lib.training.loop import Run
from course_lib.training.rows import gather
from course_lib.training.schedules import adam, half_cosine, late_decay, set_rate

Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Recipe:
    """The settings for building a model and training it with Adam.

    warmup: the initial fraction of training over which the weight of the KL term rises from 0 to
    beta. model: VAE, ConditionalVAE or AutoEncoder. An AutoEncoder has no KL term, so warmup and
    beta have no effect on it. A VAE for black-and-white pixels is trained on images that are
    binarized anew at each step. A VAE with a Gaussian likelihood is trained on grey images.
    """

    model: Callable[..., Any] = VAE
    config: dict[str, Any] = field(default_factory=dict)
    epochs: float = 20
    batch_size: int = 128
    lr: float = 1e-3
    cosine: bool = False  # the learning rate falls to 0 along half a cosine
    # if positive, the learning rate falls linearly to 0 in this final fraction of training;
    # cosine must then be False
    decay: float = 0.0
    warmup: float = 0.0
    beta: float = 1.0
    mean_image: bool = False  # the decoder's first output is the mean image instead of a grey image
    autocast: bool = False  # matrix products in bfloat16, on devices that support it

    def __post_init__(self) -> None:
        if not 0 <= self.warmup <= 1:
            raise ValueError(
                "warmup, a fraction of the training steps, must be from 0 to 1, "
                f"but got {self.warmup}."
            )
        if not 0 <= self.decay <= 1 or (self.cosine and self.decay):
            raise ValueError(
                "decay, the fraction of the training steps in which the learning rate falls, must "
                "be from 0 to 1, and 0 if cosine is True, "
                f"but got decay={self.decay} and cosine={self.cosine}."
            )

    @property
    def rows(self) -> int:
        """The number of data rows per step."""
        return self.batch_size

    def build(self, digits: Digits) -> Any:
        """Return the model in its initial state.

        By default, a ConditionalVAE has as many labels as the data have classes.
        """
        images = digits.images
        config = dict(self.config)
        if self.model is ConditionalVAE:
            config.setdefault("labels", digits.n_classes)
        model = self.model(shape=list(images.shape[1:]), **config).to(images.device)
        if isinstance(model, ConditionalVAE):
            # a GPU would stop without a clear message if a label were too large
            require.labels(digits.labels, model.config.labels)
        if self.mean_image:
            model.decoder.start_at(images.flatten(1).float().mean(0) / 255)
        return model

    def parts(self, model: Any, capturable: bool) -> dict[str, Any]:
        """Return a dictionary of everything that a step changes: the model and the optimizer.

        capturable: whether the optimizer's steps will be part of a CUDA graph.
        """
        device = model.decoder.bias.device
        optimizer = adam(model.parameters(), self.lr, device=device, capturable=capturable)
        return {"model": model, "optimizer": optimizer}

    def hyperparameters(self, model: Any) -> dict[str, Any]:
        """Return the values a checkpoint must match besides the model's and optimizer's options."""
        names = ("cosine", "warmup", "beta", "mean_image")
        values = {name: getattr(self, name) for name in names}
        if likelihood_name(model) == "gaussian":
            values["pixels"] = "grey"  # the first edition used black-and-white pixels
        if self.decay:  # a checkpoint written before this field existed does not contain it
            values["decay"] = self.decay
        return values

    def rounds_products(self, model: Any) -> bool:
        """Return whether the operands of matrix products may be rounded to bfloat16 on a CPU.

        A Gaussian likelihood divides squared errors by a variance that may be tiny, so the rounding
        errors would be amplified, and the model would learn them as noise.
        """
        return likelihood_name(model) != "gaussian"

    def batch(self, model: Any) -> Callable[[tuple[Tensor, ...], Tensor], tuple[Tensor, ...]]:
        """Return a function that selects rows of the data and converts images to pixels.

        The function takes the data and the indices (B,) of the rows.
        """
        likelihood = likelihood_name(model)

        def batch(data: tuple[Tensor, ...], index: Tensor) -> tuple[Tensor, ...]:
            images, *labels = gather(data, index)
            return (observed_pixels(images, likelihood), *labels)

        return batch

    def step(self, run: Run, loss: Callable[..., Losses]) -> Callable[[tuple[Tensor, ...]], Losses]:
        """Return a function that takes one Adam step on `loss`: the model's own loss, or, on a GPU,
        the equal loss that a kernel computes (`course_lib.recipes` chooses between them).
        """
        optimizer = run.parts["optimizer"]
        has_kl = not isinstance(run.parts["model"], AutoEncoder)

        def step(batch: tuple[Tensor, ...]) -> Losses:
            if self.cosine:
                set_rate(optimizer, self.lr * half_cosine(run.progress))
            elif self.decay:
                set_rate(optimizer, self.lr * late_decay(run.progress, self.decay))
            x, *labels = batch  # (B, D), and (B,) if the model takes labels
            if has_kl:
                rise = (run.progress / self.warmup).clamp(max=1.0) if self.warmup else 1.0
                losses = loss(x, *labels, beta=self.beta * rise)
            else:
                losses = loss(x)
            optimizer.zero_grad()
            losses["loss"].backward()
            optimizer.step()
            return losses

        return step

    def finish(self, model: Any, digits: Digits, row_weights: Tensor | None = None) -> None:
        """Do nothing, because the last step leaves a complete model."""

    def is_complete(self, model: Any) -> bool:
        """Return True: a trained model needs nothing else."""
        return True

    def variant(self, run: Run) -> None:
        """Return None, because all steps launch the same kernels."""


def likelihood_name(model: Any) -> str:
    """Return the name of the model's likelihood.

    The squared error of an auto-encoder corresponds to a Gaussian likelihood with a fixed variance.
    """
    return "gaussian" if isinstance(model, AutoEncoder) else model.config.likelihood
