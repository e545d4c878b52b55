"""EMStepper and ElboBars in a real JupyterLab and in an exported page, without a network."""

import json
import time

import nbconvert
import nbformat
import pytest
from browser import Page

pytest_plugins = ["browser"]

EM, BARS = ".course-widget[data-kind]", ".course-widget[data-decoder]"
CELLS = [
    "from course_lib.widgets import ElboBars, EMStepper",
    "stepper = EMStepper(); stepper",
    "bars = ElboBars(); bars",
    "print('all ' + 'ran')",
]


@pytest.fixture(scope="module")
def book(lab, chromium):
    """One notebook with every widget, run; the tests go down it in order."""
    page = lab.open(chromium, CELLS)
    page.run_all("all ran")
    yield page
    page.close()


def show(page, selector):
    """Scroll a widget into sight: the notebook may keep far cells out of the document."""
    page.evaluate(
        "n => { const c = jupyterapp.shell.currentWidget.content; c.activeCellIndex = n;"
        " return c.scrollToItem(n, 'start').then(() => 0); }",
        {EM: 1, BARS: 2}[selector],
    )
    page.locator(selector).first.scroll_into_view_if_needed()
    page.wait(f"d.drawn > 0 && d.{ {EM: 'logpx', BARS: 'gap'}[selector] }", selector)


def press(page, selector, name):
    page.locator(selector).first.get_by_role("button", name=name, exact=True).click()


def painted(page, selector):
    """How many different colours the canvas holds; 1 would be a blank one."""
    return page.eval_on_selector(
        f"{selector} canvas",
        """c => { const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);
           return new Set(new Uint32Array(data.buffer)).size; }""",
    )


def told(page, holds):
    """stepper.state, as soon as that holds."""
    code = "import json; print(json.dumps(stepper.state))"
    return json.loads(page.wait_code(code, lambda printed: holds(json.loads(printed))))


def drag(page, selector, start, by):
    box = page.locator(f"{selector} canvas").first.bounding_box()
    x, y = box["x"] + start[0], box["y"] + start[1]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by[0] / 2, y + by[1] / 2, steps=4)
    page.mouse.move(x + by[0], y + by[1], steps=4)
    page.mouse.up()


# ---- with a kernel ----


def test_em_draws_and_steps_and_python_reads_the_state(book):
    show(book, EM)
    assert painted(book, EM) > 20
    before = book.data(EM)
    press(book, EM, "E-step: compute the responsibilities")
    book.wait("d.step === '1' && d.kind === '1'", EM)
    after = book.data(EM)
    assert float(after["gap"]) < 1e-6 < float(before["gap"])
    assert after["logpx"] == before["logpx"]
    press(book, EM, "M-step: fit the components")
    book.wait("d.step === '2'", EM)
    assert float(book.data(EM)["logpx"]) > float(after["logpx"])
    assert float(book.data(EM)["gap"]) > 1e-4
    state = told(book, lambda s: s.get("step") == 2)
    assert state["kind"] == "M"
    assert state["log_px"] == float(book.data(EM)["logpx"])
    assert state["bound"] == pytest.approx(state["log_px"] - state["gap"])
    assert sum(state["weights"]) == pytest.approx(1)
    lengths = [len(state[name]) for name in ("means", "covariances", "responsibilities")]
    assert lengths == [3, 3, 240]
    assert book.errors == []


def test_em_plays_and_pauses(book):
    show(book, EM)
    press(book, EM, "New start: from other points")
    book.wait("d.step === '0' && d.start === '1'", EM)
    press(book, EM, "Play: E and M in turn")
    book.wait("d.playing === 'true' && d.step > 1", EM)
    press(book, EM, "Pause")
    book.wait("d.playing === 'false' && d.shown === d.logpx", EM)  # it has glided to where it stops
    stopped = book.data(EM)
    time.sleep(1.2)
    assert book.data(EM)["step"] == stopped["step"]
    state = told(book, lambda s: s["step"] == int(stopped["step"]))
    assert state["log_px"] == float(stopped["logpx"])
    assert book.errors == []


def test_em_plays_until_it_settles(book):
    show(book, EM)
    book.locator(EM).first.get_by_label("Speed: steps per second").select_option("30")
    press(book, EM, "Play: E and M in turn")
    book.wait("d.playing === 'false' && d.step > 20", EM, timeout=60)
    assert "Converged" in book.locator(f"{EM} [role=status]").first.text_content()


def test_em_rewinds_and_python_reads_where(book):
    show(book, EM)
    last = book.data(EM)["step"]
    slider = book.locator(EM).first.get_by_label("Timeline: rewind to an earlier half-step")
    slider.focus()
    slider.press("Home")
    for _ in range(3):
        slider.press("ArrowRight")
    book.wait("d.step === '3'", EM)
    assert book.data(EM)["steps"] == last  # a rewind forgets nothing
    assert told(book, lambda s: s["step"] == 3)["steps"] == int(last)


