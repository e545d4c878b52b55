"""`check` tries keys before students do, and the page tells authors how to write them."""

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

from course_lib.checks.practice import Practice
from course_lib.grading import assignment as assignment_module
from course_lib.grading import trial
from course_lib.grading.__main__ import main, this_python
from course_lib.grading.assignment import Assignment, AssignmentError
from course_lib.grading.engine import Store
from course_lib.grading.question import Design, Tolerance, close
from course_lib.grading.release import as_json, student_notebook, write_student_copy

EXAMPLE = Path(__file__).parent / "homework_example"
PAGE = (Path(__file__).parent.parent / "docs" / "homework.md").read_text(encoding="utf-8")
KEY = "log_mean_exp.py"

needs_wall = pytest.mark.skipif(
    not os.path.exists("/usr/bin/bwrap"), reason="bubblewrap is not installed"
)


@pytest.fixture
def homework(tmp_path) -> Path:
    """A folder with the example assignment, to be changed."""
    folder = tmp_path / "homework"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def change(homework: Path, old: str, new: str, file: str = f"keys/{KEY}") -> None:
    path = homework / "tiny" / file
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new), encoding="utf-8")


def check(homework: Path, *more: str) -> int:
    return main(["check", "tiny", "--homework", str(homework), *more])


def test_good_keys_get_a_line_for_each_variant_and_the_next_command(homework, capsys):
    assert check(homework) == 0
    assert capsys.readouterr().out.splitlines() == [
        "log_mean_exp, rows: 1 right answer and 5 mistakes were tried, and no problems were found",
        "sgd_step, plain: 1 right answer and 3 mistakes were tried, and no problems were found",
        (
            f"Next: {this_python()} -m course_lib.grading release tiny --homework {homework} "
            "--out grades"
        ),
    ]


