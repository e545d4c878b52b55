"""A model with an exact likelihood and no latent variables: P(x) = Π P(x_i | x_1 … x_{i−1}).

Each pixel depends on the rows above it and on the pixels to its left. All rows share a small masked network,
as in MADE: each hidden unit is assigned to a column. Within a row, a hidden unit depends only on pixels to
the left of its column, and affects only the logits in its column and to the right of it.
Sources: van den Oord, Kalchbrenner & Kavukcuoglu 2016 (PixelRNN); Germain et al. 2015 (MADE).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn.functional import linear, pad, silu

from course_lib import require
from course_lib.models.config import Config
from course_lib.probability.likelihoods import log_bernoulli


@dataclass(frozen=True)
class AutoregressiveConfig(Config):
    """The configuration of an Autoregressive network.

    shape: the shape (H, W) of the images. above: the number of rows above each pixel on which the pixel
    depends. hidden: the number of hidden units per row.

    Raises ValueError if the shape includes channels, if there are fewer hidden units than columns, or if
    `above` or `hidden` is not a positive integer.
    """

    shape: Sequence[int] = (28, 28)
    above: int = 8
    hidden: int = 112

    def __post_init__(self) -> None:
        two = isinstance(self.shape, Sequence) and len(self.shape) == 2
        if two:
            require.shape(self.shape)
        if not two or not require.is_count(self.hidden, int(self.shape[1])):
            raise ValueError(
                "An Autoregressive network needs shape=(H, W) and at least one hidden unit per column, "
                f"but got shape={self.shape} and hidden={self.hidden!r}."
            )
        self._make_int(
            "above",
            1,
            "above, the number of rows used above a pixel, must be an integer of at least 1",
        )
        self._make_int("hidden", 1, "hidden, the number of units per row, must be an integer of at least 1")
        self._make_tuple("shape")


class Autoregressive(nn.Module):
    """A model of black-and-white images with an exact likelihood: P(x), or P(x|told) if `told` is given.

    told: a tensor of shape (..., hidden) added to the inputs of the hidden units. The constructor arguments
    are the fields of AutoregressiveConfig.
    """

    left_of: Tensor
    not_left_of: Tensor

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__()
        self.config = AutoregressiveConfig(*arguments, **named)
        self.height, self.width = self.config.shape
        above, hidden = self.config.above, self.config.hidden
        self.above = above
        self.from_above = nn.Linear(above * self.width, hidden)
        self.from_left = nn.Linear(self.width, hidden, bias=False)
        self.row = nn.Parameter(torch.zeros(self.height, hidden))  # the rows share all other weights
        self.out = nn.Linear(hidden, self.width, bias=False)
        nn.init.zeros_(self.out.weight)  # initially, nothing is added to a decoder's logits
        self.bias = nn.Parameter(torch.zeros(self.height * self.width))
        unit, pixel = torch.arange(hidden)[:, None] % self.width, torch.arange(self.width)
        self.register_buffer("left_of", (pixel < unit).float(), persistent=False)  # (hidden, W)
        self.register_buffer("not_left_of", (unit <= pixel).float().T, persistent=False)  # (W, hidden)

    def forward(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """Return the probability that each pixel is 1, given the preceding pixels: x (N, D) → (..., N, D)."""
        require.images(x, self.bias.numel(), self.bias)
        return torch.sigmoid(self.logits(x, told))

    def logits(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """Return the logit of each pixel, given the preceding pixels: x (N, D) → (..., N, D).

        told: additional inputs of shape (..., N, hidden).
        """
        if x.ndim == 0 or x.shape[-1] != self.bias.numel():
            pixels = self.bias.numel()
            raise ValueError(f"Images must have shape (N, {pixels}), but got {tuple(x.shape)}.")
        image = x.reshape(-1, self.height, self.width)  # (N, H, W)
        return self._rows(self._windows(image), image, self.row, told).flatten(-2) + self.bias

    def log_prob(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """Return the exact log P(x) in nats for images of zeros and ones: x (N, D) → (..., N)."""
        require.images(x, self.bias.numel(), self.bias)
        return log_bernoulli(self.logits(x, told).to(x.dtype), x)

    @torch.no_grad()
    def sample(self, n: int = 1, base: Tensor | float = 0.0, told: Tensor | None = None) -> Tensor:
        """Draw n images of shape (n, D), pixel by pixel.

        base: a number, or a tensor of shape (n, D), added to the logits. told: additional inputs of shape
        (n, hidden).
        """
        require.number_of_images(n)
        base = (self.bias + base).expand(n, -1)  # (n, D)
        image = base.new_zeros(n, self.height, self.width)
        for r in range(self.height):
            # the rows above do not change while this row is drawn
            windows = self._windows(image)[:, r : r + 1]
            for c in range(self.width):
                added = self._rows(windows, image[:, r : r + 1], self.row[r : r + 1], told)[:, 0, c]  # (n,)
                image[:, r, c] = torch.bernoulli(torch.sigmoid(base[:, r * self.width + c] + added))
        return image.flatten(1)

    def _windows(self, image: Tensor) -> Tensor:
        """Return the `above` rows above each row, padded with zeros: (N, H, W) → (N, H, W·above)."""
        return pad(image, (0, 0, self.above, 0)).unfold(1, self.above, 1)[:, :-1].flatten(2)

    def _rows(self, windows: Tensor, row: Tensor, own: Tensor, told: Tensor | None) -> Tensor:
        """Return the logits of R rows, given the windows and the row itself: (N, R, W) → (..., N, R, W)."""
        seen = self.from_above(windows) + linear(row, self.from_left.weight * self.left_of)  # (N, R, hidden)
        seen = seen + own.to(seen.dtype)  # under autocast, the rest is computed in half precision
        if told is not None:
            seen = seen + told[..., None, :]  # (..., N, R, hidden)
        return linear(silu(seen), self.out.weight * self.not_left_of)


class PixelAfterPixel(Distribution):
    """The distribution of images of shape (D,) under an Autoregressive network.

    base: a tensor of shape (..., D) added to the network's logits. told: the additional inputs to the
    network, of shape (..., hidden).
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.independent(constraints.boolean, 1)

    def __init__(self, network: Autoregressive, base: Tensor, told: Tensor) -> None:
        self.network, self.base, self.told = network, base, told
        super().__init__(base.shape[:-1], base.shape[-1:], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log P(x) in nats: value (N, D) → (..., N), where N is the last batch dimension."""
        return log_bernoulli(self.base + self.network.logits(value, self.told), value)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw images of shape (*sample_shape, ..., D)."""
        shape = (*sample_shape, *self.batch_shape)
        base, told = (t.expand(*shape, -1).reshape(-1, t.shape[-1]) for t in (self.base, self.told))
        return self.network.sample(len(base), base, told).reshape(*shape, base.shape[-1])
