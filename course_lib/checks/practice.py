"""Practice checks for homework, which test a function on one example and identify known mistakes.

The public examples are stored next to the notebook in NAME.practice.json. The file contains the
inputs, the right results, and the results of known mistakes, but no solution. The grader uses
different inputs.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from course_lib.checks.report import Result, Table, call, exercise, expect, plain, same

DESIGN = "design.safetensors"


class Practice:
    """The public examples of an assignment, read from NAME.practice.json in the given folder.

    Raises FileNotFoundError, with a message meant for students, if the file does not exist.
    """

    def __init__(self, name: str, folder: str | Path = ".") -> None:
        path = Path(folder).expanduser() / f"{name}.practice.json"
        if not path.is_file():
            raise FileNotFoundError(
                f"{path.name} is missing. Put the file in the same folder as this notebook."
            )
        self.examples: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))

    def check(self, question: str, function: Any) -> Result:
        """Try a function on a question's public example and print the verdict on one line."""
        if question not in self.examples:
            raise ValueError(
                f"There is no example for {question!r}. Choose one of these questions: "
                f"{', '.join(self.examples)}."
            )
        example = self.examples[question]

        def on_the_example(student: Any) -> None:
            """Your function gives the right result for the public example.
            The grader uses different inputs, some of them extreme.
            """
            try_example(example, student)

        return exercise(on_the_example)(function)


def try_example(example: Mapping[str, Any], student: Any) -> None:
    """Raise Mistake unless the student's function returns the expected results for the example."""
    given_as = example.get("given_as", "tensors")
    arguments = {name: argument(value, given_as) for name, value in example["arguments"].items()}
    value = call(student, *arguments.values())
    names = example["returns"]
    if isinstance(value, Mapping) and set(names) <= set(value):
        value = [value[name] for name in names] if len(names) > 1 else value[names[0]]
    parts = [value] if len(names) == 1 else value
    expect(
        isinstance(parts, list | tuple) and len(parts) == len(names),
        f"your function must return {len(names)} results: {', '.join(names)}.",
    )
    shown = {
        name: torch.as_tensor(value)
        for name, value in arguments.items()
        if isinstance(value, Tensor | np.ndarray | float | int)
    }
    yours = {name: as_tensor(part) for name, part in zip(names, parts, strict=True)}
    known = {
        sentence: {name: array(values[name]) for name in names}
        for sentence, values in example["mistakes"].items()
    }
    # like the grader, prefer a mistake that explains all results to one that explains a single one
    for sentence, gives in known.items():
        if all(is_same(yours[name], gives[name]) for name in names):
            known = {sentence: gives}
            break
    for name, part in yours.items():
        right = array(example["right"][name])
        mistakes = {
            sentence: gives[name]
            for sentence, gives in known.items()
            if not same(gives[name], right)
        }
        what = "your result" if len(names) == 1 else f"`{name}`"
        # show whole inputs, because one element of a softmax, for example, depends on all of them
        Table(shown, right, mistakes, inputs_whole=True).judge(part, what)


def is_same(yours: object, wrong: Tensor) -> bool:
    """Return whether a result, which may be of any type, is the result of a known mistake."""
    if not isinstance(yours, Tensor) or yours.is_complex():
        return False
    return same(plain(yours, "your result"), wrong)


def argument(value: Any, given_as: str = "tensors") -> Any:
    """Convert a stored argument to the form in which the student's function receives it.

    The result is a tensor, an array, a number, or a list of these. Tensors and arrays contain
    float32 numbers or integers.
    """
    if isinstance(value, dict) and "array" in value:
        numbers = np.array(value["array"], dtype=value["dtype"]).reshape(value["shape"])
        return numbers if given_as == "arrays" else torch.tensor(numbers)
    if isinstance(value, list):
        return [argument(part, given_as) for part in value]
    return value


def array(value: Mapping[str, Any]) -> Tensor:
    """Convert an array stored in a practice file to a float64 tensor of the stored shape."""
    return torch.tensor(np.array(value["array"], dtype=np.float64).reshape(value["shape"]))


def as_tensor(value: object) -> object:
    """Convert numbers, arrays, and lists of these to floating-point tensors, as the grader does."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() or value.is_complex() else value.double()
    if isinstance(value, list | tuple):
        found = [as_tensor(part) for part in value]
        tensors = [part for part in found if isinstance(part, Tensor)]
        alike = len(tensors) == len(found) and len({part.shape for part in tensors}) == 1
        return torch.stack(tensors) if alike else value
    if isinstance(value, np.ndarray | np.generic | float | int):
        return torch.as_tensor(np.asarray(value, dtype=np.float64))
    return value


def hand_in(**arrays: Tensor | np.ndarray) -> None:
    """Write the arrays of a design question to design.safetensors in the current folder.

    Hand in this file together with the notebook.
    """
    tensors = {
        name: torch.as_tensor(value).detach().cpu().contiguous() for name, value in arrays.items()
    }
    # the judge reads NumPy arrays, and NumPy does not support bfloat16
    tensors = {name: v.float() if v.dtype == torch.bfloat16 else v for name, v in tensors.items()}
    part = Path(f".{DESIGN}.part")
    save_file(tensors, part)
    part.replace(DESIGN)
    sizes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in tensors.items())
    print(f"{DESIGN} has been written ({sizes}). Hand it in together with this notebook.")
