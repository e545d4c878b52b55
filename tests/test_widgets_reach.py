"""The widgets for everybody: by keyboard alone, silent while they play,
still on request, on full screens.
"""

from __future__ import annotations

import functools
import http.server
import json
import re
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pytest
import torch
from browser import Page, violations
from thorough import some

from course_lib.widgets import CodeLine, ElboBars, EMStepper, LatentExplorer, Quiz, ToyGAN

pytest_plugins = ["browser"]

CARD = ".course-widget"
PLAYED = ["CodeLine", "EMStepper", "ElboBars", "ToyGAN"]
ALL = ["CodeLine", "EMStepper", "ElboBars", "LatentExplorer", "Quiz", "ToyGAN"]


def greys(z):
    """(n, 6, 6) pictures, as grey as the first number of z."""
    return ((z[:, :1, None] + 3) / 6).clamp(0, 1).expand(-1, 6, 6)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """One page on disk with every widget: name -> its place among the cards; and its address."""
    images = torch.rand(90, 6, 6, generator=torch.Generator().manual_seed(0))
    widgets = [
        CodeLine(
            {"AE": greys, "VAE": greys}, truth=images[:5], limits={"AE": (-3, 3), "VAE": (-2, 2)}
        ),
        EMStepper(n_components=5),
        ElboBars(),
        LatentExplorer(greys, torch.randn(30, 2), torch.arange(30) % 10),
        Quiz(images, images),
        ToyGAN(),
    ]
    parts = [widget._repr_mimebundle_()[0]["text/html"] for widget in widgets]
    body = "".join(
        f"<h2>{type(w).__name__}</h2>{part}" for w, part in zip(widgets, parts, strict=True)
    )
    path = tmp_path_factory.mktemp("shelf") / "shelf.html"
    html = '<html lang="en"><head><meta charset="utf-8"><title>All widgets</title></head>'
    path.write_text(
        f"{html}<body><main><h1>Widgets</h1>{body}</main></body></html>", encoding="utf-8"
    )
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


@pytest.fixture(scope="module")
def unfolded(chromium, shelf):
    """A page on which all settings are folded out."""
    page = opened(chromium, shelf)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    yield page
    page.close()


