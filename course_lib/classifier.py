"""A small network that tells the ten digits apart: the referee who judges what the models draw.

It is trained on grey and on binarized digits, because a VAE's samples come as either. Its last hidden layer
is the space of the course's own Fréchet distance, which is never set beside published Inception FIDs.
"""

import math
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample

from course_lib.checkpoints import load_model
from course_lib.data.digits import Digits
from course_lib.training import Run

SHIPPED = Path(__file__).parent / "models" / "classifier.safetensors"


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> list[nn.Module]:
    layer = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return [layer, nn.BatchNorm2d(outputs), nn.ReLU()]


class Classifier(nn.Module):
    """Convolutions from 28×28 down to 3×3, then 64 features, then the logits of ten digits: 192,000 weights.

    Takes float pixels in [0, 1], (N, 784) or (N, 28, 28), and raises ValueError for anything else.
    """

    def __init__(self) -> None:
        super().__init__()
        self.config: dict = {}
        self.body = nn.Sequential(
            *_convolution(1, 24, 5, stride=2),  # (N, 24, 14, 14); four times the work without the stride
            *_convolution(24, 48, 3), nn.MaxPool2d(2),  # (N, 48, 7, 7)
            *_convolution(48, 96, 3), *_convolution(96, 96, 3), nn.MaxPool2d(2),  # (N, 96, 3, 3)
            nn.Flatten(), nn.Linear(864, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(64, 10)

    @staticmethod
    def load(device: str | torch.device | None = None) -> "Classifier":
        """The trained one that comes with the course, in evaluation mode."""
        return cast(Classifier, load_model(SHIPPED, device))

    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer, (N, 64): what the network sees in x before it decides."""
        if x.ndim < 2 or math.prod(x.shape[1:]) != 784 or not x.is_floating_point():
            raise ValueError(f"Pass float pixels (N, 784) or (N, 28, 28), not {x.dtype} {tuple(x.shape)}.")
        if not self.training and not bool(((x >= 0) & (x <= 1)).all()):  # training would wait for this
            raise ValueError("Pass pixels in [0, 1]: some of these lie outside.")
        return self.body(x.reshape(-1, 1, 28, 28))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the ten digits, (N, 10)."""
        return self.head(self.features(x))

    @torch.no_grad()
    def accuracy(self, images: Tensor, labels: Tensor) -> float:
        """The share of images, bytes or pixels in [0, 1], whose largest logit is that of their label."""
        if not len(images) == len(labels) > 0:
            raise ValueError(f"Pass as many labels as images, not {len(labels):,} for {len(images):,}.")
        batches = (batch / 255 if batch.dtype == torch.uint8 else batch for batch in images.split(1000))
        return float((torch.cat([self(x).argmax(1) for x in batches]) == labels).cpu().double().mean())


def augment(images: Tensor) -> Tensor:
    """Bytes (N, 28, 28) to pixels (N, 28, 28): turned, scaled and shifted a little, half of them binary.

    One affine map an image, all images at once. In a binary image a pixel's grey is its probability of a 1.
    """
    n, draw = len(images), torch.rand(5, len(images), device=images.device) * 2 - 1  # (5, N) in [−1, 1]
    angle, scale = draw[0] * math.radians(12), 1 + 0.12 * draw[1]  # no more than people's hands differ
    shift = draw[2:4] * 2.5 / 14  # 2.5 pixels at most: the digits lie in the middle 20×20 of 28×28
    cos, sin = scale * angle.cos(), scale * angle.sin()
    affine = torch.stack([cos, -sin, shift[0], sin, cos, shift[1]], 1).view(n, 2, 3)
    grid = affine_grid(affine, [n, 1, 28, 28], align_corners=False)
    x = grid_sample(images[:, None] / 255, grid, align_corners=False)[:, 0].clamp(0, 1)  # (N, 28, 28)
    return torch.where((draw[4] > 0)[:, None, None], torch.bernoulli(x), x)


def train_classifier(digits: Digits, *, seed: int = 0, epochs: int = 12, batch_size: int = 256,
                     bf16: bool = False, quiet: bool = False) -> Classifier:  # fmt: skip
    """The recipe of the shipped network, on MNIST's 60,000 training digits: minutes on a CPU.

    AdamW, one cycle of the learning rate. bf16: twice as fast on chips that multiply bfloat16 themselves. The
    settings were chosen on 5,000 training digits held out; the test digits gave the final figure only.
    Raises KeyboardInterrupt if it is stopped, as it leaves nothing to go on from.
    """
    torch.manual_seed(seed)
    model = Classifier().to(digits.images.device).to(memory_format=torch.channels_last)  # faster convolutions
    optimizer, steps = torch.optim.AdamW(model.parameters()), epochs * math.ceil(len(digits) / batch_size)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps, pct_start=0.2)

    def update(batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
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
    run.train(update, epochs, quiet=quiet)
    if not run.finished:
        raise KeyboardInterrupt  # half a referee must not be taken for one
    return model.to(memory_format=torch.contiguous_format).eval()
