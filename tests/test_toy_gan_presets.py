"""Each preset shows what its name says on ten seeds, and does so because of the setting that it is about."""

import dataclasses
import json

import numpy as np
import pytest

from course_lib.toy_gan import PRESETS, Settings

SEEDS = range(10)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_shows_what_its_name_says_on_every_seed(preset):
    assert [seed for seed in SEEDS if not preset.shows(preset.play(seed))] == []


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
    for seed in (0, 1):
        cured = dataclasses.replace(preset, settings=preset.settings.change(**CURES[name]))
        assert not preset.shows(cured.play(seed))


def test_the_list_is_what_the_issue_names():
    assert set(PRESETS) >= {"balanced", "D too weak", "D too strong", "overshoot", "collapse", "rotation"}
    assert set(CURES) == set(PRESETS)
    for name, preset in PRESETS.items():
        assert preset.name == name
        assert preset.sentence.endswith(".")
        assert preset.rounds % preset.steps == 0
        assert Settings(**json.loads(json.dumps(preset.settings.to_json()))) == preset.settings


def test_the_same_seed_plays_the_same_preset():
    a, b = (PRESETS["rotation"].play(4).frames for _ in range(2))
    assert np.array_equal(a, b, equal_nan=True)
