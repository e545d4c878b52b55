"""The grader's command-line interface.

python -m course_lib.grading grade mixtures --submissions DIR --out DIR
"""

import argparse
import logging
import os
import re
import secrets
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

from course_lib.files import check_writable, write_whole
from course_lib.grading.assignment import HOMEWORK, Assignment, AssignmentError, Secret, key_in
from course_lib.grading.empty_handed import without_notebook
from course_lib.grading.engine import (
    Result,
    Store,
    grade_all,
    grade_submission,
    graded_with_other_questions,
    jobs_for,
    older_ones,
    outdated,
)
from course_lib.grading.exports import (
    canvas_csv,
    gradescope,
    has_number,
    moodle_csv,
    moodle_zip,
    plain_csv,
)
from course_lib.grading.marks import (
    Marking,
    MarksError,
    is_complete,
    marks_csv,
    read_marks,
    what_is_open,
)
from course_lib.grading.pages import class_page, marked, to_look_at, write_feedback
from course_lib.grading.progress import Progress, failures, say_what_is_graded_again, some
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

# a worker may die by chance on a harmless submission, but losing eight workers is no coincidence
ALLOWED_DEATHS = 8
START_TRIES = 5  # attempts to start the workers of a local cluster
SCHEDULER_SECONDS = 10  # how long to try to reach the scheduler of --scheduler

# Code that each worker runs at startup. Ctrl-C in a terminal reaches every process, but only the
# main process handles the signal and then stops the workers.
QUIET = """import logging, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
logging.getLogger("distributed").setLevel(logging.CRITICAL)
"""

# the file that contains the path of the --marks file that the last `report` used, if any
MARKS_USED = "marks_used.txt"

Run = Callable[[argparse.Namespace], int | None]  # returns the exit status, or None for 0


