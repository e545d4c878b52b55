"""The keys of the real assignments: references agree with independent formulas, right answers in
every style pass, known mistakes get their names, and nothing else is taken for right.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from nbformat import NotebookNode
from safetensors.numpy import save

from course_lib.checks.practice import hand_in
from course_lib.grading import runner
from course_lib.grading.assignment import HOMEWORK, Assignment, draw
from course_lib.grading.engine import read_design
from course_lib.grading.judge import judge, judge_design
from course_lib.grading.question import (
    CASES,
    Design,
    Question,
    Variant,
    agree,
    copied,
    results_of,
)
from course_lib.grading.release import instructor_notebook, student_notebook, write_student_copy
from course_lib.grading.sandbox import Answer

NAMES = sorted(path.parent.name for path in HOMEWORK.glob("*/keys"))
ASSIGNMENTS = {name: Assignment.read(name) for name in NAMES}
VARIANTS = [
    pytest.param(question, variant, id=f"{name}-{question.name}-{variant.name}")
    for name, assignment in ASSIGNMENTS.items()
    for question in assignment.questions.values()
    if isinstance(question, Question)
    for variant in question.variants
]
SEEDS = range(3)


def inputs_of(variant: Variant, seed: int) -> dict[str, dict[str, Any]]:
    return {case: draw(variant, case, 1000 * seed + number) for number, case in enumerate(CASES)}


def as_tensors(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, list):
        return [as_tensors(part) for part in value]
    return value


def answer(function: Callable[..., Any], arguments: dict[str, Any], returns: tuple[str, ...]) -> Answer:
    """What the sandbox would send back, without a sandbox."""
    given = {name: as_tensors(value) for name, value in copied(arguments).items()}
    try:
        return Answer("answered", runner.to_arrays(function(*given.values()), list(returns)))
    except Exception as error:
        return Answer("error", what=type(error).__name__)


def function_from(code: str, name: str) -> Callable[..., Any]:
    space: dict[str, Any] = {"torch": torch, "math": math, "F": torch.nn.functional, "nn": torch.nn}
    exec(code, space)
    return space[name]


def verdict_on(question: Question, variant: Variant, function: Callable[..., Any], seed: int):
    inputs = inputs_of(variant, seed)
    answers = {case: answer(function, inputs[case], variant.returns) for case in CASES}
    return judge(question, variant, inputs, answers, "finished")


@pytest.mark.parametrize(("question", "variant"), VARIANTS)
def test_the_reference_agrees_with_an_independent_formula(question, variant):
    assert variant.independent is not None
    for seed in SEEDS:
        for case, arguments in inputs_of(variant, seed).items():
            one = results_of(variant.reference, arguments, variant.returns)
            two = results_of(variant.independent, arguments, variant.returns)
            assert one is not None, case
            assert all(np.isfinite(values).all() for values in one.values()), case
            assert two is not None, case
            for name in variant.returns:
                np.testing.assert_allclose(
                    one[name], two[name], rtol=1e-7, atol=1e-9, err_msg=f"{case} {name}"
                )


@pytest.mark.parametrize(("question", "variant"), VARIANTS)
def test_right_answers_in_every_style_get_all_points(question, variant):
    assert len(variant.styles) >= 4
    for number, code in enumerate((variant.solution, *variant.styles)):
        function = function_from(code, question.function)
        for seed in SEEDS:
            found = verdict_on(question, variant, function, seed)
            assert found.points == question.points, f"style {number}, seed {seed}: {found.sentence}"


@pytest.mark.parametrize(("question", "variant"), VARIANTS)
def test_every_known_mistake_gets_its_name_and_its_share(question, variant):
    assert len(variant.mistakes) >= 5
    assert len({mistake.sentence for mistake in variant.mistakes}) == len(variant.mistakes)
    for number, mistake in enumerate(variant.mistakes):
        for seed in SEEDS:
            inputs = inputs_of(variant, seed)
            gives = {case: results_of(mistake.function, inputs[case], variant.returns) for case in CASES}
            answers = {
                case: Answer("answered", {name: values.copy() for name, values in found.items()})
                for case, found in gives.items()
                if found is not None
            }
            answers = {case: answers.get(case, Answer("error", what="ValueError")) for case in CASES}
            found = judge(question, variant, inputs, answers, "finished")
            assert found.mistake == number, f"{mistake.sentence} was called: {found.sentence}"
            assert found.points == pytest.approx(mistake.share * question.points, abs=0.01)
            assert found.points < question.points


@pytest.mark.parametrize(("question", "variant"), VARIANTS)
def test_an_untouched_stub_is_not_started_and_nothing_is_right_by_chance(question, variant):
    stub = function_from(variant.stub, question.function)
    with pytest.raises(NotImplementedError):
        stub(*[None] * len(inputs_of(variant, 0)["small"]))
    for seed in SEEDS:
        small, large = (
            results_of(variant.reference, inputs_of(variant, s)["small"], variant.returns)
            for s in (seed, seed + 7)
        )
        assert not agree(small, large, variant.tolerance), "the answer does not depend on the inputs"


@pytest.mark.parametrize(("question", "variant"), VARIANTS)
def test_sizes_differ_between_the_cases(question, variant):
    """A size written into the code fails, because two cases have different shapes."""
    inputs = inputs_of(variant, 0)
    shapes = [
        [np.shape(value) for value in inputs[case].values() if isinstance(value, np.ndarray)]
        for case in ("small", "large")
    ]
    assert shapes[0] != shapes[1]


@pytest.mark.parametrize("name", NAMES)
def test_an_assignment_has_five_to_seven_questions_and_a_hundred_points(name):
    questions = ASSIGNMENTS[name].questions.values()
    assert 5 <= len(questions) <= 7
    assert ASSIGNMENTS[name].points == 100
    assert all(len(q.variants) >= 3 for q in questions if isinstance(q, Question))


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ([1.0, 2, True], (3,)),  # a plain list of numbers is a row
        ([[1.0, 2], [3, 4]], (2, 2)),
        ([torch.tensor(1.0), np.float32(2)], (2,)),
        ((torch.ones(2), torch.zeros(2)), (2, 2)),
        (3, ()),
        (torch.tensor(3, dtype=torch.float16), ()),
        (torch.ones(2, 3).T, (3, 2)),
    ],
)
def test_whatever_holds_the_right_numbers_is_taken(value, shape):
    array = runner.to_arrays(value, ["value"])["value"]
    assert (array.shape, array.dtype) == (shape, np.float64)
    assert array.flags.c_contiguous


def cells_of(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("number", range(3), ids=lambda number: f"variants {number}")
@pytest.mark.parametrize("name", NAMES)
def test_a_starter_runs_from_top_to_bottom_and_model_answers_pass_its_practice(
    name, number, tmp_path, monkeypatch, capsys
):
    assignment = ASSIGNMENTS[name]

    def choose(question: Question) -> Variant:
        return question.variants[number % len(question.variants)]

    monkeypatch.chdir(tmp_path)
    write_student_copy(assignment, tmp_path, choose)
    untouched: dict[str, Any] = {}
    for source in cells_of(nbformat.read(tmp_path / f"{name}.ipynb", as_version=4)):
        exec(source, untouched)

    solved: dict[str, Any] = {}
    designs = [
        question.solution for question in assignment.questions.values() if isinstance(question, Design)
    ]
    for source in cells_of(instructor_notebook(assignment, choose)):
        if source not in designs:  # they train for half a minute, and are tested by themselves
            exec(source, solved)
    for question in assignment.questions.values():
        if isinstance(question, Question):
            result = solved["practice"].check(question.name, solved[question.function])
            assert result.status == "correct", f"{question.name}: {result.message}"


def test_no_key_lies_inside_the_package():
    package = Path(runner.__file__).resolve().parents[1]
    assert not [path for path in package.rglob("*.py") if path.parent.name == "keys"]


DESIGNS = [
    pytest.param(assignment, question, id=f"{name}-{question.name}")
    for name, assignment in ASSIGNMENTS.items()
    for question in assignment.questions.values()
    if isinstance(question, Design)
]


@pytest.mark.parametrize(("assignment", "question"), DESIGNS)
def test_a_design_s_model_answer_gets_all_points_through_the_file_that_students_hand_in(
    assignment, question, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    exec(cells_of(student_notebook(assignment))[0], space)  # nothing but what the starter imports
    exec(question.solution, space)
    hand_in(**{name: space[name] for name in question.arrays})
    arrays, trouble = read_design(question, (tmp_path / "design.safetensors").read_bytes())
    found = judge_design(question, arrays, trouble)
    assert found.points == question.points, found.sentence
    assert found.score is not None
    assert found.score >= question.full_at


@pytest.mark.parametrize(("assignment", "question"), DESIGNS)
@pytest.mark.parametrize("content", [None, b"", b"no safetensors", save({}), save({"other": np.zeros(3)})])
def test_a_design_that_is_missing_or_damaged_gets_one_sentence(assignment, question, content):
    found = judge_design(question, *read_design(question, content))
    assert found.points == 0
    assert found.sentence.endswith(".")
