"""The widgets for everybody: silent while they play, still on request, plain in forced colours."""

from __future__ import annotations

import json
import re
import time

import numpy as np
import pytest
import torch
from browser import Page, violations

from course_lib.widgets import CodeLine, ElboBars, EMStepper, LatentExplorer, Quiz, ToyGAN

pytest_plugins = ["browser"]

CARD = ".course-widget"
PLAYED = ["CodeLine", "EMStepper", "ElboBars", "ToyGAN"]


def greys(z):
    """(n, 6, 6) pictures, as grey as the first number of z."""
    return ((z[:, :1, None] + 3) / 6).clamp(0, 1).expand(-1, 6, 6)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """One page on disk with every widget: name -> its place among the cards; and the page's address."""
    images = torch.rand(90, 6, 6, generator=torch.Generator().manual_seed(0))
    widgets = [
        CodeLine({"AE": greys, "VAE": greys}, truth=images[:5], limits={"AE": (-3, 3), "VAE": (-2, 2)}),
        EMStepper(n_components=5),
        ElboBars(),
        LatentExplorer(greys, torch.randn(30, 2), torch.arange(30) % 10),
        Quiz(images, images),
        ToyGAN(),
    ]
    parts = [widget._repr_mimebundle_()[0]["text/html"] for widget in widgets]
    body = "".join(f"<h2>{type(w).__name__}</h2>{part}" for w, part in zip(widgets, parts, strict=True))
    path = tmp_path_factory.mktemp("shelf") / "shelf.html"
    html = '<html lang="en"><head><meta charset="utf-8"><title>All widgets</title></head>'
    path.write_text(f"{html}<body><main><h1>Widgets</h1>{body}</main></body></html>", encoding="utf-8")
    return {type(w).__name__: i for i, w in enumerate(widgets)}, path.as_uri()


def opened(chromium, shelf, width=1280, **options):
    places, address = shelf
    page = Page(chromium, width, 900, **options)
    page.goto(address, wait_until="load")
    page.wait_for_function(f"() => document.querySelectorAll('{CARD}').length === {len(places)}")
    page.wait_for_function(
        f"() => [...document.querySelectorAll('{CARD}')].every((e) => e.dataset.drawn > 0)"
    )
    return page


@pytest.fixture(scope="module")
def page(chromium, shelf):
    page = opened(chromium, shelf)
    yield page
    page.close()


def card(page, shelf, name):
    """The widget of this name, in sight."""
    found = page.locator(CARD).nth(shelf[0][name])
    found.scroll_into_view_if_needed()
    return found


def press(found, words: str) -> None:
    """Click the button whose name begins so."""
    found.get_by_role("button", name=re.compile(f"^{re.escape(words)}")).click()


def data(found) -> dict:
    return found.evaluate("e => ({ ...e.dataset })")


def until(page, found, condition: str) -> None:
    """Wait for a condition on d, the data-* of the widget."""
    page.wait_for_function(f"e => {{ const d = e.dataset; return {condition}; }}", arg=found.element_handle())


# ---- names ----


@pytest.mark.parametrize("name", ["CodeLine", "EMStepper", "ElboBars", "ToyGAN"])
def test_what_plays_is_operated_with_the_same_words(page, shelf, name):
    found = card(page, shelf, name)
    words = found.locator("button").all_inner_texts()
    assert words[:3] == ["▶ Play", "Step", "Reset"]
    assert found.get_by_label("Timeline", exact=False).count() == 1
    assert "timeline" in found.inner_text()


def test_everything_that_goes_back_to_the_start_is_called_reset(page, shelf):
    for name in ("CodeLine", "EMStepper", "ElboBars", "LatentExplorer", "ToyGAN"):
        assert card(page, shelf, name).get_by_role("button", name=re.compile("^Reset")).count() == 1


def test_the_bound_is_written_as_in_formulas(page, shelf):
    for name in shelf[0]:
        seen = card(page, shelf, name).evaluate(
            "e => [e.innerText, ...[...e.querySelectorAll('[aria-label], [title]')]"
            ".map((x) => x.ariaLabel ?? '')].join(' ')"
        )
        assert "L_b" not in seen
    assert card(page, shelf, "EMStepper").locator(".sum sub").inner_text() == "b"


