"""A person's marks for the answers in words, and the table in which they are written."""

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from course_lib.grading.assignment import Assignment
from course_lib.grading.engine import Result
from course_lib.grading.exports import safe, shown, table, unsafe
from course_lib.grading.question import Written
from course_lib.grading.submissions import is_answered

NEEDED = ("student", "question", "points")
LOOK = "look again"  # a column that the instructor clears after looking at the new answer
COLUMNS = ["student", "question", "points", "comment", LOOK, "answer"]
NEW_ANSWER = "This answer is newer than the mark. Empty this cell when you have looked."
NOT_ANSWERED = "(not answered)"


class MarksError(Exception):
    """What is wrong with a table of marks, in one sentence."""


@dataclass
class Marking:
    """A table of marks, as a person left it."""

    marks: dict[tuple[str, str], tuple[float | None, str]] = field(default_factory=dict)
    look_again: list[tuple[str, str]] = field(default_factory=list)  # marked before the answer was changed
    dropped: list[dict[str, str]] = field(default_factory=list)  # rows of questions that are asked no more
    delimiter: str = ","
    own_columns: list[str] = field(default_factory=list)  # that the person has added
    own: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # what is in them


def answers_in_words(assignment: Assignment, results: list[Result]) -> dict[tuple[str, str], str]:
    """All answers in words by student and question, as the table shows them."""
    found = {}
    for name, question in assignment.questions.items():
        if isinstance(question, Written):
            for result in results:
                answer = result.verdicts.get(name, {}).get("answer", "")
                found[result.student, name] = safe(answer) if is_answered(answer) else NOT_ANSWERED
    return found


def read_marks(text: str, path: Path, assignment: Assignment, results: list[Result]) -> Marking:
    """A person's marks, checked against the assignment and the results; `path` is where the text was
    read. Raises MarksError.
    """
    header = text.split("\n")[0]
    # German and French spreadsheets separate by semicolons
    marking = Marking(delimiter=";" if header.count(";") > header.count(",") else ",")
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=marking.delimiter)
    missing = set(NEEDED) - set(reader.fieldnames or [])
    if missing:
        raise MarksError(
            f"{path} needs the columns student, question, points, comment, separated by commas or "
            f"semicolons; it lacks {', '.join(sorted(missing))}."
        )
    marking.own_columns = [name for name in reader.fieldnames or [] if name and name not in COLUMNS]
    students = {safe(result.student): result.student for result in results}
    answers = answers_in_words(assignment, results)
    for row in reader:
        if not row["student"] and not row["question"]:
            continue  # spreadsheets leave empty rows
        student = students.get(row["student"] or "")
        if student is None:
            raise MarksError(f"{path}: there is no result of {row['student']!r}; points.csv has all names.")
        name = row["question"] or ""
        if name not in assignment.questions:
            marking.dropped.append(row)
            continue
        key = student, name
        where = f"{path}, {student}'s answer to {name}"
        if key in marking.marks:
            raise MarksError(f"{where}: there are two rows for it; keep one.")
        points = read_points(row, assignment, where)
        marking.marks[key] = points, unsafe(row.get("comment") or "")
        marking.own[key] = [row.get(column) or "" for column in marking.own_columns]
        if points is not None and is_newer(row, answers[key]):
            marking.look_again.append(key)
    return marking


def is_newer(row: dict[str, str], answer: str) -> bool:
    """Whether an answer is newer than the mark in its row, and nobody has looked since."""
    if (row.get(LOOK) or "").strip():
        return True
    marked = row.get("answer")  # a table of one's own may do without the answers
    # spreadsheets change line ends, and some take away the sign by which `safe` stops a formula
    return marked is not None and marked.lstrip("'").split() != answer.lstrip("'").split()


def read_points(row: dict[str, str], assignment: Assignment, where: str) -> float | None:
    """The points in one row of marks; None if it has none yet. Raises MarksError if they cannot be."""
    question = assignment.questions[row["question"]]
    if not isinstance(question, Written):
        raise MarksError(f"{where}: the judge marks this question, not a person.")
    text = (row["points"] or "").strip()
    if not text:
        return None
    try:
        points = float(text.replace(",", "."))
    except ValueError:
        points = -1.0
    if not 0 <= points <= question.points:
        raise MarksError(f"{where}: the points must be a number from 0 to {question.points:g}, not {text!r}.")
    return points


def marks_csv(assignment: Assignment, results: list[Result], marking: Marking) -> str:
    """What a person fills in: a row for each answer in words, with the points and comments given so far.
    Rows of questions that are asked no more stay at the end.
    """
    rows: list[list[object]] = [[*COLUMNS, *marking.own_columns]]
    for (student, name), answer in answers_in_words(assignment, results).items():
        points, comment = marking.marks.get((student, name), (None, ""))
        number = shown(points)
        if marking.delimiter == ";":
            number = number.replace(".", ",")  # to a spreadsheet that separates so, 4.5 is the fourth of May
        look = NEW_ANSWER if (student, name) in marking.look_again else ""
        own = marking.own.get((student, name), [""] * len(marking.own_columns))
        rows.append([safe(student), name, number, safe(comment), look, answer, *own])
    for row in marking.dropped:
        rows.append([row.get(column) or "" for column in [*COLUMNS, *marking.own_columns]])
    return table(rows, marking.delimiter)


def waiting(assignment: Assignment, results: list[Result], marking: Marking) -> list[tuple[str, str]]:
    """The answers in words, as (student, question), that have no mark yet."""
    return [
        key
        for key, answer in answers_in_words(assignment, results).items()
        if answer != NOT_ANSWERED and marking.marks.get(key, (None, ""))[0] is None
    ]


def is_complete(assignment: Assignment, results: list[Result], marking: Marking) -> bool:
    """Whether every answer in words has its mark, and none is newer than that."""
    return not waiting(assignment, results, marking) and not marking.look_again


def what_is_open(assignment: Assignment, results: list[Result], marking: Marking, path: Path) -> list[str]:
    """Sentences about what a person has yet to do in the table of marks, which lies at `path`."""
    answers = answers_in_words(assignment, results)
    unmarked = [key for key in answers if marking.marks.get(key, (None, ""))[0] is None]
    blank = sum(answers[key] == NOT_ANSWERED for key in unmarked)
    left = len(waiting(assignment, results, marking))
    look = ", ".join(f"{student} ({name})" for student, name in marking.look_again)
    gone = sorted({row["question"] or "" for row in marking.dropped})
    said = []
    if blank:
        are = "is missing and counts" if blank == 1 else "are missing and count"
        said.append(f"{blank} of {len(answers)} answers in words {are} 0.")
    if gone:
        said.append(f"{path} has marks for {', '.join(gone)}, which {assignment.name} no longer asks.")
    if look:
        said.append(
            f"The answer that you marked is not the one handed in last: {look}. "
            f"Look again at the marks in {path}."
        )
    if left:
        have = "answer in words has" if left == 1 else "answers in words have"
        said.append(f"{left} {have} no points yet: write points and comments into {path}.")
    return said
