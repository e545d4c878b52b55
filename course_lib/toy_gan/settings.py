"""All that makes a game the game that it is, as plain numbers and words: the same settings, the same game."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.data import densities
from course_lib.data.densities import Density

DATA = {d.name: d for d in vars(densities).values() if isinstance(d, Density) and d.dim == 1}
CHOICES: dict[str, tuple[str, ...]] = {
    "data": (*DATA, "drawn"),
    "z": ("uniform", "normal"),
    "players": ("network", "dirac"),
    "loss": ("minimax", "nonsaturating", "least_squares", "wasserstein"),
    "constraint": ("clip", "gradient_penalty"),
    "optimizer_d": ("sgd", "adam"),
    "optimizer_g": ("sgd", "adam"),
}
WHOLE = {
    "d_steps": (1, 100),
    "g_steps": (1, 100),
    "batch": (1, 10_000),
    "seed": (0, 2**32 - 1),
    "width_g": (1, 256),
    "width_d": (1, 256),
    "depth_g": (0, 5),
    "depth_d": (1, 5),
}
NUMBERS = {
    "lr_d": (0.0, 10.0),
    "lr_g": (0.0, 10.0),
    "r1": (0.0, 1000.0),
    "clip": (1e-6, 1000.0),
    "penalty": (0.0, 1000.0),
    "beta1": (0.0, 0.9999),
    "beta2": (0.0, 0.999999),
    "start": (-100.0, 100.0),
}
# A change of one of these is another game, from its first step on; all others may change while it is played.
STRUCTURE = ("data", "heights", "z", "players", "width_g", "width_d", "depth_g", "depth_d", "seed", "start")


@dataclass(frozen=True)
class Settings:
    """A game's settings, each a plain JSON value. ValueError, in one sentence, for an unknown one.

    data: the name of a 1-D density, or "drawn", whose `heights` (at least 2, none below 0) stand on equal
    parts of the line from −8 to 8. players: "dirac" is the two-parameter game, which has its own data, a
    point at 0. r1: γ of the penalty γ/2·E_p[a'(x)²] on D's logit a. start: added to where G begins.
    freeze_d: False lets D's weights move along in G's step, to please G, as if one forgot that D must wait.
    """

    data: str = "normal"
    heights: tuple[float, ...] | None = None
    z: str = "uniform"  # on (−1, 1), or normal
    players: str = "network"
    loss: str = "nonsaturating"
    constraint: str = "gradient_penalty"  # Wasserstein's alone
    clip: float = 0.3  # D's weights stay within ±clip
    penalty: float = 0.1  # times E[(|D'(x)| − 1)²]; `losses.gradient_penalty` says why not 10
    r1: float = 0.0
    optimizer_d: str = "adam"
    optimizer_g: str = "adam"
    lr_d: float = 5e-3
    lr_g: float = 1e-3  # G slower than D: D must be nearly right before G may believe it
    beta1: float = 0.5  # Adam's usual 0.9 remembers where D sent G long after D has changed its mind
    beta2: float = 0.999
    d_steps: int = 1  # updates of D in a round,
    g_steps: int = 1  # and then of G
    alternating: bool = True
    freeze_d: bool = True
    width_g: int = 16
    width_d: int = 16
    depth_g: int = 2  # hidden layers
    depth_d: int = 2
    batch: int = 256
    start: float = 0.0
    seed: int = 0

    def __new__(cls, *given: Any, **named: Any) -> "Settings":
        known = [f.name for f in dataclasses.fields(cls)]
        for name in named:
            if name not in known:
                raise ValueError(f"There is no setting {name!r}; there are {', '.join(known)}.")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name, value in vars(self).copy().items():
            if isinstance(value, np.generic):  # a number of numpy's is a number
                object.__setattr__(self, name, value.item())
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if not isinstance(value, str) or value not in choices:
                own = "; your own density is data='drawn' with heights=…" if name == "data" else ""
                raise ValueError(f"{name} is one of {', '.join(map(repr, choices))}, not {value!r}{own}.")
        for name, (low, high) in (WHOLE | NUMBERS).items():
            value, kind = getattr(self, name), int if name in WHOLE else int | float
            if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
                what = "a whole number" if name in WHOLE else "a number"
                raise ValueError(f"{name} is {what} from {low:.10g} to {high:.10g}, not {value!r}.")
        for name in ("alternating", "freeze_d"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is True or False, not {getattr(self, name)!r}.")
        if (self.data == "drawn") != (self.heights is not None):
            raise ValueError("Pass heights together with data='drawn', and only then.")
        if self.heights is not None:
            object.__setattr__(self, "heights", row(self.heights))  # a list from JSON
            densities.drawn(self.heights)  # raises for heights that are no density

    def change(self, **changes: Any) -> "Settings":
        """These settings with some changed. ValueError for an unknown name or a wrong value."""
        if changes.get("data", "drawn") != "drawn":
            changes.setdefault("heights", None)
        return dataclasses.replace(self, **changes)

    def restarts(self, other: "Settings") -> bool:
        """Whether changing to `other` starts a new game."""
        return any(getattr(self, name) != getattr(other, name) for name in STRUCTURE)

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON; `Settings(**…)` takes it back."""
        return dataclasses.asdict(self)

    @property
    def density(self) -> Density:
        """What G is to imitate (of the networks' game)."""
        return densities.drawn(self.heights) if self.heights is not None else DATA[self.data]


def row(heights: Any) -> tuple[float, ...]:
    """Heights (n,) as floats; none for anything but a row of numbers, so that `drawn` says what a row is."""
    try:
        h = np.asarray(heights)
    except (TypeError, ValueError, RuntimeError):  # rows of unequal length, tensors that numpy cannot read
        return ()
    return tuple(h.astype(float).tolist()) if h.ndim == 1 and h.dtype.kind in "iuf" else ()
