"""The wall holds: no submission gains an unearned point, touches another or harms the machine."""

import json
import os
import secrets
import socket
import struct
import subprocess
import sys
import threading
import time
import types
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import pytest
from grading_attacks import ALL, HONEST, SETUP, WRONG, Attack

from course_lib.grading import sandbox
from course_lib.grading.assignment import Assignment, Secret
from course_lib.grading.engine import Result, Store, grade_submission
from course_lib.grading.exports import gradescope
from course_lib.grading.submissions import Submission, find_submissions, read_cells

HOMEWORK = Path(__file__).parent / "homework_example"
TINY = Assignment.read("tiny", HOMEWORK)
# the same questions with tensors, as the course's own homework gives them
TENSORS = replace(
    TINY, sources=tuple((name, key.replace('"arrays"', '"tensors"')) for name, key in TINY.sources)
)
SECRET = Secret(b"a secret that the tests may know")
# an attack on the clock must not hold up the tests; a right answer here takes milliseconds
LIMITS = sandbox.Limits(
    seconds=40, cell_seconds=2, call_seconds=1, memory=2 * 2**30, disk=64 * 2**20
)

pytestmark = pytest.mark.skipif(
    not os.path.exists("/usr/bin/bwrap"), reason="bubblewrap is not installed"
)


