"""The site in a browser: accessible, at rest, without a network, on phones and on large screens."""

from __future__ import annotations

import functools
import http.server
import threading

import numpy as np
import pytest
from browser import ROOT, Idleness, Page, violations
from PIL import Image
from test_notebooks import build
from thorough import THOROUGH

pytest_plugins = ["browser", "site_folder"]

WIDGET = ".course-widget"
NAMES = [path.stem for path in build.all_notebooks()]
# One chapter stands for all, the one with the most formulas. Widgets are audited in
# test_widgets_reach.py.
SHOWN = NAMES if THOROUGH else [NAMES[2]]
DOCS = [path.stem for path in (ROOT / "docs").glob("*.md")] if THOROUGH else ["glossary"]
SMALL = ["index.html", "toygan.html", *(f"docs/{name}.html" for name in DOCS)]


def opened(chromium, site, name, width=1280, height=900, **options):
    """A page of the site from disk, and the addresses on other machines that it asked for."""
    page, asked = Page(chromium, width, height, **options), []
    page.on("request", lambda r: asked.append(r.url) if r.url.startswith("http") else None)
    page.goto(
        (site / name.partition("#")[0]).as_uri() + "".join(name.partition("#")[1:]),
        wait_until="load",
    )
    page.asked = asked
    return page


SIZES = [(390, "light"), (1280, "dark"), (1280, "light"), (390, "dark")]
LOOKS = [(name, *size) for name in SMALL for size in (SIZES if THOROUGH else SIZES[:2])]
# axe needs half a minute for a chapter, so in `make test` each is seen in one way only.
LOOKS += [
    (f"notebooks/{name}.html", *size)
    for number, name in enumerate(SHOWN)
    for size in (SIZES if THOROUGH else [SIZES[number % 2]])
]


@pytest.mark.parametrize(("name", "width", "scheme"), LOOKS)
def test_a_page_is_accessible_and_fits(site, chromium, name, width, scheme):
    page = opened(chromium, site, name, width, 844, color_scheme=scheme)
    try:
        assert page.errors == []
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate("[document.documentElement.lang, document.title !== '']") == [
            "en",
            True,
        ]
        assert page.locator("main, [role=main]").count() == 1
        assert page.asked == []
    finally:
        page.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_chapter_on_disk_is_whole_without_a_network(site, chromium, name):
    page = opened(chromium, site, f"notebooks/{name}.html", 1100)
    try:
        alive = page.locator("[data-course], .course-widget").count()
        page.wait_for_function(
            "n => document.querySelectorAll('.course-widget canvas').length >= n", arg=alive
        )
        assert page.asked == []
        assert page.errors == []
        bad = "all => all.filter((e) => !e.complete || !e.naturalWidth || !e.alt).length"
        assert page.eval_on_selector_all("img", bad) == 0
        wide = "[...document.querySelectorAll('article > *, article img, .course-widget')]"
        wide += ".filter((e) => e.getBoundingClientRect().right > innerWidth + 1).length"
        assert page.evaluate(wide) == 0  # nothing is cut off
    finally:
        page.close()


def test_a_figure_on_a_telephone_opens_in_full_size(site, chromium):
    page = opened(chromium, site, f"notebooks/{NAMES[1]}.html", 390)
    try:
        figure = page.locator("article a.whole img").first
        words = figure.get_attribute("alt")
        assert figure.locator("..").get_attribute("aria-label") == f"Full size: {words}"
        inside = figure.evaluate("e => e.clientWidth")
        figure.click()
        page.wait_for_url("**/_images/*.png")
        assert page.evaluate("document.images[0].naturalWidth") > 1.5 * inside
    finally:
        page.close()


