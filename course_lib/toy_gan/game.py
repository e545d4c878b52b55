"""The game of the toy GAN: the training steps of D and G, and exact measurements after any step."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from course_lib.toy_gan import exact, losses, noise
from course_lib.toy_gan.grid import CELLS, FINE, POINTS, grid
from course_lib.toy_gan.players import Player, players
from course_lib.toy_gan.settings import Settings

HEAD = (
    "step",  # rounds played
    "d_updates",
    "g_updates",
    # both losses are on the last batch, with penalties, as in a training log; NaN at the start
    "loss_d",
    "loss_g",
    "value",  # V(D, G), which D maximizes: −(D's loss) without penalties, on all of p and q
    "best_value",  # V(D*, G)
    "jsd",
    # KL(p ‖ q) is ∞ if G misses a cell with data; KL(q ‖ p) is ∞ if G fills a cell without data
    "kl_pq",
    "kl_qp",
    "tv",
    "w1",
    # D's accuracy if half of the points are real; a critic's threshold is midway between its means
    "accuracy",
    "modes",  # the number of modes on whose hill G's mass is at least a quarter of the data's
    "all_modes",
    "mean",
    "std",  # of all of G's points, including those outside the grid
    "push",  # E_q|dL_G/dx|, the average strength of the push on G's points
    "outside",  # G's mass outside the grid
    "theta",
    "psi",  # theta and psi: the two weights of the Dirac-GAN; NaN in other games
)
ROWS = {"q": CELLS, "d": CELLS, "d_star": CELLS, "z": POINTS, "x": POINTS, "push_x": POINTS}
SIZE = len(HEAD) + sum(ROWS.values())


@contextmanager
def one_thread() -> Iterator[None]:
    """A context manager that limits torch to a single thread.

    For small vectors, two threads take up to five times as long.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class State(NamedTuple):
    """The state of a game: settings, counters, latest losses, weights and Adam moments."""

    settings: Settings
    # rounds, updates of D and G, Adam steps of G and D, and `Game.counted`
    numbers: tuple[int, ...]
    losses: tuple[float, float]
    tensors: tuple[Tensor, ...]  # G's weights, m and v, then D's


