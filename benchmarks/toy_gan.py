"""The widget ToyGAN under JupyterLab in headless Chromium: is it fluent, does it yield, does it stay small?

    python benchmarks/toy_gan.py [--minutes 1]

Frames a second are counted in half seconds of play. A pause is timed from the click to the moment the page
says so, with no frame after it. "1+1" is the time of a cell's answer while the game is played. Memory: what
kernel and page (garbage collected) hold more after so many minutes than after the first ten seconds. The
reference is the course's own promise, in the last column. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from browser import FLAGS, Lab, Page, find_chromium

GAN = ".course-widget"
CELLS = ["from course_lib.widgets import ToyGAN\ngame = ToyGAN()\ngame", "print('all ' + 'ran')"]
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


def rates(page: Page, seconds: float) -> list[float]:
    """Frames a second, in each half second."""
    return page.eval_on_selector(
        GAN,
        """async (e, n) => { const out = [];
        for (let i = 0; i < n; i++) {
            const [began, frame] = [performance.now(), Number(e.dataset.frame)];
            await new Promise((done) => setTimeout(done, 500));
            out.push((1000 * (Number(e.dataset.frame) - frame)) / (performance.now() - began));
        }
        return out; }""",
        int(2 * seconds),
    )


def answers(page: Page, n: int) -> list[float]:
    """Milliseconds until the kernel has answered 1+1."""
    out = []
    for _ in range(n):
        began = time.perf_counter()
        assert page.run_code("print(1 + 1)").strip() == "2"
        out.append(1000 * (time.perf_counter() - began))
        time.sleep(0.15)
    return out


def memory(page: Page) -> tuple[float, float]:
    """Megabytes of the kernel and of the page's objects."""
    kernel = float(page.run_code("import psutil; print(psutil.Process().memory_info().rss / 1e6)"))
    session = page.context.new_cdp_session(page.page)
    session.send("HeapProfiler.collectGarbage")
    heap = session.send("Runtime.getHeapUsage")
    session.detach()
    return kernel, (heap["usedSize"] + heap.get("backingStorageSize", 0)) / 1e6


def measure(page: Page, minutes: float) -> list[tuple[str, str, str]]:
    """Rows of the table."""
    rows = []
    page.wait("d.drawn > 0", timeout=60)
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait("d.frame > 10")
    time.sleep(10)
    before, frame, began = memory(page), int(page.data()["frame"]), time.monotonic()
    time.sleep(60 * minutes)
    overall = (int(page.data()["frame"]) - frame) / (time.monotonic() - began)
    grown = [after - start for after, start in zip(memory(page), before, strict=True)]
    rows.append((f"memory after {minutes:g} minutes more of play: kernel", f"{grown[0]:+.1f} MB", "< 50 MB"))
    rows.append((f"memory after {minutes:g} minutes more of play: page", f"{grown[1]:+.1f} MB", "< 50 MB"))
    rows.append(("frames a second over those minutes", f"{overall:.1f}", "≥ 25"))
    for value, words in (
        ("1", "30 rounds a second"),
        ("2", "60 rounds a second"),
        ("10", "300 rounds a second"),
    ):
        page.get_by_label("Speed", exact=True).select_option(value)
        time.sleep(1)
        fps, took = rates(page, 10), answers(page, 30)
        slow = f"{statistics.median(fps):.1f} (lowest half second {min(fps):.1f})"
        rows.append((f"frames a second, {words}: median", slow, "≥ 25"))
        late = f"{statistics.median(took):.0f} / {np.percentile(took, 95):.0f} / {max(took):.0f} ms"
        rows.append((f"1+1, {words}: median / 95th percentile / most", late, "≤ 150 ms"))
    page.get_by_label("Speed", exact=True).select_option("1")
    paused = page.eval_on_selector(GAN, PAUSES, 40)
    rows.append(("pause: 95th percentile", f"{np.percentile(paused, 95):.0f} ms", "≤ 150 ms"))
    assert page.errors == []
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=1, help="of play, for memory (default 1)")
    minutes = parser.parse_args().minutes
    path = find_chromium()
    if path is None:
        sys.exit("No Chromium found; install one or set COURSE_CHROMIUM to its path.")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser, lab = playwright.chromium.launch(executable_path=path, args=FLAGS), Lab(Path(folder))
        try:
            page = lab.open(browser, CELLS)
            page.run_all("all ran")
            rows = measure(page, minutes)
            version = browser.version
            page.close()
        finally:
            lab.stop()
            browser.close()
    print(
        f"\nToyGAN, its default game, JupyterLab in headless Chromium {version}, {os.cpu_count()} cores, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}.\n"
    )
    print("| measured | found | wanted |\n|---|---:|---:|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
