"""A small network that tells classes of images apart: the referee who judges what the models draw.

The shipped one tells MNIST's ten digits apart; `train_classifier` makes one for images of any other size,
channels and classes. It is trained on grey and on binarized images, because a VAE's samples come as either.
Its last hidden layer is the space of the course's own Fréchet distance, which is never set beside published
Inception FIDs.
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
    """A layer that halves both sides, rounded down, but leaves a side of one pixel alone; and the sides."""
    by_height = min(2, height)
    by_width = min(2, width)
    return nn.MaxPool2d((by_height, by_width)), height // by_height, width // by_width


@dataclass(frozen=True)
class ClassifierConfig(Config):
    """shape: of the images, (H, W) or (C, H, W). classes: how many there are."""

    shape: Sequence[int] = (28, 28)
    classes: int = 10

    def __post_init__(self) -> None:
        require.shape(self.shape)
        self._make_tuple("shape")
        self._make_int("classes", 1, "classes is a whole number, at least 1")


class Classifier(nn.Module):
    """Convolutions down to an eighth of each side, then 64 features, then the logits of the classes.

    shape: of the images, (H, W) or (C, H, W). For MNIST's 28×28 and ten digits that makes 192,000 weights.
    Takes float pixels in [0, 1], (N, D) or (N, *shape), and raises ValueError for anything else.
    """

    def __init__(self, shape: Sequence[int] = (28, 28), classes: int = 10) -> None:
        super().__init__()
        self.config = ClassifierConfig(shape, classes)
        channels, height, width = self.image
        height, width = -(-height // 2), -(-width // 2)  # as the first stride leaves them: 14×14 for MNIST
        first_pool, height, width = _halved(height, width)  # 7×7
        second_pool, height, width = _halved(height, width)  # 3×3
        self.body = nn.Sequential(
            *_convolution(channels, 24, 5, stride=2),  # four times the work without the stride
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
        """(C, H, W) of the images that it reads."""
        shape = self.config.shape
        channels, height, width = (1, *shape) if len(shape) == 2 else shape
        return channels, height, width

    @staticmethod
    def load(device: str | torch.device | None = None) -> "Classifier":
        """The one that comes with the course, trained on MNIST, in evaluation mode."""
        return cast(Classifier, load_model(SHIPPED, device))

    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer, (N, 64): what the network sees in x before it decides."""
        require.tensors(x)
        shape = tuple(self.config.shape)
        pixels = math.prod(shape)
        if tuple(x.shape[1:]) not in ((pixels,), shape, self.image) or not x.is_floating_point():
            others = x.ndim < 2 or math.prod(x.shape[1:]) != pixels
            hint = "; for other images make a classifier by train_classifier(digits)" if others else ""
            sides = ", ".join(map(str, shape))
            raise ValueError(
                f"Pass float pixels (N, {pixels}) or (N, {sides}), not {x.dtype} {tuple(x.shape)}{hint}."
            )
        require.like("images", x, self.head.weight)
        if not self.training and not bool(((x >= 0) & (x <= 1)).all()):  # training would wait for this
            raise ValueError("Pass pixels in [0, 1]: some of these lie outside.")
        return self.body(x.reshape(-1, *self.image))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the classes, (N, classes)."""
        return self.head(self.features(x))

    @torch.no_grad()
    def accuracy(self, images: Tensor, labels: Tensor) -> float:
        """The share of images, bytes or pixels in [0, 1], whose largest logit is that of their label.

        It is measured in evaluation mode; the model stays in the mode that it was in.
        """
        require.tensors(images, labels)
        if not len(images) == len(labels) > 0:
            raise ValueError(f"Pass as many labels as images, not {len(labels):,} for {len(images):,}.")
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
    """Bytes (N, H, W) or (N, C, H, W) to pixels: turned, scaled and shifted a little, half of them binary.

    One affine map an image, all images at once. In a binary image a pixel's grey is its probability of a 1.
    """
    n = len(images)
    shape = (n, *images.shape[-3:]) if images.ndim == 4 else (n, 1, *images.shape[1:])  # (N, C, H, W)
    height, width = shape[2:]
    draw = torch.rand(5, n, device=images.device) * 2 - 1  # (5, N) in [−1, 1]
    angle = draw[0] * math.radians(12)  # no more than people's hands differ
    scale = 1 + 0.12 * draw[1]
    shift = draw[2:4] * 2.5 / 14  # of 28×28 at most 2.5 pixels: its digits lie in the middle 20×20
    cos = scale * angle.cos()
    sin = scale * angle.sin()
    # torch's coordinates reach from −1 to 1 along both sides; a turn is one only where both have one unit
    rows = [cos, -sin * (height / width), shift[0], sin * (width / height), cos, shift[1]]
    affine = torch.stack(rows, 1).view(n, 2, 3)
    grid = affine_grid(affine, list(shape), align_corners=False)
    x = grid_sample(images.reshape(shape) / 255, grid, align_corners=False).clamp(0, 1)  # (N, C, H, W)
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
    """The recipe of the shipped network: on MNIST's 60,000 training digits it takes minutes on a CPU.

    The images' shape and the number of classes are those of the digits.
    AdamW, one cycle of the learning rate. bf16: twice as fast on chips that multiply bfloat16 themselves. The
    settings were chosen on 5,000 of MNIST's training digits held out; its test digits gave the final figure
    only. Raises KeyboardInterrupt if it is stopped, as it leaves nothing to go on from.
    """
    if not require.is_count(epochs):
        raise ValueError(f"epochs is a whole number, at least 1, not {epochs!r}.")
    if not require.is_count(batch_size, 2) or len(digits) < 2:
        raise ValueError(
            "Batch norm needs more than one image: pass at least two, and a batch_size of at least 2."
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
        raise KeyboardInterrupt  # half a referee must not be taken for one
    return model.to(memory_format=torch.contiguous_format).eval()