class Refused(Exception):
    """Raised if a command cannot be carried out; the message says what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    asked = parser().parse_args(arguments)
    try:
        return asked.run(asked) or 0
    except (Refused, AssignmentError, MarksError, NoSubmissions, NoWall) as why:
        print(f"{asked.command}: {why}", file=sys.stderr)
        return 2
    except OSError as error:
        what = error.strerror or str(error) or type(error).__name__
        print(
            f"{asked.command}: {what}: {error.filename or getattr(asked, 'out', '')}",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print(
            "\nStopped. All results so far are kept; run the same command again to continue.",
            file=sys.stderr,
        )
        return 130


def parser() -> argparse.ArgumentParser:
    """Return the parser for the commands and their options."""
    top = argparse.ArgumentParser(
        prog="python -m course_lib.grading", description="Grade homework automatically."
    )
    commands = top.add_subparsers(dest="command", required=True)
    add_commands_before_grading(commands)
    add_grade(commands)
    add_commands_after_grading(commands)
    return top


def add_commands_before_grading(commands: Any) -> None:
    """Add the commands `list`, `check` and `release`."""
    there = commands.add_parser(
        "list", help="list the assignments", description="List the assignments."
    )
    there.add_argument("--names", action="store_true", help="print only the names")
    there.add_argument(
        "--homework", type=Path, default=HOMEWORK, help="the folder with assignments and keys"
    )
    there.set_defaults(run=run_list)

    does = "test the keys of an assignment before you release it"
    check = commands.add_parser("check", help=does, description=does)
    check.add_argument("assignment", help="the name of the assignment, such as mixtures")
    check.add_argument(
        "--homework", type=Path, default=HOMEWORK, help="the folder with assignments and keys"
    )
    check.add_argument(
        "--seeds", type=int, default=3, help="the number of draws of inputs (default: 3)"
    )
    check.set_defaults(run=run_check)

    does = "write the students' and the instructor's copies"
    release = command(commands, "release", run_release, does)
    release.add_argument(
        "--students", type=Path, help="a file with one name per line; required with --per-student"
    )


def add_grade(commands: Any) -> None:
    """Add the command `grade`."""
    does = "grade all submissions that have no up-to-date result"
    grade = command(commands, "grade", run_grade, does)
    grade.add_argument(
        "--submissions", type=Path, required=True, help="a folder or zip file with submissions"
    )
    grade.add_argument("--only", nargs="+", metavar="STUDENT", help="grade only these students")
    grade.add_argument(
        "--replace",
        action="store_true",
        help="grade these submissions even if newer ones have been graded",
    )
    grade.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="the address of a Dask scheduler, such as tcp://host:8786",
    )
    grade.add_argument(
        "--workers", type=int, help="number of processes (default: one per core; 0: no Dask)"
    )
    grade.add_argument(
        "--data", type=Path, help="a read-only folder that notebooks find as $COURSE_DATA"
    )
    grade.add_argument(
        "--unsafe", action="store_true", help="grade without bubblewrap and without any protection"
    )


def add_commands_after_grading(commands: Any) -> None:
    """Add the commands `feedback`, `report` and `gradescope` (which grades one submission)."""
    feedback = command(commands, "feedback", run_feedback, "write a feedback page for each student")
    feedback.add_argument(
        "--marks", type=Path, help="the file with your marks (default: OUT/ASSIGNMENT/marks.csv)"
    )

    does = "write the class page and the tables of points"
    report = command(commands, "report", run_report, does)
    report.add_argument(
        "--marks", type=Path, help="the file with your marks (default: OUT/ASSIGNMENT/marks.csv)"
    )

    does = "grade one submission in Gradescope's autograder"
    gradescope = command(commands, "gradescope", run_gradescope, does)
    gradescope.add_argument(
        "--submissions", type=Path, required=True, help="Gradescope's submission folder"
    )
    gradescope.add_argument(
        "--unsafe", action="store_true", help="rely only on Gradescope's container"
    )


def command(commands: Any, name: str, run: Run, does: str) -> argparse.ArgumentParser:
    """Add a command with the arguments that all commands except `list` and `check` share,
    and return its parser.
    """
    one = commands.add_parser(name, help=does, description=does)
    one.add_argument("assignment", help="the name of the assignment, such as mixtures")
    one.add_argument(
        "--out", type=Path, required=True, help="the folder for results; keep it private"
    )
    one.add_argument(
        "--homework", type=Path, default=HOMEWORK, help="the folder with assignments and keys"
    )
    one.add_argument("--secret", type=Path, help="the file with your secret (default: OUT/secret)")
    one.add_argument(
        "--per-student", action="store_true", help="each student gets their own variants"
    )
    one.set_defaults(run=run)
    return one


def run_list(asked: argparse.Namespace) -> None:
    """List all assignments or, with --names, only their names."""
    names = sorted(path.parent.name for path in asked.homework.glob("*/keys"))
    if asked.names:
        print("\n".join(names))
        return
    if not names:
        raise Refused(
            f"{asked.homework} contains no assignments. "
            "An assignment is a folder NAME that contains NAME.py and a folder named keys."
        )
    for name in names:
        try:
            print(f"{name:16} {described(Assignment.read(name, asked.homework))}")
        except AssignmentError as why:  # the other assignments are still listed
            print(f"{name:16} cannot be read: {why}")
    if asked.homework == HOMEWORK:
        say_next("release NAME --out grades")
        print("docs/homework.md explains each step, from the release to the feedback.")
    else:
        say_next(f"check NAME{own_homework(asked)}")


def described(assignment: Assignment) -> str:
    """Return one line of text with an assignment's title, number of questions and total points."""
    title = assignment.starter.split("\n# # ", 1)[-1].splitlines()[0].removeprefix("Homework: ")
    count = len(assignment.questions)
    questions = "1 question" if count == 1 else f"{count} questions"
    return f"{title:36} {questions}, {assignment.points:g} points"


def run_check(asked: argparse.Namespace) -> int:
    """Test an assignment's keys and print every fault. Return 1 if a fault was found, else 0."""
    from course_lib.grading.trial import findings, keys_not_asked  # this import takes seconds

    if asked.seeds < 1:
        raise Refused("--seeds must be at least 1.")
    assignment = Assignment.read(asked.assignment, asked.homework)
    count = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some known mistakes overflow on purpose
        for line, faults in findings(assignment, asked.seeds):
            print("\n".join(faults or [line]), flush=True)
            count += len(faults)
    for remark in keys_not_asked(assignment, asked.homework):
        print(remark)
    if count:
        found, them = ("1 fault was", "it") if count == 1 else (f"{count} faults were", "them")
        print(f"{found} found. Fix {them} and run `check` again.")
        return 1
    say_next(f"release {assignment.name}{own_homework(asked)} --out grades")
    return 0


def say_next(words: str, when: str = "") -> None:
    """Print the next command in a form that can be pasted into the current shell."""
    print(f"Next{when}: {this_python()} -m course_lib.grading {words}")


def this_python() -> str:
    """Return the shortest command that starts the current Python interpreter
    from the current folder.
    """
    running = Path(sys.executable)
    if running.is_relative_to(Path.cwd()):
        return quote(str(running.relative_to(Path.cwd())))
    return "python" if shutil.which("python") == str(running) else quote(str(running))