def test_the_next_commands_can_be_pasted(homework, tmp_path, monkeypatch, capsys):
    """From the list of one's own assignments to the release."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(trial.__file__).parents[2]))
    assert main(["list", "--homework", str(homework)]) == 0
    said = capsys.readouterr().out
    for name in ("check", "release"):
        line = said.splitlines()[-1].removeprefix("Next: ").replace("NAME", "tiny")
        assert f"grading {name} tiny" in line
        said = subprocess.run(line, shell=True, check=True, capture_output=True, text=True).stdout
    assert (tmp_path / "grades" / "release" / "students" / "tiny" / "tiny.ipynb").exists()
    last = said.splitlines()[-1]
    assert last.startswith("Next, when the submissions are in: ")
    assert last.endswith(f" --submissions FOLDER_OR_ZIP --out grades --homework {homework}")


@pytest.mark.parametrize(
    ("running", "typed"),
    [
        ("here/.venv/bin/python", ".venv/bin/python"),
        ("here/my env/bin/python", "'my env/bin/python'"),
        ("elsewhere/bin/python", "python"),  # the first on the path
        ("another/bin/python", "TMP/another/bin/python"),
    ],
)
def test_the_interpreter_is_named_as_one_types_it(running, typed, tmp_path, monkeypatch):
    for folder in ("here", "elsewhere/bin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "elsewhere/bin/python").touch(mode=0o700)
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere/bin"))
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "executable", str(tmp_path / running))
    assert this_python() == typed.replace("TMP", str(tmp_path))


STYLE = 'styles=("def log_mean_exp(x):\\n    return {}",),\n            independent=independent'
BROKEN = {
    "a wrong reference": (
        "return logsumexp(x, axis=1) - np.log(x.shape[1])",
        "return logsumexp(x, axis=1) - np.log(len(x))",
        "the reference and `independent` do not agree to seven digits in the small case.",
    ),
    "a reference that stops": (
        "return logsumexp(x, axis=1) - np.log(x.shape[1])",
        "return logsumexp(x, axis=2)",
        "the reference stops with AxisError in line 16 (axis 2 is out of bounds",
    ),
    "a reference that is not finite": (
        "return logsumexp(x, axis=1) - np.log(x.shape[1])",
        "return np.log(np.mean(np.exp(x), axis=1))",
        "the reference is not finite in the extreme case.",
    ),
    "inputs that lack a case": (
        ', "extreme": (5, 6)',
        "",
        "`inputs` stops with KeyError in line 10 ('extreme').",
    ),
    "inputs that are drawn from another generator": (
        "rng.normal(size=(n, d))",
        "np.random.normal(size=(n, d))",
        (
            "`inputs` returns different values when it is called again: draw all random numbers "
            "from `rng`."
        ),
    ),
    "an argument that cannot be sent": (
        'return {"x": rng.normal(size=(n, d)) * scale}',
        'return {"x": {"rows": n}}',
        "`inputs` returns 'x' as a value of type dict, but an argument must be an array of "
        "numbers, a list of such arrays, a number, a string, True, False or None.",
    ),
    "a list of numbers": (
        'return {"x": rng.normal(size=(n, d)) * scale}',
        'return {"x": [1.0, 2.0]}',
        (
            "`inputs` returns 'x' as a list that contains something other than arrays, but an "
            "argument must be"
        ),
    ),
    "ordinary cases of one size": (
        '"large": (7, 11)',
        '"large": (3, 4)',
        "`inputs` returns arrays of the same shapes for the small and the large case, so a "
        "hard-coded size would go unnoticed.",
    ),
    "a wrong model answer": (
        "np.log(np.exp(x - top[:, None]).mean(1))",
        "np.log(np.exp(x - top[:, None]).sum(1))",
        (
            "the model answer gets 30 of 60 points, with the sentence “Not yet: this is the sum, "
            "not the mean"
        ),
    ),
    "a style that is wrong": (
        "independent=independent",
        STYLE.format("x.mean(1)"),
        "style 1 gets 0 of 60 points, with the sentence “Not yet: this is the mean of x",
    ),
    "a style that stops": (
        "independent=independent",
        STYLE.format("F.relu(x)"),
        "style 1 gets 0 of 60 points, with the sentence “Not yet: your function stops with "
        "NameError in line 2 of its code (name 'F'",
    ),
    "a style that is no Python": (
        "independent=independent",
        STYLE.format("("),
        "style 1 stops with SyntaxError in line 2 of its code ('(' was never closed).",
    ),
    "a style with a name of its own": (
        "independent=independent",
        STYLE.replace("log_mean_exp", "mine").format("1"),
        "style 1 stops with NameError (the code does not define a function named 'log_mean_exp').",
    ),
    "styles without a comma": (
        "independent=independent",
        STYLE.replace('",)', '")').format("x.mean(1)"),
        "`styles` must be a tuple: is a comma missing before the closing parenthesis?",
    ),
    "a mistake that is right": (
        "lambda x: -reference(x)",
        "lambda x: independent(x)",
        "mistake 5 (“the sign is turned.”) gives the right numbers, within the tolerance, in all "
        "cases, so it is not a mistake.",
    ),
    "two mistakes with the same numbers": (
        "lambda x: -reference(x)",
        "lambda x: x.sum(1) / x.shape[1]",
        "mistake 5 (“the sign is turned.”) gives the same numbers as mistake 3 (“this is the mean "
        "of x: Jensen's inequality stands between the two.”), so students would read that "
        "sentence instead.",
    ),
    "two mistakes with one sentence": (
        "the sign is turned.",
        "exp overflows: subtract each row's maximum first.",
        "2 mistakes have the same sentence, “exp overflows",
    ),
    "a mistake that is only seen in float32": (
        "lambda x: -reference(x)",
        "lambda x: reference(x) + (x.dtype == np.float32)",
        (
            "in float64, mistake 5 (“the sign is turned.”) gives the right numbers, within the "
            "tolerance, in all"
        ),
    ),
    "a mistake that stops": (
        "lambda x: -reference(x)",
        "lambda x: -reverence(x)",
        "mistake 5 (“the sign is turned.”) stops with NameError in line 58 (name 'reverence'",
    ),
    "a mistake that stops on every case": (
        "lambda x: -reference(x)",
        "lambda x: -reference(x.reshape(3))",
        (
            "mistake 5 (“the sign is turned.”) stops in every case with ValueError in line 58 "
            "(cannot reshape"
        ),
    ),
    "a mistake that earns all points": (
        "                    0.5,\n",
        "                    50,\n",
        "mistake 1 (“this is the sum, not the mean: subtract log d.”) must have a share of at "
        "least 0 and less than 1.",
    ),
    "a stub that does something": (
        "def log_mean_exp(x):\\n    raise NotImplementedError",
        "def log_mean_exp(x):\\n    return 0",
        "the stub must only raise NotImplementedError, but it gets 0 of 60 points, with the "
        "sentence “Not yet: ",
    ),
    "a stub that is right": (
        "def log_mean_exp(x):\\n    raise NotImplementedError",
        "def log_mean_exp(x):\\n    return np.log(np.mean(np.exp(x - x.max()), 1)) + x.max()",
        "the stub must only raise NotImplementedError, but it gets",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_with_a_key_is_said_with_its_file_and_its_variant(name, homework, capsys):
    old, new, says = BROKEN[name]
    change(homework, old, new)
    assert check(homework, "--seeds", "1") == 1
    said = capsys.readouterr()
    assert f"keys/{KEY}, rows: {says}" in said.out
    assert "log_mean_exp, rows:" not in said.out
    assert "sgd_step, plain: 1 right answer" in said.out  # the other keys are tried all the same
    assert said.out.endswith(" and run `check` again.\n")
    assert said.err == ""


def test_two_variants_need_two_names(homework, capsys):
    path = homework / "tiny" / "keys" / KEY
    path.write_text(
        path.read_text() + "\nfrom dataclasses import replace\n"
        "QUESTION = replace(QUESTION, variants=QUESTION.variants * 2)\n"
    )
    assert check(homework, "--seeds", "1") == 1
    assert (
        "keys/log_mean_exp.py: 2 variants are called 'rows'."
        in capsys.readouterr().out.splitlines()
    )


def test_two_questions_need_two_functions(homework, capsys):
    change(
        homework,
        '    "sgd_step",\n    "sgd_step"',
        '    "sgd_step",\n    "log_mean_exp"',
        "keys/sgd_step.py",
    )
    assert check(homework, "--seeds", "1") == 1
    assert (
        "the questions 'log_mean_exp' and 'sgd_step' ask for the same function, 'log_mean_exp', "
        "so a student's last definition of it would answer them all."
    ) in capsys.readouterr().out.splitlines()


def test_a_key_that_cannot_be_loaded_does_not_hide_the_other_assignments(homework, capsys):
    shutil.copytree(EXAMPLE / "tiny", homework / "other")
    (homework / "other" / "tiny.py").rename(homework / "other" / "other.py")
    (homework / "tiny" / "keys" / KEY).write_text("import nowhere\n")
    change(homework, LAST, "", "../other/other.py")
    assert main(["list", "--homework", str(homework)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"other +A tiny assignment, for the tests +1 question, 60 points", said[0])
    says = (
        r"tiny +cannot be read: keys/log_mean_exp\.py fails with "
        r"ModuleNotFoundError in line 1 \(.*\)\."
    )
    assert re.fullmatch(says, said[1])


def test_a_fault_that_not_every_draw_shows_is_counted(homework, capsys):
    change(homework, "scale = 2000.0 if", "scale = rng.choice([2.0, 2000.0]) if")
    assert check(homework, "--seeds", "5") == 1
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "exp overflows" in line]
    assert re.search(r", rows: in [1-4] of 5 draws, mistake 2 ", said)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            "def inputs(:\n",
            "keys/log_mean_exp.py fails with SyntaxError in line 1 (invalid syntax).",
        ),
        (
            "import nowhere\n",
            "keys/log_mean_exp.py fails with ModuleNotFoundError in line 1 (No module",
        ),
        ("x = 1\n", "keys/log_mean_exp.py must define QUESTION"),
    ],
)
def test_a_key_that_cannot_be_loaded_is_named_by_every_command(
    source, says, homework, tmp_path, capsys
):
    (homework / "tiny" / "keys" / KEY).write_text(source)
    assert check(homework, "--seeds", "1") == 1
    said = capsys.readouterr()
    assert said.out.startswith(says)
    assert "sgd_step, plain: 1 right answer" in said.out
    assert "1 fault was found" in said.out
    assert (
        main(["release", "tiny", "--homework", str(homework), "--out", str(tmp_path / "out")]) == 2
    )
    assert capsys.readouterr().err.startswith(f"release: {says}")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("    60,\n", '    "60",\n', ": `points` must be a number, not '60'."),
        ("    60,\n", '    float("nan"),\n', ": `points` must be a number, not nan."),
        ("    60,\n", "    -60,\n", ": `points` cannot be negative."),
        (
            '"log_mean_exp",\n    60',
            "len,\n    60",
            ": `function` must be a string, not <built-in function len>.",
        ),
        (
            "Tolerance(1e-4,",
            'Tolerance("1e-4",',
            " fails with ValueError in line 60 (in a tolerance, `relative` ",
        ),
        (
            'Tolerance(1e-4, 1e-5, "float32 sums of a dozen terms")',
            "1e-4",
            ", rows: `tolerance` must be a Tolerance(relative, absolute, reason).",
        ),
        ('"rows",', "7,", ", 7: `name` must be a string, not 7."),
        (
            " x: -reference(x)",
            ' x: -reference(x), "0.5"',
            ", rows: in a mistake, `share` must be a number, not",
        ),
        ("        Variant(\n", "        dict(\n", " fails with TypeError in line"),
        (
            "    (\n        Variant(",
            "    (7,) + (\n        Variant(",
            ": `variants` must contain only Variants.",
        ),
    ],
)
def test_a_field_of_another_type_is_named_in_one_sentence(old, new, says, homework, capsys):
    change(homework, old, new)
    assert check(homework, "--seeds", "1") == 1
    said = capsys.readouterr()
    assert said.out.startswith(f"keys/{KEY}{says}")
    assert said.err == ""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "            (\n                Mistake(",
            "            () and (\n                Mistake(",
            "`mistakes` is empty: list at least one known mistake with its sentence.",
        ),
        (
            "    (\n        Variant(",
            "    () and (\n        Variant(",
            "`variants` must be a tuple that contains at least one Variant",
        ),
    ],
)
def test_a_question_needs_a_variant_and_a_mistake(old, new, says, homework, capsys):
    change(homework, old, new)
    assert check(homework, "--seeds", "1") == 1
    assert says in capsys.readouterr().out


def test_what_is_no_fault_is_remarked(homework, capsys):
    """Points that do not sum to 100, a starter's cell that stops, questions without a function."""
    with (homework / "tiny" / "tiny.py").open("a") as text:
        text.write("\n# %%\n%matplotlib inline\nx = 1 / 0\n")
        text.write('\n# %% tags=["practice"]\nfrom course_lib.checks.practice import hand_in\n')
        text.write(
            "\n# %% [markdown]\n# question: explain\n\n# %% [markdown]\n# question: design\n"
        )
    keys = homework / "tiny" / "keys"
    (keys / "explain.py").write_text(
        "from course_lib.grading.question import Written\n"
        'QUESTION = Written("explain", 5, "Why?")\n'
    )
    (keys / "design.py").write_text(
        DESIGN.replace('"design", 0', '"design", 5').replace(
            "; q = None", "; q = None; raise SystemExit"
        )
    )
    assert check(homework, "--seeds", "1") == 0
    said = capsys.readouterr().out
    assert (
        "design: `guard` and `measure` were tried on random arrays, and no problems were found; "
        "the model answer was not run, because that may take minutes\n"
    ) in said
    assert "explain: this question is answered in words, so you mark it yourself\n" in said
    assert "Remark: the questions are worth 110 points in total, not 100.\n" in said
    assert (
        "Remark: the cell of tiny.py that begins with “%matplotlib inline” stops with "
        "ZeroDivisionError in line 2 of the cell (division by zero).\n"
    ) in said


