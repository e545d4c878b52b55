"""The 1-D GAN alive: figure 1 of the GAN paper, played by hand, step by step or sixty frames a second."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from course_lib.palette import DATA, GAP
from course_lib.widgets.live import Live

# PyTorch, which the game in Python and its figures need, is loaded when a widget is made, and not before.
if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from course_lib.toy_gan import History, Preset, Settings

HERE = Path(__file__).parent


class ToyGAN(Live):
    """G against D on a line: data, both players, the best D, and where each generated point is pushed.

    settings: a `Settings`, or the name of a preset; `changes` are single settings on top, as lr_g=0.01 or
    data="drawn", heights=[0, 1, 3, 1] for a density of one's own on −8 to 8. In the browser all of them can
    be changed while the game is played; from Python by `change(...)`, `load(preset)`, or `settings = {...}`.

    The browser plays the game. When it pauses, `settings` and `state` hold what it shows: `state` has
    "rounds" and the other numbers of `toy_gan.HEAD`, None for what is not finite; it is empty before
    the widget is first touched. For a game in Python take `toy_gan.History`.

    ValueError, in one sentence, for an unknown setting or preset.
    """

    script = tuple(
        HERE / f"toy_gan{part}.js"
        for part in ("_players", "_engine", "_words", "_settings", "_picture", "_hands", "")
    )
    settings: Any = traitlets.Dict().tag(sync=True)
    state: Any = traitlets.Dict().tag(sync=True)  # of the moment shown; a page that is loaded plays up to it
    presets: Any = traitlets.List().tag(sync=True)
    kept_runs: Any = traitlets.List().tag(sync=True)  # name, settings, rounds, JSD; None: forgotten
    tables: Any = traitlets.Dict().tag(sync=True)  # what a page cannot work out: the densities' masses

    def __init__(self, settings: "Settings | str" = "balanced", **changes: Any):
        from course_lib.toy_gan import Settings

        if not isinstance(settings, Settings | str):
            raise ValueError(f"ToyGAN takes Settings(…) or the name of a preset, not {settings!r}.")
        chosen = preset(settings).settings if isinstance(settings, str) else settings
        super().__init__(settings=chosen.change(**changes).to_json(), tables=tables(), presets=listed())

    @traitlets.validate("settings")
    def _complete(self, proposal: Any) -> dict[str, Any]:
        """What is left out has its default. ValueError for an unknown setting."""
        from course_lib.toy_gan import Settings

        return Settings(**proposal["value"]).to_json()

    def change(self, **changes: Any) -> "ToyGAN":
        """Change settings; the game goes on, or begins anew if it is another one."""
        from course_lib.toy_gan import Settings

        self.settings = Settings(**self.settings).change(**changes).to_json()
        return self

    def load(self, name: str) -> "ToyGAN":
        """Begin with a preset."""
        self.settings = preset(name).settings.to_json()
        self.state = {}
        self.send({"load": name})
        return self

    def strip(self) -> "Figure":
        """Four moments of a game with these settings, played here, and its JSD."""
        from matplotlib.figure import Figure

        from course_lib.toy_gan.figures import draw_moment

        past = self._played()
        figure = Figure(figsize=(13, 3.4), dpi=72, layout="constrained")
        *panels, last = figure.subplots(1, 5, width_ratios=[1, 1, 1, 1, 1.15])
        for axes, part in zip(panels, (0, 0.1, 0.4, 1), strict=True):
            names = draw_moment(axes, past, round(part * (len(past.frames) - 1)))
        panels[0].set_ylabel("density")
        figure.legend(*names, loc="outside lower left", ncols=4, frameon=False)
        draw_course(last, past)
        return figure

    def _played(self) -> "History":
        """As many rounds as the preset of these settings says; else 300."""
        from course_lib.toy_gan import PRESETS, History, Settings

        settings = Settings(**self.settings)
        plain = settings.change(seed=0)
        rounds, steps = 300, 5
        for known in PRESETS.values():
            if known.settings.change(seed=0) == plain:
                rounds, steps = known.rounds, known.steps
        past = History(settings)
        past.play(min(rounds // steps, 200), steps)
        return past


def draw_course(axes: Any, past: "History") -> None:
    """The JSD over time; of the Dirac-GAN, whose JSD is log 2 for ever, the path of its two weights."""
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
    from course_lib.toy_gan import Settings
    from course_lib.toy_gan.grid import grid
    from course_lib.toy_gan.settings import CHOICES

    lines, keep = {}, ("low", "dx", "p", "hill", "modes")
    for name in CHOICES["data"]:
        if name != "drawn":
            lines[name] = {k: v for k, v in grid(Settings(data=name)).to_json().items() if k in keep}
    noise = grid(Settings(z="normal")).to_json()
    return {"lines": lines, "normal": {name: noise[name] for name in ("z_edges", "z_mass", "z_points")}}


def preset(name: str) -> "Preset":
    """The preset of this name; ValueError names those that there are."""
    from course_lib.toy_gan import PRESETS

    if name not in PRESETS:
        raise ValueError(f"There is no preset {name!r}; there are {', '.join(PRESETS)}.")
    return PRESETS[name]


def listed() -> list[dict[str, Any]]:
    """The presets, for the browser."""
    from course_lib.toy_gan import PRESETS

    return [
        {"name": p.name, "says": p.sentence, "steps": p.steps, "settings": p.settings.to_json()}
        for p in PRESETS.values()
    ]
