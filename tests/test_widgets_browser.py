"""The widgets in a real JupyterLab and in an exported page, in a real browser without a network."""

import itertools
import json
import time

import nbconvert
import nbformat
import pytest
from browser import Page

pytest_plugins = ["browser"]

EM, BARS, COUNT = ".course-widget[data-kind]", ".course-widget[data-decoder]", ".course-widget[data-value]"

# The smallest widget on the base class: one number a frame, 30 a second.
COUNTER_JS = """
function build(core) {
  let value = 0, jumps = 0;
  const player = new Player(core, { rate: 30, steps: 2,
    show([n]) { if (n !== value + 2) jumps += 1; value = n; } });
  return { view({ root }) {
    const canvas = element("canvas");
    root.append(button("go", "go", () => (player.playing ? player.pause() : player.play())), canvas);
    return () => {
      const { g } = prepare(canvas, () => 60);
      text(g, String(value), 20, 30);
      Object.assign(root.dataset, { value, jumps, playing: player.playing });
    };
  } };
}
const definition = widget(build);
export default definition;
"""
CELLS = [
    """
import time
from pathlib import Path
import numpy as np
from matplotlib.figure import Figure
from course_lib.widgets import ElboBars, EMStepper, Live

class Counter(Live):
    script = Path("counter.js")
    n, asked, slow, fail = 0, 0, 0.0, False

    def frames(self, request):
        if self.fail:
            raise ValueError("The count has come to its end.")
        self.asked += 1
        time.sleep(self.slow)
        start, self.n = self.n, self.n + request["steps"] * request["frames"]
        return np.arange(start + request["steps"], self.n + 1, request["steps"])[:, None]

    def strip(self):
        return Figure(figsize=(1, 1))
""",
    "stepper = EMStepper(); stepper",
    "bars = ElboBars(); bars",
    "counter = Counter(); counter",
    "counter",
    "print('all ' + 'ran')",
]


@pytest.fixture(scope="module")
def book(lab, chromium):
    """One notebook with every widget, run; the tests go down it in order."""
    (lab.root / "counter.js").write_text(COUNTER_JS)
    page = lab.open(chromium, CELLS)
    page.run_all("all ran")
    yield page
    page.close()


def show(page, selector, n=0):
    """Scroll a widget into sight (the notebook may keep cells far from the screen out of the document)."""
    cell = {EM: 1, BARS: 2, COUNT: 3 + n}[selector]
    page.evaluate(
        "n => { const c = jupyterapp.shell.currentWidget.content; c.activeCellIndex = n;"
        " return c.scrollToItem(n, 'start').then(() => 0); }",
        cell,
    )
    page.locator(selector).first.scroll_into_view_if_needed()
    page.wait(
        f"d.drawn > 0 && {'true' if selector == COUNT else 'd.' + {EM: 'logpx', BARS: 'gap'}[selector]}",
        selector,
    )


def press(page, selector, name):
    page.locator(selector).first.get_by_role("button", name=name, exact=True).click()


def painted(page, selector):
    """How many different colours the canvas holds; 1 would be a blank one."""
    return page.eval_on_selector(
        f"{selector} canvas",
        """c => { const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);
           return new Set(new Uint32Array(data.buffer)).size; }""",
    )


def rates(page, selector, key, seconds=4):
    """How fast data-<key> counts up, in each half second."""
    return page.eval_on_selector(
        selector,
        """async (element, [key, seconds]) => {
            const out = [];
            for (let i = 0; i < 2 * seconds; i++) {
                const [t, n] = [performance.now(), Number(element.dataset[key])];
                await new Promise(done => setTimeout(done, 500));
                out.push((1000 * (Number(element.dataset[key]) - n)) / (performance.now() - t));
            }
            return out; }""",
        [key, seconds],
    )


def plays(page, selector, key):
    """Does it go on in most half seconds? How fast is for benchmarks: here, others want this machine, too."""
    return sorted(rates(page, selector, key))[4] > 0


