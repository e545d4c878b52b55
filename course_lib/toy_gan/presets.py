"""Games named after what they show, each with the test of whether it does: on every seed, it must."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from course_lib.toy_gan.history import History
from course_lib.toy_gan.losses import FLOOR
from course_lib.toy_gan.settings import Settings


@dataclass(frozen=True)
class Preset:
    """A game worth watching: for `rounds` rounds, `steps` of them a frame."""

    name: str
    sentence: str  # what to look at
    settings: Settings
    rounds: int
    steps: int
    shows: Callable[[History], bool]  # whether a game that was played so shows what its name says

    def play(self, seed: int = 0) -> History:
        """The whole game, from this seed."""
        history = History(self.settings.change(seed=seed))
        history.play(self.rounds // self.steps, self.steps)
        return history


def late(history: History, name: str, share: float = 0.5) -> np.ndarray:
    """A number of the frames in the last part of a game."""
    column = history.column(name)
    return column[len(column) - round(share * len(column)) :]


def balanced(h: History) -> bool:
    """q came from far to near p, and stays; D can hardly tell, and reaches all modes."""
    near = late(h, "jsd", 1 / 3).max() < 0.06 < 0.5 < h.column("jsd")[0]
    return bool(near and late(h, "accuracy", 1 / 3).max() < 0.62 and late(h, "modes", 1 / 3).min() == 2)


def weak(h: History) -> bool:
    """D's value looks as at the end of a perfect game, −log 4, but q is far from p: half of log 2 off."""
    off = np.abs(late(h, "value") - FLOOR["minimax"])
    return bool(np.median(off) < 0.1 and off.max() < 0.3 and np.median(late(h, "jsd")) > 0.35)


def strong(h: History) -> bool:
    """D knows each point at sight, so nothing pushes G any more: it stays where it began."""
    sure = late(h, "accuracy").mean() > 0.99 and late(h, "jsd").min() > 0.69
    return bool(sure and late(h, "push").mean() < 0.01 and np.ptp(h.column("mean")) < 0.5)


def overshoots(h: History) -> bool:
    """G comes from the left, runs past the data's middle by most of a standard deviation, and comes back."""
    mean = h.column("mean")
    far = int((mean > 0.8).argmax())  # the first such moment; 0 if there is none
    return bool(mean[0] < -3 and far > 0 and mean[far:].min() < 0)


def collapsed(h: History) -> bool:
    """Whatever z, nearly one x: q is far narrower than the data's one mode, and mostly on one of them."""
    narrow = late(h, "std", 0.75)
    return bool(np.median(narrow) < 0.25 and (late(h, "modes", 0.75) == 1).mean() > 0.8)


def rotates(h: History) -> bool:
    """θ and ψ go round and round, and come no nearer to (0, 0)."""
    theta, psi = h.column("theta"), h.column("psi")
    turns = np.ptp(np.unwrap(np.arctan2(psi, theta))) / math.tau
    radius = np.hypot(theta, psi)
    return bool(turns > 2 and radius.min() > 0.8 and radius.max() < 1.25)


def pleases(h: History) -> bool:
    """G's loss is far below log 2, as if G had won, and q gets worse: D says what G likes to hear."""
    jsd = h.column("jsd")
    return bool(late(h, "loss_g").max() < 0.5 and jsd[-1] > 1.3 * jsd.min() and jsd[-1] > 0.07)


PRESETS = {
    p.name: p
    for p in (
        Preset("balanced",
               "D is a little ahead of G all the time: the green curve finds both bumps, and D sinks to ½.",
               Settings(data="two modes", z="normal", lr_d=1e-2, lr_g=2e-3, d_steps=3), 400, 4, balanced),
        Preset("D too weak",
               "D's value stands near −log 4, as in a finished game: only the picture tells.",
               Settings(data="two modes", optimizer_d="sgd", lr_d=1e-3, lr_g=1e-3), 200, 2, weak),
        Preset("D too strong",
               "D is certain before G has moved: log(1 − D) is flat there, and no arrow pushes G.",
               Settings(loss="minimax", start=-5.0, optimizer_g="sgd", lr_g=0.05, lr_d=1e-2, d_steps=10),
               100, 1, strong),
        Preset("overshoot",
               "G runs to where D is high, so fast that it flies past the data and must turn round.",
               Settings(start=-4.0, lr_d=1e-2, lr_g=5e-3, beta1=0.9, r1=0.2), 150, 1, overshoots),
        Preset("collapse",
               "G is too fast for D: all z go to one x, which hops from bump to bump with D behind it.",
               Settings(data="two modes", lr_d=1e-3, lr_g=1e-2), 300, 2, collapsed),
        Preset("rotation",
               "Two numbers, θ and ψ, chase each other round the equilibrium for ever; add R1 to cure it.",
               Settings(players="dirac", loss="minimax", optimizer_d="sgd", optimizer_g="sgd", lr_d=0.2,
                        lr_g=0.2, batch=8), 200, 1, rotates),
        Preset("unfrozen D",
               "D moves in G's step as well, so G's loss falls far below log 2 while its samples get worse.",
               Settings(data="two modes", z="normal", lr_d=1e-2, lr_g=2e-3, freeze_d=False), 600, 5, pleases),
    )
}  # fmt: skip
