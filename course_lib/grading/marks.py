"""Manual marks for written answers, and the table in which they are entered."""

import csv
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from course_lib.grading.assignment import Assignment
from course_lib.grading.engine import Result
from course_lib.grading.exports import safe, shown, table, unsafe
from course_lib.grading.progress import some
from course_lib.grading.question import Written
from course_lib.grading.submissions import is_answered

NEEDED = ("student", "question", "points")
LOOK = "look again"  # the instructor clears this column after looking at the new answer
MOST = "maximum"  # the points that the question is worth
COLUMNS = ["student", "question", "points", MOST, "comment", LOOK, "answer"]
NEW_ANSWER = "This answer is newer than the mark. Clear this cell when you have checked the mark."
NOT_ANSWERED = "(not answered)"


class MarksError(Exception):
    """Raised if a table of marks is invalid; the message says what is wrong."""


@dataclass
class Marking:
    """The contents of a table of marks that has been edited by hand."""

    marks: dict[tuple[str, str], tuple[float | None, str]] = field(default_factory=dict)
    # answers that changed after marking
    look_again: list[tuple[str, str]] = field(default_factory=list)
    # rows for questions no longer in the assignment
    dropped: list[dict[str, str]] = field(default_factory=list)
    delimiter: str = ","
    own_columns: list[str] = field(default_factory=list)  # columns that the instructor has added
    # the contents of the columns that the instructor has added
    own: dict[tuple[str, str], list[str]] = field(default_factory=dict)


def answers_in_words(assignment: Assignment, results: list[Result]) -> dict[tuple[str, str], str]:
    """Return all written answers, keyed by student and question, in the form shown in the table."""
    found = {}
    for name, question in assignment.questions.items():
        if isinstance(question, Written):
            for result in results:
                answer = result.verdicts.get(name, {}).get("answer", "")
                found[result.student, name] = safe(answer) if is_answered(answer) else NOT_ANSWERED
    return found


def read_marks(
    text: str,
    path: Path,
    assignment: Assignment,
    results: list[Result],
    former: Collection[str] = (),
) -> Marking:
    """Read marks from the text of a table,
    and check that they are consistent with the assignment and the results.

    path: the file that contains the table, for error messages. former: the names of questions that
    were once part of the assignment. Raises MarksError if the table is not valid.
    """
    marking, rows = read_rows(text, path)
    check_maximum(rows, path, assignment)
    students = {safe(result.student): result.student for result in results}
    answers = answers_in_words(assignment, results)
    for row in rows:
        student = students.get(row["student"] or "")
        if student is None:
            raise MarksError(
                f"{path}: there is no result for {row['student']!r}. See points.csv for all names."
            )
        name = row["question"]
        if name not in assignment.questions:
            if name not in former:
                raise MarksError(f"{path}, {student}: {unknown_question(name, assignment)}")
            marking.dropped.append(row)
            continue
        key = student, name
        where = f"{path}, {student}'s answer to {name}"
        if key in marking.marks:
            raise MarksError(f"{where}: the table has two rows for this answer; keep only one.")
        points = read_points(row, assignment, where)
        marking.marks[key] = points, unsafe(row.get("comment") or "")
        marking.own[key] = [row.get(column) or "" for column in marking.own_columns]
        if points is not None and is_newer(row, answers[key]):
            marking.look_again.append(key)
    return marking


