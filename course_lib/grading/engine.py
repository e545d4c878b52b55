"""Grade submissions on any Dask cluster.

Interruptions and crashed workers do not change the results. A result depends only on the bytes of
the submission, the keys of the questions, the secret and the version of the grader. A string that
identifies all of these is stored with each verdict, so that grading can be resumed and only changed
questions are graded again.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load

from course_lib.files import write_whole
from course_lib.grading import sandbox
from course_lib.grading.assignment import Assignment, AssignmentError, Secret, told
from course_lib.grading.judge import judge, judge_design, stopped
from course_lib.grading.question import CASES, Arguments, Arrays, Design, Question, Variant, Verdict
from course_lib.grading.submissions import Submission, defines, holds_half, read_cells, words_of

# what students and instructors read about a run that did not finish
ENDINGS = {
    "out of time": "The notebook ran out of time and was stopped.",
    "out of memory": "The notebook used too much memory and was stopped.",
    "too much output": "The notebook returned too much data and was stopped.",
    "ended early": "The notebook ended its own process before all functions had been called.",
}
# Ends the note about a notebook that may belong to another assignment.
RIGHT_FILE = "Is it the right file?"
NOT_GRADED = "Not graded: "  # begins every verdict on a submission that cannot be graded
FAILED = "The grader failed on this question, so a person will look at it."
NO_DESIGN = "Not started: no design.safetensors was handed in."
DAMAGED_DESIGN = "design.safetensors is damaged: write the file with `hand_in`."
ENGINE = "5"  # increase this number when a change here or in the judge may change a result


@dataclass
class Result:
    """Everything known about one student's submission: a verdict for each question, and notes."""

    student: str
    submission: str
    verdicts: dict[str, dict] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)  # by question: what the verdict depends on
    notes: list[str] = field(default_factory=list)
    set_aside: bool = False  # whether the grader failed, so that a manual check is needed
    # the hashes of the student's older submissions
    replaced: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)  # the error for each key that failed

    @property
    def points(self) -> float:
        """The total points of this submission; an answer that is not yet marked counts as 0."""
        return round(sum(verdict["points"] or 0 for verdict in self.verdicts.values()), 2)

    @property
    def refusal(self) -> str:
        """A sentence that says why the submission could not be graded, or "" if it was graded."""
        sentences = [verdict.get("sentence", "") for verdict in self.verdicts.values()]
        return next((one for one in sentences if one.startswith(NOT_GRADED)), "")

    def as_text(self) -> str:
        """Return the result as JSON text; equal results give the same text."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def key_of(assignment: Assignment, question: str, secret: Secret, submission: str) -> str:
    """Return a string that identifies everything on which a verdict depends.

    A stored verdict with a different string is out of date. submission: the hash of the submission.
    """
    return "-".join([ENGINE, assignment.version_of(question), secret.id, submission[:16]])


def why_everything(old: Result, secret: Secret) -> list[str]:
    """Return the reasons, if any, why all verdicts in a stored result are out of date."""
    why = []
    for key in list(old.keys.values())[:1]:
        engine, _, secret_id, _ = key.split("-")
        other_mode = replace(secret, per_student=not secret.per_student)
        if engine != ENGINE:
            why.append("the grader has changed")
        if secret_id == other_mode.id:
            before = "was not" if secret.per_student else "was"
            why.append(f"--per-student {before} used last time")
        elif secret_id != secret.id:
            why.append("the secret has changed")
    return why


def grade_submission(
    assignment: Assignment,
    submission: Submission,
    secret: Secret,
    only: Iterable[str] | None = None,
    data: Path | None = None,
    unsafe: bool = False,
    limits: sandbox.Limits | None = None,
) -> Result:
    """Grade one submission on the questions in `only`, or on all questions if `only` is None.

    If the grader itself fails, the submission is set aside, so that the others can still be graded.
    Raises NoWall if no sandbox can be built.
    """
    try:
        return found_result(assignment, submission, secret, only, data, unsafe, limits)
    except (AssignmentError, sandbox.NoWall):  # these errors concern all submissions
        raise
    except Exception as error:
        return set_aside(assignment, submission, secret, failed(error))


def found_result(
    assignment: Assignment,
    submission: Submission,
    secret: Secret,
    only: Iterable[str] | None,
    data: Path | None,
    unsafe: bool,
    limits: sandbox.Limits | None,
) -> Result:
    """Grade one submission without catching errors in the grader itself; see `grade_submission`."""
    result = Result(submission.student, submission.sha)
    names = [name for name in assignment.questions if only is None or name in set(only)]
    chosen = {name: assignment.questions[name] for name in names}
    result.keys = {name: key_of(assignment, name, secret, submission.sha) for name in chosen}
    cells = read_cells(submission.notebook)
    refusal = submission.trouble or cells.refusal
    if refusal:
        result.notes.append(refusal)
        result.verdicts = {name: asdict(refused(q, refusal)) for name, q in chosen.items()}
        return result

    if not holds_half(submission.notebook, assignment.functions):
        name = assignment.name
        result.notes.append(
            f"The notebook contains fewer than half of the questions in {name}. {RIGHT_FILE}"
        )
    asked = {name: q for name, q in chosen.items() if isinstance(q, Question)}
    variants, inputs, calls = {}, {}, []
    for name, one in asked.items():
        with noted_faults(result, name):
            variants[name] = secret.variant(assignment.name, one, submission.student)
            inputs[name] = secret.inputs(assignment.name, one, variants[name], submission.sha)
            calls += calls_for(one, variants[name], inputs[name])
    outcome = sandbox.run(cells.code, calls, limits, data, unsafe) if calls else sandbox.Outcome()
    sources = {cell["number"]: cell["source"] for cell in cells.code}
    result.notes += cells.notes + notes_on(outcome, sources)
    found = {}
    for name, question in chosen.items():
        if name in result.faults:
            continue
        with noted_faults(result, name):
            if isinstance(question, Question):
                answers = {case: outcome.answers[name, case] for case in CASES}
                broken = broken_cell(question.function, outcome, sources)
                found[name] = judge(
                    question, variants[name], inputs[name], answers, outcome.ended, broken
                )
            elif isinstance(question, Design):
                found[name] = judge_design(question, *read_design(question, submission.design))
            else:
                answer = words_of(submission.notebook, name)
                found[name] = Verdict(
                    0.0, question.points, "A person marks this answer.", answer=answer
                )
    for name, question in chosen.items():
        verdict = found.get(name) or Verdict(0.0, question.points, FAILED)
        result.verdicts[name] = asdict(verdict)
    return result


def calls_for(
    question: Question, variant: Variant, inputs: Mapping[str, Arguments]
) -> list[sandbox.Call]:
    """Return the calls that a question requires, one for each case."""
    returns = variant.returns
    if not isinstance(returns, tuple) or not all(isinstance(name, str) for name in returns):
        raise TypeError("`returns` must be a tuple of strings")
    return [
        sandbox.Call(
            question.name, case, question.function, inputs[case], returns, question.given_as
        )
        for case in CASES
    ]


@contextmanager
def noted_faults(result: Result, question: str) -> Iterator[None]:
    """Catch and record an error in a question's key, so that other questions can be graded."""
    file = f"keys/{question}.py"
    try:
        yield
    except Exception as error:
        result.faults[question] = told(error, file, f" of {file}")


