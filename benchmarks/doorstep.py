"""Compare the toy GAN's page with other pages that explain a network.

The script prints what each page loads and how soon the page shows its picture.

    python benchmarks/doorstep.py [ganlab=FOLDER] [playground=FOLDER] [--elsewhere FOLDER] [--quick]

A FOLDER contains the published page, which is the branch gh-pages of github.com/poloclub/ganlab or
of github.com/tensorflow/playground. Our own page is built for the benchmark. All pages are served
by this machine to a browser with an empty cache and without a network. Requests to other hosts are
counted, and are answered with the files of the same name in `--elsewhere`, as a network would.
Chromium computes WebGL on the CPU.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import http.server
import importlib.util
import statistics
import sys
import tempfile
import threading
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Request, Route, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from browser import FLAGS, ROOT, Page, find_chromium

WATCHED = 30.0  # seconds after the first click
PATIENCE = 300_000  # milliseconds within which a page must show its picture
# For each page: a condition that is true when the picture is shown, the button that starts the
# page, and its progress.
READY = {
    "toygan": "document.querySelector('.course-widget')?.dataset.step === '80'",
    "ganlab": "document.querySelector('#vis-true-samples')?.childElementCount > 0",
    "playground": "document.querySelector('#heatmap canvas') && window['loss-test'].innerText",
}
PLAY = {"toygan": "button.main", "ganlab": "#play-pause-button", "playground": "#play-pause-button"}
COUNT = {
    "toygan": "document.querySelector('.course-widget').dataset.step",
    "ganlab": "document.querySelector('#iteration-count').innerText",
    "playground": "document.querySelector('#iter-number').innerText",
}
PHONE = {"is_mobile": True, "has_touch": True, "device_scale_factor": 2}
# The layout width of the page, its full width, and its font size: the median over all characters
# that are visible at first.
LETTERS = """() => {
    const sizes = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const text = walker.currentNode.textContent.trim();
        const parent = walker.currentNode.parentElement;
        if (!text || !parent.checkVisibility()) continue;
        const top = parent.getBoundingClientRect().top;
        if (top < 0 || top > innerHeight) continue;
        const size = parseFloat(getComputedStyle(parent).fontSize);
        for (const letter of text) sizes.push(size);
    }
    sizes.sort((a, b) => a - b);
    return [innerWidth, document.documentElement.scrollWidth, sizes[Math.floor(sizes.length / 2)]];
}"""


class Visit:
    """A page opened with an empty cache. Records its requests, and answers those to other hosts."""

    def __init__(
        self, browser: Browser, address: str, elsewhere: Path | None, width: int, **options
    ) -> None:
        self.page = Page(browser, width, 844 if width < 1000 else 800, **options)
        self.address = address
        self.elsewhere = elsewhere
        self.finished: list[Request] = []
        self.others: dict[str, int] = {}
        # Playwright cannot mark a list's own method as its handler
        self.page.on("requestfinished", lambda request: self.finished.append(request))
        self.page.on("request", self.count_other)
        self.page.route(self.is_elsewhere, self.answer)

    def own_files(self) -> dict[str, bytes]:
        """Return the files from the page's own host. Call this while the page is open."""
        own = [request for request in self.finished if request.url.startswith(self.address)]
        return {request.url: request.response().body() for request in own}

    def is_elsewhere(self, url: str) -> bool:
        return url.startswith("http") and not url.startswith(self.address)

    def count_other(self, request: Request) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            host = urlsplit(request.url).hostname
            self.others[host] = self.others.get(host, 0) + 1

    def answer(self, route: Route) -> None:
        name = Path(urlsplit(route.request.url).path).name
        if self.elsewhere and name and (self.elsewhere / name).is_file():
            route.fulfill(path=self.elsewhere / name)
        else:
            route.abort()

    def open(self, ready: str) -> tuple[float, float]:
        """Open the page.

        Returns the milliseconds to the load event and until the picture is shown.
        """
        self.page.add_init_script(
            f"""const look = () => {{
                if ({ready}) window.readyAt = performance.now();
                else requestAnimationFrame(look);
            }};
            addEventListener("DOMContentLoaded", look);"""
        )
        self.page.goto(self.address, wait_until="load", timeout=PATIENCE)
        self.page.wait_for_function("() => window.readyAt", timeout=PATIENCE)
        loaded = self.page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        return loaded, self.page.evaluate("readyAt")