class Game:
    """A game with the given settings.

    Identical settings produce identical games on any machine, up to rounding. `step` plays whole
    rounds, whereas `update_d` and `update_g` each perform a single update. A round is complete once
    D has been updated `d_steps` times and G has then moved. All computations are in float64. They
    run on the CPU, because a GPU is no faster for vectors this small. An update that would make a
    player's weights blow up raises ValueError and leaves those weights unchanged.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        if not isinstance(settings, Settings | None):
            raise ValueError(f"settings must be a Settings object, not {settings!r}.")
        self.settings = s = settings or Settings()
        self.grid = grid(s)
        self.g, self.d = players(s)
        self.rounds = self.d_updates = self.g_updates = 0
        self.counted = 0  # the number of D's updates in completed rounds
        self.loss_d = self.loss_g = float("nan")
        self.table = self.grid.cdf.numpy(), self.grid.edges.numpy()

    @one_thread()
    def step(self, n: int = 1) -> None:
        """Play n rounds, each with `d_steps` updates of D and then `g_steps` updates of G.

        If `alternating` is False, D's last update and G's first update are simultaneous.
        """
        s = self.settings
        for _ in range(n):
            for _ in range(s.d_steps - (not s.alternating)):
                self.update_d()
            if not s.alternating:
                # compute both gradients before either player moves
                for_d, for_g = self.d_gradient(), self.g_gradient()
                self._move_d(for_d)
                self._move_g(*for_g)
            for _ in range(s.g_steps - (not s.alternating)):
                self.update_g()

    @one_thread()
    def update_d(self) -> None:
        """Take one optimizer step on D's loss."""
        self._move_d(self.d_gradient())

    @one_thread()
    def update_g(self) -> None:
        """Take one optimizer step on G's loss."""
        self._move_g(*self.g_gradient())

    def d_gradient(self) -> Tensor:
        """Compute D's loss on a new batch, and return its gradient, of shape (P,)."""
        s = self.settings
        streams = [noise.D_DATA, noise.D_MIX, noise.D_Z, noise.D_Z2]
        u = noise.uniform(s.seed, streams, self.d_updates, s.batch)
        real = self._data(u[0])  # (N,)
        fake = self.g(noise.codes(s.z, u[2:])).detach()  # detach: D's loss must not train G
        a_real, a_fake = self.d(torch.cat([real, fake])).chunk(2)
        loss = losses.d_loss(s.loss, a_real, a_fake)
        if s.r1:
            loss = loss + losses.r1(self.d, real, s.r1)
        if s.loss == "wasserstein" and s.constraint == "gradient_penalty":
            mix = torch.from_numpy(u[1])
            loss = loss + losses.gradient_penalty(self.d, real, fake, mix, s.penalty)
        self.loss_d = float(loss.detach())
        return gradients(loss, self.d)[0]

    def g_gradient(self) -> tuple[Tensor, Tensor | None]:
        """Return gradients of G's loss on a new batch for G's weights and D's (None if frozen)."""
        s = self.settings
        u = noise.uniform(s.seed, [noise.G_Z, noise.G_Z2], self.g_updates, s.batch)
        loss = losses.g_loss(s.loss, self.d(self.g(noise.codes(s.z, u))))
        self.loss_g = float(loss.detach())
        # if D is frozen, the gradient passes through D to G, but D's own weights get no gradient
        for_g, *for_d = gradients(loss, self.g) if s.freeze_d else gradients(loss, self.g, self.d)
        return for_g, for_d[0] if for_d else None

    def _move_d(self, for_d: Tensor) -> None:
        self._change_d(for_d)
        self.d_updates += 1

    def _move_g(self, for_g: Tensor, for_d: Tensor | None) -> None:
        s = self.settings
        self.g.move(for_g, s.optimizer_g, s.lr_g, s.beta1, s.beta2)
        if for_d is not None:
            self._change_d(for_d)
        self.g_updates += 1
        if self.d_updates - self.counted >= s.d_steps:
            self.rounds += 1
            self.counted = self.d_updates

    def _change_d(self, gradient: Tensor) -> None:
        """Update D's weights with a gradient of either player's loss, and clip them if required."""
        s = self.settings
        self.d.move(gradient, s.optimizer_d, s.lr_d, s.beta1, s.beta2)
        if s.loss == "wasserstein" and s.constraint == "clip":
            self.d.weights.clamp_(-s.clip, s.clip)

    def _data(self, u: np.ndarray) -> Tensor:
        """Convert u to data points with the inverse distribution function: (N,) → (N,)."""
        if self.settings.players == "dirac":
            return torch.zeros(len(u), dtype=torch.float64)
        return torch.from_numpy(np.interp(u, *self.table))

    def change(self, **changes: Any) -> bool:
        """Change settings during the game, and return whether the changes start a new game."""
        new = self.settings.change(**changes)
        if new.restarts(self.settings):
            self.__init__(new)  # type: ignore[misc]
            return True
        self.settings = new
        return False

    def state(self) -> State:
        """Return a copy of everything that the next step depends on."""
        tensors = tuple(v.clone() for p in (self.g, self.d) for v in (p.weights, p.m, p.v))
        numbers = (self.rounds, self.d_updates, self.g_updates, self.g.t, self.d.t, self.counted)
        return State(self.settings, numbers, (self.loss_d, self.loss_g), tensors)

    def restore(self, state: State) -> None:
        """Restore a state returned by `state`; the game then continues identically, bit for bit."""
        if state.settings.restarts(self.settings):
            self.__init__(state.settings)  # type: ignore[misc]
        self.settings = state.settings
        self.rounds, self.d_updates, self.g_updates = state.numbers[:3]
        self.g.t, self.d.t, self.counted = state.numbers[3:]
        self.loss_d, self.loss_g = state.losses
        for player, (weights, m, v) in ((self.g, state.tensors[:3]), (self.d, state.tensors[3:])):
            player.weights.copy_(weights)
            player.m, player.v = m.clone(), v.clone()

    @one_thread()
    def measure(self) -> dict[str, Any]:
        """Return the measurements: the numbers in HEAD as floats, the rows in ROWS as tensors."""
        s, line = self.settings, self.grid
        with torch.no_grad():
            x = self.g(torch.cat([line.z_edges, line.z_points])).detach()  # (FINE + 1 + POINTS,)
        q = line.push_forward(x[: FINE + 1])  # (C,)
        where = torch.cat([line.x, x[FINE + 1 :]]).requires_grad_()
        a = self.d(where)  # (CELLS + POINTS,)
        slope = torch.autograd.grad(a.sum(), where)[0].detach()
        push = losses.push(s.loss, a.detach(), slope)
        a, points = a.detach()[:CELLS], x[FINE + 1 :]
        return self._numbers(x[: FINE + 1], q, a, push) | {
            "q": q[1:-1] / line.dx,
            "d": losses.shown(s.loss, a) - centre(s.loss, line.p, q, a),
            "d_star": exact.best_critic(line.p, q, line.dx)[1:-1]
            if s.loss == "wasserstein"
            else exact.best_d(line.p, q)[1:-1],
            "z": line.z_points,
            "x": points,
            "push_x": push[CELLS:],
        }

    def _numbers(self, x: Tensor, q: Tensor, a: Tensor, push: Tensor) -> dict[str, float]:
        s, p, dx, edge = self.settings, self.grid.p, self.grid.dx, ends(a)  # (C,) each
        outside = q[0] + q[-1]
        beyond = self.grid.beyond(x, q) if outside else 0.0
        real, fake = losses.d_pays(s.loss, edge)
        # 1 for "real", ½ where D is undecided
        above = ((edge - centre(s.loss, p, q, a)).sign() + 1) / 2
        modes = self.grid.modes
        due, there = (torch.bincount(self.grid.hill, v, modes + 1)[:modes] for v in (p, q))
        dirac = s.players == "dirac"
        values = (
            self.rounds,
            self.d_updates,
            self.g_updates,
            self.loss_d,
            self.loss_g,
            -(p * real + q * fake).sum(),
            exact.best_value(s.loss, p, q, dx, beyond),
            exact.jsd(p, q),
            exact.kl(p, q),
            exact.kl(q, p),
            exact.total_variation(p, q),
            exact.wasserstein(p, q, dx, beyond),
            (p * above + q * (1 - above)).sum() / 2,
            (there >= due / 4).sum(),
            modes,
            *self.grid.moments(x),
            (q * ends(push[:CELLS].abs())).sum(),
            outside,
            self.g.weights[0] if dirac else np.nan,
            self.d.weights[0] if dirac else np.nan,
        )
        return {name: float(value) for name, value in zip(HEAD, values, strict=True)}

    def record(self) -> dict[str, float]:
        """Return the current values of the numbers in HEAD."""
        measured = self.measure()
        return {name: measured[name] for name in HEAD}

    def frame(self) -> np.ndarray:
        """Return a float32 array of shape (SIZE,) to display: the values in HEAD, then in ROWS."""
        measured = self.measure()
        head = np.array([measured[name] for name in HEAD])
        with np.errstate(over="ignore"):  # a game that is blowing up is shown with ∞
            whole = np.concatenate([head, *(measured[name].numpy() for name in ROWS)])
            return whole.astype(np.float32)


def gradients(loss: Tensor, *asked: Player) -> list[Tensor]:
    """For each player, return the gradient of a loss with respect to its weights, of shape (P,)."""
    parts = torch.autograd.grad(loss, [w for player in asked for w in player.parameters])
    whole = torch.cat([part.reshape(-1) for part in parts])
    return list(whole.split([len(player.weights) for player in asked]))


def centre(loss: str, p: Tensor, q: Tensor, a: Tensor) -> float:
    """Return the mean of a Wasserstein critic's outputs a over (p + q)/2, or 0 for any other loss.

    This mean should be subtracted from the critic's outputs.
    """
    if loss != "wasserstein":
        return 0.0
    return float(((p + q) * ends(a)).sum()) / 2


def ends(v: Tensor) -> Tensor:
    """Extend values to the cells outside the grid by repeating the first and the last value:
    (CELLS,) → (C,).
    """
    return torch.cat([v[:1], v, v[-1:]])