@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious_in_any_state(chromium, shelf, width):
    """Also with settings open, an answer revealed and a question before answers are deleted."""
    page = opened(chromium, shelf, width)
    try:
        game = card(page, shelf, "ToyGAN")
        game.locator("summary").click()
        game.get_by_role("button", name="keep this run").click()
        game.get_by_role("button", name="Preset: collapse").click()
        quiz = card(page, shelf, "Quiz")
        quiz.get_by_role("button", name="Real (R)").click()
        quiz.get_by_role("button", name="Clear").click()
        until(page, quiz, "d.answers === '1'")
        assert violations(page) == []
        wide = page.evaluate(
            f"[...document.querySelectorAll('{CARD}')].filter((e) => e.scrollWidth > e.clientWidth).length"
        )
        assert wide == 0
    finally:
        page.close()


# ---- live regions ----

LISTEN = """e => {
    // An <output> is a live region as well.
    e.heard = 0;
    const regions = [...e.querySelectorAll("[role=status], [role=alert], [aria-live], output")];
    const names = [...e.querySelectorAll("canvas")];
    const count = (list) => { e.heard += list.length; };
    const whole = { childList: true, characterData: true, subtree: true };
    regions.forEach((r) => new MutationObserver(count).observe(r, whole));
    names.forEach((c) => new MutationObserver(count).observe(c, { attributeFilter: ["aria-label"] }));
    return regions.length;
}"""


@pytest.mark.parametrize("name", PLAYED)
def test_nothing_is_announced_while_it_plays_and_the_end_is(page, shelf, name):
    found = card(page, shelf, name)
    press(found, "Reset")
    if name == "ElboBars":
        press(found, "Preset: the trap: P alone")
    press(found, "Play")
    until(page, found, "d.playing === 'true'")
    drawn = int(data(found)["drawn"])
    assert found.evaluate(LISTEN) == 1
    until(page, found, f"d.drawn > {drawn + 10}")
    assert found.evaluate("e => e.heard") == 0
    press(found, "Pause")
    until(page, found, "d.playing === 'false'")
    page.wait_for_function("e => e.heard > 0", arg=found.element_handle())
    assert found.evaluate("e => e.heard") <= 8  # a sentence and the picture's name, each in a change or two
    assert found.locator("[role=status]").inner_text() != ""


def test_slow_motion_is_silent_until_it_is_stepped(page, shelf):
    found = card(page, shelf, "ToyGAN")
    found.get_by_label("Speed").select_option("slow")
    press(found, "Play")
    until(page, found, "d.phase === 'd1' && d.playing === 'true'")
    found.evaluate(LISTEN)
    until(page, found, "d.phase === 'd2'")
    assert found.evaluate("e => e.heard") == 0
    press(found, "Pause")
    until(page, found, "d.playing === 'false'")
    phase = data(found)["phase"]
    press(found, "Step")
    until(page, found, f"d.phase !== '{phase}'")
    assert "of 5" in found.locator("[role=status]").inner_text()
    found.get_by_label("Speed").select_option("1")


# ---- rest ----


