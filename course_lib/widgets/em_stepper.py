"""EM one half-step at a time, on a few hundred points in one or two dimensions."""

from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from course_lib.plots import mixture_1d, mixture_2d
from course_lib.probability.em import Parameters, as_array, as_floats, e_step, log_joint, m_step
from course_lib.widgets.live import Live

MOST = 1000  # half-steps kept; EM on a few hundred points has settled long before


class State(NamedTuple):
    """What one frame shows; log P(x) and the gap are means over the points, in nats."""

    kind: int  # 0 start, 1 after E, 2 after M, 3 dragged
    parameters: Parameters
    resp: Tensor  # (N, K): q, which after an M-step is older than the parameters
    log_px: float
    gap: float  # mean KL(q ‖ P(k | x))

    @property
    def bound(self) -> float:
        """L_b per point: what EM raises by q (E) and by P (M)."""
        return self.log_px - self.gap


class EMStepper(Live):
    """EM, one half-step at a time: responsibilities, ellipses, and log P(x) = L_b + gap.

    x: 8 to 2,000 points (N,), (N, 1) or (N, 2), an array or a tensor; None draws 240 of its own.
    n_components: 1 to 8. seed: fixes the twenty starts that "another start" walks through.
    reg_covar: added to every variance, so that no component can shrink onto one point.

    `do("EM")` makes steps from Python; `state` is what the browser shows, `history` may run a little ahead.
    Raises ValueError for points that cannot be drawn, traitlets.TraitError for a number out of range.
    """

    script = Path(__file__).with_name("em_stepper.js")
    points: Any = traitlets.List().tag(sync=True)
    starts: Any = traitlets.List().tag(sync=True)  # (20, 8): the points that the means start from
    start = traitlets.Int(0).tag(sync=True)
    n_components = traitlets.Int(3, min=1, max=8).tag(sync=True)
    reg_covar = traitlets.Float(1e-6, min=0.0).tag(sync=True)
    shown = traitlets.Int(0).tag(sync=True)  # the place on the timeline

    def __init__(self, x: Any = None, n_components: int = 3, seed: int = 0, reg_covar: float = 1e-6):
        rng = np.random.default_rng(seed)
        points = usable(three_clouds(rng) if x is None else x)
        starts = [rng.choice(len(points), 8, replace=False).tolist() for _ in range(20)]
        self.x = torch.from_numpy(points)  # (N, D)
        given = {"points": points.tolist(), "starts": starts, "n_components": n_components}
        super().__init__(reg_covar=reg_covar, **given)
        self.history = [self._begin()]

    @property
    def state(self) -> State:
        """What the browser shows now."""
        return self.history[min(self.shown, len(self.history) - 1)]

    def do(self, steps: str) -> State:
        """Half-steps from the shown place on: "E", "M", or several, as in "EMEM". Returns the last state."""
        with self.lock:
            self.frames({"do": steps, "at": self.shown})
            self.shown = len(self.history) - 1
            self.send({"changed": True})
            return self.state

    def frames(self, request: dict[str, Any]) -> np.ndarray:
        """A frame for every letter of request["do"], from place request["at"] on; for none, the history."""
        steps = request.get("do", "")
        of_the_page = {"R": "k", "D": "mean"}.get(steps)  # to begin again, and a mean that is dragged
        if not (of_the_page in request if of_the_page else set(steps) <= set("EM")):
            raise ValueError(f"EMStepper knows the steps E and M, not {steps!r}.")
        if steps:
            del self.history[request.get("at", 0) + 1 :]
        if len(self.history) + len(steps) > MOST:
            made = f"{len(self.history) - 1} are made, {len(steps)} more are too many"
            raise ValueError(f"EMStepper keeps {MOST - 1} half-steps: {made}; restart, or ask for fewer.")
        for letter in steps:
            self.history.append(self._next(self.history[-1], letter, request))
        new = self.history[-len(steps) :]
        if steps in ("R", "D"):  # the timeline begins anew
            self.history = new
        return np.stack([self._floats(state) for state in new])

    def _begin(self) -> State:
        """Means on some of the points, equal weights, round covariances; q does not know yet: 1/K each."""
        k = self.n_components
        means = self.x[self.starts[self.start][:k]]  # (K, D)
        spread = self.x.var(0, correction=0).mean() / k
        covariances = spread * torch.eye(self.x.shape[1]).to(self.x).repeat(k, 1, 1)  # (K, D, D)
        resp = self.x.new_full((len(self.x), k), 1 / k)  # (N, K)
        return self._state("R", Parameters(resp[0], means, covariances), resp)

    def _next(self, now: State, letter: str, request: dict[str, Any]) -> State:
        if letter == "R":
            self.n_components, self.start = int(request["k"]), int(request["start"]) % len(self.starts)
            return self._begin()
        if letter == "E":
            return self._state("E", now.parameters, e_step(self.x, *now.parameters)[0])
        if letter == "M":
            return self._state("M", m_step(self.x, now.resp, reg_covar=self.reg_covar), now.resp)
        means = now.parameters.means.clone()  # "D": one was dragged; q stays, so the gap opens
        means[request["component"]] = self.x.new_tensor(request["mean"][: self.x.shape[1]])
        return self._state("D", now.parameters._replace(means=means), now.resp)

    def _state(self, letter: str, parameters: Parameters, resp: Tensor) -> State:
        joint = log_joint(self.x, *parameters)  # (N, K)
        log_px = torch.logsumexp(joint, 1)  # (N,)
        gap = torch.special.xlogy(resp, resp) - resp * (joint - log_px[:, None])  # (N, K), summed over K: KL
        gap = gap.sum(1).mean().clamp_min(0)  # rounding may leave −1e-17
        return State("REMD".index(letter), parameters, resp, float(log_px.mean()), float(gap))

    def _floats(self, state: State) -> np.ndarray:
        """kind, log P(x), gap, K, weights (K), means (K, 2), covariances xx xy yy (K, 3), resp (N, K)."""
        weights, means, covariances = (p.numpy() for p in state.parameters)
        if self.x.shape[1] == 1:  # as if y = 0 had density 1, which leaves every number as it is
            means = np.pad(means, ((0, 0), (0, 1)))
            covariances = np.pad(covariances, ((0, 0), (0, 1), (0, 1)))
            covariances[:, 1, 1] = 1 / (2 * np.pi)
        thirds = covariances[:, [0, 0, 1], [0, 1, 1]]  # (K, 3)
        head = [state.kind, state.log_px, state.gap, len(weights)]
        return np.concatenate([head, weights, means.ravel(), thirds.ravel(), state.resp.numpy().ravel()])

    def strip(self) -> Figure:
        """The start, the first E, the first M, and where EM ends."""
        states = [self._begin()]
        with suppress(ValueError):  # a component that shrinks onto a point, as without reg_covar, ends it
            for letter in "EM" * 40:
                states.append(self._next(states[-1], letter, {}))
        end = "40 times E, M" if len(states) == 81 else "the last E"
        found = [*zip(("start", "E", "M"), states, strict=False), (end, states[-1])][: len(states)]
        figure = Figure(figsize=(12, 3.4), dpi=80, layout="constrained")
        row = figure.subplots(1, len(found), sharex=True, sharey=True)
        for axes, (name, s) in zip(row, found, strict=True):
            weights, means, covariances = s.parameters
            if self.x.shape[1] == 1:
                mixture_1d(self.x[:, 0], weights, means[:, 0], covariances[:, 0, 0], s.resp, ax=axes)
            else:
                mixture_2d(self.x, means, covariances, s.resp, ax=axes)
            words = f"{name}: log P(x) = {s.log_px:.3f}\n$L_b$ {s.bound:.3f} + gap {s.gap:.3f}"
            axes.set_title(words.replace("-", "−"))
        return figure


def usable(x: Any) -> np.ndarray:
    """x as a float64 array (N, D) with D 1 or 2; raises ValueError where it cannot be drawn."""
    points = np.atleast_2d(as_array(as_floats(x).double()).T).T
    if points.ndim != 2 or points.shape[1] not in (1, 2) or not 8 <= len(points) <= 2000:
        raise ValueError(f"EMStepper draws 8 to 2,000 points in one or two columns, not {points.shape}.")
    if not np.isfinite(points).all() or not (points.std(0) > 0).all():
        raise ValueError("EMStepper needs finite points that are not all on one line along an axis.")
    return points


def three_clouds(rng: np.random.Generator) -> np.ndarray:
    """240 points in two dimensions, from three Gaussians that overlap enough to keep EM busy for a while."""
    shapes = [((-1.2, -0.3), (0.5, 0.9)), ((0.9, 0.8), (1.0, 0.35)), ((0.8, -0.9), (0.6, 0.45))]
    turn = [[0.9, -0.45], [0.45, 0.9]]
    return np.concatenate([(rng.normal(size=(80, 2)) * scale) @ turn + centre for centre, scale in shapes])
