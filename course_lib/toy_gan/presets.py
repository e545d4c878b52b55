"""Games named after what they show: on every seed, as tests/test_toy_gan_presets.py asserts."""

from dataclasses import dataclass

from course_lib.toy_gan.history import History
from course_lib.toy_gan.settings import Settings


@dataclass(frozen=True)
class Preset:
    """A game worth watching for `rounds` rounds, with `steps` of them per frame."""

    name: str
    sentence: str  # what to look at
    settings: Settings
    rounds: int
    steps: int

    def play(self, seed: int = 0) -> History:
        """The whole game, from this seed."""
        history = History(self.settings.change(seed=seed))
        history.play(self.rounds // self.steps, self.steps)
        return history


PRESETS = {
    p.name: p
    for p in (
        Preset(
            "balanced",
            "D is a little ahead of G all the time: the green curve finds both bumps, and D can hardly tell.",
            Settings(data="two modes", z="normal", lr_d=1e-2, lr_g=2e-3, d_steps=3),
            400,
            4,
        ),
        Preset(
            "D too weak",
            "D's value stands near −log 4, as in a finished game: only the picture tells.",
            Settings(data="two modes", optimizer_d="sgd", lr_d=1e-3, lr_g=1e-3),
            200,
            2,
        ),
        Preset(
            "D too strong",
            "D is certain before G has moved: log(1 − D) is flat there, and no arrow pushes G.",
            Settings(loss="minimax", start=-5.0, optimizer_g="sgd", lr_g=0.05, lr_d=1e-2, d_steps=10),
            100,
            1,
        ),
        Preset(
            "overshoot",
            "G runs to where D is high, so fast that it flies past the data and must turn round.",
            Settings(start=-4.0, lr_d=1e-2, lr_g=5e-3, beta1=0.9, r1=0.2),
            150,
            1,
        ),
        Preset(
            "collapse",
            "G is too fast for D: all z go to one x, which hops from bump to bump with D behind it.",
            Settings(data="two modes", lr_d=1e-3, lr_g=1e-2),
            300,
            2,
        ),
        Preset(
            "rotation",
            "Two numbers, θ and ψ, chase each other round the equilibrium for ever; add R1 to cure it.",
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
            "D moves in G's step as well, so G's loss falls far below log 2 while its samples get worse.",
            Settings(data="two modes", z="normal", lr_d=1e-2, lr_g=2e-3, freeze_d=False),
            600,
            5,
        ),
    )
}
