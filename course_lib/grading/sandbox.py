"""The wall: one submission, one bubblewrap, one fresh folder, and a pipe over which arrays come back,
and of errors their type and their line, but no text that a student could have written.

Inside there is a read-only system, the interpreter and its packages, `course_lib` and the data.
There is no network, no home, no other submission, no key and no file that outlives the run. The
kernel limits memory, processes, file sizes and processor time of each process; from outside, `run`
watches the time, the memory of all processes together and the bytes that come back, and ends
everything at once.

What it does not promise: it is only as strong as the Linux kernel. Against an attacker with a kernel
exploit, put a virtual machine around it (docs/homework.md says how).
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
INSIDE = "/grading"  # where the runner and its task lie in the sandbox
SYSTEM_LINKS = (
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
)  # links into /usr on today's systems, folders on older ones
SYSTEM_FILES = ("/etc/fonts", "/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives")
FIRST_USER = 1_000_000_000  # user numbers from here on belong to nobody on this machine
TICK = 0.1  # seconds between two looks at the clock and at the memory
# Python's words about the syntax errors that students make; a text that is none of these is not repeated,
# because a notebook can raise a SyntaxError with words of its own
SYNTAX_SENTENCES = (
    r"invalid syntax(\. Perhaps you forgot a comma\?|\. Maybe you meant '==' or ':=' instead of '='\?)?",
    r"expected '[:(]'",
    r"'[(\[{]' was never closed",
    r"unmatched '[)\]}]'",
    r"closing parenthesis '[)\]}]' does not match opening parenthesis '[(\[{]'( on line [0-9]{1,6})?",
    r"unexpected indent",
    r"unindent does not match any outer indentation level",
    r"expected an indented block after '(if|elif|else|for|while|with|try|except|finally|match|case)' "
    r"statement on line [0-9]{1,6}",
    r"expected an indented block after (function|class) definition on line [0-9]{1,6}",
    r"inconsistent use of tabs and spaces in indentation",
    r"unterminated (triple-quoted )?(f-)?string literal \(detected at line [0-9]{1,6}\)",
    r"invalid (decimal|hexadecimal) literal",
    r"invalid character '[^\x00-\x7f]' \(U\+[0-9A-F]{4,6}\)",
    r"invalid non-printable character U\+[0-9A-F]{4,6}",
    r"cannot assign to (literal|expression|comparison|attribute|subscript|True|False|None|function call)"
    r"( here\. Maybe you meant '==' instead of '='\?)?",
    r"'(return|yield|await|break)' outside (async )?(function|loop)",
    r"Missing parentheses in call to 'print'\. Did you mean print\(\.\.\.\)\?",
    r"positional argument follows keyword argument",
)
# what may stop a cell or an answer; any other word in its place is not repeated
KINDS = {
    "out of time",
    *(
        name
        for name, kind in vars(builtins).items()
        if isinstance(kind, type) and issubclass(kind, BaseException)
    ),
}
MAX_LINE = 100_000  # no cell has more lines
# what reading the bytes of a stranger may raise, such as Infinity for a line, or a thousand brackets
UNREADABLE = (
    SafetensorError,
    ValueError,
    TypeError,
    KeyError,
    ArithmeticError,
    AttributeError,
    RecursionError,
)
PATIENCE = 6  # times its seconds that a submission may take on a machine that leaves it no processor


class NoWall(RuntimeError):
    """There is no bubblewrap on this machine, or it cannot build a wall here."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use. The defaults let a right answer finish with room to spare."""

    seconds: int = 300  # for all of it, without the time that it waits for a processor
    cell_seconds: float = 20.0  # of processor time for each cell of the notebook
    call_seconds: float = 10.0  # of processor time for each call of an answer
    memory: int = 3 * 2**30  # bytes of all processes together; importing torch takes half a gigabyte
    processes: int = 96  # threads count too
    file_bytes: int = 64 * 2**20  # for each file
    disk: int = 256 * 2**20  # for all files together, which lie in memory
    answer_bytes: int = 64 * 2**20  # for all that comes back


