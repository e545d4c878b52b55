"""Grading many: resumable, idempotent, equal to an undisturbed serial run, readable elsewhere."""

import codecs
import contextlib
import csv
import functools
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from argparse import Namespace
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from safetensors.numpy import save
from test_grading_attacks import HONEST, SETUP, notebook

from course_lib.checks.practice import hand_in
from course_lib.grading import __main__ as commands
from course_lib.grading import engine, progress, runner, sandbox
from course_lib.grading.__main__ import main, read_secret
from course_lib.grading.assignment import Assignment, AssignmentError, Secret, key_in
from course_lib.grading.empty_handed import without_notebook
from course_lib.grading.engine import (
    ENDINGS,
    Result,
    Store,
    grade_all,
    grade_submission,
    jobs_for,
    key_of,
    merged,
    read_design,
    set_aside,
)
from course_lib.grading.exports import canvas_csv, gradescope, moodle_csv, plain_csv, safe
from course_lib.grading.judge import judge_design, stopped
from course_lib.grading.pages import class_page, feedback_page, marked, page_name, to_look_at
from course_lib.grading.question import Design
from course_lib.grading.sandbox import python_s_words
from course_lib.grading.submissions import (
    NoSubmissions,
    Submission,
    find_submissions,
    holds_half,
    read_cells,
    whose,
    words_of,
)

HOMEWORK = Path(__file__).parent / "homework_example"
TINY = Assignment.read("tiny", HOMEWORK)
SECRET = Secret(b"a secret that the tests may know")
ROOT = Path(__file__).parent.parent

LOGSUMEXP = (
    "def log_mean_exp(x):\n    top = x.max(1)\n    return top + np.log(np.exp(x.T - top).mean(0))\n"
)
SUM = (
    "def log_mean_exp(x):\n    top = x.max(1)\n    return top + np.log(np.exp(x.T - top).sum(0))\n"
)
ANSWERS = {
    "ada": (100, notebook(SETUP, LOGSUMEXP, HONEST)),
    "bob": (40, notebook(SETUP, HONEST)),
    "cyd": (70, notebook(SETUP, SUM, HONEST)),
    "dan": (0, b"no notebook"),
}

needs_wall = pytest.mark.skipif(
    not os.path.exists("/usr/bin/bwrap"), reason="bubblewrap is not installed"
)


@pytest.fixture
def class_folder(tmp_path) -> Path:
    folder = tmp_path / "submitted"
    folder.mkdir()
    for student, (_, content) in ANSWERS.items():
        (folder / f"{student}.ipynb").write_bytes(content)
    return folder


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "course_lib.grading", *map(str, words)]


def grade_words(folder: Path, out: Path, *more: object) -> list[object]:
    return ["grade", "tiny", "--homework", HOMEWORK, "--submissions", folder, "--out", out, *more]


def with_secret(out: Path) -> Path:
    """A folder that `release` has written to, as far as `grade` needs it."""
    out.mkdir(exist_ok=True)
    (out / "secret").write_text("ab" * 32)
    return out


@pytest.fixture
def with_words(tmp_path) -> Path:
    """Assignments with a written question: tiny, and a question that a person marks."""
    homework = tmp_path / "homework"
    shutil.copytree(
        HOMEWORK / "tiny", homework / "tiny", ignore=shutil.ignore_patterns("__pycache__")
    )
    with (homework / "tiny" / "tiny.py").open("a") as text:
        text.write("\n# %% [markdown]\n# question: explain\n")
    (homework / "tiny" / "keys" / "explain.py").write_text(
        "from course_lib.grading.question import Written\n\n"
        'QUESTION = Written("explain", 10, "Why logarithms?", "Because exp overflows.")\n'
    )
    return homework


def answered_in_words(answer: str, *sources: str) -> bytes:
    """A notebook with code cells, and an answer in the cell that `release` made for it."""
    document = json.loads(notebook(*sources))
    about = {"nbgrader": {"grade_id": "explain"}}
    document["cells"].append({"cell_type": "markdown", "metadata": about, "source": [answer]})
    return json.dumps(document).encode()


def texts(out: Path) -> dict[str, str]:
    return {
        path.name: path.read_text(encoding="utf-8")
        for path in (out / "tiny" / "results").glob("*.json")
    }


# ---------------------------------------------------------------- one after the other


@needs_wall
def test_a_class_is_graded_reported_and_given_feedback(class_folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["release", "tiny", "--homework", str(HOMEWORK), "--out", str(out)]) == 0
    assert main(list(map(str, grade_words(class_folder, out, "--workers", 0)))) == 0
    results = {result.student: result for result in Store(out / "tiny").all()}
    assert {student: result.points for student, result in results.items()} == {
        student: points for student, (points, _) in ANSWERS.items()
    }
    capsys.readouterr()

    # the same again: nothing is left to do, and nothing changes
    before = texts(out)
    assert main(list(map(str, grade_words(class_folder, out, "--workers", 0)))) == 0
    assert "4 already graded, 0 left to grade" in capsys.readouterr().out
    assert texts(out) == before

    # one student hands in again: she alone is graded, and the change is said
    (class_folder / "bob.ipynb").write_bytes(ANSWERS["ada"][1] + b"\n")
    assert (
        main(list(map(str, grade_words(class_folder, out, "--workers", 0, "--only", "bob")))) == 0
    )
    said = capsys.readouterr().out
    assert "1 left to grade" in said
    assert "bob: 40 → 100" in said

    (class_folder / "eve.ipynb").write_bytes(notebook(SETUP))
    assert main(list(map(str, grade_words(class_folder, out, "--workers", 0)))) == 0
    more = ["tiny", "--homework", str(HOMEWORK), "--out", str(out)]
    assert main(["report", *more]) == 0
    assert main(["feedback", *more]) == 0
    pages = {page.name[:3]: page.read_text() for page in (out / "tiny" / "feedback").glob("*.html")}
    assert sorted(pages) == [*ANSWERS, "eve"]
    for student, page in pages.items():  # dan's file is no notebook, and eve has answered nothing
        assert ("Your functions were tested on inputs" in page) is (student not in ("dan", "eve"))
        assert ("What happened while your notebook ran" in page) is (student == "eve")
    assert "exp overflows" not in (out / "tiny" / "class.html").read_text(encoding="utf-8")
    for private in ("secret", "release", "tiny"):  # nobody else may read keys, results or feedback
        assert (out / private).stat().st_mode & 0o077 == 0


@needs_wall
def test_a_changed_question_is_asked_again_and_no_other(tmp_path):
    store = Store(tmp_path)
    submissions = [Submission("ada", ANSWERS["ada"][1]), Submission("bob", ANSWERS["bob"][1])]
    grade_all(TINY, jobs_for(TINY, submissions, SECRET, store), SECRET, store, None)
    before = {result.student: result for result in store.all()}

    sources = [
        (name, text + "\n# a change\n" if name == "sgd_step" else text)
        for name, text in TINY.sources
    ]
    changed = replace(TINY, sources=tuple(sources))
    jobs = jobs_for(changed, submissions, SECRET, store)
    assert [job.questions for job in jobs] == [["sgd_step"], ["sgd_step"]]
    grade_all(changed, jobs, SECRET, store, None)
    for result in store.all():
        old = before[result.student]
        assert result.verdicts == old.verdicts
        assert result.keys["log_mean_exp"] == old.keys["log_mean_exp"]
        assert result.keys["sgd_step"] != old.keys["sgd_step"]
    assert jobs_for(changed, submissions, SECRET, store) == []
    assert len(jobs_for(changed, submissions, Secret(b"another secret entirely"), store)) == 2


@needs_wall
def test_notes_on_the_run_stay_when_only_words_are_judged_again(with_words, tmp_path, capsys):
    folder = tmp_path / "submitted"
    folder.mkdir()
    (folder / "ada.ipynb").write_bytes(
        answered_in_words("Because.", SETUP, "1 / 0", LOGSUMEXP, HONEST)
    )
    out = with_secret(tmp_path / "out")
    words = [
        "grade",
        "tiny",
        "--homework",
        with_words,
        "--submissions",
        folder,
        "--out",
        out,
        "--workers",
        0,
    ]
    words = [str(word) for word in words]
    assert main(words) == 0
    assert "graded again" not in capsys.readouterr().out
    (before,) = Store(out / "tiny").all()
    assert before.notes == [
        "The cell that begins with `1 / 0` stops with ZeroDivisionError in line 1."
    ]
    assert before.verdicts["explain"]["answer"] == "Because."

    key = with_words / "tiny" / "keys" / "explain.py"
    key.write_text(key.read_text().replace("10,", "20,"))
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "Regrading only the changed questions: explain." in said
    assert "Nobody's points changed." in said
    (after,) = Store(out / "tiny").all()
    assert after.notes == before.notes
    assert after.verdicts["explain"]["most"] == 20


@needs_wall
def test_an_older_submission_does_not_undo_a_newer_one(class_folder, tmp_path, capsys):
    """A question changes after a student handed in again:
    the folder with everybody's first submissions is graded again, and then the one with the newer.
    """
    late, out = tmp_path / "late", with_secret(tmp_path / "out")
    late.mkdir()
    (late / "bob.ipynb").write_bytes(ANSWERS["ada"][1] + b" ")
    first = [*grade_words(class_folder, out), "--workers", 0]
    newer = [*grade_words(late, out), "--workers", 0]
    for words in (first, newer):
        assert main(list(map(str, words))) == 0
    before = texts(out)
    capsys.readouterr()

    assert main(list(map(str, first))) == 0
    said = capsys.readouterr().out
    assert "4 submissions: 3 already graded, 1 skipped, 0 left to grade." in said
    assert "Skipped, because a newer submission has already been graded: bob." in said
    assert "since these students were graded" not in said
    assert texts(out) == before

    homework = tmp_path / "homework"
    shutil.copytree(HOMEWORK, homework)
    with (homework / "tiny" / "keys" / "sgd_step.py").open("a") as key:
        key.write("# a change\n")
    more = ["--homework", str(homework)]
    assert main([*map(str, first), *more]) == 0
    said = capsys.readouterr().out
    assert (
        "The questions, the secret or the grader has changed since these students were graded: bob."
        in said
    )
    assert main([*map(str, newer), *more]) == 0
    assert "since these students were graded" not in capsys.readouterr().out
    results = {result.student: result for result in Store(out / "tiny").all()}
    assert results["bob"].points == 100

    assert main([*map(str, first), *more, "--replace"]) == 0
    assert "bob: 100 → 40" in capsys.readouterr().out
    assert main([*map(str, newer), *more]) == 0  # which is the older one now
    assert "Skipped" in capsys.readouterr().out


@needs_wall
@pytest.mark.parametrize(
    ("answer", "begins", "says"),
    [
        (
            "def log_mean_exp(x)\n    return x",
            "def log_mean_exp(x)",
            "has a syntax error in line 1 (expected ':').",
        ),
        (
            "def log_mean_exp(x):\nreturn x",
            "def log_mean_exp(x):",
            (
                "has a syntax error in line 2 (expected an indented block after function "
                "definition on line 1)."
            ),
        ),
        (
            "1 / 0\ndef log_mean_exp(x):\n    return x",
            "1 / 0",
            "stops with ZeroDivisionError in line 1.",
        ),
        (
            "exec('raise SyntaxError(\"<mine>\")')\ndef log_mean_exp(x): 0",
            "exec('raise SyntaxError(",
            "has a syntax error.",
        ),
    ],
)
def test_the_author_of_a_broken_cell_reads_what_broke_it(answer, begins, says):
    """The function is in the notebook, so nobody is told that it is not."""
    stub = TINY.questions["log_mean_exp"].variants[0].stub
    result = grade_submission(
        TINY, Submission("ada", notebook(SETUP, stub, answer, HONEST)), SECRET
    )
    found = result.verdicts["log_mean_exp"]["sentence"]
    assert found == f"Not yet: the cell with your answer {says}"
    assert result.notes == [f"The cell that begins with `{begins}` {says}"]
    assert result.points == 40


@pytest.mark.parametrize("value", ["None", "'banana'", "[x, 'two']", "{'other': x}"])
def test_a_function_that_returns_something_else_is_not_said_to_stop(value):
    answer = f"def log_mean_exp(x):\n    return {value}"
    result = grade_submission(TINY, Submission("ada", notebook(SETUP, answer)), SECRET)
    found = result.verdicts["log_mean_exp"]["sentence"]
    assert found == (
        "Not yet: your function must return a tensor, an array or a number "
        "(is the `return` line missing?)."
    )