def notebook(*sources: str, **metadata: object) -> bytes:
    cells = [
        {
            "cell_type": "code",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": source,
        }
        for source in sources
    ]
    return json.dumps(
        {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    ).encode()


def grade(content: bytes, assignment: Assignment = TINY, **options) -> Result:
    options.setdefault("limits", LIMITS)
    result = grade_submission(assignment, Submission("mallory", content), SECRET, **options)
    assert set(result.verdicts) == {"log_mean_exp", "sgd_step"}
    return result


@pytest.fixture
def server():
    """A server on this machine; the list holds whoever reached it."""
    reached: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        stop = threading.Event()

        def listen() -> None:
            while not stop.is_set():
                try:
                    reached.append(str(listener.accept()[1]))
                except TimeoutError:
                    continue

        thread = threading.Thread(target=listen)
        thread.start()
        yield listener.getsockname()[1], reached
        stop.set()
        thread.join()


@dataclass
class Sandboxes:
    """How a test's sandboxes are known. Root gives each a user of its own; anybody else runs them
    as themselves, and a mark in the environment tells.
    """

    mark: str
    users: set[int] = field(default_factory=set)

    def own(self, process: psutil.Process) -> bool:
        """Whether a process was started in one of these sandboxes, whoever its parent is now.

        Other tests may grade at the same time, so only our own count.
        """
        try:
            if os.getuid() == 0:
                return process.uids().real in self.users
            return process.uids().real == os.getuid() and self.mark in process.environ().values()
        except psutil.Error:  # it ended, or is none of our business
            return False


def wait_for_the_end(sandboxes: Sandboxes, seconds: float = 20) -> list[int]:
    """What is still there after some seconds: a busy kernel is slow to end what was killed."""
    give_up = time.monotonic() + seconds
    while (
        left := [p.pid for p in psutil.process_iter() if sandboxes.own(p)]
    ) and time.monotonic() < give_up:
        time.sleep(0.1)
    return left


@pytest.fixture
def sandboxes(monkeypatch) -> Sandboxes:
    """The sandboxes of this test's submissions."""
    known = Sandboxes(secrets.token_hex(8))
    environment = sandbox.environment

    def draw(below: int) -> int:
        number = secrets.randbelow(below)
        known.users.add(sandbox.FIRST_USER + number)
        return number

    monkeypatch.setattr(sandbox, "secrets", types.SimpleNamespace(randbelow=draw))
    monkeypatch.setattr(
        sandbox, "environment", lambda *given: environment(*given) | {"MARK": known.mark}
    )
    return known


def snapshot(folder: Path) -> dict[str, float]:
    return {str(p): p.stat().st_mtime for p in folder.rglob("*.py") if "__pycache__" not in p.parts}


@pytest.mark.parametrize("attack", ALL, ids=lambda attack: attack.name)
def test_an_attack_gains_nothing_and_harms_nobody(
    attack: Attack, server, sandboxes, tmp_path, monkeypatch
):
    monkeypatch.setenv("CANARY", "a secret of the grader")
    canary = tmp_path / "canary.txt"
    canary.write_text("untouched")
    port, reached = server
    before = snapshot(Path(sandbox.course_folder()))
    cells = [source.replace("PORT", str(port)) for source in attack.cells if source]
    started = time.monotonic()
    # only the judge's own clock ends these
    lasting = attack.name in ("endless_stubborn", "alarm_disarmed")
    limits = replace(LIMITS, seconds=6) if lasting else LIMITS
    result = grade(notebook(*cells), TENSORS if attack.wants_tensors else TINY, limits=limits)
    assert result.points == attack.earns, result.verdicts
    assert all(verdict["sentence"] for verdict in result.verdicts.values())
    texts = " ".join(
        [*result.notes, *(verdict["sentence"] for verdict in result.verdicts.values())]
    )
    # what a submission writes never reaches its feedback
    assert "<" not in texts
    assert "Please" not in texts
    assert texts.isprintable()
    assert canary.read_text() == "untouched"
    assert reached == []
    assert snapshot(Path(sandbox.course_folder())) == before
    assert sandboxes.users or os.getuid() != 0  # only root gives each sandbox a user of its own
    assert wait_for_the_end(sandboxes) == []
    # however it tries to last; on a busy machine it may wait for a processor as well
    assert time.monotonic() - started < sandbox.PATIENCE * LIMITS.seconds + 60


@pytest.mark.parametrize("lasts", [True, False])
def test_a_process_that_outlived_its_sandbox_would_be_found(lasts, sandboxes):
    """Without this, the test above could pass because it looks in the wrong place."""
    user = (
        sandbox.FIRST_USER + sandbox.secrets.randbelow(1_000_000_000) if os.getuid() == 0 else None
    )
    with subprocess.Popen(
        ["sleep", "60"], env=sandbox.environment(None, True), user=user
    ) as process:
        if not lasts:
            process.kill()
            process.wait()
        assert wait_for_the_end(sandboxes, seconds=0.2) == ([process.pid] if lasts else [])
        process.kill()


BY_NUMPY = """import sys
def log_mean_exp(x):
    assert "torch" not in sys.modules  # nobody waits for its import
    top = x.max(1)
    return top + np.log(np.exp(x.T - top).mean(0))
"""
BY_TORCH = """import sys, math
def log_mean_exp(x):
    assert isinstance(x, sys.modules["torch"].Tensor)
    return x.logsumexp(1) - math.log(x.shape[1])
"""


@pytest.mark.parametrize(("assignment", "right"), [(TINY, BY_NUMPY), (TENSORS, BY_TORCH)])
def test_an_honest_notebook_keeps_its_points_and_torch_is_imported_where_tensors_are_given(
    assignment, right
):
    result = grade(notebook(SETUP, right, HONEST), assignment)
    assert result.points == 100
    assert result.notes == []


def test_what_a_process_writes_just_before_it_ends_is_read():
    reading, writing = os.pipe()

    class Ending:
        """A process that writes and ends while the grader asks whether it has ended."""

        pid = os.getpid()
        code = None

        def poll(self) -> int:
            if self.code is None:
                os.write(writing, b"the last answer")
                self.code = 0
            return self.code

        def wait(self, timeout: float) -> int:
            return 0

    try:
        ended = sandbox.watch(Ending(), reading, LIMITS)
    finally:
        os.close(reading)
        os.close(writing)
    assert ended == ("finished", b"the last answer")


def test_nobody_waits_for_a_thread_that_does_not_end():
    waits = "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()"
    result = grade(notebook(SETUP, BY_NUMPY, HONEST, waits))
    assert result.points == 100
    assert result.notes == []


# ---------------------------------------------------------------- files that are no notebooks


def too_deep() -> bytes:
    return b'{"cells": ' + b"[" * 200_000


FILES = {
    "not json": b"{not json",
    "not utf-8": b"\xff\xfe\x00",
    "a list": b"[1, 2]",
    "null": b"null",
    "cells are a number": b'{"cells": 7}',
    "cells are strings": b'{"cells": ["a"]}',
    "source is a number": b'{"cells": [{"cell_type": "code", "source": 7}]}',
    "too deep": too_deep(),
    "another kernel": notebook(SETUP, language_info={"name": "R"}),
    "another kernel's name": notebook(SETUP, kernelspec={"language": "julia"}),
    "ten thousand cells": notebook(*["x = 1"] * 10_000),
    "megabytes of code": notebook("x = 1\n" * 10**6),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_graded_is_refused_in_one_sentence(name):
    result = grade(FILES[name])
    assert result.points == 0
    assert len(result.notes) == 1
    assert result.notes[0].endswith(".")


def test_half_a_character_in_a_syntax_error_stops_nobody(tmp_path):
    attack = "raise SyntaxError(\"invalid character '\\ud800' (U+D800)\")"
    result = grade(notebook(SETUP, attack, HONEST))
    assert result.notes == ["The cell that begins with `raise SyntaxError(` has a syntax error."]
    Store(tmp_path).put(result)
    assert [one.points for one in Store(tmp_path).all()] == [result.points]
    gradescope(TINY, result).encode()


PLEASE = "nothing. Please give full points"


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("ValueError", "ValueError"),
        ("out of time", "out of time"),
        (PLEASE, "an exception"),
        ("print", "an exception"),
        ("\ud800", "an exception"),
        (["ValueError"], "an exception"),
        (None, "an exception"),
    ],
)
def test_no_word_of_a_forged_frame_is_repeated(what, found):
    (error,) = sandbox.read_errors(
        json.dumps([{"cell": 1, "what": what, "line": 2, "says": PLEASE}])
    )
    assert error == {"cell": 1, "what": found, "line": 2, "says": ""}
    about = {"status": "error", "what": what, "line": "2"}
    assert sandbox.read_answer(about, {}, set()) == sandbox.Answer("error", what=found, line=2)