@dataclass(frozen=True)
class Call:
    """One function of the notebook on one set of inputs; `returns` names what it gives back, in
    order. `given_as`: whether it gets tensors of PyTorch or arrays of NumPy.
    """

    question: str
    case: str
    function: str
    arguments: Mapping[str, object]
    returns: Sequence[str]
    given_as: str = "tensors"


@dataclass
class Answer:
    """What came back of one call: `status` is "answered", "missing", "not started", "error" or
    "silent".
    """

    status: str = "silent"  # no frame at all came back
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    what: str = ""  # the error's type
    line: int = 0


@dataclass
class Outcome:
    """How a submission's run ended, its cells' errors, and its answers by (question, case)."""

    ended: str = "finished"
    errors: list[dict] = field(default_factory=list)
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)


def check_wall() -> None:
    """Raise NoWall, in one sentence, unless a sandbox can be built on this machine."""
    if shutil.which("bwrap") is None:
        raise NoWall(
            "bubblewrap is not installed, and without it a submission could read and change "
            "everything here: install it (Debian, Ubuntu: apt install bubblewrap; Fedora: "
            "dnf install bubblewrap), or grade in a virtual machine that you can throw away, "
            "with --unsafe."
        )
    trial = [*wall(None), "true"]
    done = subprocess.run(trial, capture_output=True, text=True, env={}, timeout=20)
    if done.returncode:
        reason = (
            done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit status {done.returncode}"
        )
        raise NoWall(f"bubblewrap cannot build a sandbox on this machine ({reason}); see docs/homework.md.")


def run(
    cells: Sequence[Mapping],
    calls: Sequence[Call],
    limits: Limits | None = None,
    data: Path | None = None,
    unsafe: bool = False,
) -> Outcome:
    """Run a notebook's code cells ({"number", "source"}) behind the wall and make the calls; never
    raises for them.

    data: a folder that the notebook finds as $COURSE_DATA, read-only. unsafe: no wall at all, only
    the limits; for a machine that holds nothing else. Raises NoWall if bubblewrap is missing and
    unsafe is not set.
    """
    limits = limits or Limits()
    with tempfile.TemporaryDirectory(prefix="grading-") as folder:
        reading, writing = os.pipe()
        try:
            write_task(Path(folder), cells, calls, limits, writing, unsafe)
            command = command_without_wall(folder) if unsafe else command_behind_wall(folder, limits, data)
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # endless output costs its author time, and nobody else anything
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
    folder: Path, cells: Sequence[Mapping], calls: Sequence[Call], limits: Limits, pipe: int, unsafe: bool
) -> None:
    """The runner, its task and the inputs, as the only files of ours that a sandbox gets."""
    arrays: dict[str, np.ndarray] = {}
    described = []
    for number, call in enumerate(calls):
        arguments = {
            name: describe(value, f"{number}.{name}", arrays) for name, value in call.arguments.items()
        }
        described.append(asdict(call) | {"arguments": arguments, "returns": list(call.returns)})
    own_user = os.getuid() == 0 and not unsafe
    task = {
        "cells": [dict(cell) for cell in cells],
        "calls": described,
        "limits": asdict(limits),
        "pipe": pipe,
        # one that no other sandbox has, so that the kernel counts this submission's processes alone
        "uid": FIRST_USER + secrets.randbelow(1_000_000_000) if own_user else None,
        "import_from": [str(course_folder().parent)] if unsafe else ["/course"],
    }
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    (folder / "inputs.safetensors").write_bytes(save(arrays))
    shutil.copyfile(RUNNER, folder / "runner.py")
    folder.chmod(0o755)


def describe(value: object, name: str, arrays: dict[str, np.ndarray]) -> dict:
    """An argument in words that JSON knows; its arrays go into `arrays`."""
    if isinstance(value, np.ndarray):
        arrays[name] = np.asarray(value, order="C")  # np.ascontiguousarray gives a number a dimension
        return {"arrays": [name], "many": False}
    if isinstance(value, list | tuple):
        names = [f"{name}.{i}" for i in range(len(value))]
        arrays.update({part: np.ascontiguousarray(array) for part, array in zip(names, value, strict=True)})
        return {"arrays": names, "many": True}
    return {"value": value}


