"""Another way to a likelihood: pixel after pixel, P(x) = Π P(x_i | x_1 … x_{i−1}), exact and without a z.

A pixel is told the rows above it and the pixels to its left. One small network does so for every row, in the
manner of MADE: each hidden unit has a column, sees what is left of it, and speaks to what is not.
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
    """shape: (H, W). above: how many rows above a pixel are seen. hidden: units per row.

    Raises ValueError for images of several channels, for fewer hidden units than columns, and for numbers of
    rows and units that are not whole.
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
                "Pixel after pixel takes images (H, W) and at least one hidden unit a column, "
                f"not {self.shape} and {self.hidden!r}."
            )
        self._make_int("above", 1, "above counts the rows that a pixel hears, at least 1")
        self._make_int("hidden", 1, "hidden counts the units of a row, at least 1")
        self._make_tuple("shape")


class Autoregressive(nn.Module):
    """P(x) of black and white images, exactly; with `told` numbers for each, P(x|told).

    `told` (..., hidden) shifts the hidden units. Its arguments are the fields of AutoregressiveConfig.
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
        self.row = nn.Parameter(torch.zeros(self.height, hidden))  # rows share all weights but these
        self.out = nn.Linear(hidden, self.width, bias=False)
        nn.init.zeros_(self.out.weight)  # at first nothing is added to the logits that a decoder gives
        self.bias = nn.Parameter(torch.zeros(self.height * self.width))
        unit, pixel = torch.arange(hidden)[:, None] % self.width, torch.arange(self.width)
        self.register_buffer("left_of", (pixel < unit).float(), persistent=False)  # (hidden, W)
        self.register_buffer("not_left_of", (unit <= pixel).float().T, persistent=False)  # (W, hidden)

    def forward(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """The probability of a 1, (..., N, D), of each pixel of x (N, D) given those before it."""
        require.images(x, self.bias.numel(), self.bias)
        return torch.sigmoid(self.logits(x, told))

    def logits(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """Logits (..., N, D) of each pixel of x (N, D), given those before it; told: (..., N, hidden)."""
        if x.ndim == 0 or x.shape[-1] != self.bias.numel():
            pixels = self.bias.numel()
            raise ValueError(f"Images are rows of {pixels} pixels, (N, {pixels}), not {tuple(x.shape)}.")
        image = x.reshape(-1, self.height, self.width)  # (N, H, W)
        return self._rows(self._windows(image), image, self.row, told).flatten(-2) + self.bias

    def log_prob(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """log P(x) in nats, exact: x (N, D) of zeros and ones → (..., N)."""
        require.images(x, self.bias.numel(), self.bias)
        return log_bernoulli(self.logits(x, told).to(x.dtype), x)

    @torch.no_grad()
    def sample(self, n: int = 1, base: Tensor | float = 0.0, told: Tensor | None = None) -> Tensor:
        """n images (n, D), pixel after pixel; `base` (n, D) is added to the logits; told: (n, hidden)."""
        require.number_of_images(n)
        base = (self.bias + base).expand(n, -1)  # (n, D)
        image = base.new_zeros(n, self.height, self.width)
        for r in range(self.height):
            # what is above stays as it is while the row is drawn
            windows = self._windows(image)[:, r : r + 1]
            for c in range(self.width):
                added = self._rows(windows, image[:, r : r + 1], self.row[r : r + 1], told)[:, 0, c]  # (n,)
                image[:, r, c] = torch.bernoulli(torch.sigmoid(base[:, r * self.width + c] + added))
        return image.flatten(1)

    def _windows(self, image: Tensor) -> Tensor:
        """The `above` rows over each row, white where the image ends: (N, H, W) → (N, H, W·above)."""
        return pad(image, (0, 0, self.above, 0)).unfold(1, self.above, 1)[:, :-1].flatten(2)

    def _rows(self, windows: Tensor, row: Tensor, own: Tensor, told: Tensor | None) -> Tensor:
        """Logits (..., N, R, W) of R rows (N, R, W), from the windows above and the pixels to the left."""
        seen = self.from_above(windows) + linear(row, self.from_left.weight * self.left_of)  # (N, R, hidden)
        seen = seen + own.to(seen.dtype)  # under autocast the rest is done in half the bytes
        if told is not None:
            seen = seen + told[..., None, :]  # (..., N, R, hidden)
        return linear(silu(seen), self.out.weight * self.not_left_of)


class PixelAfterPixel(Distribution):
    """Images (D,) of an Autoregressive, given logits to add, `base` (..., D), and `told` (..., hidden)."""

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.independent(constraints.boolean, 1)

    def __init__(self, network: Autoregressive, base: Tensor, told: Tensor) -> None:
        self.network, self.base, self.told = network, base, told
        super().__init__(base.shape[:-1], base.shape[-1:], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """log P(x) in nats: value (N, D), N the last dimension of the batch → (..., N)."""
        return log_bernoulli(self.base + self.network.logits(value, self.told), value)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Images (*sample_shape, ..., D)."""
        shape = (*sample_shape, *self.batch_shape)
        base, told = (t.expand(*shape, -1).reshape(-1, t.shape[-1]) for t in (self.base, self.told))
        return self.network.sample(len(base), base, told).reshape(*shape, base.shape[-1])