def own_homework(asked: argparse.Namespace) -> str:
    """Return the --homework option for the next command, or "" for the course's own assignments."""
    return "" if asked.homework == HOMEWORK else f" --homework {quote(str(asked.homework))}"


def run_release(asked: argparse.Namespace) -> None:
    """Write the students' copies, the instructor's copies with solutions, and the keys."""
    # imported here because the import takes seconds, and `grade` and `report` do not need it
    from course_lib.grading.release import copies, write_all

    assignment = Assignment.read(asked.assignment, asked.homework)
    students = read_students(asked)
    path = asked.secret or asked.out / "secret"
    secret = read_secret(asked) if path.exists() else draw_secret(asked, path)
    files = copies(assignment, secret, students)  # make all copies before writing the first file
    place = asked.out / "release"
    check_kind_of_release(asked, assignment.name)
    say_what_exists(path, place, files)
    keep_secret(path, secret)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)  # other users must not see model answers
    write_all(files, place)
    if asked.per_student:
        print(f"Give each student the folder with their name from {place / 'students'}.")
    else:
        print(f"Hand out the two files in {place / 'students' / assignment.name}.")
    print(f"The copies with solutions are in {place / 'instructor'}. Do not share these copies.")
    per_student = " --per-student" if asked.per_student else ""
    own_secret = f" --secret {quote(str(asked.secret))}" if asked.secret else ""
    given = f"{own_homework(asked)}{own_secret}{per_student}"
    say_next(
        f"grade {assignment.name} --submissions FOLDER_OR_ZIP --out {quote(str(asked.out))}{given}",
        when=", when the submissions are in",
    )


def released(out: Path, name: str) -> tuple[bool, set[str]]:
    """Return whether an assignment was released to the whole class, and the names of the students
    to whom it was released individually.
    """
    copies = out / "release" / "students"
    to_class = (copies / name / f"{name}.ipynb").exists()
    return to_class, {path.parent.parent.name for path in copies.glob(f"*/{name}/{name}.ipynb")}


def released_otherwise(asked: argparse.Namespace, name: str) -> str:
    """Return "with" or "without" if this command differs from the release in its use of
    --per-student, or "" if it does not differ or there is no release.
    """
    to_class, to_each = released(asked.out, name)
    if not (to_class or to_each) or bool(to_each) == asked.per_student:
        return ""
    return "with" if to_each else "without"


def check_kind_of_release(asked: argparse.Namespace, name: str) -> None:
    """Raise Refused if an earlier release used --per-student and this one does not,
    or the other way round.
    """
    how = released_otherwise(asked, name)
    if how:
        raise Refused(
            f"{name} has already been released {how} --per-student in {asked.out / 'release'}. "
            "Release to a different folder, or delete the earlier copies."
        )


def say_what_exists(secret: Path, place: Path, files: Mapping[str, bytes]) -> None:
    """If a secret already exists, print that it is reused, whether existing copies change,
    and which copies are new.
    """
    if not secret.exists():
        return
    print(f"The copies are made with the existing secret in {secret}.")
    there = [name for name in files if (place / name).exists()]
    new = sorted({"/".join(name.split("/")[:2]) for name in files if name not in there})
    changed = [
        str((place / name).relative_to(place))
        for name in there
        if (place / name).read_bytes() != files[name]
    ]
    if changed:
        print(f"These files in {place} have changed and are replaced: {some(changed, 3)}.")
    elif there:
        which = "other copies" if new else "copies"
        print(f"The {which} in {place} are replaced by equal ones.")
    if there and new:
        print(f"New in {place}: {some(new)}.")


def read_students(asked: argparse.Namespace) -> list[str]:
    """Return the names in the --students file, or an empty list if --per-student is not used.

    Raises Refused if only one of these two options is used, or if the file contains no names, an
    invalid name or a repeated name.
    """
    if not asked.per_student:
        if asked.students:
            raise Refused("--students works only with --per-student. Use both options or neither.")
        return []
    if asked.students is None:
        raise Refused("--per-student requires --students, a file with one name per line.")
    names = [line.strip() for line in text_of(asked.students).splitlines()]
    names = [name for name in names if name]
    bad = [name for name in names if not re.fullmatch(r"[\w.@' -]+", name) or name.startswith(".")]
    if bad:
        which = "an invalid name" if len(bad) == 1 else "invalid names"
        raise Refused(
            f"{asked.students} contains {which}: {some(bad, 3)}. A name may contain only letters, "
            "digits, spaces and the characters . _ @ ' -, and must not begin with a dot."
        )
    twice = sorted(name for name in set(names) if names.count(name) > 1)
    if twice:
        raise Refused(
            f"The names in {asked.students} must be unique, "
            f"but these are repeated: {some(twice, 3)}."
        )
    if not names:
        raise Refused(f"{asked.students} is empty. The file must contain one name per line.")
    return names


