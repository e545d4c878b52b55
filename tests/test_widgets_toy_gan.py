"""ToyGAN without a browser: its engine plays `toy_gan.Game`, its shell holds the settings."""

import base64
import dataclasses
import io
import itertools
import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from course_lib.toy_gan import HEAD, PRESETS, ROWS, STRUCTURE, Game, Settings
from course_lib.toy_gan.settings import CHOICES, NUMBERS, WHOLE
from course_lib.widgets import ToyGAN
from course_lib.widgets.toy_gan import tables

pytest_plugins = ["browser"]

COLUMNS = [*HEAD, *(name for name, length in ROWS.items() for _ in range(length))]
SMALL = Settings(width_g=4, width_d=4, depth_g=1, depth_d=1, batch=32)

# ---- the engine plays the same game as Python ----

# Infinity and NaN are no JSON: they travel as words.
# Without WebAssembly, the loops are plain JavaScript.
PLAY = """(m, { games, tables, at, compiled }) => {
    if (!compiled) globalThis.WebAssembly = undefined;
    const { Game } = m.toyGanEngine();
    return games.map((settings) => {
        const game = new Game(settings, tables);
        return at.map((step) => {
            game.step(step - game.rounds);
            return Array.from(game.frame(), (v) => (Number.isFinite(v) ? v : String(v)));
        });
    });
}"""


def numbers(frame):
    return np.array(
        [float(v.replace("Infinity", "inf")) if isinstance(v, str) else v for v in frame]
    )


def apart(theirs, ours):
    """The largest difference, relative where numbers are above 1, and the number that it is in."""
    theirs, ours = numbers(theirs), np.asarray(ours, dtype=np.float64)
    alike = (theirs == ours) | (np.isnan(theirs) & np.isnan(ours))
    with np.errstate(invalid="ignore"):
        gap = np.where(alike, 0, np.abs(theirs - ours) / np.maximum(1, np.abs(ours)))
    gap = np.nan_to_num(gap, nan=np.inf)
    return gap.max(), COLUMNS[int(gap.argmax())]


def every_combination():
    """Loss × constraint × R1 × optimizer × order × z × players; the rest goes round, all is met."""
    losses = [{"loss": loss} for loss in CHOICES["loss"][:3]]
    losses += [{"loss": "wasserstein", "constraint": c} for c in CHOICES["constraint"]]
    named = [d for d in CHOICES["data"] if d != "drawn"]
    heights = [0.0, 0.5, 2.0, 1.0, 0.2, 0.1, 0.0, 0.0, 3.0, 2.5, 0.5, 0.0]
    games = []
    others = itertools.product(
        (0.0, 0.8), CHOICES["optimizer_d"], (True, False), CHOICES["z"], CHOICES["players"]
    )
    for (r1, optimizer, alternating, z, players), loss in itertools.product(others, losses):
        n = len(games)
        adam = optimizer == "adam"
        data = (
            {"data": "drawn", "heights": heights} if n % 8 == 7 else {"data": named[n % len(named)]}
        )
        games.append(
            Settings(
                **loss,
                **data,
                r1=r1,
                alternating=alternating,
                z=z,
                players=players,
                seed=n,
                optimizer_d=optimizer,
                optimizer_g="sgd" if n % 5 == 4 else optimizer,
                lr_d=0.005 if adam else 0.05,
                lr_g=0.002 if adam else 0.02,
                d_steps=1 + n % 3,
                g_steps=1 + (n % 7 == 0),
                freeze_d=n % 4 != 3,
                batch=48,
                width_g=(4, 8)[n % 2],
                depth_g=n % 3,
                width_d=8,
                depth_d=1 + n % 2,
                start=(0.0, 2.0)[n % 2],
            )
        )
    return games


