"""Run each submission in bubblewrap, in a new folder, and read its arrays through a pipe.

A submission can return the type and the line number of an error, but never text that a student
could have written.

A submission has access to read-only system folders, the interpreter and its packages, `course_lib`
(except the grader) and the data, but not to the network, a home folder, other submissions or keys.
No files remain after the run. The kernel limits the number of processes, the size of files, and the
memory and processor time of each process. From outside the sandbox, `run` monitors the elapsed
time, the total memory of all processes and the number of bytes returned, and kills all processes if
any of these exceeds its limit.

The sandbox is only as strong as the Linux kernel. For protection against attackers with a kernel
exploit, grade in a virtual machine (see docs/homework.md).
"""

import builtins
import contextlib
import json
import os
import re
import secrets
import selectors
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import psutil
from safetensors import SafetensorError
from safetensors.numpy import load, save

import course_lib
from course_lib.grading.runner import waiting_time

RUNNER = Path(__file__).with_name("runner.py")
INSIDE = "/grading"  # the folder of the runner and its task in the sandbox
# links into /usr on current systems, folders on older ones
SYSTEM_LINKS = ("/bin", "/sbin", "/lib", "/lib64")
SYSTEM_FILES = ("/etc/fonts", "/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives")
# User IDs from this number upwards are not assigned to anyone on this machine.
FIRST_USER = 1_000_000_000
TICK = 0.1  # seconds between checks of the time and memory used
# Python's messages about the syntax errors that students make. Any other message is dropped,
# because a notebook can raise a SyntaxError with a message of its own.
SYNTAX_SENTENCES = (
    r"invalid syntax"
    r"(\. Perhaps you forgot a comma\?|\. Maybe you meant '==' or ':=' instead of '='\?)?",
    r"expected '[:(]'",
    r"'[(\[{]' was never closed",
    r"unmatched '[)\]}]'",
    r"closing parenthesis '[)\]}]' does not match opening parenthesis '[(\[{]'"
    r"( on line [0-9]{1,6})?",
    r"unexpected indent",
    r"unindent does not match any outer indentation level",
    r"expected an indented block after "
    r"'(if|elif|else|for|while|with|try|except|finally|match|case)' statement on line [0-9]{1,6}",
    r"expected an indented block after (function|class) definition on line [0-9]{1,6}",
    r"inconsistent use of tabs and spaces in indentation",
    r"unterminated (triple-quoted )?(f-)?string literal \(detected at line [0-9]{1,6}\)",
    r"invalid (decimal|hexadecimal) literal",
    r"invalid character '[^\x00-\x7f]' \(U\+[0-9A-F]{4,6}\)",
    r"invalid non-printable character U\+[0-9A-F]{4,6}",
    r"cannot assign to "
    r"(literal|expression|comparison|attribute|subscript|True|False|None|function call)"
    r"( here\. Maybe you meant '==' instead of '='\?)?",
    r"'(return|yield|await|break)' outside (async )?(function|loop)",
    r"Missing parentheses in call to 'print'\. Did you mean print\(\.\.\.\)\?",
    r"positional argument follows keyword argument",
)
# what may stop a cell or an answer; any other text in its place is dropped
KINDS = {
    "out of time",
    *(
        name
        for name, kind in vars(builtins).items()
        if isinstance(kind, type) and issubclass(kind, BaseException)
    ),
}
MAX_LINE = 100_000  # no cell has more lines than this
# Errors from reading untrusted bytes, which may contain an infinite line number or a thousand
# nested brackets.
UNREADABLE = (
    SafetensorError,
    ValueError,
    TypeError,
    KeyError,
    ArithmeticError,
    AttributeError,
    RecursionError,
)
# Even on a busy machine, the elapsed time is limited to this many times `Limits.seconds`.
PATIENCE = 6


class NoWall(RuntimeError):
    """Raised if bubblewrap is not installed or cannot build a sandbox on this machine."""


