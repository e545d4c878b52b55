"""A class of three on a real JupyterHub, with the settings that docs/hub gives to instructors.

`make hub` installs what is needed and runs this file; `make thorough` runs it where that has been
done. Three things differ from a hub for a class: any password will do, servers are processes
instead of containers, and bubblewrap mounts the data read-only instead of Docker.
"""

from __future__ import annotations

import contextlib
import importlib.util
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
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import nbformat
import psutil
import pytest
from browser import ROOT, Page
from test_hub_files import CONFIG, links_for_students
from thorough import THOROUGH

pytest_plugins = ["browser"]
pytestmark = pytest.mark.timeout(4 * 900)

BESIDE_PYTHON = Path(sys.prefix) / "node_modules" / ".bin"  # where `make hub` installs the proxy
PROXY = shutil.which(
    "configurable-http-proxy", path=f"{BESIDE_PYTHON}{os.pathsep}{os.environ['PATH']}"
)
PACKAGES = ("jupyterhub", "jupyterhub_idle_culler", "nbgitpuller", "dockerspawner")
MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None]

if MISSING or PROXY is None:
    pytest.skip("needs JupyterHub and its proxy: `make hub` installs them", allow_module_level=True)
if not THOROUGH and not os.environ.get("COURSE_HUB"):
    pytest.skip("takes a minute: `make hub` and `make thorough` run it", allow_module_level=True)

import requests  # noqa: E402, JupyterHub brings both
import websocket  # noqa: E402

CHAPTER = "07_toy_gan.ipynb"
BOOK = nbformat.read(ROOT / "notebooks" / CHAPTER, as_version=4)
CODE = [(number, cell.source) for number, cell in enumerate(BOOK.cells) if cell.cell_type == "code"]
WIDGET = next((number, source) for number, source in CODE if source.strip() == "ToyGAN()")
FIRST = CODE[:4]  # imports, settings, data, networks
GAN = ".course-widget[data-gupdates]"
LIVE = "application/vnd.jupyter.widget-view+json"
BROWSES, *CALLS = (
    "ada",
    "bob",
    "cleo",
)  # the first works in Chromium, the others through their servers' API
# Seconds that anything may take: others may keep the machine busy, and patience costs nothing.
START = 900

# GB: a student's server, and what two builds of PyTorch differ by in their imports.
BEYOND_THE_KERNEL = 0.3
HAS_MNIST = Path(
    os.environ.get("COURSE_DATA", ""), "MNIST", "raw", "train-images-idx3-ubyte"
).exists()

WORK_ON_DATA = """
import os
from course_lib.data import mnist
digits = mnist()
path = os.path.join(os.environ["COURSE_DATA"], "MNIST", "raw", "train-images-idx3-ubyte")
print("file", os.stat(path).st_ino)
for name in ("new", "MNIST/raw/train-images-idx3-ubyte"):
    try:
        open(os.path.join(os.environ["COURSE_DATA"], name), "r+b" if "/" in name else "wb").close()
    except OSError as error:
        print("refused", error.strerror)
"""


