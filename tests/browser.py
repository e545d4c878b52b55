"""Open notebooks in a real JupyterLab or Notebook 7 with a real browser, for tests of widgets.

A test file says `pytest_plugins = ["browser"]` for the fixtures `lab` and `chromium`, and writes

    cells = ["from course_lib.widgets import ElboBars", "ElboBars()", "print('all ran')"]
    page = lab.open(chromium, cells)
    page.run_all("all ran")
    page.locator(".course-widget").first.click()
    assert page.errors == []

Everything is temporary (server root, settings, browser profile), on a free port with a random
token, and the browser can reach nothing but this machine. When a test fails, each open page is
photographed. Where Chromium or Playwright is missing the tests are skipped. $COURSE_CHROMIUM names
the browser if it is not on the path.

(PYTEST_DONT_REWRITE: this file is imported by tests and loaded as a plugin, in either order.)
"""

import contextlib
import functools
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import ClassVar

import nbformat
import psutil
import pytest

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

ROOT = Path(__file__).parent.parent
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Playwright's page.route breaks file URLs, so the network is cut where names are looked up.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def find_chromium(windowless: bool = False) -> str | None:
    """Path of the browser: $COURSE_CHROMIUM, or chromium, chromium-browser, google-chrome or
    chromium-headless-shell in PATH.

    With `windowless`, the last goes before the other three: it has no windows, and does the same
    with half the processor time.
    """
    own = os.environ.get("COURSE_CHROMIUM")
    shell = "chromium-headless-shell"
    others = ["chromium", "chromium-browser", "google-chrome"]
    names = [own, shell, *others] if windowless else [own, *others, shell]
    return next((path for name in names if name and (path := shutil.which(name))), None)


class Lab:
    """A server of JupyterLab and Notebook 7: its own process, temporary folders, small budgets."""

    def __init__(self, folder: Path):
        self.root = folder / "root"
        self.spare: list[Page] = []  # loading JupyterLab takes half a minute of processor time
        self.token = secrets.token_hex(16)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        homes = {
            f"JUPYTER_{name}_DIR": str(folder / name.lower())
            for name in ("CONFIG", "DATA", "RUNTIME")
        }
        homes["IPYTHONDIR"] = str(folder / "ipython")
        homes["JUPYTERLAB_SETTINGS_DIR"] = str(folder / "settings")
        homes["JUPYTERLAB_WORKSPACES_DIR"] = str(folder / "workspaces")
        for path in [*homes.values(), self.root]:
            Path(path).mkdir(parents=True)
        # No pop-up that asks whether to fetch news.
        config = folder / "config" / "labconfig" / "page_config.json"
        config.parent.mkdir()
        config.write_text(
            '{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}'
        )
        path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH")) if p)
        command = [
            sys.executable,
            "-m",
            "jupyter",
            "lab",
            "--no-browser",
            "--allow-root",
            "--ip=127.0.0.1",
        ]
        command += [
            f"--port={self.port}",
            "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={self.token}",
        ]
        command += [f"--ServerApp.root_dir={self.root}", "--LabApp.expose_app_in_browser=True"]
        command += ["--JupyterNotebookApp.expose_app_in_browser=True"]
        self.log = folder / "server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **homes, "PYTHONPATH": path, "COURSE_FAST": "1"},
                cwd=self.root,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        for _ in range(900):
            with contextlib.suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(f"{self.url}/api", timeout=2).close()
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.2)
        self.stop()
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        """End the server and its kernels, which live in sessions of their own."""
        kernels = []
        if self.process.poll() is None:
            kernels = psutil.Process(self.process.pid).children(recursive=True)
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.spare.clear()
        for kernel in psutil.wait_procs(kernels, timeout=5)[1]:
            kernel.kill()

    def open(
        self,
        browser,
        cells: list[str] | Path,
        width: int = 1100,
        height: int = 900,
        interface: str = "lab",
    ):
        """Open a notebook; returns a Page. A JupyterLab page that a test has closed is used again.

        `cells` are sources, or an .ipynb file: copied, unless it lies in this server's root
        already. `interface` is "lab" (JupyterLab) or "notebook" (Notebook 7).
        """
        name = f"test_{secrets.token_hex(4)}.ipynb"
        if isinstance(cells, Path) and cells.parent == self.root:
            name = cells.name
        elif isinstance(cells, Path):
            shutil.copy(cells, self.root / name)
        else:
            book = nbformat.v4.new_notebook(
                cells=[nbformat.v4.new_code_cell(source) for source in cells]
            )
            book.metadata["kernelspec"] = {
                "name": "python3",
                "display_name": "Python 3",
                "language": "python",
            }
            nbformat.write(book, self.root / name)
        if interface == "lab" and self.spare:
            page = self.spare.pop()
            Page.all_open.append(page)
            page.set_viewport_size({"width": width, "height": height})
            opening = (
                "path => jupyterapp.commands.execute('docmanager:open', { path }).then(() => 0)"
            )
            page.evaluate(opening, name)
        else:
            page = Page(browser, width, height)
            lab = f"lab/workspaces/{secrets.token_hex(4)}/tree"
            space = {"lab": lab, "notebook": "notebooks"}[interface]
            page.goto(f"{self.url}/{space}/{name}?token={self.token}&reset", timeout=90_000)
        page.wait_for_function(
            "name => window.jupyterapp?.shell?.currentWidget?.context?.isReady"
            " && jupyterapp.shell.currentWidget.context.path === name"
            " && document.querySelector('.jp-NotebookPanel')",
            arg=name,
            timeout=90_000,
        )
        page.evaluate("async () => { await jupyterapp.restored; jupyterapp.shell.collapseLeft(); }")
        page.lab = self if interface == "lab" else None
        page.errors.clear()  # the interface throws errors of its own while it loads
        page.path = self.root / name
        return page


