"""The game: D learns to tell, G learns to be taken for real, and after every step all is measured exactly."""

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
    "loss_d",
    "loss_g",  # of the last batch, with its penalties: what a training loop prints; NaN before
    "value",  # V(D, G), what D raises: −(what D pays), without penalties, on all of p and q
    "best_value",  # V(D*, G)
    "jsd",
    "kl_pq",
    "kl_qp",  # KL(p ‖ q) is ∞ if G leaves out a cell, KL(q ‖ p) if it has one of its own
    "tv",
    "w1",
    "accuracy",  # D's, half of the points being real; Wasserstein's critic is cut half way between the means
    "modes",  # reached: on their hill lies at least a quarter of the mass that is due there
    "all_modes",
    "mean",
    "std",  # of G's points, also of those outside the grid
    "push",  # E_q|dL_G/dx|: how hard G's points are pushed
    "outside",  # G's mass outside the grid
    "theta",
    "psi",  # the Dirac-GAN's two weights; NaN otherwise
)
ROWS = {"q": CELLS, "d": CELLS, "d_star": CELLS, "z": POINTS, "x": POINTS, "push_x": POINTS}
SIZE = len(HEAD) + sum(ROWS.values())


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread: for vectors this small, two would wait for each other, up to five times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class State(NamedTuple):
    """Where a game is: its settings, its counts, and of G and D the weights and Adam's memory."""

    settings: Settings
    numbers: tuple[int, ...]  # rounds, D's and G's updates, G's and D's Adam steps, counted
    losses: tuple[float, float]
    tensors: tuple[Tensor, ...]  # G's weights, m, v, then D's