@pytest.fixture(scope="module")
def screen(chromium, shelf):
    """A page whose widgets fill the screen one after the other."""
    page = opened(chromium, shelf, 1440)
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
    page.wait_for_function(
        f"e => {{ const d = e.dataset; return {condition}; }}", arg=found.element_handle()
    )


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
            f"[...document.querySelectorAll('{CARD}')]"
            ".filter((e) => e.scrollWidth > e.clientWidth).length"
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
    const named = { attributeFilter: ["aria-label"] };
    names.forEach((c) => new MutationObserver(count).observe(c, named));
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
    # a sentence and the picture's name, each in a change or two
    assert found.evaluate("e => e.heard") <= 8
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
    ("rounds", "motion"), some([(250, "no-preference"), (1, "no-preference"), (250, "reduce")], 1)
)
def test_a_saved_game_catches_up_with_its_last_round_and_then_rests(
    chromium, tmp_path, rounds, motion
):
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
            until(
                page,
                found,
                f"d.drawn > {drawn} && (d.step > 0 || d.dupdates > 0 || d.last === 'fit q')",
            )
            time.sleep(1)
            # What is reached, and the button that was pressed;
            # a glide of half a second takes ten and more.
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
    const edge = Number(/(\\d+)px$/.exec(style.boxShadow)?.[1] ?? 0);
    const offset = parseFloat(style.outlineOffset);
    return { ring, width, edge, offset, inside: behind(e), outside: behind(e.parentElement) };
}"""


# As a page with a dark theme looks: dark ground, light letters.
DARK = "Object.assign(document.body.style, { background: '#131416', color: '#ceced0' })"
LIGHT = "document.body.removeAttribute('style')"


def test_a_widget_is_as_dark_as_its_page_and_its_picture_stays_white_paper(chromium, shelf):
    page = opened(chromium, shelf)
    try:
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        for change, dark in ((DARK, True), (LIGHT, False), (DARK, True)):
            page.evaluate(change)
            page.wait_for_function(
                f"() => document.querySelectorAll('{CARD}.dark').length === {dark * len(ALL)}"
            )
            assert violations(page) == []
            for name in ALL:
                found = card(page, shelf, name)
                ground, ink = found.evaluate(
                    "e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color]"
                )
                assert (max(numbers(ground)) < 60) == dark
                assert contrast(numbers(ground), numbers(ink)) >= 12
                if name != "Quiz":  # whose canvases are images, full of ink
                    corner = (
                        "e => [...e.querySelector('canvas').getContext('2d')"
                        ".getImageData(1, 1, 1, 1).data]"
                    )
                    assert found.evaluate(corner) == [255, 255, 255, 255]
    finally:
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_focus_ring_stands_out_from_both_its_neighbours(chromium, shelf, scheme):
    page = opened(chromium, shelf, color_scheme=scheme)
    try:
        if scheme == "dark":
            page.evaluate(DARK)
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
                # around a picture in the dark lies an edge of white paper, and beyond it the ring
                assert seen["offset"] >= seen["edge"], (name, seen)
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


@pytest.mark.parametrize(
    ("width", "large"), [(1280, False), (1440, True), (1920, True), (1920, False)]
)
def test_the_settings_stand_beside_the_picture_where_there_is_room(chromium, shelf, width, large):
    page = opened(chromium, shelf, width)
    try:
        found = card(page, shelf, "ToyGAN")
        found.locator("summary").click()
        if large:
            found.get_by_label("large type, for a projector").check()
            page.wait_for_function("e => e.classList.contains('large')", arg=found.element_handle())
        page.wait_for_function("e => e.classList.contains('beside')", arg=found.element_handle())
        picture, settings = (
            found.locator(s).first.bounding_box() for s in (".stage canvas", "details")
        )
        assert picture["x"] + picture["width"] <= settings["x"]
        assert picture["width"] > 620 * (1.4 if large else 1)  # its charts side by side
        whole = found.bounding_box()
        assert whole["width"] > 0.95 * width  # no third of the screen stays blank
        plot = json.loads(data(found)["plot"])
        assert plot["w"] < picture["width"]
    finally:
        page.close()


def test_the_plane_and_its_pictures_stand_side_by_side_from_640_pixels_on(chromium, shelf):
    page = opened(chromium, shelf, 1280)
    try:
        found = card(page, shelf, "LatentExplorer")
        for width, beside in ((640, True), (560, False), (1100, True)):
            found.evaluate("(e, width) => { e.style.width = `${width}px`; }", width)
            time.sleep(0.3)  # until it is drawn anew
            plane, pictures = (found.locator("canvas").nth(n).bounding_box() for n in (0, 1))
            assert (plane["x"] + plane["width"] <= pictures["x"]) == beside
            assert (plane["y"] == pictures["y"]) == beside
            assert found.evaluate("e => e.scrollWidth <= e.clientWidth")
    finally:
        page.close()


# ---- the whole screen ----

ALONE = "e => e.matches(':fullscreen') && e.currentCSSZoom > 1"


def fill(page, found) -> None:
    """Press the button, and wait until the type has grown."""
    press(found, "Full screen")
    page.wait_for_function(ALONE, arg=found.element_handle())


@pytest.mark.parametrize("name", ALL)
def test_full_screen_is_filled_with_large_type_and_left_as_it_was(screen, shelf, name):
    page = screen
    found = card(page, shelf, name)
    before = found.bounding_box()
    fill(page, found)
    box, whole = found.bounding_box(), page.evaluate("[innerWidth, innerHeight]")
    assert [box["x"], box["y"], box["width"], box["height"]] == pytest.approx([0, 0, *whole], abs=1)
    assert found.evaluate("e => e.scrollHeight <= e.clientHeight && e.scrollWidth <= e.clientWidth")
    low = "e => Math.max(...[...e.children].map((c) => c.getBoundingClientRect().bottom))"
    assert found.evaluate(low) > 0.75 * whole[1]
    # As sharp as before: a pixel of the picture is a pixel of the screen.
    sharp = """e => [...e.querySelectorAll("canvas")].filter((c) => !c.closest(".frame"))
        .map((c) => c.width / c.getBoundingClientRect().width)"""
    assert all(part == pytest.approx(1, abs=0.01) for part in found.evaluate(sharp))
    press(found, "Leave full screen")
    page.wait_for_function("() => document.fullscreenElement === null")
    page.wait_for_function("e => e.currentCSSZoom === 1", arg=found.element_handle())
    assert found.bounding_box()["width"] == before["width"]
    assert found.get_by_role("button", name="Full screen, in large type").count() == 1
    assert page.errors == []


def test_the_mouse_finds_its_place_on_a_filled_screen(chromium, shelf):
    page = opened(chromium, shelf, 1440)
    try:
        found = card(page, shelf, "LatentExplorer")
        fill(page, found)
        plane = found.locator("canvas").first.bounding_box()
        zoom = found.evaluate("e => e.currentCSSZoom")
        box = json.loads(data(found)["box"])
        x, y, side = (zoom * box[name] for name in ("x", "y", "w"))
        page.mouse.click(plane["x"] + x + 0.75 * side, plane["y"] + y + 0.75 * side)
        until(page, found, "JSON.parse(d.z)[0] !== 0")
        assert json.loads(data(found)["z"]) == pytest.approx([1.5, -1.5], abs=0.02)
    finally:
        page.close()


def test_settings_that_are_folded_out_shrink_the_type_until_all_is_seen(chromium, shelf):
    page = opened(chromium, shelf, 1440)
    try:
        found = card(page, shelf, "ToyGAN")
        fill(page, found)
        found.locator("summary").click()
        page.wait_for_function("e => e.classList.contains('beside')", arg=found.element_handle())
        assert found.evaluate("e => e.scrollHeight <= e.clientHeight + 1")
    finally:
        page.close()


def test_where_the_screen_may_not_be_filled_there_is_no_button(chromium, shelf):
    places, address = shelf
    page = Page(chromium, 1280, 900)
    try:
        page.add_init_script(
            "Object.defineProperty(document, 'fullscreenEnabled', { value: false });"
        )
        page.goto(address, wait_until="load")
        page.wait_for_function(
            f"() => document.querySelectorAll('{CARD}').length === {len(places)}"
        )
        assert page.get_by_role("button", name="Full screen").count() == 0
        assert page.errors == []
    finally:
        page.close()


# ---- other interfaces ----

# What Colab allows the frame of an output, which is of another site (its issue 240), and what VS
# Code allows the outputs of a notebook (backLayerWebView.ts, when notebook.experimental.enableCsp
# is on): no worker.
COLAB = "allow-forms allow-scripts allow-popups allow-same-origin allow-pointer-lock"
VSCODE = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data:; connect-src https:; child-src https: data:"
)


@pytest.fixture
def framed(chromium, shelf, tmp_path):
    """Opens all widgets in a frame of another site, under a policy; returns page and frame."""
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(quiet, directory=str(tmp_path))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    opened = []

    def opening(policy):
        places, address = shelf
        html = Path(url2pathname(urlsplit(address).path)).read_text(encoding="utf-8")
        rule = f'<meta http-equiv="Content-Security-Policy" content="{policy}">' if policy else ""
        (tmp_path / "frame.html").write_text(
            html.replace("<head>", f"<head>{rule}"), encoding="utf-8"
        )
        page = Page(chromium, 1100, 900)
        opened.append(page)
        page.set_content(
            f'<iframe sandbox="{COLAB}" style="width: 1000px; height: 6000px" title="outputs"'
            f' src="http://127.0.0.1:{server.server_port}/frame.html"></iframe>'
        )
        frame = page.frames[1]
        frame.wait_for_function(
            f"() => document.querySelectorAll('{CARD}').length === {len(places)}"
        )
        return page, frame

    yield opening
    for page in opened:
        page.close()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("policy", ["", VSCODE], ids=["as in Colab", "as in VS Code"])
def test_in_the_frame_of_another_interface_all_widgets_live(framed, policy):
    page, frame = framed(policy)
    for name in PLAYED:
        found = frame.locator(CARD).nth(ALL.index(name))
        found.scroll_into_view_if_needed()
        press(found, "Play")
        until(frame, found, "d.playing === 'true' && d.drawn > 5")
        press(found, "Pause")
        until(frame, found, "d.playing === 'false'")
    assert int(data(found)["step"]) > 0  # ToyGAN has played, in a worker or in the page
    quiz = frame.locator(CARD).nth(ALL.index("Quiz"))
    quiz.get_by_role("button", name="Real (R)").click()
    until(frame, quiz, "d.answers === '1'")
    plane = frame.locator(CARD).nth(ALL.index("LatentExplorer"))
    plane.locator("canvas").first.press("ArrowRight")
    until(frame, plane, "d.from === 'grid' && JSON.parse(d.z)[0] > 0")
    # a frame may not fill the screen
    assert frame.get_by_role("button", name="Full screen").count() == 0
    assert [error for error in page.errors if "Creating a worker" not in error] == []


# ---- by keyboard alone ----

# The controls of a widget that can be used now, in the order of the page.
CONTROLS = """e => [...e.querySelectorAll("button, select, input, summary, [tabindex='0']")]
    .filter((c) => !c.disabled && c.checkVisibility())"""
# What a person hears of the element that has the focus.
HEARD = """() => {
    const e = document.activeElement;
    return e.ariaLabel || e.labels?.[0]?.textContent || e.textContent;
}"""


def first(found) -> None:
    """Put the focus on the first control."""
    found.evaluate(f"e => ({CONTROLS})(e)[0].focus()")


def walk(page, found, words: str) -> None:
    """Press Tab until what has the focus begins with these words."""
    first(found)
    heard = []
    for _ in range(90):
        heard.append(page.evaluate(HEARD))
        if heard[-1].startswith(words):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{words!r} is not reached: {heard}")


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_tab_reaches_every_control_in_order(unfolded, shelf, name, full):
    """And goes on to what follows; on a full screen, where nothing follows, it begins anew."""
    page = unfolded
    try:
        found = card(page, shelf, name)
        if full:
            fill(page, found)
        count = found.evaluate(f"e => ({CONTROLS})(e).length")
        first(found)
        index = f"e => ({CONTROLS})(e).indexOf(document.activeElement)"
        seen = []
        for _ in range(count):
            seen.append(found.evaluate(index))
            page.keyboard.press("Tab")
        assert seen == list(range(count))
        assert found.evaluate(index) == -1
        if full:  # after the browser's own controls it begins anew
            page.keyboard.press("Tab")
            assert found.evaluate(index) == 0
    finally:
        page.evaluate("document.fullscreenElement && document.exitFullscreen()")


# Which keys are pressed on what, and what holds afterwards;
# d and b are the widget's data-* after and before.
PLAY = [("Play", "Enter", "d.playing === 'true'"), ("Pause", "Space", "d.playing === 'false'")]
WALKS = {
    "CodeLine": [
        ("Step", "Enter", "Number(d.at) === Number(b.at) + 1"),
        ("Line of codes", "End", "d.t === '1'"),
        ("Line of codes", "ArrowLeft", "Number(d.t) < 1"),
        ("Timeline", "Home", "d.t === '0'"),
        *PLAY,
        ("Reset", "Enter", "d.t === '0.5'"),
    ],
    "EMStepper": [
        ("Reset", "Enter", "d.step === '0'"),
        ("Step", "Space", "d.step === '1'"),
        ("M-step", "Enter", "d.step === '2'"),
        ("Timeline", "Home", "d.step === '0'"),
        ("New start", "Enter", "d.start !== b.start"),
        ("Number of components", "ArrowUp", "Number(d.k) === Number(b.k) - 1"),
        ("CANVAS", "2", "true"),
        ("CANVAS", "ArrowRight", "d.means !== b.means"),
        ("CANVAS", "e", "d.step === '1'"),
        *PLAY,
    ],
    "ElboBars": [
        ("Reset", "Enter", "d.at === '0'"),
        ("q is normal", "ArrowRight", "Number(d.m) > Number(b.m)"),
        ("q is normal", "ArrowUp", "Number(d.sigma) > Number(b.sigma)"),
        ("Decoder weight w", "ArrowRight", "Number(d.w) > Number(b.w)"),
        ("fit q", "Enter", "d.last === 'fit q' && d.busy === 'false'"),
        ("Preset: the trap", "Enter", "d.w !== b.w || d.m !== b.m"),
        *PLAY,
        ("Timeline", "Home", "d.at === '0'"),
    ],
    "LatentExplorer": [
        ("Latent plane", "ArrowRight", "JSON.parse(d.z)[0] > JSON.parse(b.z)[0]"),
        ("Latent plane", "Shift+ArrowDown", "JSON.parse(d.z)[1] < JSON.parse(b.z)[1]"),
        ("Reset", "Enter", "d.z === '[0,0]'"),
    ],
    "Quiz": [
        ("Image 1", "m", "d.answers === '1' && d.revealed === 'true'"),
        ("Next", "Enter", "d.revealed === 'false' && d.at === '1'"),
        ("Real (R)", "Space", "d.answers === '2'"),
        ("Ask", "ArrowDown", "d.quiz === 'pairs'"),
        ("class mode", "Space", "d.classroom === 'true'"),
        ("hands for left", "3", "true"),
        ("hands for right", "2", "true"),
        ("hands for right", "Enter", "d.answers === '3' && d.revealed === 'true'"),
        ("Clear", "Enter Enter", "d.answers === '0'"),
    ],
    "ToyGAN": [
        ("Preset: collapse", "Enter", "d.preset === 'collapse' && d.step === '0'"),
        ("D step", "Enter", "Number(d.dupdates) > Number(b.dupdates)"),
        ("Step", "Space", "d.step === '1'"),
        ("Speed", "ArrowUp", "d.speed !== b.speed"),
        ("The game of", "g", "Number(d.gupdates) > Number(b.gupdates)"),
        ("Timeline", "Home", "d.at === '0'"),
        *PLAY,
        ("More settings", "Enter", "true"),
        ("loss", "ArrowDown", "d.loss !== b.loss"),
        ("Keep this run", "Enter", "d.runs === '1'"),
        ("Delete run 1", "Enter", "d.runs === '0'"),
        ("Draw data", "Enter", "d.drawing === 'true'"),
        ("The game of", "Escape", "d.drawing === 'false'"),
    ],
}


@pytest.mark.parametrize("name", ALL)
def test_a_keyboard_is_enough(chromium, shelf, name):
    """From the first control by Tab to what is wanted, then one key; never a mouse."""
    page = opened(chromium, shelf, 1280)
    try:
        found = card(page, shelf, name)
        drawing = found.locator("canvas[tabindex]")
        for words, key, holds in WALKS[name]:
            begins = drawing.get_attribute("aria-label") if words == "CANVAS" else words
            walk(page, found, begins)
            before = json.dumps(data(found))
            for one in key.split():
                page.keyboard.press(one)
            until(page, found, f"(() => {{ const b = {before}; return {holds}; }})()")
        walk(page, found, "Full screen")
        page.keyboard.press("Enter")
        page.wait_for_function(ALONE, arg=found.element_handle())
        walk(page, found, "Leave full screen")
        page.keyboard.press("Space")
        page.wait_for_function("() => document.fullscreenElement === null")
        assert page.errors == []
    finally:
        page.close()