def test_a_mean_is_dragged_and_that_is_a_new_start(book):
    show(book, EM)
    before = book.data(EM)
    drag(book, EM, json.loads(before["handles"])[0], (40, -30))
    book.wait("d.kind === '3' && d.steps === '0'", EM)
    after = book.data(EM)
    assert json.loads(after["means"])[0] != json.loads(before["means"])[0]
    assert float(after["gap"]) > float(before["gap"])
    state = told(book, lambda s: s["kind"] == "dragged")
    assert state["means"] == json.loads(after["means"])
    assert book.errors == []


def test_em_takes_another_number_of_components_from_both_sides(book):
    show(book, EM)
    book.locator(EM).first.get_by_label("Number of components").select_option("5")
    book.wait("d.k === '5' && d.step === '0'", EM)
    assert (
        book.wait_code("print(stepper.n_components)", lambda told: told.strip() == "5").strip()
        == "5"
    )
    book.run_code("stepper.n_components = 4")
    book.wait("d.k === '4' && d.step === '0'", EM)
    assert book.errors == []


def test_em_rests_out_of_sight(book):
    show(book, EM)
    book.locator(EM).first.get_by_label("Speed: steps per second").select_option("2")
    press(book, EM, "Reset: back to the same start")
    press(book, EM, "Play: E and M in turn")
    book.wait("d.step > 0", EM)
    hide = """hidden => { const told = { value: hidden, configurable: true };
              Object.defineProperty(document, 'hidden', told);
              document.dispatchEvent(new Event('visibilitychange')); }"""
    book.evaluate(hide, True)
    time.sleep(0.3)
    before = book.data(EM)
    time.sleep(1.5)
    assert book.data(EM) == before
    book.evaluate(hide, False)
    book.wait(f"d.step > {before['step']}", EM)
    press(book, EM, "Pause")
    book.wait("d.playing === 'false'", EM)


def test_bars_draw_and_follow_the_mouse(book):
    show(book, BARS)
    assert painted(book, BARS) > 20
    before = book.data(BARS)
    spots = json.loads(before["handles"])
    drag(book, BARS, spots["m"], (60, 0))
    book.wait("d.last === 'drag q'", BARS)
    moved = book.data(BARS)
    assert float(moved["m"]) > float(before["m"]) + 0.3
    assert float(moved["gap"]) < float(before["gap"])  # towards the posterior
    assert moved["logpx"] == before["logpx"]
    assert moved["sigma"] == before["sigma"]
    drag(book, BARS, json.loads(moved["handles"])["right"], (-25, 0))
    # and let go
    book.wait(f"d.sigma < {float(moved['sigma']) - 0.1} && d.past > {moved['past']}", BARS)
    code = "import json; print(json.dumps([bars.m, bars.sigma, float(bars.bound().gap)]))"
    page = [float(book.data(BARS)[k]) for k in ("m", "sigma", "gap")]
    told = book.wait_code(code, lambda told: json.loads(told) == pytest.approx(page, abs=1e-9))
    assert json.loads(told) == pytest.approx(page, abs=1e-9)
    assert book.errors == []


def test_bars_answer_to_the_keyboard(book):
    show(book, BARS)
    before = book.data(BARS)
    canvas = book.locator(f"{BARS} canvas").first
    canvas.focus()
    canvas.press("ArrowLeft")
    canvas.press("ArrowUp")
    book.wait(f"d.last === 'keys' && d.sigma > {before['sigma']}", BARS)
    after = book.data(BARS)
    assert float(after["m"]) == pytest.approx(float(before["m"]) - 0.05)
    assert float(after["sigma"]) == pytest.approx(float(before["sigma"]) + 0.02)
    # The notebook must not have taken the key for itself.
    assert book.evaluate("jupyterapp.shell.currentWidget.content.activeCellIndex") == 2


def test_fit_q_then_fit_p_and_the_trap(book):
    show(book, BARS)
    press(book, BARS, "Preset: gap closed, then P")
    book.wait("d.past === '1' && d.m === '0'", BARS)
    start = book.data(BARS)
    press(book, BARS, "fit q: climb L b over m and sigma")
    book.wait("d.last === 'fit q' && d.busy === 'false'", BARS)
    closed = book.data(BARS)
    assert float(closed["gap"]) < 1e-6
    assert closed["logpx"] == start["logpx"]
    press(book, BARS, "fit P: climb L b over w")
    book.wait("d.last === 'fit P' && d.busy === 'false'", BARS)
    assert float(book.data(BARS)["logpx"]) > float(closed["logpx"])
    press(book, BARS, "Preset: the trap: P alone")
    book.wait("d.past === '1'", BARS)
    start = book.data(BARS)
    press(book, BARS, "fit P: climb L b over w")
    book.wait("d.last === 'fit P' && d.busy === 'false'", BARS)
    after = book.data(BARS)
    assert float(after["bound"]) > float(start["bound"]) + 1
    assert float(after["logpx"]) < float(start["logpx"]) - 1
    assert "fell by" in book.locator(f"{BARS} [role=status]").first.text_content()
    press(book, BARS, "fit P: climb L b over w")  # at its top already: no word of a rise by 0.000
    book.wait("d.past === '3' && d.busy === 'false'", BARS)
    assert "nothing left to gain" in book.locator(f"{BARS} [role=status]").first.text_content()
    book.run_code("bars.decoder = 'fold'; bars.w = 1.25")
    book.wait("d.decoder === 'fold' && d.w === '1.25'", BARS)
    assert book.errors == []


