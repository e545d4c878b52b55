"""EM, one half-step at a time, on a few hundred points in one or two dimensions."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from course_lib.widgets.arrays import as_array
from course_lib.widgets.live import Live

if TYPE_CHECKING:  # PyTorch and Matplotlib are imported only to draw a strip
    from matplotlib.figure import Figure


class EMStepper(Live):
    """EM, one half-step at a time: responsibilities, ellipses, and log P(x) = L_b + gap.

    x: 8 to 2,000 points of shape (N,), (N, 1) or (N, 2), as an array or a tensor, or None to
    generate 240 points. n_components: 1 to 8. seed: determines the twenty starts that "New start"
    cycles through. reg_covar: added to every variance, so that no component can shrink onto a
    single point.

    The computation runs in the browser. `n_components` and `start` are updated by the browser and
    can be set from Python. Whenever the user pauses, steps or rewinds, `state` is set to the values
    shown: "kind" ("start", "E", "M" or "dragged"), "step" of "steps" (the position on the
    timeline), "weights" (K,), "means" (K, D), "covariances" (K, D, D), "responsibilities" (N, K),
    and "log_px" = "bound" + "gap", averaged over the points, in nats. Before the first of these
    actions, `state` is empty.

    Raises ValueError for points that cannot be drawn, and traitlets.TraitError for a number out of
    range.
    """

    script = Path(__file__).with_name("em_stepper.js")
    points: Any = traitlets.List().tag(sync=True)
    # indices of the points where the means start
    starts: Any = traitlets.List().tag(sync=True)  # (20, 8)
    start = traitlets.Int(0).tag(sync=True)
    n_components = traitlets.Int(3, min=1, max=8).tag(sync=True)
    reg_covar = traitlets.Float(1e-6, min=0.0).tag(sync=True)
    state: Any = traitlets.Dict().tag(sync=True)

    def __init__(
        self, x: Any = None, n_components: int = 3, seed: int = 0, reg_covar: float = 1e-6
    ):
        rng = np.random.default_rng(seed)
        points = usable(three_clouds(rng) if x is None else x)  # (N, D)
        starts = [rng.choice(len(points), 8, replace=False).tolist() for _ in range(20)]
        given = {"points": points.tolist(), "starts": starts, "n_components": n_components}
        super().__init__(reg_covar=reg_covar, **given)

    def strip(self) -> "Figure":
        """Draw the start, the first E-step, the first M-step, and the last state.

        The last state is reached after 40 rounds, or after fewer if a component shrinks onto a
        point.
        """
        import torch
        from matplotlib.figure import Figure

        from course_lib.plots import mixture_1d, mixture_2d

        moments = self._moments()
        end = "40 times E, M" if len(moments) == 81 else "the last E"
        first = zip(("start", "E", "M"), moments, strict=False)
        found = [*first, (end, moments[-1])][: len(moments)]
        figure = Figure(figsize=(12, 3.4), dpi=80, layout="constrained")
        row = figure.subplots(1, len(found), sharex=True, sharey=True)
        x = torch.tensor(self.points, dtype=torch.float64)  # (N, D)
        for axes, (name, (parameters, resp, log_px, gap)) in zip(row, found, strict=True):
            weights, means, covariances = parameters
            if x.shape[1] == 1:
                mixture_1d(x[:, 0], weights, means[:, 0], covariances[:, 0, 0], resp, ax=axes)
            else:
                mixture_2d(x, means, covariances, resp, ax=axes)
            words = f"{name}: log P(x) = {log_px:.3f}\n$L_b$ {log_px - gap:.3f} + gap {gap:.3f}"
            axes.set_title(words.replace("-", "−"))
        return figure

    def _moments(self) -> list[Any]:
        """Return the states at the start and after each half-step.

        A state is a tuple (parameters, responsibilities, log P(x), gap).
        """
        import torch

        from course_lib.probability.em import e_step, m_step

        x = torch.tensor(self.points, dtype=torch.float64)  # (N, D)
        parameters = first_parameters(x, self.starts[self.start], self.n_components)
        resp = x.new_full((len(x), self.n_components), 1 / self.n_components)  # (N, K)
        moments = [(parameters, resp, *worth(x, parameters, resp))]
        with suppress(ValueError):  # ends early if a component shrinks onto a point
            for _ in range(40):
                resp = e_step(x, *parameters)[0]
                moments.append((parameters, resp, *worth(x, parameters, resp)))
                parameters = m_step(x, resp, reg_covar=self.reg_covar)
                moments.append((parameters, resp, *worth(x, parameters, resp)))
        return moments


def first_parameters(x: Any, start: list[int], k: int) -> Any:
    """Return starting parameters: means at k points, equal weights and spherical covariances."""
    import torch

    from course_lib.probability.em import Parameters

    spread = x.var(0, correction=0).mean() / k
    covariances = spread * torch.eye(x.shape[1]).to(x).repeat(k, 1, 1)  # (K, D, D)
    return Parameters(x.new_full((k,), 1 / k), x[start[:k]], covariances)


def worth(x: Any, parameters: Any, resp: Any) -> tuple[float, float]:
    """Return log P(x) and its gap to the bound, both averaged over the points x, in nats.

    The points have shape (N, D). The gap is log P(x) − L_b = KL(q ‖ P(k | x)).
    """
    import torch

    from course_lib.probability.em import log_joint

    joint = log_joint(x, *parameters)  # (N, K)
    log_px = torch.logsumexp(joint, 1)  # (N,)
    # the sum over K is KL
    kl = torch.special.xlogy(resp, resp) - resp * (joint - log_px[:, None])  # (N, K)
    return float(log_px.mean()), float(kl.sum(1).mean().clamp_min(0))  # rounding may leave −1e-17


def usable(x: Any) -> np.ndarray:
    """Return x as a float64 array of shape (N, D), with D = 1 or 2.

    Raises ValueError if the points cannot be drawn.
    """
    points = np.atleast_2d(as_array(x).T).T
    if points.ndim != 2 or points.shape[1] not in (1, 2) or not 8 <= len(points) <= 2000:
        raise ValueError(
            "EMStepper needs 8 to 2,000 points in one or two columns, "
            f"but got shape {points.shape}."
        )
    if not np.isfinite(points).all() or not (points.std(0) > 0).all():
        raise ValueError("EMStepper needs finite points with a positive variance in each column.")
    return points


def three_clouds(rng: np.random.Generator) -> np.ndarray:
    """Draw 240 points in 2-D from three Gaussians that overlap so much that EM needs many steps."""
    shapes = [((-1.2, -0.3), (0.5, 0.9)), ((0.9, 0.8), (1.0, 0.35)), ((0.8, -0.9), (0.6, 0.45))]
    turn = [[0.9, -0.45], [0.45, 0.9]]
    clouds = [(rng.normal(size=(80, 2)) * scale) @ turn + centre for centre, scale in shapes]
    return np.concatenate(clouds)