def drag(page, selector, start, by):
    box = page.locator(f"{selector} canvas").first.bounding_box()
    x, y = box["x"] + start[0], box["y"] + start[1]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by[0] / 2, y + by[1] / 2, steps=4)
    page.mouse.move(x + by[0], y + by[1], steps=4)
    page.mouse.up()


# ---- with a kernel ----


def test_em_draws_and_steps_in_the_kernel(book):
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
    # It was the kernel that did it, and the page shows its numbers (as float32).
    told = json.loads(
        book.run_code("import json; print(json.dumps([len(stepper.history), stepper.history[-1].log_px]))")
    )
    assert told == [3, pytest.approx(float(book.data(EM)["logpx"]), rel=1e-6)]
    assert book.errors == []


def test_em_plays_and_pauses(book):
    show(book, EM)
    press(book, EM, "New start: from other points")
    book.wait("d.step === '0' && d.start === '1'", EM)
    press(book, EM, "Play: E and M in turn")
    book.wait("d.playing === 'true' && d.step > 1", EM)
    assert plays(book, EM, "drawn")
    press(book, EM, "Pause")
    book.wait("d.playing === 'false'", EM)
    stopped = book.data(EM)["step"]
    time.sleep(1.2)
    assert book.data(EM)["step"] == stopped
    assert book.errors == []


def test_em_plays_until_it_settles(book):
    show(book, EM)
    book.locator(EM).first.get_by_label("Speed: steps per second").select_option("30")
    press(book, EM, "Play: E and M in turn")
    book.wait("d.playing === 'false' && d.step > 20", EM, timeout=60)
    assert "Settled" in book.locator(f"{EM} [role=status]").first.text_content()
    logs = json.loads(book.run_code("import json; print(json.dumps([s.log_px for s in stepper.history]))"))
    assert all(b > a - 1e-9 for a, b in itertools.pairwise(logs))


def test_em_rewinds_and_the_kernel_follows(book):
    show(book, EM)
    last = book.data(EM)["step"]
    slider = book.locator(EM).first.get_by_label("Timeline: rewind to an earlier half-step")
    slider.focus()
    slider.press("Home")
    for _ in range(3):
        slider.press("ArrowRight")
    book.wait("d.step === '3'", EM)
    assert book.data(EM)["steps"] == last  # a rewind forgets nothing
    assert book.wait_code("print(stepper.shown)", lambda told: told.strip() == "3").strip() == "3"


def test_a_mean_is_dragged_and_the_kernel_takes_the_start(book):
    show(book, EM)
    before = book.data(EM)
    drag(book, EM, json.loads(before["handles"])[0], (40, -30))
    book.wait("d.kind === '3' && d.steps === '0'", EM)
    after = book.data(EM)
    assert json.loads(after["means"])[0] != json.loads(before["means"])[0]
    assert float(after["gap"]) > float(before["gap"])
    kernel = json.loads(book.run_code("print(stepper.state.parameters.means.tolist())"))
    # The mean goes to the kernel as float64 and comes back in a frame of float32.
    assert kernel[0] == pytest.approx(json.loads(after["means"])[0], rel=1e-6)
    assert book.errors == []


def test_em_takes_another_number_of_components_and_steps_from_python(book):
    show(book, EM)
    book.locator(EM).first.get_by_label("Number of components").select_option("5")
    book.wait("d.k === '5' && d.step === '0'", EM)
    book.run_code("stepper.do('EMEM')")
    book.wait("d.step === '4' && d.kind === '2'", EM)
    assert book.run_code("print(len(stepper.state.parameters.weights))").strip() == "5"


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
    book.wait(f"d.sigma < {float(moved['sigma']) - 0.1} && d.past > {moved['past']}", BARS)  # and let go
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