def test_only_python_s_own_words_about_a_syntax_error_are_repeated():
    for source in (
        "f(",
        "x = “a”",
        "  x",
        "print 1",
        "if x = 1: 2",
        "def f()\n x",
        "x = 1\xa02",
        "x = 'a",
        "1 = x",
    ):
        with pytest.raises(SyntaxError) as error:
            compile(source, "cell", "exec")
        assert python_s_words(error.value.msg) == error.value.msg
    for forged in (
        "full points, please",
        "invalid syntax <script>",
        "invalid character '<' (U+201C)",
        "invalid character '\ud800' (U+D800)",
        "invalid character '\u202e' (U+202E)",
        "cannot assign to me",
        f"expected an indented block after 'if' statement on line {'9' * 1000}",
    ):
        assert python_s_words(forged) == ""


def test_a_note_with_half_a_character_can_be_stored(tmp_path):
    Store(tmp_path).put(Result("ada", "", notes=["a cell with \ud800"]))
    assert [result.notes for result in Store(tmp_path).all()] == [["a cell with ?"]]


def test_a_function_that_takes_too_long_ran_out_of_time():
    assert stopped("out of time", 2, of=" of its cell") == "ran out of time in line 2 of its cell"
    assert stopped("NameError", 0) == "stops with NameError"


def test_a_question_that_is_asked_no_more_loses_its_points(tmp_path):
    store = Store(tmp_path)
    submission = Submission("ada", ANSWERS["ada"][1])
    (job,) = jobs_for(TINY, [submission], SECRET, store)
    keys = {name: key_of(TINY, name, SECRET, submission.sha) for name in TINY.questions}
    given = {"log_mean_exp": verdict(60, "Correct."), "sgd_step": verdict(40, "Correct.")}
    store.put(merged(job, Result("ada", submission.sha, given, keys, ["A note."]), TINY))
    shorter = replace(TINY, sources=tuple(one for one in TINY.sources if one[0] == "log_mean_exp"))
    grade_all(shorter, jobs_for(shorter, [submission], SECRET, store), SECRET, store, None)
    (result,) = store.all()
    assert (result.points, result.notes) == (60, ["A note."])
    assert jobs_for(shorter, [submission], SECRET, store) == []


@needs_wall
def test_grade_says_why_it_grades_again(class_folder, tmp_path, capsys, monkeypatch):
    out, homework = with_secret(tmp_path / "out"), tmp_path / "homework"
    shutil.copytree(HOMEWORK, homework)

    def said(*more: object) -> str:
        words = [*grade_words(class_folder, out, "--workers", 0), "--homework", homework, *more]
        assert main(list(map(str, words))) == 0
        return capsys.readouterr().out

    assert "again" not in said()
    sentence = "Regrading all questions because --per-student was not used last time."
    assert sentence in said("--per-student")
    assert "Regrading all questions because --per-student was used last time." in said()
    (out / "secret").write_text("cd" * 32)
    assert "Regrading all questions because the secret has changed." in said()
    monkeypatch.setattr(engine, "ENGINE", "another")
    assert "Regrading all questions because the grader has changed." in said()
    starter = homework / "tiny" / "tiny.py"
    starter.write_text(starter.read_text().replace("# question: log_mean_exp", ""))
    gone = (
        "Points for log_mean_exp no longer count because this question is no longer part of the "
        "assignment."
    )
    assert f"4 left to grade.\n{gone}" in said()


def test_a_submission_that_was_set_aside_is_tried_again(tmp_path):
    store = Store(tmp_path)
    (job,) = jobs_for(TINY, [Submission("eve", b"x")], SECRET, store)
    store.put(set_aside(TINY, job.submission, SECRET, "It stopped its grader."))
    (again,) = jobs_for(TINY, [Submission("eve", b"x")], SECRET, store)
    assert again.questions == ["log_mean_exp", "sgd_step"]


def test_a_fault_in_the_grader_sets_one_submission_aside_and_holds_up_nobody(tmp_path, monkeypatch):
    def run(cells, *rest):
        if "eve" in cells[0]["source"]:
            raise ZeroDivisionError
        return sandbox.Outcome(answers=defaultdict(lambda: sandbox.Answer("missing")))

    monkeypatch.setattr(sandbox, "run", run)
    submissions = [
        Submission(name, notebook(f"name = {name!r}", HONEST)) for name in ("eve", "fay")
    ]
    store = Store(tmp_path)
    grade_all(TINY, jobs_for(TINY, submissions, SECRET, store), SECRET, store, client=None)
    eve, fay = store.all()
    assert eve.set_aside
    sentence = (
        "The grader failed on this submission (ZeroDivisionError), so a person will look at it."
    )
    assert eve.notes == [sentence]
    assert not fay.set_aside
    assert (
        fay.verdicts["sgd_step"]["sentence"]
        == "Your notebook does not define the function `sgd_step`."
    )


DESIGN = """from course_lib.grading.question import Design
def measure(arrays):
    return TRU
ARRAYS = {"p": ("float32", (2,))}
QUESTION = Design("design", 10, "", ARRAYS, measure, lambda arrays: "", 0, 1, "points")
"""


@needs_wall
def test_a_key_that_fails_costs_no_other_question(class_folder, tmp_path, capsys):
    """The student is told nothing of the key, and its author where it failed.
    Once it is mended, only that question is asked again.
    """
    homework = tmp_path / "homework"
    shutil.copytree(
        HOMEWORK / "tiny", homework / "tiny", ignore=shutil.ignore_patterns("__pycache__")
    )
    with (homework / "tiny" / "tiny.py").open("a") as text:
        text.write("\n# %% [markdown]\n# question: design\n")
    key = homework / "tiny" / "keys" / "design.py"
    key.write_text(DESIGN)
    (class_folder / "ada_design.safetensors").write_bytes(
        save({"p": np.zeros(2, dtype=np.float32)})
    )
    out = with_secret(tmp_path / "out")
    words = grade_words(class_folder, out, "--workers", 0)
    words[words.index(HOMEWORK)] = homework

    def ada() -> Result:
        (result,) = [result for result in Store(out / "tiny").all() if result.student == "ada"]
        return result

    says = (
        "The question design earns 0 points for ada, because its key failed with NameError in "
        "line 3 of keys/design.py (name 'TRU' is not defined). Correct the key, and run the same "
        "command again."
    )
    assert main(list(map(str, words))) == 0
    assert says in capsys.readouterr().out.splitlines()
    assert ada().points == 100
    assert not ada().set_aside
    assert ada().notes == []
    sentence = "The grader failed on this question, so a person will look at it."
    assert ada().verdicts["design"]["sentence"] == sentence

    assert main(list(map(str, words))) == 0
    said = capsys.readouterr().out.splitlines()
    assert "4 submissions: 3 already graded, 1 left to grade." in said
    assert "Regrading because the key failed last time: design." in said
    assert says in said
    assert not [line for line in said if line.startswith(("Only changed", "The questions,"))]

    key.write_text(DESIGN.replace("TRU", "True"))
    assert main(list(map(str, words))) == 0
    said = capsys.readouterr().out
    assert "  ada: 100 → 110" in said
    assert "earns 0" not in said
    assert ada().faults == {}


def design_of(**arrays: tuple[str, tuple[int, ...]]) -> Design:
    return Design(
        "design", 10, "", arrays, lambda arrays: 1.0, lambda arrays: "", 0, 1, "points", most=5
    )


@pytest.mark.parametrize(
    "values",
    [
        np.array([8, 4, 2, 2]) / 16,
        torch.tensor([8, 4, 2, 2]).bfloat16() / 16,
        np.ones(4, "float16"),
    ],
)
def test_floating_point_numbers_of_any_precision_are_taken(values, tmp_path, monkeypatch):
    """NumPy computes in float64 unless it is told otherwise."""
    monkeypatch.chdir(tmp_path)
    hand_in(p=values)
    arrays, says = read_design(
        design_of(p=("float32", (4,))), Path("design.safetensors").read_bytes()
    )
    assert says == ""
    assert arrays["p"].dtype == np.float32
    np.testing.assert_array_equal(arrays["p"], np.asarray(torch.as_tensor(values).float()))


@pytest.mark.parametrize(
    ("declared", "values", "says"),
    [
        (
            ("float32", (4,)),
            np.zeros(4, "int64"),
            (
                "The array 'p' must have dtype float32 and shape (4,), but it has dtype int64 and "
                "shape (4,)."
            ),
        ),
        (
            ("int64", (4,)),
            np.zeros(4),
            (
                "The array 'p' must have dtype int64 and shape (4,), but it has dtype float64 and "
                "shape (4,)."
            ),
        ),
        (
            ("float32", (-1, 2)),
            np.zeros((6, 2), "float32"),
            "The array 'p' must have dtype float32 and shape (-1, 2), where -1 means any length "
            "up to 5, but it has dtype float32 and shape (6, 2).",
        ),
        (
            ("float32", (1,)),
            np.array([1e300]),
            "The array 'p' contains NaN, infinity, or numbers too large for float32.",
        ),
    ],
)
def test_what_is_wrong_with_the_arrays_of_a_design_is_said(declared, values, says):
    assert read_design(design_of(p=declared), save({"p": values})) == (None, says)


@needs_wall
def test_a_key_whose_inputs_fail_costs_no_other_question(tmp_path):
    homework = tmp_path / "homework"
    shutil.copytree(
        HOMEWORK / "tiny", homework / "tiny", ignore=shutil.ignore_patterns("__pycache__")
    )
    key = homework / "tiny" / "keys" / "log_mean_exp.py"
    key.write_text(key.read_text().replace("rng.normal(size=(n, d))", "rng.normaal(size=(n, d))"))
    submission = Submission("ada", ANSWERS["ada"][1])
    result = grade_submission(Assignment.read("tiny", homework), submission, SECRET)
    assert result.points == 40
    assert list(result.verdicts) == ["log_mean_exp", "sgd_step"]
    assert result.faults["log_mean_exp"].startswith(
        "AttributeError in line 12 of keys/log_mean_exp.py ("
    )


def with_broken_reference(homework: Path) -> Path:
    """Copy the assignments, let NumPy raise a ValueError in a reference, and return its key."""
    shutil.copytree(
        HOMEWORK / "tiny", homework / "tiny", ignore=shutil.ignore_patterns("__pycache__")
    )
    key = homework / "tiny" / "keys" / "sgd_step.py"
    text = key.read_text()
    key.write_text(text.replace("return weights - rate", "return np.ones(17) + weights - rate", 1))
    key.write_text(key.read_text().replace("\n\nfrom", "\n\nimport numpy as np\nfrom", 1))
    return key


BROKEN = (
    "ValueError in line 18 of keys/sgd_step.py (operands could not be broadcast together with "
    "shapes (17,) (2,))"
)


@needs_wall
def test_the_error_in_a_reference_is_named_with_its_line(tmp_path):
    with_broken_reference(tmp_path)
    submission = Submission("ada", ANSWERS["ada"][1])
    result = grade_submission(Assignment.read("tiny", tmp_path), submission, SECRET)
    assert result.faults == {"sgd_step": BROKEN}
    assert result.points == 60


