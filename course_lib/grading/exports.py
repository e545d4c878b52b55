"""Points for other systems: CSV for everybody, for Canvas and for Moodle, and results.json for
Gradescope.

Canvas: Gradebook CSV import. Moodle: the assignment's grading worksheet, and its zip of feedback files.
Gradescope: the autograder's results.json.
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

IDENTIFIER = re.compile(r"(?P<name>.*?) (?P<id>\d+)")  # as `submissions` names students of Canvas and Moodle
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would compute a cell that begins so


def name_and_id(student: str) -> tuple[str, str]:
    """A student's name and number on the learning platform; without a number, the name is used for
    both.
    """
    found = IDENTIFIER.fullmatch(student)
    return (found["name"], found["id"]) if found else (student, student)


def has_number(student: str) -> bool:
    """Whether a student's name carries the number of a learning platform."""
    return IDENTIFIER.fullmatch(student) is not None


def safe(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def unsafe(text: str) -> str:
    """The text that `safe` was given."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def table(rows: Iterable[list[object]], delimiter: str = ",") -> str:
    """Rows as CSV text. What a student may have written must have gone through `safe`."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return out.getvalue()


def plain_csv(assignment: Assignment, results: list[Result]) -> str:
    """student, total, one column a question, and the notes."""
    names = list(assignment.questions)
    rows: list[list[object]] = [["student", "total", *names, "notes"]]
    for result in results:
        points = [shown(result.verdicts.get(name, {}).get("points")) for name in names]
        rows.append([safe(result.student), shown(result.points), *points, safe(" ".join(result.notes))])
    return table(rows)


def canvas_csv(assignment: Assignment, results: list[Result]) -> str:
    """What Canvas imports: the student, the number that Canvas put into the file's name, and the
    points.
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
    """Moodle's grading worksheet, with the sentences as feedback comments.

    Moodle refuses a worksheet that lacks Identifier, Grade or Last modified (grade). An empty date is
    older than any grade, so Moodle replaces one that it has only when it is told to.
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
        comments = "\n".join(f"{question}: {v['sentence']}" for question, v in result.verdicts.items())
        points = [shown(result.points), shown(assignment.points)]
        rows.append([f"Participant {number}", safe(name), *points, "", comments])
    return table(rows)


def moodle_zip(assignment: Assignment, pages: Mapping[str, bytes]) -> bytes:
    """The pages that Moodle takes by "Upload multiple feedback files in a zip", which are those of students
    who have Moodle's number; b"" if nobody has one.

    Moodle finds the student in a folder's name, by the number between its first two underscores
    (mod/assign/feedback/file/importziplib.php). So no underscore may be in the student's name.
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
    """Points as a cell shows them; nothing where a person has not marked yet."""
    return "" if points is None else f"{points:g}"


def gradescope(assignment: Assignment, result: Result) -> str:
    """One submission's results.json, a test a question."""
    tests, board = [], []
    for name, verdict in result.verdicts.items():
        points = verdict["points"] or 0
        tests.append(
            {
                "name": name,
                "score": points,
                "max_score": verdict["most"],
                "status": "passed" if points == verdict["most"] else "failed",
                "output": verdict["sentence"],
                "output_format": "text",
                "visibility": "visible",
            }
        )
        question = assignment.questions[name]
        if isinstance(question, Design) and verdict["score"] is not None:
            order = "desc" if question.full_at > question.none_at else "asc"
            board.append({"name": name, "value": round(verdict["score"], 3), "order": order})
    about = {
        "output": "\n".join(result.notes) or "The notebook ran to its end.",
        "output_format": "text",
        "visibility": "visible",
        "tests": tests,
        "leaderboard": board,
    }
    return json.dumps(about, indent=1, ensure_ascii=False) + "\n"
