"""The line on which a game is measured: 256 cells of x, 1024 cells of z, and the data's mass in each."""

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
MARGIN = 0.3  # of the data's limits, on either side: there an overshooting G is still seen


@dataclass(frozen=True)
class Grid:
    """Cells of x and of z. p and hill have a cell more on either end, for what lies outside: C = CELLS + 2.

    The data are drawn from p as it is here, constant on each cell: to the game, p is exact.
    """

    low: float  # where the first cell of x begins
    dx: float  # the cells' width
    p: Tensor  # (C,) the data's mass
    hill: Tensor  # (C,) which mode's hill a cell is part of; `modes` stands for none
    modes: int
    z_edges: Tensor  # (FINE + 1,)
    z_mass: Tensor  # (FINE,)
    z_points: Tensor  # (POINTS,) z's whose x is drawn, each standing for as much mass

    @property
    def x(self) -> Tensor:
        """The cells' middles (CELLS,)."""
        return self.low + (torch.arange(CELLS, dtype=torch.float64) + 0.5) * self.dx

    @property
    def edges(self) -> Tensor:
        """(CELLS + 1,)."""
        return self.low + torch.arange(CELLS + 1, dtype=torch.float64) * self.dx

    @property
    def cdf(self) -> Tensor:
        """The data's distribution function at the edges (CELLS + 1,)."""
        return self.p[:-1].cumsum(0)

    def push_forward(self, x: Tensor) -> Tensor:
        """The generated mass (C,) of each cell, for x (FINE + 1,), G at the edges of z's cells.

        Each cell of z takes its exact mass along: G runs straight from edge to edge, so the mass lies evenly
        between them, and each x-cell gets what overlaps it. Nothing is drawn, so nothing jitters; and nothing
        is divided by G'(z), as in the change of variables, which is infinite where G folds or stands still.
        """
        low, high = torch.minimum(x[:-1], x[1:]), torch.maximum(x[:-1], x[1:])  # (FINE,)
        first, last = (((v - self.low) / self.dx).floor().clamp(-1, CELLS).long() + 1 for v in (low, high))
        # the border behind the first cell, and that before the last
        behind, before = (self.low + cell.double() * self.dx for cell in (first, last - 1))
        apart = first < last
        share = self.z_mass / torch.where(apart, high - low, 1)  # of a unit of length
        spans = torch.where(last > first + 1, share, 0)  # the few that cover whole cells between their ends

        def collect(cell: Tensor, mass: Tensor) -> Tensor:
            return torch.bincount(cell, mass, CELLS + 3)

        q = collect(first, torch.where(apart, share * (behind - low), self.z_mass))
        q += collect(last, torch.where(apart, share * (high - before), 0))
        # these are switched on behind the first cell and off at the last; counted too, as zero must be exact
        on, off = collect(first + 1, spans), collect(last, spans)
        covered = (collect(first + 1, spans.sign()) - collect(last, spans.sign())).cumsum(0) > 0.5
        return (q + torch.where(covered, (on - off).cumsum(0) * self.dx, 0))[:-1]

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of G's points, wherever they are, for x (FINE + 1,) as above."""
        middle, width = (x[:-1] + x[1:]) / 2, x[1:] - x[:-1]  # (FINE,)
        mean = (self.z_mass * middle).sum()
        return mean, (self.z_mass * ((middle - mean) ** 2 + width**2 / 12)).sum().sqrt()

    def beyond(self, x: Tensor, q: Tensor) -> Tensor:
        """How much further out than the outer cells' middles q's mass lies, on average, for x (FINE + 1,)."""
        low, high = torch.minimum(x[:-1], x[1:]), torch.maximum(x[:-1], x[1:])  # (FINE,)
        distance = torch.zeros_like(low)  # from the grid, 0 inside
        for near, far in ((low - self.edges[-1], high - self.edges[-1]), (self.low - high, self.low - low)):
            straddling = far.clamp(min=0) ** 2 / (2 * torch.where(near < far, far - near, 1))
            distance += torch.where(near >= 0, (near + far) / 2, straddling)
        return (self.z_mass * distance).sum() - self.dx / 2 * (q[0] + q[-1])

    def to_json(self) -> dict[str, Any]:
        """For a page that plays the game without Python."""
        table = {name: getattr(self, name) for name in (*self.__dataclass_fields__, "cdf")}
        return {name: v.tolist() if isinstance(v, Tensor) else v for name, v in table.items()}


def grid(s: Settings) -> Grid:
    """The line of these settings."""
    low, high = (-2.0, 2.0) if s.players == "dirac" else s.density.limits
    if s.heights is None or s.players == "dirac":  # a drawing shows its own margin
        low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    dx = (high - low) / CELLS
    low -= dx / 2 if s.players == "dirac" else 0  # the data's point, 0, in the middle of a cell
    p = torch.zeros(CELLS + 2, dtype=torch.float64)
    if s.players == "dirac":
        p[1 + CELLS // 2] = 1.0  # the cell about 0
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
        # out to 11, as D* and KL(p ‖ q) ask for q also where there is hardly any; the 10⁻²⁸ beyond go to the
        # ends. The cells grow outwards: from 0.008 in the middle to 0.06
        z_edges = 11 * np.sinh(np.linspace(-2.6, 2.6, FINE + 1)) / np.sinh(2.6)
        left = np.diff(np.concatenate([[0], ndtr(z_edges[1 : FINE // 2 + 1])]))
        z_mass = np.concatenate([left, left[::-1]])  # so the right tail keeps its digits as well
        z_points = ndtri((np.arange(POINTS) + 0.5) / POINTS)
    parts = (torch.from_numpy(v) for v in (z_edges, z_mass, z_points))
    return Grid(low, dx, p, torch.from_numpy(hill), modes, *parts)


def hills(p: np.ndarray) -> tuple[np.ndarray, int]:
    """Which mode's hill each cell is part of, and how many there are: the cells of no hill bear that number.

    A mode is a peak that stands out; its hill ends in a valley, or where p is a tenth of the peak.
    """
    peaks = find_peaks(np.pad(p, 1), prominence=0.1 * p.max())[0] - 1
    valleys = [a + int(p[a:b].argmin()) for a, b in pairwise(peaks)]
    hill = np.searchsorted(valleys, np.arange(len(p)), side="right")
    tops = np.array([p[hill == m].max() for m in range(len(valleys) + 1)])
    return np.where(p < 0.1 * tops[hill], len(tops), hill), len(tops)
