"""The command line: `python -m course_lib.grading grade mixtures --submissions DIR --out DIR`."""

import argparse
import csv
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from course_lib.files import write_whole
from course_lib.grading.assignment import HOMEWORK, Assignment, AssignmentError, Secret
from course_lib.grading.engine import (
    Job,
    Result,
    Store,
    grade_all,
    grade_submission,
    jobs_for,
)
from course_lib.grading.exports import canvas_csv, gradescope, moodle_csv, plain_csv
from course_lib.grading.pages import class_page, marked, write_feedback
from course_lib.grading.question import Written
from course_lib.grading.release import release
from course_lib.grading.sandbox import NoWall, check_wall
from course_lib.grading.submissions import NoSubmissions, Submission, find_submissions

# an innocent submission can lose its worker by chance; one that loses eight does it itself
ALLOWED_DEATHS = 8
START_TRIES = 5  # to start the workers of a local cluster

Run = Callable[[argparse.Namespace], None]


class Refused(Exception):
    """A command that cannot be carried out, in one sentence that says what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    asked = parser().parse_args(arguments)
    try:
        asked.run(asked)
    except (Refused, AssignmentError, NoSubmissions, NoWall) as why:
        print(f"{asked.command}: {why}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"{asked.command}: {error.strerror or error}: {error.filename or getattr(asked, 'out', '')}",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("\nStopped. What is graded is kept: the same command goes on.", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(
        prog="python -m course_lib.grading", description="Homework that grades itself."
    )
    commands = top.add_subparsers(dest="command", required=True)

    there = commands.add_parser("list", help="list the assignments", description="List the assignments.")
    there.add_argument("--names", action="store_true", help="their names alone")
    there.add_argument("--homework", type=Path, default=HOMEWORK, help="where assignments and keys lie")
    there.set_defaults(run=run_list)

    release = command(commands, "release", run_release, "write copies for students and for you, and the keys")
    release.add_argument(
        "--students", type=Path, help="a file with one name a line; needed with --per-student"
    )

    grade = command(commands, "grade", run_grade, "grade all submissions; what is graded already stays")
    grade.add_argument("--submissions", type=Path, required=True, help="a folder or a zip")
    grade.add_argument("--only", nargs="+", metavar="STUDENT", help="these students alone")
    grade.add_argument(
        "--scheduler", metavar="ADDRESS", help="a running Dask scheduler, such as tcp://host:8786"
    )
    grade.add_argument("--workers", type=int, help="processes here (default: one a core; 0: without Dask)")
    grade.add_argument("--data", type=Path, help="a folder that notebooks find as $COURSE_DATA, read-only")
    grade.add_argument(
        "--unsafe", action="store_true", help="without bubblewrap: notebooks can do anything here"
    )

    feedback = command(commands, "feedback", run_feedback, "write a page for each student")
    feedback.add_argument(
        "--marks", type=Path, help="a CSV of your marks: student, question, points, comment"
    )

    report = command(commands, "report", run_report, "write the class page and the tables of points")
    report.add_argument("--marks", type=Path, help="a CSV of your marks: student, question, points, comment")

    gradescope = command(
        commands, "gradescope", run_gradescope, "grade one submission as Gradescope's autograder"
    )
    gradescope.add_argument("--submissions", type=Path, required=True, help="Gradescope's submission folder")
    gradescope.add_argument("--unsafe", action="store_true", help="Gradescope's container is the only wall")
    return top


def command(commands: Any, name: str, run: Run, does: str) -> argparse.ArgumentParser:
    """A command with what all of them take."""
    one = commands.add_parser(name, help=does, description=does)
    one.add_argument("assignment", help="its name, such as mixtures")
    one.add_argument("--out", type=Path, required=True, help="your folder for results; keep it to yourself")
    one.add_argument("--homework", type=Path, default=HOMEWORK, help="where assignments and keys lie")
    one.add_argument("--secret", type=Path, help="the file with your secret (default: OUT/secret)")
    one.add_argument("--per-student", action="store_true", help="each student has variants of their own")
    one.set_defaults(run=run)
    return one


def run_list(asked: argparse.Namespace) -> None:
    """Print what assignments there are."""
    names = sorted(path.parent.name for path in asked.homework.glob("*/keys"))
    if asked.names:
        print("\n".join(names))
        return
    if not names:
        raise Refused(f"{asked.homework} holds no assignment: each is a folder NAME with NAME.py and keys.")
    for name in names:
        assignment = Assignment.read(name, asked.homework)
        title = assignment.starter.split("\n# # ", 1)[-1].splitlines()[0].removeprefix("Homework: ")
        questions = f"{len(assignment.questions)} questions, {assignment.points:g} points"
        print(f"{name:16} {title:36} {questions}")
    print(
        "Next: make release NB=NAME writes students' copies and yours; docs/homework.md goes on from there."
    )


def run_release(asked: argparse.Namespace) -> None:
    """Write students' copies, copies with solutions, and the keys."""
    assignment = Assignment.read(asked.assignment, asked.homework)
    students = read_students(asked)
    secret = read_secret(asked.secret or asked.out / "secret", asked.per_student)
    release(assignment, asked.out / "release", secret, students)
    place = asked.out / "release"
    print(f"Give out {place / 'students'}. The copies with solutions are in {place / 'instructor'}.")
    print(
        f"Next, when they are back: python -m course_lib.grading grade {assignment.name} "
        f"--submissions FOLDER --out {asked.out}"
    )