def run_grade(asked: argparse.Namespace) -> None:
    """Grade all submissions that have no up-to-date result,
    and print the names of the students whose points have changed.
    """
    assignment = Assignment.read(asked.assignment, asked.homework)
    secret = read_secret(asked)
    if not asked.unsafe:
        check_wall()
    submissions = read_submissions(asked, assignment)
    submissions = without_strangers(asked, assignment.name, submissions)
    store = Store(asked.out / assignment.name)
    check_writable(store.folder / "test")  # fail now rather than after an hour of grading
    before = {result.student: result for result in store.all()}
    older = [] if asked.replace else older_ones(submissions, store)
    jobs = jobs_for(assignment, [one for one in submissions if one not in older], secret, store)
    handed_in = f"{len(submissions)} submission{'' if len(submissions) == 1 else 's'}"
    skipped = f"{len(older)} skipped, " if older else ""
    ready = len(submissions) - len(older) - len(jobs)
    print(f"{handed_in}: {ready} already graded, {skipped}{len(jobs)} left to grade.")
    if older:
        names = some([one.student for one in older])
        print(
            f"Skipped, because a newer submission has already been graded: {names}. "
            f"To grade the submissions in {asked.submissions} instead, add --replace."
        )
    say_what_is_graded_again(assignment, jobs, secret)
    progress = Progress(assignment, len(jobs), before)
    options = {"data": asked.data, "unsafe": asked.unsafe}
    if jobs:
        with cluster(asked) as client:
            progress.workers = 1 if client is None else max(1, len(client.nthreads()))
            grade_all(assignment, jobs, secret, store, client, progress.done, **options)
    progress.end()
    left = [] if asked.only else outdated(assignment, secret, store.all())
    if left:
        print(say_outdated("questions, the secret or the grader has", left))
    print(f"The results are in {store.folder}.")
    where = quote(str(asked.out)) + own_homework(asked)
    say_next(f"report {assignment.name} --out {where}")


def read_submissions(asked: argparse.Namespace, assignment: Assignment) -> list[Submission]:
    """Return the submissions to grade, including those without a notebook.

    Print the names of students whose submissions cannot be graded, and the files that cannot be
    matched to a student. Raises Refused if the folder does not seem to be that of a class, if all
    its notebooks seem to belong to another assignment, or if a student named with --only has no
    submission.
    """
    found: list[Submission] = []
    nothing_found = None
    try:
        found = find_submissions(asked.submissions, assignment.name)
    except NoNotebook as why:  # some students may still have handed in other files
        nothing_found = why
    empty_handed, loose = without_notebook(asked.submissions, assignment.name, found)
    submissions = sorted([*found, *empty_handed], key=lambda submission: submission.student)
    if nothing_found and not submissions:
        raise nothing_found
    if asked.only:
        submissions, loose = chosen(submissions, asked.only), []
    else:
        check_names(asked, assignment, found)
        check_assignment(asked, assignment, found)
    say_who_cannot_be_graded(asked, assignment, submissions)
    if loose:
        print(f"No student could be identified, so these files are ignored: {some(loose)}.")
    return submissions


def check_names(
    asked: argparse.Namespace, assignment: Assignment, submissions: list[Submission]
) -> None:
    """Raise Refused if the name found for a student is the name of the assignment.

    The student's results would be stored under a name that is not theirs.
    """
    if assignment.name in [one.student for one in submissions]:
        raise Refused(
            f"one student in {asked.submissions} would have the same name as the assignment, "
            f"{assignment.name}. If this is the folder of one student, pass the folder of the "
            f"whole class. If a file is named {assignment.name}.ipynb, rename it to STUDENT.ipynb, "
            "or put it in a folder named after the student."
        )