# Ends the kernels and closes the tabs, without asking whether to save them.
EMPTY = """async () => {
    for (const tab of [...jupyterapp.shell.widgets("main")].filter((tab) => tab.context)) {
        await tab.context.sessionContext.shutdown();
        tab.context.model.dirty = false;
    }
    await jupyterapp.commands.execute("application:close-all");
}"""


class Page:
    """A Playwright page that collects what goes wrong (`errors`) and can run a notebook."""

    all_open: ClassVar[list["Page"]] = []
    pictures: ClassVar[Path | None] = None  # the folder for what a failed test looked like

    def __init__(self, browser, width: int = 1100, height: int = 900, **options):
        """`options` are the context's, as color_scheme="dark" or reduced_motion="reduce"."""
        Page.all_open.append(self)
        self.lab: Lab | None = None  # the server that may use this page again
        self.context = browser.new_context(viewport={"width": width, "height": height}, **options)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.page.set_default_timeout(60_000)  # a busy machine is slow, not wrong
        self.page.on("pageerror", lambda error: self.errors.append(f"page error: {error}"))
        self.page.on("console", self._console)

    def _console(self, message) -> None:
        # A missing file is the interface's affair, or a CDN that an exported page asks in vain.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.errors.append(f"console: {message.text}")

    def __getattr__(self, name: str):
        return getattr(self.page, name)

    def run_all(self, last_text: str, timeout: float = 240) -> None:
        """Run every cell; wait until the last code cell says `last_text` and the kernel is idle."""
        session = "jupyterapp.shell.currentWidget.context.sessionContext"
        idle = f"""() => {{ const k = {session}.session?.kernel;
                   return k && k.connectionStatus === 'connected' && k.status === 'idle'; }}"""
        self.page.wait_for_function(idle, timeout=timeout * 1000)
        self.page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells').then(() => 0)")
        # The notebook draws only cells near the screen, so the text is looked for in its model.
        self.page.wait_for_function(
            """text => { const cells = jupyterapp.shell.currentWidget.content.model.cells;
               let at = cells.length - 1;
               while (at > 0 && cells.get(at).type !== 'code') at--;
               return JSON.stringify(cells.get(at).toJSON().outputs ?? '').includes(text); }""",
            arg=last_text,
            timeout=timeout * 1000,
        )

    def run_code(self, code: str, timeout: float = 90) -> str:
        """Run code in the notebook's kernel, outside of its cells; returns what it printed."""
        return self.page.evaluate(
            """async ([code, ms]) => {
                const kernel = jupyterapp.shell.currentWidget.context.sessionContext.session.kernel;
                const future = kernel.requestExecute({ code });
                let text = '';
                future.onIOPub = m => {
                    if (m.content.text) text += m.content.text;
                    if (m.content.ename) text += m.content.ename + ': ' + m.content.evalue;
                };
                const busy = new Error('kernel is busy');
                const late = new Promise((_, no) => setTimeout(() => no(busy), ms));
                await Promise.race([future.done, late]);
                return text;
            }""",
            [code, timeout * 1000],
        )

    def wait_code(self, code: str, holds, timeout: float = 60) -> str:
        """Run code until holds(what it printed), as a busy machine delivers late; returns that."""
        late = time.monotonic() + timeout
        while not holds(printed := self.run_code(code)) and time.monotonic() < late:
            time.sleep(0.1)
        return printed

    def data(self, selector: str = ".course-widget") -> dict:
        """The element's data-* attributes, which the widgets keep up to date for tests."""
        return self.page.eval_on_selector(selector, "element => ({ ...element.dataset })")

    def wait(self, condition: str, selector: str = ".course-widget", timeout: float = 60) -> None:
        """Wait until a JavaScript condition on `d`, the element's data-* attributes, holds."""
        self.page.wait_for_function(
            f"s => {{ const d = document.querySelector(s)?.dataset; return d && ({condition}); }}",
            arg=selector,
            timeout=timeout * 1000,
        )

    def saved(self) -> nbformat.NotebookNode:
        """The notebook, saved, without what belongs to a kernel: as the course keeps notebooks."""
        self.page.evaluate("jupyterapp.commands.execute('docmanager:save').then(() => 0)")
        notebook = nbformat.read(self.path, as_version=4)
        for cell in notebook.cells:
            for output in cell.outputs:
                output.get("data", {}).pop(WIDGET_VIEW, None)
        return notebook

    def close(self) -> None:
        """Close the tab and forget its profile, or hand the empty page back to its server."""
        if self in Page.all_open:
            Page.all_open.remove(self)
        if self.lab:
            with contextlib.suppress(Exception):  # a page that cannot be emptied is not used again
                self.page.evaluate(EMPTY)
                self.lab.spare.append(self)
                return
        self.context.close()


