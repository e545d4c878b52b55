"""The toy GAN's chapter as readers meet it: in JupyterLab, in Notebook 7, and as an offline page.

What the widget can do alone is tested in test_widgets_toy_gan_browser.py; here it stands in the
real chapter.
"""

import json

import nbformat
import pytest
from browser import ROOT, Page
from test_widgets_toy_gan_browser import GAN, choose, data, press, settings, stands_still
from thorough import THOROUGH

from course_lib.widgets import ToyGAN

pytest_plugins = ["browser", "site_folder"]

CHAPTER = ROOT / "notebooks" / "07_toy_gan.ipynb"
CODE = [
    (i, c)
    for i, c in enumerate(nbformat.read(CHAPTER, as_version=4).cells)
    if c.cell_type == "code"
]
IMPORTS = "\n".join(c.source for _, c in CODE if "imports" in c.metadata.get("tags", []))
WIDGET = next(i for i, c in CODE if c.source.strip() == "ToyGAN()")
LIVE = "application/vnd.jupyter.widget-view+json"


# nbval runs every cell of every chapter, so here the whole chapter only runs in a thorough run.
@pytest.fixture(
    scope="module", params=["lab", "notebook", "exported"] if THOROUGH else ["lab", "exported"]
)
def chapter(request, chromium):
    """The chapter in an interface, run once, or exported; the tests go down it in order."""
    if request.param == "exported":
        yield request.getfixturevalue("exported")
        return
    lab = request.getfixturevalue("lab")
    if THOROUGH:
        page = lab.open(chromium, CHAPTER, height=1000, interface=request.param)
    else:
        page = lab.open(chromium, [IMPORTS, "ToyGAN()", "print('your formula')"], height=1000)
    widget_at = WIDGET if THOROUGH else 1
    try:
        # The saved outputs go first: what is waited for must come from this run.
        page.evaluate(
            "jupyterapp.commands.execute('notebook:clear-all-cell-outputs').then(() => 0)"
        )
        # the last exercise compares, and nobody has written a line
        page.run_all("your formula", timeout=400)
        page.evaluate(
            "n => { const c = jupyterapp.shell.currentWidget.content; c.activeCellIndex = n;"
            " return c.scrollToItem(n, 'start').then(() => 0); }",
            widget_at,
        )
        page.wait("d.step === '0'", GAN)
        yield page
    finally:
        page.close()


@pytest.fixture(scope="module")
def exported(chromium, site):
    """The chapter's page of the site, opened from disk; `asked`: what it wanted from a network."""
    path = site / "notebooks" / f"{CHAPTER.stem}.html"
    page = Page(chromium, 1100, 1000)
    page.asked = []
    page.on("request", lambda r: page.asked.append(r.url) if r.url.startswith("http") else None)
    try:
        page.goto(path.as_uri(), wait_until="domcontentloaded")
        page.wait("d.step === '0'", GAN)
        yield page
    finally:
        page.close()


@pytest.fixture
def page(chapter):
    """The widget, in sight, at the start of the preset "balanced"."""
    chapter.locator(f"{GAN} canvas").first.scroll_into_view_if_needed()
    press(chapter, "Preset: balanced")
    chapter.wait("d.step === '0' && d.preset === 'balanced' && d.playing === 'false'", GAN)
    return chapter


# ---- the whole chapter ----


@pytest.mark.skipif(not THOROUGH, reason="the whole chapter runs in the browser in a thorough run")
@pytest.mark.parametrize("chapter", ["lab", "notebook"], indirect=True, scope="module")
def test_every_cell_ran_and_shows_what_the_saved_chapter_shows(chapter):
    cells = chapter.evaluate("jupyterapp.shell.currentWidget.content.model.toJSON().cells")
    for i, saved in CODE:
        outputs = cells[i]["outputs"]
        assert cells[i]["execution_count"], f"cell {i} did not run"
        assert [o for o in outputs if o["output_type"] == "error"] == []
        kinds, expected = (
            [sorted({**o.get("data", {}), o["output_type"]: 0}) for o in each]
            for each in (outputs, saved.outputs)
        )
        if i == WIDGET:  # the files of the course leave out what belongs to a running kernel
            assert LIVE in kinds[0]
            kinds[0].remove(LIVE)
        assert kinds == expected, f"cell {i}"
    assert chapter.errors == []


