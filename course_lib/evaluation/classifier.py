"""A small image classifier, used to judge the images that the models generate.

The shipped classifier recognizes the ten digits of MNIST; `train_classifier` trains a classifier
for images with a different size, number of channels or set of classes. Each classifier is trained
on both grey and binarized images, because the samples of a VAE may be either. The course computes
its Fréchet distance on the activations of the last hidden layer, so the distance must not be
compared with published Inception FIDs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample

from course_lib import require
from course_lib.data.digits import Digits
from course_lib.models.config import Config
from course_lib.training import Run
from course_lib.training.checkpoints import load_model
from course_lib.training.state import aside

SHIPPED = Path(__file__).parents[1] / "weights" / "classifier.safetensors"


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> list[nn.Module]:
    layer = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return [layer, nn.BatchNorm2d(outputs), nn.ReLU()]


def _halved(height: int, width: int) -> tuple[nn.Module, int, int]:
    """Return a layer that halves each side longer than one pixel (rounding down),
    and the new sizes.
    """
    by_height = min(2, height)
    by_width = min(2, width)
    return nn.MaxPool2d((by_height, by_width)), height // by_height, width // by_width


@dataclass(frozen=True)
class ClassifierConfig(Config):
    """The shape of the images, (H, W) or (C, H, W), and the number of classes."""

    shape: Sequence[int] = (28, 28)
    classes: int = 10

    def __post_init__(self) -> None:
        require.shape(self.shape)
        self._make_tuple("shape")
        self._make_int("classes", 1, "classes must be an integer of at least 1")


class Classifier(nn.Module):
    """An image classifier with convolutions, 64 features and one logit per class.

    shape: the shape of the images, (H, W) or (C, H, W). The convolutions reduce each side to about
    an eighth of its length. The classifier for MNIST has 192,000 weights. The input must contain
    float pixels in [0, 1] and have shape (N, D) or (N, *shape). Any other dtype or shape raises
    ValueError; in evaluation mode, so do pixels outside this range.
    """

    def __init__(self, shape: Sequence[int] = (28, 28), classes: int = 10) -> None:
        super().__init__()
        self.config = ClassifierConfig(shape, classes)
        channels, height, width = self.image
        height, width = -(-height // 2), -(-width // 2)  # after the first stride: 14×14 for MNIST
        first_pool, height, width = _halved(height, width)  # 7×7
        second_pool, height, width = _halved(height, width)  # 3×3
        self.body = nn.Sequential(
            *_convolution(channels, 24, 5, stride=2),  # the stride saves three quarters of the work
            *_convolution(24, 48, 3),
            first_pool,
            *_convolution(48, 96, 3),
            *_convolution(96, 96, 3),
            second_pool,
            nn.Flatten(),  # (N, 864) for MNIST
            nn.Linear(96 * height * width, 64, bias=False),
            nn.BatchNorm1d(64),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, self.config.classes)

    @property
    def image(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of the input images."""
        shape = self.config.shape
        channels, height, width = (1, *shape) if len(shape) == 2 else shape
        return channels, height, width

    @staticmethod
    def load(device: str | torch.device | None = None) -> "Classifier":
        """Load the shipped classifier, which was trained on MNIST, in evaluation mode."""
        return cast(Classifier, load_model(SHIPPED, device))

    def features(self, x: Tensor) -> Tensor:
        """Return the activations of the last hidden layer, from which the logits are computed.

        The result has shape (N, 64).
        """
        require.tensors(x)
        shape = tuple(self.config.shape)
        pixels = math.prod(shape)
        if tuple(x.shape[1:]) not in ((pixels,), shape, self.image) or not x.is_floating_point():
            hint = ""
            if x.ndim < 2 or math.prod(x.shape[1:]) != pixels:
                hint = ". For other images, train a classifier with train_classifier(digits)"
            sides = ", ".join(map(str, shape))
            raise ValueError(
                f"Expected float pixels of shape (N, {pixels}) or (N, {sides}), "
                f"but got {x.dtype} of shape {tuple(x.shape)}{hint}."
            )
        require.like("images", x, self.head.weight)
        # this check would slow training down
        if not self.training and not bool(((x >= 0) & (x <= 1)).all()):
            raise ValueError(
                "All pixels must be in [0, 1], but some pixels are outside this range."
            )
        return self.body(x.reshape(-1, *self.image))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, of shape (N, classes)."""
        return self.head(self.features(x))

    @torch.no_grad()
    def accuracy(self, images: Tensor, labels: Tensor) -> float:
        """Return the fraction of the images that the classifier labels correctly.

        images: bytes, or pixels in [0, 1]. The accuracy is computed in evaluation mode; the
        previous mode of the model is restored afterwards.
        """
        require.tensors(images, labels)
        if not len(images) == len(labels) > 0:
            raise ValueError(
                "Expected at least one image and one label per image, "
                f"but got {len(images):,} images and {len(labels):,} labels."
            )
        require.labels(labels, self.config.classes)
        guesses = []
        with aside(images.device, 0, self):
            self.eval()
            for batch in images.split(1000):
                x = batch.to(self.head.weight.dtype) / 255 if batch.dtype == torch.uint8 else batch
                guesses.append(self(x).argmax(1))
        right = torch.cat(guesses) == labels.to(self.head.weight.device)  # (N,)
        return float(right.cpu().double().mean())


def augment(images: Tensor) -> Tensor:
    """Rotate, scale and shift images slightly, and return pixels of the same shape.

    images: a uint8 tensor of shape (N, H, W) or (N, C, H, W). Each image gets its own random affine
    map, and all images are processed at once. On average, half of the images are also binarized:
    each pixel becomes 1 with a probability equal to its grey level.
    """
    n = len(images)
    channels = images.shape[1] if images.ndim == 4 else 1
    shape = (n, channels, *images.shape[-2:])  # (N, C, H, W)
    height, width = shape[2:]
    draw = torch.rand(5, n, device=images.device) * 2 - 1  # (5, N) in [−1, 1]
    angle = draw[0] * math.radians(12)  # no more than handwriting varies
    scale = 1 + 0.12 * draw[1]
    shift = draw[2:4] * 2.5 / 14  # at most 2.5 of 28 pixels; MNIST's digits fill the central 20×20
    cos = scale * angle.cos()
    sin = scale * angle.sin()
    # torch's coordinates run from −1 to 1 along both sides, so rotations correct for unequal sides
    rows = [cos, -sin * (height / width), shift[0], sin * (width / height), cos, shift[1]]
    affine = torch.stack(rows, 1).view(n, 2, 3)
    grid = affine_grid(affine, list(shape), align_corners=False)
    moved = grid_sample(images.reshape(shape) / 255, grid, align_corners=False)
    x = moved.clamp(0, 1)  # (N, C, H, W)
    is_binary = (draw[4] > 0)[:, None, None, None]
    return torch.where(is_binary, torch.bernoulli(x), x).reshape(images.shape)


def train_classifier(
    digits: Digits,
    *,
    seed: int = 0,
    epochs: int = 12,
    batch_size: int = 256,
    bf16: bool = False,
    quiet: bool = False,
) -> Classifier:
    """Train a classifier in the same way as the shipped one;
    on MNIST, this takes minutes on a CPU.

    The image shape and the number of classes are taken from the data set. The optimizer is AdamW
    with a one-cycle learning rate schedule. bf16: compute in bfloat16, which is twice as fast on
    hardware with native support. The settings were chosen on 5,000 held-out MNIST training digits;
    the test digits were used only to measure the final accuracy. Raises KeyboardInterrupt if
    training is interrupted, because interrupted training cannot be resumed.
    """
    if not require.is_count(epochs):
        raise ValueError(f"epochs must be an integer of at least 1, not {epochs!r}.")
    if not require.is_count(batch_size, 2) or len(digits) < 2:
        raise ValueError(
            "Batch normalization needs more than one image. "
            "Pass at least two images, and set batch_size to at least 2."
        )
    torch.manual_seed(seed)
    model = Classifier(digits.shape, digits.n_classes)
    model.to(digits.images.device).to(memory_format=torch.channels_last)  # faster convolutions
    optimizer = torch.optim.AdamW(model.parameters())
    steps = epochs * math.ceil(len(digits) / batch_size)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps, pct_start=0.2)

    def step(batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        images = augment(batch[0])
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
            loss = cross_entropy(model(images), batch[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        cycle.step()
        return {"loss": loss}

    data = (digits.images, digits.labels)
    run = Run(data, batch_size=batch_size, seed=seed, model=model, optimizer=optimizer, cycle=cycle)
    run.train(step, epochs, quiet=quiet)
    if not run.finished:
        raise KeyboardInterrupt  # a partly trained classifier must not be returned
    return model.to(memory_format=torch.contiguous_format).eval()