def say_who_cannot_be_graded(
    asked: argparse.Namespace, assignment: Assignment, submissions: list[Submission]
) -> None:
    """Print the names of students whose submissions cannot be graded, with the reasons, and the
    names of those whose notebooks seem to belong to another assignment.
    """
    nothing = [one.student for one in submissions if one.trouble.startswith(NO_NOTEBOOK)]
    if nothing:
        print(f"No notebook was handed in, so these students get 0 points: {some(nothing)}.")
    several = [one.student for one in submissions if one.trouble in SEVERAL.values()]
    if several:
        print(
            "More than one notebook or design was handed in, so these students get 0 points: "
            f"{some(several)}. Keep one of each per student, and run the same command again. "
            "If one of these names is not a student's, also delete the file with this name from "
            f"{asked.out / assignment.name / 'results'}."
        )
    unreadable: dict[str, list[str]] = {}
    other = []
    for one in submissions:
        if one.student in (*nothing, *several):
            continue
        reason = one.trouble or read_cells(one.notebook).refusal
        if reason:
            unreadable.setdefault(reason, []).append(one.student)
        elif not holds_half(one.notebook, assignment.functions):
            other.append(one.student)
    for reason, students in unreadable.items():
        print(f"{reason} These students get 0 points: {some(students)}.")
    if other:
        print(
            f"These notebooks contain fewer than half of the questions in {assignment.name} and "
            f"may belong to another assignment: {some(other)}."
        )


def check_assignment(
    asked: argparse.Namespace, assignment: Assignment, submissions: list[Submission]
) -> None:
    """Raise Refused if all notebooks seem to belong to another assignment.

    Grading them would give every student 0 points.
    """
    seen = False
    for submission in submissions:
        if submission.trouble in SEVERAL.values():
            return  # one of these notebooks may be the right one
        if submission.trouble or read_cells(submission.notebook).refusal:
            continue
        if holds_half(submission.notebook, assignment.functions):
            return
        seen = True
    if seen:
        raise Refused(
            f"no notebook in {asked.submissions} contains at least half of {assignment.name}'s "
            f"questions. Is {assignment.name} the right assignment? "
            "If so, name the students with --only."
        )


def without_strangers(
    asked: argparse.Namespace, name: str, submissions: list[Submission]
) -> list[Submission]:
    """Return the submissions, with `trouble` set in that of each student without a released copy.

    Only releases with --per-student contain a copy for each student. Raises Refused if such a
    release contains no copy for any of these students. Also raises Refused if --per-student does
    not match the release, or if there are releases of both kinds, because students might then be
    graded on variants that they did not receive. Copies that were released to a different folder
    are not checked.
    """
    to_class, to_each = released(asked.out, name)
    if to_class and to_each:
        raise Refused(
            f"{name} was released both with and without --per-student, so it is unclear which "
            f"copies the students received. In {asked.out / 'release' / 'students'}, delete the "
            f"folder {name} if each student received their own copy; otherwise, delete the "
            "students' folders."
        )
    how = released_otherwise(asked, name)
    if how:
        do = "Add this option to `grade` as well" if to_each else "Leave this option out"
        raise Refused(f"{name} was released {how} --per-student. {do}.")
    strangers = [one.student for one in submissions if to_each and one.student not in to_each]
    if not strangers:
        return submissions
    if len(strangers) == len(submissions):
        raise Refused(
            f"no copy was released for {some(strangers)}. "
            "The names in the --students file must match the students' names in the submissions."
        )
    print(
        f"No copy was released for these students, so they get 0 points: {some(strangers)}. "
        "Add every missing name to the --students file, then run `release` and `grade` again."
    )
    trouble = "No copy was released under this name."
    return [
        replace(one, trouble=trouble) if one.student in strangers else one for one in submissions
    ]


def say_outdated(what: str, students: list[str]) -> str:
    """Return a sentence that names the students who must be graded again because `what` changed."""
    return (
        f"The {what} changed since these students were graded: {some(students)}. "
        "Run `grade` again on the folder that contains their submissions."
    )


def not_yet(assignment: Assignment, results: list[Result]) -> list[str]:
    """Return the reasons, if any, why points and feedback must not be published yet."""
    found = failures(results, assignment, "run the same `grade` command again")
    left = graded_with_other_questions(assignment, results)
    return [*found, say_outdated("questions or the grader have", left)] if left else found


def graded(asked: argparse.Namespace) -> tuple[Assignment, Store]:
    """Return the assignment and its result store.

    Raises Refused if nothing has been graded yet.
    """
    assignment = Assignment.read(asked.assignment, asked.homework)
    folder = asked.out / assignment.name
    if not (folder / "results").is_dir():
        raise Refused(
            f"nothing has been graded in {folder} yet. Run `grade` first, with the same --out."
        )
    return assignment, Store(folder)