def compare(games, found, at):
    """Each engine sums in its own order and rounds by 1e-16; training may enlarge that to 1e-4."""
    bad = []
    for settings, frames in zip(games, found, strict=True):
        game = Game(settings)
        for step, theirs in zip(at, frames, strict=True):
            game.step(step - game.rounds)
            gap, where = apart(theirs, game.frame())
            if gap > 1e-4:
                odd = {k: v for k, v in settings.to_json().items() if v != getattr(Settings(), k)}
                bad.append(f"step {step}: {where} is {gap:.1e} apart under {odd}")
    assert not bad, "\n".join(bad[:8])


def covering(games):
    """Some of the games, in which every two values of settings meet that meet in any of them."""

    def pairs(s):
        kinds = (
            s.loss + s.constraint * (s.loss == "wasserstein"),
            s.r1 > 0,
            s.optimizer_d,
            s.optimizer_g,
        )
        kinds += (s.alternating, s.z, s.players, s.freeze_d)
        return {*itertools.combinations(enumerate(kinds), 2), ("data", s.data)}

    missing = set().union(*map(pairs, games))
    chosen = []
    while missing:
        best = max(games, key=lambda s: len(pairs(s) & missing))
        chosen.append(best)
        missing -= pairs(best)
    return chosen


@pytest.mark.parametrize("compiled", [True, False], ids=["WebAssembly", "plain JavaScript"])
def test_the_page_plays_the_same_game_under_every_combination(javascript, compiled):
    games, at = every_combination(), [0, 1, 5, 20]
    assert len(games) == 160
    settings = [s.to_json() for s in games]
    argument = {"games": settings, "tables": tables(), "at": at, "compiled": compiled}
    compare(games, javascript(ToyGAN.source, PLAY, argument), at)


@pytest.mark.parametrize("compiled", [True, False], ids=["WebAssembly", "plain JavaScript"])
def test_the_page_plays_the_same_game_for_two_hundred_rounds(javascript, compiled):
    games, at = covering(every_combination()), [200]
    assert len(games) < 20
    settings = [s.to_json() for s in games]
    argument = {"games": settings, "tables": tables(), "at": at, "compiled": compiled}
    compare(games, javascript(ToyGAN.source, PLAY, argument), at)


def test_the_page_reads_frames_as_python_writes_them(javascript):
    code = (
        "(m) => { const { HEAD, ROWS, STRUCTURE } = m.toyGanEngine(); "
        "return [HEAD, ROWS, STRUCTURE]; }"
    )
    head, rows, structure = javascript(ToyGAN.source, code, None)
    assert head == list(HEAD)
    assert rows == ROWS
    assert set(structure) == set(STRUCTURE)


# ---- what the engine answers: the moments that follow a moment ----

# A question is {what, settings, after, frames, steps};
# after: which moment of which answer it goes on from.
ASK = """(m, { tables, asked }) => {
    let now = 0;
    performance.now = () => now;        // all frames come, however busy the machine is
    const { start, SIZE } = m.toyGanEngine();
    const answer = start(tables);
    const given = [];
    for (const { after, slow, ...question } of asked) {
        performance.now = () => (now += slow ?? 0);
        let from = null;
        if (after) {
            const { states, count } = given[after[0]];
            const size = states.length / count;
            from = states.slice(after[1] * size, (after[1] + 1) * size);
        }
        try {
            given.push(answer({ from, ...question }));
        } catch (error) {
            given.push({ error: error.message, count: 0 });
        }
    }
    const plain = (v) => (Number.isFinite(v) ? v : String(v));
    return given.map(({ frames, count, error }) => error ?? Array.from({ length: count }, (_, i) =>
        Array.from(frames.slice(i * SIZE, (i + 1) * SIZE), plain)));
}"""


def asked(javascript, *questions):
    """The answers: for each question its frames, or what went wrong."""
    plain = [
        {"settings": SMALL.to_json(), "what": "play", "frames": 1, "steps": 1, **q}
        for q in questions
    ]
    return javascript(ToyGAN.source, ASK, {"tables": tables(), "asked": plain})


def counts(frames):
    """(rounds, updates of D, updates of G) of each frame."""
    return [tuple(int(v) for v in frame[:3]) for frame in frames]