# ---- without a kernel ----


@pytest.fixture(scope="module")
def saved(book, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "saved.ipynb"
    nbformat.write(book.saved(), path)
    return path


@pytest.mark.parametrize("width", [600, 1200])
def test_an_exported_page_is_alive_offline(saved, chromium, width):
    html, _ = nbconvert.HTMLExporter().from_filename(str(saved))
    path = saved.with_suffix(".html")
    path.write_text(html, encoding="utf-8")
    page = Page(chromium, width)
    page.goto(path.as_uri(), wait_until="domcontentloaded")
    page.wait("d.logpx", EM)
    # MathJax and RequireJS, which nbconvert asks a CDN for in vain, are not the widgets' fault.
    page.errors[:] = [e for e in page.errors if "MathJax" not in e and "require" not in e]
    assert page.locator("[data-course] img").count() == 0  # the pictures have given way
    assert painted(page, EM) > 20
    press(page, EM, "E-step: compute the responsibilities")
    page.wait("d.step === '1' && d.gap < 1e-9", EM)
    press(page, EM, "Play: E and M in turn")
    page.wait("d.step > 3", EM)
    press(page, EM, "Pause")
    page.wait("d.playing === 'false' && d.shown === d.logpx", EM)  # it has glided to where it stops
    before = page.data(EM)
    drag(page, EM, json.loads(before["handles"])[0], (30, 20))
    page.wait("d.kind === '3' && d.step === '0'", EM)
    page.locator(BARS).scroll_into_view_if_needed()
    press(page, BARS, "fit q: climb L b over m and sigma")
    page.wait("d.last === 'fit q' && d.busy === 'false'", BARS)
    for selector in (EM, BARS):
        inside, outside = page.eval_on_selector(selector, "e => [e.scrollWidth, e.clientWidth]")
        assert inside <= outside  # nothing is cut off
    assert page.errors == []
    page.close()


def test_an_untrusted_notebook_shows_the_strip(saved, lab, chromium):
    page = lab.open(chromium, saved)
    picture = page.locator(".jp-OutputArea img").first
    picture.wait_for(timeout=30_000)
    assert picture.evaluate("e => e.complete && e.naturalWidth") > 600
    assert page.locator(".course-widget").count() == 0  # no script ran
    page.close()


def test_a_reload_shows_the_same_moment(book):
    show(book, EM)
    press(book, EM, "E-step: compute the responsibilities")
    book.wait("d.kind === '1' && d.shown === d.logpx", EM)
    before = book.data(EM)
    told(book, lambda s: s["kind"] == "E" and s["log_px"] == float(before["logpx"]))
    book.evaluate("jupyterapp.commands.execute('docmanager:save').then(() => 0)")
    book.page.reload()
    book.wait(f"d.logpx === '{before['logpx']}' && d.kind === '1'", EM)
    assert book.data(EM)["means"] == before["means"]


def test_a_widget_follows_the_theme_of_jupyterlab(book):
    show(book, EM)
    change = (
        "theme => jupyterapp.commands.execute('apputils:change-theme', { theme }).then(() => 0)"
    )
    try:
        for theme, dark in (("JupyterLab Dark", True), ("JupyterLab Light", False)):
            book.evaluate(change, theme)
            shown = (
                "dark => document.querySelector('.course-widget')"
                "?.classList.contains('dark') === dark"
            )
            book.wait_for_function(shown, arg=dark)
            assert book.evaluate(shown, dark)
    finally:
        book.evaluate(change, "JupyterLab Light")


def test_em_plays_on_after_the_kernel_is_gone(book):
    """The last test of `book`."""
    show(book, EM)
    book.evaluate(
        "() => jupyterapp.shell.currentWidget.context.sessionContext.session.kernel"
        ".shutdown().then(() => 0)"
    )
    press(book, EM, "Reset: back to the same start")
    book.wait("d.step === '0'", EM)
    press(book, EM, "Play: E and M in turn")
    book.wait("d.step > 2", EM)
    press(book, EM, "Pause")
    book.wait("d.playing === 'false'", EM)
    assert int(book.data(EM)["step"]) > 2
