"""Test the keys of an assignment before its release: `python -m course_lib.grading check NAME`.

The keys contain only the author's own code, so they run in this process, without a sandbox. The
messages in this module are for the author and, unlike those for students, may quote error messages
and names.
"""

import hashlib
import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from course_lib.grading import runner
from course_lib.grading.assignment import (
    AnyQuestion,
    ArgumentsError,
    Assignment,
    AssignmentError,
    draw,
    load_key,
    told,
)
from course_lib.grading.design_trial import faults_of_design
from course_lib.grading.judge import judge
from course_lib.grading.question import (
    CASES,
    STOPS,
    Arguments,
    Arrays,
    Design,
    Mistake,
    Question,
    Tolerance,
    Variant,
    Verdict,
    Written,
    agree,
    as_reference_sees,
    by_name,
    fault_of_type,
    results_of,
)
from course_lib.grading.release import cells_of
from course_lib.grading.sandbox import Answer

Inputs = Mapping[str, Arguments]  # by case
Names = Mapping[str, Any]  # what the notebook defines for a student's code

AGREEMENT = Tolerance(1e-7, 1e-9, "two formulas for the same numbers, both in float64")
CELL = "<cell>"  # the file name under which the code of an answer is compiled
IN_WORDS = "this question is answered in words, so you mark it yourself"
NO_VARIANTS = "`variants` must be a tuple that contains at least one Variant."


# ---------------------------------------------------------------- an answer without a sandbox


def inputs_of(variant: Variant, seed: int) -> dict[str, Arguments]:
    """Draw one set of inputs for each case."""
    return {case: draw(variant, case, 1000 * seed + number) for number, case in enumerate(CASES)}


def as_given(value: Any, given_as: str) -> Any:
    """Return a copy of an argument in the form in which the student's function receives it."""
    if isinstance(value, list):
        return [as_given(part, given_as) for part in value]
    if not isinstance(value, np.ndarray):
        return value
    if given_as == "arrays":
        return value.copy()
    import torch

    return torch.from_numpy(value.copy())


def function_from(code: str, name: str, names: Names) -> Callable[..., Any]:
    """Execute the code of an answer and return the function that it defines."""
    space = dict(names)
    exec(compile(code, CELL, "exec"), space)
    if name not in space:
        raise NameError(f"the code does not define a function named {name!r}")
    return space[name]


def answer(
    question: Question, variant: Variant, function: Callable[..., Any], arguments: Arguments
) -> Answer:
    """Return the answer that the sandbox would send back for a call to `function`."""
    given = [as_given(value, question.given_as) for value in arguments.values()]
    try:
        return Answer("answered", runner.to_arrays(function(*given), list(variant.returns)))
    except NotImplementedError:
        return Answer("not started")
    except Exception as error:
        return Answer("error", what=told(error, CELL, " of its code"))


def verdict_on(
    question: Question, variant: Variant, function: Callable[..., Any], inputs: Inputs
) -> Verdict:
    """Return the judge's verdict on a function."""
    answers = {case: answer(question, variant, function, inputs[case]) for case in CASES}
    return judge(question, remembered(variant), inputs, answers, "finished")


@lru_cache(maxsize=8)
def remembered(variant: Variant) -> Variant:
    """Return a copy of the variant in which the reference function
    and the functions for the mistakes cache their results.

    The judge runs the reference for every answer, but the known mistakes only for wrong answers.
    Without a cache, these calls would account for most of the running time.
    """
    mistakes = tuple(
        replace(mistake, function=remembering(mistake.function)) for mistake in variant.mistakes
    )
    return replace(variant, reference=remembering(variant.reference), mistakes=mistakes)