CELL = 'from course_lib.checks.practice import Practice\n\npractice = Practice("tiny")\n'
DESIGN = """import numpy as np
from course_lib.grading.question import Design

def guard(arrays):
    return "" if len(arrays["p"]) == len(arrays["q"]) else "Two lengths."

def measure(arrays):
    return -np.abs(arrays["p"] - arrays["q"]).sum()

ARRAYS = {"p": ("float32", (-1,)), "q": ("float32", (-1,))}
QUESTION = Design("design", 0, "Draw.", ARRAYS, measure, guard, 0, 1, "nats", "p = None; q = None")
"""


def with_design(homework: Path, key: str) -> None:
    """Let the tiny assignment ask for a design as well."""
    (homework / "tiny" / "keys" / "design.py").write_text(key)
    with (homework / "tiny" / "tiny.py").open("a") as text:
        text.write('\n# %% tags=["practice"]\nfrom course_lib.checks.practice import hand_in\n')
        text.write("\n# %% [markdown]\n# question: design\n")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "-np.abs(",
            "-np.abbs(",
            "`measure` stops with AttributeError in line 8 (module 'numpy' has no attribute 'abbs'",
        ),
        (
            'return "" if len',
            "return TRU if len",
            "`guard` stops with NameError in line 5 (name 'TRU' is not defined) "
            "on random arrays (p (3,), q (3,)).",
        ),
        (
            'len(arrays["p"]) == len(arrays["q"])',
            "True",
            "`measure` stops with ValueError in line 8 (operands could not be broadcast together "
            "with shapes (3,) (4,)) on random arrays (p (3,), q (4,)), which `guard` accepts.",
        ),
        (
            "return -np.abs",
            "-np.abs",
            "`measure` must return a number, not NoneType.",
        ),
        (
            'else "Two lengths."',
            "else True",
            "`guard` must return a sentence, or an empty string if no rule is broken, not True.",
        ),
        (
            '"p": ("float32", (-1,))',
            '"p": ("float", (-1,))',
            (
                "'p' has the dtype 'float', which cannot be handed in: choose one of float16, "
                "float32, "
            ),
        ),
        (
            '"p": ("float32", (-1,))',
            '"p": ("float32", -1)',
            (
                "`arrays` must give 'p' a dtype and a shape, such as ('float32', (-1, 64)), not "
                "('float32', -1)."
            ),
        ),
        (
            "ARRAYS, ",
            "{}, ",
            "`arrays` must be a dict that maps the name of each array to its dtype and shape.",
        ),
        ("guard, 0, 1,", 'guard, "0", 1,', "`none_at` must be a number, not '0'."),
        ("guard, 0, 1,", "guard, 1, 1,", "`none_at` and `full_at` must differ."),
        (
            "; q = None",
            "; r = None",
            "the model answer never assigns 'q', which must be handed in.",
        ),
        (
            "; q = None",
            "; q = (",
            "the model answer stops with SyntaxError in line 1 of its code ('(' was",
        ),
    ],
)
def test_a_design_is_tried_on_random_arrays(old, new, says, homework, capsys):
    assert DESIGN.count(old) == 1
    with_design(homework, DESIGN.replace(old, new))
    assert check(homework, "--seeds", "1") == 1
    said = capsys.readouterr()
    (line,) = [line for line in said.out.splitlines() if line.startswith("keys/design.py: ")]
    assert line.startswith(f"keys/design.py: {says}")
    assert said.err == ""