def run_feedback(asked: argparse.Namespace) -> None:
    """Write one feedback page for each student."""
    assignment, store = graded(asked)
    check_same_marks(asked)
    folder = asked.out / assignment.name / "feedback"
    marking = marking_of(asked, assignment, store.all())
    pages = write_feedback(assignment, store, folder, marking.marks)
    pages_are = "1 page is" if len(pages) == 1 else f"{len(pages)} pages are"
    failed = not_yet(assignment, store.all())
    if tables_are_old(asked, assignment, store, marking):
        failed.append(
            "The tables of the last `report` do not agree with these pages, because points, marks "
            "or notes have changed since then, or because a table was edited."
        )
    complete = is_complete(assignment, store.all(), marking)
    if failed:
        what_now = "Do not hand them out yet"
    elif complete:
        what_now = "Give each student their own page"
    else:
        what_now = "Some answers on them must still be marked or checked"
    print(f"{pages_are} in {folder}. {what_now}.")
    for sentence in [*failed, *what_is_open(assignment, store.all(), marking, marks_file(asked))]:
        print(sentence)
    for_moodle = moodle_zip(assignment, pages)
    if for_moodle:
        path = asked.out / assignment.name / "moodle_feedback.zip"
        write_whole(path, for_moodle)
        if complete and not failed:
            print(f"If the submissions came from Moodle, upload {path} there.")
    if failed:
        print("Then run `report` and `feedback` again.")
    elif not complete:
        print("When you have marked and checked every answer, run `report` and `feedback` again.")


def tables_are_old(
    asked: argparse.Namespace, assignment: Assignment, store: Store, marking: Marking
) -> bool:
    """Return whether the tables of the last `report`, if any, differ from those that it would
    write now.
    """
    results = [marked(assignment, result, marking.marks) for result in store.all()]
    now = {
        "points.csv": plain_csv(assignment, results).encode("utf-8-sig"),
        "moodle.csv": moodle_csv(assignment, results).encode(),
    }
    tables = {asked.out / assignment.name / name: content for name, content in now.items()}
    return any(table.exists() and table.read_bytes() != now for table, now in tables.items())


def run_report(asked: argparse.Namespace) -> None:
    """Write the class page and the tables of points."""
    assignment, store = graded(asked)
    stored = store.all()
    if not stored:
        raise Refused("there are no results to report. Run `grade` first.")
    marking = marking_of(asked, assignment, stored)
    own_marks, marks_before = own_marks_of(asked), marks_in_tables(asked)
    results = [marked(assignment, result, marking.marks) for result in stored]
    folder = asked.out / assignment.name
    write_whole(folder / "class.html", class_page(assignment, results).encode())
    # points.csv and marks.csv begin with a byte order mark, which Excel needs to recognize UTF-8
    write_whole(folder / "points.csv", plain_csv(assignment, results).encode("utf-8-sig"))
    write_whole(folder / "canvas.csv", canvas_csv(assignment, results).encode())
    write_whole(folder / "moodle.csv", moodle_csv(assignment, results).encode())
    if asked.marks is None:  # a file given with --marks is never overwritten
        write_whole(marks_file(asked), marks_csv(assignment, stored, marking).encode("utf-8-sig"))
    if own_marks:
        write_whole(folder / MARKS_USED, f"{own_marks}\n".encode())
    else:
        (folder / MARKS_USED).unlink(missing_ok=True)
    print(f"The class page is {folder / 'class.html'}.")
    print("The tables points.csv, canvas.csv and moodle.csv are in the same folder.")
    if marks_before and marks_before != own_marks:
        print(f"The previous tables used the marks in {marks_before}, but these tables do not.")
    looks = [result.student for result in results if to_look_at(result)]
    if looks:
        need = "1 submission needs" if len(looks) == 1 else f"{len(looks)} submissions need"
        print(f"{need} a look: {some(looks)}. The class page says why.")
    failed = not_yet(assignment, stored)
    for sentence in [*failed, *what_is_open(assignment, stored, marking, marks_file(asked))]:
        print(sentence)
    if not any(has_number(result.student) for result in stored):
        print(
            "No student has a Canvas or Moodle number, "
            "so canvas.csv and moodle.csv are of no use here."
        )
    marks = "" if asked.marks is None else f" --marks {quote(str(asked.marks))}"
    where = f"{assignment.name} --out {quote(str(asked.out))}{own_homework(asked)}{marks}"
    if failed:
        say_next(f"report {where}", when=", when you have graded again")
    elif not is_complete(assignment, stored, marking):
        say_next(f"report {where}", when=", when you have marked the answers")
    else:
        say_next(f"feedback {where}")