def remembering(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the function in a cache, so that it is never called twice with the same arguments."""
    found: dict[bytes, Any] = {}

    def once(**arguments: Any) -> Any:
        key = hashlib.sha256(pickle.dumps(arguments)).digest()
        if key not in found:
            found[key] = function(**arguments)
        return found[key]

    return once


# ---------------------------------------------------------------- what can be wrong with a key


def faults_of_form(variant: Variant) -> list[str]:
    """Return the faults that can be found in a variant without calling its functions."""
    for field in ("mistakes", "returns", "styles"):
        if not isinstance(getattr(variant, field), tuple):
            return [
                f"`{field}` must be a tuple: is a comma missing before the closing parenthesis?"
            ]
    if not all(isinstance(mistake, Mistake) for mistake in variant.mistakes):
        return ["`mistakes` must contain only Mistake(sentence, function, share) objects."]
    for part in (variant, *variant.mistakes):
        fault = fault_of_type(part)
        if fault:
            where = "" if part is variant else "in a mistake, "
            return [f"{where}{fault}."]
    if not isinstance(variant.tolerance, Tolerance):
        return ["`tolerance` must be a Tolerance(relative, absolute, reason)."]
    faults = []
    if not variant.mistakes:
        faults.append("`mistakes` is empty: list at least one known mistake with its sentence.")
    for sentence, count in Counter(mistake.sentence for mistake in variant.mistakes).items():
        if count > 1:
            faults.append(f"{count} mistakes have the same sentence, “{sentence}”")
    for number, mistake in enumerate(variant.mistakes):
        if not 0 <= mistake.share < 1:
            faults.append(
                f"{label(variant, number)} must have a share of at least 0 and less than 1."
            )
    return faults


def faults_of_draws(variant: Variant, inputs: Inputs, seed: int) -> list[str]:
    """Return a fault if drawing again with the same seed gives different inputs."""
    try:
        np.testing.assert_equal(inputs_of(variant, seed), inputs)
    except AssertionError:
        fault = (
            "`inputs` returns different values when it is called again: "
            "draw all random numbers from `rng`."
        )
        return [fault]
    return []


def faults_of_sizes(inputs: Inputs) -> list[str]:
    """Return a fault if the two ordinary cases would not reveal a hard-coded size."""
    small, large = shapes(inputs["small"]), shapes(inputs["large"])
    if not small or small != large:
        return []
    return [
        "`inputs` returns arrays of the same shapes for the small and the large case, "
        "so a hard-coded size would go unnoticed."
    ]


def shapes(arguments: Arguments) -> list[tuple[int, ...]]:
    """Return the shapes of all arrays among the arguments of a function."""
    lists = [value if isinstance(value, list) else [value] for value in arguments.values()]
    return [part.shape for parts in lists for part in parts if isinstance(part, np.ndarray)]


def faults_of_reference(question: Question, variant: Variant, inputs: Inputs) -> list[str]:
    """Return the faults found when the reference is computed in each case.

    The reference must not stop with an error, its results must be finite, and they must agree with
    those of `independent`, if there is one.
    """
    faults = []
    for case, arguments in inputs.items():
        right = computed(variant, variant.reference, arguments)
        if isinstance(right, Exception):
            faults.append(
                f"the reference stops with {told(right, file_of(question))} in the {case} case."
            )
            continue
        if not all(np.isfinite(values).all() for values in right.values()):
            faults.append(f"the reference is not finite in the {case} case.")
        if variant.independent is None:
            continue
        again = computed(variant, variant.independent, arguments)
        if isinstance(again, Exception):
            faults.append(
                f"`independent` stops with {told(again, file_of(question))} in the {case} case."
            )
        elif not agree(again, right, AGREEMENT):
            faults.append(
                f"the reference and `independent` do not agree to seven digits in the {case} case."
            )
    return faults


def computed(
    variant: Variant, function: Callable[..., Any], arguments: Arguments
) -> Arrays | Exception:
    """Return the float64 results of a function defined in an answer key,
    or the error that it raises.
    """
    try:
        with np.errstate(all="ignore"):
            return by_name(function(**as_reference_sees(arguments)), variant.returns)
    except Exception as error:
        return error


def faults_of_stub(question: Question, variant: Variant, names: Names, inputs: Inputs) -> list[str]:
    """Return a fault if the unchanged stub does not get the verdict “Not started.”"""
    said = judged(question, variant, variant.stub, names, inputs)
    if said.endswith("Not started.”"):
        return []
    return [f"the stub must only raise NotImplementedError, but it {said or 'gets all points.'}"]


def faults_of_right_answers(
    question: Question, variant: Variant, names: Names, inputs: Inputs
) -> list[str]:
    """Return a list of faults, one for each correct answer that does not receive full points.

    The correct answers are the model answer and the variant's `styles`.
    """
    answers = {"the model answer": variant.solution}
    for number, code in enumerate(variant.styles, start=1):
        answers[f"style {number}"] = code
    said = {who: judged(question, variant, code, names, inputs) for who, code in answers.items()}
    return [f"{who} {what}" for who, what in said.items() if what]


def judged(question: Question, variant: Variant, code: str, names: Names, inputs: Inputs) -> str:
    """Return a description of what is wrong with an answer's code,
    or "" if it earns full points.
    """
    try:
        function = function_from(code, question.function, names)
    except Exception as error:
        return f"stops with {told(error, CELL, ' of its code')}."
    found = verdict_on(question, variant, function, inputs)
    if all(found.details.values()):
        return ""
    points = f"{found.points:g} of {question.points:g} points"
    return f"gets {points}, with the sentence “{found.sentence}”"


def faults_of_calls(question: Question, variant: Variant, inputs: Inputs) -> list[str]:
    """Return a fault for each mistake that the judge cannot compute.

    A mistake has this fault if its function fails in every case, or if it fails in any case with an
    error that has nothing to do with numbers, such as a NameError.
    """
    faults = []
    for number, mistake in enumerate(variant.mistakes):
        found = [computed(variant, mistake.function, arguments) for arguments in inputs.values()]
        stops = [one for one in found if isinstance(one, Exception)]
        fatal = [error for error in stops if not isinstance(error, STOPS)]
        if fatal or len(stops) == len(found):
            error = (fatal or stops)[0]
            where = "" if fatal else " in every case"
            faults.append(
                f"{label(variant, number)} stops{where} with {told(error, file_of(question))}."
            )
    return faults


def faults_of_mistakes(question: Question, variant: Variant, inputs: Inputs) -> list[str]:
    """Return a fault for each mistake
    that the judge does not describe with the sentence written for it.

    Each mistake is tested in both float64 and float32, because students use both.
    """
    known = remembered(variant)
    faults = []
    for number in range(len(known.mistakes)):
        said = {}
        for precision, narrow in {"float64": False, "float32": True}.items():
            answers = {case: mistaken(known, number, inputs[case], narrow) for case in CASES}
            verdict = judge(question, known, inputs, answers, "finished")
            if verdict.mistake != number:
                said[precision] = called(variant, verdict)
        if len(said) == 2 and len(set(said.values())) == 1:
            faults.append(f"{label(variant, number)} {said['float64']}")
        else:
            which = label(variant, number)
            faults += [f"in {precision}, {which} {what}" for precision, what in said.items()]
    return faults


def mistaken(variant: Variant, number: int, arguments: Arguments, narrow: bool) -> Answer:
    """Return the answer of a student who makes this mistake."""
    gives = results_of(variant.mistakes[number].function, arguments, variant.returns, narrow)
    return Answer("error", what="ValueError") if gives is None else Answer("answered", gives)


def called(variant: Variant, verdict: Verdict) -> str:
    """Describe the verdict on a mistake for which the judge gives a sentence
    other than the one written for that mistake.
    """
    if verdict.mistake is not None:
        other = label(variant, verdict.mistake)
        return f"gives the same numbers as {other}, so students would read that sentence instead."
    if all(verdict.details.values()):
        return (
            "gives the right numbers, within the tolerance, in all cases, so it is not a mistake."
        )
    return f"does not get its own sentence; the judge says “{verdict.sentence}”"


def label(variant: Variant, number: int) -> str:
    """Return a mistake's number and the sentence that describes it, for messages to the author."""
    return f"mistake {number + 1} (“{variant.mistakes[number].sentence}”)"


def file_of(question: AnyQuestion) -> str:
    """Return the name of a question's key file, for use in messages."""
    return f"keys/{question.name}.py"


# ---------------------------------------------------------------- a whole assignment


def faults_with(question: Question, variant: Variant, names: Names, seed: int) -> list[str]:
    """Return the faults that one draw of inputs reveals in a variant.

    If one fault causes others, only the original fault is reported.
    """
    try:
        inputs = inputs_of(variant, seed)
    except ArgumentsError as why:
        return [f"{why}."]
    except Exception as error:
        return [f"`inputs` stops with {told(error, file_of(question))}."]
    return (
        faults_of_draws(variant, inputs, seed)
        or faults_of_reference(question, variant, inputs)
        or faults_of_calls(question, variant, inputs)
        or [
            *faults_of_sizes(inputs),
            *faults_of_stub(question, variant, names, inputs),
            *faults_of_right_answers(question, variant, names, inputs),
            *faults_of_mistakes(question, variant, inputs),
        ]
    )


def faults_of(question: Question, variant: Variant, names: Names, seeds: int) -> list[str]:
    """Return the faults found in a variant, without duplicates.

    A fault that does not appear in every draw is listed with the number of draws in which it does.
    """
    faults = faults_of_form(variant)
    if faults:
        return faults
    seen: Counter[str] = Counter()
    for seed in range(seeds):
        seen.update(faults_with(question, variant, names, seed))
    return [
        fault if count == seeds else f"in {count} of {seeds} draws, {fault}"
        for fault, count in seen.items()
    ]


def findings(assignment: Assignment, seeds: int) -> Iterator[tuple[str, list[str]]]:
    """Yield a line to print and a list of faults for each question, or for each of its variants.

    The line should be printed only if the list is empty.
    """
    names, remarks = starter_names(assignment)
    questions = []
    for name, source in assignment.sources:
        try:
            question = load_key(name, source)
        except AssignmentError as why:
            yield "", [str(why)]
            continue
        questions.append(question)
        if isinstance(question, Design):
            faults = faults_of_design(question)
            yield said_of_design(question), [f"{file_of(question)}: {fault}" for fault in faults]
        elif isinstance(question, Written):
            yield f"{question.name}: {IN_WORDS}", []
        elif not isinstance(question.variants, tuple) or not question.variants:
            yield "", [f"{file_of(question)}: {NO_VARIANTS}"]
        elif not all(isinstance(variant, Variant) for variant in question.variants):
            yield "", [f"{file_of(question)}: `variants` must contain only Variants."]
        else:
            if faults_of_names(question):
                yield "", faults_of_names(question)
            for variant in question.variants:
                faults = faults_of(question, variant, names, seeds)
                where = f"{file_of(question)}, {variant.name}"
                yield said_of(question, variant), [f"{where}: {fault}" for fault in faults]
    faults = faults_of_functions(questions) + faults_of_practice(assignment, names, questions)
    if faults:
        yield "", faults
    points = sum(question.points for question in questions)
    if points != 100 and len(questions) == len(assignment.sources):
        remarks.append(f"Remark: the questions are worth {points:g} points in total, not 100.")
    for remark in remarks:
        yield remark, []


def faults_of_names(question: Question) -> list[str]:
    """Return a fault for each name that several variants share."""
    counts = Counter(variant.name for variant in question.variants)
    return [
        f"{file_of(question)}: {count} variants are called {name!r}."
        for name, count in counts.items()
        if count > 1
    ]


def faults_of_functions(questions: list[AnyQuestion]) -> list[str]:
    """Return a fault for each function that several questions ask for."""
    asking: dict[str, list[str]] = {}
    for question in questions:
        if isinstance(question, Question):
            asking.setdefault(question.function, []).append(repr(question.name))
    return [
        f"the questions {' and '.join(names)} ask for the same function, {function!r}, "
        "so a student's last definition of it would answer them all."
        for function, names in asking.items()
        if len(names) > 1
    ]


def keys_not_asked(assignment: Assignment, homework: Path) -> list[str]:
    """Return a remark for each key file whose question is missing from the starter."""
    asked = dict(assignment.sources)
    keys = sorted((homework / assignment.name / "keys").glob("*.py"))
    return [
        f"Remark: {assignment.name}.py does not ask the question in keys/{key.name}."
        for key in keys
        if key.stem not in asked
    ]


def starter_names(assignment: Assignment) -> tuple[dict[str, Any], list[str]]:
    """Run the starter's cells that are not tagged `practice`.

    Returns the names that these cells define, and a remark for each cell that fails.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    stops = run_cells(assignment, names, practice=False)
    return names, [f"Remark: {what}" for what in stops]


def run_cells(assignment: Assignment, names: dict[str, Any], practice: bool) -> list[str]:
    """Run the code cells tagged `practice`, or all other code cells if `practice` is False.

    Returns a message for each cell that fails.
    """
    stops = []
    for cell in cells_of(assignment):
        if cell.cell_type != "code" or ("practice" in cell.metadata.get("tags", [])) != practice:
            continue
        # lines for Jupyter are replaced by empty lines, so that the other lines keep their numbers
        lines = ["" if line.startswith(("%", "!")) else line for line in cell.source.splitlines()]
        try:
            exec(compile("\n".join(lines), CELL, "exec"), names)
        except Exception as error:
            begins = f"{assignment.name}.py that begins with “{cell.source.splitlines()[0]}”"
            stopped = told(error, CELL, " of the cell")
            stops.append(f"the cell of {begins} stops with {stopped}.")
    return stops


def faults_of_practice(
    assignment: Assignment, names: Names, questions: list[AnyQuestion]
) -> list[str]:
    """Return the faults that students would find in the cells tagged `practice`.

    The grader skips these cells. names: the names that all other cells define.
    """
    file = f"{assignment.name}.practice.json"
    names = dict(names)
    with TemporaryDirectory() as folder, chdir(folder):
        Path(file).write_text("{}")  # students have a file with this name next to the notebook
        faults = run_cells(assignment, names, practice=True)
    if faults:
        return faults
    needed = {}
    if any(isinstance(question, Question) for question in questions):
        needed["practice"] = f'`practice = Practice("{assignment.name}")`'
    if any(isinstance(question, Design) for question in questions):
        needed["hand_in"] = "`from course_lib.checks.practice import Practice, hand_in`"
    return [
        f"{assignment.name}.py does not define `{name}`, which students need: "
        f"put {line} into a cell with the tag `practice`."
        for name, line in needed.items()
        if name not in names
    ]


def said_of(question: Question, variant: Variant) -> str:
    """Return the line to print for a variant without faults."""
    right = 1 + len(variant.styles)
    answers = f"{right} right answer{'s' if right > 1 else ''}"
    wrong = len(variant.mistakes)
    mistakes = f"{wrong} mistake{'s' if wrong > 1 else ''}"
    return (
        f"{question.name}, {variant.name}: "
        f"{answers} and {mistakes} were tried, and no problems were found"
    )


def said_of_design(design: Design) -> str:
    """Return the line to print for a design without faults."""
    return (
        f"{design.name}: `guard` and `measure` were tried on random arrays, "
        "and no problems were found; the model answer was not run, because that may take minutes"
    )
