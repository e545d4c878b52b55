"""A real nbgrader course: release, three students, autograde, a mark by hand, feedback, export."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from safetensors.numpy import save_file

from course_lib.grading.__main__ import main
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


def environment(course: Path) -> dict[str, str]:
    """What a command in the folder of an nbgrader course has in its environment."""
    return {
        "PYTHONPATH": str(ROOT),
        "JUPYTER_CONFIG_DIR": str(course / "jupyter"),
        # nbgrader calls alembic
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def in_course(course: Path, words: list[str]) -> str:
    """Run a command in the folder of an nbgrader course, and return what it prints."""
    done = subprocess.run(
        words,
        cwd=course,
        env=os.environ | environment(course),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def nbgrader(tmp_path_factory):
    """Runs a command of nbgrader in the folder of a course, and returns what it prints."""
    output = tmp_path_factory.mktemp("nbgrader") / "output"
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("nbgrader_server.py"))],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:

        def run(folder: Path, *words: str, status: int = 0) -> str:
            asked = {
                "words": words,
                "folder": str(folder),
                "environment": environment(folder),
                "output": str(output),
            }
            print(json.dumps(asked), file=server.stdin, flush=True)
            exited = int(server.stdout.readline())
            said = output.read_text(encoding="utf-8")
            assert exited == status, said
            return said

        yield run


@pytest.fixture(scope="module")
def course(tmp_path_factory, nbgrader) -> Path:
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


def test_a_person_s_mark_and_the_judge_s_sentences_reach_the_feedback(nbgrader, course):
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


# ---------------------------------------------------------------- the page's own commands

PAGE = (ROOT / "docs" / "homework.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## In an nbgrader course\n")[2].partition("\n## ")[0]
LOCKED = ["responsibilities", "m_step", "missing", "gradient", "digits_mixture"]


@pytest.fixture(scope="module")
def followed(tmp_path_factory) -> Path:
    """A course made by the commands of the page, in a folder with nbgrader_config.py alone.

    ada hands in the untouched copy, bob a design, and eve an essay instead of a notebook.
    """
    place = tmp_path_factory.mktemp("followed")
    assert main(["release", "mixtures", "--out", str(place / "grades")]) == 0
    blocks = re.findall(r"^```(?:python)?\n(.*?)^```", SECTION, re.S | re.M)
    config, before, graded, after = (
        b.replace("/home/me/course/grades", str(place / "grades")) for b in blocks
    )
    course = place / "course"
    course.mkdir()
    (course / "nbgrader_config.py").write_text(config)
    in_course(course, ["bash", "-e", "-c", before])
    for student in ("ada", "bob"):
        shutil.copytree(
            course / "release" / "mixtures", course / "submitted" / student / "mixtures"
        )
    hand_in_a_design(course / "submitted" / "bob" / "mixtures")
    (course / "submitted" / "eve" / "mixtures").mkdir(parents=True)
    (course / "submitted" / "eve" / "mixtures" / "essay.pdf").write_bytes(b"%PDF")
    (course / "log.txt").write_text(in_course(course, ["bash", "-e", "-c", graded]))
    in_course(course, ["bash", "-e", "-c", after])
    return course


def hand_in_a_design(folder: Path) -> None:
    """Remove the # in front of `hand_in`, as the notebook says, and write its file."""
    notebook = nbformat.read(folder / "mixtures.ipynb", as_version=4)
    (cell,) = [
        cell for cell in notebook.cells if "\n# hand_in(weights=weights, p=p)" in cell.source
    ]
    assert cell.metadata.get("editable", True)
    cell.source = cell.source.replace("# hand_in(", "hand_in(")
    nbformat.write(notebook, folder / "mixtures.ipynb")
    design = {"weights": np.ones(1, "float32"), "p": np.full((1, 64), 0.3, "float32")}
    save_file(design, folder / "design.safetensors")


