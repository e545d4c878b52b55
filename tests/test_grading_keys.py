"""The keys of the real assignments: references agree with independent formulas, right answers in
every style pass, known mistakes get their names, and nothing else is taken for right.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from grading_answers import ANSWERS
from nbformat import NotebookNode
from safetensors.numpy import save
from sklearn.datasets import load_digits
from thorough import THOROUGH

from course_lib.checks.practice import Practice, hand_in
from course_lib.grading import runner, trial
from course_lib.grading.assignment import HOMEWORK, Assignment
from course_lib.grading.engine import read_design
from course_lib.grading.judge import judge_design
from course_lib.grading.question import Design, Question, Variant, agree, results_of
from course_lib.grading.release import instructor_notebook, student_notebook, write_student_copy
from course_lib.grading.trial import Inputs, function_from, inputs_of, verdict_on

NAMES = sorted(path.parent.name for path in HOMEWORK.glob("*/keys"))
ASSIGNMENTS = {name: Assignment.read(name) for name in NAMES}
# what a student's code finds in each starter, and what some of them import themselves
IMPORTED = {"F": torch.nn.functional, "nn": torch.nn}
NAMES_IN = {name: trial.starter_names(assignment)[0] for name, assignment in ASSIGNMENTS.items()}
IN_NOTEBOOKS = [
    pytest.param(question, variant, NAMES_IN[name], id=f"{name}-{question.name}-{variant.name}")
    for name, assignment in ASSIGNMENTS.items()
    for question in assignment.questions.values()
    if isinstance(question, Question)
    for variant in question.variants
]
VARIANTS = [pytest.param(*case.values[:2], id=case.id) for case in IN_NOTEBOOKS]
ANSWERED = [
    pytest.param(
        question,
        variant,
        NAMES_IN[name],
        code,
        id=f"{name}-{question.name}-{variant.name}-{number}",
    )
    for name, assignment in ASSIGNMENTS.items()
    for question in assignment.questions.values()
    if isinstance(question, Question)
    for variant in question.variants
    for number, code in enumerate(ANSWERS[f"{name}/{question.name}/{variant.name}"])
]
# What torch.func.jvp says of itself: a student's notebook does not turn warnings into errors.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated:FutureWarning")

# each seed stands for one submission, with secret inputs of its own
SEEDS = range(200 if THOROUGH else 3)
FEW_SEEDS = range(3)  # where a formula is checked, and not the luck of the draw


def seen(
    faults: Callable[[Inputs], list[str]], variant: Variant, seeds: range = SEEDS
) -> Counter[str]:
    """The faults of a key, and on how many seeds each of them is seen."""
    return Counter(fault for seed in seeds for fault in faults(inputs_of(variant, seed)))


WITHOUT_TORCH = """
import sys
import numpy as np
from course_lib.grading import engine, trial
from course_lib.grading.assignment import Assignment
from course_lib.grading.question import Question

for question in Assignment.read(sys.argv[1]).questions.values():
    for variant in question.variants if isinstance(question, Question) else ():
        for arguments in trial.inputs_of(variant, 0).values():
            for one in (variant.reference, *(mistake.function for mistake in variant.mistakes)):
                with np.errstate(all="ignore"):
                    trial.computed(variant, one, arguments)
