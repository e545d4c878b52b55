"""Each preset shows what its name says, and does so because of the setting that it is about.

Ten seeds in a thorough run, and always at least two.
"""

import dataclasses
import json
import math

import numpy as np
import pytest
from thorough import some

from course_lib.toy_gan import PRESETS, History, Settings
from course_lib.toy_gan.losses import FLOOR

SEEDS = some(range(10), 2)


def late(history: History, name: str, share: float = 0.5) -> np.ndarray:
    """A number of the frames in the last part of a game."""
    column = history.column(name)
    return column[len(column) - round(share * len(column)) :]


def balanced(h: History) -> bool:
    """q came from far to near p, and stays; D can hardly tell, and reaches all modes."""
    near = late(h, "jsd", 1 / 3).max() < 0.06 < 0.5 < h.column("jsd")[0]
    return bool(
        near and late(h, "accuracy", 1 / 3).max() < 0.62 and late(h, "modes", 1 / 3).min() == 2
    )


def weak(h: History) -> bool:
    """D's value looks as at the end of a perfect game, −log 4,
    but q is far from p: half of log 2 off.
    """
    off = np.abs(late(h, "value") - FLOOR["minimax"])
    return bool(np.median(off) < 0.1 and off.max() < 0.3 and np.median(late(h, "jsd")) > 0.35)


def strong(h: History) -> bool:
    """D knows each point at sight, so nothing pushes G any more: it stays where it began."""
    sure = late(h, "accuracy").mean() > 0.99 and late(h, "jsd").min() > 0.69
    return bool(sure and late(h, "push").mean() < 0.01 and np.ptp(h.column("mean")) < 0.5)


def overshoots(h: History) -> bool:
    """G comes from the left, overshoots the middle by most of a standard deviation, and returns."""
    mean = h.column("mean")
    far = int((mean > 0.8).argmax())  # the first such moment; 0 if there is none
    return bool(mean[0] < -3 and far > 0 and mean[far:].min() < 0)


def collapsed(h: History) -> bool:
    """Whatever z, nearly one x: q is far narrower than the data's one mode,
    and mostly on one of them.
    """
    narrow = late(h, "std", 0.75)
    return bool(np.median(narrow) < 0.25 and (late(h, "modes", 0.75) == 1).mean() > 0.8)


def rotates(h: History) -> bool:
    """θ and ψ go round and round, and come no nearer to (0, 0)."""
    theta, psi = h.column("theta"), h.column("psi")
    turns = np.ptp(np.unwrap(np.arctan2(psi, theta))) / math.tau
    radius = np.hypot(theta, psi)
    return bool(turns > 2 and radius.min() > 0.8 and radius.max() < 1.25)


def pleases(h: History) -> bool:
    """G's loss is far below log 2, as if G had won, and q gets worse:
    D says what G likes to hear.
    """
    jsd = h.column("jsd")
    return bool(late(h, "loss_g").max() < 0.5 and jsd[-1] > 1.3 * jsd.min() and jsd[-1] > 0.07)


SHOWS = {
    "balanced": balanced,
    "D too weak": weak,
    "D too strong": strong,
    "overshoot": overshoots,
    "collapse": collapsed,
    "rotation": rotates,
    "unfrozen D": pleases,
}


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_shows_what_its_name_says_on_every_seed(preset):
    assert [seed for seed in SEEDS if not SHOWS[preset.name](preset.play(seed))] == []


# The setting that a preset is about, put right: then it must no longer show.
CURES = {
    "balanced": {"lr_d": 1e-4},
    "D too weak": {"optimizer_d": "adam", "lr_d": 2e-2, "d_steps": 3},
    "D too strong": {"loss": "nonsaturating"},
    "overshoot": {"lr_g": 5e-4},
    "collapse": {"lr_g": 1e-3, "lr_d": 1e-2},
    "rotation": {"r1": 1.0},
    "unfrozen D": {"freeze_d": True},
}


@pytest.mark.parametrize("name", CURES)
def test_cured_it_shows_no_more(name):
    preset = PRESETS[name]
    for seed in some((0, 1), 1):
        cured = dataclasses.replace(preset, settings=preset.settings.change(**CURES[name]))
        assert not SHOWS[name](cured.play(seed))


def test_the_list_is_what_the_issue_names():
    assert set(PRESETS) >= {
        "balanced",
        "D too weak",
        "D too strong",
        "overshoot",
        "collapse",
        "rotation",
    }
    assert set(CURES) == set(SHOWS) == set(PRESETS)
    for name, preset in PRESETS.items():
        assert preset.name == name
        assert preset.sentence.endswith(".")
        assert preset.rounds % preset.steps == 0
        assert Settings(**json.loads(json.dumps(preset.settings.to_json()))) == preset.settings


def test_the_same_seed_plays_the_same_preset():
    a, b = (PRESETS["rotation"].play(4).frames for _ in range(2))
    assert np.array_equal(a, b, equal_nan=True)
