"""The command line: `python -m course_lib.grading grade mixtures --submissions DIR --out DIR`."""

import argparse
import logging
import os
import re
import secrets
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

from course_lib.files import check_writable, write_whole
from course_lib.grading.assignment import HOMEWORK, Assignment, AssignmentError, Secret
from course_lib.grading.empty_handed import without_notebook
from course_lib.grading.engine import (
    Result,
    Store,
    grade_all,
    grade_submission,
    jobs_for,
    older_ones,
    outdated,
)
from course_lib.grading.exports import canvas_csv, gradescope, has_number, moodle_csv, moodle_zip, plain_csv
from course_lib.grading.marks import (
    Marking,
    MarksError,
    is_complete,
    marks_csv,
    read_marks,
    what_is_open,
)
from course_lib.grading.pages import class_page, marked, write_feedback
from course_lib.grading.progress import Progress, say_what_is_graded_again, some
from course_lib.grading.sandbox import NoWall, check_wall
from course_lib.grading.submissions import (
    NO_NOTEBOOK,
    SEVERAL,
    NoNotebook,
    NoSubmissions,
    SeveralNotebooks,
    Submission,
    find_submissions,
    holds_half,
    read_cells,
)

# an innocent submission can lose its worker by chance; one that loses eight does it itself
ALLOWED_DEATHS = 8
START_TRIES = 5  # to start the workers of a local cluster

# What a worker runs first. Ctrl-C in a terminal reaches every process, but only this command answers it, and
# then ends the workers.
QUIET = """import logging, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
logging.getLogger("distributed").setLevel(logging.CRITICAL)
"""

Run = Callable[[argparse.Namespace], int | None]  # the exit status, if it is not 0


class Refused(Exception):
    """A command that cannot be carried out, in one sentence that says what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    asked = parser().parse_args(arguments)
    try:
        return asked.run(asked) or 0
    except (Refused, AssignmentError, MarksError, NoSubmissions, NoWall) as why:
        print(f"{asked.command}: {why}", file=sys.stderr)
        return 2
    except OSError as error:
        what = error.strerror or str(error) or type(error).__name__
        print(f"{asked.command}: {what}: {error.filename or getattr(asked, 'out', '')}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. What is graded is kept, and the same command continues.", file=sys.stderr)
        return 130


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

    does = "try an assignment's keys before students do"
    check = commands.add_parser("check", help=does, description=does)
    check.add_argument("assignment", help="its name, such as mixtures")
    check.add_argument("--homework", type=Path, default=HOMEWORK, help="where assignments and keys lie")
    check.add_argument("--seeds", type=int, default=3, help="how often inputs are drawn (default: 3)")
    check.set_defaults(run=run_check)

    release = command(commands, "release", run_release, "write copies for students and for you, and the keys")
    release.add_argument(
        "--students", type=Path, help="a file with one name per line; needed with --per-student"
    )

    grade = command(commands, "grade", run_grade, "grade all submissions; what is already graded is kept")
    grade.add_argument("--submissions", type=Path, required=True, help="a folder or a zip")
    grade.add_argument("--only", nargs="+", metavar="STUDENT", help="these students alone")
    grade.add_argument(
        "--replace", action="store_true", help="take these submissions even in place of newer ones"
    )
    grade.add_argument(
        "--scheduler", metavar="ADDRESS", help="a running Dask scheduler, such as tcp://host:8786"
    )
    grade.add_argument("--workers", type=int, help="processes here (default: one per core; 0: without Dask)")
    grade.add_argument("--data", type=Path, help="a folder that notebooks find as $COURSE_DATA, read-only")
    grade.add_argument(
        "--unsafe", action="store_true", help="without bubblewrap: notebooks can do anything here"
    )

    feedback = command(commands, "feedback", run_feedback, "write a page for each student")
    feedback.add_argument(
        "--marks", type=Path, help="your marks for answers in words (default: OUT/ASSIGNMENT/marks.csv)"
    )

    report = command(commands, "report", run_report, "write the class page and the tables of points")
    report.add_argument(
        "--marks", type=Path, help="your marks for answers in words (default: OUT/ASSIGNMENT/marks.csv)"
    )

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
        try:
            print(f"{name:16} {described(Assignment.read(name, asked.homework))}")
        except AssignmentError as why:  # no reason to be silent about the others
            print(f"{name:16} cannot be read: {why}")
    if asked.homework == HOMEWORK:
        print("Next: make release NB=NAME writes students' copies and yours; docs/homework.md says more.")
    else:
        say_next(f"check NAME{own_homework(asked)}")


def described(assignment: Assignment) -> str:
    """An assignment's title, and how many questions and points it has."""
    title = assignment.starter.split("\n# # ", 1)[-1].splitlines()[0].removeprefix("Homework: ")
    count = len(assignment.questions)
    questions = "1 question" if count == 1 else f"{count} questions"
    return f"{title:36} {questions}, {assignment.points:g} points"


