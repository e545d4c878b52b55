"""Grading: each submission once, on any Dask cluster, resumable, with equal results whatever
happens on the way.

A result depends only on the submission's bytes, the questions' keys and the secret. So it can be
stored under a hash of these, taken up after an interruption, and computed again after a changed
question for that question alone.
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

# a run that did not come to its end, as its author and the instructor read it
ENDINGS = {
    "out of time": "The notebook ran out of time and was stopped.",
    "out of memory": "The notebook took too much memory and was stopped.",
    "too much output": "The notebook gave back too many bytes and was stopped.",
    "ended early": "The notebook ended its own process before all answers were asked for.",
}
RIGHT_FILE = "is it the right file?"  # ends the note on a notebook of another assignment
NOT_GRADED = "Not graded: "  # begins each verdict on a submission that cannot be graded
FAILED = "The grader failed on this question, so a person will look at it."
ENGINE = "4"  # counts up when a change here or in the judge may change a result


@dataclass
class Result:
    """All that is known of one student's submission: a verdict a question, and notes for a person."""

    student: str
    submission: str
    verdicts: dict[str, dict] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)  # by question: what its verdict depends on
    notes: list[str] = field(default_factory=list)
    set_aside: bool = False  # it killed its grader, so a person must look
    replaced: list[str] = field(default_factory=list)  # the student's older submissions, as `submission`
    faults: dict[str, str] = field(default_factory=dict)  # by question: how its key failed, for its author

    @property
    def points(self) -> float:
        """All points of this submission; a question that nobody has marked yet counts 0."""
        return round(sum(verdict["points"] or 0 for verdict in self.verdicts.values()), 2)

    def as_text(self) -> str:
        """The result as JSON, the same text for the same result."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def key_of(assignment: Assignment, question: str, secret: Secret, submission: str) -> str:
    """What a stored verdict was made from; another key means that it must be made again. `submission` is
    its hash.
    """
    return "-".join([ENGINE, assignment.version_of(question), secret.id, submission[:16]])


def why_everything(old: Result, secret: Secret) -> list[str]:
    """Why no verdict of a stored result holds any more; nothing if at most some questions have changed."""
    why = []
    for key in list(old.keys.values())[:1]:
        engine, _, secret_id, _ = key.split("-")
        other_mode = replace(secret, per_student=not secret.per_student)
        if engine != ENGINE:
            why.append("the grader has changed")
        if secret_id == other_mode.id:
            before = "was not" if secret.per_student else "was"
            why.append(f"--per-student {before} given the last time")
        elif secret_id != secret.id:
            why.append("the secret is another one")
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
    """One submission's result, for the questions in `only` (all when None). A fault in the grader sets the
    submission aside, because it must not hold up everybody else. Raises NoWall if there is no sandbox.
    """
    try:
        return found_result(assignment, submission, secret, only, data, unsafe, limits)
    except (AssignmentError, sandbox.NoWall):  # which are about all submissions
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
    """The result as long as nothing fails in the grader itself."""
    result = Result(submission.student, submission.sha)
    chosen = {name: q for name, q in assignment.questions.items() if only is None or name in set(only)}
    result.keys = {name: key_of(assignment, name, secret, submission.sha) for name in chosen}
    cells = read_cells(submission.notebook)
    refusal = submission.trouble or cells.refusal
    if refusal:
        result.notes.append(refusal)
        result.verdicts = {name: asdict(refused(q, refusal)) for name, q in chosen.items()}
        return result

    if not holds_half(submission.notebook, assignment.functions):
        name = assignment.name
        result.notes.append(f"The notebook has less than half of {name}'s questions: {RIGHT_FILE}")
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
                found[name] = judge(question, variants[name], inputs[name], answers, outcome.ended, broken)
            elif isinstance(question, Design):
                found[name] = judge_design(question, *read_design(question, submission.design))
            else:
                answer = words_of(submission.notebook, name)
                found[name] = Verdict(0.0, question.points, "Read by a person.", answer=answer)
    for name, question in chosen.items():
        verdict = found.get(name) or Verdict(0.0, question.points, FAILED)
        result.verdicts[name] = asdict(verdict)
    return result


def calls_for(question: Question, variant: Variant, inputs: Mapping[str, Arguments]) -> list[sandbox.Call]:
    """The calls that a question asks for, one a case."""
    returns = variant.returns
    if not isinstance(returns, tuple) or not all(isinstance(name, str) for name in returns):
        raise TypeError("`returns` must be a tuple of strings")
    return [
        sandbox.Call(question.name, case, question.function, inputs[case], returns, question.given_as)
        for case in CASES
    ]


@contextmanager
def noted_faults(result: Result, question: str) -> Iterator[None]:
    """Note an error of a question's key, so that it costs the student no other question."""
    file = f"keys/{question}.py"
    try:
        yield
    except Exception as error:
        result.faults[question] = told(error, file, f" of {file}")