def test_nbgrader_hands_out_the_stubs_that_release_wrote(followed):
    source, released = (
        nbformat.read(followed / kind / "mixtures" / "mixtures.ipynb", as_version=4)
        for kind in ("source", "release")
    )
    assert [cell.source for cell in released.cells] == [cell.source for cell in source.cells]
    locked = [cell for cell in released.cells if not cell.metadata.get("editable", True)]
    assert [cell.metadata.nbgrader.grade_id for cell in locked] == LOCKED


def test_the_released_notebook_runs_from_top_to_bottom(followed, tmp_path):
    folder = tmp_path / "mixtures"
    shutil.copytree(followed / "release" / "mixtures", folder)
    words = ["-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", "mixtures.ipynb"]
    in_course(folder, [sys.executable, *words])
    notebook = nbformat.read(folder / "mixtures.ipynb", as_version=4)
    said = [str(cell.outputs) for cell in notebook.cells if cell.get("outputs")]
    assert ["Not started: " in text for text in said] == [True] * 4


def sentences(course: Path, student: str) -> dict[str, str]:
    """What the judge says of each question, above the points."""
    path = course / "autograded" / student / "mixtures" / "mixtures.ipynb"
    return {
        cell.metadata.nbgrader.grade_id: cell.outputs[0].text
        for cell in nbformat.read(path, as_version=4).cells
        if cell.get("outputs")
    }


def test_an_untouched_copy_is_not_started(followed):
    not_started = dict.fromkeys(LOCKED, "Not started.\n")
    not_started["digits_mixture"] = "Not started: no design.safetensors was handed in.\n"
    assert sentences(followed, "ada") == not_started


def test_a_design_is_handed_in_without_a_warning(followed):
    assert "your score is -" in sentences(followed, "bob")["digits_mixture"]
    assert "has changed" not in (followed / "log.txt").read_text()


def listed(course: Path) -> dict[str, str]:
    """The students in grades.csv, and their points."""
    with (course / "grades.csv").open() as file:
        return {row["student_id"]: row["score"] for row in csv.DictReader(file)}


def test_a_student_without_a_notebook_is_listed_once_added_to_the_gradebook(nbgrader, followed):
    assert re.search(
        r"WARNING\] No notebooks were matched by '\S+/eve/mixtures/",
        (followed / "log.txt").read_text(),
    )
    assert set(listed(followed)) == {"ada", "bob"}
    command = re.search(r"`(nbgrader db student add) STUDENT`", SECTION)
    in_course(followed, [*command[1].split(), "eve"])
    nbgrader(followed, "export")
    assert listed(followed)["eve"] == "0.0"


def test_a_damaged_notebook_fails_autograde_but_stops_nobody_else(nbgrader, followed):
    (followed / "submitted" / "cyd" / "mixtures").mkdir(parents=True)
    (followed / "submitted" / "cyd" / "mixtures" / "mixtures.ipynb").write_text('{"cells": [')
    shutil.copytree(followed / "release" / "mixtures", followed / "submitted" / "dan" / "mixtures")
    assert "exits with\nstatus 1" in SECTION
    said = nbgrader(followed, "autograde", "mixtures", status=1)
    assert "error processing assignment 'mixtures' for student 'cyd'" in said
    nbgrader(followed, "export")
    assert listed(followed)["cyd"] == "0.0"
    assert sentences(followed, "dan")["m_step"] == "Not started.\n"


def test_model_answers_in_the_source_version_are_not_handed_out(nbgrader, followed, tmp_path):
    shutil.copy(followed / "nbgrader_config.py", tmp_path)
    solved = followed.parent / "grades" / "release" / "instructor" / "mixtures"
    shutil.copytree(solved, tmp_path / "source" / "mixtures")
    said = nbgrader(tmp_path, "generate_assignment", "mixtures", status=1)
    assert (
        "The cell answer-responsibilities must contain the stub that `release` wrote, but it "
        "contains something else, possibly a solution. Copy the notebook from release/students "
        "into the folder source again. To change a stub, change it in keys/responsibilities.py "
        "and run `release` again."
    ) in said
    assert not (tmp_path / "release" / "mixtures").exists()


