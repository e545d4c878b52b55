"""A model with an exact likelihood and no latent variables: P(x) = Π P(x_i | x_1 … x_{i−1}).

Each pixel depends on a fixed number of rows above it and on the pixels to its left. All rows share
a small masked network, as in MADE: each unit of a row is assigned to a column. Within its row, a
unit depends only on pixels to the left of its column, and affects only the logits in its column and
to the right of it.
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

    shape: the shape (H, W) of the images. above: the number of rows above each pixel on which the
    pixel depends. hidden: the number of hidden units per row. first: the number of units per row in
    an additional layer between the pixels and the hidden units, or 0 to omit this layer.

    Raises ValueError if the shape includes channels, if there are fewer hidden units than columns,
    if `above` or `hidden` is not a positive integer, or if `first` is neither 0 nor a positive
    integer.
    """

    shape: Sequence[int] = (28, 28)
    above: int = 8
    hidden: int = 112
    first: int = 0

    def __post_init__(self) -> None:
        two = isinstance(self.shape, Sequence) and len(self.shape) == 2
        if two:
            require.shape(self.shape)
        if not two or not require.is_count(self.hidden, int(self.shape[1])):
            raise ValueError(
                "An Autoregressive network needs shape=(H, W) and at least one hidden unit per "
                f"column, but got shape={self.shape} and hidden={self.hidden!r}."
            )
        self._make_int(
            "above",
            1,
            "above, the number of rows used above a pixel, must be an integer of at least 1",
        )
        self._make_int(
            "hidden", 1, "hidden, the number of units per row, must be an integer of at least 1"
        )
        self._make_int(
            "first",
            0,
            "first, the number of units per row in the first layer, "
            "must be an integer of at least 0",
        )
        self._make_tuple("shape")


def columns(units: int, width: int) -> Tensor:
    """Return the column to which each unit is assigned, in rows of `width` pixels: (units,)."""
    return torch.arange(units) % width


class RowUnits(nn.Module):
    """A linear layer that maps the preceding pixels to the units of each row.

    Each unit is assigned to a column. A unit depends on the `above` rows that precede its own and,
    within its own row, on the pixels to the left of its column.
    """

    left_of: Tensor

    def __init__(self, height: int, width: int, above: int, units: int) -> None:
        super().__init__()
        self.from_above = nn.Linear(above * width, units)
        self.from_left = nn.Linear(width, units, bias=False)
        self.row = nn.Parameter(torch.zeros(height, units))  # the rows share all other weights
        left_of = torch.arange(width) < columns(units, width)[:, None]  # (units, W)
        self.register_buffer("left_of", left_of.float(), persistent=False)

    def forward(self, windows: Tensor, pixels: Tensor, rows: slice) -> Tensor:
        """Return the inputs to each row's units: (N, R, W·above), (N, R, W) → (N, R, units).

        windows: the rows above each row. pixels: the rows themselves. rows: the positions of the R
        rows in the image.
        """
        inputs = self.from_above(windows) + linear(pixels, self.from_left.weight * self.left_of)
        # under autocast, the inputs are in half precision
        return inputs + self.row[rows].to(inputs.dtype)