def test_a_design_may_refuse_arrays_that_it_cannot_measure(homework):
    """Random arrays break most designs' rules, and then an error that they cause is no fault."""
    key = DESIGN.replace('return "" if', 'return "No." if').replace("-np.abs(", "-np.linalg.inv(")
    with_design(homework, key)
    assert check(homework, "--seeds", "1") == 0


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        (
            "",
            "tiny.py does not define `practice`, which students need: put "
            '`practice = Practice("tiny")` into a cell with the tag `practice`.',
        ),
        (
            CELL.replace('"tiny"', '"tinny"'),
            "the cell of tiny.py that begins with "
            "“from course_lib.checks.practice import Practice” stops with FileNotFoundError in "
            "line 3 of the cell (tinny.practice.json is missing. Put the file",
        ),
        (
            CELL,
            "tiny.py does not define `hand_in`, which students need: put "
            "`from course_lib.checks.practice import Practice, hand_in` into a cell with the tag",
        ),
        (CELL.replace("Practice\n", "Practice, hand_in\n", 1), ""),
    ],
)
def test_a_practice_cell_that_would_fail_a_student_is_a_fault(cell, says, homework, capsys):
    change(homework, CELL, cell, "tiny.py")
    with (homework / "tiny" / "tiny.py").open("a") as text:
        text.write("\n# %% [markdown]\n# question: design\n")
    (homework / "tiny" / "keys" / "design.py").write_text(DESIGN)
    assert check(homework, "--seeds", "1") == bool(says)
    said = capsys.readouterr().out
    assert ("\n" + says) in said if says else "fault" not in said


