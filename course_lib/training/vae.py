"""How a VAE, a conditional VAE or an auto-encoder is trained in the course's one loop."""

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
from course_lib.training.schedules import adam, set_rate

Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Recipe:
    """A model and its training by Adam.

    warmup: the share of the training, at its start, in which the KL's factor rises from 0 to beta.
    model: VAE, ConditionalVAE or AutoEncoder, which has no KL, so that warmup and beta say nothing there.
    A VAE of black and white pixels gets its images binarized anew at each step, one with a Gaussian
    likelihood gets the grey images.
    """

    model: Callable[..., Any] = VAE
    config: dict[str, Any] = field(default_factory=dict)
    epochs: float = 20
    batch_size: int = 128
    lr: float = 1e-3
    cosine: bool = False  # the learning rate falls to 0 along half a cosine
    warmup: float = 0.0
    beta: float = 1.0
    mean_image: bool = False  # the decoder begins at the mean image instead of at grey
    autocast: bool = False  # products in bfloat16, on a device that knows it

    def __post_init__(self) -> None:
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"warmup is a share of the training, from 0 to 1, not {self.warmup}.")

    @property
    def rows(self) -> int:
        """How many rows of the data a step takes."""
        return self.batch_size

    def build(self, digits: Digits) -> Any:
        """The model as the training begins with it. A ConditionalVAE has a label for each class."""
        images = digits.images
        config = dict(self.config)
        if self.model is ConditionalVAE:
            config.setdefault("labels", digits.n_classes)
        model = self.model(shape=list(images.shape[1:]), **config).to(images.device)
        if isinstance(model, ConditionalVAE):
            # a GPU would stop at a label that is too large, with no word
            require.labels(digits.labels, model.config.labels)
        if self.mean_image:
            model.decoder.start_at(images.flatten(1).float().mean(0) / 255)
        return model

    def parts(self, model: Any, capturable: bool) -> dict[str, Any]:
        """All that a step changes, by name."""
        device = model.decoder.bias.device
        optimizer = adam(model.parameters(), self.lr, device=device, capturable=capturable)
        return {"model": model, "optimizer": optimizer}

    def hyperparameters(self, model: Any) -> dict[str, Any]:
        """What must be the same in a checkpoint, beside config and lr, which the parts have."""
        names = ("cosine", "warmup", "beta", "mean_image")
        told = {name: getattr(self, name) for name in names}
        if likelihood_name(model) == "gaussian":
            told["pixels"] = "grey"  # checkpoints of the first edition saw black and white ones
        return told

    def rounds_products(self, model: Any) -> bool:
        """Whether a CPU may round the factors of products.

        A Gaussian divides its errors by a variance that may be tiny: rounding would be learned as noise.
        """
        return likelihood_name(model) != "gaussian"

    def batch(self, model: Any) -> Callable[[tuple[Tensor, ...], Tensor], tuple[Tensor, ...]]:
        """A function that makes pixels of the rows `index` (B,) of images (N, D) in bytes; labels stay."""
        likelihood = likelihood_name(model)

        def batch(data: tuple[Tensor, ...], index: Tensor) -> tuple[Tensor, ...]:
            images, *labels = gather(data, index)
            return (observed_pixels(images, likelihood), *labels)

        return batch

    def step(self, run: Run, loss: Callable[..., Losses]) -> Callable[[tuple[Tensor, ...]], Losses]:
        """A step of Adam on `loss`: the model's own, or what computes the same on a GPU."""
        optimizer = run.parts["optimizer"]
        has_kl = not isinstance(run.parts["model"], AutoEncoder)

        def step(batch: tuple[Tensor, ...]) -> Losses:
            if self.cosine:
                set_rate(optimizer, self.lr, run.progress)
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

    def variant(self, run: Run) -> None:
        """All steps launch the same kernels."""


def likelihood_name(model: Any) -> str:
    """The model's likelihood. An auto-encoder's squared error is that of a Gaussian, of a fixed variance."""
    return "gaussian" if isinstance(model, AutoEncoder) else model.config.likelihood