class Autoregressive(nn.Module):
    """A model of black-and-white images with an exact likelihood: P(x) or, given `told`, P(x|told).

    told: a tensor of shape (..., H, hidden) added to the inputs of each row's hidden units. With
    shape (..., 1, hidden), the same numbers are used for every row. The constructor arguments are
    the fields of AutoregressiveConfig.
    """

    not_left_of: Tensor
    not_right_of: Tensor

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__()
        self.config = AutoregressiveConfig(*arguments, **named)
        self.height, self.width = self.config.shape
        self.above, first, hidden = self.config.above, self.config.first, self.config.hidden
        column = columns(hidden, self.width)  # (hidden,)
        if first:
            self.first = RowUnits(self.height, self.width, self.above, first)
            self.between = nn.Linear(first, hidden, bias=False)
            not_right_of = columns(first, self.width) <= column[:, None]  # (hidden, first)
            self.register_buffer("not_right_of", not_right_of.float(), persistent=False)
        self.hidden = RowUnits(self.height, self.width, self.above, hidden)
        self.out = nn.Linear(hidden, self.width, bias=False)
        nn.init.zeros_(self.out.weight)  # initially, nothing is added to a decoder's logits
        self.bias = nn.Parameter(torch.zeros(self.height * self.width))
        not_left_of = column <= torch.arange(self.width)[:, None]  # (W, hidden)
        self.register_buffer("not_left_of", not_left_of.float(), persistent=False)

    def forward(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """Return the probability that each pixel is 1, given the preceding pixels.

        x has shape (N, D), and the result has shape (..., N, D).
        """
        require.images(x, self.bias.numel(), self.bias)
        return torch.sigmoid(self.logits(x, told))

    def logits(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """Return the logit of each pixel, given the preceding pixels: x (N, D) → (..., N, D).

        told: additional inputs of shape (..., N, H, hidden) or (..., N, 1, hidden).
        """
        if x.ndim == 0 or x.shape[-1] != self.bias.numel():
            pixels = self.bias.numel()
            raise ValueError(f"Images must have shape (N, {pixels}), but got {tuple(x.shape)}.")
        image = x.reshape(-1, self.height, self.width)  # (N, H, W)
        inputs = self._inputs(self._windows(image), image, slice(None))  # (N, H, hidden)
        return self._row_logits(inputs, told).flatten(-2) + self.bias

    def log_prob(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """Return the exact log P(x) in nats for images of zeros and ones: x (N, D) → (..., N)."""
        require.images(x, self.bias.numel(), self.bias)
        return log_bernoulli(self.logits(x, told).to(x.dtype), x)

    @torch.no_grad()
    def sample(self, n: int = 1, base: Tensor | float = 0.0, told: Tensor | None = None) -> Tensor:
        """Draw n images, pixel by pixel; the result has shape (n, D).

        base: a number or a tensor of shape (n, D) that is added to the logits. told: additional
        inputs of shape (n, H, hidden) or (n, 1, hidden).
        """
        require.number_of_images(n)
        base = (self.bias + base).expand(n, -1)  # (n, D)
        image = base.new_zeros(n, self.height, self.width)
        if told is not None:
            told = told.expand(-1, self.height, -1)  # (n, H, hidden)
        for r in range(self.height):
            row = slice(r, r + 1)
            # the rows above do not change while this row is drawn
            windows = self._windows(image)[:, row]
            row_told = None if told is None else told[:, row]  # (n, 1, hidden)
            for c in range(self.width):
                inputs = self._inputs(windows, image[:, row], row)  # (n, 1, hidden)
                added = self._row_logits(inputs, row_told)[:, 0, c]  # (n,)
                image[:, r, c] = torch.bernoulli(torch.sigmoid(base[:, r * self.width + c] + added))
        return image.flatten(1)

    def _windows(self, image: Tensor) -> Tensor:
        """Return the `above` rows preceding each row, zero-padded: (N, H, W) → (N, H, W·above)."""
        return pad(image, (0, 0, self.above, 0)).unfold(1, self.above, 1)[:, :-1].flatten(2)

    def _inputs(self, windows: Tensor, pixels: Tensor, rows: slice) -> Tensor:
        """Return the preceding pixels' contribution to the inputs of the hidden units in R rows.

        The result has shape (N, R, hidden).
        """
        inputs = self.hidden(windows, pixels, rows)
        if not self.config.first:
            return inputs
        first = silu(self.first(windows, pixels, rows))  # (N, R, first)
        return inputs + linear(first, self.between.weight * self.not_right_of)

    def _row_logits(self, inputs: Tensor, told: Tensor | None) -> Tensor:
        """Given the inputs to the hidden units of R rows, compute the logits without the bias:
        (N, R, hidden) → (..., N, R, W).
        """
        if told is not None:
            inputs = inputs + told  # (..., N, R, hidden)
        return linear(silu(inputs), self.out.weight * self.not_left_of)


class PixelAfterPixel(Distribution):
    """The distribution of images of shape (D,) under an Autoregressive network.

    base: a tensor of shape (..., D) added to the network's logits. told: the additional inputs to
    the network, of shape (..., H, hidden).
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
        """Draw images; the result has shape (*sample_shape, ..., D)."""
        shape = (*sample_shape, *self.batch_shape)
        base = self.base.expand(*shape, -1).reshape(-1, self.base.shape[-1])
        told = self.told.expand(*shape, -1, -1).reshape(-1, *self.told.shape[-2:])
        return self.network.sample(len(base), base, told).reshape(*shape, base.shape[-1])
