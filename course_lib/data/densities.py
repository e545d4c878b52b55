"""Densities that are known exactly, for comparison with models.

Each density has a sampler and a log-density in nats. All computations use float64. Move x to the
CPU first if it is on the GPU of a Mac (MPS), which does not support float64.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from scipy.interpolate import PchipInterpolator
from torch import Generator, Tensor
from torch.distributions import Distribution, LogNormal, Normal, Uniform, Weibull

Functions = tuple[Callable[[int, Generator | None], Tensor], Callable[[Tensor], Tensor]]


@dataclass(frozen=True)
class Density:
    """A density in one or two dimensions, with a sampler and an exact log p(x).

    dim: 1 or 2. limits: the plotting range, which applies to both axes in 2-D. support: the
    interval where p(x) > 0; used only in 1-D.
    """

    name: str
    dim: int
    limits: tuple[float, float]
    functions: Functions = field(repr=False)
    support: tuple[float, float] = (-math.inf, math.inf)

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Draw n points.

        The state of the generator determines the points. The result is float64, of shape (n,), or
        (n, 2) in 2-D.
        """
        return self.functions[0](n, generator)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) in nats, which is −inf outside the support.

        x has the shape (...), or (..., 2) in 2-D. The result is float64, of shape (...).
        """
        x = torch.as_tensor(x, dtype=torch.float64)
        if self.dim == 2 and x.shape[-1:] != (2,):
            raise ValueError(
                f"The density {self.name!r} requires points of shape (..., 2), "
                f"but got {tuple(x.shape)}."
            )
        low, high = self.support
        log_p = self.functions[1](x)
        return log_p if self.dim == 2 else log_p.masked_fill((x <= low) | (x >= high), -math.inf)


def _mixture(weights: list[float], *parts: Distribution) -> Functions:
    """Build the mixture p(x) = Σ_k w_k p_k(x) of torch distributions."""

    def sample(n: int, generator: Generator | None) -> Tensor:
        k = torch.multinomial(torch.tensor(weights).double(), n, True, generator=generator)  # (n,)
        u = _uniform(n, generator)
        return torch.stack([part.icdf(u) for part in parts]).gather(0, k[None])[0]  # (n,)

    def log_prob(x: Tensor) -> Tensor:
        terms = [math.log(w) + part.log_prob(x) for w, part in zip(weights, parts, strict=True)]
        return torch.stack(terms).logsumexp(0)

    return sample, log_prob


def _curve(x: list[float], height: list[float]) -> Functions:
    """Build a density from a piecewise cubic curve through the points (x, height).

    The integral of the curve has a closed form.
    """
    curve = PchipInterpolator(x, height)
    area, total = curve.antiderivative(), curve.integrate(x[0], x[-1])

    def cdf(v: Tensor) -> Tensor:
        return torch.from_numpy(area(v) / total)

    def sample(n: int, generator: Generator | None) -> Tensor:
        return _invert(cdf, _uniform(n, generator), x[0], x[-1])

    def log_prob(v: Tensor) -> Tensor:
        start = torch.tensor(curve.x, device=v.device)
        c = torch.tensor(curve.c / total, device=v.device)
        piece = torch.searchsorted(start, v.detach(), right=True).sub(1).clamp(0, len(x) - 2)
        t, c = v - start[piece], c[:, piece]  # (...), (4, ...)
        return (((c[0] * t + c[1]) * t + c[2]) * t + c[3]).clamp(min=0).log()

    return sample, log_prob


def drawn(heights: Sequence[float], limits: tuple[float, float] = (-8.0, 8.0)) -> Density:
    """Return a piecewise constant density with one height for each of n equal parts of `limits`.

    heights: n numbers; only their ratios matter. Raises ValueError if there are fewer than two
    heights, if a height is negative or not finite, or if all heights are 0.
    """
    h = torch.as_tensor(heights, dtype=torch.float64)
    usable = h.ndim == 1 and len(h) >= 2 and bool(((h >= 0) & h.isfinite()).all())
    if not usable or not float(h.sum()) > 0:
        raise ValueError(
            "heights must contain at least two finite, non-negative numbers, "
            "and at least one of them must be positive."
        )
    low, high = limits
    n, width = len(h), (high - low) / len(h)
    log_p = (h / h.sum() / width).log()

    def sample(count: int, generator: Generator | None) -> Tensor:
        part = torch.multinomial(h, count, True, generator=generator)  # (count,)
        return low + width * (part + _uniform(count, generator))

    def log_prob(x: Tensor) -> Tensor:
        return log_p.to(x.device)[((x.detach() - low) / width).long().clamp(0, n - 1)]

    return Density("drawn", 1, limits, (sample, log_prob), limits)


def _flower(petals: int, depth: float, profile: Distribution) -> Functions:
    """Build a flower-shaped density whose petals follow ρ = 1 + depth·cos(petals·angle).

    The ratio s = r/ρ is drawn from `profile`, and the density of the angle is proportional to ρ².
    Therefore p(x) = profile(s) / (s·∫ρ²) depends on s alone, and every contour is a flower. A depth
    of 0 gives a ring.
    """
    whole = math.tau * (1 + depth**2 / 2)  # ∫ρ² over a full turn

    def cdf(angle: Tensor) -> Tensor:
        waves = 2 * torch.sin(petals * angle) + depth / 4 * torch.sin(2 * petals * angle)
        return angle / math.tau + waves * depth / petals / whole

    def sample(n: int, generator: Generator | None) -> Tensor:
        angle = _invert(cdf, _uniform(n, generator), 0.0, math.tau)
        r = profile.icdf(_uniform(n, generator)) * (1 + depth * torch.cos(petals * angle))
        return torch.stack([r * angle.cos(), r * angle.sin()], -1)  # (n, 2)

    def log_prob(x: Tensor) -> Tensor:
        r, angle = _polar(x)
        s = r / (1 + depth * torch.cos(petals * angle))
        return profile.log_prob(s) - s.log() - math.log(whole)

    return sample, log_prob


def _pinwheel(arms: int, turn: float, radius: float, along: float, across: float) -> Functions:
    """Build a pinwheel-shaped density from Gaussians on a circle.

    Each point at radius r is rotated by the angle turn·r. The rotation preserves areas and
    therefore densities. along, across: the standard deviations of each Gaussian in the radial and
    tangential directions, respectively.
    """

    def sample(n: int, generator: Generator | None) -> Tensor:
        arm = torch.randint(arms, (n,), generator=generator)
        e = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        r, angle = _polar(torch.stack([radius + along * e[:, 0], across * e[:, 1]], -1))
        angle = angle + math.tau * arm / arms + turn * r
        return torch.stack([r * angle.cos(), r * angle.sin()], -1)  # (n, 2)

    def log_prob(x: Tensor) -> Tensor:
        r, angle = (part[..., None] for part in _polar(x))
        a = angle - turn * r - math.tau * torch.arange(arms, device=x.device) / arms  # (..., arms)
        square = ((r * a.cos() - radius) / along) ** 2 + (r * a.sin() / across) ** 2
        return (-square / 2).logsumexp(-1) - math.log(arms * math.tau * along * across)

    return sample, log_prob


def _sample_board(n: int, generator: Generator | None) -> Tensor:
    column = torch.randint(4, (n,), generator=generator)
    pair = torch.randint(2, (n,), generator=generator)
    corner = torch.stack([column, 2 * pair + column % 2], -1) - 2  # (n, 2)
    return corner + torch.rand(n, 2, generator=generator, dtype=torch.float64)


def _log_board(x: Tensor) -> Tensor:
    square = x.floor()  # (..., 2): eight of the board's sixteen unit squares are black
    black = (square.sum(-1) % 2 == 0) & (square >= -2).all(-1) & (square < 2).all(-1)
    return torch.full_like(x[..., 0], -math.log(8)).masked_fill(~black, -math.inf)


def _uniform(n: int, generator: Generator | None) -> Tensor:
    # The result is never 0, because an inverse CDF may be −∞ at 0.
    return torch.rand(n, generator=generator, dtype=torch.float64).clamp(min=1e-16)


def _invert(cdf: Callable[[Tensor], Tensor], u: Tensor, low: float, high: float) -> Tensor:
    a, b = torch.full_like(u, low), torch.full_like(u, high)
    for _ in range(60):  # 60 halvings of [low, high] reach the precision of float64
        below = cdf((a + b) / 2) < u
        a, b = torch.where(below, (a + b) / 2, a), torch.where(below, b, (a + b) / 2)
    return (a + b) / 2


def _polar(x: Tensor) -> tuple[Tensor, Tensor]:
    # r is never 0, so its logarithm is finite.
    return x.norm(dim=-1).clamp(min=1e-100), torch.atan2(x[..., 1], x[..., 0])


def _of(family: Callable[..., Distribution], *parameters: float) -> Distribution:
    return family(*(torch.tensor(p, dtype=torch.float64) for p in parameters), validate_args=False)


normal = Density("normal", 1, (-4, 4), _mixture([1.0], _of(Normal, 0, 1)))
two_modes = Density(
    "two modes", 1, (-5, 5), _mixture([0.4, 0.6], _of(Normal, -2, 0.5), _of(Normal, 1.5, 1))
)
three_modes = Density(
    "three modes",
    1,
    (-6, 6),
    _mixture(
        [0.3, 0.25, 0.45], _of(Normal, -3.5, 0.6), _of(Normal, -0.5, 0.3), _of(Normal, 2.5, 1)
    ),
)
uniform = Density("uniform", 1, (-3, 3), _mixture([1.0], _of(Uniform, -2, 2)), (-2, 2))
log_normal = Density(
    "log-normal", 1, (-0.5, 6), _mixture([1.0], _of(LogNormal, 0, 0.6)), (0, math.inf)
)
# The black curve from the lecture, with lopsided, uneven bumps: each corner's position and height.
_CORNERS = {
    -6: 0,
    -5.2: 0.4,
    -4.9: 0.3,
    -4.1: 1,
    -3.6: 0.9,
    -3.4: 0.3,
    -2.6: 0.2,
    -2.3: 0.7,
    -2: 0.6,
    -1.2: 1.7,
    -0.9: 0.4,
    -0.2: 0.3,
    0.4: 0.6,
    0.8: 0.5,
    1: 1.2,
    2: 0.1,
    2.7: 0.2,
    3.6: 0.9,
    4: 0.4,
    4.3: 0.5,
    6: 0,
}
skyline = Density(
    "skyline", 1, (-6.5, 6.5), _curve(list(_CORNERS), list(_CORNERS.values())), (-6, 6)
)
ring = Density("ring", 2, (-3.2, 3.2), _flower(1, 0, _of(LogNormal, math.log(2), 0.1)))
flower = Density("flower", 2, (-4.5, 4.5), _flower(5, 0.6, _of(Weibull, 2, 4)))
pinwheel = Density(
    "pinwheel", 2, (-4.5, 4.5), _pinwheel(5, turn=0.6, radius=2, along=0.6, across=0.2)
)
spiral = Density("spiral", 2, (-4.5, 4.5), _pinwheel(2, turn=1.5, radius=2, along=0.7, across=0.15))
eight_modes = Density(
    "eight modes", 2, (-3, 3), _pinwheel(8, turn=0, radius=2, along=0.15, across=0.15)
)
checkerboard = Density("checkerboard", 2, (-2.5, 2.5), (_sample_board, _log_board))
