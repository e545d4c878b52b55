"""Grading many: resumable, idempotent, equal to an undisturbed serial run, and readable for other houses."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from test_grading_attacks import HONEST, SETUP, notebook

from course_lib.grading.__main__ import main, read_secret
from course_lib.grading.assignment import Assignment, AssignmentError, Secret
from course_lib.grading.engine import Result, Store, grade_all, jobs_for, merged, set_aside
from course_lib.grading.exports import canvas_csv, gradescope, moodle_csv, plain_csv
from course_lib.grading.pages import class_page, feedback_page
from course_lib.grading.submissions import NoSubmissions, Submission, find_submissions, whose

HOMEWORK = Path(__file__).parent / "homework_example"
TINY = Assignment.read("tiny", HOMEWORK)
SECRET = Secret(b"a secret that the tests may know")
ROOT = Path(__file__).parent.parent

LOGSUMEXP = "def log_mean_exp(x):\n    return torch.logsumexp(x, 1) - torch.tensor(float(x.shape[1])).log()\n"
ANSWERS = {
    "ada": (100, notebook(SETUP, LOGSUMEXP, HONEST)),
    "bob": (40, notebook(SETUP, HONEST)),
    "cyd": (70, notebook(SETUP, "def log_mean_exp(x):\n    return x.logsumexp(1)\n", HONEST)),
    "dan": (0, b"no notebook"),
}

needs_wall = pytest.mark.skipif(not os.path.exists("/usr/bin/bwrap"), reason="bubblewrap is not installed")


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


def texts(out: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in (out / "tiny" / "results").glob("*.json")}


# ---------------------------------------------------------------- one after the other


@needs_wall
def test_a_class_is_graded_reported_and_given_feedback(class_folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(list(map(str, grade_words(class_folder, out, "--workers", 0)))) == 0
    results = {result.student: result for result in Store(out / "tiny").all()}
    assert {student: result.points for student, result in results.items()} == {
        student: points for student, (points, _) in ANSWERS.items()
    }
    capsys.readouterr()

    # the same again: nothing is left to do, and nothing changes
    before = texts(out)
    assert main(list(map(str, grade_words(class_folder, out, "--workers", 0)))) == 0
    assert "4 graded already, 0 to do" in capsys.readouterr().out
    assert texts(out) == before

    # one student hands in again: she alone is graded, and the change is said
    (class_folder / "bob.ipynb").write_bytes(ANSWERS["ada"][1] + b"\n")
    assert main(list(map(str, grade_words(class_folder, out, "--workers", 0, "--only", "bob")))) == 0
    said = capsys.readouterr().out
    assert "1 to do" in said
    assert "bob: 40 → 100" in said

    more = ["tiny", "--homework", str(HOMEWORK), "--out", str(out)]
    assert main(["report", *more]) == 0
    assert main(["feedback", *more]) == 0
    assert len(list((out / "tiny" / "feedback").glob("*.html"))) == 4
    assert "exp overflows" not in (out / "tiny" / "class.html").read_text(encoding="utf-8")
    for private in ("secret", "tiny"):  # nobody else may read the secret, the results or the feedback
        assert (out / private).stat().st_mode & 0o077 == 0


@needs_wall
def test_a_changed_question_is_asked_again_and_no_other(tmp_path):
    store = Store(tmp_path)
    submissions = [Submission("ada", ANSWERS["ada"][1]), Submission("bob", ANSWERS["bob"][1])]
    grade_all(TINY, jobs_for(TINY, submissions, SECRET, store), SECRET, store, None)
    before = {result.student: result for result in store.all()}

    sources = [(name, text + "\n# a change\n" if name == "sgd_step" else text) for name, text in TINY.sources]
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


def test_a_submission_that_was_set_aside_is_tried_again(tmp_path):
    store = Store(tmp_path)
    (job,) = jobs_for(TINY, [Submission("eve", b"x")], SECRET, store)
    store.put(set_aside(job, TINY, SECRET, "It stopped its grader."))
    (again,) = jobs_for(TINY, [Submission("eve", b"x")], SECRET, store)
    assert again.questions == ["log_mean_exp", "sgd_step"]


def test_old_verdicts_do_not_outlive_the_submission_that_earned_them():
    old = Result("ada", "old sha", {"log_mean_exp": {"points": 60}}, {"log_mean_exp": "k"})
    submission = Submission("ada", b"new")
    new = Result("ada", submission.sha, {"sgd_step": {"points": 40}}, {"sgd_step": "k"})
    (job,) = jobs_for(TINY, [submission], SECRET, type("Nothing", (), {"get": lambda self, student: old})())
    assert list(merged(job, new, TINY).verdicts) == ["sgd_step"]


# ---------------------------------------------------------------- on a cluster, disturbed


@needs_wall
def test_killed_workers_and_a_killed_command_change_nothing(tmp_path):
    """Workers are killed in turn, the command itself once; the results equal an undisturbed serial run's."""
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
            if kill_after is not None and len(texts(disturbed) if disturbed.exists() else []) >= kill_after:
                tree = psutil.Process(process.pid).children(recursive=True)
                os.kill(process.pid, signal.SIGKILL)
                for child in tree:
                    if child.is_running():
                        child.kill()
                break
            workers = [
                child
                for child in psutil.Process(process.pid).children(recursive=True)
                if "spawn_main" in " ".join(child.cmdline())
            ]
            if workers and killed < 3:
                workers[killed % len(workers)].kill()
                killed += 1
        process.wait()

    run(kill_after=1)
    run(kill_after=None)
    assert texts(disturbed) == texts(serial)


