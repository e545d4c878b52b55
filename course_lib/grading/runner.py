"""The program inside the wall: it runs a student's notebook, calls the functions asked for, writes
plain arrays.

It runs alone, as a script, in a sandbox that holds no reference, no expected number and no key.
Everything that it writes is untrusted: the judge, another process, reads the arrays and compares. A
student who forges this program's output gains nothing without the right numbers.

Each answer leaves as one frame on a pipe: eight bytes of length, then safetensors. A frame is
written as soon as its call is done, so a submission that ends its own process keeps what it had
answered before.
"""

import gc
import json
import os
import resource
import signal
import struct
import sys
import traceback
from pathlib import Path
from time import monotonic
from typing import Any

FOLDER = Path(__file__).parent


class OutOfTime(BaseException):
    """Raised by the alarm. It is no Exception, so that a student's `except Exception` lets it pass."""


def main() -> None:
    """Run the task that lies beside this file."""
    task = json.loads((FOLDER / "task.json").read_text(encoding="utf-8"))
    give_up_privileges(task["uid"])
    set_limits(task["limits"])
    sys.path[:0] = task["import_from"]
    signal.signal(signal.SIGALRM, alarm)
    signal.signal(signal.SIGPROF, alarm)
    pipe = task["pipe"]
    shell = make_shell()
    if any(call["given_as"] == "tensors" for call in task["calls"]):
        import_torch()  # which must not count as a student's time
    inputs = read_inputs()
    send(pipe, {"about": "cells", "errors": json.dumps(run_cells(shell, task["cells"], task["limits"]))})
    for call in task["calls"]:
        answer_call(pipe, shell, call, inputs, task["limits"]["call_seconds"])
    send(pipe, {"about": "end"})


def give_up_privileges(uid: int | None) -> None:
    """Become a user of no rights. When root builds the wall, every submission gets a user number of
    its own.
    """
    if uid is None:
        return
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def set_limits(limits: dict) -> None:
    """Hard limits that the kernel keeps; the judge watches the clock and the sum of all memory as
    well.
    """
    hard = {
        resource.RLIMIT_DATA: limits["memory"],
        resource.RLIMIT_NPROC: limits["processes"],
        resource.RLIMIT_FSIZE: limits["file_bytes"],
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: limits["seconds"],
    }
    for which, value in hard.items():
        resource.setrlimit(which, (value, value))


class Clock:
    """What the alarm goes by: how much time there is, when it began, and how long was waited until then."""

    seconds = began = waited = 0.0

    @classmethod
    def left(cls) -> float:
        """Seconds that are left. On a busy machine, waiting for a processor takes none of them."""
        passed = monotonic() - cls.began
        return cls.seconds - passed + (waiting_time() - cls.waited)


def waiting_time(pid: int | str = "self") -> float:
    """Seconds for which a process could have run and no processor was free; 0 where nobody counts them."""
    try:
        nanoseconds = Path(f"/proc/{pid}/schedstat").read_text().split()[1]
    except (OSError, IndexError):
        return 0.0
    return int(nanoseconds) / 1e9


def alarm(signum: int, frame: object) -> None:
    """What the timers call when an answer has taken too long by its processor time, or by the clock."""
    if signum == signal.SIGALRM and Clock.left() > 0:
        signal.setitimer(signal.ITIMER_REAL, max(Clock.left(), 0.01))
        return
    raise OutOfTime


def set_alarm(seconds: float) -> None:
    """Raise OutOfTime after so many seconds of processor time, or six times as many by the clock; 0
    for never.

    Processor time, because a busy machine must not cost anybody points; the clock, because sleeping
    takes none.
    """
    Clock.seconds, Clock.began, Clock.waited = 6 * seconds, monotonic(), waiting_time()
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 6 * seconds)


def make_shell() -> Any:
    """IPython without a kernel: magics, `display` and `!` work, and no socket is needed."""
    from IPython.core.interactiveshell import InteractiveShell

    shell: Any = InteractiveShell.instance()
    shell.enable_gui = lambda gui=None: None  # `%matplotlib inline` asks for one
    return shell