def read_rows(text: str, path: Path) -> tuple[Marking, list[dict[str, str]]]:
    """Return two values: a Marking that holds only the table's format, and the table's rows.

    Rows without a student and a question, which spreadsheets often leave behind, are skipped.
    Raises MarksError if a column is missing, if a row seems to contain one separator too many, or
    if quotation marks do not match.
    """
    header = text.split("\n")[0]
    # German and French spreadsheets use semicolons as separators
    marking = Marking(delimiter=";" if header.count(";") > header.count(",") else ",")
    lines = io.StringIO(text, newline="")
    reader = csv.DictReader(lines, delimiter=marking.delimiter, strict=True)
    rows: list[dict[str, str]] = []
    try:
        missing = set(NEEDED) - set(reader.fieldnames or [])
        if missing:
            raise MarksError(
                f"{path} must have the columns student, question and points, "
                f"separated by commas or semicolons, but it lacks {', '.join(sorted(missing))}."
            )
        columns = list(reader.fieldnames or [])
        for row in reader:
            check_width(row, columns, path, marking.delimiter)
            row["question"] = (row["question"] or "").strip()
            if row["student"] or row["question"]:
                rows.append(row)
    except csv.Error:
        after = f"after the row of {rows[-1]['student']}" if rows else "in the first row"
        raise MarksError(
            f"{path}: the quotation marks {after} do not match. Enclose the whole comment in "
            "quotation marks, and double each quotation mark inside the comment, "
            'as in "He says ""no"", twice".'
        ) from None
    marking.own_columns = [name for name in columns if name and name not in COLUMNS]
    return marking, rows


def check_width(row: Mapping[Any, Any], columns: list[str], path: Path, delimiter: str) -> None:
    """Raise MarksError if a row appears to contain a separator that was meant as text.

    Everything after this separator would be in the wrong column.
    """
    first = delimiter.join(str(row[name] or "") for name in columns[:2])
    begins = f"{path}, the row that begins with {first}"
    called = "semicolon" if delimiter == ";" else "comma"
    extra = row.get(None)  # where DictReader puts the cells that have no column
    if extra is not None:
        raise MarksError(
            f"{begins}: this row has {len(columns) + len(extra)} cells, but the table has only "
            f"{len(columns)} columns. Put a comment that contains a {called} in quotes"
            + (", and use a decimal point in points such as 2.5." if delimiter == "," else ".")
        )
    comment = (row.get("comment") or "").strip()
    if delimiter == "," and row["points"] and comment.isdecimal():
        raise MarksError(
            f"{begins}: the comment must be text, but got only the number {comment}. "
            "In points such as 2.5, use a decimal point instead of a comma."
        )


def check_maximum(rows: list[dict[str, str]], path: Path, assignment: Assignment) -> None:
    """Raise MarksError if a maximum is not a number, or if it differs between a question's rows.

    In this case, a row may be missing a separator. If the points for a question have changed since
    the last report, all its rows contain the same outdated maximum, which is not an error.
    """
    found: dict[str, set[float | str]] = {}
    for row in rows:
        most = maximum_in(row)
        if most is not None:
            found.setdefault(row["question"], set()).add(most)
    for row in rows:
        question, most = assignment.questions.get(row["question"]), maximum_in(row)
        if question is None or most is None or most == question.points:
            continue
        if len(found[row["question"]]) > 1 or isinstance(most, str):
            raise MarksError(
                f"{path}, {row['student']}'s answer to {question.name}: the maximum must be "
                f"{question.points:g}, but got {row[MOST]!r}. "
                "Check that each cell of this row is in the right column."
            )


def maximum_in(row: dict[str, str]) -> float | str | None:
    """Return the maximum points given in a row: as a number,
    as text if it is not a valid number, or None if the row has none.
    """
    text = (row.get(MOST) or "").strip()
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return text or None


def unknown_question(name: str, assignment: Assignment) -> str:
    """Return a sentence about a name in a table of marks that is not the name of a question."""
    names = [one for one, asks in assignment.questions.items() if isinstance(asks, Written)]
    if not names:
        there = f"{assignment.name} has no written question"
    elif len(names) == 1:
        there = f"the written question is {names[0]}"
    else:
        there = f"the written questions are {', '.join(names)}"
    return f"there is no question {name!r}; {there}. Correct the name, or delete the row."


def is_newer(row: dict[str, str], answer: str) -> bool:
    """Return whether an answer was changed after it was marked
    and its mark has not been checked since then.
    """
    if (row.get(LOOK) or "").strip():
        return True
    marked = row.get("answer")  # a table made by hand may have no column for the answers
    # spreadsheets change line endings, and some remove the apostrophe that `safe` has added
    return marked is not None and marked.lstrip("'").split() != answer.lstrip("'").split()