def refused(question: Any, refusal: str) -> Verdict:
    """Return the verdict on a question in a submission that cannot be graded."""
    return Verdict(0.0, question.points, f"{NOT_GRADED}{refusal}")


def broken_cell(function: str, outcome: sandbox.Outcome, sources: dict[int, str]) -> str:
    """Describe what stopped the cell that should define a function, or return "" if nothing did.

    See `stopped` for the wording.
    """
    for error in outcome.errors:
        if defines(sources.get(error["cell"], ""), function):
            return stopped(error["what"], error["line"], error["says"])
    return ""


def notes_on(outcome: sandbox.Outcome, sources: dict[int, str]) -> list[str]:
    """Return notes on the first five cells that failed, and a note if the run did not finish."""
    lines = []
    for error in outcome.errors[:5]:
        cell = beginning(sources.get(error["cell"], ""))
        lines.append(f"{cell} {stopped(error['what'], error['line'], error['says'])}.")
    if outcome.ended in ENDINGS:
        lines.append(ENDINGS[outcome.ended])
    return lines


def beginning(source: str) -> str:
    """Identify a cell by the beginning of its first line, because cell numbers in notebooks change.

    The quoted text ends before the first character that could have a special meaning where the text
    is shown, for example in HTML.
    """
    first_line = source.strip().split("\n")[0]
    start = re.split(r"[^\w .,:=+/()\[\]'#-]", first_line)[0][:40].strip()
    return f"The cell that begins with `{start}`" if start else "A cell"


