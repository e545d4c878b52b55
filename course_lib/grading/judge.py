"""The judge compares students' answers with the reference and with known mistakes.

It runs no student code. Its sentences identify the mistake and say where to look, but never reveal
the secret inputs or the expected numbers.
"""

from collections.abc import Mapping

import numpy as np

from course_lib.grading.question import (
    CASES,
    Arguments,
    Arrays,
    Design,
    Question,
    Variant,
    Verdict,
    agree,
    as_reference_sees,
    by_name,
    results_of,
    share_of_score,
)
from course_lib.grading.sandbox import Answer

UNSTABLE = (
    "your function is right for ordinary inputs, but wrong for extreme ones. Look for an overflow, "
    "the logarithm of 0, or a small difference between large numbers."
)
ONE_SIZE = (
    "your function is right for one size of input, but wrong for another. Is a size hard-coded?"
)
SYNTAX_ERRORS = ("SyntaxError", "IndentationError", "TabError")
SHARE_UNSTABLE = 0.6  # the mathematics is right, but the computation is unstable
SHARE_ONE_SIZE = 0.3


def judge(
    question: Question,
    variant: Variant,
    inputs: Mapping[str, Arguments],
    answers: Mapping[str, Answer],
    ended: str,
    broken: str = "",
) -> Verdict:
    """Judge a student's answers to one question, one answer for each case, and return the verdict.

    ended: how the submission's run ended. broken: what stopped the cell that should define the
    function, as worded by `stopped`.
    """
    wanted = {case: reference_of(variant, inputs[case]) for case in CASES}
    right = {case: is_right(answers[case], wanted[case], variant) for case in CASES}
    if broken and {answer.status for answer in answers.values()} <= {"missing", "not started"}:
        share, sentence, mistake = 0.0, f"Not yet: the cell with your answer {broken}.", None
    else:
        share, sentence, mistake = verdict_of(
            question, variant, inputs, answers, wanted, right, ended
        )
    points = round(share * question.points, 2)
    tried = any(answer.status in ("answered", "error") for answer in answers.values())
    most = question.points
    return Verdict(points, most, sentence, mistake, variant.name, None, right, tried=tried)


def reference_of(variant: Variant, arguments: Arguments) -> Arrays:
    """Return the right answer. If the reference stops with an error, this error is passed on."""
    with np.errstate(all="ignore"):
        found = variant.reference(**as_reference_sees(arguments))
    return by_name(found, variant.returns)


def is_right(answer: Answer, wanted: Arrays, variant: Variant) -> bool:
    """Return whether the numbers in an answer are correct to within the tolerance."""
    return answer.status == "answered" and agree(answer.arrays, wanted, variant.tolerance)


def verdict_of(
    question: Question,
    variant: Variant,
    inputs: Mapping[str, Arguments],
    answers: Mapping[str, Answer],
    wanted: Mapping[str, Arrays],
    right: Mapping[str, bool],
    ended: str,
) -> tuple[float, str, int | None]:
    """Return the fraction of the points earned, a sentence of feedback,
    and the number of the known mistake, if any.
    """
    if all(right.values()):
        return 1.0, "Correct.", None
    states = {answer.status for answer in answers.values()}
    if states == {"missing"}:
        return 0.0, f"Your notebook does not define the function `{question.function}`.", None
    if states == {"not started"}:
        return 0.0, "Not started.", None
    if states == {"silent"}:
        return 0.0, f"No answer was received: {ENDED.get(ended, ENDED['ended early'])}", None
    found = named_mistake(variant, inputs, answers, wanted)
    if found is not None:
        mistake = variant.mistakes[found]
        return mistake.share, f"Not yet: {mistake.sentence}", found
    if right["small"] and right["large"]:
        return SHARE_UNSTABLE, f"Almost: {UNSTABLE}", None
    if right["small"] or right["large"]:
        return SHARE_ONE_SIZE, f"Not yet: {ONE_SIZE}", None
    return 0.0, f"Not yet: {what_is_seen(answers, wanted)}", None


ENDED = {
    "out of time": "your notebook ran out of time.",
    "out of memory": "your notebook used too much memory.",
    "too much output": "your notebook returned too much data.",
    "ended early": "your notebook ended its own process.",
    "finished": "your notebook prevented the grader from calling your function.",
}