print("torch" in sys.modules)
"""


@pytest.mark.parametrize("name", NAMES)
def test_the_grader_itself_does_not_wait_for_torch(name):
    command = [sys.executable, "-c", WITHOUT_TORCH, name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize(("question", "variant"), VARIANTS)
def test_the_reference_agrees_with_an_independent_formula(question, variant):
    assert variant.independent is not None
    assert not seen(partial(trial.faults_of_reference, question, variant), variant, FEW_SEEDS)


@pytest.mark.parametrize(("question", "variant", "names"), IN_NOTEBOOKS)
def test_right_answers_in_every_style_get_all_points(question, variant, names):
    assert len(variant.styles) >= 4
    assert not seen(partial(trial.faults_of_right_answers, question, variant, names), variant)


@pytest.mark.parametrize(("question", "variant", "names", "code"), ANSWERED)
def test_right_answers_that_no_author_of_a_key_has_seen_get_all_points(
    question, variant, names, code
):
    function = function_from(code, question.function, IMPORTED | names)
    verdicts = [verdict_on(question, variant, function, inputs_of(variant, seed)) for seed in SEEDS]
    assert not Counter(found.sentence for found in verdicts if found.points != question.points)


@pytest.mark.parametrize(("question", "variant"), VARIANTS)
def test_every_known_mistake_gets_its_name(question, variant):
    assert len(variant.mistakes) >= 5
    assert trial.faults_of_form(variant) == []
    assert not seen(partial(trial.faults_of_mistakes, question, variant), variant)


# A slip in a model answer, and how the judge must call it. A key says itself what its mistakes
# compute, so only code that was written apart from it can tell whether a sentence belongs to its
# numbers.
SLIPS = {
    "vae/kl/circle": ("each.sum(1)", "each.mean(1)", "averaged over the d angles"),
    "vae/objective/free_bits": (
        "clamp(min=floor).sum()",
        "clamp(min=floor).mean()",
        "averaged over the dimensions",
    ),
    "vae/reparameterize/weibull": ("slope = -z", "slope = z", "the slope has the wrong sign"),
    "vae/estimator/leave_one_out": (
        "(f.sum(0) - f) / (k - 1)",
        "f.mean(0)",
        "includes the draw's own value",
    ),
    "vae/optimum/decoder": ("(w**2).T", "w.T", "W is not squared"),
    "conditional_vae/conditional_bound/gaussian": ("log_p - kl", "log_p + kl", "the KL is added"),
    "conditional_vae/condition/soft": (
        "(logits, dim=1)",
        "(logits, dim=0)",
        "the softmax runs over the rows",
    ),
    "conditional_vae/semi_supervised/average": (
        "- log_q",
        "+ log_q",
        "the entropy of q(y|x) is subtracted",
    ),
    "conditional_vae/predict/unequal": ("log_sum - drawn.log()", "log_sum", "added, not averaged"),
    "gan/distance/energy": ("2 * lengths(x, y)", "lengths(x, y)", "an x and a y is used once"),
    "mixtures/m_step/bernoulli": ("2 * (b - 1)", "(b - 1)", "the denominator grows by 2(b − 1)"),
}


@pytest.mark.parametrize("place", SLIPS)
def test_a_slip_in_a_model_answer_is_called_what_it_is(place):
    assignment, name, form = place.split("/")
    old, new, words = SLIPS[place]
    question = ASSIGNMENTS[assignment].questions[name]
    (variant,) = [variant for variant in question.variants if variant.name == form]
    assert variant.solution.count(old) == 1
    function = function_from(
        variant.solution.replace(old, new), question.function, NAMES_IN[assignment]
    )
    for seed in FEW_SEEDS:
        assert words in verdict_on(question, variant, function, inputs_of(variant, seed)).sentence


def test_a_mistake_that_overflows_only_in_float32_gets_its_name():
    """e^200 is infinity in float32 and a number in float64, where the same formula is right."""
    example = Assignment.read("tiny", Path(__file__).parent / "homework_example")
    question = example.questions["log_mean_exp"]
    (variant,) = question.variants
    inputs = inputs_of(variant, 0)
    inputs["extreme"] = {"x": np.float32([[200, 199, 198]])}

    def said_of(function: Callable[..., Any]) -> str:
        with np.errstate(all="ignore"):
            return verdict_on(question, variant, function, inputs).sentence

    assert "exp overflows" in said_of(lambda x: np.log(np.exp(x).mean(1)))
    assert said_of(lambda x: np.log(np.exp(x.astype(np.float64)).mean(1))) == "Correct."


@pytest.mark.parametrize(("question", "variant", "names"), IN_NOTEBOOKS)
def test_an_untouched_stub_is_not_started_and_nothing_is_right_by_chance(question, variant, names):
    assert trial.faults_of_stub(question, variant, names, inputs_of(variant, 0)) == []
    for seed in FEW_SEEDS:
        small, large = (
            results_of(variant.reference, inputs_of(variant, s)["small"], variant.returns)
            for s in (seed, seed + 7)
        )
        assert not agree(small, large, variant.tolerance), (
            "the answer does not depend on the inputs"
        )


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
        question.solution
        for question in assignment.questions.values()
        if isinstance(question, Design)
    ]
    for source in cells_of(instructor_notebook(assignment, choose)):
        # the designs train for half a minute, and are tested by themselves
        if not any(design in source for design in designs):
            exec(source, solved)
    for question in assignment.questions.values():
        if isinstance(question, Question):
            others = ANSWERS[f"{name}/{question.name}/{choose(question).name}"]
            given = [
                function_from(code, question.function, IMPORTED | NAMES_IN[name]) for code in others
            ]
            given.append(solved[question.function])
            for function in given:
                result = solved["practice"].check(question.name, function)
                assert result.status == "correct", f"{question.name}: {result.message}"


NO_PRIOR = """def m_step(x, r, a, b):
    return r.mean(0), (r.T @ x) / r.sum(0)[:, None]"""


@pytest.mark.parametrize("number", range(3), ids=lambda number: f"variants {number}")
def test_practice_names_the_mistake_that_explains_all_results_as_the_grader_does(number, tmp_path):
    """Each result alone is also explained by a mistake that leaves out only one of the priors."""
    question = ASSIGNMENTS["mixtures"].questions["m_step"]
    variant = question.variants[number]
    write_student_copy(
        ASSIGNMENTS["mixtures"], tmp_path, lambda one: one.variants[number % len(one.variants)]
    )
    function = function_from(NO_PRIOR, "m_step", {})
    says = "no prior is used at all: this is maximum likelihood."
    assert verdict_on(question, variant, function, inputs_of(variant, 0)).sentence.endswith(says)
    assert Practice("mixtures", tmp_path).check("m_step", function).message.startswith(says)


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
@pytest.mark.parametrize(
    "content", [None, b"", b"no safetensors", save({}), save({"other": np.zeros(3)})]
)
def test_a_design_that_is_missing_or_damaged_gets_one_sentence(assignment, question, content):
    found = judge_design(question, *read_design(question, content))
    assert found.points == 0
    assert found.sentence.endswith(".")


def test_gaussians_earn_less_than_a_good_generator():
    """A Fréchet distance is kind to Gaussians, as it compares means and covariances only."""
    question = ASSIGNMENTS["gan"].questions["digits_samples"]
    data = load_digits()
    x, labels = data.data[:1437] / 16, data.target[:1437]
    rng = np.random.default_rng(0)

    def share(groups):
        drawn = []
        for group in groups:
            covariance = np.cov(group.T) + 1e-4 * np.eye(64)
            drawn.append(rng.multivariate_normal(group.mean(0), covariance, 1000 // len(groups)))
        samples = np.clip(np.concatenate(drawn), 0, 1).astype(np.float32)
        return judge_design(question, {"samples": samples}, "").points / question.points

    assert share([x]) == 0  # its coverage of 39 % is too little, and its score of 2.0 too
    # 60 to 76 % on ten seeds; 91 % when all points were given from 4.2 on, and none up to 2.0
    assert 0.5 < share([x[labels == digit] for digit in range(10)]) < 0.85
