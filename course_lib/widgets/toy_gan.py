"""The 1-D GAN alive: figure 1 of the GAN paper, played by hand, step by step or thirty frames a second."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import traitlets
from matplotlib.figure import Figure

from course_lib.plots import DATA, GAP
from course_lib.toy_gan import PRESETS, Game, History, Preset, Settings
from course_lib.toy_gan.figures import draw_moment
from course_lib.toy_gan.grid import grid
from course_lib.toy_gan.settings import CHOICES
from course_lib.widgets.live import Live

BUSY = 0.06  # seconds of computing for one answer: whoever runs a cell meanwhile should not notice
HERE = Path(__file__).parent


class ToyGAN(Live):
    """G against D on a line: data, both players, the best D, and where each generated point is pushed.

    settings: a `Settings`, or the name of a preset; `changes` are single settings on top, as lr_g=0.01 or
    data="drawn", heights=[0, 1, 3, 1] for a density of one's own on −8 to 8. In the browser all of them can
    be changed while the game is played. From Python `play(steps)`, `change(...)` and `load(preset)` do the
    same; `history` is what happened so far (see course_lib.toy_gan.History).

    ValueError, in one sentence, for an unknown setting or preset.
    """

    script = tuple(
        HERE / f"toy_gan{part}.js"
        for part in ("_players", "_engine", "_words", "_settings", "_picture", "_hands", "")
    )
    settings = traitlets.Dict().tag(sync=True)  # of the game that is played; a page begins anew with them
    played = traitlets.Int(0).tag(sync=True)  # rounds so far: a page without a kernel plays as many at first
    presets: Any = traitlets.List().tag(sync=True)
    kept_runs: Any = traitlets.List().tag(sync=True)  # name and settings of each of `runs`; None: forgotten
    tables: Any = traitlets.Dict().tag(sync=True)  # what a page cannot work out: the densities' masses

    def __init__(self, settings: Settings | str = "balanced", **changes: Any):
        if not isinstance(settings, Settings | str):
            raise ValueError(f"ToyGAN takes Settings(…) or the name of a preset, not {settings!r}.")
        chosen = preset(settings).settings if isinstance(settings, str) else settings
        self.history = History(chosen.change(**changes))
        self.runs: list[tuple[list[Any], list[np.ndarray]] | None] = []
        super().__init__(settings=self.game.settings.to_json(), tables=tables(), presets=listed())

    @property
    def game(self) -> Game:
        """The game as it is now; the browser may show an earlier moment for a blink."""
        return self.history.game

    def play(self, steps: int = 100, every: int = 1) -> "ToyGAN":
        """Play `steps` rounds on and keep each `every`-th; returns the widget, so that a cell can end so."""
        if steps < 1 or every < 1:
            raise ValueError(f"steps and every are at least 1, not {steps} and {every}.")
        with self.lock:
            for left in range(steps, 0, -every):
                self.history.play(1, min(every, left))
        return self._tell()

    def change(self, **changes: Any) -> "ToyGAN":
        """Change settings; the game goes on, or begins anew if it is another one."""
        with self.lock:
            self.history.change(**changes)
        return self._tell()

    def load(self, name: str) -> "ToyGAN":
        """Begin with a preset."""
        with self.lock:
            self.history = History(preset(name).settings)
        return self._tell()

    def _tell(self) -> "ToyGAN":
        self.settings = self.game.settings.to_json()
        self.played = self.game.rounds
        self.send({"changed": True})
        return self

    def frames(self, request: dict[str, Any]) -> np.ndarray:
        """Answers "play", "d" and "g" (one update), "set", "reset", "history", "keep"; of a kept run "run"
        (to look at), "load" (to go on from), "forget".

        at: updates of D and of G at the moment to go on from, or up to which a run is kept.
        set: settings to change there. Fewer frames than asked for come back if computing them takes long.
        """
        what, changes = request.get("do", "play"), request.get("set") or {}
        if what not in ("play", "d", "g", "set", "reset", "keep", "run", "load", "forget", "history"):
            raise ValueError(f"ToyGAN knows no {what!r}.")
        if what == "keep":
            end = self._place(request["at"]) + 1  # frames computed ahead were never shown
            states, frames = self.history.states[:end], self.history.frames[:end]
            self.runs.append((states, frames))
            run = {"name": str(request.get("name", "")), "settings": states[-1].settings.to_json()}
            self.kept_runs = [*self.kept_runs, run]
            return np.stack(frames)
        if what in ("run", "load", "forget"):
            states, frames = self._run(request["run"])
            if what == "run":
                return np.stack(frames)
            if what == "forget":
                # the others keep their places, by which each page knows them
                self.runs[request["run"]] = None
                self.kept_runs = [run if self.runs[n] else None for n, run in enumerate(self.kept_runs)]
                return np.stack(self.history.frames[-1:])
            self.history.states, self.history.frames = states[:], frames[:]
            self.history.seek(-1)
        if what == "reset":
            self.history = History(self.game.settings.change(**changes))
        if what in ("reset", "load", "history"):
            self.settings = self.game.settings.to_json()
            return np.stack(self.history.frames)
        self.history.seek(self._place(request["at"]))
        made = []
        if changes or what == "set":
            anew = self.history.change(**changes)
            self.settings = self.game.settings.to_json()
            made = [self.history.frames[-1]] if anew or what == "set" else []
        began = time.perf_counter()
        while what != "set" and (not made or len(made) < request["frames"]):
            made.append(self._one(what, request["steps"]))
            if time.perf_counter() - began > BUSY:
                break
        self.played = self.game.rounds
        return np.stack(made)

    def _one(self, what: str, steps: int) -> np.ndarray:
        if what == "play":
            return self.history.play(1, min(int(steps), 100))[0]
        self.game.update_d() if what == "d" else self.game.update_g()
        return self.history.keep()

    def _run(self, n: int) -> tuple[list[Any], list[np.ndarray]]:
        run = self.runs[n] if 0 <= n < len(self.runs) else None
        if run is None:
            raise ValueError(f"There is no kept run {n + 1}, or it was forgotten.")
        return run

    def _place(self, at: list[int]) -> int:
        """The last moment with no more updates of D and of G than these."""
        counts = [state.numbers[1:3] for state in self.history.states]
        found = [i for i, (d, g) in enumerate(counts) if d <= at[0] and g <= at[1]]
        return found[-1] if found else 0

    def strip(self) -> Figure:
        """Four moments of this game, and its JSD; one that has not begun is played here, on a copy."""
        past, plain = self.history, self.game.settings.change(seed=0)
        if not past.at:
            past = History(self.game.settings)
            named = [(p.rounds, p.steps) for p in PRESETS.values() if p.settings.change(seed=0) == plain]
            rounds, steps = named[0] if named else (300, 5)
            past.play(min(rounds // steps, 200), steps)
        figure = Figure(figsize=(13, 3.4), dpi=72, layout="constrained")
        *panels, last = figure.subplots(1, 5, width_ratios=[1, 1, 1, 1, 1.15])
        for axes, part in zip(panels, (0, 0.1, 0.4, 1), strict=True):
            names = draw_moment(axes, past, round(part * (len(past.frames) - 1)))
        panels[0].set_ylabel("density")
        figure.legend(*names, loc="outside lower left", ncols=4, frameon=False)
        draw_course(last, past)
        return figure


def draw_course(axes: Any, past: History) -> None:
    """The JSD over time; of the Dirac-GAN, whose JSD is log 2 for ever, the way of its two weights."""
    if past.game.settings.players == "dirac":
        theta, psi = past.column("theta"), past.column("psi")
        axes.plot(theta, psi, color=GAP, lw=1.5)
        axes.plot(theta[-1], psi[-1], "o", color=GAP)
        axes.plot(0, 0, ".", color=DATA)
        axes.set(title="the two weights", xlabel="θ of G", ylabel="ψ of D", aspect="equal")
        return
    axes.plot(past.column("step"), past.column("jsd"), color=GAP, lw=2)
    axes.axhline(np.log(2), color=DATA, lw=1, ls="--")
    at = {"xy": (1, np.log(2)), "xycoords": ("axes fraction", "data"), "ha": "right", "va": "top"}
    axes.annotate("log 2", xytext=(-3, -4), textcoords="offset points", **at)
    axes.set(title="true JSD(p, q), nats", xlabel="round", ylim=(0, 0.75))


def tables() -> dict[str, Any]:
    """The mass of each named density on the game's cells, and that of normal noise."""
    lines, keep = {}, ("low", "dx", "p", "hill", "modes")
    for name in CHOICES["data"]:
        if name != "drawn":
            lines[name] = {k: v for k, v in grid(Settings(data=name)).to_json().items() if k in keep}
    noise = grid(Settings(z="normal")).to_json()
    return {"lines": lines, "normal": {name: noise[name] for name in ("z_edges", "z_mass", "z_points")}}


def preset(name: str) -> Preset:
    """The preset of this name; ValueError names those that there are."""
    if name not in PRESETS:
        raise ValueError(f"There is no preset {name!r}; there are {', '.join(PRESETS)}.")
    return PRESETS[name]


def listed() -> list[dict[str, Any]]:
    """The presets, for the browser."""
    return [
        {"name": p.name, "says": p.sentence, "steps": p.steps, "settings": p.settings.to_json()}
        for p in PRESETS.values()
    ]