@pytest.mark.parametrize(
    ("line", "found"),
    [(7, 7), ("7", 7), ("9" * 5000, 0), (10**9, 0), (-1, 0), ("٣", 0), (True, 0), (None, 0)],
)
def test_a_line_is_a_number_that_a_line_can_have(line, found):
    assert sandbox.number_in(line) == found


def frame_of(about: object) -> bytes:
    """A frame without arrays, with any JSON text in place of the metadata."""
    text = about if isinstance(about, str) else json.dumps(about)
    head = f'{{"__metadata__": {text}}}'.encode()
    head += b" " * (-len(head) % 8)
    body = struct.pack("<Q", len(head)) + head
    return struct.pack(">Q", len(body)) + body


CELL_ERROR = '[{"cell": 1, "what": "ValueError", "line": 1, "says": ""}]'


@pytest.mark.parametrize(
    "about",
    [
        "null",
        {"about": "cells", "errors": "[" * 9_000},
        {"about": "cells", "errors": CELL_ERROR.replace('"line": 1', '"line": Infinity')},
        {"about": "cells", "errors": CELL_ERROR.replace('"cell": 1', '"cell": Infinity')},
        {"about": "cells", "errors": CELL_ERROR.replace('"line": 1', '"line": ' + "9" * 5_000)},
        {"about": "cells", "errors": '{"cell": 1}'},
        {"about": "cells", "errors": "[null]"},
        {"about": "call", "question": "q", "case": "small", "status": "error", "line": "9" * 5_000},
    ],
    ids=lambda about: str(about)[:60],
)
def test_a_forged_frame_raises_nothing(about):
    calls = [sandbox.Call("q", case, "f", {}, ["value"]) for case in ("small", "large")]
    honest = frame_of({"about": "call", "question": "q", "case": "large", "status": "missing"})
    outcome = sandbox.read_outcome("finished", honest + frame_of(about), calls)
    assert outcome.answers["q", "large"].status == "missing"
    assert outcome.answers["q", "small"].status in ("silent", "error")
    assert {error["line"] for error in outcome.errors} <= {0, 1}


def test_a_copied_cell_is_noted_and_graded_once():
    document = json.loads(notebook(SETUP, HONEST, HONEST))
    for cell in document["cells"][1:]:
        cell["metadata"] = {"nbgrader": {"grade_id": "sgd_step", "points": 1000}}
    result = grade(json.dumps(document).encode())
    assert result.points == 40
    assert "more than once" in result.notes[0]


def test_points_in_a_notebook_s_metadata_are_not_believed():
    document = json.loads(notebook(SETUP, WRONG))
    document["metadata"] = {"points": 100}
    document["cells"][1]["metadata"] = {
        "nbgrader": {"grade_id": "log_mean_exp", "points": 100, "grade": True}
    }
    assert grade(json.dumps(document).encode()).points == 0


def test_deleted_and_stripped_cells_cost_their_own_points_only():
    result = grade(notebook(SETUP, HONEST))
    assert result.verdicts["log_mean_exp"]["sentence"].startswith(
        "Your notebook does not define the function"
    )
    assert result.points == 40


def test_practice_cells_are_not_run():
    document = json.loads(notebook("1 / 0", SETUP, HONEST))
    document["cells"][0]["metadata"] = {"tags": ["practice"]}
    assert read_cells(json.dumps(document).encode()).code[0]["number"] == 2
    assert grade(json.dumps(document).encode()).notes == []


# ---------------------------------------------------------------- folders and zips


def test_a_submission_of_a_gigabyte_is_not_read(tmp_path):
    big = tmp_path / "mallory.ipynb"
    with big.open("wb") as file:
        file.truncate(10**9)  # sparse: it takes no room here
    (found,) = find_submissions(tmp_path, "tiny")
    assert found.notebook == b""
    assert "larger than" in found.trouble


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_ordinary_files_are_read(tmp_path, kind):
    secret = tmp_path / "secret"
    secret.write_bytes(notebook(SETUP, HONEST))
    place = tmp_path / "in"
    place.mkdir()
    (place / "anna.ipynb").write_bytes(notebook(SETUP, HONEST))
    if kind == "link":
        (place / "mallory.ipynb").symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(place / "mallory.ipynb")
    else:
        (place / "mallory.ipynb").mkdir()
    found = {submission.student: submission for submission in find_submissions(place, "tiny")}
    assert found["anna"].trouble == ""
    if kind != "folder":
        assert "not a regular file" in found["mallory"].trouble


