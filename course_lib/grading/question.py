"""What a homework author writes: a question, its variants, and what each known mistake computes.

A question is graded by numbers. The judge draws inputs that nobody has seen, of two sizes and of an
extreme kind, and compares what the student's function returns with the reference, in float64, and
with what each known mistake would return. A right answer in any style passes, because only its
numbers count.
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
# by name: arrays of numbers, lists of arrays, or plain Python values; see `fault_of_arguments`
Arguments = dict[str, Any]
Arrays = dict[str, np.ndarray]
# what a function may stop with on some inputs, such as a matrix that has no inverse there
STOPS = (ArithmeticError, ValueError, IndexError, TypeError)


@dataclass(frozen=True)
class Tolerance:
    """How far an answer may be from the reference, |a − b| ≤ absolute + relative·|b|, and why this
    far.

    For answers of several elements `absolute` is multiplied by the reference's largest absolute value,
    if that is above 1.
    """

    relative: float
    absolute: float
    reason: str

    def __post_init__(self) -> None:
        """Raise ValueError for a tolerance that not even the right numbers would keep to."""
        fault = fault_of_type(self)
        if fault:
            raise ValueError(f"in a tolerance, {fault}")
        if self.relative < 0 or self.absolute < 0:
            raise ValueError(f"a tolerance cannot be negative: {self.relative:g} and {self.absolute:g}")


@dataclass(frozen=True)
class Mistake:
    """A known mistake: the sentence a student reads, the function it amounts to, its share of the
    points.
    """

    sentence: str
    function: Callable[..., Any]
    share: float = 0.0


@dataclass(frozen=True)
class Variant:
    """One form of a question. Which one a class or a student gets is decided by the instructor's
    secret.

    text, stub: the markdown and the code cell that a student gets. solution: the code of a model
    answer. inputs: from a random generator and a case of CASES to the function's arguments, in
    order. reference: from the same arguments, as float64 arrays, to the right answer: an array, or
    a tuple in the order of `returns`. independent: the same answer by another formula or a library.
    styles: more right answers, as code, written in other ways. `check` compares the one with the
    reference, and grades the others.
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
    """A question that asks for a function. `name` is also the name of the key's file, and `function` is
    the name that the function must have in the notebook.

    given_as: how the function gets arrays, as "tensors" of PyTorch or as "arrays" of NumPy. If every
    question of an assignment uses arrays, the sandbox does not import PyTorch. For a notebook that does
    without PyTorch, that import would take most of the grading time.
    """

    name: str
    function: str
    points: float
    variants: tuple[Variant, ...]
    given_as: str = "tensors"  # or "arrays"


@dataclass(frozen=True)
class Design:
    """An open question: the student hands in arrays, and a number that is measured on them decides
    the points.

    arrays: the name, dtype and shape of each array in the file `design.safetensors`; −1 is any
    length up to `most`. measure: from those arrays to a score. guard: from those arrays to a
    sentence when they break a rule, else "". none_at, full_at: the scores that give no points and
    all points; in between they rise in a straight line.
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
    """A question answered in words, which a person reads and marks."""

    name: str
    points: float
    text: str
    solution: str = ""


@dataclass
class Verdict:
    """What the judge says of one question: its points, one sentence, and the mistake's number if it
    has a name.
    """

    points: float
    most: float
    sentence: str
    mistake: int | None = None
    variant: str = ""
    score: float | None = None  # of a design question
    details: dict[str, bool] = field(default_factory=dict)  # by case: right or not
    answer: str = ""  # to a question in words, for the person who marks it
    tried: bool = False  # whether the judge's inputs came to the student's code


def fault_of_type(part: Any) -> str:
    """The first text or number of a key's part, such as a variant, that is something else; "" if none is."""
    for one in fields(part):
        value = getattr(part, one.name)
        if one.type is str and not isinstance(value, str):
            return f"`{one.name}` must be a string, not {value!r}"
        is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
        if one.type in (float, int) and not is_number:
            return f"`{one.name}` must be a number, not {value!r}"
    return ""


def fault_of_arguments(arguments: Arguments) -> str:
    """What is wrong with the first argument that cannot be sent to a sandbox; "" if all can."""

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
            kind = "a list of other things than arrays"
        else:
            kind = f"a value of type {type(value).__name__}"
        return (
            f"`inputs` gives {name!r} as {kind}, but an argument must be an array of numbers, "
            "a list of such arrays, a number, a string, True, False or None"
        )
    return ""


def as_reference_sees(arguments: Arguments) -> Arguments:
    """The same arguments with float64 arrays, so that the reference loses nothing to rounding."""

    def widened(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value.astype(np.float64) if value.dtype.kind == "f" else value.copy()
        if isinstance(value, list | tuple):
            return [widened(part) for part in value]
        return value

    return {name: widened(value) for name, value in arguments.items()}


def copied(arguments: Arguments) -> Arguments:
    """The arguments as a student's code gets them, in arrays of their own."""
    return copy.deepcopy(arguments)


def results_of(
    function: Callable[..., Any], arguments: Arguments, returns: tuple[str, ...], narrow: bool = False
) -> Arrays | None:
    """What a function of ours returns, as float64 arrays by name; None if it stops with an error.

    narrow: compute in float32, as a student's code does; a mistake that overflows does so at other
    numbers there.
    """
    try:
        with np.errstate(all="ignore"):
            found = function(**(copied(arguments) if narrow else as_reference_sees(arguments)))
    except STOPS:
        return None
    return by_name(found, returns)


def by_name(found: Any, returns: tuple[str, ...]) -> Arrays:
    """What a function of ours has returned, as float64 arrays by name."""
    parts = (found,) if len(returns) == 1 else tuple(found)
    return {name: np.asarray(part, dtype=np.float64) for name, part in zip(returns, parts, strict=True)}


def agree(yours: Arrays, wanted: Arrays, tolerance: Tolerance) -> bool:
    """Whether all arrays have equal shapes and numbers within the tolerance; infinities and NaN
    must coincide.
    """
    return all(close(yours[name], wanted[name], tolerance) for name in wanted)


def close(yours: np.ndarray, wanted: np.ndarray, tolerance: Tolerance) -> bool:
    """Whether two arrays agree within the tolerance; see `agree`."""
    if yours.shape != wanted.shape:
        # a scalar may come back as (), (1,) or a Python number: these differ in style, not in mathematics
        if not (yours.size == wanted.size == 1):
            return False
        yours = yours.reshape(wanted.shape)
    is_finite = np.isfinite(wanted)
    finite = wanted[is_finite]
    scale = max(1.0, float(np.abs(finite).max())) if finite.size > 1 else 1.0
    # as np.allclose, which takes several times as long, and a judge does little else
    with np.errstate(invalid="ignore"):
        near = np.abs(yours - wanted) <= tolerance.absolute * scale + tolerance.relative * np.abs(wanted)
    same = (yours == wanted) | (np.isnan(yours) & np.isnan(wanted))
    return bool(((near & is_finite) | same).all())


def share_of_score(design: Design, score: float) -> float:
    """The share of a design question's points that a score earns, from 0 to 1."""
    if not math.isfinite(score):
        return 0.0
    share = (score - design.none_at) / (design.full_at - design.none_at)
    return min(1.0, max(0.0, share))