def served(folder: Path) -> tuple[http.server.ThreadingHTTPServer, str]:
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(quiet, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}/"


def own_page(folder: Path) -> None:
    path = ROOT / "tools" / "site" / "build.py"
    spec = importlib.util.spec_from_file_location("site_build", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (folder / "index.html").write_text(module.toy_gan(), encoding="utf-8")


def first_seen(
    browser: Browser, name: str, address: str, elsewhere: Path | None, rounds: int
) -> Visit:
    """Print what the page loads and when it shows its picture. Returns the last visit."""
    visit = Visit(browser, address, elsewhere, 1280)
    times = [visit.open(READY[name])]
    while len(times) < rounds:
        visit.page.close()
        visit = Visit(browser, address, elsewhere, 1280)
        times.append(visit.open(READY[name]))
    loaded, seen = (statistics.median(column) for column in zip(*times, strict=True))
    files = visit.own_files().values()
    whole = sum(len(body) for body in files)
    packed = sum(len(gzip.compress(body)) for body in files)
    print(f"{name}: {len(files)} files, {whole:,} bytes ({packed:,} with gzip)")
    print(f"  requests to other hosts: {visit.others or 'none'}")
    print(f"  loaded after {loaded:.0f} ms, picture after {seen:.0f} ms (medians of {rounds})")
    print(f"  slowest: {max(times)}")
    return visit


def measure(browser: Browser, name: str, address: str, asked: argparse.Namespace) -> None:
    """Print the measurements of one page."""
    elsewhere, pictures = asked.elsewhere, asked.pictures
    page = first_seen(browser, name, address, elsewhere, asked.rounds).page
    page.screenshot(path=pictures / f"{name}_first.png")
    before = page.evaluate(COUNT[name])
    page.locator(PLAY[name]).first.click()
    page.wait_for_timeout(1000 * WATCHED)
    after = page.evaluate(COUNT[name])
    print(f"  starts at {before}; {WATCHED:.0f} s after the first click: {after}")
    page.screenshot(path=pictures / f"{name}_played.png")
    print(f"  errors: {page.errors[:3]}")
    page.close()
    phone = Visit(browser, address, elsewhere, 390, **PHONE).page
    phone.goto(address, wait_until="load", timeout=PATIENCE)
    phone.wait_for_function(f"() => {READY[name]}", timeout=PATIENCE)
    width, wide, letters = phone.evaluate(LETTERS)
    print(
        f"  on a phone of 390 pixels: laid out for {width} pixels, "
        f"{wide} pixels wide, {letters}-pixel type,"
    )
    print(f"  shown as {letters * 390 / width:.1f} pixels on the screen")
    phone.screenshot(path=pictures / f"{name}_phone.png")
    phone.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pages", nargs="*", metavar="NAME=FOLDER")
    parser.add_argument("--elsewhere", type=Path)
    parser.add_argument("--pictures", type=Path, help="the folder for screenshots of the pages")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two rounds instead of five")
    asked = parser.parse_args()
    asked.rounds = min(2, asked.rounds) if asked.quick else asked.rounds
    chromium = find_chromium()
    if chromium is None:
        print(
            "Nothing was measured, because Chromium was not found. Set COURSE_CHROMIUM to its path."
        )
        return
    flags = [flag for flag in FLAGS if flag != "--disable-gpu"]
    flags += ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        asked.pictures = asked.pictures or Path(folder)
        own_page(Path(folder))
        pages = {"toygan": Path(folder)} | {
            name: Path(where) for name, _, where in (page.partition("=") for page in asked.pages)
        }
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        for name, where in pages.items():
            server, address = served(where)
            measure(browser, name, address, asked)
            server.shutdown()
        browser.close()


if __name__ == "__main__":
    main()