def test_widgets_and_figures_follow_the_theme(site, chromium):
    page = opened(chromium, site, f"notebooks/{NAMES[1]}.html", 1100, color_scheme="light")
    try:
        page.wait_for_selector(".course-widget canvas")
        look = """() => {
            const count = (selector) => document.querySelectorAll(selector).length;
            const [all, dark] = [count('.course-widget'), count('.course-widget.dark')];
            const widgets = dark === 0 ? false : dark === all ? true : 'some';
            return [widgets, getComputedStyle(document.querySelector('article img')).filter];
        }"""
        assert page.evaluate(look) == [False, "none"]
        page.emulate_media(color_scheme="dark")
        page.wait_for_function(f"({look})()[0] === true")
        assert page.evaluate(look) == [True, "brightness(0.88)"]
        # the reader's own choice, against the system
        for theme, dark in (("light", False), ("dark", True)):
            page.emulate_media(color_scheme="light" if dark else "dark")
            page.evaluate("theme => { document.body.dataset.theme = theme; }", theme)
            page.wait_for_function(f"dark => ({look})()[0] === dark", arg=dark)
            assert page.evaluate(look)[1] == ("brightness(0.88)" if dark else "none")
    finally:
        page.close()


def test_lines_of_prose_can_be_read(site, chromium):
    """Letters in a full line: the text of the longest paragraph over the number of its lines."""
    page = opened(chromium, site, f"notebooks/{NAMES[2]}.html", 1920, 1080)
    try:
        count = """() => Math.max(...[...document.querySelectorAll("article p")]
            .filter((p) => !p.querySelector("math") && p.textContent.length > 300)
            .map((p) => [p, parseFloat(getComputedStyle(p).lineHeight)])
            .map(([p, height]) => p.textContent.length / Math.round(p.clientHeight / height)))"""
        assert 45 < page.evaluate(count) <= 75
    finally:
        page.close()


def test_a_word_of_the_glossary_is_explained_to_the_keyboard_too(site, chromium):
    page = opened(chromium, site, f"notebooks/{NAMES[2]}.html")
    try:
        word = page.locator("a.term").first
        word.focus()
        assert page.locator("#tip").is_visible()
        assert page.locator("#tip").text_content() == word.get_attribute("data-tip")
        assert word.get_attribute("aria-describedby") == "tip"
        page.keyboard.press("Escape")
        assert page.locator("#tip").is_hidden()
    finally:
        page.close()


def test_the_search_finds_a_word_from_a_web_server_and_from_disk(site, chromium):
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(quiet, directory=str(site))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for start in (f"http://127.0.0.1:{server.server_port}", site.as_uri()):
            page = Page(chromium)
            page.goto(f"{start}/search.html?q=posterior")
            page.wait_for_function("() => document.querySelectorAll('ul.search li a').length > 2")
            found = page.locator("ul.search").text_content()
            assert "lower bound" in found.lower()
            page.close()
    finally:
        server.shutdown()
        server.server_close()


RESTING = (
    NAMES if THOROUGH else [name for name in NAMES if name[:2] in ("02", "05", "07", "08")]
)  # four widgets


def test_no_chapter_computes_or_draws_while_nothing_happens(site, chromium):
    """Off screen, on screen, and after play and pause: the waits of all chapters overlap."""
    pages = {name: opened(chromium, site, f"notebooks/{name}.html") for name in RESTING}
    try:
        tabs = {name: Idleness(page) for name, page in pages.items()}
        assert restless(tabs) == []
        for page in pages.values():
            if page.locator(WIDGET).count():
                page.locator(WIDGET).first.scroll_into_view_if_needed()
        assert restless(tabs) == []
        for page in pages.values():
            play(page)
        assert restless(tabs) == []
    finally:
        for page in pages.values():
            page.close()


def play(page):
    """Play, until a few frames are drawn, then pause; a widget without Play is left alone."""
    button = page.locator(WIDGET).first.get_by_role("button", name="Play")
    if button.count() == 0:
        return
    drawn = int(page.data(WIDGET)["drawn"])
    button.click()
    page.wait(f"d.playing === 'true' && d.drawn > {drawn + 3}", WIDGET)
    page.locator(WIDGET).first.get_by_role("button", name="Pause").click()
    page.wait("d.playing === 'false'", WIDGET)


def restless(tabs, seconds=3.0):
    """The tabs that draw, or take over one per cent of the time, in every one of five spells."""
    left = dict(tabs)
    for _ in range(5):
        before = {name: (tab.seconds(), tab.drawn()) for name, tab in left.items()}
        next(iter(tabs.values())).page.wait_for_timeout(1000 * seconds)
        left = {
            name: tab
            for name, tab in left.items()
            if tab.seconds() - before[name][0] > 0.01 * seconds or tab.drawn() != before[name][1]
        }
        if not left:
            break
    return list(left)


