"""Compare the speed of grading with nbgrader's, and test whether results survive killed workers.

    python benchmarks/grading.py [--quick]                compare `grade` with `nbgrader autograde`
    python benchmarks/grading.py --arrays [--quick]       the same for homework without PyTorch
    python benchmarks/grading.py --faults [--students N]  grade while processes are killed

The submissions of a class are generated from the mixtures assignment, or with --arrays from the
example in the tests. They contain correct answers in many styles, catalogued mistakes, unchanged
stubs, and code that raises errors. In the fault run every tenth notebook also contains an attack.
The comparison contains no attacks, because nbgrader runs notebooks without a sandbox.
"""

import argparse
import ast
import dataclasses
import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nbformat
import psutil
from nbformat import NotebookNode

from course_lib.grading.assignment import Assignment, Secret, draw
from course_lib.grading.question import Mistake, Question, Tolerance, Variant
from course_lib.grading.release import student_notebook, write_student_copy

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # for the attacks, which are part of the tests

MIXTURES = Assignment.read("mixtures")
EXAMPLE = ROOT / "tests" / "homework_example"
ARRAYS = Assignment.read("tiny", EXAMPLE)  # its questions use NumPy arrays
KEY = bytes(range(32))  # the secret of an imaginary class

# ---------------------------------------------------------------- a class


def choose(assignment: Assignment, question: Question) -> Variant:
    return Secret(KEY).variant(assignment.name, question, "")


def catalogued(assignment: Assignment, question: Question, number: int) -> str:
    """Return a cell whose function makes mistake `number` of the catalogue, using the key's code.

    The key runs in its own namespace, because the key of another question may define the same
    names.
    """
    variant = choose(assignment, question)
    source = dict(assignment.sources)[question.name]
    key = as_a_student_has_it(source, variant.mistakes[number].function)
    which = question.variants.index(variant)
    names = list(draw(variant, "small", 0))
    return f"""import numpy as np

key_of_{question.name} = {{}}
exec({key!r}, key_of_{question.name})

def {question.function}(*arguments):
    given = [[np.asarray(a) for a in one] if isinstance(one, list) else one for one in arguments]
    given = [one.numpy() if hasattr(one, "numpy") else one for one in given]
    mistakes = key_of_{question.name}["QUESTION"].variants[{which}].mistakes
    return mistakes[{number}].function(**dict(zip({names}, given)))
"""


def as_a_student_has_it(key: str, mistake: Callable) -> str:
    """Rewrite a key's source for a sandbox, without the grader and without unnecessary imports.

    The grader's classes, which are not available to students, are replaced by named tuples with the
    same fields.
    """
    tree = ast.parse(key)
    needed = names_used_by(mistake) | names_used_outside_functions(tree) | {"np", "torch"}
    kept: list[ast.stmt] = []
    for statement in tree.body:
        module = statement.module if isinstance(statement, ast.ImportFrom) else None
        if module == "course_lib.grading.question":
            kept += ast.parse(AS_TUPLES).body
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            statement.names = [one for one in statement.names if (one.asname or one.name) in needed]
            kept += [statement] if statement.names else []
        else:
            kept.append(statement)
    return ast.unparse(ast.Module(kept, []))


def names_used_by(function: Callable) -> set[str]:
    """Return the names of the globals that a function of the key uses, directly or through other
    functions of the key.
    """
    found: set[str] = set()
    seen: list[object] = []
    left: list[object] = [function]
    while left:
        one = left.pop()
        if one in seen:
            continue
        seen.append(one)
        if isinstance(one, types.FunctionType) and one.__globals__ is function.__globals__:
            left += [one.__code__, *(cell.cell_contents for cell in one.__closure__ or ())]
        elif isinstance(one, types.CodeType):
            found |= set(one.co_names)
            left += [constant for constant in one.co_consts if isinstance(constant, types.CodeType)]
            left += [function.__globals__.get(name) for name in one.co_names]
    return found


def names_used_outside_functions(tree: ast.Module) -> set[str]:
    """Return the names that a module uses during its import."""
    found: set[str] = set()
    left: list[ast.AST] = list(tree.body)
    while left:
        one = left.pop()
        if isinstance(one, ast.Name):
            found.add(one.id)
        elif isinstance(one, ast.FunctionDef | ast.Lambda):
            continue  # its names are looked up only when it is called
        left += ast.iter_child_nodes(one)
    return found


