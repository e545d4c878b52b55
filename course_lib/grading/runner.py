"""Run a student's notebook in the sandbox, call its functions, and write plain arrays.

This program runs alone, as a script, in a sandbox that contains no references, expected numbers or
keys. Everything that it writes is untrusted. The judge, in another process, reads the arrays and
compares them with the reference. A student who forges this program's output gains nothing without
the right numbers.

Each answer is written to a pipe as one frame: an 8-byte length followed by data in the safetensors
format. A frame is written as soon as its call has returned, so a submission that ends its own
process keeps the answers that it has already given.
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
    """Raised by the alarm.

    This is a BaseException, so that a student's `except Exception` does not catch it.
    """


def main() -> None:
    """Carry out the task in task.json, which is in the same folder as this file."""
    task = json.loads((FOLDER / "task.json").read_text(encoding="utf-8"))
    give_up_privileges(task["uid"])
    set_limits(task["limits"])
    sys.path[:0] = task["import_from"]
    signal.signal(signal.SIGALRM, alarm)
    signal.signal(signal.SIGPROF, alarm)
    pipe = task["pipe"]
    shell = make_shell()
    if any(call["given_as"] == "tensors" for call in task["calls"]):
        import_torch()  # here, so that it does not count towards the student's time
    inputs = read_inputs()
    errors = run_cells(shell, task["cells"], task["limits"])
    send(pipe, {"about": "cells", "errors": json.dumps(errors)})
    for call in task["calls"]:
        answer_call(pipe, shell, call, inputs, task["limits"]["call_seconds"])
    send(pipe, {"about": "end"})


def give_up_privileges(uid: int | None) -> None:
    """Switch to the unprivileged user ID of this submission, or do nothing if `uid` is None."""
    if uid is None:
        return
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def set_limits(limits: dict) -> None:
    """Set hard limits, which the kernel enforces.

    `sandbox.run` also limits elapsed time and total memory.
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
    """The alarm: its duration, the time at which it was set, and the time that the process had
    spent waiting for a processor until then.
    """

    seconds = began = waited = 0.0

    @classmethod
    def left(cls) -> float:
        """Return the seconds left.

        Time spent waiting for a processor on a busy machine does not count.
        """
        passed = monotonic() - cls.began
        return cls.seconds - passed + (waiting_time() - cls.waited)


def waiting_time(pid: int | str = "self") -> float:
    """Return how many seconds a process has waited for a processor, or 0 if this is unknown."""
    try:
        nanoseconds = Path(f"/proc/{pid}/schedstat").read_text().split()[1]
    except (OSError, IndexError):
        return 0.0
    return int(nanoseconds) / 1e9


def alarm(signum: int, frame: object) -> None:
    """Raise OutOfTime when a timer expires.

    If the process still has time left because it had to wait for a processor, restart the
    elapsed-time timer instead of raising OutOfTime.
    """
    if signum == signal.SIGALRM and Clock.left() > 0:
        signal.setitimer(signal.ITIMER_REAL, max(Clock.left(), 0.01))
        return
    raise OutOfTime


def set_alarm(seconds: float) -> None:
    """Raise OutOfTime after `seconds` of processor time, or after six times as much elapsed time.

    If `seconds` is 0, turn the alarm off. The main limit is on processor time, so that a busy
    machine costs nobody points. Elapsed time is limited as well, because sleeping uses no processor
    time.
    """
    Clock.seconds, Clock.began, Clock.waited = 6 * seconds, monotonic(), waiting_time()
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 6 * seconds)


def make_shell() -> Any:
    """Return an IPython shell that needs no kernel and no socket.

    The shell supports magics, `display` and `!`.
    """
    from IPython.core.interactiveshell import InteractiveShell

    shell: Any = InteractiveShell.instance()
    shell.enable_gui = lambda gui=None: None  # called by `%matplotlib inline`
    return shell


