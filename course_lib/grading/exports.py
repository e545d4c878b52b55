"""Export points to plain CSV and to the formats of Canvas, Moodle and Gradescope.

Canvas imports a gradebook CSV file. Moodle imports a grading worksheet and a zip file with feedback
files. Gradescope reads the results.json of an autograder.
"""

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterable, Mapping

from course_lib.grading.assignment import Assignment
from course_lib.grading.engine import Result
from course_lib.grading.question import Design

# A student's name and number from Canvas or Moodle.
IDENTIFIER = re.compile(r"(?P<name>.*?) (?P<id>\d+)")
# a spreadsheet treats a cell that begins with one of these characters as a formula
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def name_and_id(student: str) -> tuple[str, str]:
    """Separate a student's name from the number used by the learning platform.

    If there is no number, the name is returned in its place.
    """
    found = IDENTIFIER.fullmatch(student)
    return (found["name"], found["id"]) if found else (student, student)


def has_number(student: str) -> bool:
    """Return whether a student's name includes an ID number added by a learning platform."""
    return IDENTIFIER.fullmatch(student) is not None


def safe(text: str) -> str:
    """Add an apostrophe in front of text that a spreadsheet would treat as a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def unsafe(text: str) -> str:
    """Remove the apostrophe that `safe` added."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def table(rows: Iterable[list[object]], delimiter: str = ",") -> str:
    """Return rows as CSV text.

    Text that a student may have written must first be passed through `safe`.
    """
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return out.getvalue()


def plain_csv(assignment: Assignment, results: list[Result]) -> str:
    """Return a CSV table with a row per student: the total, the points per question, and notes."""
    names = list(assignment.questions)
    rows: list[list[object]] = [["student", "total", *names, "notes"]]
    for result in results:
        points = [shown(result.verdicts.get(name, {}).get("points")) for name in names]
        notes = safe(" ".join(result.notes))
        rows.append([safe(result.student), shown(result.points), *points, notes])
    return table(rows)


def canvas_csv(assignment: Assignment, results: list[Result]) -> str:
    """Return the CSV table that Canvas imports, with each student's name, number and points.

    The number is the one that Canvas includes in the names of submitted files.
    """
    rows: list[list[object]] = [
        ["Student", "ID", "Section", assignment.name],
        ["    Points Possible", "", "", shown(assignment.points)],
    ]
    for result in results:
        name, number = name_and_id(result.student)
        rows.append([safe(name), safe(number), "", shown(result.points)])
    return table(rows)


def moodle_csv(assignment: Assignment, results: list[Result]) -> str:
    """Return Moodle's grading worksheet, with the judge's sentences as feedback comments.

    Moodle rejects a worksheet without the columns Identifier, Grade and Last modified (grade). An
    empty date counts as older than any grade, so Moodle overwrites an existing grade only if the
    user allows it.
    """
    rows: list[list[object]] = [
        [
            "Identifier",
            "Full name",
            "Grade",
            "Maximum Grade",
            "Last modified (grade)",
            "Feedback comments",
        ],
    ]
    for result in results:
        name, number = name_and_id(result.student)
        points = [shown(result.points), shown(assignment.points)]
        comments = safe(comments_on(assignment, result))
        rows.append([f"Participant {number}", safe(name), *points, "", comments])
    return table(rows)


def comments_on(assignment: Assignment, result: Result) -> str:
    """Return the judge's sentences, each on a line that begins with the question's heading.

    If the submission could not be graded, the reason is given once, in the first line.
    """
    lines = [result.refusal] if result.refusal else []
    for name, verdict in result.verdicts.items():
        if verdict["sentence"] != result.refusal:
            lines.append(f"{assignment.heading(name, verdict['variant'])}: {verdict['sentence']}")
    return "\n".join(lines)


def moodle_zip(assignment: Assignment, pages: Mapping[str, bytes]) -> bytes:
    """Return a zip file for Moodle's grading action "Upload multiple feedback files in a zip".

    The file contains the pages of all students whose names end with an ID number from a learning
    platform. If no name includes one, return b"". Moodle identifies a student by the number between
    the first two underscores in a folder's name (mod/assign/feedback/file/importziplib.php), so
    underscores in students' names are replaced by spaces.
    """
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for student, page in pages.items():
            name, number = name_and_id(student)
            if has_number(student):
                plain = re.sub(r"[_/\\]", " ", name)
                folder = f"{plain}_{number}_assignsubmission_file_"
                archive.writestr(f"{folder}/{assignment.name}_feedback.html", page)
    return made.getvalue() if archive.namelist() else b""


def shown(points: float | None) -> str:
    """Format points for a table cell, or return "" for an answer that has not been marked yet."""
    return "" if points is None else f"{points:g}"


def gradescope(assignment: Assignment, result: Result) -> str:
    """Return the contents of results.json for one submission, with one test for each question."""
    tests, board = [], []
    for name, verdict in result.verdicts.items():
        points = verdict["points"] or 0
        heading = assignment.heading(name, verdict["variant"])
        refused = verdict["sentence"] == result.refusal  # the reason is in the general output
        tests.append(
            {
                "name": heading,
                "score": points,
                "max_score": verdict["most"],
                "status": "passed" if points == verdict["most"] else "failed",
                "output": "Not graded." if refused else verdict["sentence"],
                "output_format": "text",
                "visibility": "visible",
            }
        )
        question = assignment.questions[name]
        if isinstance(question, Design) and verdict["score"] is not None:
            order = "desc" if question.full_at > question.none_at else "asc"
            board.append({"name": heading, "value": round(verdict["score"], 3), "order": order})
    about = {
        "output": "\n".join(result.notes) or "The notebook ran to the end.",
        "output_format": "text",
        "visibility": "visible",
        "tests": tests,
        "leaderboard": board,
    }
    return json.dumps(about, indent=1, ensure_ascii=False) + "\n"