def test_the_exported_chapter_needs_no_network(exported):
    assert exported.asked == []
    assert exported.errors == []
    prose = "".join(exported.locator("article :is(p, li):not(:has(code))").all_inner_texts())
    assert "−log D" in prose
    assert not set("$\\") & set(prose)  # no TeX that waits for MathJax
    pictures = exported.eval_on_selector_all(
        "article img", "all => all.map((e) => [e.complete, e.naturalWidth])"
    )
    saved = sum("image/png" in o.get("data", {}) for _, c in CODE for o in c.outputs)
    assert len(pictures) == saved - 1  # the widget's picture has given way to the widget
    assert all(complete and width > 300 for complete, width in pictures)
    inside, outside = exported.eval_on_selector(GAN, "e => [e.scrollWidth, e.clientWidth]")
    assert inside <= outside  # nothing is cut off


# ---- its widget ----


def test_it_plays_pauses_steps_rewinds_and_resets(page):
    press(page, "Play")
    page.wait("d.step > 5 && d.frame > 5", GAN)
    press(page, "Pause")
    page.wait("d.playing === 'false'", GAN)
    assert stands_still(page)
    before = data(page)
    step, d, g = (int(before[name]) for name in ("step", "dupdates", "gupdates"))
    press(page, "D step: one update of the discriminator")
    page.wait(f"d.dupdates === '{d + 1}' && d.gupdates === '{g}' && d.step === '{step}'", GAN)
    press(page, "G step: one update of the generator")
    page.wait(f"d.dupdates === '{d + 1}' && d.gupdates === '{g + 1}'", GAN)
    if hasattr(page, "path"):  # Python is told
        shown = "next(o for o in gc.get_objects() if type(o).__name__ == 'ToyGAN').state"
        code = (
            f"import gc; s = {shown}; "
            "print(s.get('rounds'), s.get('d_updates'), s.get('g_updates'))"
        )
        wanted = [str(step), str(d + 1), str(g + 1)]
        assert page.wait_code(code, lambda told: told.split() == wanted).split() == wanted
    slider = page.locator(GAN).first.get_by_label("Timeline: rewind to an earlier moment")
    slider.focus()
    slider.press("Home")
    page.wait("d.at === '0' && d.step === '0'", GAN)
    assert int(data(page)["kept"]) > 1  # a rewind forgets nothing
    slider.press("End")
    page.wait("d.at === String(d.kept - 1) && d.step > 0", GAN)
    press(page, "Reset: back to the start")
    page.wait("d.step === '0' && d.kept === '1' && d.dupdates === '0' && d.gupdates === '0'", GAN)
    assert page.errors == []


def test_a_knob_changes_the_game(page):
    settings(page)
    choose(page, "loss", "minimax")
    page.wait("d.loss === 'minimax' && d.step === '0'", GAN)
    rate = page.locator(GAN).first.get_by_label("G’s learning rate")
    before = rate.get_attribute("aria-valuetext")
    rate.focus()
    rate.press("ArrowRight")
    page.wait_for_function(
        "([e, old]) => e.getAttribute('aria-valuetext') !== old",
        arg=[rate.element_handle(), before],
    )
    press(page, "Play")
    page.wait("d.step > 5 && d.loss === 'minimax'", GAN)
    press(page, "Pause")
    page.wait("d.playing === 'false'", GAN)
    settings(page, False)
    assert page.errors == []


def test_each_preset_loads_and_draws(page):
    for preset in ToyGAN().presets:
        press(page, f"Preset: {preset['name']}")
        page.wait(f"d.preset === {json.dumps(preset['name'])} && d.step === '0'", GAN)
        assert page.locator(f"{GAN} .watch").first.text_content() == preset["says"]
        speed = page.locator(GAN).first.get_by_label("Speed", exact=True).input_value()
        assert speed == str(preset["steps"])  # and the list of speeds has it
        frame = int(data(page)["frame"])
        press(page, "Play")
        page.wait(f"d.step > 0 && d.frame > {frame + 2}", GAN)
        press(page, "Pause")
        page.wait("d.playing === 'false'", GAN)
    assert page.errors == []