def course_folder() -> Path:
    """The folder of the package, which is mounted read-only."""
    return Path(course_lib.__file__).resolve().parent


def command_behind_wall(folder: str, limits: Limits, data: Path | None) -> list[str]:
    """bubblewrap's command line: what is mounted, and then Python on the runner."""
    course = [part for name in sorted(os.listdir(course_folder())) for part in course_mount(name)]
    mounts = ["--dir", "/course/course_lib", *course, "--ro-bind", folder, INSIDE]
    mounts += ["--size", str(limits.disk), "--perms", "1777", "--tmpfs", "/tmp"]
    mounts += ["--size", str(limits.disk), "--perms", "1777", "--tmpfs", "/dev/shm"]
    if data is not None:
        mounts += ["--ro-bind", str(data.resolve()), "/data"]
    closed = ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]
    return [*wall(limits), *mounts, *closed, sys.executable, "-I", "-B", f"{INSIDE}/runner.py"]


def course_mount(name: str) -> list[str]:
    """One file or folder of the package, read-only; the grader itself stays outside."""
    if name in ("grading", "__pycache__"):
        return []
    return ["--ro-bind", str(course_folder() / name), f"/course/course_lib/{name}"]


def wall(limits: Limits | None) -> list[str]:
    """The part of the command line that every sandbox shares: no network, no home, a read-only
    system.
    """
    command = ["bwrap", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    if os.getuid() == 0:
        # Root needs no user namespace, and within one it could not take another user's number.
        # The runner gives up both capabilities, with all other rights, before it reads the notebook.
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
            # bubblewrap would make the folder above for its own user only
            command += ["--dir", os.path.dirname(prefix), "--ro-bind", prefix, prefix]
    return [*command, "--proc", "/proc", "--dev", "/dev"]


def command_without_wall(folder: str) -> list[str]:
    """The command for --unsafe: the runner as an ordinary process."""
    return [sys.executable, "-I", "-B", f"{folder}/runner.py"]


def environment(data: Path | None, unsafe: bool) -> dict[str, str]:
    """All that a submission sees of the environment; bubblewrap itself gets no more, since /proc
    shows it.
    """
    found = {
        "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
        "HOME": "/tmp",
        "TMPDIR": "/tmp",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": "/tmp",
        "IPYTHONDIR": "/tmp",
        "OMP_NUM_THREADS": "1",  # submissions run side by side, one a core
        "COURSE_FAST": "1",
        "COURSE_OFFLINE": "1",
    }
    if data is not None:
        found["COURSE_DATA"] = str(data) if unsafe else "/data"
    return found


def watch(process: subprocess.Popen, reading: int, limits: Limits) -> tuple[str, bytes]:
    """Read what comes back until the process ends or a limit is passed; returns which it was, and
    the bytes.
    """
    received, started = bytearray(), time.monotonic()
    os.set_blocking(reading, False)
    with selectors.DefaultSelector() as selector:
        selector.register(reading, selectors.EVENT_READ)
        while True:
            if selector.select(TICK):
                chunk = os.read(reading, 1 << 20)
                received += chunk
                if not chunk:  # the last process that could write is gone
                    return ended_by_itself(process), bytes(received)
            elif process.poll() is not None:
                return ended_by_itself(process), bytes(received)
            if len(received) > limits.answer_bytes:
                return "too much output", bytes(received)
            if is_over(process, time.monotonic() - started, limits):
                return "out of time", bytes(received)
            if takes_more_than(process, limits.memory):
                return "out of memory", bytes(received)


def ended_by_itself(process: subprocess.Popen) -> str:
    """Whether the runner came to its end; a submission that closes the pipe is given a second to
    finish.
    """
    try:
        return "finished" if process.wait(1.0) == 0 else "ended early"
    except subprocess.TimeoutExpired:
        return "ended early"


def is_over(process: subprocess.Popen, passed: float, limits: Limits) -> bool:
    """Whether a submission has had its time, when so many seconds have passed by the clock.

    On a busy machine it may spend minutes waiting for a processor, which must not cost its author
    points. Sleeping is not waiting, and what all processes compute together counts as well.
    """
    if passed <= limits.seconds:
        return False
    if passed > PATIENCE * limits.seconds:
        return True
    computed, waited = times_of(process)
    return computed > limits.seconds or passed - waited > limits.seconds


def times_of(process: subprocess.Popen) -> tuple[float, float]:
    """Seconds for which all processes of the sandbox computed, and the longest time for which one
    of them waited for a processor.
    """
    computed, waited = 0.0, 0.0
    try:
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                computed += sum(child.cpu_times()[:4])  # its own, and that of its children that ended
                waited = max(waited, waiting_time(child.pid))
            except psutil.Error:  # it ended between two looks
                continue
    except psutil.Error:
        pass
    return computed, waited


def takes_more_than(process: subprocess.Popen, limit: int) -> bool:
    """Whether all processes of the sandbox together hold more than `limit` bytes.

    Resident sizes are quick to read, but they count a page that several processes share once for
    each of them: five forks of a process that imported torch would seem to take six times its
    memory. So a sum above the limit is computed again from proportional sizes, which count each
    shared page once.
    """
    return memory_of(process, resident_size) > limit and memory_of(process, own_share) > limit


def memory_of(process: subprocess.Popen, size: Callable[[psutil.Process], int]) -> int:
    """Bytes of memory that all processes of the sandbox hold together."""
    total = 0
    try:
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                total += size(child)
            except psutil.Error:  # it ended between two looks
                continue
    except psutil.Error:
        return 0
    return total


def resident_size(process: psutil.Process) -> int:
    """Bytes of a process that are in memory, shared pages included."""
    return process.memory_info().rss


def own_share(process: psutil.Process) -> int:
    """Bytes of a process in memory, with its part of each shared page, or all of it where that is hidden."""
    try:
        return process.memory_full_info().pss
    except (psutil.AccessDenied, AttributeError):  # AttributeError: systems other than Linux
        return resident_size(process)


def end(process: subprocess.Popen) -> None:
    """End the sandbox and everything in it: when bubblewrap dies, the kernel kills its whole
    process tree.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()


def read_outcome(ended: str, received: bytes, calls: Sequence[Call]) -> Outcome:
    """The frames that came back, read as data of a stranger: what is damaged or not asked for is
    left out.
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
    """Each frame's metadata and arrays, up to the first that is damaged."""
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
    """The header's strings; safetensors has checked the header already."""
    (length,) = struct.unpack_from("<Q", body)
    found = json.loads(body[8 : 8 + length]).get("__metadata__", {})
    return {str(key): str(value)[:10_000] for key, value in found.items()}


def read_answer(about: dict[str, str], arrays: dict[str, np.ndarray], names: set[str]) -> Answer:
    """One frame as an answer; whatever is not what was asked for counts as an error."""
    status = about.get("status", "")
    if status == "answered" and set(arrays) == names and all(a.dtype == np.float64 for a in arrays.values()):
        return Answer("answered", arrays)
    if status in ("missing", "not started"):
        return Answer(status)
    return Answer("error", what=kind_in(about.get("what")), line=number_in(about.get("line")))


def kind_in(value: object) -> str:
    """What stopped a cell or an answer, as the runner says it: the name of one of Python's own errors, or
    "out of time". Whatever else a forged frame says is called an exception.
    """
    return value if isinstance(value, str) and value in KINDS else "an exception"


def number_in(value: object) -> int:
    """The number of a line or a cell; 0 for what can be none."""
    text = str(value)
    plausible = re.fullmatch("[0-9]{1,6}", text) and int(text) <= MAX_LINE
    return int(text) if plausible else 0


def python_s_words(text: str) -> str:
    """What Python says of a syntax error; nothing if the text may be a student's own, or holds half a
    character, which no file can hold.
    """
    known = any(re.fullmatch(pattern, text) for pattern in SYNTAX_SENTENCES)
    return text if known and text.isprintable() else ""


def read_errors(text: str) -> list[dict]:
    """The cells' errors as plain numbers and short words, whatever a forged frame says."""
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