def test_the_start_is_the_first_moment_of_a_new_game(javascript):
    found = asked(javascript, {"what": "look"}, {"frames": 3, "steps": 2})
    assert counts(found[0]) == [(0, 0, 0)]
    assert counts(found[1]) == [(0, 0, 0), (2, 2, 2), (4, 4, 4)]


def test_a_rewind_plays_the_same_again(javascript):
    found = asked(
        javascript,
        {"frames": 13},
        {"after": [0, 4], "frames": 3},
        {"after": [0, 4], "what": "look"},
    )
    assert found[1] == found[0][5:8]
    assert found[2] == found[0][4:5]


def test_settings_change_at_the_moment_that_is_shown(javascript):
    other = SMALL.change(lr_g=0.5).to_json()
    found = asked(
        javascript,
        {"frames": 4},
        {"after": [0, 2], "settings": other, "what": "look"},
        {"after": [0, 2], "settings": other},
        {"after": [0, 2]},
    )
    assert counts(found[1]) == counts(found[0][2:3])
    assert found[2] != found[0][3:4]
    assert found[3] == found[0][3:4]


def test_one_step_is_of_d_or_of_g_and_a_round_counts_when_it_is_complete(javascript):
    settings = SMALL.change(d_steps=2).to_json()
    steps = [{"what": "look"}]
    steps += [{"what": do, "after": [i, 0]} for i, do in enumerate("ddgdgdgg")]
    found = asked(javascript, *({**step, "settings": settings} for step in steps))
    rounds, of_d, of_g = zip(*(counts(frames)[0] for frames in found), strict=True)
    assert rounds == (
        0,
        0,
        0,
        1,
        1,
        1,
        1,
        2,
        2,
    )  # after two of D, one of G ends a round; "gg" and "dg" do not
    assert of_d == (0, 1, 2, 2, 3, 3, 4, 4, 4)
    assert of_g == (0, 0, 0, 1, 1, 2, 2, 3, 4)


def test_a_game_that_blows_up_says_so_and_can_be_rewound(javascript):
    wild = SMALL.change(
        players="dirac", optimizer_d="sgd", lr_d=10.0, r1=1000.0
    )  # ψ grows 10⁴-fold each step
    tame = wild.change(r1=0.5, lr_d=0.1)
    first = asked(javascript, {"settings": wild.to_json(), "frames": 60})[0]
    assert 10 < len(first) < 60  # what came before is shown
    last = len(first) - 1
    found = asked(
        javascript,
        {"settings": wild.to_json(), "frames": 60},
        {"settings": wild.to_json(), "after": [0, last]},
        {"settings": tame.to_json(), "after": [0, 0], "frames": 3},
    )
    assert "smaller learning rates" in found[1]
    assert counts(found[2]) == [(1, 1, 1), (2, 2, 2), (3, 3, 3)]


def test_one_number_that_is_none_stops_a_step_wherever_it_stands(javascript):
    code = """(m, { settings, tables }) => {
        const { d } = new (m.toyGanEngine().Game)(settings, tables);
        const before = [...d.weights];
        return before.map((_, place) => {
            const gradient = Float64Array.from(before, (_, i) => (i === place ? NaN : 1));
            try {
                d.move(gradient, "sgd", 0.1, 0, 0);
            } catch (error) {
                return d.weights.every((v, i) => v === before[i]) && error.message;
            }
            return "moved";
        });
    }"""
    said = javascript(ToyGAN.source, code, {"settings": SMALL.to_json(), "tables": tables()})
    assert len(said) > 2
    assert all("smaller learning rates" in words for words in said)


def test_a_slow_machine_gets_fewer_rounds_a_frame_and_fewer_frames_at_once(javascript):
    """The clock jumps by ten milliseconds whenever it is looked at."""
    (frames,) = asked(javascript, {"frames": 60, "steps": 50, "slow": 10})
    rounds = [r for r, _, _ in counts(frames)]
    assert 2 <= len(rounds) < 10
    assert 1 <= max(np.diff(rounds)) < 5


