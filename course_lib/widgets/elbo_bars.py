"""log P(x) = L_b + KL(q ‖ posterior) as bars, for one x, one weight, and a q that is moved by hand."""

from collections.abc import Callable
from pathlib import Path

import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Normal

from course_lib.plots import MODEL, PRIOR, Q, bound_bars
from course_lib.probability.elbo import Bound, LatentModel, elbo, log_posterior
from course_lib.widgets.live import Live

# One weight w bends the line of codes: a posterior that is normal, skewed, or has two humps.
DECODERS: dict[str, Callable[[Tensor], Tensor]] = {
    "line": lambda z: z,
    "bend": lambda z: torch.tanh(2 * z),
    "fold": lambda z: z**2,
}
# Wide enough for six sigma of the widest, farthest q; fine enough (2½ points a sigma) for the narrowest.
GRID = torch.linspace(-12, 12, 1201, dtype=torch.float64)


class ElboBars(Live):
    """The lecture's bars: L_b, the gap KL(q ‖ P(z|x)), and log P(x), which they add up to, in nats.

    The model: z ~ N(0, 1), x|z ~ N(w·h(z), s²), with h(z) = z ("line"), tanh 2z ("bend") or z² ("fold").
    q(z|x) = N(m, sigma²). `m`, `sigma`, `w`, `x` and `decoder` follow the browser and may be set from Python;
    `bound()` computes the numbers anew. A value out of range raises traitlets.TraitError.
    """

    script = Path(__file__).with_name("elbo_bars.js")
    decoder = traitlets.Enum(list(DECODERS), "line").tag(sync=True)
    x = traitlets.Float(2.0, min=-4, max=4).tag(sync=True)
    w = traitlets.Float(1.0, min=-3, max=3).tag(sync=True)
    s = traitlets.Float(0.7, min=0.3, max=2).tag(sync=True)
    m = traitlets.Float(0.4, min=-3, max=3).tag(sync=True)
    sigma = traitlets.Float(0.8, min=0.05, max=1.5).tag(sync=True)

    @property
    def model(self) -> LatentModel:
        """The model with the present w and decoder."""
        prior = Normal(torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64))
        w, s, h = self.w, self.s, DECODERS[self.decoder]
        return LatentModel(prior, lambda z: Normal(w * h(z), s))

    def bound(self, m: float | None = None, sigma: float | None = None) -> Bound:
        """L_b in parts, the gap and log P(x), each (1,), in nats; of another q if m or sigma is given."""
        m, sigma = self.m if m is None else m, self.sigma if sigma is None else sigma
        one = GRID.new_ones(1)
        return elbo(self.model, Normal(m * one, sigma * one), self.x * one, grid=GRID)

    def strip(self) -> Figure:
        """q as it is, half way, and with the posterior's own mean and spread; beside them the three bars."""
        posterior = log_posterior(self.model, self.x * GRID.new_ones(1), grid=GRID)[:, 0].exp()  # (G,)
        mean = torch.trapezoid(posterior * GRID, GRID)
        sigma = torch.trapezoid(posterior * (GRID - mean) ** 2, GRID).sqrt()
        figure = Figure(figsize=(14, 3.4), dpi=80, layout="constrained")
        panels = figure.subplots(1, 4, width_ratios=[1, 1, 1, 2.4])
        bounds = {}
        for axes, part, name in zip(panels, (0.0, 0.5, 1.0), ("q", "half way", "near"), strict=False):
            m, spread = self.m + part * float(mean - self.m), self.sigma + part * float(sigma - self.sigma)
            m, spread = min(max(m, -3), 3), min(max(spread, 0.05), 1.5)
            bounds[name] = self.bound(m, spread)
            axes.plot(GRID, Normal(0.0, 1.0).log_prob(GRID).exp(), color=PRIOR, label="prior P(z)")
            axes.plot(GRID, posterior, color=MODEL, lw=2, label="posterior P(z|x)")
            axes.plot(GRID, Normal(m, spread).log_prob(GRID).exp(), color=Q, lw=2, label="q(z|x)")
            axes.set(title=f"{name}: gap {bounds[name].gap.item():.3f}", xlim=(-4, 4), yticks=[], xlabel="z")
        panels[0].legend(fontsize=8)
        bound_bars(bounds, ax=panels[3])
        return figure