def free_ports(count: int) -> list[int]:
    """Ports that are free now; all are held until the last is found, so that they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_for(condition, what: str, seconds: float = START) -> None:
    """Returns when the condition is true; until then, the hub may refuse connections."""
    late = time.monotonic() + seconds
    while time.monotonic() < late:
        with contextlib.suppress(requests.ConnectionError):
            if condition():
                return
        time.sleep(1)  # whoever asks more often slows down what is waited for
    raise TimeoutError(f"{what} took more than {seconds:.0f} s")


def read_only(folder: str) -> list[str]:
    """The start of a command that sees the folder as Docker mounts it; empty without bubblewrap."""
    command = ["bwrap", "--die-with-parent", "--dev-bind", "/", "/", "--ro-bind", folder, folder]
    if (
        shutil.which("bwrap") is None
        or subprocess.run([*command, "true"], capture_output=True).returncode
    ):
        return []
    return command


# ---------------------------------------------------------------- the hub


class Hub:
    """JupyterHub in a process of its own, with the instructors' settings, in a temporary folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.token = secrets.token_hex(16)  # of the service that ends idle servers
        port, inner, proxy = free_ports(3)
        self.url = f"http://127.0.0.1:{port}"
        self.data = os.environ["COURSE_DATA"] if HAS_MNIST else str(folder / "data")
        Path(self.data).mkdir(exist_ok=True)
        self.walled = read_only(self.data)
        (folder / "config.py").write_text(self.settings(inner, proxy))
        self.log = folder / "hub.log"
        path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH")) if p)
        programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(folder / "config.py")],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": path, "PATH": programs},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_for(self.answers, "the hub's start")
        except TimeoutError:
            self.stop()
            raise RuntimeError(
                f"JupyterHub did not start:\n{self.log.read_text()[-3000:]}"
            ) from None

    def settings(self, inner: int, proxy: int) -> str:
        """The instructors' settings, and what differs here."""
        root = ["--allow-root"] if os.geteuid() == 0 else []
        return f"""
load_subconfig({str(CONFIG)!r})
c.JupyterHub.bind_url = {self.url!r}
c.JupyterHub.hub_ip = "127.0.0.1"
c.JupyterHub.hub_port = {inner}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy}"
c.ConfigurableHTTPProxy.command = [{PROXY!r}]
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {str(self.folder / "homes" / "{username}")!r}
c.Spawner.start_timeout = c.Spawner.http_timeout = {START}
c.Spawner.cmd = {self.walled!r} + c.Spawner.cmd
c.Spawner.args = c.Spawner.args + {root!r} + ["--LabApp.expose_app_in_browser=True"]
c.Spawner.environment.update(COURSE_DATA={self.data!r}, COURSE_FAST="1")
c.JupyterHub.services[0]["api_token"] = {self.token!r}
"""

    def answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"JupyterHub ended:\n{self.log.read_text()[-3000:]}")
        return requests.get(f"{self.url}/hub/api", timeout=5).ok

    def api(self, path: str) -> dict:
        """What the hub answers to the service that ends idle servers."""
        header = {"Authorization": f"token {self.token}"}
        answer = requests.get(f"{self.url}/hub/api/{path}", headers=header, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def processes(self, name: str) -> list[psutil.Process]:
        """A student's server and kernels."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if (
                    process.environ().get("JUPYTERHUB_USER") == name
                    and "bwrap" not in process.name()
                ):
                    found.append(process)
        return found

    def stop(self) -> None:
        """End the hub, its proxy, all servers and all kernels."""
        everything = []
        if self.process.poll() is None:
            everything = psutil.Process(self.process.pid).children(recursive=True)
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        for process in psutil.wait_procs(everything, timeout=5)[1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture(scope="module")
def hub(tmp_path_factory, chromium):
    """Asks for `chromium` first, so that nothing starts where tests are skipped."""
    hub = Hub(tmp_path_factory.mktemp("hub"))
    yield hub
    hub.stop()


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> str:
    """The address of a repository with the chapters, as students would pull it from the web."""
    folder = tmp_path_factory.mktemp("repository")
    shutil.copytree(
        ROOT / "notebooks",
        folder / "notebooks",
        ignore=shutil.ignore_patterns(
            "__pycache__", ".ipynb_checkpoints", "homework", "source", "slides"
        ),
    )
    git = [
        "git",
        "-C",
        str(folder),
        "-c",
        "user.name=course",
        "-c",
        "user.email=course@example.org",
    ]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "The chapters"], check=True)
    return folder.as_uri()


def link_to(repository: str) -> tuple[str, dict[str, str]]:
    """Path and query of the link in docs/hub.md, for another repository and for this chapter."""
    (link,) = links_for_students()
    query = {name: values[0] for name, values in parse_qs(link.query).items()}
    query["repo"] = repository
    query["urlpath"] = query["urlpath"].rpartition("/")[0] + "/" + CHAPTER
    return link.path, query


# ---------------------------------------------------------------- students


class Student:
    """Somebody who logs in with a form, as a browser does, then works through the server's API."""

    def __init__(self, hub: Hub, name: str):
        self.hub = hub
        self.name = name
        self.url = f"{hub.url}/user/{name}"
        self.web = requests.Session()
        self.log_in()
        self.start_server()

    def log_in(self) -> None:
        self.web.get(f"{self.hub.url}/hub/login", timeout=30).raise_for_status()
        form = {"username": self.name, "password": "any", "_xsrf": self.secret()}
        login = self.web.post(
            f"{self.hub.url}/hub/login?next=/hub/home", data=form, allow_redirects=False, timeout=30
        )
        assert login.status_code == 302, login.text
        header = {"X-XSRFToken": self.secret(), "Referer": f"{self.hub.url}/hub/home"}
        mine = f"{self.hub.url}/hub/api/users/{self.name}/tokens"
        answer = self.web.post(mine, json={}, headers=header, timeout=30)
        answer.raise_for_status()
        self.web.headers["Authorization"] = f"token {answer.json()['token']}"

    def secret(self) -> str:
        return self.web.cookies.get("_xsrf", path="/hub/")

    def start_server(self) -> None:
        me = f"{self.hub.url}/hub/api/users/{self.name}"
        self.web.post(f"{me}/server", timeout=START).raise_for_status()

        def ready() -> bool:
            return self.web.get(me, timeout=30).json()["servers"].get("", {}).get("ready", False)

        wait_for(ready, f"{self.name}'s server")

    def pull(self, query: dict[str, str]) -> str:
        """Follow the instructor's link; returns what nbgitpuller reports at the end."""
        asked = {
            "repo": query["repo"],
            "branch": query["branch"],
            "targetpath": query["targetPath"],
        }
        answer = self.web.get(f"{self.url}/git-pull/api?{urlencode(asked)}", timeout=START)
        answer.raise_for_status()
        return answer.text.strip().splitlines()[-1]

    def open(self, path: str) -> None:
        """Start a kernel for a notebook and connect to it."""
        asked = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        answer = self.web.post(f"{self.url}/api/sessions", json=asked, timeout=START)
        answer.raise_for_status()
        address = f"{self.url}/api/kernels/{answer.json()['kernel']['id']}/channels"
        address = address.replace("http", "ws", 1)
        header = {"Authorization": self.web.headers["Authorization"]}
        self.kernel = websocket.create_connection(address, header=header, timeout=START)

    def run(self, source: str) -> list[dict]:
        """The outputs of a cell."""
        asked = uuid.uuid4().hex
        header = {
            "msg_id": asked,
            "msg_type": "execute_request",
            "username": self.name,
            "version": "5.3",
        }
        header |= {"session": self.name, "date": ""}
        content = {"code": source, "silent": False, "store_history": True, "user_expressions": {}}
        content |= {"allow_stdin": False, "stop_on_error": True}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        self.kernel.send(json.dumps(message | {"channel": "shell", "buffers": []}))
        outputs = []
        while True:
            received = self.kernel.recv()
            if isinstance(received, bytes):  # a widget's arrays
                continue
            answer = json.loads(received)
            if answer["parent_header"].get("msg_id") != asked:
                continue
            if answer["msg_type"] in ("stream", "display_data", "execute_result", "error"):
                outputs.append(answer["content"])
            if answer["msg_type"] == "status" and answer["content"]["execution_state"] == "idle":
                return outputs

    def leave(self) -> None:
        self.kernel.close()
        self.web.close()


def press(page: Page, name: str) -> None:
    page.locator(GAN).first.get_by_role("button", name=name, exact=True).click()


def told_memory(whose: str, process: psutil.Process) -> float:
    """Print the memory of a process; returns what is resident, in GB."""
    memory = process.memory_full_info()
    share = getattr(memory, "pss", memory.rss)  # only Linux tells
    print(
        f"{whose}: {memory.rss / 1e9:.2f} GB resident, share {share / 1e9:.2f}, own "
        f"{memory.uss / 1e9:.2f}"
    )
    return memory.rss / 1e9


def told(outputs: list[dict]) -> str:
    return "".join(output.get("text", "") for output in outputs)


def work(hub: Hub, name: str, query: dict[str, str]) -> tuple[Student, list[list[dict]]]:
    """Log in, pull the course, run the chapter's first cells and its widget's;
    returns what they showed.
    """
    student = Student(hub, name)
    assert "finished" in student.pull(query)
    student.open(f"{query['targetPath']}/notebooks/{CHAPTER}")
    return student, [student.run(source) for _, source in [*FIRST, WIDGET]]


def work_in_a_browser(hub: Hub, chromium, path: str, query: dict[str, str]) -> Page:
    """The same, with a mouse."""
    config = hub.folder / "homes" / BROWSES / ".jupyter" / "labconfig" / "page_config.json"
    config.parent.mkdir(parents=True)  # no pop-up that asks whether to fetch news
    config.write_text(
        '{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}'
    )
    page = Page(chromium, 1100, 1000)
    page.page.set_default_timeout(START * 1000)
    page.goto(f"{hub.url}{path}?{urlencode(query)}")
    page.fill("#username_input", BROWSES)
    page.fill("#password_input", "any")
    page.click("#login_submit")
    page.wait_for_url(re.compile(rf"/user/{BROWSES}/lab/tree/.*{re.escape(CHAPTER)}"))
    page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.context?.isReady")
    page.evaluate("async () => { await jupyterapp.restored; jupyterapp.shell.collapseLeft(); }")
    page.evaluate("jupyterapp.commands.execute('notebook:clear-all-cell-outputs').then(() => 0)")
    session = "jupyterapp.shell.currentWidget.context.sessionContext.session"
    page.wait_for_function(f"() => {session}?.kernel?.status === 'idle'")
    page.errors.clear()  # the interface throws errors of its own while it loads
    for number, _ in [*FIRST, WIDGET]:
        page.evaluate(
            """async number => {
                const book = jupyterapp.shell.currentWidget.content;
                book.activeCellIndex = number;
                await book.scrollToItem(number, 'start');
                await jupyterapp.commands.execute('notebook:run-cell');
            }""",
            number,
        )
    page.wait("d.step === '0'", GAN)
    return page


@pytest.fixture(scope="module")
def at_work(hub, chromium, repository):
    """All three at once: the page of the first, and the others with the outputs of their cells."""
    began = time.monotonic()
    path, query = link_to(repository)
    with ThreadPoolExecutor(len(CALLS)) as pool:
        calling = [pool.submit(work, hub, name, query) for name in CALLS]
        page = work_in_a_browser(hub, chromium, path, query)
        others = [each.result() for each in calling]
    print(
        "\nThree students logged in and ran the chapter's widget in "
        f"{time.monotonic() - began:.0f} s."
    )
    yield page, others
    for student, _ in others:
        student.leave()
    page.close()


# ---------------------------------------------------------------- the class


def test_every_cell_of_every_student_ran(at_work):
    page, others = at_work
    for _, outputs in others:
        assert [o for cell in outputs for o in cell if "ename" in o] == []
        (shown,) = [o for o in outputs[-1] if LIVE in o.get("data", {})]
        assert shown["data"][LIVE]["model_id"]
    cells = page.evaluate("jupyterapp.shell.currentWidget.content.model.toJSON().cells")
    for number, _ in [*FIRST, WIDGET]:
        assert cells[number]["execution_count"], f"cell {number} did not run"
        assert [o for o in cells[number]["outputs"] if o["output_type"] == "error"] == []


def test_the_widget_plays_in_the_browser_of_a_student(at_work):
    page, _ = at_work
    press(page, "Preset: balanced")
    page.wait("d.step === '0' && d.preset === 'balanced' && d.playing === 'false'", GAN)
    press(page, "Play")
    page.wait("d.step > 20 && d.frame > 5", GAN)
    press(page, "Pause")
    page.wait("d.playing === 'false'", GAN)
    assert page.errors == []


def test_the_memory_of_a_student(hub, at_work):
    """Resident memory counts a library in each process; a share divides it among its users."""
    limit = BOOK.metadata.course.memory.peak + BEYOND_THE_KERNEL
    for name in (BROWSES, *CALLS):
        processes = {}
        for process in hub.processes(name):
            kind = "kernel" if "ipykernel_launcher" in " ".join(process.cmdline()) else "server"
            processes[kind] = process
        assert set(processes) == {"kernel", "server"}
        total = sum(told_memory(f"{name}'s {kind}", each) for kind, each in processes.items())
        assert total < limit, f"{name} takes {total:.2f} GB, and {limit:.2f} were expected"
    told_memory("the hub", psutil.Process(hub.process.pid))
    for process in psutil.Process(hub.process.pid).children():
        if process.name() == "node":
            told_memory("the proxy", process)


@pytest.mark.skipif(not HAS_MNIST, reason="needs the whole MNIST in $COURSE_DATA")
def test_all_students_read_one_data_folder_and_nobody_writes_to_it(hub, at_work):
    page, others = at_work
    if not hub.walled:
        pytest.skip("needs bubblewrap to mount a folder read-only")
    before = sorted(os.listdir(hub.data))
    said = [told(student.run(WORK_ON_DATA)) for student, _ in others]
    said.append(page.run_code(WORK_ON_DATA, timeout=START))
    files = set()
    for text in said:
        assert "60,000 training digits from $COURSE_DATA" in text, text
        assert text.count("refused Read-only file system") == 2, text
        files.add(re.search(r"file (\d+)", text)[1])
    assert len(files) == 1
    assert sorted(os.listdir(hub.data)) == before


def test_no_student_computes_with_more_threads_than_given(at_work):
    _, others = at_work
    for student, _ in others:
        assert told(student.run("import os; print(os.environ['OMP_NUM_THREADS'])")).strip() == "1"


def test_the_servers_of_idle_students_end_and_their_files_stay(hub, at_work):
    """With the role of the instructors' settings, and a second of patience instead of an hour."""
    working = [process for name in CALLS for process in hub.processes(name)]
    assert len(working) == 2 * len(CALLS)  # a server and a kernel each
    patience = [f"--url={hub.url}/hub/api", "--timeout=1", "--cull-every=1"]
    culler = subprocess.Popen(
        [sys.executable, "-m", "jupyterhub_idle_culler", *patience],
        env=os.environ | {"JUPYTERHUB_API_TOKEN": hub.token},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(
            lambda: not any(process.is_running() for process in working), "ending idle servers"
        )
    finally:
        culler.terminate()
        culler.wait(10)
    for name in CALLS:
        assert (hub.folder / "homes" / name / "course" / "notebooks" / CHAPTER).exists()


# ---------------------------------------------------------------- the settings


def test_every_setting_exists():
    """traitlets only warns about a name that no class knows."""
    from dockerspawner import DockerSpawner
    from jupyterhub.app import JupyterHub
    from jupyterhub.auth import PAMAuthenticator
    from jupyterhub.proxy import ConfigurableHTTPProxy
    from test_hub_files import settings

    classes = (JupyterHub, DockerSpawner, PAMAuthenticator, ConfigurableHTTPProxy)
    known = {parent.__name__: each for each in classes for parent in each.mro()}
    for section, values in settings().items():
        for name in values:
            assert known[section].class_traits(config=True).get(name), f"{section}.{name}"