def marks_file(asked: argparse.Namespace) -> Path:
    """Return the path of the marks table: the --marks file or, by default,
    the table that `report` writes.
    """
    return asked.marks or asked.out / asked.assignment / "marks.csv"


def own_marks_of(asked: argparse.Namespace) -> Path | None:
    """Return the full path of the --marks file, or None if the marks are in the table that
    `report` writes.
    """
    path = marks_file(asked).resolve()
    return None if path == (asked.out / asked.assignment / "marks.csv").resolve() else path


def marks_in_tables(asked: argparse.Namespace) -> Path | None:
    """Return the --marks file that the last `report` used, or None if it used none."""
    record = asked.out / asked.assignment / MARKS_USED
    return Path(record.read_text(encoding="utf-8").strip()) if record.exists() else None


def check_same_marks(asked: argparse.Namespace) -> None:
    """Raise Refused if the marks on the pages would differ from those in the tables
    of the last `report`.
    """
    own, before = own_marks_of(asked), marks_in_tables(asked)
    reported = (asked.out / asked.assignment / "points.csv").exists()
    if not reported or own == before:
        return
    if before is None:
        raise Refused(
            f"the last `report` did not use the marks in {asked.marks}, so the pages and the "
            f"tables would differ. Run `report` with --marks {quote(str(asked.marks))} first."
        )
    raise Refused(
        f"the last `report` used the marks in {before}, so the pages and the tables would differ. "
        f"Pass --marks {quote(str(before))} to this command as well, "
        "or run `report` first with the marks that you want."
    )


def marking_of(asked: argparse.Namespace, assignment: Assignment, results: list[Result]) -> Marking:
    """Return the marks entered by hand so far."""
    path = marks_file(asked)
    if asked.marks is None and not path.exists():
        return Marking()
    former = former_questions(asked, assignment, results)
    return read_marks(text_of(path), path, assignment, results, former)


def former_questions(
    asked: argparse.Namespace, assignment: Assignment, results: list[Result]
) -> set[str]:
    """Return the names of questions that are, or once were, part of the assignment.

    A question that was dropped still has its key or, in the release, a copy of its key.
    """
    folders = [
        asked.homework / assignment.name / "keys",
        asked.out / "release" / "keys" / assignment.name,
    ]
    keys = {path.stem for folder in folders for path in folder.glob("*.py")}
    return keys.union(*(result.verdicts for result in results))


def text_of(path: Path) -> str:
    """Return the text of a file that was written by hand or with a spreadsheet program.

    Raises Refused if the file is not encoded in UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(
            f"{path} is not encoded in UTF-8. Save the file as UTF-8 (in Excel, as CSV UTF-8)."
        ) from None


def run_gradescope(asked: argparse.Namespace) -> None:
    """Grade one submission and write results.json for Gradescope."""
    if asked.per_student:
        raise Refused(
            "--per-student cannot be used here, "
            "because Gradescope does not tell the grader who the student is."
        )
    assignment = Assignment.read(asked.assignment, asked.homework)
    submission = only_submission(asked.submissions, assignment.name)
    if not asked.unsafe:
        check_wall()
    result = grade_submission(assignment, submission, read_secret(asked), unsafe=asked.unsafe)
    asked.out.mkdir(parents=True, exist_ok=True)
    results = gradescope(assignment, marked(assignment, result, {}))
    write_whole(asked.out / "results.json", results.encode())
    print(f"The result is in {asked.out / 'results.json'}.")
    for question, what in result.faults.items():
        print(
            f"The question {question} earns 0 points, because its key failed with {what}.",
            file=sys.stderr,
        )


def only_submission(folder: Path, name: str) -> Submission:
    """Return the submission that a student uploaded to Gradescope.

    If there is no notebook or more than one, `trouble` says so.
    """
    try:
        found = find_submissions(folder, name)
    except NoNotebook:
        return Submission("", trouble=f"{NO_NOTEBOOK}.")
    except SeveralNotebooks:
        found = []
    several = Submission("", trouble=SEVERAL["notebook"])
    return found[0] if len(found) == 1 else several


def chosen(submissions: list[Submission], students: list[str]) -> list[Submission]:
    """Return the submissions from `students`. Raises Refused if one of them has no submission."""
    there = {submission.student for submission in submissions}
    unknown = sorted(set(students) - there)
    if unknown:
        typed = f" {' '.join(students)} "
        whole = [f'"{name}"' for name in sorted(there) if " " in name and f" {name} " in typed]
        hint = f" Put a name with spaces in quotes: --only {' '.join(whole)}" if whole else ""
        raise Refused(
            f"there is no submission from {', '.join(unknown)}, only from {some(sorted(there))}."
            f"{hint}"
        )
    return [submission for submission in submissions if submission.student in students]


def draw_secret(asked: argparse.Namespace, path: Path) -> Secret:
    """Draw a new secret.

    Raises Refused if copies or results made with a different secret already exist.
    """
    released = (asked.out / "release" / "keys").exists()
    if released or any(asked.out.glob("*/results/*.json")):
        what = f"copies in {asked.out / 'release'}" if released else f"results in {asked.out}"
        raise Refused(
            f"the secret that was used to create the {what} is missing. Restore it to {path}, "
            "or release to a new folder."
        )
    return Secret(secrets.token_bytes(32), asked.per_student)


def keep_secret(path: Path, secret: Secret) -> None:
    """Write a new secret to a file that only its owner can read, unless the file already exists."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret.key.hex() + "\n")
    print(
        f"A new secret was written to {path}. Keep this file: "
        "it determines the variants and the inputs on which your students are graded."
    )