LAST = "# %% [markdown]\n# question: sgd_step\n"
TWO_IN_A_CELL = (
    "a cell contains `question: sgd_step` and other text. Move this line to a cell of its own."
)


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        (
            "# %% [markdown]\n# Now the second one.\n#\n# question: sgd_step\n",
            TWO_IN_A_CELL,
        ),
        (
            "# %% [markdown]\n# question: sgd_step\n#\n# Some text.\n",
            TWO_IN_A_CELL,
        ),
        (
            "# %% [markdown]\n# question: sgd_step\n# question: explain\n",
            TWO_IN_A_CELL,
        ),
        (
            "# %% [markdown]\n# Question: sgd_step\n",
            "`Question: sgd_step` does not mark a question; write `question: sgd_step` instead.",
        ),
        (
            "# %% [markdown]\n# # question: sgd_step\n",
            "`# question: sgd_step` does not mark a question; write `question: sgd_step` instead.",
        ),
        (f"{LAST}\n{LAST}", "asks `sgd_step` twice."),
    ],
)
def test_a_marker_that_release_would_not_read_is_refused_by_every_command(
    cell, says, homework, tmp_path, capsys
):
    """Students would see the marker as text, and neither the question nor a cell for its answer."""
    change(homework, LAST, cell, "tiny.py")
    out = tmp_path / "out"
    assert check(homework) == 2
    assert main(["release", "tiny", "--homework", str(homework), "--out", str(out)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.partition("tiny.py")[2].lstrip(": ") for line in said] == [says, says]
    assert not out.exists()


@pytest.mark.parametrize(
    "text",
    [
        '# %% [markdown]\n"""\nquestion: sgd_step\n"""\n',
        "# %% [markdown]\nr'''question: sgd_step'''\n",
        '# %% The last one [md] tags=["last"]\n#question:  sgd_step \n',
        "#%% [markdown]\n# question: sgd_step\n",
        f"# %% [markdown]\n# A text that asks a\n# question: is this right?\n\n{LAST}",
        f"# %% [markdown]\n# ## Question: sgd_step\n#\n# This is its heading.\n\n{LAST}",
        f"# %%\n# question: is this right?\n\n{LAST}",
    ],
)
def test_a_marker_is_read_as_jupytext_reads_it(text, homework):
    change(homework, LAST, text, "tiny.py")
    assignment = Assignment.read("tiny", homework)
    assert list(assignment.questions) == ["log_mean_exp", "sgd_step"]
    ids = [
        cell.metadata.get("nbgrader", {}).get("grade_id")
        for cell in student_notebook(assignment).cells
    ]
    assert [name for name in ids if name in assignment.questions] == ["log_mean_exp", "sgd_step"]


def test_a_starter_that_jupytext_divides_otherwise_is_refused(homework, tmp_path, capsys):
    change(homework, LAST, LAST.replace("%% [", "%%["), "tiny.py")
    out = tmp_path / "out"
    words = ["--homework", str(homework)]
    assert main(["check", "tiny", *words]) == 2
    assert main(["release", "tiny", *words, "--out", str(out)]) == 2
    says = "jupytext cannot find the questions in tiny.py. Begin each cell with a `# %%`"
    assert capsys.readouterr().err.count(says) == 2


def test_a_key_whose_question_is_not_asked_is_remarked(homework, capsys):
    change(homework, LAST, "", "tiny.py")
    assert check(homework, "--seeds", "1") == 0
    says = "Remark: tiny.py does not ask the question in keys/sgd_step.py."
    assert says in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["tiny", "--seeds", "0"], "--seeds must be at least 1."),
        (
            ["nope"],
            f"There is no assignment 'nope' in {EXAMPLE}; the available assignments are: tiny.",
        ),
    ],
)
def test_a_check_that_cannot_be_made_is_refused_in_one_sentence(words, says, capsys):
    assert main(["check", *words, "--homework", str(EXAMPLE)]) == 2
    assert capsys.readouterr().err == f"check: {says}\n"