def read_points(row: dict[str, str], assignment: Assignment, where: str) -> float | None:
    """Return the points in one row, or None if there are none yet.

    Raises MarksError for invalid points.
    """
    question = assignment.questions[row["question"]]
    if not isinstance(question, Written):
        raise MarksError(
            f"{where}: this question is graded automatically, so it cannot be marked by hand."
        )
    text = (row["points"] or "").strip()
    if not text:
        return None
    try:
        points = float(text.replace(",", "."))
    except ValueError:
        points = -1.0
    if not 0 <= points <= question.points:
        raise MarksError(
            f"{where}: the number of points must be from 0 to {question.points:g}, not {text!r}."
        )
    return points


def marks_csv(assignment: Assignment, results: list[Result], marking: Marking) -> str:
    """Return the table in which written answers are marked by hand.

    It contains a row for each answer, with the points and the comment entered so far. Rows for
    questions that are no longer in the assignment are kept at the end.
    """
    rows: list[list[object]] = [[*COLUMNS, *marking.own_columns]]
    for (student, name), answer in answers_in_words(assignment, results).items():
        points, comment = marking.marks.get((student, name), (None, ""))
        numbers = [shown(points), shown(assignment.questions[name].points)]
        if marking.delimiter == ";":
            # a spreadsheet that uses semicolons reads 4.5 as 4 May
            numbers = [number.replace(".", ",") for number in numbers]
        look = NEW_ANSWER if (student, name) in marking.look_again else ""
        own = marking.own.get((student, name), [""] * len(marking.own_columns))
        rows.append([safe(student), name, *numbers, safe(comment), look, answer, *own])
    for row in marking.dropped:
        rows.append([row.get(column) or "" for column in [*COLUMNS, *marking.own_columns]])
    return table(rows, marking.delimiter)


def waiting(
    assignment: Assignment, results: list[Result], marking: Marking
) -> list[tuple[str, str]]:
    """Return a (student, question) pair for each written answer that has not been marked yet."""
    return [
        key
        for key, answer in answers_in_words(assignment, results).items()
        if answer != NOT_ANSWERED and marking.marks.get(key, (None, ""))[0] is None
    ]


def is_complete(assignment: Assignment, results: list[Result], marking: Marking) -> bool:
    """Return whether every written answer has a mark that was given or checked
    after the answer was last changed.
    """
    return not waiting(assignment, results, marking) and not marking.look_again


def what_is_open(
    assignment: Assignment, results: list[Result], marking: Marking, path: Path
) -> list[str]:
    """Return sentences about missing answers, and about marks in the table at `path`
    that are missing, outdated or not counted.
    """
    answers = answers_in_words(assignment, results)
    unmarked = [key for key in answers if marking.marks.get(key, (None, ""))[0] is None]
    blank = sum(answers[key] == NOT_ANSWERED for key in unmarked)
    students = [student for student, _ in waiting(assignment, results, marking)]
    left = len(students)
    look = ", ".join(f"{student} ({name})" for student, name in marking.look_again)
    gone = sorted({row["question"] or "" for row in marking.dropped})
    said = []
    if blank:
        are = "is missing and counts" if blank == 1 else "are missing and count"
        said.append(f"{blank} of {len(answers)} written answers {are} as 0 points.")
    if gone:
        are = "this question is" if len(gone) == 1 else "these questions are"
        said.append(
            f"The marks for {', '.join(gone)} in {path} do not count, "
            f"because {are} no longer part of {assignment.name}."
        )
    if look:
        said.append(
            f"A new answer has been handed in since you marked the old one: {look}. "
            f"Check the marks in {path} again, and clear the cells *{LOOK}*."
        )
    if left:
        have = "written answer has" if left == 1 else "written answers have"
        if path.exists():
            said.append(
                f"{left} {have} no points yet ({some(students)}). "
                f"Enter points and comments in {path}."
            )
        else:
            said.append(
                f"{left} {have} no points yet ({some(students)}). "
                f"Run `report` first, which writes {path}, and enter points and comments there."
            )
    return said
