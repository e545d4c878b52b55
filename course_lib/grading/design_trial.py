"""Test the key of a design, as part of `check`, before any student hands in arrays."""

import ast
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import numpy as np

from course_lib.grading.assignment import told
from course_lib.grading.question import Arrays, Design

# the dtypes that `hand_in` can write and the judge can read
DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")
# errors that `measure` may raise for arrays that `guard` rejects, such as a singular matrix
STOPS_ON_NUMBERS = (ArithmeticError, ValueError, IndexError)


def faults_of_design(design: Design) -> list[str]:
    """Return the faults found in a design.

    If one fault causes others, only the original fault is reported.
    """
    faults = faults_of_declaration(design)
    if faults:
        return faults
    return [*faults_of_calls(design), *faults_of_model_answer(design)]


def faults_of_declaration(design: Design) -> list[str]:
    """Return the faults in the arrays and the scores that a design declares."""
    if not isinstance(design.arrays, Mapping) or not design.arrays:
        return ["`arrays` must be a dict that maps the name of each array to its dtype and shape."]
    faults = []
    for name, declared in design.arrays.items():
        if not is_dtype_and_shape(declared):
            faults.append(
                f"`arrays` must give {name!r} a dtype and a shape, such as ('float32', (-1, 64)), "
                f"not {declared!r}."
            )
        elif declared[0] not in DTYPES:
            faults.append(
                f"{name!r} has the dtype {declared[0]!r}, which cannot be handed in: "
                f"choose one of {', '.join(DTYPES)}."
            )
    if design.none_at == design.full_at:
        faults.append("`none_at` and `full_at` must differ.")
    return faults


def is_dtype_and_shape(declared: Any) -> bool:
    """Return whether `declared` consists of the name of a dtype and a tuple of lengths."""
    if not isinstance(declared, tuple) or len(declared) != 2:
        return False
    dtype, shape = declared
    if not isinstance(dtype, str) or not isinstance(shape, tuple):
        return False
    return all(isinstance(length, int) and length >= -1 for length in shape)


def faults_of_calls(design: Design) -> list[str]:
    """Return the first fault found when `guard` and `measure` are called with random arrays:
    an error or an invalid result.
    """
    for arrays in random_arrays(design):
        fault = fault_on(design, arrays)
        if fault:
            return [fault]  # other arrays would show the same fault in other words
    return []


def fault_on(design: Design, arrays: Arrays) -> str:
    """Describe what goes wrong when `guard` and `measure` are called with these arrays,
    or return "" if nothing does.
    """
    file = f"keys/{design.name}.py"
    shapes = ", ".join(f"{name} {values.shape}" for name, values in arrays.items())
    on = f"on random arrays ({shapes})"
    try:
        said = design.guard(copied(arrays))
    except Exception as error:
        return f"`guard` stops with {told(error, file)} {on}."
    if not isinstance(said, str):
        return (
            "`guard` must return a sentence, "
            f"or an empty string if no rule is broken, not {said!r}."
        )
    try:
        score = design.measure(copied(arrays))
    except Exception as error:
        if said and isinstance(error, STOPS_ON_NUMBERS):
            return ""  # the judge does not measure arrays that `guard` rejects
        return f"`measure` stops with {told(error, file)} {on}" + (
            "." if said else ", which `guard` accepts."
        )
    try:
        float(score)
    except (TypeError, ValueError):
        return f"`measure` must return a number, not {type(score).__name__}."
    return ""


def copied(arrays: Arrays) -> Arrays:
    """Return copies of the arrays, for a function that may change its arguments."""
    return {name: values.copy() for name, values in arrays.items()}


def random_arrays(design: Design) -> Iterator[Arrays]:
    """Yield random arrays that students might hand in, with the declared dtypes and shapes.

    Dimensions that may have any length first get equal lengths, then different lengths, and then
    length 0.
    """
    rng = np.random.default_rng(0)
    for is_signed in (False, True):
        for start, step in ((3, 0), (3, 1), (0, 0)):
            lengths = count(start, step)
            yield {
                name: drawn(rng, dtype, sizes(shape, lengths, design.most), is_signed)
                for name, (dtype, shape) in design.arrays.items()
            }


def sizes(shape: tuple[int, ...], lengths: Iterator[int], most: int) -> tuple[int, ...]:
    """Return the shape with each −1 replaced by the next length, capped at `most`."""
    return tuple(min(next(lengths), most) if length == -1 else length for length in shape)


def drawn(
    rng: np.random.Generator, dtype: str, shape: tuple[int, ...], is_signed: bool
) -> np.ndarray:
    """Draw an array of random numbers with this dtype and shape.

    Floats lie between 0 and 1 unless `is_signed` is True, in which case they may have either
    sign. All other numbers are 0 or 1.
    """
    if not dtype.startswith("float"):
        return rng.integers(0, 2, shape).astype(dtype)
    numbers = rng.normal(size=shape) if is_signed else rng.uniform(size=shape)
    return numbers.astype(dtype)


def faults_of_model_answer(design: Design) -> list[str]:
    """Return a fault for each array that the model answer never assigns.

    The model answer is not run.
    """
    if not design.solution:
        return []
    try:
        tree = ast.parse(design.solution)
    except SyntaxError as error:
        return [f"the model answer stops with {told(error, '', ' of its code')}."]
    assigned = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    return [
        f"the model answer never assigns {name!r}, which must be handed in."
        for name in design.arrays
        if name not in assigned
    ]