def read_students(asked: argparse.Namespace) -> list[str]:
    """The names in the file of --students. Raises Refused if they cannot name folders."""
    if not asked.per_student:
        return []
    if asked.students is None:
        raise Refused("--per-student needs --students, a file with one name a line.")
    names = [line.strip() for line in asked.students.read_text(encoding="utf-8").splitlines()]
    names = [name for name in names if name]
    bad = [name for name in names if not re.fullmatch(r"[\w.@ -]+", name) or name.startswith(".")]
    if bad or not names or len(set(names)) < len(names):
        raise Refused(
            f"{asked.students} must hold different plain names, one a line; look at {bad[:3] or names[:3]}."
        )
    return names


def run_grade(asked: argparse.Namespace) -> None:
    """Grade what is not graded yet, and say whose points changed."""
    assignment = Assignment.read(asked.assignment, asked.homework)
    submissions = find_submissions(asked.submissions, assignment.name)
    if asked.only:
        submissions = chosen(submissions, asked.only)
    if not asked.unsafe:
        check_wall()
    secret = read_secret(asked.secret or asked.out / "secret", asked.per_student)
    store = Store(asked.out / assignment.name)
    before = {result.student: result.points for result in store.all()}
    jobs = jobs_for(assignment, submissions, secret, store)
    print(
        f"{len(submissions)} submissions, {len(submissions) - len(jobs)} graded already, {len(jobs)} to do."
    )
    progress = Progress(len(jobs), before)
    options = {"data": asked.data, "unsafe": asked.unsafe}
    if jobs:
        with cluster(asked) as client:
            grade_all(assignment, jobs, secret, store, client, progress.done, **options)
    progress.end()
    print(f"Results are in {store.folder}.")
    print(f"Next: python -m course_lib.grading report {assignment.name} --out {asked.out}")


def graded(asked: argparse.Namespace) -> tuple[Assignment, Store]:
    """The assignment and its stored results. Raises Refused if nothing was graded."""
    assignment = Assignment.read(asked.assignment, asked.homework)
    folder = asked.out / assignment.name
    if not (folder / "results").is_dir():
        raise Refused(f"nothing is graded yet in {folder}: run `grade` first, with the same --out.")
    return assignment, Store(folder)


def run_feedback(asked: argparse.Namespace) -> None:
    """Write one page for each student."""
    assignment, store = graded(asked)
    folder = asked.out / assignment.name / "feedback"
    count = write_feedback(assignment, store, folder, read_marks(asked.marks, assignment))
    print(f"{count} pages are in {folder}: give each student theirs.")


def run_report(asked: argparse.Namespace) -> None:
    """Write the class page and the tables of points."""
    assignment, store = graded(asked)
    marks = read_marks(asked.marks, assignment)
    results = [marked(assignment, result, marks) for result in store.all()]
    if not results:
        raise Refused("there are no results to report: run `grade` first.")
    folder = asked.out / assignment.name
    write_whole(folder / "class.html", class_page(assignment, results).encode())
    for name, make in {"points": plain_csv, "canvas": canvas_csv, "moodle": moodle_csv}.items():
        write_whole(folder / f"{name}.csv", make(assignment, results).encode())
    print(f"The class page is {folder / 'class.html'}; points.csv, canvas.csv and moodle.csv lie beside it.")
    print(f"Next: python -m course_lib.grading feedback {assignment.name} --out {asked.out}")