def refused(question: Any, refusal: str) -> Verdict:
    """The verdict on a question of a submission that cannot be graded."""
    return Verdict(0.0, question.points, f"{NOT_GRADED}{refusal}")


def broken_cell(function: str, outcome: sandbox.Outcome, sources: dict[int, str]) -> str:
    """What stopped the cell that should define a function, as `stopped` says it; "" if none did."""
    for error in outcome.errors:
        if defines(sources.get(error["cell"], ""), function):
            return stopped(error["what"], error["line"], error["says"])
    return ""


def notes_on(outcome: sandbox.Outcome, sources: dict[int, str]) -> list[str]:
    """One line for each cell that stopped, and one if the whole run did not come to its end."""
    lines = []
    for error in outcome.errors[:5]:
        cell = beginning(sources.get(error["cell"], ""))
        lines.append(f"{cell} {stopped(error['what'], error['line'], error['says'])}.")
    if outcome.ended in ENDINGS:
        lines.append(ENDINGS[outcome.ended])
    return lines


def beginning(source: str) -> str:
    """A cell named by the start of its first line, since notebooks show no numbers that last. It stops at
    the first character that could mean something to whoever shows it, such as a browser.
    """
    first_line = source.strip().split("\n")[0]
    start = re.split(r"[^\w .,:=+/()\[\]'#-]", first_line)[0][:40].strip()
    return f"The cell that begins with `{start}`" if start else "A cell"


def read_design(design: Design, handed_in: bytes | None) -> tuple[Arrays | None, str]:
    """The arrays that were handed in, or the sentence that says what is wrong with them."""
    if handed_in is None:
        return None, "Not started: no design.safetensors was handed in."
    try:
        arrays = load(handed_in)
    except sandbox.UNREADABLE:
        return None, "design.safetensors is damaged: make it with `hand_in`."
    read = {}
    for name, (dtype, shape) in design.arrays.items():
        if name not in arrays:
            return None, f"design.safetensors holds no array {name!r}."
        found = in_precision(arrays[name], dtype)
        fits = found.ndim == len(shape) and all(
            (want == have) or (want == -1 and have <= design.most)
            for want, have in zip(shape, found.shape, strict=True)
        )
        if str(found.dtype) != dtype or not fits:
            most = f", where -1 is any length up to {design.most:,}" if -1 in shape else ""
            yours = f"yours has dtype {found.dtype} and shape {found.shape}"
            return None, f"{name!r} must have dtype {dtype} and shape {shape}{most}; {yours}."
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            return None, f"{name!r} holds NaN, infinity, or numbers too large for {dtype}."
        read[name] = found
    return read, ""


def in_precision(values: np.ndarray, dtype: str) -> np.ndarray:
    """Floating-point numbers in the declared precision, because NumPy's own is float64; other arrays as they
    are.
    """
    if values.dtype.kind != "f" or not dtype.startswith("float"):
        return values
    with np.errstate(over="ignore"):  # infinity is refused afterwards
        return values.astype(dtype)


# ---------------------------------------------------------------- the store


def fingerprint(student: str) -> str:
    """What tells the files of two students apart whose names look alike once they name files."""
    return hashlib.sha256(student.encode()).hexdigest()[:8]


