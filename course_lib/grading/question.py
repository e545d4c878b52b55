"""The classes that a homework author uses for questions, their variants, and known mistakes.

Questions that ask for a function are graded by comparing numbers. The inputs are newly drawn for
each submission, in two sizes and with extreme values. The judge compares the results of the
student's function with those of the reference, which is computed in float64, and with those of each
known mistake. A right answer passes however the code is written, because only the numbers count.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any

import numpy as np

CASES = ("small", "large", "extreme")
GIVEN_AS = ("tensors", "arrays")
# by name: arrays of numbers, lists of such arrays, or plain values (see `fault_of_arguments`)
Arguments = dict[str, Any]
Arrays = dict[str, np.ndarray]
# errors that a function may raise for some inputs, such as a singular matrix
STOPS = (ArithmeticError, ValueError, IndexError, TypeError)


@dataclass(frozen=True)
class Tolerance:
    """How far an answer may differ from the reference, and the reason for this choice.

    For an answer a and the reference b, the condition is |a − b| ≤ absolute + relative·|b|.
    If the answer has several elements, `absolute` is multiplied by the largest absolute value in
    the reference, provided that this value exceeds 1.
    """

    relative: float
    absolute: float
    reason: str

    def __post_init__(self) -> None:
        """Raise ValueError if a field has the wrong type or is negative."""
        fault = fault_of_type(self)
        if fault:
            raise ValueError(f"in a tolerance, {fault}")
        if self.relative < 0 or self.absolute < 0:
            raise ValueError(
                "a tolerance cannot be negative: "
                f"relative={self.relative:g}, absolute={self.absolute:g}"
            )


@dataclass(frozen=True)
class Mistake:
    """A known mistake: the sentence shown to students, a function that reproduces the mistake,
    and the fraction of the points that it earns.
    """

    sentence: str
    function: Callable[..., Any]
    share: float = 0.0


@dataclass(frozen=True)
class Variant:
    """One variant of a question.

    The instructor's secret determines which variant a class or a student gets.

    text, stub: the Markdown text and the code cell that a student gets. solution: the code of a
    model answer. inputs: a function that takes a random number generator and a case from CASES and
    returns the arguments of the student's function as a dict keyed by name, in the order of the
    parameters. reference: a function that takes these arguments, with float64 arrays, and returns
    the right answer: an array, or a tuple of arrays in the order of `returns`. independent: a
    function that computes the same answer with another formula or a library; `check` compares its
    results with those of the reference. styles: the code of other correct answers, each written in
    a different way; `check` grades them.
    """

    name: str
    text: str
    stub: str
    solution: str
    inputs: Callable[[np.random.Generator, str], Arguments]
    reference: Callable[..., Any]
    mistakes: tuple[Mistake, ...]
    tolerance: Tolerance
    returns: tuple[str, ...] = ("value",)
    independent: Callable[..., Any] | None = None
    styles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """A question that asks for a function.

    name: the name of the question and of its key file. function: the name that the function must
    have in the notebook. given_as: whether the function gets PyTorch tensors ("tensors") or NumPy
    arrays ("arrays"). If every question of an assignment uses arrays, the sandbox does not import
    PyTorch. For a notebook that does not need PyTorch, this import would take most of the grading
    time.
    """

    name: str
    function: str
    points: float
    variants: tuple[Variant, ...]
    given_as: str = "tensors"  # or "arrays"


@dataclass(frozen=True)
class Design:
    """An open-ended question that is answered with arrays;
    the score of these arrays determines the points.

    arrays: maps the name of each array in the file `design.safetensors` to its dtype and shape, in
    which −1 allows any length up to `most`. measure: a function that takes the arrays and returns a
    score. guard: a function that takes the arrays and returns a sentence if they break a rule, else
    "". none_at, full_at: the scores that earn no points and full points, respectively; between
    them, the points increase linearly.
    """

    name: str
    points: float
    text: str
    arrays: Mapping[str, tuple[str, tuple[int, ...]]]
    measure: Callable[[Arrays], float]
    guard: Callable[[Arrays], str]
    none_at: float
    full_at: float
    unit: str
    solution: str = ""
    most: int = 20_000


@dataclass(frozen=True)
class Written:
    """A question that is answered in words and marked by a person."""

    name: str
    points: float
    text: str
    solution: str = ""


@dataclass
class Verdict:
    """The verdict on a question: the points awarded, a sentence of feedback
    and, for a known mistake, the number of that mistake.
    """

    points: float
    most: float
    sentence: str
    mistake: int | None = None
    variant: str = ""
    score: float | None = None  # only for a design
    details: dict[str, bool] = field(default_factory=dict)  # by case: whether the answer is right
    answer: str = ""  # the written answer, for the person who marks it
    tried: bool = False  # whether the student's code was run on the judge's inputs


def fault_of_type(part: Any) -> str:
    """Describe the first field that should be a string or a number but is not.

    Returns "" if there is none. part: an object that a key defines, such as a variant.
    """
    for one in fields(part):
        value = getattr(part, one.name)
        if one.type is str and not isinstance(value, str):
            return f"`{one.name}` must be a string, not {value!r}"
        is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
        if one.type in (float, int) and not is_number:
            return f"`{one.name}` must be a number, not {value!r}"
    return ""


def fault_of_arguments(arguments: Arguments) -> str:
    """Describe the first argument that cannot be sent to a sandbox; return "" if there is none."""

    def is_array(value: Any) -> bool:
        return isinstance(value, np.ndarray) and value.dtype.kind in "fiub"

    for name, value in arguments.items():
        if value is None or is_array(value) or isinstance(value, bool | int | float | str):
            continue
        if isinstance(value, list) and all(map(is_array, value)):
            continue
        if isinstance(value, np.ndarray):
            kind = f"an array of dtype {value.dtype}"
        elif isinstance(value, list):
            kind = "a list that contains something other than arrays"
        else:
            kind = f"a value of type {type(value).__name__}"
        return (
            f"`inputs` returns {name!r} as {kind}, but an argument must be an array of numbers, "
            "a list of such arrays, a number, a string, True, False or None"
        )
    return ""


def as_reference_sees(arguments: Arguments) -> Arguments:
    """Return copies of the arguments, with floating-point arrays converted to float64
    for accuracy.
    """

    def widened(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value.astype(np.float64) if value.dtype.kind == "f" else value.copy()
        if isinstance(value, list | tuple):
            return [widened(part) for part in value]
        return value

    return {name: widened(value) for name, value in arguments.items()}


def copied(arguments: Arguments) -> Arguments:
    """Return a deep copy of the arguments, for a function that may change them."""
    return copy.deepcopy(arguments)


def results_of(
    function: Callable[..., Any],
    arguments: Arguments,
    returns: tuple[str, ...],
    narrow: bool = False,
) -> Arrays | None:
    """Return the results of an author's function as a dict of float64 arrays keyed by name,
    or None if it fails.

    narrow: whether to compute in float32, as a student's code does. Float32 overflows at smaller
    numbers than float64.
    """
    try:
        with np.errstate(all="ignore"):
            found = function(**(copied(arguments) if narrow else as_reference_sees(arguments)))
    except STOPS:
        return None
    return by_name(found, returns)


def by_name(found: Any, returns: tuple[str, ...]) -> Arrays:
    """Convert the results of an author's function to a dict of float64 arrays keyed by name."""
    parts = (found,) if len(returns) == 1 else tuple(found)
    pairs = zip(returns, parts, strict=True)
    return {name: np.asarray(part, dtype=np.float64) for name, part in pairs}


