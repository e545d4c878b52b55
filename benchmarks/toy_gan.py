"""Measure how fast the engine of the ToyGAN widget is alone, and in a page that also draws.

    python benchmarks/toy_gan.py [--minutes 1] [--quick]

The rounds per second of the preset "balanced" are measured in Node.js, which does nothing else, and
in Chromium, in a page opened from disk and in JupyterLab, at a requested speed of 300. Frames per
second are counted over half-second intervals of play. A pause is timed from the click until the
page reports it, and no frame may follow. "1+1" is the additional time that a cell needs while the
widget plays. Memory is the growth of the kernel and of the page (after garbage collection) from the
first ten seconds of play to the given number of minutes later. The last column contains the
targets. Run the benchmark on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from browser import FLAGS, Lab, Page, find_chromium, run_node

from course_lib.widgets import ToyGAN

GAN = ".course-widget"
CELLS = ["from course_lib.widgets import ToyGAN\ngame = ToyGAN()\ngame", "print('all ' + 'ran')"]
BY_ITSELF = """(m, { settings, tables }) => {
    const game = new (m.toyGanEngine().Game)(settings, tables);
    game.step(100);                      // by now the code has been compiled
    return Array.from({ length: 7 }, () => {
        const began = performance.now();
        game.step(200);
        return 200000 / (performance.now() - began);
    });
}"""
PAUSES = """async (e, n) => {
    const rest = (ms) => new Promise((done) => setTimeout(done, ms));
    const play = e.querySelector("button.main"), out = [];
    for (let i = 0; i < n; i++) {
        await rest(300 + 200 * Math.random());
        const began = performance.now();
        play.click();
        while (e.dataset.playing === "true") await new Promise(requestAnimationFrame);
        out.push(performance.now() - began);
        const frame = e.dataset.frame;
        await rest(250);
        if (e.dataset.frame !== frame) out.push(1e9);
        play.click();
    }
    return out;
}"""
RATES = """async (e, [key, n]) => {
    const out = [];
    for (let i = 0; i < n; i++) {
        const [began, before] = [performance.now(), Number(e.dataset[key])];
        await new Promise((done) => setTimeout(done, 500));
        out.push((1000 * (Number(e.dataset[key]) - before)) / (performance.now() - began));
    }
    return out;
}"""

Row = tuple[str, str, str]


def by_itself() -> Row:
    """Measure the rounds per second in Node.js."""
    if shutil.which("node") is None:
        return "rounds per second, in Node.js", "Node.js is not installed", "≥ 600"
    widget = ToyGAN("balanced")
    with tempfile.TemporaryDirectory() as folder:
        argument = {"settings": widget.settings, "tables": widget.tables}
        rates = run_node(Path(folder), ToyGAN.source, BY_ITSELF, argument)
    return "rounds per second, in Node.js", f"{statistics.median(rates):.0f}", "≥ 600"


def rates(page: Page, key: str, seconds: float) -> list[float]:
    """Return the rate at which data-<key> increases, for each half-second interval."""
    return page.eval_on_selector(GAN, RATES, [key, int(2 * seconds)])


def play(page: Page, speed: str) -> None:
    """Choose a speed, and play for a second."""
    page.get_by_label("Speed", exact=True).select_option(speed)
    button = page.get_by_role("button", name="Play", exact=True)
    if button.count():
        button.click()
    page.wait("d.playing === 'true' && d.frame > 10")
    time.sleep(1)


def painting(page: Page, where: str) -> list[Row]:
    """Measure frames and rounds per second while the page draws, and the delay of a pause."""
    play(page, "2")
    fps = rates(page, "frame", 10)
    found = f"{statistics.median(fps):.1f} (lowest half-second: {min(fps):.1f})"
    rows = [(f"frames per second, 60 requested, {where}", found, "≥ 55")]
    play(page, "10")
    rounds = statistics.median(rates(page, "step", 10))
    rows.append((f"rounds per second, 300 requested, {where}", f"{rounds:.0f}", "300"))
    paused = np.percentile(page.eval_on_selector(GAN, PAUSES, 30), 95)
    rows.append((f"pause, {where}: 95th percentile", f"{paused:.0f} ms", "≤ 50 ms"))
    assert page.errors == []
    return rows


def answers(page: Page, n: int = 30) -> float:
    """Return the median milliseconds until the kernel has answered 1+1."""
    out = []
    for _ in range(n):
        began = time.perf_counter()
        assert page.run_code("print(1 + 1)").strip() == "2"
        out.append(1000 * (time.perf_counter() - began))
        time.sleep(0.15)
    return statistics.median(out)


def memory(page: Page) -> tuple[float, float]:
    """Return the memory of the kernel and of the page's objects, in megabytes."""
    kernel = float(page.run_code("import psutil; print(psutil.Process().memory_info().rss / 1e6)"))
    session = page.context.new_cdp_session(page.page)
    session.send("HeapProfiler.collectGarbage")
    heap = session.send("Runtime.getHeapUsage")
    session.detach()
    return kernel, (heap["usedSize"] + heap.get("backingStorageSize", 0)) / 1e6


def beside_a_kernel(page: Page, minutes: float) -> list[Row]:
    """Measure the effect of a playing widget on the kernel, and the growth of memory."""
    page.wait("d.drawn > 0", timeout=60)
    resting = answers(page)
    play(page, "10")
    playing = answers(page)
    found = f"{resting:.0f} ms, and {playing - resting:+.0f} ms"
    words = "1+1 while the widget is paused, and the additional time while it plays"
    rows = [(words, found, "≤ +20 ms")]
    time.sleep(10)
    before = memory(page)
    time.sleep(60 * minutes)
    for where, after, start in zip(("kernel", "page"), memory(page), before, strict=True):
        words = f"memory growth in {minutes:g} more minutes of play: {where}"
        rows.append((words, f"{after - start:+.1f} MB", "< 50 MB"))
    return rows


def from_disk(folder: Path) -> str:
    """Write a page without a kernel, and return its URL."""
    path = folder / "toy_gan.html"
    html = ToyGAN()._repr_mimebundle_()[0]["text/html"]
    path.write_text(f'<meta charset="utf-8"><title>ToyGAN</title>{html}', encoding="utf-8")
    return path.as_uri()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--minutes", type=float, default=1, help="minutes of play for the memory test (default: 1)"
    )
    parser.add_argument("--no-lab", action="store_true", help="skip JupyterLab")
    parser.add_argument("--quick", action="store_true", help="the same as --minutes 0.2")
    options = parser.parse_args()
    options.minutes = 0.2 if options.quick else options.minutes
    path = find_chromium()
    if path is None:
        print(
            "Nothing was measured, because Chromium was not found. Set COURSE_CHROMIUM to its path."
        )
        return
    rows = [by_itself()]
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = Page(browser)
        page.goto(from_disk(folder))
        page.wait("d.drawn > 0")
        rows += painting(page, "a page from disk")
        page.close()
        if not options.no_lab:
            lab = Lab(folder)
            try:
                page = lab.open(browser, CELLS)
                page.run_all("all ran")
                rows += beside_a_kernel(page, options.minutes)
                rows += painting(page, "JupyterLab")
                page.close()
            finally:
                lab.stop()
        version = browser.version
        browser.close()
    print(
        f"\nToyGAN with its default game, headless Chromium {version}, {os.cpu_count()} cores, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}.\n"
    )
    print("| measured | found | target |\n|---|---:|---:|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