class Game:
    """A game of these settings. The same settings play the same game, on any machine, to rounding.

    `step` plays rounds; `update_d` and `update_g` are the two halves: a round counts as soon as G has moved
    after `d_steps` updates of D. All is float64 on the CPU, because vectors this small would only wait for a
    GPU. Raises ValueError when the weights blow up; the game then stands still.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        if not isinstance(settings, Settings | None):
            raise ValueError(f"A game is of Settings(…), not of {settings!r}.")
        self.settings = s = settings or Settings()
        self.grid = grid(s)
        self.g, self.d = players(s)
        self.rounds = self.d_updates = self.g_updates = 0
        self.counted = 0  # D's updates that belong to complete rounds
        self.loss_d = self.loss_g = float("nan")
        self.table = self.grid.cdf.numpy(), self.grid.edges.numpy()

    @one_thread()
    def step(self, n: int = 1) -> None:
        """n rounds: `d_steps` of D, then `g_steps` of G; not alternating: D's last with G's first."""
        s = self.settings
        for _ in range(n):
            for _ in range(s.d_steps - (not s.alternating)):
                self.update_d()
            if not s.alternating:
                # both gradients from the weights before either moves
                for_d, for_g = self.d_gradient(), self.g_gradient()
                self._move_d(for_d)
                self._move_g(*for_g)
            for _ in range(s.g_steps - (not s.alternating)):
                self.update_g()

    @one_thread()
    def update_d(self) -> None:
        """One step of D down its loss."""
        self._move_d(self.d_gradient())

    @one_thread()
    def update_g(self) -> None:
        """One step of G down its loss."""
        self._move_g(*self.g_gradient())

    def d_gradient(self) -> Tensor:
        """The gradient (P,) of D's loss on a new batch."""
        s = self.settings
        u = noise.uniform(s.seed, [noise.D_DATA, noise.D_MIX, noise.D_Z, noise.D_Z2], self.d_updates, s.batch)
        real = self._data(u[0])  # (N,)
        fake = self.g(noise.codes(s.z, u[2:])).detach()  # detach: D's loss is not to teach G
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
        """The gradient of G's loss on a new batch: for G's weights (P,), and for D's unless D is frozen."""
        s = self.settings
        u = noise.uniform(s.seed, [noise.G_Z, noise.G_Z2], self.g_updates, s.batch)
        loss = losses.g_loss(s.loss, self.d(self.g(noise.codes(s.z, u))))
        self.loss_g = float(loss.detach())
        # D is frozen: the gradient goes through it to G, but D's own weights are not asked for theirs
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
        """D's weights down a gradient (P,), in whoever's step: a critic that is clipped stays in its box."""
        s = self.settings
        self.d.move(gradient, s.optimizer_d, s.lr_d, s.beta1, s.beta2)
        if s.loss == "wasserstein" and s.constraint == "clip":
            self.d.weights.clamp_(-s.clip, s.clip)

    def _data(self, u: np.ndarray) -> Tensor:
        """Points of the data (N,), by the inverse distribution function of u (N,)."""
        if self.settings.players == "dirac":
            return torch.zeros(len(u), dtype=torch.float64)
        return torch.from_numpy(np.interp(u, *self.table))

    def change(self, **changes: Any) -> bool:
        """Change settings while the game goes on. True: the game itself is another one, and begins anew."""
        new = self.settings.change(**changes)
        if new.restarts(self.settings):
            self.__init__(new)  # type: ignore[misc]
            return True
        self.settings = new
        return False

    def state(self) -> State:
        """A copy of all that the next step depends on."""
        tensors = tuple(v.clone() for p in (self.g, self.d) for v in (p.weights, p.m, p.v))
        numbers = (self.rounds, self.d_updates, self.g_updates, self.g.t, self.d.t, self.counted)
        return State(self.settings, numbers, (self.loss_d, self.loss_g), tensors)

    def restore(self, state: State) -> None:
        """Go back (or on) to a state: what is played from there is bit for bit what was played then."""
        if state.settings.restarts(self.settings):
            self.__init__(state.settings)  # type: ignore[misc]
        self.settings = state.settings
        self.rounds, self.d_updates, self.g_updates, self.g.t, self.d.t, self.counted = state.numbers
        self.loss_d, self.loss_g = state.losses
        for player, (weights, m, v) in ((self.g, state.tensors[:3]), (self.d, state.tensors[3:])):
            player.weights.copy_(weights)
            player.m, player.v = m.clone(), v.clone()

    @one_thread()
    def measure(self) -> dict[str, Any]:
        """Everything a frame shows, float64: the numbers of HEAD as floats, the rows of ROWS as arrays."""
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
            "d": losses.shown(s.loss, a) - self._centre(q, a),
            "d_star": exact.best_critic(line.p, q, line.dx)[1:-1]
            if s.loss == "wasserstein"
            else exact.best_d(line.p, q)[1:-1],
            "z": line.z_points,
            "x": points,
            "push_x": push[CELLS:],
        }

    def _centre(self, q: Tensor, a: Tensor) -> float:
        """A critic is right up to a constant: taken off, so that it is 0 on average over p and q."""
        if self.settings.loss != "wasserstein":
            return 0.0
        return float(((self.grid.p + q) * ends(a)).sum()) / 2

    def _numbers(self, x: Tensor, q: Tensor, a: Tensor, push: Tensor) -> dict[str, float]:
        s, p, dx, edge = self.settings, self.grid.p, self.grid.dx, ends(a)  # (C,) each
        outside = q[0] + q[-1]
        beyond = self.grid.beyond(x, q) if outside else 0.0
        real, fake = losses.d_pays(s.loss, edge)
        above = ((edge - self._centre(q, a)).sign() + 1) / 2  # 1 where D says real, ½ where it cannot say
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
        """The numbers of HEAD, now."""
        measured = self.measure()
        return {name: measured[name] for name in HEAD}

    def frame(self) -> np.ndarray:
        """`measure` as one float32 vector (SIZE,): HEAD, then the rows of ROWS, for the browser."""
        measured = self.measure()
        head = np.array([measured[name] for name in HEAD])
        with np.errstate(over="ignore"):  # a game that is blowing up: then ∞ is what is to be seen
            return np.concatenate([head, *(measured[name].numpy() for name in ROWS)]).astype(np.float32)


def gradients(loss: Tensor, *asked: Player) -> list[Tensor]:
    """The gradient of a loss in the weights (P,) of each player asked."""
    parts = torch.autograd.grad(loss, [w for player in asked for w in player.parameters])
    return list(torch.cat([part.reshape(-1) for part in parts]).split([len(p.weights) for p in asked]))


def ends(v: Tensor) -> Tensor:
    """Values of the cells (CELLS,) with the outermost repeated outside: (C,)."""
    return torch.cat([v[:1], v, v[-1:]])