# ---- the toy GAN's page ----


def toy(chromium, site, address="", width=1280, height=800, **options):
    page = opened(chromium, site, f"toygan.html{address}", width, height, **options)
    page.wait("d.drawn > 0", WIDGET)
    return page


def said(page):
    return page.locator("#caption").text_content()


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1920, 1080), (390, 844)])
def test_the_first_screen_is_complete(site, chromium, width, height):
    page = toy(chromium, site, "", width, height)
    try:
        page.wait("d.step === '80'", WIDGET)
        assert page.data(WIDGET)["playing"] == "false"  # paused in mid-game
        assert int(page.data(WIDGET)["kept"]) > 50  # and the charts are filled
        inside = """(e) => { const r = e.getBoundingClientRect();
            return r.top >= 0 && r.left >= 0
                && r.bottom <= innerHeight && r.right <= innerWidth; }"""
        for part in ("h1", f"{WIDGET} button.main", f"{WIDGET} canvas"):
            assert page.locator(part).first.evaluate(inside), part
        if width == 1920:
            card = page.locator(WIDGET).bounding_box()
            assert card["height"] > 0.8 * height
        if width > 1000:
            assert page.locator(".story p").last.evaluate(inside)
    finally:
        page.close()


def test_an_address_brings_the_same_picture_back(site, chromium):
    page = toy(chromium, site, "#data=three+modes&lr_g=0.004&seed=5&round=40&color=red&batch=many")
    try:
        page.wait("d.step === '40' && d.data === 'three modes'", WIDGET)
        page.locator("#copy").click()
        page.wait_for_function("() => document.getElementById('done').textContent")
        address = page.evaluate("location.hash")
        wanted = {"data=three+modes", "lr_g=0.004", "seed=5", "round=40"}
        assert wanted == set(address[1:].split("&"))
        other = toy(chromium, site, address)
        other.wait("d.step === '40'", WIDGET)
        same = ("jsd", "value", "dupdates", "gupdates", "data")
        for name in same:
            assert other.data(WIDGET)[name] == page.data(WIDGET)[name]
        other.close()
    finally:
        page.close()


def test_the_run_is_saved_as_an_animation(site, chromium, tmp_path):
    """From the first round to the one that is shown, which is shown again afterwards."""
    page = toy(chromium, site, accept_downloads=True)
    try:
        page.wait("d.kept === '81' && d.at === '80'", WIDGET)
        with page.expect_download() as started:
            page.get_by_role("button", name="Save animation").click()
        path = tmp_path / started.value.suggested_filename
        started.value.save_as(path)
        assert page.data(WIDGET)["at"] == "80"
        assert page.errors == []
    finally:
        page.close()
    with Image.open(path) as animation:
        assert (path.suffix, animation.format, animation.n_frames) == (".gif", "GIF", 60)
        first = np.asarray(animation.convert("RGB"), dtype=float)
        animation.seek(59)
        last = np.asarray(animation.convert("RGB"), dtype=float)
    assert np.abs(first - last).mean() > 1  # something moved
    assert path.stat().st_size < 2e6  # small enough for a mail


def test_a_preset_plays_at_once_and_says_when_it_has_happened(site, chromium):
    page = toy(chromium, site)
    try:
        page.get_by_role("button", name="Preset: overshoot").click()
        page.wait("d.preset === 'overshoot' && d.playing === 'true'", WIDGET)
        page.wait_for_function(
            "() => document.getElementById('caption').textContent.includes('run past')"
        )
        page.locator(".story button", has_text="Collapse").click()
        page.wait("d.preset === 'collapse' && d.playing === 'true'", WIDGET)
        assert said(page) == "" or "Collapse" in said(page)
        page.wait_for_function(
            "() => document.getElementById('caption').textContent.includes('Collapse')"
        )
        page.locator("#theory").click()
        assert page.get_by_role("button", name="Show D*(x), the best D").is_visible()
        assert page.errors == []
    finally:
        page.close()


def test_what_a_preset_promises_is_recognized_on_ten_seeds(site, chromium):
    page = toy(chromium, site)
    try:
        missed = page.evaluate("toygan.missed(10)")
        assert missed == []
    finally:
        page.close()