def test_an_assignment_without_a_starter_is_named_by_its_folder(homework, capsys):
    (homework / "tiny" / "tiny.py").unlink()
    assert check(homework) == 2
    says = f"{homework / 'tiny'} does not contain tiny.py, the text of the starter notebook."
    assert capsys.readouterr().err == f"check: {says}\n"


def test_the_course_s_own_folder_is_not_in_a_message(homework, monkeypatch):
    monkeypatch.setattr(assignment_module, "HOMEWORK", homework)
    with pytest.raises(
        AssignmentError,
        match=r"are: tiny\. For an assignment of your own, add --homework FOLDER\.$",
    ):
        Assignment.read("nope", homework)
    (homework / "tiny" / "tiny.py").unlink()
    with pytest.raises(AssignmentError, match=r"^tiny does not contain tiny\.py, the text"):
        Assignment.read("tiny", homework)


NUMBERS = [0.0, 1.0, 1.0 + 9e-5, 1.0 + 3e-4, -1.0, 1e30, np.inf, -np.inf, np.nan]


def test_numbers_are_close_as_numpy_says():
    yours, wanted = (values.ravel() for values in np.meshgrid(NUMBERS, NUMBERS))
    for a, b in zip(yours, wanted, strict=True):
        assert close(np.array(a), np.array(b), Tolerance(1e-4, 1e-5, "")) == np.allclose(
            a, b, rtol=1e-4, atol=1e-5, equal_nan=True
        ), (a, b)