@dataclass(frozen=True)
class Limits:
    """The limits on one submission. The defaults are far higher than a correct answer needs."""

    seconds: int = 300  # for the whole run, not counting the time spent waiting for a processor
    cell_seconds: float = 20.0  # processor time, for each cell of the notebook
    call_seconds: float = 10.0  # processor time, for each call of a student's function
    memory: int = 3 * 2**30  # bytes, for all processes together; torch alone takes 0.5 GB
    processes: int = 96  # including threads
    file_bytes: int = 64 * 2**20  # bytes, for each file
    disk: int = 256 * 2**20  # bytes, for all files together, which are kept in memory
    answer_bytes: int = 64 * 2**20  # bytes, for everything that is returned


@dataclass(frozen=True)
class Call:
    """A single call to one of the notebook's functions, with one set of inputs.

    returns: the names of the function's results, in order. given_as: "tensors" for PyTorch tensors
    or "arrays" for NumPy arrays.
    """

    question: str
    case: str
    function: str
    arguments: Mapping[str, object]
    returns: Sequence[str]
    given_as: str = "tensors"


@dataclass
class Answer:
    """The response to a single call.

    `status` is "answered", "missing", "not started", "error" or "silent".
    """

    status: str = "silent"  # no frame was received
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    what: str = ""  # the error's type
    line: int = 0


@dataclass
class Outcome:
    """How a run ended, the errors in the notebook's cells,
    and a dict of the answers keyed by (question, case).
    """

    ended: str = "finished"
    errors: list[dict] = field(default_factory=list)
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)


def check_wall() -> None:
    """Raise NoWall if no sandbox can be built on this machine."""
    if shutil.which("bwrap") is None:
        raise NoWall(
            "bubblewrap is not installed, and without it a submission could read and change "
            "everything on this machine. Install it with `apt install bubblewrap` (Debian, Ubuntu) "
            "or `dnf install bubblewrap` (Fedora), or grade with --unsafe in a virtual machine "
            "that you can throw away."
        )
    trial = [*wall(None), "true"]
    done = subprocess.run(trial, capture_output=True, text=True, env={}, timeout=20)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        reason = lines[-1] if lines else f"exit status {done.returncode}"
        raise NoWall(
            f"bubblewrap cannot build a sandbox on this machine ({reason}); see docs/homework.md."
        )


def run(
    cells: Sequence[Mapping],
    calls: Sequence[Call],
    limits: Limits | None = None,
    data: Path | None = None,
    unsafe: bool = False,
) -> Outcome:
    """Run a notebook's code cells, and then the calls, in a sandbox.

    cells: dicts with the keys "number" and "source". data: a folder that the notebook can read as
    $COURSE_DATA. unsafe: whether to apply only the limits, without a sandbox; use this only on a
    disposable machine. Raises NoWall if bubblewrap is missing and `unsafe` is False; errors in the
    notebook are not raised.
    """
    limits = limits or Limits()
    with tempfile.TemporaryDirectory(prefix="grading-") as folder:
        reading, writing = os.pipe()
        try:
            write_task(Path(folder), cells, calls, limits, writing, unsafe)
            if unsafe:
                command = command_without_wall(folder)
            else:
                command = command_behind_wall(folder, limits, data)
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # endless output wastes only its author's time
                stderr=subprocess.DEVNULL,
                env=environment(data, unsafe),
                cwd="/",
                pass_fds=(writing,),
                start_new_session=True,
            )
        except FileNotFoundError:
            os.close(reading)
            check_wall()
            raise
        finally:
            os.close(writing)
        try:
            ended, received = watch(process, reading, limits)
        finally:
            end(process)
            os.close(reading)
    return read_outcome(ended, received, calls)