def read_secret(asked: argparse.Namespace) -> Secret:
    """Return the secret of a release.

    A missing secret is not replaced, because a new one could select variants that the students did
    not receive.
    """
    path = asked.secret or asked.out / "secret"
    if not path.exists():
        raise Refused(
            f"there is no secret at {path}. Set --out to the folder that `release` wrote to, "
            "or --secret to the file with the secret."
        )
    try:
        key = key_in(path.read_text(encoding="utf-8"))
    except ValueError:
        raise Refused(
            f"{path} does not contain a valid secret. A secret has at least 32 hexadecimal digits. "
            "Use the file that `release` wrote."
        ) from None
    own = asked.out / "secret"
    given = asked.secret is not None
    if given and own.exists() and own.read_text(encoding="utf-8").strip().lower() != key.hex():
        raise Refused(
            f"{asked.out} contains a different secret from {path}. "
            "Leave out --secret, or set --out to another folder."
        )
    return Secret(key, asked.per_student)


@contextmanager
def cluster(asked: argparse.Namespace) -> Iterator[Any]:
    """Yield a Dask client connected to the --scheduler address or to processes on this machine.

    Yield None if --workers is 0 and no scheduler is given.
    """
    if asked.workers == 0 and not asked.scheduler:
        yield None
        return
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise Refused(
            "Dask is not installed. "
            "Run pip install 'deep-generative-course[homework]', or use --workers 0."
        ) from None
    dask.config.set(
        {
            "distributed.scheduler.allowed-failures": ALLOWED_DEATHS,
            "distributed.worker.preload": [QUIET],
        }
    )
    # hide messages about workers that are slow to stop, now that Dask has set up its own logs
    for name in ("distributed", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if asked.scheduler:
        try:
            client = Client(asked.scheduler, timeout=SCHEDULER_SECONDS)
        except (OSError, ValueError, TimeoutError):
            raise Refused(
                f"no scheduler is responding at {asked.scheduler}. "
                "Check the address, and make sure that the scheduler is running."
            ) from None
        if not client.scheduler_info()["workers"]:
            print(
                f"The scheduler at {asked.scheduler} has no workers yet. "
                "Grading starts when one connects."
            )
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
    """Close a client and its cluster.

    On a busy machine, a worker may take too long to stop. The resulting error is ignored, because
    the results have already been stored.
    """
    for part in parts:
        with suppress(OSError):  # including TimeoutError and Dask's error for a lost connection
            part.close()


def start_local(kind: Any, workers: int) -> Any:
    """Start a cluster on this machine, trying again if a worker dies during startup."""
    for number in range(1, START_TRIES + 1):
        try:
            # any free port, reachable only from this machine; nobody needs Dask's dashboard
            own_page = "127.0.0.1:0"
            return kind(
                n_workers=workers, threads_per_worker=1, dashboard_address=own_page, memory_limit=0
            )
        except RuntimeError:
            if number == START_TRIES:
                raise Refused(
                    "the workers could not be started. Is this machine out of memory? "
                    "To grade without workers, use --workers 0."
                ) from None


if __name__ == "__main__":
    sys.exit(main())