def read_design(design: Design, handed_in: bytes | None) -> tuple[Arrays | None, str]:
    """Return the submitted arrays and "", or None and a sentence that says what is wrong."""
    if handed_in is None:
        return None, NO_DESIGN
    try:
        arrays = load(handed_in)
    except sandbox.UNREADABLE:
        return None, DAMAGED_DESIGN
    read = {}
    for name, (dtype, shape) in design.arrays.items():
        if name not in arrays:
            return None, f"design.safetensors does not contain an array named {name!r}."
        found = in_precision(arrays[name], dtype)
        fits = found.ndim == len(shape) and all(
            (want == have) or (want == -1 and have <= design.most)
            for want, have in zip(shape, found.shape, strict=True)
        )
        if str(found.dtype) != dtype or not fits:
            most = f", where -1 means any length up to {design.most:,}" if -1 in shape else ""
            yours = f"but it has dtype {found.dtype} and shape {found.shape}"
            wanted = f"must have dtype {dtype} and shape {shape}{most}"
            return None, f"The array {name!r} {wanted}, {yours}."
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            held = f"NaN, infinity, or numbers too large for {dtype}"
            return None, f"The array {name!r} contains {held}."
        read[name] = found
    return read, ""


def in_precision(values: np.ndarray, dtype: str) -> np.ndarray:
    """Convert floating-point numbers to the declared precision, and return other arrays unchanged.

    Students can therefore hand in float64 arrays, NumPy's default, without converting them.
    """
    if values.dtype.kind != "f" or not dtype.startswith("float"):
        return values
    with np.errstate(over="ignore"):  # infinity is rejected by the caller
        return values.astype(dtype)


# ---------------------------------------------------------------- the store


def fingerprint(student: str) -> str:
    """Return a short hash that distinguishes students whose names would give the same file name."""
    return hashlib.sha256(student.encode()).hexdigest()[:8]