def run_check(asked: argparse.Namespace) -> int:
    """Try an assignment's own keys and say what is wrong with them; 1 if anything is."""
    from course_lib.grading.trial import findings, keys_not_asked  # takes seconds, as release does

    if asked.seeds < 1:
        raise Refused("--seeds must be at least 1.")
    assignment = Assignment.read(asked.assignment, asked.homework)
    count = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mistakes overflow on purpose
        for line, faults in findings(assignment, asked.seeds):
            print("\n".join(faults or [line]), flush=True)
            count += len(faults)
    for remark in keys_not_asked(assignment, asked.homework):
        print(remark)
    if count:
        found = "1 fault was found: fix it" if count == 1 else f"{count} faults were found: fix them"
        print(f"{found} and run `check` again.")
        return 1
    say_next(f"release {assignment.name}{own_homework(asked)} --out grades")
    return 0


def say_next(words: str, when: str = "") -> None:
    """Print the next command, as it can be pasted into the shell that this one was typed into."""
    print(f"Next{when}: {this_python()} -m course_lib.grading {words}")


def this_python() -> str:
    """The command that starts the interpreter now running, with the shortest path that works from here."""
    running = Path(sys.executable)
    if running.is_relative_to(Path.cwd()):
        return quote(str(running.relative_to(Path.cwd())))
    return "python" if shutil.which("python") == str(running) else quote(str(running))


def own_homework(asked: argparse.Namespace) -> str:
    """The option that the next command needs as well, if the assignment is not one of the course's."""
    return "" if asked.homework == HOMEWORK else f" --homework {quote(str(asked.homework))}"


def run_release(asked: argparse.Namespace) -> None:
    """Write students' copies, copies with solutions, and the keys."""
    # it takes seconds, which `grade` and `report` should not cost
    from course_lib.grading.release import copies, write_all

    assignment = Assignment.read(asked.assignment, asked.homework)
    students = read_students(asked)
    path = asked.secret or asked.out / "secret"
    secret = read_secret(asked) if path.exists() else draw_secret(asked, path)
    files = copies(assignment, secret, students)  # all of them before anything is written
    keep_secret(path, secret)
    place = asked.out / "release"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)  # nobody else may read model answers
    write_all(files, place)
    if asked.per_student:
        print(f"Give each student the folder of their name in {place / 'students'}.")
    else:
        print(f"Give out the two files in {place / 'students' / assignment.name}.")
    print(f"The copies with solutions are in {place / 'instructor'}: keep them to yourself.")
    per_student = " --per-student" if asked.per_student else ""
    own_secret = f" --secret {quote(str(asked.secret))}" if asked.secret else ""
    given = f"{own_homework(asked)}{own_secret}{per_student}"
    say_next(
        f"grade {assignment.name} --submissions FOLDER_OR_ZIP --out {quote(str(asked.out))}{given}",
        when=", when they are back",
    )


def read_students(asked: argparse.Namespace) -> list[str]:
    """The names in the file of --students. Raises Refused if they cannot name folders."""
    if not asked.per_student:
        if asked.students:
            raise Refused("--students is for variants per student: give --per-student as well, or neither.")
        return []
    if asked.students is None:
        raise Refused("--per-student needs --students, a file with one name per line.")
    names = [line.strip() for line in text_of(asked.students).splitlines()]
    names = [name for name in names if name]
    bad = [name for name in names if not re.fullmatch(r"[\w.@' -]+", name) or name.startswith(".")]
    if bad:
        raise Refused(
            f"{asked.students} must hold plain names, one per line: letters, digits, spaces and the signs "
            f". _ @ ' - only. Look at {some(bad, 3)}."
        )
    twice = sorted(name for name in set(names) if names.count(name) > 1)
    if twice:
        raise Refused(f"{asked.students} names {some(twice, 3)} twice: names must differ.")
    if not names:
        raise Refused(f"{asked.students} is empty: it must hold one name per line.")
    return names