# ---------------------------------------------------------------- arrays or tensors


def test_an_unknown_kind_of_array_is_refused(homework):
    change(homework, 'given_as="arrays"', 'given_as="lists"')
    says = r"^keys/log_mean_exp\.py: given_as must be one of tensors, arrays\.$"
    with pytest.raises(AssignmentError, match=says):
        _ = Assignment.read("tiny", homework).questions


@pytest.mark.parametrize("given_as", ["arrays", "tensors"])
def test_practice_and_the_trial_give_what_the_sandbox_will_give(
    given_as, homework, tmp_path, capsys
):
    change(homework, 'given_as="arrays"', f'given_as="{given_as}"')
    assignment = Assignment.read("tiny", homework)
    write_student_copy(assignment, tmp_path)
    question = assignment.questions["log_mean_exp"]
    (variant,) = question.variants
    kinds = []

    def function(x):
        kinds.append(type(x).__name__)
        return variant.reference(np.asarray(x, dtype=np.float64))

    assert Practice("tiny", tmp_path).check("log_mean_exp", function).status == "correct"
    assert trial.verdict_on(question, variant, function, trial.inputs_of(variant, 0)).points == 60
    assert kinds == ["ndarray" if given_as == "arrays" else "Tensor"] * 4


def practice_message(
    tmp_path: Path, right: np.ndarray, yours: np.ndarray, **arguments: object
) -> str:
    """What practice says of an answer to a question with these arguments."""
    example = {
        "arguments": {name: as_json(value) for name, value in arguments.items()},
        "given_as": "arrays",
        "returns": ["value"],
        "right": {"value": as_json(right)},
        "mistakes": {},
    }
    (tmp_path / "one.practice.json").write_text(json.dumps({"f": example}))
    return Practice("one", tmp_path).check("f", lambda *inputs: yours).message


