"""Every slide in a browser: nothing is cut, all is legible, and nothing leaves the machine."""

from __future__ import annotations

import pytest
from browser import Page, violations
from test_slides import NOTEBOOKS, decks, vendor
from thorough import THOROUGH

pytest_plugins = ["browser"]

NAMES = [path.stem for path in NOTEBOOKS]
TEXT, CODE, FIGURE = 24, 20, 18  # pixels of a screen of 1280 × 720
SIZES = [(1280, 720), (1920, 1080)]
THEMES = ["light", "dark"]
# Each chapter once, the themes in turn; in a thorough run in both sizes and both themes.
LOOKS = [(name, *SIZES[0], THEMES[n % 2]) for n, name in enumerate(NAMES)]
if THOROUGH:
    LOOKS = [(name, *size, theme) for name in NAMES for size in SIZES for theme in THEMES]

# What is wrong with the slide that is shown, one sentence each.
LOOK = """([text, code, figure]) => {
  const sheet = Reveal.getCurrentSlide().querySelector(".sheet");
  const box = sheet.getBoundingClientRect();
  const u = box.height / 720, wrong = [];
  const say = (e, words) => wrong.push(`${words}: ${e.outerHTML.slice(0, 80)}`);
  const size = (e) => parseFloat(getComputedStyle(e).fontSize);
  const shown = [...sheet.querySelectorAll("*")].filter((e) => !e.closest("iframe, math *"));
  for (const e of shown) {
    const place = e.getBoundingClientRect();
    if (place.bottom > box.bottom - 4 * u || place.right > box.right + 1) say(e, "cut");
    const block = e.matches("pre, div") && e.clientWidth;
    if (block && e.scrollWidth > e.clientWidth + 1) say(e, "too wide");
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    const least = e.closest("pre, code") ? code : text;
    if ((own || e.tagName === "math") && size(e) < least * u - 0.1) say(e, "small type");
  }
  for (const e of sheet.querySelectorAll(".anew img")) {
    const type = (e.dataset.type * e.getBoundingClientRect().width) / e.naturalWidth;
    if (type < figure * u) say(e, `type of ${(type / u).toFixed(1)} pixels in a figure`);
  }
  for (const e of sheet.querySelectorAll("img")) {
    if (!e.alt || !e.complete || !e.naturalWidth) say(e, "no picture or no words");
    if (!e.closest(".anew, .live")) say(e, "drawn for a notebook, not for a projector");
  }
  const number = document.querySelector(".slide-number").getBoundingClientRect();
  const inside = shown.filter((e) => e.matches(".body *"));
  const lowest = Math.max(0, ...inside.map((e) => e.getBoundingClientRect().bottom));
  if (lowest > number.top + 8 * u && !sheet.matches(".with-widget")) say(sheet, "too low");
  return wrong;
}"""


@pytest.fixture(scope="session")
def slides(tmp_path_factory):
    """The folder of all slides."""
    if reason := vendor.available():
        pytest.skip(reason)
    from make import build

    folder = tmp_path_factory.mktemp("slides")
    build(NOTEBOOKS, folder)
    return folder


def opened(chromium, path, width=1280, height=720, **options):
    page = Page(chromium, width, height, **options)
    page.asked = []
    page.on("request", lambda r: page.asked.append(r.url) if r.url.startswith("http") else None)
    page.goto(path.as_uri(), wait_until="load")
    return page


def to_the_end_of_the_slide(page):
    """Everything that appears step by step."""
    while page.evaluate("Reveal.availableFragments().next"):
        page.evaluate("Reveal.nextFragment()")


def widget_fits(page):
    """Wait for the slide's widget, if it has one; returns the scale of its type."""
    place = "Reveal.getCurrentSlide().querySelector('.live')"
    if not page.evaluate(f"Boolean({place})"):
        return None
    page.wait_for_function(f"() => {place}.dataset.fits && {place}.dataset.scale")
    return float(page.evaluate(f"{place}.dataset.scale"))


@pytest.mark.parametrize(("name", "width", "height", "theme"), LOOKS)
def test_every_slide_can_be_read(slides, chromium, name, width, height, theme):
    page = opened(chromium, slides / f"{name}.html", width, height, color_scheme=theme)
    try:
        page.wait_for_function("() => document.documentElement.dataset.ready")
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        deck = decks.read(next(path for path in NOTEBOOKS if path.stem == name))
        assert page.evaluate("Reveal.getTotalSlides()") == len(deck.slides)
        wrong = {}
        for slide in deck.slides:
            to_the_end_of_the_slide(page)
            found = page.evaluate(LOOK, [TEXT, CODE, FIGURE])
            scale = widget_fits(page)
            if scale is not None and scale * 15 < FIGURE:  # a widget's type is 15 pixels high
                found.append(f"small type in a widget, {15 * scale:.1f} pixels")
            if found:
                wrong[slide.title] = found
            page.evaluate("Reveal.next()")
        assert wrong == {}
        assert page.asked == []
        assert page.errors == []
    finally:
        page.close()