# ---------------------------------------------------------------- what comes in


@pytest.mark.parametrize(
    ("path", "student", "kind"),
    [
        ("ada/tiny/tiny.ipynb", "ada", "notebook"),  # nbgrader
        ("submitted/ada/tiny/tiny.ipynb", "ada", "notebook"),
        ("lovelaceada_12345_67890_tiny.ipynb", "lovelaceada 12345", "notebook"),  # Canvas
        ("lovelaceada_LATE_12345_67890_tiny-1.ipynb", "lovelaceada 12345", "notebook"),
        ("Ada Lovelace_815_assignsubmission_file_/tiny.ipynb", "Ada Lovelace 815", "notebook"),  # Moodle
        ("ada/anything.ipynb", "ada", "notebook"),
        ("ada.ipynb", "ada", "notebook"),
        ("ada/design.safetensors", "ada", "design"),
        ("notes.txt", None, ""),
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


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["grade", "nope", "--submissions", "."], "There is no assignment 'nope'; there are: tiny"),
        (["grade", "tiny", "--submissions", "/nowhere"], "does not exist"),
        (["grade", "tiny", "--submissions", "EMPTY"], "holds no notebook"),
        (["grade", "tiny", "--submissions", "FULL", "--only", "zed"], "no submission of zed"),
        (
            ["grade", "tiny", "--submissions", "FULL", "--scheduler", "tcp://127.0.0.1:9"],
            "no scheduler answers",
        ),
        (["report", "tiny"], "nothing is graded yet"),
        (["feedback", "tiny"], "nothing is graded yet"),
        (["release", "tiny", "--per-student"], "--per-student needs --students"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(words, says, class_folder, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    places = {"EMPTY": str(empty), "FULL": str(class_folder)}
    words = [places.get(word, word) for word in words]
    out = tmp_path / "out"
    assert main([*words, "--homework", str(HOMEWORK), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said
    assert not (out / "tiny" / "class.html").exists()


def test_a_damaged_secret_is_refused(tmp_path):
    path = tmp_path / "secret"
    path.write_text("not hexadecimal")
    with pytest.raises(Exception, match="holds no secret"):
        read_secret(path, False)


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
    for name in ("a", "b"):
        (tmp_path / "ada" / f"{name}.ipynb").write_bytes(ANSWERS["ada"][1])
    (found,) = find_submissions(tmp_path, "tiny")
    assert "Two notebooks" in found.trouble


def test_nothing_to_grade_is_said(tmp_path):
    with pytest.raises(NoSubmissions, match="holds no notebook"):
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


def test_names_with_odd_characters_get_files_of_their_own(tmp_path):
    store = Store(tmp_path)
    names = ["../up", "a/b", "a_b", "Ä b", "x" * 300, "."]
    paths = {store.path(name) for name in names}
    assert len(paths) == len(names)
    assert {path.parent for path in paths} == {tmp_path / "results"}


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_tables_for_other_houses_have_their_columns():
    result = replace(evil_result(), student="Ada Lovelace 815")
    plain, canvas, moodle = (make(TINY, [result]) for make in (plain_csv, canvas_csv, moodle_csv))
    assert rows_of(plain)[0]["total"] == "30"
    assert list(rows_of(canvas)[0]) == ["Student", "ID", "Section", "tiny"]
    assert rows_of(canvas)[0]["Student"].strip() == "Points Possible"
    assert rows_of(canvas)[1] == {"Student": "Ada Lovelace", "ID": "815", "Section": "", "tiny": "30"}
    assert rows_of(moodle)[0]["Identifier"] == "Participant 815"
    assert rows_of(moodle)[0]["Maximum Grade"] == "100"


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