def write_task(
    folder: Path,
    cells: Sequence[Mapping],
    calls: Sequence[Call],
    limits: Limits,
    pipe: int,
    unsafe: bool,
) -> None:
    """Write the runner, its task and the inputs to a folder.

    The sandbox has access to no other part of the grader.
    """
    arrays: dict[str, np.ndarray] = {}
    described = []
    for number, call in enumerate(calls):
        arguments = {
            name: describe(value, f"{number}.{name}", arrays)
            for name, value in call.arguments.items()
        }
        described.append(asdict(call) | {"arguments": arguments, "returns": list(call.returns)})
    own_user = os.getuid() == 0 and not unsafe
    task = {
        "cells": [dict(cell) for cell in cells],
        "calls": described,
        "limits": asdict(limits),
        "pipe": pipe,
        # a unique user ID, so that the kernel counts only the processes of this submission
        "uid": FIRST_USER + secrets.randbelow(1_000_000_000) if own_user else None,
        "import_from": [str(course_folder().parent)] if unsafe else ["/course"],
    }
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    (folder / "inputs.safetensors").write_bytes(save(arrays))
    shutil.copyfile(RUNNER, folder / "runner.py")
    folder.chmod(0o755)


def describe(value: object, name: str, arrays: dict[str, np.ndarray]) -> dict:
    """Describe an argument as a JSON-serializable dict, and add its arrays to `arrays`."""
    if isinstance(value, np.ndarray):
        # not np.ascontiguousarray, which adds a dimension to a number
        arrays[name] = np.asarray(value, order="C")
        return {"arrays": [name], "many": False}
    if isinstance(value, list | tuple):
        parts = {f"{name}.{i}": np.ascontiguousarray(array) for i, array in enumerate(value)}
        arrays.update(parts)
        return {"arrays": list(parts), "many": True}
    return {"value": value}


def course_folder() -> Path:
    """Return the folder of the `course_lib` package."""
    return Path(course_lib.__file__).resolve().parent


def command_behind_wall(folder: str, limits: Limits, data: Path | None) -> list[str]:
    """Return the command that starts the runner in bubblewrap, with everything it needs mounted."""
    course = [part for name in sorted(os.listdir(course_folder())) for part in course_mount(name)]
    mounts = ["--dir", "/course/course_lib", *course, "--ro-bind", folder, INSIDE]
    mounts += ["--size", str(limits.disk), "--perms", "1777", "--tmpfs", "/tmp"]
    mounts += ["--size", str(limits.disk), "--perms", "1777", "--tmpfs", "/dev/shm"]
    if data is not None:
        mounts += ["--ro-bind", str(data.resolve()), "/data"]
    closed = ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]
    return [*wall(limits), *mounts, *closed, sys.executable, "-I", "-B", f"{INSIDE}/runner.py"]


def course_mount(name: str) -> list[str]:
    """Return the options that mount one part of the package read-only.

    The grader itself is not mounted.
    """
    if name in ("grading", "__pycache__"):
        return []
    return ["--ro-bind", str(course_folder() / name), f"/course/course_lib/{name}"]