class Store:
    """The results on disk, one file per student. Each file is written completely or not at all."""

    def __init__(self, folder: Path) -> None:
        # other users of the machine must not see the results
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder / "results"
        self.folder.mkdir(exist_ok=True)

    def path(self, student: str) -> Path:
        """Return the path of a student's file, which is unique
        whatever characters the name contains.
        """
        plain = re.sub(r"[^A-Za-z0-9.-]+", "_", student)[:60].lstrip(".") or "student"
        return self.folder / f"{plain}-{fingerprint(student)}.json"

    def get(self, student: str) -> Result | None:
        """Return a student's stored result, or None if there is no readable result."""
        try:
            return Result(**json.loads(self.path(student).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def put(self, result: Result) -> None:
        """Store a result, replacing the student's previous one.

        Lone surrogates, which UTF-8 cannot encode, are replaced by question marks.
        """
        write_whole(self.path(result.student), result.as_text().encode(errors="replace"))

    def all(self) -> list[Result]:
        """Return all stored results, sorted by student."""
        found = [
            Result(**json.loads(path.read_text(encoding="utf-8")))
            for path in sorted(self.folder.glob("*.json"))
        ]
        return sorted(found, key=lambda result: result.student)


# ---------------------------------------------------------------- many submissions


@dataclass
class Job:
    """The work for one submission: the questions whose stored verdict is missing or outdated."""

    submission: Submission
    questions: list[str]
    before: Result | None

    @property
    def old(self) -> Result | None:
        """The earlier result of this submission, with which the new verdicts are to be merged,
        or None if there is none.
        """
        before = self.before
        if before is None or before.set_aside or before.submission != self.submission.sha:
            return None
        return before

    @property
    def replaced(self) -> list[str]:
        """The hashes of the student's earlier submissions, which this submission replaces."""
        before = self.before
        if before is None:
            return []
        return [sha for sha in [*before.replaced, before.submission] if sha != self.submission.sha]


def older_ones(submissions: list[Submission], store: Store) -> list[Submission]:
    """Return the submissions replaced by a newer, graded submission from the same student."""
    found = []
    for submission in submissions:
        result = store.get(submission.student)
        if result is not None and submission.sha in result.replaced:
            found.append(submission)
    return found


def outdated(assignment: Assignment, secret: Secret, results: list[Result]) -> list[str]:
    """Return the students whose results were obtained with a different secret, grader
    or set of keys.
    """
    found = []
    for result in results:
        keys = {
            name: key_of(assignment, name, secret, result.submission)
            for name in assignment.questions
        }
        if result.keys != keys:
            found.append(result.student)
    return found


def graded_with_other_questions(assignment: Assignment, results: list[Result]) -> list[str]:
    """Return the students whose results were obtained with different keys
    or a different version of the grader.

    Unlike `outdated`, this needs no secret. Questions that were dropped do not count, nor do those
    whose key failed.
    """
    now = {name: [ENGINE, assignment.version_of(name)] for name in assignment.questions}
    found = []
    for result in results:
        then = {name: key.split("-")[:2] for name, key in result.keys.items()}
        asked = [name for name in now if name not in result.faults]
        if then and any(then.get(name) != now[name] for name in asked):
            found.append(result.student)
    return found


def jobs_for(
    assignment: Assignment, submissions: list[Submission], secret: Secret, store: Store
) -> list[Job]:
    """Return a job for each submission that still needs work.

    No job is created for a submission that has already been graded with the same keys, secret and
    version of the grader, unless a key or the grader itself failed. If the only change is that a
    question was removed, the job just removes the old verdict on it.
    """
    jobs = []
    for submission in submissions:
        before = store.get(submission.student)
        keys = before.keys if before and not before.set_aside else {}
        changed = [
            name
            for name in assignment.questions
            if keys.get(name) != key_of(assignment, name, secret, submission.sha)
            or (before is not None and name in before.faults)
        ]
        gone = set(keys) - set(assignment.questions)
        if changed or gone:
            jobs.append(Job(submission, changed, before))
    return jobs


def merged(job: Job, new: Result, assignment: Assignment) -> Result:
    """Merge the new verdicts with the old ones that are still valid, in the assignment's order.

    If only designs and written questions were graded again, no code was run, so the old notes on
    the run are kept.
    """
    old = job.old
    verdicts = {**(old.verdicts if old else {}), **new.verdicts}
    keys = {**(old.keys if old else {}), **new.keys}
    names = [name for name in assignment.questions if name in verdicts]
    ran = any(isinstance(assignment.questions[name], Question) for name in job.questions)
    notes = new.notes if ran or old is None else old.notes
    result = Result(new.student, new.submission, notes=notes, set_aside=new.set_aside)
    result.verdicts = {name: verdicts[name] for name in names}
    result.keys = {name: keys[name] for name in names}
    result.faults = new.faults  # every job grades a question again if its key failed before
    return result


def set_aside(
    assignment: Assignment, submission: Submission, secret: Secret, sentence: str
) -> Result:
    """Return the result of a submission that could not be graded.

    The next `grade` command tries again.
    """
    result = Result(submission.student, submission.sha, notes=[sentence], set_aside=True)
    for name, question in assignment.questions.items():
        result.verdicts[name] = asdict(refused(question, sentence))
        result.keys[name] = key_of(assignment, name, secret, submission.sha)
    return result


def failed(error: BaseException) -> str:
    """Return the note for a submission that the grader failed to process."""
    what = type(error).__name__
    return f"The grader failed on this submission ({what}), so a person will look at it."


def grade_all(
    assignment: Assignment,
    jobs: list[Job],
    secret: Secret,
    store: Store,
    client: Any,
    done: Callable[[Job, Result], None] = lambda job, result: None,
    **options: Any,
) -> None:
    """Run all jobs with a Dask client or, if `client` is None, one by one in this process.

    Each result is stored as soon as it is available.
    """
    if client is None:
        for job in jobs:
            new = grade_submission(assignment, job.submission, secret, job.questions, **options)
            finish(assignment, job, new, store, done)
        return
    from distributed import KilledWorker, as_completed

    futures = {}
    for job in jobs:
        future = client.submit(
            grade_submission,
            assignment,
            job.submission,
            secret,
            job.questions,
            pure=False,
            retries=0,
            key=f"grade-{job.submission.sha[:12]}-{time.monotonic_ns()}",
            **options,
        )
        futures[future] = job
    for future in as_completed(list(futures)):
        job = futures[future]
        error = future.exception()
        if error is None:
            finish(assignment, job, future.result(), store, done)
        elif isinstance(error, KilledWorker):
            sentence = (
                "This submission crashed the grader several times, so a person will look at it."
            )
            new = set_aside(assignment, job.submission, secret, sentence)
            finish(assignment, job, new, store, done)
        else:  # the job or its result was lost in transit
            new = set_aside(assignment, job.submission, secret, failed(error))
            finish(assignment, job, new, store, done)
        future.release()


def finish(assignment: Assignment, job: Job, new: Result, store: Store, done: Callable) -> None:
    """Merge a new result with the old one, store the merged result, and pass it to `done`.

    A result that was set aside is not merged.
    """
    result = new if new.set_aside else merged(job, new, assignment)
    result.replaced = job.replaced
    store.put(result)
    done(job, result)