def run_cells(shell: Any, cells: list[dict], limits: dict) -> list[dict]:
    """Run all cells in order, past errors, as a grader must; return where the first error of each
    cell stood.
    """
    errors = []
    for cell in cells:
        set_alarm(limits["cell_seconds"])
        try:
            result = shell.run_cell(cell["source"], store_history=False)
            trouble = result.error_before_exec or result.error_in_exec
        except OutOfTime as error:
            trouble = error
        finally:
            set_alarm(0)
        if trouble is not None:
            says = str(trouble.msg) if isinstance(trouble, SyntaxError) else ""
            about = {"what": kind_of(trouble), "line": line_of(trouble), "says": says}
            errors.append({"cell": cell["number"], **about})
    return errors


def answer_call(pipe: int, shell: Any, call: dict, inputs: dict, seconds: float) -> None:
    """Call one function of the notebook on one set of inputs and send what it returns."""
    about = {"about": "call", "question": call["question"], "case": call["case"]}
    function = shell.user_ns.get(call["function"])
    if not callable(function):
        send(pipe, about | {"status": "missing"})
        return
    set_alarm(seconds)
    try:
        arguments = {name: build(spec, inputs, call["given_as"]) for name, spec in call["arguments"].items()}
        arrays = to_arrays(function(*arguments.values()), call["returns"])
    except NotImplementedError:
        send(pipe, about | {"status": "not started"})
    except (
        BaseException
    ) as error:  # whatever a student's code raises: SystemExit, KeyboardInterrupt, OutOfTime
        send(pipe, about | {"status": "error", "what": kind_of(error), "line": str(line_of(error))})
    else:
        send(pipe, about | {"status": "answered"}, arrays)
    finally:
        set_alarm(0)


def import_torch() -> None:
    """Import torch, without looking for garbage meanwhile: there is none, and looking takes time."""
    gc.disable()
    import torch  # noqa: F401

    gc.enable()


def read_inputs() -> dict:
    """The arrays that the grader drew, by name."""
    from safetensors.numpy import load_file

    return load_file(FOLDER / "inputs.safetensors")


def build(spec: dict, inputs: dict, given_as: str) -> Any:
    """An argument from its description: a plain value, one array or tensor, or a list of them;
    always fresh copies.
    """
    if "value" in spec:
        return spec["value"]
    parts = [inputs[name].copy() for name in spec["arrays"]]
    if given_as == "tensors":
        import torch

        parts = [torch.from_numpy(part) for part in parts]
    return parts if spec["many"] else parts[0]


def to_arrays(value: Any, names: list[str]) -> dict:
    """What a student returned as numpy arrays by name: tensors, arrays, numbers, tuples, lists and
    dicts are taken.
    """
    if len(names) == 1 and not isinstance(value, dict):
        value = [value]
    if isinstance(value, dict):
        value = [value[name] for name in names]
    parts = list(value)
    if len(parts) != len(names):
        raise ValueError(f"{len(names)} results are wanted")
    return {name: to_array(part) for name, part in zip(names, parts, strict=True)}


def to_array(value: Any) -> Any:
    """One result as a float64 array: a tensor, an array, a number, or a list of them."""
    import numpy as np

    torch = sys.modules.get("torch")  # without it, no value is a tensor
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().to_dense().cpu().resolve_conj().resolve_neg()
        value = value.float().numpy() if value.dtype in (torch.bfloat16, torch.float16) else value.numpy()
    elif isinstance(value, list | tuple):
        value = [to_array(part) for part in value]
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError("real numbers are wanted")
    # np.ascontiguousarray would make a number a row of one
    return np.array(array, dtype=np.float64, order="C")


def send(pipe: int, about: dict[str, str], arrays: dict | None = None) -> None:
    """Write one frame, an 8-byte length and then safetensors, to the pipe."""
    from safetensors.numpy import save

    frame = save(arrays or {}, metadata=about)
    data = memoryview(struct.pack(">Q", len(frame)) + frame)
    while data:
        data = data[os.write(pipe, data) :]


def kind_of(error: BaseException) -> str:
    """The error's type, if Python itself defines it; a name that a student made up is not repeated
    to anybody.
    """
    for kind in type(error).__mro__:
        if kind is OutOfTime:
            return "out of time"
        if kind.__module__ == "builtins":
            return kind.__name__
    return "Exception"


def line_of(error: BaseException) -> int:
    """The line, within its cell, of the innermost frame that belongs to the notebook; 0 if there is
    none.
    """
    if isinstance(error, SyntaxError):
        return error.lineno or 0
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame.lineno for frame in frames if "ipython-input" in frame.filename or "ipykernel" in frame.filename
    ]
    return (own[-1] or 0) if own else 0


if __name__ == "__main__":
    main()