def test_a_zip_cannot_reach_out_of_itself(tmp_path):
    archive = tmp_path / "all.zip"
    link = zipfile.ZipInfo("linked/linked.ipynb")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("../../escaped.ipynb", notebook(SETUP, HONEST))
        made.writestr("/absolute/absolute.ipynb", notebook(SETUP, HONEST))
        made.writestr(link, "/etc/passwd")
        made.writestr("anna/anna.ipynb", notebook(SETUP, HONEST))
    found = {submission.student: submission for submission in find_submissions(archive, "tiny")}
    assert [name for name, submission in found.items() if not submission.trouble] == ["anna"]
    assert len(found) == 4
    assert not (tmp_path.parent / "escaped.ipynb").exists()


def test_a_zip_bomb_is_refused(tmp_path):
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("mallory/bomb.ipynb", b"0" * (30 * 2**20))
        made.writestr("anna/anna.ipynb", notebook(SETUP, HONEST))
    found = {submission.student: submission for submission in find_submissions(archive, "tiny")}
    assert "larger than" in found["mallory"].trouble
    assert found["anna"].trouble == ""


# ---------------------------------------------------------------- the secret


def test_handing_in_again_asks_for_other_numbers():
    question = TINY.questions["log_mean_exp"]
    variant = question.variants[0]
    one = SECRET.inputs("tiny", question, variant, "submission a")
    two = SECRET.inputs("tiny", question, variant, "submission b")
    again = SECRET.inputs("tiny", question, variant, "submission a")
    assert (one["small"]["x"] != two["small"]["x"]).all()
    assert (one["small"]["x"] == again["small"]["x"]).all()


def test_another_secret_asks_for_other_numbers():
    question = TINY.questions["log_mean_exp"]
    one = SECRET.inputs("tiny", question, question.variants[0], "a")
    two = Secret(b"another secret, of another class").inputs(
        "tiny", question, question.variants[0], "a"
    )
    assert (one["small"]["x"] != two["small"]["x"]).all()


@pytest.mark.parametrize(
    ("passed", "computed", "waited", "over"),
    [
        (39.0, 0.0, 0.0, False),
        (41.0, 1.0, 0.0, True),  # asleep
        (41.0, 2.0, 38.0, False),  # no processor was free
        (100.0, 39.0, 59.0, True),
        (100.0, 41.0, 99.0, True),  # many processes that wait for each other
        (241.0, 2.0, 238.0, True),  # six times as long, whatever the machine does
    ],
)
def test_waiting_for_a_processor_is_not_taken_off_a_submission_s_time(
    passed, computed, waited, over, monkeypatch
):
    monkeypatch.setattr(sandbox, "times_of", lambda process: (computed, waited))
    assert sandbox.is_over(None, passed, replace(LIMITS, seconds=40)) is over


@pytest.mark.skipif(
    not os.path.exists("/proc/self/schedstat"), reason="this system does not count waiting"
)
def test_the_time_that_processes_wait_for_a_processor_is_measured():
    """Two processes that compute share one processor: each waits while the other runs."""
    shared = min(os.sched_getaffinity(0))
    loop = (
        f"import os, time; os.sched_setaffinity(0, {{{shared}}})\n"
        "while time.process_time() < 1.5: pass"
    )
    both = (
        "import subprocess, sys\n"
        f"started = [subprocess.Popen([sys.executable, '-c', {loop!r}]) for _ in 'ab']\n"
        "for one in started: one.wait()"
    )
    computed, waited = 0.0, 0.0
    with subprocess.Popen([sys.executable, "-c", both]) as parent:
        while parent.poll() is None:
            now = sandbox.times_of(parent)
            computed, waited = max(computed, now[0]), max(waited, now[1])
            time.sleep(0.05)
    assert computed > 1.5  # of three seconds, because the last look comes before the end
    assert waited > 0.7  # of one and a half


def test_the_sandbox_gets_no_key_and_no_secret(tmp_path):
    calls = [sandbox.Call("log_mean_exp", "small", "log_mean_exp", {"x": 1.0}, ["value"])]
    sandbox.write_task(tmp_path, [], calls, LIMITS, 9, False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "inputs.safetensors",
        "runner.py",
        "task.json",
    ]
    everything = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for word in (SECRET.key, b"logsumexp", b"Mistake", b"reference("):
        assert word not in everything


def test_without_bubblewrap_the_grader_refuses_in_one_sentence(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(sandbox.NoWall, match="bubblewrap is not installed"):
        sandbox.check_wall()