def test_practice_shows_inputs_whole(tmp_path):
    """An element of a softmax depends on all of its input."""
    logits, right = np.array([0.0, 1.0]), np.array([0.25, 0.75])
    says = practice_message(tmp_path, right, 2 * right, logits=logits, rate=0.5)
    assert says == (
        "your result: a value is wrong. "
        "For logits = (0.0, 1.0), rate = 0.5: your element [0] is 0.5 but should be 0.25."
    )


def test_practice_says_that_there_are_inputs_too_long_to_show(tmp_path):
    theta, real = np.array([0.0, 1.0]), np.zeros((5, 2))
    says = practice_message(tmp_path, theta, theta + 1, theta=theta, real=real)
    assert (
        "For theta = (0.0, 1.0) and longer inputs: your element [0] is 1.0 but should be 0.0."
        in says
    )
    says = practice_message(tmp_path, np.zeros(2), np.ones(2), real=np.zeros((2, 5)))
    assert says.endswith("a value is wrong. Your element [0] is 1.0 but should be 0.0.")


# ---------------------------------------------------------------- the page for authors

SECTION = PAGE.partition("## Questions of your own")[2].partition("\n## ")[0]


@pytest.fixture
def written(tmp_path, monkeypatch) -> Path:
    """The folder into which an author has written the files of the page."""
    files = re.findall(r"all of\n?\s?`(\S+\.py)`:\n\n```python\n(.*?)```", SECTION, re.S)
    assert [name for name, _ in files] == [
        "my_homework/sampling/sampling.py",
        "my_homework/sampling/keys/sample_size.py",
    ]
    for name, text in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@needs_wall
def test_the_page_s_own_question_is_checked_released_and_graded(written, capsys):
    commands = re.findall(r"^\.venv/bin/python -m course_lib\.grading (.+)$", SECTION, re.M)
    assert [line.split()[0] for line in commands] == ["check", "release"]
    for line in commands:
        assert main(line.split()) == 0
    assert (
        "sample_size, plain: 2 right answers and 4 mistakes were tried, and no problems were found"
        in capsys.readouterr().out
    )

    notebook = nbformat.read("grades/release/instructor/sampling/sampling.ipynb", as_version=4)
    submitted = written / "submitted"
    submitted.mkdir()
    nbformat.write(notebook, submitted / "ada.ipynb")
    for cell in notebook.cells:
        cell.source = cell.source.replace("return 1 / (weights**2)", "return (weights**2)")
    nbformat.write(notebook, submitted / "bob.ipynb")
    words = "grade sampling --homework my_homework --submissions submitted --out grades --workers 0"
    assert main(words.split()) == 0
    ada, bob = Store(written / "grades" / "sampling").all()
    assert (ada.points, ada.notes) == (100, [])
    assert bob.points == 50
    assert "sum of the squared weights" in bob.verdicts["sample_size"]["sentence"]


def test_the_page_says_what_each_field_of_a_design_is_for():
    table = SECTION.partition("| field of a design |")[2].partition("\n\n")[0]
    for field in Design.__dataclass_fields__:
        assert f"`{field}`" in table, field


def test_the_page_says_what_each_field_of_a_variant_is_for():
    table = SECTION.partition("| field of a variant |")[2].partition("\n\n")[0]
    first = "".join(re.findall(r"^\| (`[^|]*) \|", table, re.M))
    for field in trial.Variant.__dataclass_fields__:
        # functions of several results are an exception, which the row of `reference` explains
        assert f"`{field}`" in first or field == "returns", field
    assert "and `returns` names them" in SECTION
