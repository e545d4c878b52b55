"""A bar chart of log P(x) = L_b + KL(q ‖ posterior) for one x, in which the user can adjust q."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import traitlets

from course_lib.palette import MODEL, PRIOR, Q
from course_lib.widgets.live import Live

# PyTorch and Matplotlib are imported only where Python computes:
# for the model, its bound, and the strip.
if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from course_lib.probability.elbo import Bound, LatentModel

# h(z), which the weight w multiplies: the posterior is normal, skewed, or has two humps.
DECODERS: "dict[str, Callable[[Tensor], Tensor]]" = {
    "line": lambda z: z,
    "bend": lambda z: (2 * z).tanh(),
    "fold": lambda z: z**2,
}
# Wide enough for six sigma of the widest and farthest q;
# fine enough for the narrowest (2½ points per sigma).
GRID = (-12, 12, 1201)


def grid() -> "Tensor":
    """Return the grid points z, of shape (G,), for the integrals over z."""
    import torch

    return torch.linspace(*GRID, dtype=torch.float64)


class ElboBars(Live):
    """The lecture's bars: L_b and the gap KL(q ‖ P(z|x)), which add up to log P(x), in nats.

    The model: z ~ N(0, 1), x|z ~ N(w·h(z), s²), with h(z) = z ("line"), tanh 2z ("bend") or z²
    ("fold"). q(z|x) = N(m, sigma²). `m`, `sigma`, `w`, `x` and `decoder` are updated by the browser
    and can be set from Python; `bound()` computes the values in Python. A value out of range raises
    traitlets.TraitError.
    """

    script = Path(__file__).with_name("elbo_bars.js")
    decoder = traitlets.Enum(list(DECODERS), "line").tag(sync=True)
    x = traitlets.Float(2.0, min=-4, max=4).tag(sync=True)
    w = traitlets.Float(1.0, min=-3, max=3).tag(sync=True)
    s = traitlets.Float(0.7, min=0.3, max=2).tag(sync=True)
    m = traitlets.Float(0.4, min=-3, max=3).tag(sync=True)
    sigma = traitlets.Float(0.8, min=0.05, max=1.5).tag(sync=True)

    @property
    def model(self) -> "LatentModel":
        """The model with the current w, s and decoder."""
        import torch
        from torch.distributions import Normal

        from course_lib.probability.elbo import LatentModel

        prior = Normal(torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64))
        w, s, h = self.w, self.s, DECODERS[self.decoder]
        return LatentModel(prior, lambda z: Normal(w * h(z), s))

    def bound(self, m: float | None = None, sigma: float | None = None) -> "Bound":
        """Compute L_b, its two terms, the gap and log P(x), each of shape (1,), in nats.

        m, sigma: the parameters of q; by default, the current ones.
        """
        from torch.distributions import Normal

        from course_lib.probability.elbo import elbo

        m, sigma = self.m if m is None else m, self.sigma if sigma is None else sigma
        z = grid()
        one = z.new_ones(1)
        return elbo(self.model, Normal(m * one, sigma * one), self.x * one, grid=z)

    def strip(self) -> "Figure":
        """Plot three choices of q, and a bar chart that compares their bounds and gaps.

        The first q is the current one, the last has the posterior's mean and sigma (within the
        limits of `m` and `sigma`), and the second is halfway between the two.
        """
        import torch
        from matplotlib.figure import Figure
        from torch.distributions import Normal

        from course_lib.plots import bound_bars
        from course_lib.probability.elbo import log_posterior

        z = grid()
        posterior = log_posterior(self.model, self.x * z.new_ones(1), grid=z)[:, 0].exp()  # (G,)
        mean = torch.trapezoid(posterior * z, z)
        sigma = torch.trapezoid(posterior * (z - mean) ** 2, z).sqrt()
        figure = Figure(figsize=(14, 3.4), dpi=80, layout="constrained")
        panels = figure.subplots(1, 4, width_ratios=[1, 1, 1, 2.4])
        bounds = {}
        names = ("q", "half way", "near")
        for axes, part, name in zip(panels, (0.0, 0.5, 1.0), names, strict=False):
            m = self.m + part * float(mean - self.m)
            spread = self.sigma + part * float(sigma - self.sigma)
            m, spread = min(max(m, -3), 3), min(max(spread, 0.05), 1.5)
            bounds[name] = self.bound(m, spread)
            axes.plot(z, Normal(0.0, 1.0).log_prob(z).exp(), color=PRIOR, label="prior P(z)")
            axes.plot(z, posterior, color=MODEL, lw=2, label="posterior P(z|x)")
            axes.plot(z, Normal(m, spread).log_prob(z).exp(), color=Q, lw=2, label="q(z|x)")
            axes.set(
                title=f"{name}: gap {bounds[name].gap.item():.3f}",
                xlim=(-4, 4),
                yticks=[],
                xlabel="z",
            )
        panels[0].legend(fontsize=8)
        bound_bars(bounds, ax=panels[3])
        return figure
