"""The settings of a game, as plain numbers and strings.

Identical settings produce identical games.
"""

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
# A change to one of these settings starts a new game. All other settings may change during a game.
STRUCTURE = (
    "data",
    "heights",
    "z",
    "players",
    "width_g",
    "width_d",
    "depth_g",
    "depth_d",
    "seed",
    "start",
)


@dataclass(frozen=True)
class Settings:
    """The settings of a game, each a plain JSON value. Raises ValueError for invalid settings.

    data: the name of a 1-D density, or "drawn" for a density with the given `heights` (at least 2,
    none negative) on equal intervals from −8 to 8. players: "dirac" is the two-parameter game, in
    which all the data lie at 0. r1: the weight γ of the penalty γ/2·E_p[a'(x)²] on D's logit a.
    start: an offset added to G's initial output. freeze_d: if False, G's step also moves D's
    weights to lower G's loss; this is a common mistake.
    """

    data: str = "normal"
    heights: tuple[float, ...] | None = None
    z: str = "uniform"  # "uniform" on (−1, 1), or "normal"
    players: str = "network"
    loss: str = "nonsaturating"
    constraint: str = "gradient_penalty"  # used only by the Wasserstein loss
    clip: float = 0.3  # D's weights stay within ±clip
    penalty: float = 0.1  # weight of E[(|D'(x)| − 1)²]; see `losses.gradient_penalty`
    r1: float = 0.0
    optimizer_d: str = "adam"
    optimizer_g: str = "adam"
    lr_d: float = 5e-3
    lr_g: float = 1e-3  # smaller than D's, because D must be nearly optimal before G can rely on D
    beta1: float = 0.5  # with the usual 0.9, Adam keeps following outdated directions of D
    beta2: float = 0.999
    d_steps: int = 1  # updates of D per round
    g_steps: int = 1  # updates of G per round, after those of D
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
                raise ValueError(
                    f"There is no setting {name!r}. The settings are {', '.join(known)}."
                )
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name, value in vars(self).copy().items():
            if isinstance(value, np.generic):  # convert NumPy scalars to Python numbers
                object.__setattr__(self, name, value.item())
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if not isinstance(value, str) or value not in choices:
                own = ""
                if name == "data":
                    own = ". For your own density, pass data='drawn' and heights"
                raise ValueError(
                    f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}{own}."
                )
        for name, (low, high) in (WHOLE | NUMBERS).items():
            value, kind = getattr(self, name), int if name in WHOLE else int | float
            if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
                what = "a whole number" if name in WHOLE else "a number"
                raise ValueError(
                    f"{name} must be {what} from {low:.10g} to {high:.10g}, not {value!r}."
                )
        for name in ("alternating", "freeze_d"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, not {getattr(self, name)!r}.")
        if (self.data == "drawn") != (self.heights is not None):
            raise ValueError("heights must be set if and only if data='drawn'.")
        if self.heights is not None:
            object.__setattr__(self, "heights", row(self.heights))  # JSON gives a list
            densities.drawn(self.heights)  # raises ValueError for invalid heights

    def change(self, **changes: Any) -> "Settings":
        """Return a copy with the given changes.

        Raises ValueError for an unknown name or an invalid value.
        """
        if changes.get("data", "drawn") != "drawn":
            changes.setdefault("heights", None)
        return dataclasses.replace(self, **changes)

    def restarts(self, other: "Settings") -> bool:
        """Return whether changing to `other` starts a new game."""
        return any(getattr(self, name) != getattr(other, name) for name in STRUCTURE)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-serializable dict from which `Settings(**…)` recreates the settings."""
        return dataclasses.asdict(self)

    @property
    def density(self) -> Density:
        """The density that G should imitate in a game between networks."""
        return densities.drawn(self.heights) if self.heights is not None else DATA[self.data]


def row(heights: Any) -> tuple[float, ...]:
    """Return `heights`, a row of n numbers, as a tuple of floats.

    For anything else, returns (), which `drawn` rejects.
    """
    try:
        h = np.asarray(heights)
    except (TypeError, ValueError, RuntimeError):  # ragged rows, or tensors that NumPy cannot read
        return ()
    return tuple(h.astype(float).tolist()) if h.ndim == 1 and h.dtype.kind in "iuf" else ()