@pytest.mark.parametrize("name", NAMES)
def test_all_slides_are_accessible(slides, chromium, name):
    """All slides of a chapter under one another, so that one look is enough."""
    theme = THEMES[(NAMES.index(name) + 1) % 2]
    page = opened(chromium, slides / f"{name}.html", color_scheme=theme)
    try:
        page.wait_for_function("() => document.documentElement.dataset.ready")
        page.add_style_tag(
            content=(
                ".reveal .slides { position: static; height: auto } "
                ".reveal .slides section { display: block !important; "
                "position: static !important; visibility: visible; opacity: 1 } "
                ".reveal .fragment { opacity: 1 !important; visibility: visible !important } "
                "html, body, .reveal { overflow: visible !important; height: auto !important }"
            )
        )
        page.evaluate(
            "document.querySelectorAll('section').forEach((e) => {"
            " e.removeAttribute('hidden'); e.removeAttribute('aria-hidden'); })"
        )
        assert violations(page) == []
    finally:
        page.close()


def test_the_first_page_leads_to_every_deck(slides, chromium):
    page = opened(chromium, slides / "index.html")
    try:
        links = page.eval_on_selector_all("ol a", "all => all.map((e) => e.getAttribute('href'))")
        assert links == [f"{name}.html" for name in NAMES]
        assert violations(page) == []
        page.locator("ol a").first.click()
        page.wait_for_function("() => document.documentElement.dataset.ready")
        assert page.asked == []
    finally:
        page.close()


def test_keys_turn_slides_and_the_light(slides, chromium):
    page = opened(chromium, slides / f"{NAMES[0]}.html", color_scheme="light")
    try:
        page.wait_for_function("() => document.documentElement.dataset.ready")
        page.keyboard.press("PageDown")
        assert page.evaluate("Reveal.getIndices().h") == 1
        page.wait_for_function("() => location.hash === '#/1'")  # reveal.js takes a moment
        page.keyboard.press("t")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page.reload()
        page.wait_for_function("() => document.documentElement.dataset.ready")
        assert page.evaluate("Reveal.getIndices().h") == 1
    finally:
        page.close()


def test_a_widget_and_a_figure_follow_the_light(slides, chromium):
    page = opened(chromium, slides / f"{NAMES[1]}.html", color_scheme="light")
    try:
        page.wait_for_function("() => document.documentElement.dataset.ready")
        page.evaluate("Reveal.slide(Reveal.getSlides().findIndex((e) => e.querySelector('.live')))")
        widget = page.frame_locator(".present .live iframe").locator(".course-widget")
        widget.wait_for()
        look = """() => {
            const inside = document.querySelector('.present .live iframe').contentDocument;
            const dark = inside.querySelector('.course-widget').classList.contains('dark');
            return [dark, getComputedStyle(document.querySelector('.picture img')).filter];
        }"""
        assert page.evaluate(look) == [False, "none"]
        page.evaluate("changeTheme()")
        page.wait_for_function(f"({look})()[0]")
        assert page.evaluate(look) == [True, "brightness(0.88)"]
    finally:
        page.close()


def test_the_speaker_sees_the_notes(slides, chromium):
    page = opened(chromium, slides / f"{NAMES[1]}.html")
    try:
        page.wait_for_function("() => document.documentElement.dataset.ready")
        with page.context.expect_page() as opening:
            page.keyboard.press("s")
        speaker = opening.value
        said = speaker.locator(".speaker-controls-notes .value")
        said.get_by_text("After this notebook you will be able to").wait_for(timeout=60_000)
    finally:
        page.close()


def test_a_clicker_turns_the_slide_while_a_widget_has_the_focus(slides, chromium):
    name = next(name for name in NAMES if name.endswith("toy_gan"))
    page = opened(chromium, slides / f"{name}.html")
    try:
        page.wait_for_function("() => document.documentElement.dataset.ready")
        at = "document.querySelector('.live').closest('section')"
        page.evaluate(f"Reveal.slide(Reveal.getIndices({at}).h)")
        widget_fits(page)
        frame = page.frame_locator(".live iframe")
        frame.get_by_role("button", name="Step", exact=False).first.click()
        before = page.evaluate("Reveal.getIndices().h")
        page.keyboard.press("PageDown")
        page.wait_for_function("h => Reveal.getIndices().h === h + 1", arg=before)
        assert page.errors == []
    finally:
        page.close()


def test_a_widget_that_says_more_is_fitted_again(slides, chromium):
    """The quiz in class mode: after the first answer its text is longer, and stays in its half."""
    path = next(path for path in NOTEBOOKS if path.stem.endswith("_gan") and "toy" not in path.stem)
    deck = decks.read(path)
    number = next(k for k, slide in enumerate(deck.slides) if "Real or made?" in slide.title)
    page = opened(chromium, slides / f"{path.stem}.html")
    try:
        page.wait_for_function("() => document.documentElement.dataset.ready")
        page.evaluate(f"Reveal.slide({number})")
        before = widget_fits(page)
        quiz = page.frames[-1]
        for box, typed in enumerate(("12", "30")):
            quiz.locator("input.count:visible").nth(box).fill(typed)
        quiz.get_by_role("button", name="Reveal").click()
        place = "Reveal.getCurrentSlide().querySelector('.live')"
        page.wait_for_function(f"before => Number({place}.dataset.scale) < before", arg=before)
        low, high, left, right = quiz.evaluate(
            """() => {
                const after = document.querySelector(".after").getBoundingClientRect();
                const shown = ".course-widget > :not(.after, .said, style)";
                const parts = [...document.querySelectorAll(shown)];
                const right = Math.max(...parts.map((e) => e.getBoundingClientRect().right));
                return [after.bottom, document.documentElement.clientHeight, after.left, right];
            }"""
        )
        assert low <= high + 1
        assert right <= left
        assert page.errors == []
    finally:
        page.close()
