"""Write HTML pages that work offline:
a feedback page for each student, and a summary page for the whole class.

Any text that may come from a submission is either escaped or left out.
"""

import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from course_lib.files import write_whole
from course_lib.grading.assignment import Assignment
from course_lib.grading.engine import (
    DAMAGED_DESIGN,
    ENDINGS,
    NOT_GRADED,
    RIGHT_FILE,
    Result,
    Store,
    fingerprint,
)
from course_lib.grading.question import Design, Written
from course_lib.grading.submissions import is_answered

TEMPLATES = Path(__file__).with_name("templates")
NOT_ANSWERED = "This question was not answered."
BOARD = 10  # the number of students on a leaderboard
STEPS = 10  # the number of rows in the distribution
NAME_LENGTH = 50  # characters of up to four bytes each; a file name has at most 255 bytes
# maps (student, question) to points and comment; the points are None if there is no mark yet
Marks = Mapping[tuple[str, str], tuple[float | None, str]]


def environment() -> Environment:
    """Return the Jinja environment, which escapes all text that is inserted into the templates."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    made.filters["with_code"] = with_code
    return made


def with_code(sentence: str) -> Markup:
    """Return a sentence as escaped HTML, with text between backticks formatted as code."""
    return Markup(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", str(escape(sentence))))


def render(template: str, **values: object) -> str:
    """Render a template as a page that includes its style sheet."""
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return environment().get_template(template).render(style=style, **values)


def marked(assignment: Assignment, result: Result, marks: Marks) -> Result:
    """Return the result with the manual marks for written questions.

    An answer without a mark remains ungraded, and a question without an answer earns 0 points. The
    verdicts are not stored in the assignment's order, so they are sorted into this order here.
    """
    names = [name for name in assignment.questions if name in result.verdicts]
    verdicts = {name: dict(result.verdicts[name]) for name in names}
    for name in names:
        if not isinstance(assignment.questions[name], Written):
            continue
        points, comment = marks.get((result.student, name), (None, ""))
        said = (
            "This answer has not been marked yet."
            if points is None
            else comment or "This answer has been marked."
        )
        if points is None and not is_answered(verdicts[name].get("answer", "")):
            points = 0.0
            said = result.refusal or NOT_ANSWERED
        verdicts[name] |= {"points": points, "sentence": said}
    return replace(result, verdicts=verdicts)


def feedback_page(assignment: Assignment, result: Result) -> str:
    """Return one student's page: the points, a sentence for each question, and notes on the run."""
    rows = []
    for name, verdict in result.verdicts.items():
        points = "–" if verdict["points"] is None else f"{verdict['points']:g}"
        # why the submission could not be graded is said once, above all questions
        sentence = "" if verdict["sentence"] == result.refusal else verdict["sentence"]
        rows.append(
            {
                "heading": assignment.heading(name, verdict["variant"]),
                "points": points,
                "most": verdict["most"],
                "sentence": sentence,
            }
        )
    return render(
        "feedback.html",
        assignment=assignment.name,
        student=result.student,
        points=result.points,
        most=assignment.points,
        open=[row["heading"] for row in rows if row["points"] == "–"],
        rows=rows,
        notes=result.notes,
        refusal=result.refusal,
        tried=any(verdict.get("tried") for verdict in result.verdicts.values()),
    )


def write_feedback(
    assignment: Assignment, store: Store, folder: Path, marks: Marks
) -> dict[str, bytes]:
    """Write a feedback page for each student to a folder,
    and return the pages as a dict keyed by student.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pages = {
        result.student: feedback_page(assignment, marked(assignment, result, marks)).encode()
        for result in store.all()
    }
    for student, page in pages.items():
        write_whole(folder / page_name(student), page)
    return pages


def page_name(student: str) -> str:
    """Return the file name of a student's page.

    Letters from all languages are kept so that the name remains readable, and a hash makes it
    unique.
    """
    plain = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", student))
    beginning = plain[:NAME_LENGTH].lstrip(".") or "student"
    return f"{beginning}-{fingerprint(student)}.html"


def class_page(assignment: Assignment, results: list[Result]) -> str:
    """Return the page about the class.

    It shows the distribution of the points, the mistakes made in the answers to each question, the
    submissions that need a manual check, and the leaderboards.
    """
    points = [result.points for result in results]
    return render(
        "class.html",
        assignment=assignment.name,
        count=len(results),
        mean=statistics.fmean(points),
        median=statistics.median(points),
        most=assignment.points,
        looks=[
            {"student": result.student, "note": note}
            for result in results
            for note in to_look_at(result)
        ],
        open=sum(v["points"] is None for result in results for v in result.verdicts.values()),
        distribution=distribution(points, assignment.points),
        questions=[question_rows(assignment, name, results) for name in assignment.questions],
    )


def to_look_at(result: Result) -> list[str]:
    """Return sentences that describe what must be checked manually in a submission.

    These sentences name each question whose key failed, say if a design is damaged, and include the
    notes on a submission that was stopped, has no points, or may belong to another assignment.
    """
    failed = [
        f"The key of {question} failed with {what}." for question, what in result.faults.items()
    ]
    sentences = [verdict.get("sentence", "") for verdict in result.verdicts.values()]
    damaged = [sentence for sentence in sentences if sentence == DAMAGED_DESIGN]
    stopped = result.set_aside or not result.points
    # notes with these endings are shown whatever the points are
    telling = (*ENDINGS.values(), RIGHT_FILE)
    return failed + damaged + [note for note in result.notes if stopped or note.endswith(telling)]


def distribution(points: list[float], most: float) -> list[dict]:
    """Return the number of students in each tenth of the range of points.

    The last tenth includes the maximum.
    """
    width = most / STEPS
    rows = []
    for step in range(STEPS):
        low, high = step * width, (step + 1) * width
        last = step == STEPS - 1
        count = sum(low <= one < high or (last and one >= high) for one in points)
        to = "to" if last else "to below"
        share = 100 * count / len(points)
        rows.append({"range": f"{low:g} {to} {high:g}", "count": count, "share": share})
    return rows


def question_rows(assignment: Assignment, name: str, results: list[Result]) -> dict:
    """Return the data shown for one question on the class page,
    such as the mean of the points and the sentences reported to students.
    """
    question = assignment.questions[name]
    verdicts = [result.verdicts[name] for result in results if name in result.verdicts]
    given = [verdict["points"] for verdict in verdicts if verdict["points"] is not None]
    # the sentence about a design contains a student's score, and a comment is meant for one student
    own = isinstance(question, Written)
    said = Counter(v["sentence"] for v in verdicts if v["score"] is None and not own)
    blank = sum(
        v["sentence"] == NOT_ANSWERED or v["sentence"].startswith(NOT_GRADED) for v in verdicts
    )
    board, scored = [], []
    if isinstance(question, Design):
        scored = [
            {"student": r.student, "score": r.verdicts[name]["score"]}
            for r in results
            if r.verdicts.get(name, {}).get("score") is not None
        ]
        better_is_more = question.full_at > question.none_at
        board = sorted(scored, key=lambda row: row["score"], reverse=better_is_more)[:BOARD]
    return {
        "name": name,
        "most": question.points,
        "mean": statistics.fmean(given) if given and not (own and len(given) == blank) else None,
        "marked": len(given) - blank,
        "count": len(verdicts) - blank,
        "words": own,
        "sentences": [{"count": n, "sentence": s} for s, n in said.most_common()],
        "board": board,
        "scored": len(scored),
    }