# ---- the shell ----


def test_python_changes_and_loads():
    widget, sent = ToyGAN("balanced", seed=4), []
    widget.send = lambda content, buffers=None: sent.append(content)
    assert widget.settings["seed"] == 4
    assert widget.change(lr_d=0.25) is widget
    assert widget.settings["lr_d"] == 0.25
    assert widget.load("collapse").settings == PRESETS["collapse"].settings.to_json()
    assert sent == [{"load": "collapse"}]
    widget.settings = {"data": "uniform"}  # what is left out has its default
    assert widget.settings == Settings(data="uniform").to_json()
    assert ToyGAN(Settings(data="uniform"), lr_g=0.5).settings["lr_g"] == 0.5


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda w: ToyGAN({"lr_g": 0.1}),
            r"settings must be a Settings object or the name of a preset, not ",
        ),
        (lambda w: ToyGAN(3), r"settings must be a Settings object or the name of a preset, not 3"),
        (lambda w: ToyGAN("no such"), "There is no preset 'no such'. The presets are: balanced"),
        (lambda w: w.load("no such"), "There is no preset 'no such'. The presets are: balanced"),
        (lambda w: w.change(lr_g=-1), "lr_g must be a number from 0 to"),
        (lambda w: w.change(speed=1), "There is no setting 'speed'"),
        (lambda w: setattr(w, "settings", {"lr_g": -1}), "lr_g must be a number from 0 to"),
        (
            lambda w: w.change(data="drawn", heights=[0, 0, 0]),
            "at least two finite, non-negative numbers",
        ),
    ],
)
def test_what_is_no_setting_is_one_sentence_and_changes_nothing(act, message):
    widget = ToyGAN()
    before = widget.settings
    with pytest.raises(ValueError, match=message):
        act(widget)
    assert widget.settings == before


def test_the_saved_output_holds_a_strip_and_a_page_without_addresses():
    figures = plt.get_fignums()
    widget = ToyGAN(SMALL)
    data, _ = widget._repr_mimebundle_()
    assert plt.get_fignums() == figures
    image = plt.imread(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.shape[1] > 900
    assert image[..., :3].std() > 0.05
    page = data["text/html"]
    assert page.count("<script") == page.count("</script") == 1
    assert "http" not in page.replace("data:image", "")
    assert len(page) < 400_000
    call = re.search(r"mount\((.*), definition\);", page).group(1)
    state = json.loads(f"[{call}]")[1]
    assert state["settings"] == widget.settings
    assert {"tables", "presets", "state", "kept_runs"} <= state.keys()


def test_the_strip_plays_as_long_as_the_preset_says():
    titles = [axes.get_title() for axes in ToyGAN(SMALL).strip().axes]
    assert titles[0].startswith("round 0: JSD")
    assert any(title.startswith("round 300: JSD") for title in titles)
    preset = [axes.get_title() for axes in ToyGAN("rotation", seed=3).strip().axes]
    assert "the two weights" in preset
    assert any(title.startswith("round 200: JSD") for title in preset)


def test_every_setting_has_its_control():
    """A setting that Python has and the page has not would be out of the reader's reach."""
    source = ToyGAN.source
    panel = source[source.index("const SETTINGS = {") : source.index("const shortly")]
    names = re.findall(r'^    \["(\w+)",', panel, re.M)
    assert set(names) == {f.name for f in dataclasses.fields(Settings)} - {"heights"}
    for name in names:
        row = re.search(rf'\["{name}",.*?(?=\n    \[|\n  \])', panel, re.S).group()
        if name in CHOICES:
            assert all(f'["{value}"' in row for value in CHOICES[name]), name
        for value in re.findall(r"\[(\d+)\]", row):
            low, high = WHOLE[name]
            assert low <= int(value) <= high, name
    assert set(NUMBERS) <= set(names)