def test_the_base_plays_two_views_from_one_kernel_without_losing_a_frame(book):
    show(book, COUNT)
    assert book.locator(COUNT).count() == 2
    press(book, COUNT, "go")
    book.wait("d.frame > 10", COUNT)
    assert plays(book, COUNT, "frame")
    assert book.run_code("print(6 * 7)").strip() == "42"  # the kernel is free between batches
    both = book.eval_on_selector_all(
        COUNT, "all => all.map(e => [e.dataset.value, e.dataset.jumps, e.dataset.frame])"
    )
    assert both[0] == both[1]
    assert both[0][1] == "0"  # in order, none lost
    press(book, COUNT, "go")
    book.wait("d.playing === 'false'", COUNT)
    # One request for six frames, and never more than a batch in hand and a batch on its way.
    data = book.data(COUNT)
    asked, n = json.loads(book.run_code("print([counter.asked, counter.n])"))
    assert n == 12 * asked
    assert 0 <= n - float(data["value"]) <= 24
    assert book.errors == []


def test_a_slow_kernel_slows_the_picture_and_is_not_flooded(book):
    show(book, COUNT)
    book.run_code("counter.slow = 0.5; counter.asked = 0")
    began = time.monotonic()
    press(book, COUNT, "go")
    time.sleep(3)
    asked, took = int(book.run_code("print(counter.asked)")), time.monotonic() - began
    press(book, COUNT, "go")
    assert 2 <= asked <= took / 0.5 + 1  # one after another, and one under way
    assert book.data(COUNT)["jumps"] == "0"
    book.run_code("counter.slow = 0.0")


def test_an_error_in_the_kernel_is_one_sentence_in_the_browser(book):
    show(book, COUNT)
    book.wait("d.playing === 'false'", COUNT)
    book.run_code("counter.fail = True")
    press(book, COUNT, "go")
    # in the widget itself: the sentence also stands in the first cell's source
    book.page.locator(f"{COUNT} .status", has_text="The count has come to its end.").first.wait_for()
    book.wait("d.playing === 'false'", COUNT)
    book.run_code("counter.fail = False")
    press(book, COUNT, "go")
    now = int(book.data(COUNT)["frame"])
    book.wait(f"d.frame > {now + 5}", COUNT)
    assert book.errors == []


def stands_still(page):
    """Does the counter in the kernel come to a stand, once batches on their way have come in?"""
    counts = [page.run_code("print(counter.n)")]
    for _ in range(5):  # a busy machine takes its time to notice that nobody looks
        time.sleep(0.8)
        counts.append(page.run_code("print(counter.n)"))
        if counts[-1] == counts[-2]:
            return True
    return False


def goes_on(page):
    """Does the counter in the kernel count?"""
    first = page.run_code("print(counter.n)")
    return page.wait_code("print(counter.n)", lambda now: now != first) != first


def test_nothing_is_computed_out_of_sight(book):
    show(book, COUNT)
    if book.data(COUNT)["playing"] == "false":
        press(book, COUNT, "go")
    assert goes_on(book)
    show(book, EM)  # far enough up that both counters leave the screen
    assert stands_still(book)
    show(book, COUNT)
    assert goes_on(book)
    hide = """hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
              document.dispatchEvent(new Event('visibilitychange')); }"""
    book.evaluate(hide, True)
    assert stands_still(book)
    book.evaluate(hide, False)
    assert goes_on(book)


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
    # Of MathJax and RequireJS, which nbconvert asks a CDN for in vain, nothing is held against the widgets.
    page.errors[:] = [e for e in page.errors if "MathJax" not in e and "require" not in e]
    assert page.locator("[data-course] img").count() == 0  # the pictures have given way
    assert painted(page, EM) > 20
    press(page, EM, "E-step: compute the responsibilities")
    page.wait("d.step === '1' && d.gap < 1e-9", EM)
    press(page, EM, "Play: E and M in turn")
    page.wait("d.step > 3", EM)
    press(page, EM, "Pause")
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


def test_a_closed_tab_stops_the_training(book, lab, chromium):
    """The last test of `book`: it closes the tab and asks the same kernel from another."""
    show(book, COUNT)
    if book.data(COUNT)["playing"] == "false":
        press(book, COUNT, "go")
    assert goes_on(book)
    path = book.path
    book.page.close()
    other = lab.open(chromium, path)
    other.wait_for_function("() => jupyterapp.shell.currentWidget.context.sessionContext.session?.kernel")
    assert int(other.run_code("print(counter.n)")) > 0  # the same kernel
    assert stands_still(other)
    other.close()
