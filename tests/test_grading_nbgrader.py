"""A real nbgrader course: release, three students, autograde, a mark by hand, feedback, export."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from course_lib.grading.assignment import Assignment, Secret
from course_lib.grading.release import instructor_notebook, student_notebook

pytest.importorskip("nbgrader")
pytestmark = pytest.mark.skipif(
    not os.path.exists("/usr/bin/bwrap"), reason="bubblewrap is not installed"
)

TINY = Path(__file__).parent / "homework_example" / "tiny"
WORDS = """from course_lib.grading.question import Written

QUESTION = Written("explain", 10, "Why logarithms?", "Because exp overflows.")
"""
ROOT = Path(__file__).parent.parent
SECRET = "ab" * 32
UPWARDS = "def sgd_step(weights, gradient, rate):\n    return weights + rate * gradient"


def nbgrader(course: Path, *words: str) -> str:
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JUPYTER_CONFIG_DIR": str(course / "jupyter"),
        # nbgrader calls alembic
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *words],
        cwd=course,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("course")
    (folder / "secret").write_text(SECRET)
    homework = folder / "homework"
    shutil.copytree(TINY, homework / "tiny")
    (homework / "tiny" / "keys" / "explain.py").write_text(WORDS)
    with (homework / "tiny" / "tiny.py").open("a") as text:
        text.write("\n# %% [markdown]\n# question: explain\n")
    (folder / "nbgrader_config.py").write_text(
        "from course_lib.grading.nbgrader import configure\n"
        "c = get_config()\n"
        "c.CourseDirectory.course_id = 'course'\n"
        f"configure(c, secret={str(folder / 'secret')!r}, homework={str(homework)!r})\n"
    )
    tiny = Assignment.read("tiny", homework)
    secret = Secret(bytes.fromhex(SECRET))

    def choose(question):
        return secret.variant("tiny", question, "")

    source = folder / "source" / "tiny"
    source.mkdir(parents=True)
    nbformat.write(student_notebook(tiny, choose), source / "tiny.ipynb")
    nbgrader(folder, "generate_assignment", "tiny")
    released = folder / "release" / "tiny" / "tiny.ipynb"
    solved = instructor_notebook(tiny, choose)
    for student in ("ada", "bob", "cyd"):
        place = folder / "submitted" / student / "tiny"
        place.mkdir(parents=True)
        shutil.copy(released, place)
        notebook = nbformat.read(place / "tiny.ipynb", as_version=4)
        if student == "ada":
            answer(
                notebook,
                {
                    cell.metadata.nbgrader.grade_id: cell.source
                    for cell in solved.cells
                    if named(cell)
                },
            )
        if student == "bob":
            answer(
                notebook,
                {"answer-sgd_step": UPWARDS},
            )
        answer(notebook, {"explain": f"In the words of {student}."})
        nbformat.write(notebook, place / "tiny.ipynb")
    nbgrader(folder, "autograde", "tiny")
    return folder


def named(cell) -> bool:
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", "")).startswith("answer-")


def answer(notebook, answers: dict[str, str]) -> None:
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in answers:
            cell.source = answers[name]


def scores(course: Path) -> dict[str, dict[str, float]]:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course}/gradebook.db", "course") as book:
        found = {}
        for submission in book.assignment_submissions("tiny"):
            notebook = submission.notebooks[0]
            found[submission.student_id] = {
                grade.name: grade.auto_score for grade in notebook.grades
            }
        return found


def test_the_gradebook_holds_the_judge_s_points(course):
    found = scores(course)
    assert found["ada"]["log_mean_exp"] == 60
    assert found["ada"]["sgd_step"] == 40
    assert found["bob"]["log_mean_exp"] == 0
    assert found["bob"]["sgd_step"] == 20  # half of the points: the step goes up
    assert found["cyd"] == {"log_mean_exp": 0, "sgd_step": 0, "explain": None}


def test_a_person_s_mark_and_the_judge_s_sentences_reach_the_feedback(course):
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course}/gradebook.db", "course") as book:
        for student, points in {"ada": 9, "bob": 5, "cyd": 0}.items():
            grade = book.find_grade("explain", "tiny", "tiny", student)
            grade.manual_score = points
            grade.needs_manual_grade = False
        book.db.commit()
        assert book.find_submission("tiny", "ada").score == 109
    nbgrader(course, "generate_feedback", "tiny")
    page = (course / "feedback" / "bob" / "tiny" / "tiny.html").read_text(encoding="utf-8")
    assert "the step goes up" in page
    assert "In the words of bob" in page
    nbgrader(course, "export", "--to", "grades.csv")
    assert "ada" in (course / "grades.csv").read_text(encoding="utf-8")
