"""The grid on which the quantities of a game are evaluated.

It divides z into 1024 cells and x into 256, and stores the mass of the data in each cell of x.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy.signal import find_peaks
from scipy.special import ndtr, ndtri
from torch import Tensor

from course_lib.toy_gan.settings import Settings

CELLS, FINE, POINTS = 256, 1024, 32
# Added on each side, relative to the range of the data, so that an overshooting G stays visible.
MARGIN = 0.3


@dataclass(frozen=True)
class Grid:
    """The cells of x and of z.

    `p` and `hill` have an extra cell at each end for everything outside the grid, so C = CELLS + 2.
    The game samples its data from the piecewise-constant density whose cell masses are `p`, so `p`
    is exact.
    """

    low: float  # the lower edge of the first cell of x
    dx: float  # the width of the cells of x
    p: Tensor  # (C,) the mass of the data in each cell
    # (C,) the index of the mode whose hill contains the cell, or `modes` if there is none
    hill: Tensor
    modes: int
    z_edges: Tensor  # (FINE + 1,)
    z_mass: Tensor  # (FINE,)
    z_points: Tensor  # (POINTS,) values of z, spaced by equal mass, for which x is plotted

    @property
    def x(self) -> Tensor:
        """The centres of the cells of x, of shape (CELLS,)."""
        return self.low + (torch.arange(CELLS, dtype=torch.float64) + 0.5) * self.dx

    @property
    def edges(self) -> Tensor:
        """The edges of the cells of x, of shape (CELLS + 1,)."""
        return self.low + torch.arange(CELLS + 1, dtype=torch.float64) * self.dx

    @property
    def cdf(self) -> Tensor:
        """The data's distribution function at the edges of the cells, of shape (CELLS + 1,)."""
        return self.p[:-1].cumsum(0)

    def _cell_of(self, x: Tensor) -> Tensor:
        """Return the index of the cell that contains each x.

        Cells 0 and CELLS + 1 contain everything outside the grid.
        """
        return ((x - self.low) / self.dx).floor().clamp(-1, CELLS).long() + 1

    def push_forward(self, x: Tensor) -> Tensor:
        """Return the generated mass in each cell of x, of shape (C,).

        x (FINE + 1,): G's output at the edges of the cells of z. Each cell of z keeps its exact
        mass. G is taken to be linear within each cell of z, so the mass of the cell is spread
        evenly between the values of x at its two edges, and each cell of x receives the part that
        falls into it. Nothing is sampled, so the result is free of noise. The change-of-variables
        formula, in contrast, divides by G'(z), which is 0 where G folds.
        """
        low, high = torch.minimum(x[:-1], x[1:]), torch.maximum(x[:-1], x[1:])  # (FINE,)
        first, last = self._cell_of(low), self._cell_of(high)
        # the upper edge of the first cell and the lower edge of the last cell
        behind, before = (self.low + cell.double() * self.dx for cell in (first, last - 1))
        apart = first < last
        share = self.z_mass / torch.where(apart, high - low, 1)  # mass per unit of length
        spans = torch.where(last > first + 1, share, 0)  # only z-cells that cover whole x-cells

        def collect(cell: Tensor, mass: Tensor) -> Tensor:
            return torch.bincount(cell, mass, CELLS + 3)

        q = collect(first, torch.where(apart, share * (behind - low), self.z_mass))
        q += collect(last, torch.where(apart, share * (high - before), 0))
        # add each share after its first cell and remove it at its last; the counts make zeros exact
        on, off = collect(first + 1, spans), collect(last, spans)
        covered = (collect(first + 1, spans.sign()) - collect(last, spans.sign())).cumsum(0) > 0.5
        return (q + torch.where(covered, (on - off).cumsum(0) * self.dx, 0))[:-1]

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the standard deviation of all generated points.

        x is as in `push_forward`.
        """
        middle, width = (x[:-1] + x[1:]) / 2, x[1:] - x[:-1]  # (FINE,)
        mean = (self.z_mass * middle).sum()
        return mean, (self.z_mass * ((middle - mean) ** 2 + width**2 / 12)).sum().sqrt()

    def beyond(self, x: Tensor, q: Tensor) -> Tensor:
        """Return how far the mass outside the grid lies beyond the centres of the end cells.

        The distance is averaged over q; mass on the grid contributes 0 to the average. x is as in
        `push_forward`.
        """
        low, high = torch.minimum(x[:-1], x[1:]), torch.maximum(x[:-1], x[1:])  # (FINE,)
        distance = torch.zeros_like(low)  # from the grid; 0 inside the grid
        for near, far in (
            (low - self.edges[-1], high - self.edges[-1]),
            (self.low - high, self.low - low),
        ):
            straddling = far.clamp(min=0) ** 2 / (2 * torch.where(near < far, far - near, 1))
            distance += torch.where(near >= 0, (near + far) / 2, straddling)
        return (self.z_mass * distance).sum() - self.dx / 2 * (q[0] + q[-1])

    def to_json(self) -> dict[str, Any]:
        """Return the grid as a JSON-serializable dict.

        A page that runs the game without Python uses this dict.
        """
        table = {name: getattr(self, name) for name in (*self.__dataclass_fields__, "cdf")}
        return {name: v.tolist() if isinstance(v, Tensor) else v for name, v in table.items()}


def grid(s: Settings) -> Grid:
    """Return the grid for the given settings."""
    low, high = (-2.0, 2.0) if s.players == "dirac" else s.density.limits
    if s.heights is None or s.players == "dirac":  # a drawn density already includes a margin
        low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    dx = (high - low) / CELLS
    low -= dx / 2 if s.players == "dirac" else 0  # put the data point 0 at the centre of a cell
    p = torch.zeros(CELLS + 2, dtype=torch.float64)
    if s.players == "dirac":
        p[1 + CELLS // 2] = 1.0  # the cell around 0
    else:
        fine = low + (torch.arange(CELLS * 64, dtype=torch.float64) + 0.5) * dx / 64
        p[1:-1] = s.density.log_prob(fine).exp().reshape(CELLS, 64).mean(1)
    p /= p.sum()
    hill, modes = hills(p.numpy())
    if s.z == "uniform":
        z_edges = np.linspace(-1, 1, FINE + 1)
        z_mass = np.full(FINE, 1 / FINE)
        z_points = (2 * np.arange(POINTS) + 1) / POINTS - 1
    else:
        # z ranges from −11 to 11, because D* and KL(p ‖ q) need q even where q is tiny. The end
        # cells include the mass of 10⁻²⁸ beyond this range. The cells widen from 0.008 in the
        # middle to 0.06 at the ends.
        z_edges = 11 * np.sinh(np.linspace(-2.6, 2.6, FINE + 1)) / np.sinh(2.6)
        left = np.diff(np.concatenate([[0], ndtr(z_edges[1 : FINE // 2 + 1])]))
        # by symmetry, so that the right tail is accurate too
        z_mass = np.concatenate([left, left[::-1]])
        z_points = ndtri((np.arange(POINTS) + 0.5) / POINTS)
    parts = (torch.from_numpy(v) for v in (z_edges, z_mass, z_points))
    return Grid(low, dx, p, torch.from_numpy(hill), modes, *parts)


def hills(p: np.ndarray) -> tuple[np.ndarray, int]:
    """For each cell, return the index of the mode whose hill contains it;
    also return the number of modes.

    For a cell outside all hills, the index is the number of modes. A mode is a prominent peak of p.
    Its hill ends at a valley, or where p falls below a tenth of its value at the peak.
    """
    peaks = find_peaks(np.pad(p, 1), prominence=0.1 * p.max())[0] - 1
    valleys = [a + int(p[a:b].argmin()) for a, b in pairwise(peaks)]
    hill = np.searchsorted(valleys, np.arange(len(p)), side="right")
    tops = np.array([p[hill == m].max() for m in range(len(valleys) + 1)])
    return np.where(p < 0.1 * tops[hill], len(tops), hill), len(tops)