def agree(yours: Arrays, wanted: Arrays, tolerance: Tolerance) -> bool:
    """Return whether all arrays agree in shape and, within the tolerance, in value.

    Infinities and NaNs must be in the same places.
    """
    return all(close(yours[name], wanted[name], tolerance) for name in wanted)


def close(yours: np.ndarray, wanted: np.ndarray, tolerance: Tolerance) -> bool:
    """Return whether two arrays agree within the tolerance; see `agree`."""
    if yours.shape != wanted.shape:
        # a scalar may be returned as (), (1,) or a Python number; these differ only in style
        if not (yours.size == wanted.size == 1):
            return False
        yours = yours.reshape(wanted.shape)
    is_finite = np.isfinite(wanted)
    finite = wanted[is_finite]
    scale = max(1.0, float(np.abs(finite).max())) if finite.size > 1 else 1.0
    # like np.allclose, but several times as fast; the judge spends most of its time here
    with np.errstate(invalid="ignore"):
        allowed = tolerance.absolute * scale + tolerance.relative * np.abs(wanted)
        near = np.abs(yours - wanted) <= allowed
    same = (yours == wanted) | (np.isnan(yours) & np.isnan(wanted))
    return bool(((near & is_finite) | same).all())


def share_of_score(design: Design, score: float) -> float:
    """Return the fraction of a design's points, from 0 to 1, that is awarded for a score."""
    if not math.isfinite(score):
        return 0.0
    share = (score - design.none_at) / (design.full_at - design.none_at)
    return min(1.0, max(0.0, share))