class Store:
    """Results on disk, one file a student, each written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        # marks are nobody else's business on a shared machine
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder / "results"
        self.folder.mkdir(exist_ok=True)

    def path(self, student: str) -> Path:
        """A file name that two students cannot share, whatever characters their names have."""
        plain = re.sub(r"[^A-Za-z0-9.-]+", "_", student)[:60].lstrip(".") or "student"
        return self.folder / f"{plain}-{fingerprint(student)}.json"

    def get(self, student: str) -> Result | None:
        """The stored result of a student; None if there is none that can be read."""
        try:
            return Result(**json.loads(self.path(student).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def put(self, result: Result) -> None:
        """Store a result in place of the student's older one. Half a character, which no file can hold,
        becomes a question mark.
        """
        write_whole(self.path(result.student), result.as_text().encode(errors="replace"))

    def all(self) -> list[Result]:
        """All stored results, ordered by student."""
        found = [
            Result(**json.loads(p.read_text(encoding="utf-8"))) for p in sorted(self.folder.glob("*.json"))
        ]
        return sorted(found, key=lambda result: result.student)


# ---------------------------------------------------------------- many submissions


@dataclass
class Job:
    """What has to be done for one submission: the questions whose stored verdict does not hold any
    more.
    """

    submission: Submission
    questions: list[str]
    before: Result | None

    @property
    def old(self) -> Result | None:
        """The result of the same submission that the new verdicts complete; None if there is none."""
        before = self.before
        if before is None or before.set_aside or before.submission != self.submission.sha:
            return None
        return before

    @property
    def replaced(self) -> list[str]:
        """The student's older submissions once this one is graded."""
        before = self.before
        if before is None:
            return []
        return [sha for sha in [*before.replaced, before.submission] if sha != self.submission.sha]


def older_ones(submissions: list[Submission], store: Store) -> list[Submission]:
    """The submissions in whose place a newer one of the same student has been graded since."""
    found = []
    for submission in submissions:
        result = store.get(submission.student)
        if result is not None and submission.sha in result.replaced:
            found.append(submission)
    return found


def outdated(assignment: Assignment, secret: Secret, results: list[Result]) -> list[str]:
    """The students whose result was made with other keys, another secret or another grader."""
    found = []
    for result in results:
        keys = {name: key_of(assignment, name, secret, result.submission) for name in assignment.questions}
        if result.keys != keys:
            found.append(result.student)
    return found


def jobs_for(
    assignment: Assignment, submissions: list[Submission], secret: Secret, store: Store
) -> list[Job]:
    """The work that is left. There is none for a student who was graded from the same bytes, keys and
    secret, unless a key failed. If the assignment has dropped a question, the job asks nothing and removes
    its verdict.
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
    """The new verdicts over the old ones that still hold, in the assignment's order. The notes on the
    run stay where only designs and questions in words were judged again, because no code ran for them.
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
    result.faults = new.faults  # a question that failed before is asked again by every job
    return result


def set_aside(assignment: Assignment, submission: Submission, secret: Secret, sentence: str) -> Result:
    """The result of a submission that could not be graded. It is tried again by the next command."""
    result = Result(submission.student, submission.sha, notes=[sentence], set_aside=True)
    for name, question in assignment.questions.items():
        result.verdicts[name] = asdict(refused(question, sentence))
        result.keys[name] = key_of(assignment, name, secret, submission.sha)
    return result


def failed(error: BaseException) -> str:
    """The sentence on a submission on which the grader failed."""
    return f"The grader failed on this submission ({type(error).__name__}), so a person will look at it."


def grade_all(
    assignment: Assignment,
    jobs: list[Job],
    secret: Secret,
    store: Store,
    client: Any,
    done: Callable[[Job, Result], None] = lambda job, result: None,
    **options: Any,
) -> None:
    """Grade all jobs on a Dask client (or here, one after the other, when it is None); store each
    as it comes.
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
            sentence = "This submission stopped its grader several times, so a person will look at it."
            finish(assignment, job, set_aside(assignment, job.submission, secret, sentence), store, done)
        else:  # it failed on the way to the worker or back
            new = set_aside(assignment, job.submission, secret, failed(error))
            finish(assignment, job, new, store, done)
        future.release()


def finish(assignment: Assignment, job: Job, new: Result, store: Store, done: Callable) -> None:
    """Store a new result and report it."""
    result = new if new.set_aside else merged(job, new, assignment)
    result.replaced = job.replaced
    store.put(result)
    done(job, result)