def named_mistake(
    variant: Variant,
    inputs: Mapping[str, Arguments],
    answers: Mapping[str, Answer],
    wanted: Mapping[str, Arrays],
) -> int | None:
    """Return the number of the first known mistake that explains every answer received, or None.

    Each mistake is computed in both float64 and float32, because it may overflow in only one of
    them.
    """
    answered = [case for case in CASES if answers[case].status == "answered"]
    for number, mistake in enumerate(variant.mistakes):
        for narrow in (False, True):
            is_wrong, is_same = False, bool(answered)
            for case in answered:
                gives = results_of(mistake.function, inputs[case], variant.returns, narrow)
                yours = answers[case].arrays
                # None: the mistake stops with an error here, but the student's code did not
                is_same = gives is not None and agree(yours, gives, variant.tolerance)
                if gives is None or not is_same:
                    break
                is_wrong = is_wrong or not agree(gives, wanted[case], variant.tolerance)
            if is_wrong and is_same:
                return number
    return None


def what_is_seen(answers: Mapping[str, Answer], wanted: Mapping[str, Arrays]) -> str:
    """Describe a wrong answer that no known mistake explains, without revealing any numbers."""
    for case in CASES:
        answer = answers[case]
        if answer.status == "error" and answer.line == 0 and answer.what in UNUSABLE:
            return f"your function must return {returned(list(wanted[case]))}."
        if answer.status == "error":
            return f"your function {stopped(answer.what, answer.line, of=' of its cell')}."
        if answer.status == "missing":
            return "your function no longer existed when the grader called it again."
        if answer.status != "answered":
            continue
        for name, right in wanted[case].items():
            yours = answer.arrays[name]
            label = "the result" if name == "value" else f"`{name}`"
            if yours.shape != right.shape and yours.size != right.size:
                return (
                    f"{label} has the wrong shape: over which axis should "
                    "the sum or the mean be taken?"
                )
            if np.isfinite(right).all() and not np.isfinite(yours).all():
                return f"{label} contains NaN or infinity."
    return "the numbers are wrong, and no known mistake explains them."


# What the runner raises, outside the student's code and therefore without a line, for a result that
# it cannot convert: None, a text, too few results, or a dict with other keys.
UNUSABLE = ("TypeError", "ValueError", "KeyError")


def returned(names: list[str]) -> str:
    """Describe what a function must return, in words that can follow "must return"."""
    if len(names) == 1:
        return "a tensor, an array or a number (is the `return` line missing?)"
    listed = ", ".join(f"`{name}`" for name in names)
    return f"{listed}, in this order, each as a tensor, an array or a number"


def stopped(what: str, line: int, says: str = "", of: str = "") -> str:
    """Describe what stopped a cell or a function, in words that can follow "your function".

    says: Python's own message about a syntax error. of: text to insert after the line number, such
    as " of its cell".
    """
    where = f" in line {line}{of}" if line else ""
    if what == "out of time":
        return f"ran out of time{where}"
    if what in SYNTAX_ERRORS:
        return f"has a syntax error{where}" + (f" ({says})" if says else "")
    return f"stops with {what}{where}"


def judge_design(design: Design, arrays: Arrays | None, trouble: str) -> Verdict:
    """Return the verdict on the submitted arrays; if `arrays` is None, `trouble` says why."""
    if arrays is None:
        return Verdict(0.0, design.points, trouble)
    broken = design.guard(arrays)
    if broken:
        return Verdict(0.0, design.points, broken)
    score = float(design.measure(arrays))
    share = share_of_score(design, score)
    goal = f"a score of {design.full_at:g} or better earns all points"
    sentence = f"Your score is {score:.3f} {design.unit}; {goal}."
    if share == 1:
        sentence = f"Correct. {sentence}"
    elif share == 0:
        sentence = (
            f"Not yet: your score is {score:.3f} {design.unit}. Only a score better than "
            f"{design.none_at:g} earns points, and {goal}."
        )
    return Verdict(round(share * design.points, 2), design.points, sentence, score=score)