def read_marks(path: Path | None, assignment: Assignment) -> dict[tuple[str, str], tuple[float, str]]:
    """A person's marks by (student, question), checked against the assignment."""
    if path is None:
        return {}
    marks = {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = {"student", "question", "points"} - set(reader.fieldnames or [])
        if missing:
            raise Refused(
                f"{path} needs the columns student, question, points, comment; it lacks {sorted(missing)}."
            )
        for number, row in enumerate(reader, start=2):
            question = assignment.questions.get(row["question"])
            try:
                points = float(row["points"])
            except (TypeError, ValueError):
                raise Refused(f"line {number} of {path}: the points are no number.") from None
            if not isinstance(question, Written) or not 0 <= points <= question.points:
                raise Refused(
                    f"line {number} of {path}: no question in words of this name, or too many points."
                )
            marks[row["student"], row["question"]] = (points, row.get("comment") or "")
    return marks


def run_gradescope(asked: argparse.Namespace) -> None:
    """Grade one submission and write Gradescope's results.json."""
    assignment = Assignment.read(asked.assignment, asked.homework)
    found = find_submissions(asked.submissions, assignment.name)
    if len(found) > 1:
        raise Refused(f"{asked.submissions} holds {len(found)} notebooks: Gradescope grades one at a time.")
    if not asked.unsafe:
        check_wall()
    secret = read_secret(asked.secret or asked.out / "secret", asked.per_student)
    result = grade_submission(assignment, found[0], secret, unsafe=asked.unsafe)
    asked.out.mkdir(parents=True, exist_ok=True)
    write_whole(asked.out / "results.json", gradescope(assignment, marked(assignment, result, {})).encode())
    print(f"{asked.out / 'results.json'} is written.")


def chosen(submissions: list[Submission], students: list[str]) -> list[Submission]:
    """The submissions of these students. Raises Refused for a student who handed in nothing."""
    there = {submission.student for submission in submissions}
    unknown = sorted(set(students) - there)
    if unknown:
        raise Refused(f"no submission of {', '.join(unknown)}; there are: {', '.join(sorted(there)[:10])} …")
    return [submission for submission in submissions if submission.student in students]


def read_secret(path: Path, per_student: bool) -> Secret:
    """The secret in a file; a new one is drawn and written there, for its owner's eyes only, if
    there is none.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
        print(f"A new secret was drawn: keep {path}, because variants and inputs are made from it.")
    text = path.read_text().strip()
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) < 16:
        raise Refused(
            f"{path} holds no secret: it must be at least 32 hexadecimal digits. Delete it to draw a new one."
        )
    return Secret(key, per_student)


@contextmanager
def cluster(asked: argparse.Namespace) -> Iterator[Any]:
    """A Dask client: of the scheduler at an address, or of processes on this machine; None without
    a cluster.
    """
    if asked.workers == 0 and not asked.scheduler:
        yield None
        return
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise Refused(
            "Dask is not installed: pip install 'deep-generative-course[homework]', or --workers 0."
        ) from None
    dask.config.set(
        {
            "distributed.scheduler.allowed-failures": ALLOWED_DEATHS,
            "distributed.logging.distributed": "critical",
        }
    )
    if asked.scheduler:
        try:
            client = Client(asked.scheduler, timeout=10)
        except (OSError, ValueError, TimeoutError):
            raise Refused(
                f"no scheduler answers at {asked.scheduler}: is it running, and is the address right?"
            ) from None
        with client:
            yield client
        return
    workers = asked.workers or os.cpu_count() or 1
    with start_local(LocalCluster, workers) as local, Client(local) as client:
        yield client


def start_local(kind: Any, workers: int) -> Any:
    """A cluster on this machine. A worker that dies while it starts costs another try."""
    for number in range(1, START_TRIES + 1):
        try:
            return kind(n_workers=workers, threads_per_worker=1, dashboard_address=None, memory_limit=0)
        except RuntimeError:
            if number == START_TRIES:
                raise Refused(
                    "the workers do not start on this machine: is it out of memory? "
                    "--workers 0 grades without them."
                ) from None


class Progress:
    """One line that says how far grading is and how long it will take, and who changed at the end."""

    def __init__(self, total: int, before: dict[str, float]) -> None:
        self.total, self.before = total, before
        self.count = 0
        self.start = time.monotonic()
        self.changed: list[str] = []
        self.aside: list[str] = []

    def done(self, job: Job, result: Result) -> None:
        """Count one graded submission, and print how far grading is."""
        self.count += 1
        old = self.before.get(result.student)
        if old is not None and old != result.points:
            self.changed.append(f"{result.student}: {old:g} → {result.points:g}")
        if result.set_aside:
            self.aside.append(result.student)
        left = (time.monotonic() - self.start) / self.count * (self.total - self.count)
        line = f"{self.count} of {self.total} graded, {spell(left)} left"
        print(
            f"\r{line:60}" if sys.stdout.isatty() else line,
            end="" if sys.stdout.isatty() else "\n",
            flush=True,
        )

    def end(self) -> None:
        """Print whose points changed, and who needs to be looked at."""
        if self.count and sys.stdout.isatty():
            print()
        if self.changed:
            print(f"Points changed for {len(self.changed)} students:")
            print("\n".join(f"  {line}" for line in sorted(self.changed)))
        for student in sorted(self.aside):
            print(f"Set aside for a person to look at: {student}")


def spell(seconds: float) -> str:
    """Seconds as a person says them."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


if __name__ == "__main__":
    sys.exit(main())
