"""An interactive 1-D GAN: figure 1 of the GAN paper, played step by step or at 60 fps."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from course_lib.palette import DATA, GAP
from course_lib.widgets.live import Live

# The game in Python and its figures need PyTorch, which is imported only when a widget is created.
if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from course_lib.toy_gan import History, Preset, Settings

HERE = Path(__file__).parent


class ToyGAN(Live):
    """The game between G and D in one dimension: the data, both players, the best D,
    and how D pushes each generated point.

    settings: a `Settings` object or the name of a preset. changes: individual settings that
    override those in `settings`, such as lr_g=0.01, or data="drawn", heights=[0, 1, 3, 1] for a
    custom density on [−8, 8]. All settings can be changed during the game, in the browser or from
    Python with `change(...)`, `load(preset)`, or `settings = {...}`.

    The game runs in the browser. When the game pauses, `settings` and `state` contain the values
    shown: `state` contains "rounds" and the other numbers listed in `toy_gan.HEAD`, with None for
    values that are not finite. `state` is empty until the user first interacts with the widget. To
    play a game in Python, use `toy_gan.History`.

    Raises ValueError for an unknown setting or preset.
    """

    script = tuple(
        HERE / f"toy_gan{part}.js"
        for part in (
            "_kernels",
            "_players",
            "_engine",
            "_words",
            "_settings",
            "_picture",
            "_hands",
            "",
        )
    )
    settings: Any = traitlets.Dict().tag(sync=True)
    # numbers of the moment shown; a loaded page plays up to it
    state: Any = traitlets.Dict().tag(sync=True)
    presets: Any = traitlets.List().tag(sync=True)
    # name, settings, rounds, JSD; None for a deleted run
    kept_runs: Any = traitlets.List().tag(sync=True)
    # what a page cannot compute: the densities' masses
    tables: Any = traitlets.Dict().tag(sync=True)

    def __init__(self, settings: "Settings | str" = "balanced", **changes: Any):
        from course_lib.toy_gan import Settings

        if not isinstance(settings, Settings | str):
            raise ValueError(
                f"settings must be a Settings object or the name of a preset, not {settings!r}."
            )
        chosen = preset(settings).settings if isinstance(settings, str) else settings
        super().__init__(
            settings=chosen.change(**changes).to_json(), tables=tables(), presets=listed()
        )

    @traitlets.validate("settings")
    def _complete(self, proposal: Any) -> dict[str, Any]:
        """Fill in missing settings with their default values.

        Raises ValueError for an unknown setting.
        """
        from course_lib.toy_gan import Settings

        return Settings(**proposal["value"]).to_json()

    def change(self, **changes: Any) -> "ToyGAN":
        """Change settings. The game continues, or restarts if the changes define another game."""
        from course_lib.toy_gan import Settings

        self.settings = Settings(**self.settings).change(**changes).to_json()
        return self

    def load(self, name: str) -> "ToyGAN":
        """Start a new game with a preset."""
        self.settings = preset(name).settings.to_json()
        self.state = {}
        self.send({"load": name})
        return self

    def strip(self) -> "Figure":
        """Play a game with these settings in Python, and draw four stages and the JSD over time."""
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
        """Play the game with these settings and return its history.

        The number of rounds is that of the preset with the same settings (apart from the seed), or
        300 if there is no such preset.
        """
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
    """Plot the JSD over time, or the path of the two weights of a Dirac-GAN.

    The JSD of a Dirac-GAN is log 2 unless θ = 0, so its curve would be flat.
    """
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
    """Compute the mass in each cell of the grid, for each named density and for normal noise."""
    from course_lib.toy_gan import Settings
    from course_lib.toy_gan.grid import grid
    from course_lib.toy_gan.settings import CHOICES

    lines, keep = {}, ("low", "dx", "p", "hill", "modes")
    for name in CHOICES["data"]:
        if name != "drawn":
            line = grid(Settings(data=name)).to_json()
            lines[name] = {k: v for k, v in line.items() if k in keep}
    noise = grid(Settings(z="normal")).to_json()
    return {
        "lines": lines,
        "normal": {name: noise[name] for name in ("z_edges", "z_mass", "z_points")},
    }


def preset(name: str) -> "Preset":
    """Return the preset with this name. Raises ValueError for an unknown name."""
    from course_lib.toy_gan import PRESETS

    if name not in PRESETS:
        raise ValueError(f"There is no preset {name!r}. The presets are: {', '.join(PRESETS)}.")
    return PRESETS[name]


def listed() -> list[dict[str, Any]]:
    """List the presets for the browser."""
    from course_lib.toy_gan import PRESETS

    return [
        {"name": p.name, "says": p.sentence, "steps": p.steps, "settings": p.settings.to_json()}
        for p in PRESETS.values()
    ]