def test_release_names_the_error_in_a_reference(tmp_path, capsys):
    with_broken_reference(tmp_path)
    words = ["--homework", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(["release", "tiny", *words]) == 2
    says = BROKEN.replace(" of keys/sgd_step.py", "")
    assert capsys.readouterr().err == f"release: keys/sgd_step.py fails with {says}.\n"
    assert not (tmp_path / "out").exists()


@needs_wall
def test_report_and_feedback_do_not_lead_to_publishing_points_of_an_older_key(
    class_folder, tmp_path, capsys
):
    homework = tmp_path / "homework"
    shutil.copytree(HOMEWORK, homework)
    out = with_secret(tmp_path / "out")
    words = list(map(str, grade_words(class_folder, out, "--workers", 0)))
    words[words.index(str(HOMEWORK))] = str(homework)
    options = ["tiny", "--homework", str(homework), "--out", str(out)]
    says = "The questions or the grader have changed since these students were graded: "
    assert main(words) == 0
    assert main(["report", *options]) == 0
    assert says not in capsys.readouterr().out

    key = homework / "tiny" / "keys" / "sgd_step.py"
    key.write_text(key.read_text() + "\n# a change\n")
    assert main(["report", *options]) == 0
    said = capsys.readouterr().out.splitlines()
    (line,) = [line for line in said if line.startswith(says)]
    assert "ada" in line
    assert said[-1].startswith("Next, when you have graded again: ")
    assert main(["feedback", *options]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith(" Do not hand them out yet.")
    assert line in said

    assert main(words) == 0
    assert main(["feedback", *options]) == 0
    assert says not in capsys.readouterr().out


@needs_wall
def test_report_and_feedback_do_not_lead_to_publishing_after_a_key_has_failed(
    class_folder, tmp_path, capsys
):
    homework = tmp_path / "homework"
    key = with_broken_reference(homework)
    out = with_secret(tmp_path / "out")
    (class_folder / "bob.ipynb").rename(class_folder / "Bob_77_assignsubmission_file_.ipynb")
    words = list(map(str, grade_words(class_folder, out, "--workers", 0)))
    words[words.index(str(HOMEWORK))] = str(homework)
    options = ["tiny", "--homework", str(homework), "--out", str(out)]
    assert main(words) == 0
    capsys.readouterr()
    says = (
        f"because its key failed with {BROKEN}. "
        "Correct the key, and run the same `grade` command again."
    )

    assert main(["report", *options]) == 0
    said = capsys.readouterr().out.splitlines()
    (line,) = [line for line in said if says in line]
    assert line.startswith("The question sgd_step earns 0 points for ")
    assert "ada" in line
    assert said[-1].startswith("Next, when you have graded again: ")
    assert " report tiny " in said[-1]

    assert main(["feedback", *options]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith(" Do not hand them out yet.")
    assert line in said
    assert said[-1] == "Then run `report` and `feedback` again."
    assert not [other for other in said if "Give each" in other or "upload" in other]

    key.write_text(key.read_text().replace("np.ones(17) + ", ""))
    assert main(words) == 0
    assert main(["report", *options]) == 0
    assert " feedback tiny " in capsys.readouterr().out.splitlines()[-1]
    assert main(["feedback", *options]) == 0
    said = capsys.readouterr().out
    assert "Give each student their own page." in said
    assert "its key failed" not in said


@needs_wall
@pytest.mark.parametrize(
    ("variants", "says"),
    [
        ("()", "ValueError (`variants` is empty)"),
        ("(1,)", "AttributeError ("),
        ("(replace(FIRST, returns=None),)", "TypeError (`returns` must be a tuple of strings)"),
        (
            "(replace(FIRST, inputs=lambda rng, case: {'x': {1, 2}}),)",
            (
                "ArgumentsError (`inputs` returns 'x' as a value of type set, but an argument "
                "must be an array "
            ),
        ),
    ],
)
def test_a_key_that_asks_for_what_cannot_be_asked_costs_no_other_question(variants, says, tmp_path):
    homework = tmp_path / "homework"
    shutil.copytree(
        HOMEWORK / "tiny", homework / "tiny", ignore=shutil.ignore_patterns("__pycache__")
    )
    key = homework / "tiny" / "keys" / "log_mean_exp.py"
    key.write_text(
        f"{key.read_text()}\nfrom dataclasses import replace\nFIRST = QUESTION.variants[0]\n"
        f"QUESTION = replace(QUESTION, variants={variants})\n"
    )
    submission = Submission("ada", ANSWERS["ada"][1])
    result = grade_submission(Assignment.read("tiny", homework), submission, SECRET)
    assert result.points == 40
    assert result.faults["log_mean_exp"].startswith(says)


def test_old_verdicts_do_not_outlive_the_submission_that_earned_them():
    old = Result("ada", "old sha", {"log_mean_exp": {"points": 60}}, {"log_mean_exp": "k"})
    submission = Submission("ada", b"new")
    new = Result("ada", submission.sha, {"sgd_step": {"points": 40}}, {"sgd_step": "k"})
    (job,) = jobs_for(
        TINY, [submission], SECRET, type("Nothing", (), {"get": lambda self, student: old})()
    )
    assert list(merged(job, new, TINY).verdicts) == ["sgd_step"]


# ---------------------------------------------------------------- on a cluster, disturbed


def workers_of(pid: int) -> list[psutil.Process]:
    """The Dask workers below a command, without those that end at this moment."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one, too
                if "spawn_main" in " ".join(child.cmdline()):
                    found.append(child)
    return found


@needs_wall
def test_killed_workers_and_a_killed_command_change_nothing(tmp_path):
    """Workers are killed in turn, the command once; results equal an undisturbed serial run's."""
    folder = tmp_path / "submitted"
    folder.mkdir()
    for number in range(6):
        content = list(ANSWERS.values())[number % len(ANSWERS)][1]
        (folder / f"s{number}.ipynb").write_bytes(content + b" " * number)
    secret = tmp_path / "secret"
    secret.write_text("ab" * 32)
    serial, disturbed = tmp_path / "serial", tmp_path / "disturbed"
    words = ["--secret", secret]
    assert main(list(map(str, grade_words(folder, serial, *words, "--workers", 0)))) == 0

    def run(kill_after: int | None) -> None:
        process = subprocess.Popen(
            command(*grade_words(folder, disturbed, *words, "--workers", 2)),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        killed = 0
        while process.poll() is None:
            time.sleep(1.0)
            if (
                kill_after is not None
                and len(texts(disturbed) if disturbed.exists() else []) >= kill_after
            ):
                tree = psutil.Process(process.pid).children(recursive=True)
                os.kill(process.pid, signal.SIGKILL)
                for child in tree:
                    if child.is_running():
                        child.kill()
                break
            workers = workers_of(process.pid)
            if workers and killed < 3:
                workers[killed % len(workers)].kill()
                killed += 1
        process.wait()

    run(kill_after=1)
    run(kill_after=None)
    assert texts(disturbed) == texts(serial)


@needs_wall
def test_ctrl_c_ends_grading_in_one_sentence(tmp_path):
    """A terminal signals all processes of the command, so the workers get it as well."""
    pytest.importorskip("distributed")
    folder, out = tmp_path / "submitted", with_secret(tmp_path / "out")
    folder.mkdir()
    (folder / "ada.ipynb").write_bytes(ANSWERS["ada"][1])
    for student in ("bob", "cyd", "dan"):
        sleeps = f"import time  # {student}\ntime.sleep(60)"
        (folder / f"{student}.ipynb").write_bytes(notebook(SETUP, sleeps, HONEST))
    words = command(*grade_words(folder, out, "--workers", 2))
    with subprocess.Popen(
        words,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        give_up = time.monotonic() + 120
        while not texts(out) and time.monotonic() < give_up:
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=120)[1]
    assert (
        said == "\nStopped. All results so far are kept; run the same command again to continue.\n"
    )
    assert process.returncode == 130
    assert len(texts(out)) == 1


# ---------------------------------------------------------------- what comes in


@pytest.mark.parametrize(
    ("path", "student", "kind"),
    [
        ("ada/tiny/tiny.ipynb", "ada", "notebook"),  # nbgrader
        ("submitted/ada/tiny/tiny.ipynb", "ada", "notebook"),
        ("lovelaceada_12345_67890_tiny.ipynb", "lovelaceada 12345", "notebook"),  # Canvas
        ("lovelaceada_LATE_12345_67890_tiny-1.ipynb", "lovelaceada 12345", "notebook"),
        # handed in again
        ("lovelaceada_12345_67890_design-1.safetensors", "lovelaceada 12345", "design"),
        # from a zip
        ("lovelaceada_12345_67890_handin/tiny.ipynb", "lovelaceada 12345", "notebook"),
        # a name inside a student's zip cannot make it another student's
        ("eve_66_1_handin/lovelaceada_12345_67890_tiny.ipynb", "eve 66", "notebook"),
        # Moodle
        ("Ada Lovelace_815_assignsubmission_file_/tiny.ipynb", "Ada Lovelace 815", "notebook"),
        ("ada/anything.ipynb", "ada", "notebook"),
        ("ada.ipynb", "ada", "notebook"),
        ("ada/design.safetensors", "ada", "design"),
        ("ada/design (1).safetensors", "ada", "design"),  # downloaded twice
        ("ada_design.safetensors", "ada", "design"),
        ("design.safetensors", "", "design"),
        ("ada/weights.safetensors", None, ""),
        ("notes.txt", None, ""),
        ("ada/.ipynb_checkpoints/any-checkpoint.ipynb", None, ""),
        ("__MACOSX/ada/._any.ipynb", None, ""),
        ("ada/._any.ipynb", None, ""),
    ],
)
def test_layouts_of_other_houses_are_understood(path, student, kind):
    assert whose(path, "tiny") == (student, kind)


def test_folders_and_zips_give_the_same_submissions(class_folder, tmp_path):
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as made:
        for path in class_folder.iterdir():
            made.write(path, path.name)
    assert find_submissions(archive, "tiny") == find_submissions(class_folder, "tiny")


def zip_of(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def test_what_macos_and_jupyter_add_to_a_zip_is_no_second_notebook(tmp_path):
    content = ANSWERS["ada"][1]
    files = {
        "ada/tiny.ipynb": content,
        "__MACOSX/ada/._tiny.ipynb": b"a resource fork",
        "ada/.ipynb_checkpoints/tiny-checkpoint.ipynb": b"an older version",
    }
    (tmp_path / "all.zip").write_bytes(zip_of(files))
    assert find_submissions(tmp_path / "all.zip", "tiny") == [Submission("ada", content)]


def test_a_zip_of_a_folder_with_a_whole_class_names_its_students(tmp_path):
    files = {f"submissions/{name}.ipynb": ANSWERS[name][1] for name in ("ada", "bob")}
    (tmp_path / "submissions.zip").write_bytes(zip_of(files))
    found = find_submissions(tmp_path / "submissions.zip", "tiny")
    assert [(one.student, one.trouble) for one in found] == [("ada", ""), ("bob", "")]
    (tmp_path / "ada.zip").write_bytes(zip_of({"ada/tiny.ipynb": b"{}"}))
    assert [one.student for one in find_submissions(tmp_path / "ada.zip", "tiny")] == ["ada"]


@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("lovelaceada_12345_67890_handin.zip", "lovelaceada 12345"),
        ("Ada Lovelace_815_assignsubmission_file_/handin.zip", "Ada Lovelace 815"),
        ("ada.zip", "ada"),
        ("ada/handin.zip", "ada"),
        ("ada/tiny/handin.zip", "ada"),
    ],
)
def test_a_student_s_zip_is_read_in_a_folder_and_in_a_zip(name, student, tmp_path):
    handed_in = zip_of({"homework/tiny.ipynb": b"{}", "homework/design.safetensors": b"d"})
    folder = tmp_path / "folder"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_bytes(handed_in)
    (tmp_path / "all.zip").write_bytes(zip_of({name: handed_in}))
    for place in (folder, tmp_path / "all.zip"):
        assert find_submissions(place, "tiny") == [Submission(student, b"{}", b"d")]


def damaged_zips() -> dict[str, bytes]:
    """Zips of one notebook, each damaged in its own way."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tïny.ipynb", b"{}" * 100)  # a name that is flagged as UTF-8
    whole = made.getvalue()
    name = "tïny.ipynb".encode()
    start = 30 + len(name)  # of the packed bytes, behind the local header
    directory = whole.index(b"PK\x01\x02")
    lzma_entry = bytearray(whole)
    lzma_entry[8] = lzma_entry[directory + 10] = zipfile.ZIP_LZMA

    def with_bytes(at: int, *values: int) -> bytes:
        return whole[:at] + bytes(values) + whole[at + len(values) :]

    return {
        "a damaged deflate stream": with_bytes(start, 0xFF, 0xFF, 0xFF),
        "a name that is no UTF-8": whole.replace(name, name.replace("ï".encode(), b"\xff\xff")),
        "a version that does not exist": with_bytes(directory + 6, 99),
        "an unknown kind of packing": with_bytes(directory + 10, 77),
        "deflated bytes that are called LZMA": bytes(lzma_entry),
        "an entry that is encrypted": with_bytes(directory + 8, whole[directory + 8] | 1),
        "a header that lies elsewhere": with_bytes(directory + 42, 0xF0, 0xFF, 0xFF, 0x7F),
        "the first half": whole[: len(whole) // 2],
    }


@pytest.mark.parametrize("damage", damaged_zips())
def test_a_damaged_zip_costs_nobody_else_anything(damage, tmp_path):
    files = {"ada.zip": damaged_zips()[damage], "bob.ipynb": b"{}"}
    (tmp_path / "folder").mkdir()
    for name, content in files.items():
        (tmp_path / "folder" / name).write_bytes(content)
    (tmp_path / "all.zip").write_bytes(zip_of(files))
    for place in (tmp_path / "folder", tmp_path / "all.zip"):
        ada, bob = find_submissions(place, "tiny")
        assert "damaged" in ada.trouble
        assert bob == Submission("bob", b"{}")


def test_an_entry_without_a_name_does_not_hide_the_notebook(tmp_path):
    nameless = zip_of({"nameless": b"", "tiny.ipynb": b"{}"}).replace(b"nameless", b"\0ameless")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "ada.zip").write_bytes(nameless)
    (tmp_path / "all.zip").write_bytes(zip_of({"ada.zip": nameless}))
    for place in (tmp_path / "folder", tmp_path / "all.zip"):
        assert find_submissions(place, "tiny") == [Submission("ada", b"{}")]


@pytest.mark.parametrize("damage", damaged_zips())
def test_a_damaged_zip_of_a_class_is_refused_in_one_sentence(damage, tmp_path):
    (tmp_path / "ada.zip").write_bytes(damaged_zips()[damage])
    try:
        (said,) = [one.trouble for one in find_submissions(tmp_path / "ada.zip", "tiny")]
    except NoSubmissions as why:
        said = str(why)
    assert "damaged" in said


def test_a_file_name_in_latin_1_is_read(tmp_path):
    """Each of these names ends in ü, as older systems wrote it."""
    folder = os.fsencode(tmp_path)
    os.mkdir(folder + b"/Hand\xfc")
    files = {
        b"Ad\xfc.ipynb": b"{}",
        b"Hand\xfc/tiny.ipynb": b"{}",
        b"Zip\xfc.zip": zip_of({"tiny.ipynb": b"{}"}),
        b"Zut\xfc.zip": b"no zip",
        b"note\xfc.txt": b"is not handed in",
    }
    for name, content in files.items():
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(content)
    Path(os.fsdecode(folder + b"/Link\xfc.ipynb")).symlink_to("/etc/passwd")
    found = find_submissions(tmp_path, "tiny")
    assert {one.student: one.trouble for one in found} == {
        "Adü": "",
        "Handü": "",
        "Linkü": "Linkü.ipynb is not a regular file, so it was not read.",
        "Zipü": "",
        "Zutü": "Zutü.zip is damaged.",
    }
    jobs_for(TINY, found, SECRET, Store(tmp_path / "out"))


def test_several_zips_in_one_folder_are_of_several_students(tmp_path):
    handed_in = {
        f"class/{student}.zip": zip_of({"tiny.ipynb": b"{}"}) for student in ("ada", "bob")
    }
    for name, content in handed_in.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
    (tmp_path / "all.zip").write_bytes(zip_of(handed_in))
    for place in (tmp_path / "folder", tmp_path / "all.zip"):
        assert [one.student for one in find_submissions(place, "tiny")] == ["ada", "bob"]


def test_a_course_of_nbgrader_holds_other_assignments_too(tmp_path):
    """Their folders are no students: who handed in nothing but these has not handed in this one."""
    files = {
        "ada/tiny/tiny.ipynb": b"{}",
        "ada/other/other.ipynb": b'{"cells": []}',
        "bob/other/other.ipynb": b"{}",
        "late.ipynb": b"{}",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    found = find_submissions(tmp_path, "tiny")
    assert found == [Submission("ada", b"{}"), Submission("late", b"{}")]
    others, _ = without_notebook(tmp_path, "tiny", found)
    assert [(one.student, one.trouble) for one in others] == [
        ("bob", "No notebook was handed in, only other.ipynb.")
    ]


@pytest.mark.parametrize(
    ("names", "students"),
    [
        (("ada/hw1/tiny.ipynb", "bob/hw1/tiny.ipynb"), ["ada", "bob"]),
        (("ada/mine/tiny.ipynb", "bob/tiny.ipynb"), ["ada", "bob"]),
        (("class/ada/hw1/tiny.ipynb", "class/bob/hw1/tiny.ipynb"), ["ada", "bob"]),
        (("morning/ada/tiny.ipynb", "evening/bob/tiny.ipynb"), ["ada", "bob"]),
        (("ada/hw1/tiny.ipynb", "bob/hw1/tiny.ipynb", "eve.ipynb"), ["ada", "bob", "eve"]),
        (("ada/tiny/a.ipynb", "bob/hw1/a.ipynb"), ["ada", "bob"]),
    ],
)
def test_notebooks_in_deeper_folders_find_their_students(names, students, tmp_path):
    for number, name in enumerate(names):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"[%d]" % number)
    found = find_submissions(tmp_path, "tiny")
    assert [(one.student, one.trouble) for one in found] == [(student, "") for student in students]
    assert without_notebook(tmp_path, "tiny", found) == ([], [])


def test_a_design_that_lies_beside_the_only_notebook_belongs_to_it(tmp_path):
    (tmp_path / "tiny.ipynb").write_bytes(b"{}")
    (tmp_path / "design.safetensors").write_bytes(b"d")
    assert find_submissions(tmp_path, "tiny") == [Submission("tiny", b"{}", b"d")]
    (tmp_path / "another.ipynb").write_bytes(b"{}")
    with pytest.raises(NoSubmissions, match=r"and several notebooks\. Rename design\.safetensors"):
        find_submissions(tmp_path, "tiny")


@needs_wall
def test_one_of_a_student_s_several_notebooks_may_belong_to_the_assignment(tmp_path, capsys):
    folder, out = tmp_path / "submitted", with_secret(tmp_path / "out")
    (folder / "cyd").mkdir(parents=True)
    (folder / "ada.ipynb").write_bytes(notebook(SETUP, "def e_step(x):\n    return x"))
    for name in ("first", "second"):
        content = notebook(SETUP, HONEST, f"# the {name}")
        (folder / "cyd" / f"{name}.ipynb").write_bytes(content)
    assert main(list(map(str, grade_words(folder, out, "--workers", 0)))) == 0
    said = capsys.readouterr().out
    assert "More than one notebook or design was handed in" in said
    assert "may belong to another assignment: ada." in said


@needs_wall
def test_notebooks_of_another_assignment_are_not_graded(tmp_path, capsys):
    folder, out = tmp_path / "submitted", with_secret(tmp_path / "out")
    folder.mkdir()
    (folder / "ada.ipynb").write_bytes(notebook(SETUP, "def e_step(x):\n    return x"))
    (folder / "bob.ipynb").write_bytes(b"no notebook")
    words = list(map(str, grade_words(folder, out, "--workers", 0)))
    assert main(words) == 2
    assert "Is tiny the right assignment?" in capsys.readouterr().err
    assert texts(out) == {}

    (folder / "cyd.ipynb").write_bytes(ANSWERS["ada"][1])
    assert main(words) == 0
    notes = {result.student: result.notes for result in Store(out / "tiny").all()}
    assert notes["ada"] == [
        "The notebook contains fewer than half of the questions in tiny. Is it the right file?"
    ]
    assert notes["cyd"] == []


@pytest.mark.parametrize("metadata", [None, [], {"nbgrader": 7}, {"nbgrader": {"grade_id": []}}])
def test_odd_metadata_of_a_cell_harms_nobody(metadata):
    cells = [{"cell_type": "markdown", "metadata": metadata, "source": 7}]
    content = json.dumps({"cells": cells}).encode()
    assert read_cells(content).notes == []
    assert words_of(content, "explain") == ""
    assert not holds_half(content, {"explain": ""})


def test_an_answer_with_half_a_character_can_be_stored():
    assert words_of(answered_in_words("\ud800 Because."), "explain") == "? Because."


def test_a_copy_as_it_was_given_out_is_one_of_the_assignment():
    import nbformat

    from course_lib.grading.release import student_notebook

    content = nbformat.writes(student_notebook(TINY)).encode()
    assert holds_half(content, TINY.functions)
    assert holds_half(content, {"sgd_step": "", "e_step": "e_step"})
    assert holds_half(content, {"another": "log_mean_exp", "e_step": "e_step"})
    assert not holds_half(content, {"e_step": "e_step", "explain": "", "sgd_step": ""})


def test_no_assignment_of_the_course_is_taken_for_another():
    import nbformat

    from course_lib.grading.release import instructor_notebook

    names = ("mixtures", "vae", "conditional_vae", "gan")
    assignments = {name: Assignment.read(name) for name in names}
    for name, assignment in assignments.items():
        content = nbformat.writes(instructor_notebook(assignment)).encode()
        fits = [other for other in names if holds_half(content, assignments[other].functions)]
        assert fits == [name]


OTHER_FILES = {
    # what was handed in, to the student without a notebook and what is said of it
    "Kim/": ("Kim", "No notebook was handed in."),
    "Max/tiny.pdf": ("Max", "No notebook was handed in, only tiny.pdf."),
    "Nia Xu_7_assignsubmission_onlinetext_/onlinetext.html": (
        "Nia Xu 7",
        "No notebook was handed in, only onlinetext.html.",
    ),
    "Oda_8_assignsubmission_file_/": ("Oda 8", "No notebook was handed in."),
    "popepat_9_10_tiny.pdf": ("popepat 9", "No notebook was handed in, only tiny.pdf."),
    "rea.zip": ("rea", "No notebook was handed in, only rea.zip."),
    "quy/tiny/timestamp.txt": ("quy", "No notebook was handed in, only timestamp.txt."),
}
HANDED_IN = {
    "ada/any.ipynb": b"{}",
    "ada/pictures/one.png": b"",
    "bob/tiny/tiny.ipynb": b"{}",
    "bob/tiny/pictures/one.png": b"",
    "bob/feedback/page.html": b"",
    "bob/data_2024_10_x.csv": b"",  # which looks like a file of Canvas
    "cyd.ipynb": b"{}",
    "dan.zip": zip_of({"any.ipynb": b"{}"}),
    "names.txt": b"",
    "__MACOSX/ada/._any.ipynb": b"",
    ".DS_Store": b"",
}


@pytest.mark.parametrize("wrapped", ["", "wrapped/"])
def test_students_without_a_notebook_are_named(wrapped, tmp_path):
    folder, archive = tmp_path / "folder", tmp_path / "all.zip"
    files = HANDED_IN | dict.fromkeys(OTHER_FILES, b"") | {"rea.zip": zip_of({"a.pdf": b""})}
    if wrapped:
        del files["cyd.ipynb"], files["names.txt"]
    for name, content in files.items():
        path = folder / wrapped / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(content)
    archive.write_bytes(zip_of({wrapped + name: content for name, content in files.items()}))
    for place in (folder, archive):
        found = find_submissions(place, "tiny")
        empty_handed, loose = without_notebook(place, "tiny", found)
        said = {one.student: one.trouble for one in empty_handed}
        for name, (student, trouble) in OTHER_FILES.items():
            shown = trouble if "popepat" not in name else trouble.replace("tiny.pdf", name)
            assert said.pop(student) == shown
        assert said == {}
        assert loose == ([] if wrapped else ["names.txt"])


@pytest.mark.parametrize(
    "names",
    [
        ("Ada_12_assignsubmission_file_/hw.zip",),
        ("class/ada/hw.zip", "class/bob/hw.zip"),
        ("ada/hw.zip", "bob/tiny.zip", "eve.zip"),
    ],
)
def test_a_zip_with_a_notebook_makes_no_second_student(names, tmp_path):
    handed_in = {name: zip_of({"any.ipynb": b"{}"}) for name in names}
    for name, content in handed_in.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
    (tmp_path / "all.zip").write_bytes(zip_of(handed_in))
    for place in (tmp_path / "folder", tmp_path / "all.zip"):
        found = find_submissions(place, "tiny")
        assert len(found) == len(names)
        assert without_notebook(place, "tiny", found) == ([], [])


@needs_wall
def test_a_folder_without_any_notebook_is_graded_too(tmp_path, capsys):
    (tmp_path / "late" / "max").mkdir(parents=True)
    (tmp_path / "late" / "max" / "tiny.pdf").write_bytes(b"")
    words = grade_words(tmp_path / "late", with_secret(tmp_path / "out"), "--workers", 0)
    assert main([*map(str, words), "--only", "max"]) == 0
    (result,) = Store(tmp_path / "out" / "tiny").all()
    assert result.student == "max"
    assert result.points == 0


def test_what_a_person_adds_to_the_table_of_marks_stays_there(to_mark):
    path = to_mark.out / "marks.csv"
    path.write_text(
        "student,question,points,comment,marked by\nada,explain,4,-1 for the sign,Grace\n",
        encoding="utf-8",
    )
    assert to_mark("report") == 0
    assert to_mark("report") == 0
    rows = {row["student"]: row for row in rows_of(path.read_text(encoding="utf-8"))}
    assert rows["ada"]["marked by"] == "Grace"
    assert to_mark("feedback") == 0
    page = next((to_mark.out / "feedback").glob("ada*.html")).read_text(encoding="utf-8")
    assert "<p>-1 for the sign</p>" in page


def test_an_answer_cannot_break_the_table_of_marks():
    cell = {
        "cell_type": "markdown",
        "metadata": {"nbgrader": {"grade_id": "explain"}},
        "source": "one\rtwo\r\nthree",
    }
    assert words_of(json.dumps({"cells": [cell]}).encode(), "explain") == "one\ntwo\nthree"


@needs_wall
def test_two_notebooks_and_a_folder_of_one_student_are_named_at_once(
    class_folder, tmp_path, capsys
):
    (class_folder / "kim").mkdir()
    for name, student in {"kim/one": "ada", "kim/two": "bob", "tiny": "ada"}.items():
        (class_folder / f"{name}.ipynb").write_bytes(ANSWERS[student][1])
    out = with_secret(tmp_path / "out")
    words = list(map(str, grade_words(class_folder, out, "--workers", 0)))
    assert main(words) == 2
    assert "would have the same name as the assignment, tiny." in capsys.readouterr().err
    assert texts(out) == {}  # nobody of that name gets into the results
    (class_folder / "tiny.ipynb").unlink()
    assert main(words) == 0
    said = capsys.readouterr().out
    assert (
        "More than one notebook or design was handed in, so these students get 0 points: kim."
        in said
    )
    assert f"delete the file with this name from {out / 'tiny' / 'results'}." in said


@needs_wall
@pytest.mark.parametrize("only", [[], ["--only", "dan", "eve"]])
def test_grade_and_report_name_whoever_handed_in_the_wrong_file(
    only, class_folder, tmp_path, capsys
):
    other = notebook(SETUP, "def e_step(x):\n    return x")
    (class_folder / "eve.ipynb").write_bytes(other)
    (class_folder / "fay.ipynb").write_bytes(ANSWERS["ada"][1][:-9])  # it was cut off
    out = with_secret(tmp_path / "out")
    assert main(list(map(str, grade_words(class_folder, out, "--workers", 0, *only)))) == 0
    said = capsys.readouterr().out
    unreadable = "dan" if only else "dan, fay"
    assert (
        f"The file cannot be read as a notebook. These students get 0 points: {unreadable}." in said
    )
    assert (
        "These notebooks contain fewer than half of the questions in tiny and may belong to "
        "another assignment: eve." in said
    )
    assert main(["report", "tiny", "--homework", str(HOMEWORK), "--out", str(out)]) == 0
    count = "2 submissions need a look: dan, eve." if only else "3 submissions need a look: dan"
    assert count in capsys.readouterr().out


@pytest.mark.parametrize(
    ("files", "place", "says"),
    [
        (
            {"Ada_815_assignsubmission_file_/tiny.ipynb": b"{}"},
            "Ada_815_assignsubmission_file_",
            "is the folder of one student. Pass the folder that contains it",
        ),
        ({"tiny.ipynb": b"{}"}, "tiny.ipynb", "tiny.ipynb is only one notebook"),
        (
            {"all.zip": zip_of({"Ada_815_assignsubmission_file_/tiny.ipynb": b"{}"})},
            "",
            "all.zip appears to be the zip file with all submissions from Moodle",
        ),
        (
            {"all.zip": zip_of({f"{name}_5_tiny.ipynb": b"{}" for name in ("ada_1", "bob_2")})},
            "",
            "all.zip appears to be the zip file with all submissions from Canvas",
        ),
        (
            {"a.zip": zip_of({"b.zip": zip_of({"Bob_7_assignsubmission_file_/x.ipynb": b"{}"})})},
            "a.zip",
            "b.zip appears to be the zip file with all submissions from Moodle",
        ),
    ],
)
def test_a_place_that_is_not_the_class_s_is_refused_before_anything_is_graded(
    files, place, says, tmp_path, capsys
):
    folder, out = tmp_path / "late", with_secret(tmp_path / "out")
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    words = grade_words(folder / place, out, "--workers", 0, "--unsafe")
    assert main(list(map(str, words))) == 2
    assert says in capsys.readouterr().err
    assert texts(out) == {}


@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("Eve_6_assignsubmission_file_/all.zip", "Eve 6"),
        ("eve_6_7_all.zip", "eve 6"),
    ],
)
def test_a_student_s_own_zip_stops_nobody_whatever_its_files_are_called(name, student, tmp_path):
    files = {"Ada_815_assignsubmission_file_/tiny.ipynb": b"{}"}
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(zip_of(files))
    assert find_submissions(tmp_path, "tiny") == [Submission(student, b"{}")]


def test_a_name_without_quotes_is_recognized(tmp_path, capsys):
    (tmp_path / "late").mkdir()
    for name in ("Ada Lovelace_815", "Bob_7"):
        folder = tmp_path / "late" / f"{name}_assignsubmission_file_"
        folder.mkdir()
        (folder / "x.ipynb").write_bytes(b"{}")
    words = grade_words(tmp_path / "late", with_secret(tmp_path / "out"), "--unsafe")
    assert main([*map(str, words), "--only", "Ada", "Lovelace", "815"]) == 2
    assert capsys.readouterr().err.endswith(
        'Put a name with spaces in quotes: --only "Ada Lovelace 815"\n'
    )


def test_a_second_release_says_that_it_keeps_the_secret_and_what_it_replaces(
    with_words, tmp_path, capsys
):
    out = tmp_path / "out"
    words = ["release", "tiny", "--homework", str(with_words), "--out", str(out)]
    assert main(words) == 0
    assert "existing secret" not in capsys.readouterr().out
    before = (out / "secret").read_bytes()
    assert main(words) == 0
    said = capsys.readouterr().out
    assert f"The copies are made with the existing secret in {out / 'secret'}." in said
    assert f"The copies in {out / 'release'} are replaced by equal ones." in said
    key = with_words / "tiny" / "keys" / "explain.py"
    key.write_text(key.read_text().replace("10,", "20,"))
    assert main(words) == 0
    changed = "students/tiny/tiny.ipynb, instructor/tiny/tiny.ipynb, keys/tiny/explain.py"
    assert f"have changed and are replaced: {changed}." in capsys.readouterr().out
    assert (out / "secret").read_bytes() == before


def test_a_second_release_names_the_copies_that_are_new(tmp_path, capsys):
    names, out = tmp_path / "names.txt", tmp_path / "out"
    words = ["release", "tiny", "--homework", str(HOMEWORK), "--out", str(out)]
    words += ["--per-student", "--students", str(names)]
    names.write_text("ada\n")
    assert main(words) == 0
    assert "New in" not in capsys.readouterr().out
    names.write_text("ada\nbob\n")
    assert main(words) == 0
    said = capsys.readouterr().out
    assert f"The other copies in {out / 'release'} are replaced by equal ones." in said
    assert f"New in {out / 'release'}: instructor/bob, students/bob." in said


def test_a_missing_secret_is_the_only_thing_said(class_folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(list(map(str, grade_words(class_folder, out, "--unsafe")))) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "there is no secret at" in said.err


@needs_wall
def test_who_handed_in_something_else_needs_a_look(class_folder, tmp_path, capsys):
    (class_folder / "kim").mkdir()
    (class_folder / "max").mkdir()
    (class_folder / "max" / "tiny.pdf").write_bytes(b"")
    out = with_secret(tmp_path / "out")
    assert main(list(map(str, grade_words(class_folder, out, "--workers", 0)))) == 0
    said = capsys.readouterr().out
    assert "No notebook was handed in, so these students get 0 points: kim, max." in said
    assert "6 submissions" in said
    assert main(["report", "tiny", "--homework", str(HOMEWORK), "--out", str(out)]) == 0
    page = (out / "tiny" / "class.html").read_text(encoding="utf-8")
    assert "<strong>max</strong>: No notebook was handed in, only tiny.pdf." in page


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["grade", "nope", "--submissions", "."],
            f"There is no assignment 'nope' in {HOMEWORK}; the available assignments are: tiny",
        ),
        (["grade", "tiny", "--submissions", "/nowhere"], "does not exist"),
        (["grade", "tiny", "--submissions", "EMPTY"], "contains no notebook"),
        (
            ["grade", "tiny", "--submissions", "FULL", "--only", "zed"],
            "no submission from zed, only from ada, bob, cyd, dan.\n",
        ),
        (
            ["grade", "tiny", "--submissions", "FULL", "--scheduler", "tcp://127.0.0.1:9"],
            "no scheduler is responding",
        ),
        (["report", "tiny"], "nothing has been graded in"),
        (["feedback", "tiny"], "nothing has been graded in"),
        (["release", "tiny", "--per-student"], "--per-student requires --students"),
        (
            ["release", "tiny", "--students", "names.txt"],
            "--students works only with --per-student. Use both options or neither.",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(
    words, says, class_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(commands, "SCHEDULER_SECONDS", 0.5)
    empty = tmp_path / "empty"
    empty.mkdir()
    places = {"EMPTY": str(empty), "FULL": str(class_folder)}
    words = [places.get(word, word) for word in words]
    out = with_secret(tmp_path / "out")
    assert main([*words, "--homework", str(HOMEWORK), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said
    assert not (out / "tiny" / "class.html").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("Ada\nBob\nCara\nBob\n", "must be unique, but these are repeated: Bob"),
        ("Ada\nB/b\n", "contains an invalid name: B/b."),
        ("\n", "is empty"),
    ],
)
def test_the_name_that_cannot_be_meant_is_pointed_at(content, says, tmp_path, capsys):
    names = tmp_path / "names.txt"
    names.write_text(content)
    words = ["release", "tiny", "--homework", str(HOMEWORK), "--out", str(tmp_path / "out")]
    assert main([*words, "--per-student", "--students", str(names)]) == 2
    assert says in capsys.readouterr().err


def test_a_name_may_have_an_apostrophe(tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("Ada Lovelace 815\nSinéad O'Connor 77\n", encoding="utf-8")
    words = ["release", "tiny", "--homework", str(HOMEWORK), "--out", str(tmp_path / "out")]
    assert main([*words, "--per-student", "--students", str(names)]) == 0
    copies = tmp_path / "out" / "release" / "students"
    assert (copies / "Sinéad O'Connor 77" / "tiny" / "tiny.ipynb").exists()


def test_a_negative_tolerance_is_named(tmp_path):
    shutil.copytree(HOMEWORK, tmp_path / "homework")
    key = tmp_path / "homework" / "tiny" / "keys" / "log_mean_exp.py"
    key.write_text(key.read_text().replace("Tolerance(1e-4, 1e-5", "Tolerance(-1e-4, 1e-5"))
    with pytest.raises(AssignmentError, match="a tolerance cannot be negative"):
        _ = Assignment.read("tiny", tmp_path / "homework").questions


def test_one_question_is_listed_as_one(tmp_path, capsys):
    shutil.copytree(HOMEWORK, tmp_path / "homework")
    starter = tmp_path / "homework" / "tiny" / "tiny.py"
    starter.write_text(starter.read_text().replace("# question: sgd_step", ""))
    assert main(["list", "--homework", str(tmp_path / "homework")]) == 0
    assert "1 question, 60 points" in capsys.readouterr().out


def test_a_damaged_secret_is_refused(tmp_path):
    (tmp_path / "secret").write_text("not hexadecimal")
    with pytest.raises(Exception, match="does not contain a valid secret"):
        read_secret(Namespace(out=tmp_path, secret=None, per_student=False))


@pytest.mark.parametrize("made", ["release", "results"])
def test_a_lost_secret_is_not_replaced(made, tmp_path, capsys):
    """Students hold copies that were made with it, and would be graded on other variants."""
    out = tmp_path / "out"
    words = ["release", "tiny", "--homework", str(HOMEWORK), "--out", str(out)]
    assert main(words) == 0
    if made == "results":
        Store(out / "tiny").put(evil_result())
        shutil.rmtree(out / "release")
    (out / "secret").rename(tmp_path / "elsewhere")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(words) == 2
    what = {"release": f"copies in {out / 'release'}", "results": f"results in {out}"}[made]
    assert capsys.readouterr().err == (
        f"release: the secret that was used to create the {what} is missing. "
        f"Restore it to {out / 'secret'}, or release to a new folder.\n"
    )
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert main([*words, "--secret", str(tmp_path / "elsewhere")]) == 0


def test_a_release_that_fails_leaves_nothing_behind(with_words, tmp_path, capsys):
    (with_words / "tiny" / "keys" / "explain.py").write_text("import nowhere\n")
    out = tmp_path / "out"
    assert main(["release", "tiny", "--homework", str(with_words), "--out", str(out)]) == 2
    assert "keys/explain.py fails with ModuleNotFoundError" in capsys.readouterr().err
    assert not out.exists()


@needs_wall
def test_grading_never_draws_a_secret_because_students_have_another_one_s_variants(
    class_folder, tmp_path, capsys
):
    out = tmp_path / "another folder"
    assert main(list(map(str, grade_words(class_folder, out, "--workers", 0)))) == 2
    assert "there is no secret at" in capsys.readouterr().err
    assert not out.exists()


@needs_wall
def test_a_class_is_not_graded_with_another_secret_by_mistake(class_folder, tmp_path, capsys):
    out = with_secret(tmp_path / "out")
    other = tmp_path / "other"
    other.write_text("cd" * 32)
    words = grade_words(class_folder, out, "--workers", 0, "--secret")
    assert main([*map(str, words), str(other)]) == 2
    assert f"{out} contains a different secret from {other}." in capsys.readouterr().err
    assert not (out / "tiny").exists()
    assert main([*map(str, words), str(out / "secret")]) == 0


@needs_wall
def test_what_was_released_to_each_student_is_not_graded_as_the_class_s(
    class_folder, tmp_path, capsys
):
    names = tmp_path / "names.txt"
    names.write_text("ada\nbob\ncyd\n")
    release = ["release", "tiny", "--homework", str(HOMEWORK)]
    out, other = tmp_path / "out", tmp_path / "other"
    assert main([*release, "--out", str(out), "--per-student", "--students", str(names)]) == 0
    assert "--per-student" in capsys.readouterr().out
    words = list(map(str, grade_words(class_folder, out, "--workers", 0)))
    assert main(words) == 2
    assert "tiny was released with --per-student" in capsys.readouterr().err
    assert main([*words, "--per-student", "--only", "dan"]) == 2  # a name that is in no list
    assert "no copy was released for dan" in capsys.readouterr().err
    assert main([*release, "--out", str(out)]) == 2
    assert "tiny has already been released with --per-student in" in capsys.readouterr().err
    copy = out / "release" / "students" / "tiny" / "tiny.ipynb"
    copy.parent.mkdir()
    copy.write_text("{}")
    for more in ([], ["--per-student"]):
        assert main([*words, *more]) == 2
        assert "tiny was released both with and without --per-student" in capsys.readouterr().err
    assert main([*release, "--out", str(other)]) == 0
    each = ["--per-student", "--students", str(names)]
    assert main([*release, "--out", str(other), *each]) == 2
    assert "tiny has already been released without --per-student in" in capsys.readouterr().err
    words = list(map(str, grade_words(class_folder, other, "--workers", 0)))
    assert main([*words, "--per-student"]) == 2
    assert "tiny was released without --per-student" in capsys.readouterr().err


@needs_wall
def test_a_student_without_a_copy_does_not_hold_up_the_others(class_folder, tmp_path, capsys):
    names, out = tmp_path / "names.txt", tmp_path / "out"
    each = ["--per-student"]
    release = [
        "release",
        "tiny",
        "--homework",
        str(HOMEWORK),
        "--out",
        str(out),
        "--students",
        str(names),
    ]
    words = [*map(str, grade_words(class_folder, out, "--workers", 0)), *each]
    names.write_text("ada\ncyd\ndan\n")
    assert main([*release, *each]) == 0
    assert main(words) == 0
    assert (
        "No copy was released for these students, so they get 0 points: bob. "
        "Add every missing name" in capsys.readouterr().out
    )
    results = {result.student: result for result in Store(out / "tiny").all()}
    assert (results["ada"].points, results["bob"].points) == (100, 0)
    assert results["bob"].notes == ["No copy was released under this name."]

    names.write_text("ada\nbob\ncyd\ndan\n")
    assert main([*release, *each]) == 0
    assert main(words) == 0
    assert "bob: 0 → 40" in capsys.readouterr().out


@needs_wall
def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_is_graded(
    class_folder, tmp_path, capsys, monkeypatch
):
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path.parent))

    monkeypatch.setattr(commands, "check_writable", refuse)  # root may write everywhere
    monkeypatch.setattr(
        commands, "grade_all", lambda *words, **options: pytest.fail("it was graded")
    )
    out = with_secret(tmp_path / "out")
    assert main(list(map(str, grade_words(class_folder, out, "--workers", 0)))) == 2
    assert "Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"a": 3, "b": 2}, {"a": 5, "b": 2}, "5 → 7"),
        ({"a": 3, "b": 2}, {"a": 2, "b": 3}, "a 3 → 2, b 2 → 3; the total is still 5"),
        ({"a": 3, "b": 2}, {"a": 3, "b": 2}, ""),
        ({"a": 3, "gone": 2}, {"a": 3, "new": 2}, ""),
        ({"a": 3, "words": None}, {"a": 3, "words": None}, ""),
    ],
)
def test_points_that_move_between_questions_are_told(before, now, said):
    old, new = (
        Result("ada", "hash", {name: {"points": points} for name, points in verdicts.items()})
        for verdicts in (before, now)
    )
    assert progress.change_of_points(old, new) == said


def test_the_time_left_is_told_only_while_it_can_be_known(monkeypatch, capsys):
    monkeypatch.setattr(progress.time, "monotonic", lambda: 0.0)
    shown = progress.Progress(TINY, 6, {})
    shown.workers = 2
    monkeypatch.setattr(progress.time, "monotonic", lambda: 10.0)
    for _ in range(6):
        shown.done(None, Result("ada", "sha"))
    assert capsys.readouterr().out.splitlines() == [
        "1 of 6 graded, about 50 s left",
        "2 of 6 graded, about 20 s left",
        "3 of 6 graded, about 10 s left",
        "4 of 6 graded, the last 2 still running",
        "5 of 6 graded, the last one still running",
        "6 of 6 graded",
    ]


def test_dask_is_silent_about_workers_that_leave_slowly(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(commands, "SCHEDULER_SECONDS", 0.5)
    with pytest.raises(commands.Refused, match="no scheduler is responding"):
        commands.cluster(Namespace(scheduler="tcp://127.0.0.1:9", workers=None)).__enter__()
    assert not logging.getLogger("distributed.nanny").isEnabledFor(logging.WARNING)


def test_a_worker_that_does_not_leave_in_time_is_no_failure():
    closed = []

    class Busy:
        def close(self) -> None:
            closed.append(self)
            raise TimeoutError

    commands.close(Busy(), Busy())
    assert len(closed) == 2


def test_an_error_without_words_is_called_by_its_type(monkeypatch, capsys):
    monkeypatch.setattr(
        commands.Assignment, "read", lambda *words: (_ for _ in ()).throw(TimeoutError())
    )
    assert main(["report", "tiny", "--out", "results"]) == 2
    assert capsys.readouterr().err == "report: TimeoutError: results\n"


def test_a_command_does_not_load_what_it_does_not_use():
    """jupytext alone takes ten times as long as all that `report` needs."""
    code = (
        "import sys, course_lib.grading.__main__; print({'jupytext', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


# Another test's cluster may have the port, and any other port does as well.
@pytest.mark.filterwarnings("ignore:Port .* is already in use")
def test_a_scheduler_without_workers_is_said_to_keep_one_waiting(capsys):
    distributed = pytest.importorskip("distributed")
    in_this_process = functools.partial(distributed.LocalCluster, processes=False)
    with commands.start_local(in_this_process, 0) as local:
        asked = Namespace(scheduler=local.scheduler_address, workers=None)
        entered = commands.cluster(asked)
        entered.__enter__()
        assert "has no workers yet. Grading starts" in capsys.readouterr().out
        entered.__exit__(None, None, None)


# ---------------------------------------------------------------- marks of a person


@pytest.fixture
def to_mark(with_words, tmp_path):
    """A graded class of three, and a function that runs a command on it."""
    out = tmp_path / "out"
    store = Store(out / "tiny")
    for student, answer in {"ada": "Because.", "=bob": "=1+1", "cyd": "*Your answer.*"}.items():
        verdicts = {"log_mean_exp": verdict(60, "Correct."), "sgd_step": verdict(0, "Not started.")}
        verdicts["explain"] = verdict(0, "A person marks this answer.") | {"answer": answer}
        store.put(Result(student, "sha", verdicts))

    def run(name: str, *more: object) -> int:
        return main(
            [name, "tiny", "--homework", str(with_words), "--out", str(out), *map(str, more)]
        )

    run.out = out / "tiny"
    return run


@pytest.mark.parametrize("text", ["", "ab" * 15, "no secret", "ab" * 15 + "a"])
def test_a_file_without_a_whole_secret_is_not_taken_for_one(text):
    with pytest.raises(ValueError):
        key_in(text)
    assert key_in("ab" * 16 + "\n") == b"\xab" * 16


def test_feedback_says_if_marks_are_missing_or_newer_than_the_tables(to_mark, capsys):
    assert to_mark("report") == 0
    assert to_mark("feedback") == 0
    assert "Some answers on them must still be marked or checked." in capsys.readouterr().out

    path = to_mark.out / "marks.csv"
    text = path.read_text(encoding="utf-8-sig")
    path.write_text(text.replace("explain,,", "explain,5,"), encoding="utf-8-sig")
    assert to_mark("feedback") == 0
    said = capsys.readouterr().out
    assert "The tables of the last `report` do not agree with these pages" in said

    assert to_mark("report") == 0
    assert to_mark("feedback") == 0
    said = capsys.readouterr().out
    assert "Give each student their own page." in said
    assert "do not agree with these pages" not in said


def test_marks_are_written_into_the_file_that_report_makes(to_mark, capsys):
    assert to_mark("report") == 0
    said = capsys.readouterr().out
    assert "1 of 3 written answers is missing and counts as 0 points." in said
    assert "2 written answers have no points yet (=bob, ada)" in said
    assert "Next, when you have marked the answers: " in said
    assert "course_lib.grading report tiny" in said
    assert "not marked yet" in (to_mark.out / "class.html").read_text(encoding="utf-8")
    path = to_mark.out / "marks.csv"
    for table in (path, to_mark.out / "points.csv"):
        # else Excel takes it for another encoding
        assert table.read_bytes().startswith(codecs.BOM_UTF8)
    rows = rows_of(path.read_text(encoding="utf-8"))
    assert [row["answer"] for row in rows] == ["'=1+1", "Because.", "(not answered)"]
    assert {row["points"] for row in rows} == {""}
    assert {row["maximum"] for row in rows} == {"10"}

    for row, points in zip(rows, ["4", "10", ""], strict=True):
        row["points"] = points
    rows[0]["comment"] = "Not quite."
    with path.open("w", encoding="utf-8-sig", newline="") as file:  # as a spreadsheet does
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert to_mark("report") == 0
    assert "no points yet" not in capsys.readouterr().out
    totals = {
        row["student"]: row["total"] for row in rows_of((to_mark.out / "points.csv").read_text())
    }
    assert totals == {"ada": "70", safe("=bob"): "64", "cyd": "60"}
    kept = rows_of(path.read_text(encoding="utf-8"))
    assert [(row["points"], row["comment"]) for row in kept] == [
        ("4", "Not quite."),
        ("10", ""),
        ("", ""),
    ]
    assert to_mark("feedback") == 0
    pages = [
        page.read_text(encoding="utf-8") for page in (to_mark.out / "feedback").glob("*bob*.html")
    ]
    assert "Not quite." in pages[0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"student,question,points\nzed,explain,1\n", "FILE: there is no result for 'zed'"),
        (b"student,question,points\nada,explain,11\n", "must be from 0 to 10, not '11'"),
        (b"student,question,points\nada,explain,ten\n", "must be from 0 to 10, not 'ten'"),
        (
            b"student,question,points\nada,sgd_step,1\n",
            "ada's answer to sgd_step: this question is graded automatically",
        ),
        (b"student points\nada 1\n", "it lacks points, question, student"),
        (
            b"student,question,points\nada,explain,5\nada,explain,3\n",
            "ada's answer to explain: the table has two rows for this answer; keep only one",
        ),
        (b"student,question,points,comment\nada,explain,1,gro\xdf\n", "Save the file as UTF-8"),
    ],
)
def test_marks_that_cannot_be_meant_are_refused(content, says, to_mark, tmp_path, capsys):
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    assert to_mark("feedback", "--marks", path) == 2
    assert says.replace("FILE", str(path)) in capsys.readouterr().err


COMMON = "student,question,points,maximum,comment,look again,answer"
TWO_ROWS = f"{COMMON}\n=bob,explain,3,10,,,'=1+1\nada,explain,"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            f"{COMMON}\nada,explain,2,10,No, that is wrong,,Because.\n",
            "the row that begins with ada,explain: this row has 8 cells, but the table has only 7 "
            "columns. Put a comment that contains a comma in quotes",
        ),
        (
            f"{COMMON}\nada,explain,2,5,10,,,Because.\n",
            "use a decimal point in points such as 2.5.",
        ),
        (
            f"{COMMON}\nada,explain,2,5,10,,Because.\n".replace(",", ";").replace(
                "2;5", "2,5;10;a"
            ),
            "Put a comment that contains a semicolon in quotes.",
        ),
        ("student,question,points,comment\nada,explain,2,5,\n", "this row has 5 cells"),
        (
            "student,question,points,comment\nada,explain,2,5\n",
            "the comment must be text, but got only the number 5.",
        ),
        (
            f"{TWO_ROWS}2,5,Good.,,Because.\n",
            "ada's answer to explain: the maximum must be 10, but got '5'. Check that each cell",
        ),
        (f"{TWO_ROWS}2,Good.,,,Because.\n", "the maximum must be 10, but got 'Good.'."),
        (
            f'{COMMON}\n=bob,explain,3,10,Yes.,,\nada,explain,2,10,"He says "no", twice",,B.\n',
            "the quotation marks after the row of =bob do not match.",
        ),
        (
            f'{COMMON}\nada,explain,2,10,"No,,Because.\n=bob,explain,3,10,,,B.\n',
            "the quotation marks in the first row do not match.",
        ),
        (
            "student,question,points\nada,explian,7\n",
            "ada: there is no question 'explian'; the written question is explain. "
            "Correct the name, or delete the row.",
        ),
    ],
)
def test_a_table_of_marks_that_would_be_misread_is_left_alone(content, says, to_mark, capsys):
    """Everything behind a comma that was meant as text would be lost with the next report."""
    assert to_mark("report") == 0
    path = to_mark.out / "marks.csv"
    path.write_text(content, encoding="utf-8")
    before = {file: file.read_bytes() for file in to_mark.out.rglob("*") if file.is_file()}
    for name in ("report", "feedback"):
        assert to_mark(name) == 2
        assert says in capsys.readouterr().err
    assert {file: file.read_bytes() for file in before} == before


def test_marks_are_read_after_a_question_s_points_have_changed(to_mark, with_words):
    assert to_mark("report") == 0
    key = with_words / "tiny" / "keys" / "explain.py"
    key.write_text(key.read_text().replace("10,", "20,"))
    assert to_mark("report") == 0
    rows = rows_of((to_mark.out / "marks.csv").read_text(encoding="utf-8"))
    assert {row["maximum"] for row in rows} == {"20"}


def test_feedback_before_the_first_report_says_what_writes_the_table(to_mark, capsys):
    assert to_mark("feedback") == 0
    says = f"Run `report` first, which writes {to_mark.out / 'marks.csv'}"
    assert says in capsys.readouterr().out
    assert to_mark("report") == 0
    assert "Run `report` first" not in capsys.readouterr().out


def test_the_pages_have_the_marks_of_the_tables(to_mark, tmp_path, capsys):
    """Or else `feedback` writes nothing, and says how the two can agree."""
    mine = tmp_path / "my marks.csv"
    mine.write_text("student,question,points\nada,explain,7\n")
    assert to_mark("report", "--marks", mine) == 0
    assert to_mark("feedback") == 2
    assert f"Pass --marks '{mine}' to this command as well" in capsys.readouterr().err
    assert not (to_mark.out / "feedback").exists()
    assert to_mark("feedback", "--marks", mine) == 0

    assert to_mark("report") == 0
    said = capsys.readouterr().out
    assert f"The previous tables used the marks in {mine}, but these tables do not." in said
    assert to_mark("feedback", "--marks", mine) == 2
    assert f"Run `report` with --marks '{mine}' first." in capsys.readouterr().err
    assert to_mark("feedback", "--marks", to_mark.out / "marks.csv") == 0


def test_whoever_answered_nothing_gets_0_points_and_is_told_so(to_mark):
    (to_mark.out / "results").mkdir(exist_ok=True)
    refused = verdict(0, "Not graded: The file cannot be read as a notebook.")
    names = ("log_mean_exp", "sgd_step", "explain")
    Store(to_mark.out).put(Result("dan", "sha", dict.fromkeys(names, refused)))
    assert to_mark("report") == 0
    totals = {
        row["student"]: row["explain"] for row in rows_of((to_mark.out / "points.csv").read_text())
    }
    assert totals == {"'=bob": "", "ada": "", "cyd": "0", "dan": "0"}
    assert "You have marked 0 of 2 answers." in (to_mark.out / "class.html").read_text()
    assert to_mark("feedback") == 0
    pages = {page.name[:3]: page.read_text() for page in (to_mark.out / "feedback").glob("*.html")}
    assert "This question was not answered." in pages["cyd"]
    assert "This question was not answered." not in pages["dan"]


def test_a_mark_for_an_older_answer_is_named_until_a_person_has_looked(to_mark, capsys):
    assert to_mark("report") == 0
    path = to_mark.out / "marks.csv"

    def change(**cells: str) -> None:
        rows = rows_of(path.read_text(encoding="utf-8"))
        rows[1] |= cells
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[1]))
            writer.writeheader()
            writer.writerows(rows)

    def said() -> str:
        capsys.readouterr()
        assert to_mark("report") == 0
        return capsys.readouterr().out

    change(points="7")
    assert "since you marked the old one" not in said()
    store = Store(to_mark.out)
    result = store.get("ada")
    result.verdicts["explain"]["answer"] = "Because of underflow."
    store.put(result)
    for _ in "12":  # the first report writes the new answer into the table
        assert (
            "A new answer has been handed in since you marked the old one: ada (explain)." in said()
        )
    change(**{"look again": ""})
    assert "since you marked the old one" not in said()
    assert rows_of(path.read_text(encoding="utf-8"))[1]["points"] == "7"


def test_marks_for_a_question_that_is_asked_no_more_stay_in_the_file(to_mark, with_words, capsys):
    assert to_mark("report") == 0
    path = to_mark.out / "marks.csv"
    text = path.read_text(encoding="utf-8").replace("ada,explain,,10,", "ada,explain,7,10,Good.")
    assert "ada,explain,7" in text
    path.write_text(text, encoding="utf-8")
    starter = with_words / "tiny" / "tiny.py"
    asks = starter.read_text()
    starter.write_text(asks.replace("# question: explain", ""))
    for name in ("report", "feedback", "report"):
        assert to_mark(name) == 0
        said = (
            f"The marks for explain in {path} do not count, because this question is no longer "
            "part of tiny."
        )
        assert said in capsys.readouterr().out
    starter.write_text(asks)
    assert to_mark("report") == 0
    assert path.read_text(encoding="utf-8") == text


def test_a_german_spreadsheet_s_marks_are_read_and_kept_in_its_manner(to_mark):
    path = to_mark.out / "marks.csv"
    path.write_text("student;question;points;comment\nada;explain;4,5;Good, but short\n;;;\n")
    assert to_mark("report") == 0
    totals = {
        row["student"]: row["explain"] for row in rows_of((to_mark.out / "points.csv").read_text())
    }
    assert totals["ada"] == "4.5"
    assert "ada;explain;4,5;10;Good, but short;;Because." in path.read_text(encoding="utf-8")


def test_a_file_of_marks_of_one_s_own_is_left_alone(to_mark, tmp_path, capsys):
    path = tmp_path / "mine.csv"
    path.write_text("student,question,points\nada,explain,7\n")
    assert to_mark("report", "--marks", path) == 0
    assert f"--marks {path}" in capsys.readouterr().out  # the next command needs it as well
    assert path.read_text() == "student,question,points\nada,explain,7\n"
    assert not (to_mark.out / "marks.csv").exists()


@pytest.mark.parametrize("source", ["x = 1", "QUESTION = 7"])
def test_a_key_without_a_question_is_named(source, tmp_path):
    folder = tmp_path / "mine"
    (folder / "keys").mkdir(parents=True)
    (folder / "mine.py").write_text("# %% [markdown]\n# question: one\n")
    (folder / "keys" / "one.py").write_text(source)
    with pytest.raises(AssignmentError, match=r"keys/one\.py must define QUESTION"):
        _ = Assignment.read("mine", tmp_path).questions


def test_two_notebooks_of_one_student_are_set_aside(tmp_path):
    (tmp_path / "ada").mkdir()
    for name in ("ada", "bob"):
        (tmp_path / "ada" / f"{name}.ipynb").write_bytes(ANSWERS[name][1])
    (found,) = find_submissions(tmp_path, "tiny")
    assert "Several notebooks" in found.trouble
    (tmp_path / "ada" / "bob.ipynb").write_bytes(
        ANSWERS["ada"][1]
    )  # a copy: which one is meant does not matter
    assert find_submissions(tmp_path, "tiny") == [Submission("ada", ANSWERS["ada"][1])]


def test_nothing_to_grade_is_said(tmp_path):
    with pytest.raises(NoSubmissions, match="contains no notebook"):
        find_submissions(tmp_path, "tiny")


# ---------------------------------------------------------------- what goes out


def verdict(points: float, sentence: str) -> dict:
    return {
        "points": points,
        "most": 60,
        "sentence": sentence,
        "mistake": None,
        "variant": "",
        "score": None,
        "details": {},
    }


EVIL = '<script>alert("1")</script>'


def evil_result() -> Result:
    verdicts = {"log_mean_exp": verdict(30, EVIL), "sgd_step": verdict(0, "=1+1")}
    return Result(EVIL, "sha", verdicts, {}, [EVIL])


def test_what_a_submission_may_have_written_is_escaped_on_every_page():
    for page in (feedback_page(TINY, evil_result()), class_page(TINY, [evil_result()])):
        assert "<script" not in page
        assert "&lt;script" in page
        assert "://" not in page  # nothing is fetched from anywhere


def test_pages_show_code_as_code_and_nothing_else_as_html():
    shown = verdict(0, "`return <b>` was reached, but `a\nb` and <i> were not.")
    result = Result("ada", "sha", dict.fromkeys(("log_mean_exp", "sgd_step"), shown))
    for page in (feedback_page(TINY, result), class_page(TINY, [result])):
        assert "<code>return &lt;b&gt;</code> was reached" in page
        assert "`a\nb` and &lt;i&gt; were not." in page


def test_a_damaged_design_needs_a_look():
    damaged = verdict(0, "design.safetensors is damaged: write the file with `hand_in`.")
    result = Result("ada", "sha", {"log_mean_exp": verdict(60, "Correct."), "design": damaged})
    assert to_look_at(result) == [damaged["sentence"]]


def test_the_class_page_says_what_is_open_and_who_was_stopped():
    stopped = Result(
        "ada", "sha", {"log_mean_exp": verdict(30, "Half.")}, {}, [ENDINGS["out of time"]]
    )
    cell = Result("bob", "sha", {"log_mean_exp": verdict(10, "A bit.")}, {}, ["Code cell 1 stops."])
    page = class_page(TINY, [stopped, cell])
    assert "<strong>ada</strong>: The notebook ran out of time" in page
    # whoever has points needs no look for an error in a cell
    assert "<strong>bob</strong>" not in page
    assert "10 to below 20" in page
    assert "90 to 100" in page
    assert page.count('class="bar"') == 2  # none where there is nobody


def test_the_class_page_names_students_whom_a_failing_key_cost_points():
    verdicts = {"log_mean_exp": verdict(60, "Correct."), "sgd_step": verdict(0, "Later.")}
    failed = Result(
        "ada", "sha", verdicts, faults={"sgd_step": "NameError in line 3 of keys/sgd_step.py"}
    )
    page = class_page(TINY, [marked(TINY, failed, {})])
    assert "<strong>ada</strong>: The key of sgd_step failed with NameError in line 3" in page


def test_answers_stand_in_the_order_of_the_questions():
    names = list(TINY.questions)
    backwards = Result("ada", "sha", {name: verdict(1, "Said.") for name in reversed(names)})
    result = marked(TINY, backwards, {})
    assert list(result.verdicts) == names
    page = feedback_page(TINY, result)
    assert page.index(names[0]) < page.index(names[1])


def test_feedback_has_the_headings_that_the_student_read():
    """Each variant has a heading of its own; where it is unknown, only a common one is shown."""
    assignment = Assignment.read("gan")
    question = assignment.questions["distance"]
    headings = {variant.text.split("\n")[0].removeprefix("## ") for variant in question.variants}
    assert len(headings) == len(question.variants)
    for variant in question.variants:
        heading = variant.text.split("\n")[0].removeprefix("## ")
        given = verdict(5, "Half.") | {"variant": variant.name}
        page = feedback_page(assignment, Result("ada", "sha", {"distance": given}))
        assert f"<h2>{heading}: 5 of " in page
    unknown = Result(
        "ada", "sha", {name: verdict(0, "Not graded.") for name in assignment.questions}
    )
    page = feedback_page(assignment, unknown)
    place = list(assignment.questions).index("distance") + 1
    assert f"<h2>Question {place}: 0 of " in page
    assert "<h2>distance" not in page
    assert "<h2>7. In words: 0 of " in page


def test_whoever_could_not_be_graded_is_told_why_once():
    """On the page, in Moodle and on Gradescope; a mark that a person gave is shown as well."""
    assignment = Assignment.read("mixtures")
    why = "Not graded: No notebook was handed in, only essay.pdf."
    verdicts = {name: verdict(0, why) for name in assignment.questions}
    result = Result("Ada 815", "sha", verdicts, notes=[why.removeprefix("Not graded: ")])
    marks = {("Ada 815", "explain"): (7.0, "The essay is good.")}
    marked_result = marked(assignment, result, marks)
    page = feedback_page(assignment, marked_result)
    (row,) = rows_of(moodle_csv(assignment, [marked_result]))
    on_gradescope = gradescope(assignment, marked(assignment, result, {}))
    for text in (page, row["Feedback comments"], on_gradescope):
        assert text.count("only essay.pdf") == 1
        assert "m_step" not in text
    assert page.index("only essay.pdf") < page.index("<h2>")
    assert "<h2>2. An M-step with a prior: 0 of " in page
    assert "<h2>6. In words: 7 of 60 points</h2>\n<p>The essay is good.</p>" in page
    assert row["Feedback comments"] == f"{why}\n6. In words: The essay is good."


def test_comments_and_tests_elsewhere_have_the_headings_that_the_student_read():
    assignment = Assignment.read("mixtures")
    pixels = assignment.questions["missing"].variants[1]
    given = {
        "missing": verdict(20, "Correct.") | {"variant": pixels.name},
        "digits_mixture": verdict(0, "Correct.") | {"score": -18.3},
    }
    result = Result("Ada 815", "sha", given)
    (row,) = rows_of(moodle_csv(assignment, [result]))
    assert row["Feedback comments"] == (
        "3. Missing pixels: Correct.\n5. Design a mixture: Correct."
    )
    found = json.loads(gradescope(assignment, result))
    assert [one["name"] for one in found["tests"]] == ["3. Missing pixels", "5. Design a mixture"]
    assert [one["name"] for one in found["leaderboard"]] == ["5. Design a mixture"]


def test_a_page_with_an_open_mark_says_that_the_total_is_provisional():
    result = Result("ada", "sha", {"log_mean_exp": verdict(30, "Half.")})
    assert "provisional" not in feedback_page(TINY, result)
    result.verdicts["sgd_step"] = verdict(0, "Open.") | {"points": None}
    page = feedback_page(TINY, result)
    assert "30 of 100 points so far</p>" in page
    assert "The total is provisional" in page


@pytest.mark.parametrize(
    ("score", "points", "says"),
    [
        (2, 10, "Correct. Your score is 2.000 points; a score of 1 or better earns all points."),
        (0.5, 5, "Your score is 0.500 points; a score of 1 or better earns all points."),
        (
            -1,
            0,
            "Not yet: your score is -1.000 points. Only a score better than 0 earns points, and a "
            "score of 1 or better earns all points.",
        ),
    ],
)
def test_the_sentence_about_a_design_says_where_its_points_begin_and_end(score, points, says):
    found = judge_design(replace(design_of(), measure=lambda arrays: score), {}, "")
    assert (found.points, found.sentence) == (points, says)


def test_a_design_that_is_missing_the_second_time_is_named_as_the_cause(capsys):
    scored = verdict(15, "Your score is 1.") | {"score": 1.0}
    refused = verdict(0, "Not graded: No notebook was handed in.")
    old = {
        "ada": Result("ada", "one", {"design": scored, "other": verdict(75, "Correct.")}),
        "bob": Result("bob", "one", {"design": refused, "other": refused}),
    }
    shown = progress.Progress(TINY, 2, old)
    for name in old:
        without = {"design": verdict(0, engine.NO_DESIGN), "other": verdict(75, "Correct.")}
        shown.done(None, Result(name, "two", without))
    shown.end()
    said = capsys.readouterr().out.splitlines()
    assert "  ada: 90 → 75; the new submission lacks design.safetensors" in said
    assert "  bob: 0 → 75" in said


def test_names_with_odd_characters_get_files_of_their_own(tmp_path):
    store = Store(tmp_path)
    names = ["../up", "a/b", "a_b", "Ä b", "x" * 300, "."]
    paths = {store.path(name) for name in names}
    assert len(paths) == len(names)
    assert {path.parent for path in paths} == {tmp_path / "results"}
    pages = {page_name(name) for name in names}
    assert len(pages) == len(names)
    assert all("/" not in page and not page.startswith(".") for page in pages)
    longest = page_name("\U00020000" * 300)  # a letter of four bytes
    assert len(longest.encode()) <= 255


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def test_tables_for_other_houses_have_their_columns():
    result = replace(evil_result(), student="Ada Lovelace 815")
    plain, canvas, moodle = (make(TINY, [result]) for make in (plain_csv, canvas_csv, moodle_csv))
    assert rows_of(plain)[0]["total"] == "30"
    assert list(rows_of(canvas)[0]) == ["Student", "ID", "Section", "tiny"]
    assert rows_of(canvas)[0]["Student"].strip() == "Points Possible"
    assert rows_of(canvas)[1] == {
        "Student": "Ada Lovelace",
        "ID": "815",
        "Section": "",
        "tiny": "30",
    }
    assert rows_of(moodle)[0]["Identifier"] == "Participant 815"
    assert rows_of(moodle)[0]["Maximum Grade"] == "100"
    # without each of these Moodle refuses the whole file
    # (mod/assign/feedback/offline/importgradeslib.php)
    assert {"Identifier", "Grade", "Last modified (grade)"} <= set(rows_of(moodle)[0])


def moodle_reads(path: str) -> tuple[str, str] | None:
    """Whose file Moodle takes this for, and its name there, by the rule of importziplib.php."""
    parts = path.split("/")
    if parts[-1].startswith((".", "~")):
        return None
    while parts:
        about = parts.pop(0).split("_", 4)
        if len(about) >= 4 and about[1].isdecimal() and about[2:4] == ["assignsubmission", "file"]:
            rest = [*about[4:], *parts]
            return about[1], "/".join(part for part in rest if part)
    return None


def test_pages_are_returned_through_moodle(tmp_path, capsys):
    """The student's folder in the zip is named by Moodle, and its number is the student's."""
    out = with_secret(tmp_path / "out")
    store = Store(out / "tiny")
    names = ["Élodie and_friends 77", "Ada Lovelace 815", "../../up 5", "bob"]
    for name in names:
        store.put(replace(evil_result(), student=name))
    assert main(["feedback", "tiny", "--homework", str(HOMEWORK), "--out", str(out)]) == 0
    path = out / "tiny" / "moodle_feedback.zip"
    assert f"If the submissions came from Moodle, upload {path} there." in capsys.readouterr().out
    with zipfile.ZipFile(path) as archive:
        found = {moodle_reads(entry): archive.read(entry) for entry in archive.namelist()}
        assert "Ada Lovelace_815_assignsubmission_file_/tiny_feedback.html" in archive.namelist()
    assert sorted(found) == [(number, "tiny_feedback.html") for number in ("5", "77", "815")]
    page = next((out / "tiny" / "feedback").glob("Élodie_and_friends_77-*.html"))
    assert page.read_bytes() == found["77", "tiny_feedback.html"]


def test_without_a_student_of_moodle_there_is_no_zip_for_it(tmp_path):
    out = with_secret(tmp_path / "out")
    Store(out / "tiny").put(replace(evil_result(), student="bob"))
    assert main(["feedback", "tiny", "--homework", str(HOMEWORK), "--out", str(out)]) == 0
    assert not (out / "tiny" / "moodle_feedback.zip").exists()


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@sum(1)"])
def test_no_name_becomes_a_formula_of_a_spreadsheet(name):
    result = replace(evil_result(), student=name)
    for make in (plain_csv, canvas_csv, moodle_csv):
        for row in csv.reader(io.StringIO(make(TINY, [result]))):
            assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)


def test_gradescope_gets_its_documented_fields():
    found = json.loads(gradescope(TINY, evil_result()))
    assert {"tests", "output", "visibility", "leaderboard"} <= set(found)
    for test in found["tests"]:
        assert {"name", "score", "max_score", "status", "output", "output_format"} <= set(test)
        assert 0 <= test["score"] <= test["max_score"]
        assert test["status"] in ("passed", "failed")


@needs_wall
@pytest.mark.parametrize(
    ("files", "says", "points"),
    [
        ([], "No notebook was handed in.", 0),
        (["report.pdf"], "No notebook was handed in.", 0),
        (
            ["one.ipynb", "two.ipynb"],
            "Several notebooks were handed in, but only one is allowed.",
            0,
        ),
        (["one.ipynb", "two.ipynb", "design.safetensors"], "Several notebooks were handed in", 0),
        (["one.ipynb", "pictures/one.png"], "The notebook ran to the end.", 100),
    ],
)
def test_gradescope_gets_results_whatever_was_handed_in(files, says, points, tmp_path):
    folder, out = tmp_path / "submission", with_secret(tmp_path / "out")
    (folder / "pictures").mkdir(parents=True)
    for name in files:
        (folder / name).write_bytes(ANSWERS["ada"][1] + (b" " if name == "two.ipynb" else b""))
    (out / "results.json").write_text("of an earlier submission")
    words = ["gradescope", "tiny", "--homework", HOMEWORK, "--submissions", folder, "--out", out]
    assert main(list(map(str, words))) == 0
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert found["output"].startswith(says)
    assert sum(test["score"] for test in found["tests"]) == points


# ---------------------------------------------------------------- a busy machine


@pytest.fixture
def alarms():
    """The runner's alarms in this process; how things were comes back afterwards."""
    before = [
        (which, signal.signal(which, runner.alarm)) for which in (signal.SIGALRM, signal.SIGPROF)
    ]
    yield
    runner.set_alarm(0)
    for which, handler in before:
        signal.signal(which, handler)


def test_sleeping_uses_an_answer_s_time_up(alarms):
    runner.set_alarm(0.05)  # 0.3 seconds by the clock
    with pytest.raises(runner.OutOfTime):
        time.sleep(5)


def test_waiting_for_a_processor_does_not(alarms, monkeypatch):
    begin = time.monotonic()
    # all of it is waiting
    monkeypatch.setattr(runner, "waiting_time", lambda: time.monotonic() - begin)
    runner.set_alarm(0.05)
    time.sleep(1)
    assert runner.Clock.left() == pytest.approx(0.3, abs=0.05)  # all of it is left


def test_the_system_counts_the_waiting():
    """On Linux: two processes at once on one processor wait for each other."""
    if not Path("/proc/self/schedstat").exists():
        pytest.skip("this system does not count how long a process waits for a processor")
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("processes cannot be held on one processor here")
    code = (
        "import os, sys, time; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "end = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass\n"
        "sys.path.insert(0, sys.argv[1]); import runner; print(runner.waiting_time())"
    )
    command = [sys.executable, "-c", code, str(Path(runner.__file__).parent)]
    two = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sum(float(one.communicate()[0]) for one in two) > 0.5