def run_grade(asked: argparse.Namespace) -> None:
    """Grade what is not graded yet, and say whose points changed."""
    assignment = Assignment.read(asked.assignment, asked.homework)
    submissions = read_submissions(asked, assignment)
    if not asked.unsafe:
        check_wall()
    secret = read_secret(asked)
    submissions = without_strangers(asked, assignment.name, submissions)
    store = Store(asked.out / assignment.name)
    check_writable(store.folder / "test")  # now, and not after an hour of grading
    before = {result.student: result.points for result in store.all()}
    older = [] if asked.replace else older_ones(submissions, store)
    jobs = jobs_for(assignment, [one for one in submissions if one not in older], secret, store)
    handed_in = f"{len(submissions)} submission{'' if len(submissions) == 1 else 's'}"
    print(f"{handed_in}, {len(submissions) - len(jobs)} graded already, {len(jobs)} to do.")
    if older:
        names = some([one.student for one in older])
        print(
            f"Kept, because a newer submission has been graded since: {names}. "
            f"To go back to those in {asked.submissions}, give --replace."
        )
    say_what_is_graded_again(assignment, jobs, secret)
    progress = Progress(len(jobs), before)
    options = {"data": asked.data, "unsafe": asked.unsafe}
    if jobs:
        with cluster(asked) as client:
            progress.workers = 1 if client is None else max(1, len(client.nthreads()))
            grade_all(assignment, jobs, secret, store, client, progress.done, **options)
    progress.end()
    left = [] if asked.only else outdated(assignment, secret, store.all())
    if left:
        print(
            f"Still to be graded again, from the folder that holds their submissions: {some(left)}. "
            "They were graded before the questions, the secret or the grader changed."
        )
    print(f"Results are in {store.folder}.")
    where = quote(str(asked.out)) + own_homework(asked)
    say_next(f"report {assignment.name} --out {where}")


def read_submissions(asked: argparse.Namespace, assignment: Assignment) -> list[Submission]:
    """The submissions to grade, also of students who handed in no notebook; says who these are."""
    found: list[Submission] = []
    nothing_found = None
    try:
        found = find_submissions(asked.submissions, assignment.name)
    except NoNotebook as why:  # but somebody may have handed in something else
        nothing_found = why
    empty_handed, loose = without_notebook(asked.submissions, assignment.name, found)
    submissions = sorted([*found, *empty_handed], key=lambda submission: submission.student)
    if nothing_found and not submissions:
        raise nothing_found
    if asked.only:
        return chosen(submissions, asked.only)
    check_assignment(asked, assignment, found)
    nothing = [one.student for one in submissions if one.trouble.startswith(NO_NOTEBOOK)]
    if nothing:
        print(f"These students handed in no notebook: {some(nothing)}.")
    several = [one.student for one in submissions if one.trouble in SEVERAL.values()]
    if several:
        print(f"These students handed in several notebooks or designs, so none is graded: {some(several)}.")
    if assignment.name in [one.student for one in found]:
        print(
            f"A student is called {assignment.name} here, like the assignment: "
            "does --submissions name one student's folder instead of all students'?"
        )
    if loose:
        print(f"Left out, because nothing says whose they are: {some(loose)}.")
    return submissions


def check_assignment(
    asked: argparse.Namespace, assignment: Assignment, submissions: list[Submission]
) -> None:
    """Raise Refused if these are the notebooks of another assignment: everybody would get 0 points."""
    seen = False
    for submission in submissions:
        if submission.trouble or read_cells(submission.notebook).refusal:
            continue
        if holds_half(submission.notebook, assignment.functions):
            return
        seen = True
    if seen:
        raise Refused(
            f"no notebook in {asked.submissions} has even half of {assignment.name}'s questions: is "
            f"{assignment.name} the right assignment? If it is, name the students with --only."
        )