def wall(limits: Limits | None) -> list[str]:
    """Return the part that is common to all sandbox commands.

    It blocks access to the network and the home folder, and makes the system read-only.
    """
    command = ["bwrap", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    if os.getuid() == 0:
        # Root needs no user namespace, and inside one it could not switch to another user ID.
        # The runner gives up all privileges, including these two, before it runs the notebook.
        command += [
            "--unshare-pid",
            "--unshare-net",
            "--unshare-ipc",
            "--unshare-uts",
            "--unshare-cgroup-try",
        ]
        command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command += ["--unshare-all"]
    command += ["--ro-bind", "/usr", "/usr"]
    for place in SYSTEM_LINKS:
        if os.path.islink(place):
            command += ["--symlink", os.readlink(place), place]
        elif os.path.isdir(place):
            command += ["--ro-bind", place, place]
    command += ["--dir", "/etc"]
    for place in SYSTEM_FILES:
        command += ["--ro-bind-try", place, place]
    for prefix in sorted({sys.prefix, sys.base_prefix, os.path.realpath(sys.prefix)}):
        if not prefix.startswith("/usr/"):
            # otherwise, bubblewrap would create a parent folder that only its own user can read
            command += ["--dir", os.path.dirname(prefix), "--ro-bind", prefix, prefix]
    return [*command, "--proc", "/proc", "--dev", "/dev"]


def command_without_wall(folder: str) -> list[str]:
    """Return the command for --unsafe, which starts the runner as an ordinary process."""
    return [sys.executable, "-I", "-B", f"{folder}/runner.py"]


def environment(data: Path | None, unsafe: bool) -> dict[str, str]:
    """Return the environment variables of a submission.

    bubblewrap itself gets no other variables either, because a submission could read them in /proc.
    """
    found = {
        "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
        "HOME": "/tmp",
        "TMPDIR": "/tmp",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": "/tmp",
        "IPYTHONDIR": "/tmp",
        "OMP_NUM_THREADS": "1",  # submissions run in parallel, one per core
        "COURSE_FAST": "1",
        "COURSE_OFFLINE": "1",
    }
    if data is not None:
        found["COURSE_DATA"] = str(data) if unsafe else "/data"
    return found


def watch(process: subprocess.Popen, reading: int, limits: Limits) -> tuple[str, bytes]:
    """Read from the pipe until the process ends or exceeds a limit.

    Return a description of how the process ended, such as "out of time", and the bytes that it
    sent.
    """
    received, started = bytearray(), time.monotonic()
    os.set_blocking(reading, False)
    with selectors.DefaultSelector() as selector:
        selector.register(reading, selectors.EVENT_READ)
        while True:
            # asked first, so that everything written by an ended process is in the pipe by now
            has_ended = process.poll() is not None
            if selector.select(0 if has_ended else TICK):
                chunk = os.read(reading, 1 << 20)
                received += chunk
                if not chunk:  # no process can write to the pipe any more
                    return ended_by_itself(process), bytes(received)
            elif has_ended:
                return ended_by_itself(process), bytes(received)
            if len(received) > limits.answer_bytes:
                return "too much output", bytes(received)
            if is_over(process, time.monotonic() - started, limits):
                return "out of time", bytes(received)
            if takes_more_than(process, limits.memory):
                return "out of memory", bytes(received)


def ended_by_itself(process: subprocess.Popen) -> str:
    """Return "finished" if the runner has completed its task, else "ended early".

    A submission that has closed the pipe gets one more second to finish.
    """
    try:
        return "finished" if process.wait(1.0) == 0 else "ended early"
    except subprocess.TimeoutExpired:
        return "ended early"


def is_over(process: subprocess.Popen, passed: float, limits: Limits) -> bool:
    """Return whether a submission has exceeded its time limit `passed` seconds after its start.

    On a busy machine, a submission may spend minutes waiting for a processor. This must not cost
    its author points, so time spent waiting does not count. Time spent sleeping counts towards the
    limit, as does the total processor time of all processes.
    """
    if passed <= limits.seconds:
        return False
    if passed > PATIENCE * limits.seconds:
        return True
    computed, waited = times_of(process)
    return computed > limits.seconds or passed - waited > limits.seconds


def times_of(process: subprocess.Popen) -> tuple[float, float]:
    """Return the total processor time of a sandbox, and the longest time that any of its processes
    has waited for a processor.
    """
    computed, waited = 0.0, 0.0
    try:
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                computed += sum(child.cpu_times()[:4])  # with the time of its ended children
                waited = max(waited, waiting_time(child.pid))
            except psutil.Error:  # the process has ended in the meantime
                continue
    except psutil.Error:
        pass
    return computed, waited


def takes_more_than(process: subprocess.Popen, limit: int) -> bool:
    """Return whether the processes in the sandbox use more than `limit` bytes of memory in total.

    Resident sizes are quick to read, but they count a shared page once for each process that shares
    it. A process that has imported torch, together with five forks of it, would seem to use six
    times the memory of one process. If the sum exceeds the limit, it is therefore recomputed from
    proportional set sizes, which count each shared page only once.
    """
    return memory_of(process, resident_size) > limit and memory_of(process, own_share) > limit


def memory_of(process: subprocess.Popen, size: Callable[[psutil.Process], int]) -> int:
    """Return the total memory of a sandbox's processes in bytes.

    `size` returns the memory usage of one process.
    """
    total = 0
    try:
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                total += size(child)
            except psutil.Error:  # the process has ended in the meantime
                continue
    except psutil.Error:
        return 0
    return total


def resident_size(process: psutil.Process) -> int:
    """Return the number of bytes that a process has in memory, including shared pages."""
    return process.memory_info().rss


def own_share(process: psutil.Process) -> int:
    """Return a process's memory in bytes, counting only its share of each shared page.

    If the system does not report that share, shared pages count in full.
    """
    try:
        return process.memory_full_info().pss
    except (psutil.AccessDenied, AttributeError):  # AttributeError: systems other than Linux
        return resident_size(process)


def end(process: subprocess.Popen) -> None:
    """Terminate the sandbox and every process in it.

    When bubblewrap dies, the kernel kills its whole process tree.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()


def read_outcome(ended: str, received: bytes, calls: Sequence[Call]) -> Outcome:
    """Read the received frames, which are untrusted.

    Ignore frames that are damaged or were not requested.
    """
    outcome = Outcome(ended)
    asked = {(call.question, call.case): set(call.returns) for call in calls}
    outcome.answers = {key: Answer() for key in asked}
    finished = False
    for about, arrays in frames(received):
        key = (about.get("question", ""), about.get("case", ""))
        if about.get("about") == "cells":
            outcome.errors = read_errors(about.get("errors", "[]"))
        elif about.get("about") == "end":
            finished = True
        elif key in asked and outcome.answers[key].status == "silent":
            outcome.answers[key] = read_answer(about, arrays, asked[key])
    if outcome.ended == "finished" and not finished:
        outcome.ended = "ended early"
    return outcome


def frames(received: bytes) -> Iterator[tuple[dict[str, str], dict[str, np.ndarray]]]:
    """Yield the metadata and the arrays of each frame, up to the first damaged frame."""
    at = 0
    while at + 8 <= len(received):
        (length,) = struct.unpack_from(">Q", received, at)
        body = received[at + 8 : at + 8 + length]
        if len(body) < length:
            return
        try:
            arrays = load(body)
            about = metadata(body)
        except UNREADABLE:
            return
        yield about, arrays
        at += 8 + length


def metadata(body: bytes) -> dict[str, str]:
    """Return the metadata in a frame's header, which safetensors has already checked."""
    (length,) = struct.unpack_from("<Q", body)
    found = json.loads(body[8 : 8 + length]).get("__metadata__", {})
    return {str(key): str(value)[:10_000] for key, value in found.items()}


def read_answer(about: dict[str, str], arrays: dict[str, np.ndarray], names: set[str]) -> Answer:
    """Return the answer that one frame contains.

    A frame with neither the requested arrays nor a known status counts as an error.
    """
    status = about.get("status", "")
    is_complete = set(arrays) == names and all(a.dtype == np.float64 for a in arrays.values())
    if status == "answered" and is_complete:
        return Answer("answered", arrays)
    if status in ("missing", "not started"):
        return Answer(status)
    return Answer("error", what=kind_in(about.get("what")), line=number_in(about.get("line")))


def kind_in(value: object) -> str:
    """Return what stopped a cell or a call: the name of a built-in error, or "out of time".

    Anything else, which only a forged frame can contain, becomes "an exception".
    """
    return value if isinstance(value, str) and value in KINDS else "an exception"


def number_in(value: object) -> int:
    """Return the value as a line or cell number, or 0 if it is not a valid one."""
    text = str(value)
    plausible = re.fullmatch("[0-9]{1,6}", text) and int(text) <= MAX_LINE
    return int(text) if plausible else 0


def python_s_words(text: str) -> str:
    """Return Python's message about a syntax error,
    or "" if the text of the message might have been written by a student.

    Text that cannot be printed, such as a lone surrogate, is also replaced by "", because no file
    can store it.
    """
    known = any(re.fullmatch(pattern, text) for pattern in SYNTAX_SENTENCES)
    return text if known and text.isprintable() else ""


def read_errors(text: str) -> list[dict]:
    """Return the errors in the cells. Even a forged frame yields only numbers and short strings."""
    try:
        rows = json.loads(text)[:50]
        return [
            {
                "cell": number_in(row["cell"]),
                "what": kind_in(row["what"]),
                "line": number_in(row["line"]),
                "says": python_s_words(str(row["says"])),
            }
            for row in rows
        ]
    except UNREADABLE:
        return []