def test_a_notebook_that_was_released_with_another_secret_is_not_handed_out(
    nbgrader, followed, tmp_path
):
    config = (followed / "nbgrader_config.py").read_text()
    secret = followed.parent / "grades" / "secret"
    (tmp_path / "other").write_text(other_variants("mixtures", secret.read_text()))
    assert str(secret) in config
    config = config.replace(str(secret), str(tmp_path / "other"))
    (tmp_path / "nbgrader_config.py").write_text(config)
    shutil.copytree(followed / "source" / "mixtures", tmp_path / "source" / "mixtures")
    said = nbgrader(tmp_path, "generate_assignment", "mixtures", status=1)
    assert f"was not released with the secret in {tmp_path / 'other'}." in said
    assert not (tmp_path / "release" / "mixtures").exists()


def other_variants(name: str, secret: str) -> str:
    """Another secret, with which a class gets at least one other variant."""
    from course_lib.grading.nbgrader import chosen_stubs

    assignment = Assignment.read(name)
    mine = chosen_stubs(assignment, Secret(bytes.fromhex(secret)))
    others = (f"{number:064x}" for number in range(100))
    return next(
        other for other in others if chosen_stubs(assignment, Secret(bytes.fromhex(other))) != mine
    )


def cleared(assignment: str, *cells: tuple[str, str]) -> list[str]:
    """What a course's other assignments keep of answer cells with these grade IDs and sources."""
    from course_lib.grading.nbgrader import KeepStubs

    notebook = nbformat.v4.new_notebook()
    for name, source in cells:
        about = {"grade_id": name, "solution": True, "grade": False, "locked": False}
        notebook.cells.append(nbformat.v4.new_code_cell(source, metadata={"nbgrader": about}))
    KeepStubs(homework=str(TINY.parent)).preprocess(
        notebook, {"nbgrader": {"assignment": assignment}}
    )
    return [cell.source for cell in notebook.cells]


STUB = "def sgd_step(weights, gradient, rate):\n    raise NotImplementedError"
CLEARED = "# YOUR CODE HERE\nraise NotImplementedError()"


def test_all_other_solutions_are_cleared_as_nbgrader_does():
    marked = "def sgd_step():\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION"
    own = "def mine():\n    return 1"
    assert cleared("tiny", ("answer-sgd_step", STUB), ("mine", own)) == [STUB, CLEARED]
    assert cleared("tiny", ("answer-sgd_step", marked)) == [
        "def sgd_step():\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    ]
    assert cleared("another", ("answer-sgd_step", own)) == [CLEARED]


def test_autograde_says_where_the_secret_should_be(nbgrader, course):
    moved = (course / "secret").rename(course / "moved")
    try:
        said = nbgrader(course, "autograde", "tiny", "--student", "cyd", "--force", status=1)
    finally:
        moved.rename(course / "secret")
    assert (
        f"The file '{course / 'secret'}' cannot be read or does not contain a valid secret. In "
        "nbgrader_config.py, set `secret` to the file `secret` that `release` wrote."
    ) in said


def test_autograde_names_a_key_that_failed(nbgrader, course):
    """Last, because it grades the course again."""
    key = course / "homework" / "tiny" / "keys" / "sgd_step.py"
    text = key.read_text()
    key.write_text(text.replace("return weights - rate * gradient\n", "return weights - np.x\n", 1))
    said = nbgrader(course, "autograde", "tiny", "--student", "cyd", "--force")
    key.write_text(text)
    assert (
        "The question sgd_step earns 0 points for cyd, because its key failed with NameError in "
        "line 17 of keys/sgd_step.py (name 'np' is not defined). Correct the key, and run "
        "`nbgrader autograde tiny --force`."
    ) in said