def as_tuple(kind: type) -> str:
    """Return code that defines a named tuple with the fields of one of the grader's classes.

    Each default value is replaced by None.
    """
    fields = dataclasses.fields(kind)
    names = [one.name for one in fields]
    optional = sum(one.default is not dataclasses.MISSING for one in fields)
    return f"{kind.__name__} = namedtuple({kind.__name__!r}, {names}, defaults={[None] * optional})"


AS_TUPLES = "\n".join(
    ["from collections import namedtuple", *map(as_tuple, (Mistake, Question, Tolerance, Variant))]
)


def an_answer(assignment: Assignment, question: Question, chance: random.Random) -> str | None:
    """Return the code of an answer cell, correct or wrong, or None to leave the stub unchanged."""
    variant, kind = choose(assignment, question), chance.random()
    if kind < 0.60:
        return chance.choice((variant.solution, *variant.styles))
    if kind < 0.85:
        return catalogued(assignment, question, chance.randrange(len(variant.mistakes)))
    if kind < 0.95:
        return None
    return f"def {question.function}(*arguments):\n    return undefined_name"


def a_submission(assignment: Assignment, number: int, with_attacks: bool) -> NotebookNode:
    chance = random.Random(number)
    notebook = student_notebook(assignment, partial(choose, assignment))
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "").removeprefix("answer-")
        question = assignment.questions.get(name)
        if isinstance(question, Question) and cell.metadata.nbgrader.solution:
            cell.source = an_answer(assignment, question, chance) or cell.source
    if with_attacks and number % 10 == 9:
        from grading_attacks import ALL

        attack = ALL[number // 10 % len(ALL)]
        notebook.cells += [nbformat.v4.new_code_cell(source) for source in attack.cells if source]
    notebook.metadata["student_number"] = number  # so that no two submissions are identical files
    return notebook


def make_class(
    assignment: Assignment, folder: Path, students: int, with_attacks: bool = False
) -> None:
    """Write the submissions STUDENT/NAME/NAME.ipynb, which are the same in every call."""
    name = assignment.name
    for number in range(students):
        place = folder / f"student{number:04}" / name
        write_student_copy(assignment, place, partial(choose, assignment))
        nbformat.write(a_submission(assignment, number, with_attacks), place / f"{name}.ipynb")


# ---------------------------------------------------------------- measuring a command


@dataclass
class Measured:
    """The resources that a command used, over all its processes."""

    seconds: float
    cpu: float  # seconds of CPU time
    memory: float  # peak in GB; shared pages count once

    def row(self, name: str, students: int) -> str:
        return (
            f"| {name} | {60 * students / self.seconds:.1f} | {self.cpu / students:.1f} s "
            f"| {self.memory:.2f} GB |"
        )


def watched(
    start: Callable[[], subprocess.Popen], also: tuple[psutil.Process, ...] = ()
) -> Measured:
    """Run a command to its end and measure it.

    also: processes that work for it but are not its children. The CPU time of each process is
    read four times per second, because the CPU time of a sandbox is lost when the sandbox is killed
    after its answers have arrived. Up to a quarter of a second per process is missed.
    """
    begin = time.perf_counter()
    before = {one.pid: cpu_of(one) for helper in also for one in tree(helper)}
    process = start()
    peak, spent = 0.0, {}
    while process.poll() is None:
        family = tree(psutil.Process(process.pid))
        for helper in also:
            family += tree(helper)
        for one in family:
            which = one.pid, born(one)
            spent[which] = max(spent.get(which, 0.0), cpu_of(one) - before.get(one.pid, 0.0))
        # not every time, because summing the pages of a process takes time
        if int(4 * (time.perf_counter() - begin)) % 8 == 0:
            peak = max(peak, sum(memory_of(one) for one in family))
        time.sleep(0.25)
    if process.returncode != 0:
        raise SystemExit(f"The command ended with status {process.returncode}.")
    seconds = time.perf_counter() - begin
    return Measured(seconds, sum(spent.values()), peak)


def tree(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def born(process: psutil.Process) -> float:
    """Return the start time of a process, which distinguishes it from later ones with the same
    pid.
    """
    try:
        return process.create_time()
    except psutil.Error:
        return 0.0


def cpu_of(process: psutil.Process) -> float:
    """Return the CPU time of the process itself, in seconds."""
    try:
        times = process.cpu_times()
        return times.user + times.system
    except psutil.Error:
        return 0.0


def memory_of(process: psutil.Process) -> float:
    try:
        return process.memory_full_info().pss / 1e9
    except (psutil.Error, AttributeError):
        return 0.0


def environment(**more: str) -> dict[str, str]:
    """Return an environment with one thread per process, for both graders."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PATH": path} | more


def grading(
    assignment: Assignment, submissions: Path, out: Path, *more: object
) -> Callable[[], subprocess.Popen]:
    """Return a function that starts our `grade` with the secret of the class."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "secret").write_text(KEY.hex())
    words = ["grade", assignment.name, "--submissions", submissions, "--out", out, *more]
    words += ["--homework", EXAMPLE] if assignment is ARRAYS else []
    command = [sys.executable, "-m", "course_lib.grading", *map(str, words)]
    return lambda: subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, start_new_session=True
    )


def results(assignment: Assignment, out: Path) -> dict[str, bytes]:
    folder = out / assignment.name / "results"
    return {path.name: path.read_bytes() for path in folder.glob("*.json")}


def verdicts_in_words(assignment: Assignment, found: dict[str, bytes]) -> str:
    """Count the answers with each kind of verdict, to describe the class."""
    counts = Counter(
        kind_of_verdict(verdict)
        for result in found.values()
        for name, verdict in json.loads(result)["verdicts"].items()
        if isinstance(assignment.questions[name], Question)
    )
    kinds = ", ".join(f"{number} {kind}" for kind, number in counts.most_common())
    return f"Verdicts: {kinds}."


def kind_of_verdict(verdict: dict) -> str:
    if verdict["sentence"] == "Correct.":
        return "correct"
    if verdict["mistake"] is not None:
        return "with a catalogued mistake"
    if verdict["sentence"] == "Not started.":
        return "not started"
    return "stopped" if "stops with" in verdict["sentence"] else "other"


# ---------------------------------------------------------------- compared with nbgrader


def nbgrader_course(assignment: Assignment, folder: Path, students: int) -> None:
    """Create a course in which nbgrader itself runs the notebooks.

    Our judge and sandbox are not used.
    """
    (folder / "nbgrader_config.py").write_text(
        "c = get_config()\nc.CourseDirectory.course_id = 'course'\n"
        "c.Execute.kernel_name = 'python3'\nc.Execute.timeout = 120\n"
    )
    write_student_copy(assignment, folder / "source" / assignment.name, partial(choose, assignment))
    make_class(assignment, folder / "submitted", students)
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", "generate_assignment", assignment.name],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)


def autograde(assignment: Assignment, course: Path) -> subprocess.Popen:
    log = (course / "log.txt").open("w")
    # status 1 only means that a notebook raised an error, as some of these must
    command = f'"{sys.executable}" -m nbgrader autograde {assignment.name} || true'
    settings = environment()
    return subprocess.Popen(command, shell=True, cwd=course, env=settings, stdout=log, stderr=log)


@contextmanager
def dask_on_loopback(processes: int) -> Iterator[tuple[str, tuple[psutil.Process, ...]]]:
    """Run a scheduler and workers as separate commands, as on a cluster.

    Yields the scheduler's address and the processes.
    """
    settings = environment(DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="8")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scheduler.json"
        shared = {
            "env": settings,
            "cwd": folder,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
        }
        where = ["--scheduler-file", str(file)]
        dask, loopback = [sys.executable, "-m", "dask"], ["--host", "127.0.0.1", "--no-dashboard"]
        scheduler = [*dask, "scheduler", *loopback, "--port", "0", *where]
        started = [subprocess.Popen(scheduler, **shared)]
        while not file.exists():
            time.sleep(0.1)
        worker = [*dask, "worker", *loopback, "--nthreads", "1", *where]
        started += [subprocess.Popen(worker, **shared) for _ in range(processes)]
        address = re.search(r"tcp://[\d.]+:\d+", file.read_text())
        assert address is not None
        try:
            yield address[0], tuple(psutil.Process(one.pid) for one in started)
        finally:
            for one in started:
                for process in reversed(tree(psutil.Process(one.pid))):
                    process.kill()
                one.wait()


def compare(assignment: Assignment, students: int) -> None:
    print(
        f"\n{students} submissions of the assignment {assignment.name!r}. {os.cpu_count()} cores, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}. One "
        "thread per process. nbgrader grades one notebook after another, each in its own kernel "
        "and without a sandbox.\n"
    )
    print("| grader | submissions per minute | CPU time per submission | peak memory |")
    print("|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        course = folder / "course"
        course.mkdir()
        nbgrader_course(assignment, course, students)
        theirs = watched(lambda: autograde(assignment, course))
        print(theirs.row("nbgrader autograde", students), flush=True)
        graded = list((course / "autograded").glob(f"*/{assignment.name}/{assignment.name}.ipynb"))
        submissions, first = course / "submitted", None
        for workers in (1, 2, 4):
            out = folder / f"out{workers}"
            ours = watched(grading(assignment, submissions, out, "--workers", workers))
            print(ours.row(f"ours, {workers} workers", students), flush=True)
            first = first or results(assignment, out)
            assert results(assignment, out) == first, "the results depend on the number of workers"
            if workers == 2:
                ratio = theirs.seconds / ours.seconds
        for processes in (1, 2):
            out = folder / f"address{processes}"
            with dask_on_loopback(processes) as (address, helpers):
                grade = grading(assignment, submissions, out, "--scheduler", address)
                ours = watched(grade, helpers)
            which = f"ours, scheduler by address, {processes} workers"
            print(ours.row(which, students), flush=True)
            assert results(assignment, out) == first, (
                "a cluster given by its address produced different results"
            )
    print(f"\n{verdicts_in_words(assignment, first)}")
    print(
        f"With two workers, ours grades {ratio:.1f} times as many submissions per minute. "
        f"nbgrader finished {len(graded)} of {students} notebooks."
    )


# ---------------------------------------------------------------- under faults


def workers_of(process: subprocess.Popen) -> list[psutil.Process]:
    """Return the Dask workers of a `grade` command: the processes that multiprocessing spawned."""
    found = []
    for child in tree(psutil.Process(process.pid))[1:]:
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def kill_all(process: subprocess.Popen) -> None:
    """Kill the command and all its descendants at once, as a power cut would."""
    family = tree(psutil.Process(process.pid))
    process.send_signal(signal.SIGKILL)
    for child in family[1:]:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


def disturbed_run(
    submissions: Path, out: Path, students: int, kills: int, restarts: int
) -> tuple[int, int]:
    """Grade while workers and the command are killed.

    Returns the numbers of both kinds of kills.
    """
    chance = random.Random(0)
    killed = restarted = 0
    start = grading(MIXTURES, submissions, out, "--workers", 2)
    process = start()
    while True:
        time.sleep(chance.uniform(1, 5))
        done = len(results(MIXTURES, out))
        if process.poll() is not None:
            if process.returncode != 0:
                raise SystemExit(f"grade ended with status {process.returncode}.")
            return killed, restarted
        if restarted < restarts and done > (restarted + 1) * students / (restarts + 1):
            kill_all(process)
            restarted += 1
            process = start()
        elif killed < kills or chance.random() < 0.1:
            workers = workers_of(process)
            # spread the kills over the whole run
            if workers and killed <= kills * done / students:
                chance.choice(workers).kill()
                killed += 1


def faults(students: int) -> None:
    kills, restarts = 25, 3
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_class(MIXTURES, folder / "submitted", students, with_attacks=True)
        submitted, disturbed = folder / "submitted", folder / "disturbed"
        begin = time.perf_counter()
        killed, restarted = disturbed_run(submitted, disturbed, students, kills, restarts)
        seconds = time.perf_counter() - begin
        print(
            f"{students} submissions, with an attack in every tenth, "
            f"were graded in {seconds:.0f} s by two workers. "
            f"Workers were killed {killed} times, and the command itself {restarted} times.",
            flush=True,
        )
        undisturbed = watched(grading(MIXTURES, submitted, folder / "serial", "--workers", 0))
        one, two = results(MIXTURES, disturbed), results(MIXTURES, folder / "serial")
        apart = sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))
        print(
            f"One after another and undisturbed: {undisturbed.seconds:.0f} s. "
            f"{len(two) - len(apart)} of {len(two)} results are identical to the last byte. "
            f"{verdicts_in_words(MIXTURES, two)}"
        )
        if apart:
            keep = Path(tempfile.mkdtemp(prefix="grading-apart-"))
            for name in apart:
                for which, found in {"disturbed": one, "serial": two}.items():
                    (keep / f"{name}.{which}").write_bytes(found.get(name, b""))
            raise SystemExit(f"These results differ (see {keep}): {', '.join(apart[:10])}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="ten submissions instead of fifty")
    parser.add_argument("--arrays", action="store_true", help="use homework in NumPy")
    parser.add_argument(
        "--faults", action="store_true", help="kill workers and the command during grading"
    )
    parser.add_argument("--students", type=int, help="the number of submissions")
    asked = parser.parse_args()
    if not shutil.which("bwrap"):
        print("Nothing was measured, because bubblewrap is not installed.")
        return
    if asked.faults:
        faults(asked.students or 1_000)
    else:
        compare(ARRAYS if asked.arrays else MIXTURES, asked.students or (10 if asked.quick else 50))


if __name__ == "__main__":
    main()