def pytest_exception_interact(node, report) -> None:
    """A test or a fixture failed: keep a picture of each open page, and say where."""
    name = re.sub(r"\W+", "_", node.name)
    for number, page in enumerate(Page.all_open):
        path = Page.pictures / f"{name}_{number}.png"
        # a page that has died does not hide why the test failed
        with contextlib.suppress(Exception):
            page.screenshot(path=path, timeout=10_000)
            report.sections.append(("screenshot", str(path)))


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A headless Chromium without a network."""
    Page.pictures = tmp_path_factory.mktemp("screenshots")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = find_chromium(windowless=True)
    if path is None:
        pytest.skip("no Chromium found; install one or set COURSE_CHROMIUM to its path")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory, chromium):
    """A running JupyterLab; asks for `chromium` first: nothing starts where tests are skipped."""
    pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
    server = Lab(tmp_path_factory.mktemp("lab"))
    yield server
    server.stop()


def violations(page) -> list[str]:
    """What axe-core finds serious or critical: one line a rule, with the first three elements."""
    axe = Path(pytest.importorskip("axe_playwright_python").__file__).with_name("axe.min.js")
    page.evaluate(axe.read_text(encoding="utf-8"))
    found = page.evaluate(
        """async () => {
            // Experimental in axe, yet whoever speaks to the computer says what stands on a button.
            const rules = { "label-content-name-mismatch": { enabled: true } };
            const { violations } = await axe.run(document, { rules, resultTypes: ["violations"] });
            const html = (nodes) => nodes.map((node) => node.html.slice(0, 200));
            return violations.map(({ id, impact, nodes }) => [id, impact, html(nodes)]);
        }"""
    )
    grave = [row for row in found if row[1] in ("serious", "critical")]
    return [f"{rule} ({len(nodes)}): {' | '.join(nodes[:3])}" for rule, _, nodes in grave]


class Idleness:
    """How much processor time a page takes: of all threads of its process, so workers count too.

    It is time on the processor, not time that has passed: whatever else the machine does, it stays
    the same.
    """

    def __init__(self, page: Page):
        self.session = page.context.new_cdp_session(page.page)
        self.session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self.page = page

    def seconds(self) -> float:
        metrics = self.session.send("Performance.getMetrics")["metrics"]
        values = {metric["name"]: metric["value"] for metric in metrics}
        return max(values["TaskDuration"], values.get("ProcessTime", 0.0))

    def drawn(self) -> list[str]:
        """How often each widget of the page has been drawn."""
        return self.page.eval_on_selector_all(
            ".course-widget", "all => all.map((e) => e.dataset.drawn)"
        )


def run_node(folder: Path, source: str, function: str, argument):
    """As `run_module`, without a browser: until it draws, `source` must not need a page."""
    # a page is asked at once whether its reader wants less motion
    stub = "globalThis.window = { matchMedia: () => ({ matches: false }) };\n"
    (folder / "widget.mjs").write_text(source, encoding="utf-8")
    (folder / "argument.json").write_text(json.dumps(argument))
    (folder / "main.mjs").write_text(
        f'import fs from "fs";\n{stub}'
        'const m = await import("./widget.mjs");\n'
        f"const out = await ({function})(m, JSON.parse(fs.readFileSync('argument.json')));\n"
        "fs.writeFileSync('out.json', JSON.stringify(out));"
    )
    done = subprocess.run(
        ["node", "main.mjs"], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out.json").read_text())


@pytest.fixture
def javascript(request, tmp_path):
    """Runs a module's code in node (it starts in no time) where there is one, else in Chromium."""
    if shutil.which("node"):
        return functools.partial(run_node, tmp_path)
    return functools.partial(run_module, request.getfixturevalue("chromium"))


def run_module(browser, source: str, function: str, argument):
    """Import JavaScript `source` as a module m in an empty page; returns function(m, argument)."""
    page = Page(browser)
    try:
        return page.evaluate(
            f"""async ([source, argument]) => {{
                const url = URL.createObjectURL(new Blob([source], {{ type: "text/javascript" }}));
                return ({function})(await import(url), argument);
            }}""",
            [source, argument],
        )
    finally:
        page.close()