def without_strangers(
    asked: argparse.Namespace, name: str, submissions: list[Submission]
) -> list[Submission]:
    """The submissions; those of students to whom no copy was released under this name cannot be graded, and
    say so. Raises Refused if students got other variants than those by which they would be graded. What was
    released into another folder cannot be checked.
    """
    copies = asked.out / "release" / "students"
    to_class = (copies / name / f"{name}.ipynb").exists()
    to_each = {path.parent.parent.name for path in copies.glob(f"*/{name}/{name}.ipynb")}
    if to_class and to_each:
        raise Refused(
            f"{name} was released both with and without --per-student, so nobody can tell which copies the "
            f"students got: in {copies}, remove {name} if each got their own, or else the students' folders."
        )
    if (to_class or to_each) and bool(to_each) != asked.per_student:
        how = "with" if to_each else "without"
        do = "give it to `grade` as well" if to_each else "leave it out"
        raise Refused(f"{name} was released {how} --per-student: {do}.")
    strangers = [one.student for one in submissions if to_each and one.student not in to_each]
    if not strangers:
        return submissions
    if len(strangers) == len(submissions):
        raise Refused(
            f"no copy was released to {some(strangers)}. "
            f"The names in --students must be the names that submissions carry."
        )
    print(
        f"Not graded, because no copy was released under this name: {some(strangers)}. "
        "Add the name to the file of --students, run `release` again, and then `grade`."
    )
    trouble = "No copy was released under this name."
    return [replace(one, trouble=trouble) if one.student in strangers else one for one in submissions]


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
    marking = marking_of(asked, assignment, store.all())
    pages = write_feedback(assignment, store, folder, marking.marks)
    print(f"{len(pages)} pages are in {folder}: give each student theirs.")
    for_moodle = moodle_zip(assignment, pages)
    if for_moodle:
        path = asked.out / assignment.name / "moodle_feedback.zip"
        write_whole(path, for_moodle)
        print(f"If the submissions came from Moodle, upload {path} there.")
    for sentence in what_is_open(assignment, store.all(), marking, marks_file(asked)):
        print(sentence)
    if not is_complete(assignment, store.all(), marking):
        print("Then run `report` and `feedback` again.")


def run_report(asked: argparse.Namespace) -> None:
    """Write the class page and the tables of points."""
    assignment, store = graded(asked)
    stored = store.all()
    if not stored:
        raise Refused("there are no results to report: run `grade` first.")
    marking = marking_of(asked, assignment, stored)
    results = [marked(assignment, result, marking.marks) for result in stored]
    folder = asked.out / assignment.name
    write_whole(folder / "class.html", class_page(assignment, results).encode())
    # tables for people begin with the mark by which Excel knows UTF-8; Canvas and Moodle do not want it
    write_whole(folder / "points.csv", plain_csv(assignment, results).encode("utf-8-sig"))
    write_whole(folder / "canvas.csv", canvas_csv(assignment, results).encode())
    write_whole(folder / "moodle.csv", moodle_csv(assignment, results).encode())
    if asked.marks is None:  # a file of one's own is not written to
        write_whole(marks_file(asked), marks_csv(assignment, stored, marking).encode("utf-8-sig"))
    print(f"The class page is {folder / 'class.html'}; points.csv, canvas.csv and moodle.csv lie beside it.")
    for sentence in what_is_open(assignment, stored, marking, marks_file(asked)):
        print(sentence)
    if not any(has_number(result.student) for result in stored):
        print("No name has a number of Canvas or Moodle, so canvas.csv and moodle.csv are of no use here.")
    given = own_homework(asked) + ("" if asked.marks is None else f" --marks {quote(str(asked.marks))}")
    where = f"{assignment.name} --out {quote(str(asked.out))}{given}"
    if is_complete(assignment, stored, marking):
        say_next(f"feedback {where}")
    else:
        say_next(f"report {where}", when=", when you have marked the answers")


def marks_file(asked: argparse.Namespace) -> Path:
    """Where marks are read from: the file of --marks, or the one that `report` writes."""
    return asked.marks or asked.out / asked.assignment / "marks.csv"


def marking_of(asked: argparse.Namespace, assignment: Assignment, results: list[Result]) -> Marking:
    """A person's marks so far."""
    path = marks_file(asked)
    if asked.marks is None and not path.exists():
        return Marking()
    return read_marks(text_of(path), path, assignment, results)


def text_of(path: Path) -> str:
    """A text file that a person wrote, perhaps with a spreadsheet. Raises Refused if it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(f"{path} is not in UTF-8: save it again as CSV UTF-8.") from None


def run_gradescope(asked: argparse.Namespace) -> None:
    """Grade one submission and write Gradescope's results.json."""
    if asked.per_student:
        raise Refused("Gradescope does not name the student to the grader, so --per-student cannot work.")
    assignment = Assignment.read(asked.assignment, asked.homework)
    submission = only_submission(asked.submissions, assignment.name)
    if not asked.unsafe:
        check_wall()
    result = grade_submission(assignment, submission, read_secret(asked), unsafe=asked.unsafe)
    asked.out.mkdir(parents=True, exist_ok=True)
    write_whole(asked.out / "results.json", gradescope(assignment, marked(assignment, result, {})).encode())
    print(f"{asked.out / 'results.json'} is written.")
    for question, what in result.faults.items():
        print(f"The question {question} counts 0, because its key stops with {what}.", file=sys.stderr)


