"""Every saved page as a visitor meets it: at rest while nothing happens, and accessible to all."""

from __future__ import annotations

import time

import pytest
from browser import Idleness, Page, violations
from test_notebooks import build

pytest_plugins = ["browser"]

WIDGET = ".course-widget"
CHAPTERS = build.all_notebooks()
SECONDS = 5
MOST = 0.01 * SECONDS  # of processor time: one per cent


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The pages of all chapters, made from the saved notebooks: chapter -> file."""
    folder = tmp_path_factory.mktemp("pages")
    files = {}
    for notebook in CHAPTERS:
        files[notebook.stem] = folder / f"{notebook.stem}.html"
        files[notebook.stem].write_text(build.page(notebook), encoding="utf-8")
    return files


def busy(tabs: dict[str, Idleness], seconds: float) -> dict[str, tuple[float, bool]]:
    """For each tab that takes too much or draws: processor seconds, and whether a widget was drawn again.

    All of them are waited for at once. Each is a window of its own, and so none counts as hidden.
    """
    before = {name: (tab.seconds(), tab.drawn()) for name, tab in tabs.items()}
    time.sleep(seconds)
    found = {}
    for name, tab in tabs.items():
        spent, drew = tab.seconds() - before[name][0], tab.drawn() != before[name][1]
        if spent > 0.01 * seconds or drew:
            found[name] = (round(spent, 3), drew)
    return found


def rests(tabs: dict[str, Idleness]) -> dict[str, tuple[float, bool]]:
    """The tabs that do not come to rest. What the browser itself tidies up after loading ends by and by."""
    restless = tabs
    for _ in range(4):
        restless = {name: tabs[name] for name in busy(restless, SECONDS)}
        if not restless:
            return {}
    return busy(restless, SECONDS)


def visible(page: Page) -> bool:
    return page.evaluate("!document.hidden")


def play(page: Page) -> None:
    """Play, until a few frames are drawn, then pause; a widget without Play is left alone."""
    button = page.locator(WIDGET).first.get_by_role("button", name="Play")
    if button.count() == 0:
        return
    drawn = int(page.data(WIDGET)["drawn"])
    button.click()
    page.wait(f"d.playing === 'true' && d.drawn > {drawn + 3}", WIDGET)
    page.locator(WIDGET).first.get_by_role("button", name="Pause").click()
    page.wait("d.playing === 'false'", WIDGET)


def test_no_page_computes_or_draws_while_nothing_happens(saved, chromium):
    """Off screen and on screen, untouched and after play and pause: the waits of all pages overlap."""
    pages = {name: Page(chromium, 1100, 900) for name in saved}
    try:
        for name, page in pages.items():
            page.goto(saved[name].as_uri(), wait_until="load")
        tabs = {name: Idleness(page) for name, page in pages.items()}
        alive = {name: page for name, page in pages.items() if page.locator(WIDGET).count()}
        assert len(alive) == 8  # chapter 08 has no widget
        assert all(visible(page) for page in pages.values())
        assert rests(tabs) == {}, "as opened, with the widget off screen"
        for page in alive.values():
            page.locator(WIDGET).first.scroll_into_view_if_needed()
        assert rests(tabs) == {}, "with the widget on screen, untouched"
        for page in alive.values():
            play(page)
        assert rests(tabs) == {}, "after play and pause, on screen"
        for page in alive.values():
            page.evaluate("scrollTo(0, 0)")
        assert rests(tabs) == {}, "after play and pause, off screen"
    finally:
        for page in pages.values():
            page.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("chapter", [notebook.stem for notebook in CHAPTERS])
def test_axe_finds_nothing_serious(saved, chromium, chapter, width):
    page = Page(chromium, width, 844)
    try:
        page.goto(saved[chapter].as_uri(), wait_until="load")
        assert violations(page) == []
        assert page.locator("th:empty").count() == 0
        assert page.evaluate("[document.documentElement.lang, document.title !== '']") == ["en", True]
        assert page.locator("main").count() == 1
    finally:
        page.close()
