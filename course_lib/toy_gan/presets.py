"""Preset games, each named after the behaviour that it shows with every seed.

`tests/test_toy_gan_presets.py` checks this behaviour.
"""

from dataclasses import dataclass

from course_lib.toy_gan.history import History
from course_lib.toy_gan.settings import Settings


@dataclass(frozen=True)
class Preset:
    """A game that is shown for `rounds` rounds, with `steps` rounds per frame."""

    name: str
    sentence: str  # what to look at
    settings: Settings
    rounds: int
    steps: int

    def play(self, seed: int = 0) -> History:
        """Play the whole game with this seed, and return its history."""
        history = History(self.settings.change(seed=seed))
        history.play(self.rounds // self.steps, self.steps)
        return history


PRESETS = {
    p.name: p
    for p in (
        Preset(
            "balanced",
            "D stays a little ahead of G. "
            "Green finds both bumps, and D can hardly tell the two apart.",
            Settings(data="two modes", z="normal", lr_d=1e-2, lr_g=2e-3, d_steps=3),
            400,
            4,
        ),
        Preset(
            "D too weak",
            "D's value stays near −log 4, as in a finished game. "
            "Only the picture shows the difference.",
            Settings(data="two modes", optimizer_d="sgd", lr_d=1e-3, lr_g=1e-3),
            200,
            2,
        ),
        Preset(
            "D too strong",
            "D is certain before G has moved. "
            "Where D is certain, log(1 − D) is flat, so no arrow pushes G.",
            Settings(
                loss="minimax", start=-5.0, optimizer_g="sgd", lr_g=0.05, lr_d=1e-2, d_steps=10
            ),
            100,
            1,
        ),
        Preset(
            "overshoot",
            "G moves to where D is high, "
            "but so fast that G flies past the data and has to turn back.",
            Settings(start=-4.0, lr_d=1e-2, lr_g=5e-3, beta1=0.9, r1=0.2),
            150,
            1,
        ),
        Preset(
            "collapse",
            "G is too fast for D. "
            "All z map to one x, which hops from bump to bump while D lags behind.",
            Settings(data="two modes", lr_d=1e-3, lr_g=1e-2),
            300,
            2,
        ),
        Preset(
            "rotation",
            "Two numbers, θ and ψ, chase each other around the equilibrium for ever. "
            "Adding R1 stops them.",
            Settings(
                players="dirac",
                loss="minimax",
                optimizer_d="sgd",
                optimizer_g="sgd",
                lr_d=0.2,
                lr_g=0.2,
                batch=8,
            ),
            200,
            1,
        ),
        Preset(
            "unfrozen D",
            "D also moves in G's step, "
            "so G's loss falls far below log 2 while G's samples get worse.",
            Settings(data="two modes", z="normal", lr_d=1e-2, lr_g=2e-3, freeze_d=False),
            600,
            5,
        ),
    )
}