def run_cells(shell: Any, cells: list[dict], limits: dict) -> list[dict]:
    """Run all cells in order, even after errors.

    Return the error and its line for each cell that failed.
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
    """Call one of the notebook's functions with one set of inputs, and send the results."""
    about = {"about": "call", "question": call["question"], "case": call["case"]}
    function = shell.user_ns.get(call["function"])
    if not callable(function):
        send(pipe, about | {"status": "missing"})
        return
    set_alarm(seconds)
    try:
        arguments = {
            name: build(spec, inputs, call["given_as"]) for name, spec in call["arguments"].items()
        }
        arrays = to_arrays(function(*arguments.values()), call["returns"])
    except NotImplementedError:
        send(pipe, about | {"status": "not started"})
    except BaseException as error:  # including SystemExit, KeyboardInterrupt and OutOfTime
        send(pipe, about | {"status": "error", "what": kind_of(error), "line": str(line_of(error))})
    else:
        send(pipe, about | {"status": "answered"}, arrays)
    finally:
        set_alarm(0)


def import_torch() -> None:
    """Import torch without searching its objects for garbage, neither now nor in later collections.

    There is no garbage among them, and a search takes almost a tenth of a second.
    """
    gc.disable()
    import torch  # noqa: F401

    gc.freeze()
    gc.enable()


def read_inputs() -> dict:
    """Return the arrays that the grader drew, as a dict keyed by name."""
    from safetensors.numpy import load_file

    return load_file(FOLDER / "inputs.safetensors")


def build(spec: dict, inputs: dict, given_as: str) -> Any:
    """Build an argument from its description.

    The argument is a plain value, an array or tensor, or a list of arrays or tensors. Arrays and
    tensors are always new copies.
    """
    if "value" in spec:
        return spec["value"]
    parts = [inputs[name].copy() for name in spec["arrays"]]
    if given_as == "tensors":
        import torch

        parts = [torch.from_numpy(part) for part in parts]
    return parts if spec["many"] else parts[0]


def to_arrays(value: Any, names: list[str]) -> dict:
    """Convert the return value of a student's function to a dict of NumPy arrays keyed by name.

    The value may be a tensor, an array, a number, or a tuple, list or dict of these.
    """
    if len(names) == 1 and not isinstance(value, dict):
        value = [value]
    if isinstance(value, dict):
        value = [value[name] for name in names]
    parts = list(value)
    if len(parts) != len(names):
        raise ValueError(f"expected {len(names)} results, but got {len(parts)}")
    return {name: to_array(part) for name, part in zip(names, parts, strict=True)}


def to_array(value: Any) -> Any:
    """Convert one result to a float64 array.

    The result may be a tensor, an array or a number, or a list or tuple of these.
    """
    import numpy as np

    torch = sys.modules.get("torch")  # if torch has not been imported, no value is a tensor
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().to_dense().cpu().resolve_conj().resolve_neg()
        if value.dtype in (torch.bfloat16, torch.float16):
            value = value.float()
        value = value.numpy()
    elif isinstance(value, list | tuple):
        value = [to_array(part) for part in value]
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError("the results must be real numbers")
    # np.ascontiguousarray would give a number the shape (1,)
    return np.array(array, dtype=np.float64, order="C")


def send(pipe: int, about: dict[str, str], arrays: dict | None = None) -> None:
    """Write one frame to the pipe: an 8-byte length followed by data in the safetensors format."""
    from safetensors.numpy import save

    frame = save(arrays or {}, metadata=about)
    data = memoryview(struct.pack(">Q", len(frame)) + frame)
    while data:
        data = data[os.write(pipe, data) :]


def kind_of(error: BaseException) -> str:
    """Return the name of the error's type or, if this type is not built in, of its first built-in
    base class.

    A name chosen by a student is therefore never passed on. For OutOfTime, the result is
    "out of time".
    """
    for kind in type(error).__mro__:
        if kind is OutOfTime:
            return "out of time"
        if kind.__module__ == "builtins":
            return kind.__name__
    return "Exception"


def line_of(error: BaseException) -> int:
    """Return the line, within its cell, of the innermost notebook frame, or 0 if there is none.

    For a syntax error, return the line of the error.
    """
    if isinstance(error, SyntaxError):
        return error.lineno or 0
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame.lineno
        for frame in frames
        if "ipython-input" in frame.filename or "ipykernel" in frame.filename
    ]
    return (own[-1] or 0) if own else 0


if __name__ == "__main__":
    main()
    # Everything has been sent. A normal exit would first delete torch's many objects one by one,
    # which takes half as long as importing torch, and would wait for the student's threads.
    os._exit(0)