def only_submission(folder: Path, name: str) -> Submission:
    """What a student handed in on Gradescope, who must be told when it is no notebook, or several."""
    try:
        found = find_submissions(folder, name)
    except NoNotebook:
        return Submission("", trouble=f"{NO_NOTEBOOK}.")
    except SeveralNotebooks:
        found = []
    several = Submission("", trouble=SEVERAL["notebook"])
    return found[0] if len(found) == 1 else several


def chosen(submissions: list[Submission], students: list[str]) -> list[Submission]:
    """The submissions of these students. Raises Refused for a student who handed in nothing."""
    there = {submission.student for submission in submissions}
    unknown = sorted(set(students) - there)
    if unknown:
        raise Refused(f"no submission of {', '.join(unknown)}; there are: {some(sorted(there))}.")
    return [submission for submission in submissions if submission.student in students]


def draw_secret(asked: argparse.Namespace, path: Path) -> Secret:
    """A new secret. Raises Refused if there was another one, which students' copies were made with."""
    released = (asked.out / "release" / "keys").exists()
    if released or any(asked.out.glob("*/results/*.json")):
        what = asked.out / "release" if released else f"what is graded in {asked.out}"
        raise Refused(
            f"{what} was made with a secret that is not here: put it back as {path}, "
            "or release to a new folder."
        )
    return Secret(secrets.token_bytes(32), asked.per_student)


def keep_secret(path: Path, secret: Secret) -> None:
    """Write a new secret to its file, for its owner's eyes only."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret.key.hex() + "\n")
    print(f"A new secret was drawn: keep {path}, because variants and inputs are made from it.")


def read_secret(asked: argparse.Namespace) -> Secret:
    """The secret of a release. It is not drawn here: another secret would ask other variants than the
    students were given.
    """
    path = asked.secret or asked.out / "secret"
    if not path.exists():
        raise Refused(
            f"there is no secret at {path}: name the folder that `release` wrote to with --out, "
            "or the secret's file with --secret."
        )
    text = path.read_text().strip()
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) < 16:
        raise Refused(
            f"{path} holds no secret: it must be at least 32 hexadecimal digits. "
            "Take the file that `release` wrote."
        )
    return Secret(key, asked.per_student)


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
            "distributed.worker.preload": [QUIET],
        }
    )
    # here Dask has read its settings already; a worker that is slow to leave is no news to an instructor
    for name in ("distributed", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if asked.scheduler:
        try:
            client = Client(asked.scheduler, timeout=10)
        except (OSError, ValueError, TimeoutError):
            raise Refused(
                f"no scheduler answers at {asked.scheduler}: is it running, and is the address right?"
            ) from None
        if not client.scheduler_info()["workers"]:
            print(f"The scheduler at {asked.scheduler} has no workers yet; grading waits for the first.")
        parts = [client]
    else:
        local = start_local(LocalCluster, asked.workers or os.cpu_count() or 1)
        client = Client(local)
        parts = [client, local]
    try:
        yield client
    finally:
        close(*parts)


def close(*parts: Any) -> None:
    """Close a client and its cluster. On a busy machine a worker can take too long to leave; the results
    are stored by then, so this must not look like a failure.
    """
    for part in parts:
        with suppress(OSError):  # a TimeoutError is one, and so is Dask's error for a lost connection
            part.close()


def start_local(kind: Any, workers: int) -> Any:
    """A cluster on this machine. A worker that dies while it starts costs another try."""
    for number in range(1, START_TRIES + 1):
        try:
            # a free port, and for this machine alone: nobody looks at Dask's own page
            own_page = "127.0.0.1:0"
            return kind(n_workers=workers, threads_per_worker=1, dashboard_address=own_page, memory_limit=0)
        except RuntimeError:
            if number == START_TRIES:
                raise Refused(
                    "the workers do not start on this machine: is it out of memory? "
                    "--workers 0 grades without them."
                ) from None


if __name__ == "__main__":
    sys.exit(main())