def saved_game(tmp_path, rounds: int) -> str:
    """A page with a game that was saved after some rounds."""
    game = ToyGAN()
    game.state = {"rounds": rounds}
    path = tmp_path / "game.html"
    html = game._repr_mimebundle_()[0]["text/html"]
    path.write_text(f'<meta charset="utf-8"><title>A game</title>{html}', encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize(
    ("rounds", "motion"), [(1, "no-preference"), (250, "no-preference"), (250, "reduce")]
)
def test_a_saved_game_catches_up_with_its_last_round_and_then_rests(chromium, tmp_path, rounds, motion):
    page = Page(chromium, 1100, 900, reduced_motion=motion)
    try:
        page.goto(saved_game(tmp_path, rounds), wait_until="load")
        page.wait(f"d.step === '{rounds}'", CARD)
        if motion == "reduce":
            assert int(page.data(CARD)["drawn"]) < 10  # not a film of 125 pictures
        time.sleep(1)  # the axes come to a stand
        before = page.data(CARD)
        time.sleep(1)
        assert page.data(CARD) == before
    finally:
        page.close()


def test_catching_up_ends_when_the_reader_takes_over(chromium, tmp_path):
    page = Page(chromium, 1100, 900)
    try:
        page.goto(saved_game(tmp_path, 400), wait_until="load")
        page.wait("d.step > 0", CARD)
        press(page.locator(CARD), "Reset")
        page.wait("d.step === '0' && d.kept === '1'", CARD)
        time.sleep(1)
        assert page.data(CARD)["step"] == "0"
    finally:
        page.close()


# ---- motion ----


def test_who_wants_no_motion_gets_none_unasked_and_play_still_plays(chromium, shelf):
    page = opened(chromium, shelf, reduced_motion="reduce")
    try:
        steps = {"EMStepper": "E-step", "ElboBars": "fit q", "ToyGAN": "D step"}
        for name, button in steps.items():
            found = card(page, shelf, name)
            time.sleep(0.3)  # until it has been drawn where it now is
            drawn = int(data(found)["drawn"])
            press(found, button)
            until(page, found, f"d.drawn > {drawn} && (d.step > 0 || d.dupdates > 0 || d.last === 'fit q')")
            time.sleep(1)
            # What is reached, and the button that was pressed; a glide of half a second takes ten and more.
            assert int(data(found)["drawn"]) - drawn <= 4, name
        for name in PLAYED:
            found = card(page, shelf, name)
            press(found, "Play")
            drawn = int(data(found)["drawn"])
            until(page, found, f"d.playing === 'true' && d.drawn > {drawn + 2}")
            press(found, "Pause")
            until(page, found, "d.playing === 'false'")
    finally:
        page.close()


# ---- colours ----


def luminance(colour) -> float:
    part = np.array(colour) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def numbers(css: str) -> list[int]:
    return [int(v) for v in re.findall(r"\d+", css)[:3]]


RING = """e => {
    const style = getComputedStyle(e);
    const behind = (x) => { const c = getComputedStyle(x).backgroundColor;
        return c.startsWith("rgba(0, 0, 0, 0") && x.parentElement ? behind(x.parentElement) : c; };
    const [ring, width] = [style.outlineColor, parseFloat(style.outlineWidth)];
    return { ring, width, inside: behind(e), outside: behind(e.parentElement) };
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_focus_ring_stands_out_from_both_its_neighbours(chromium, shelf, scheme):
    page = opened(chromium, shelf, color_scheme=scheme)
    try:
        if scheme == "dark":
            page.evaluate("document.body.style.background = '#111111'")
        for name in shelf[0]:
            card(page, shelf, name).locator("button, canvas[tabindex]").first.focus()
            for _ in range(6):  # the keys show the ring, the mouse does not
                page.page.keyboard.press("Tab")
                found = page.evaluate_handle("document.activeElement").as_element()
                if not found.evaluate("e => Boolean(e.closest('.course-widget'))"):
                    break
                seen = found.evaluate(RING)
                assert seen["width"] >= 2
                for side in ("inside", "outside"):
                    assert contrast(numbers(seen["ring"]), numbers(seen[side])) >= 3, (name, seen)
    finally:
        page.close()


def test_what_is_pressed_shows_in_forced_colours(chromium, shelf):
    page = opened(chromium, shelf, forced_colors="active")
    try:
        found = card(page, shelf, "ToyGAN")
        layer = found.get_by_role("button", name="Show data p(x)")
        look = """e => {
            const style = getComputedStyle(e);
            return [style.borderTopStyle, style.borderTopWidth, style.textDecorationLine];
        }"""
        pressed = layer.evaluate(look)
        assert layer.get_attribute("aria-pressed") == "true"
        layer.click()
        page.wait_for_function("e => e.ariaPressed === 'false'", arg=layer.element_handle())
        released = layer.evaluate(look)
        assert pressed == ["double", "3px", "underline"]
        assert released == ["dashed", "1px", "none"]
    finally:
        page.close()


# ---- room ----


@pytest.mark.parametrize(("width", "large"), [(1280, False), (1440, True), (1920, True), (1920, False)])
def test_the_settings_stand_beside_the_picture_where_there_is_room(chromium, shelf, width, large):
    page = opened(chromium, shelf, width)
    try:
        found = card(page, shelf, "ToyGAN")
        found.locator("summary").click()
        if large:
            found.get_by_label("large type, for a projector").check()
            page.wait_for_function("e => e.classList.contains('large')", arg=found.element_handle())
        page.wait_for_function("e => e.classList.contains('beside')", arg=found.element_handle())
        picture, settings = (found.locator(s).first.bounding_box() for s in (".stage canvas", "details"))
        assert picture["x"] + picture["width"] <= settings["x"]
        assert picture["width"] > 620 * (1.4 if large else 1)  # its charts side by side
        whole = found.bounding_box()
        assert whole["width"] > 0.95 * width  # no third of the screen stays blank
        plot = json.loads(data(found)["plot"])
        assert plot["w"] < picture["width"]
    finally:
        page.close()
