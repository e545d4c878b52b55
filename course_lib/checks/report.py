"""Shared tools that call a student's function safely, judge its answer and print one line."""

import html
import inspect
import itertools
import linecache
import math
import random
import re
import secrets
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import numpy as np
import torch
from torch import Tensor

Student = Callable[..., object]
Reference = Callable[..., Any]  # computes the correct answer: one tensor or several
# Maps the inputs to {sentence: result of this mistake}.
Mistakes = Callable[..., Mapping[str, Tensor]]
Inputs = Mapping[str, Any]  # an exercise's arguments by name, in the order in which they are passed
NOT_STARTED = "replace `raise NotImplementedError` with your code, then run this check again."
WORD = {"correct": "✓ Correct", "mistake": "✗ Not yet", "not started": "○ Not started"}
# Colour-blind readers can tell these colours apart, and they are legible on white and on black.
# The contrast is at least 4.5 : 1 on white, and 3 : 1 on #212121, the background of a dark theme.
COLOUR = {"correct": "#1F74B5", "mistake": "#C25200", "not started": "#757575"}


class Mistake(Exception):
    """The exception that ends a check with a message to the student."""


@dataclass
class Result:
    """The verdict of a check.

    status: "not started", "correct" or "mistake".
    message: the text shown to the student.
    error: the exception raised while the check read the result, or None; intended for authors who
    test a new check.
    """

    status: str
    message: str
    error: Exception | None = None

    def _ipython_display_(self) -> None:
        """Display nothing, because the check has already printed its line."""


@contextmanager
def repeatable() -> Iterator[None]:
    """Seed the generators of PyTorch, NumPy and Python, enable gradients,
    and restore the previous states afterwards.

    In every run of a check, these generators therefore produce the same numbers. The notebook's own
    random numbers are not affected.
    """
    of_numpy, of_python = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.default_generator.manual_seed(0)
            np.random.seed(0)  # noqa: NPY002
            random.seed(0)
            yield
    finally:
        np.random.set_state(of_numpy)  # noqa: NPY002
        random.setstate(of_python)


def exercise(check: Callable[[Student], None]) -> Callable[[Student], Result]:
    """Turn a function that raises Mistake into a check that prints one line.

    If the answer is correct, the line contains the docstring of the decorated function. An
    exception other than Mistake is passed on unchanged if it is raised before the student's
    function is called.
    """

    praise = " ".join((check.__doc__ or "well done.").split())  # on one line

    @wraps(check)
    def run(student: Student) -> Result:
        status, says, trouble, answered = "correct", praise, None, False

        def noted(*inputs: Any, **named: Any) -> object:
            nonlocal answered
            answered = True
            return student(*inputs, **named)

        try:
            with repeatable():
                check(wraps(student)(noted) if callable(student) else student)
        except Mistake as found:
            status, says = "not started" if str(found) == NOT_STARTED else "mistake", str(found)
        except Exception as error:
            # whatever a student returns, no traceback from the check is shown
            if not answered:
                raise
            status, trouble = "mistake", error
            reason = textwrap.shorten(str(error), 120, placeholder=" …")
            says = (
                f"your result cannot be read ({type(error).__name__}: {reason}). Return a plain "
                "torch tensor. If you already do, the check itself has failed, so please report "
                "the error."
            )
        line = f"{WORD[status]}: {says}"
        if "IPython" in sys.modules and sys.modules["IPython"].get_ipython():
            text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(says))
            mark = f'<span style="color:{COLOUR[status]};font-weight:bold">{WORD[status]}:</span>'
            both = {"text/plain": line, "text/html": f"<div>{mark} {text}</div>"}
            sys.modules["IPython"].display.display(both, raw=True)
        else:
            encoding = sys.stdout.encoding or "utf-8"  # an old Windows console cannot print ✓
            print(line.encode(encoding, "replace").decode(encoding))
        return Result(status, says, trouble)

    run.__doc__ = praise
    return run


def expect(good: object, otherwise: str) -> None:
    """Raise Mistake(otherwise) unless `good` is true."""
    if not good:
        raise Mistake(otherwise)


def call(student: Student, *inputs: Any) -> Any:
    """Call the student's function on copies of the inputs and return its result.

    Raise Mistake if the function fails, changes an input in place, or returns None. If the function
    fails, the message quotes the line that failed.
    """
    expect(
        callable(student),
        "pass the function itself without calling it: write its name with no parentheses after it.",
    )
    copies = [v.clone() if isinstance(v, Tensor) else v for v in inputs]
    try:
        value = student(*copies)
    except Mistake:  # raised by one of the check's own networks, which the student's function calls
        raise
    except (Exception, SystemExit) as error:
        line, trace = "", error.__traceback__
        file = getattr(getattr(inspect.unwrap(student), "__code__", None), "co_filename", "")
        while trace:  # find the innermost line in the student's own file or cell
            if file == trace.tb_frame.f_code.co_filename:
                line = linecache.getline(file, trace.tb_lineno).strip()
            trace = trace.tb_next
        # torch also raises NotImplementedError ("not implemented for 'Byte'"), which is not a stub
        stub = isinstance(error, NotImplementedError) and "raise " in (line or "raise ")
        says = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}".rstrip(":. ")
        says = f"your function stops{f' in `{line}`' if line else ''} with {says}."
        raise Mistake(NOT_STARTED if stub else says) from None
    kept = all(
        torch.equal(v, c) for v, c in zip(inputs, copies, strict=True) if isinstance(v, Tensor)
    )
    expect(
        kept,
        "your function changes its input in place. Look for `+=`, `/=` or a method whose name "
        "ends in `_`.",
    )
    expect(value is not None, "your function returns None, so its `return` line is missing.")
    return value


def plain(value: object, what: str) -> Tensor:
    """Return `value` as a detached, dense tensor on the CPU.

    Raises Mistake if it is not a tensor of real numbers.
    """
    if not isinstance(value, Tensor) or value.is_complex():
        raise Mistake(
            f"{what} must be a torch tensor of real numbers, but got {type(value).__name__}."
        )
    return value.detach().to_dense().cpu()


def number_or_tensor(value: object, what: str, differentiable: bool) -> Tensor:
    """Do what `plain` does, but also accept a Python or NumPy number if no gradient is needed."""
    if isinstance(value, bool) or not isinstance(value, float | int | np.floating | np.integer):
        return plain(value, what)
    if differentiable and isinstance(value, np.generic):
        says = "because NumPy passes no gradient on. Use only torch operations."
        raise Mistake(f"{what} must be a torch tensor, not a NumPy number, {says}")
    if differentiable:
        says = "because `.item()` and `float()` cut the gradient. Return the tensor itself."
        raise Mistake(f"{what} must be a torch tensor, not {type(value).__name__}, {says}")
    return torch.tensor(float(value), dtype=torch.float64)


def show(value: Tensor) -> str:
    """Format a tensor as rounded numbers, with parentheses in place of brackets."""
    rounded = value.double().round(decimals=4) if value.is_floating_point() else value
    return str(rounded.tolist()).replace("[", "(").replace("]", ")")


def same(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors have the same shape and nearly equal elements.

    The relative tolerance of 1e-4 is far above float32 rounding errors and far below the effect of
    typical mistakes.
    """
    if a.shape != b.shape:
        return False
    return torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-6, equal_nan=True)


@dataclass
class Table:
    """A small input for an exercise, the right answer, and the results of typical mistakes."""

    inputs: Mapping[str, Tensor]
    right: Tensor
    # sentence: the result of this mistake
    mistakes: Mapping[str, Tensor] = field(default_factory=dict)
    # sentence: property
    laws: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    # shown after the sentence about NaN and infinity
    not_finite: str = (
        "Look for a division by 0, or for the logarithm of a number that is not positive."
    )
    # shown for a finite wrong value that no sentence above describes
    otherwise: str = "a value is wrong."
    dtype: torch.dtype | None = None  # None: any floating-point dtype
    # True: a Python float is an error, because no gradient flows through it
    differentiable: bool = False
    # False: if an input has one row for each row of the answer, a message shows only the wrong row
    inputs_whole: bool = False

    @classmethod
    def of(cls, inputs: Inputs, reference: Reference, mistakes: Mistakes, **more: Any) -> "Table":
        """Build a table from inputs, a reference solution, and a function that simulates typical
        mistakes.
        """
        return cls(inputs, reference(*inputs.values()), mistakes(*inputs.values()), **more)

    def ask(self, student: Student) -> None:
        """Call the student's function on the inputs and judge its result."""
        self.judge(call(student, *self.inputs.values()))

    def judge(self, value: object, what: str = "your result") -> None:
        """Raise Mistake unless the value has the right dtype, shape and elements.

        If the value matches a known mistake, the message names that mistake.
        """
        right = self.right.detach()
        if right.ndim == 0:
            yours = number_or_tensor(value, what, self.differentiable)
        else:
            yours = plain(value, what)
        named = [says for says, wrong in self.mistakes.items() if same(yours, wrong)]
        if named:
            says = named[0]
        elif yours.dtype != self.dtype if self.dtype else not yours.is_floating_point():
            wanted = f"dtype {self.dtype}" if self.dtype else "a floating-point dtype"
            says = f"{what} must have {wanted}, not {yours.dtype}."
        elif yours.shape != right.shape:
            is_transposed = yours.ndim == 2 and same(yours.T, right)
            hint = "Which axis do you reduce over?"
            if is_transposed or same(yours.squeeze(), right.squeeze()):
                hint = "The numbers are right, but the axes are not."
            says = f"{what}: the shape is wrong. {hint}"
        elif not yours.isfinite().all():
            says = f"{what} must not contain NaN or infinity. {self.not_finite}"
        elif same(yours, right):
            return
        else:
            for says, holds in self.laws.items():
                broken = ~holds(yours)
                where = broken if broken.shape == yours.shape else None
                if broken.any():
                    raise Mistake(f"{says} {self.example(yours, where)}")
            says = f"{what}: {self.otherwise}"
        raise Mistake(f"{says} {self.example(yours)}")

    def example(self, yours: Tensor, where: Tensor | None = None) -> str:
        """In one sentence, describe the first wrong element, or the first one `where` selects."""
        if yours.shape != self.right.shape:
            return (
                f"Your shape is {tuple(yours.shape)}, but it should be {tuple(self.right.shape)}."
            )
        right = self.right.detach().double()
        if where is None:
            where = ~torch.isclose(yours.double(), right, rtol=1e-4, atol=1e-6)
        if not where.any():
            return "The numbers themselves are right."
        at = where.nonzero()[0].tolist()
        rows = {
            n: v[at[0]] if at and v.ndim and len(v) == len(yours) else v
            for n, v in self.inputs.items()
        }
        shown = self.inputs if self.inputs_whole else rows
        short = {name: value for name, value in shown.items() if value.numel() <= 9}
        given = ", ".join(f"{name} = {show(value)}" for name, value in short.items())
        if self.inputs_whole and short and len(short) < len(shown):
            given += " and longer inputs"
        says = f"{f'your element {at}' if at else 'yours'} is {show(yours[tuple(at)])}"
        says = f"For {given}: {says}" if given else says.capitalize()
        return f"{says} but should be {show(self.right[tuple(at)])}."


def numbers(value: object, what: str, shape: tuple[int, ...]) -> Tensor:
    """Return `value` as a detached, dense tensor on the CPU.

    Raises Mistake if it has the wrong shape or dtype, or contains NaN or infinity.
    """
    yours = plain(value, what)
    says = f"{what} must have shape {tuple(shape)}, not {tuple(yours.shape)}."
    expect(yours.shape == shape, says)
    says = f"{what} must have a floating-point dtype, not {yours.dtype}."
    expect(yours.is_floating_point(), says)
    expect(yours.isfinite().all(), f"{what} must not contain NaN or infinity.")
    return yours


def other_units(right: Tensor) -> dict[str, Tensor]:
    """Return the right answer in bits and in base-10 units,
    for inclusion in the `mistakes` of a Table.
    """
    bits = (
        "the result is in bits (logarithms to base 2), but it must be in nats. Use the natural "
        "logarithm."
    )
    tens = (
        "the result uses logarithms to base 10, but it must be in nats. Use the natural logarithm."
    )
    return {bits: right / math.log(2), tens: right / math.log(10)}


def fresh_generator() -> torch.Generator:
    """Return a generator whose seed comes from the operating system, not from torch's default
    generator.
    """
    return torch.Generator().manual_seed(secrets.randbits(62))


def parts(answer: object, names: Sequence[str], right: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors of an answer as a list.

    Raises Mistake if their number or order does not match `names`.
    """
    order = ", ".join(names)
    if not isinstance(answer, tuple | list) or len(answer) != len(names):
        raise Mistake(f"your function must return {len(names)} tensors: {order}.")
    yours = [plain(part, f"your {name}") for part, name in zip(answer, names, strict=True)]
    shapes, right_shapes = [part.shape for part in yours], [good.shape for good in right]
    for turned in itertools.permutations(right):
        if all(good is own for good, own in zip(turned, right, strict=True)):
            continue
        values = all(same(part, good) for part, good in zip(yours, turned, strict=True))
        # different shapes reveal the order even if the numbers are also wrong
        by_shape = shapes != right_shapes and shapes == [good.shape for good in turned]
        expect(not (values or by_shape), f"the results are in the wrong order. Return {order}.")
    return yours


OTHER_NUMBERS = (
    "your function is right on the example but wrong for other numbers. Does it fit only the "
    "example?"
)
OTHER_SIZE = (
    "your function is right on the example but wrong for another input size. Is a size hard-coded?"
)
DRAWN_ANEW = " (This input is drawn at random each time the check runs.)"


def other_inputs(
    student: Student,
    reference: Reference,
    draw: Callable[..., Inputs],
    example: tuple[int, ...],
    other: tuple[int, ...],
    mistakes: Mistakes | None = None,
) -> None:
    """Raise Mistake unless the function agrees with the reference on two newly drawn inputs.

    draw(generator, *sizes) returns the inputs as a mapping keyed by name. The first draw uses the
    sizes of the example, and the second uses different sizes, so that the message can distinguish
    code that fits only the example from code with a hard-coded size. The expected value is never
    shown. mistakes(*inputs) returns the result of each typical mistake, keyed by the sentence that
    is shown if the student's result matches.
    """
    generator = fresh_generator()
    for sizes, says in ((example, OTHER_NUMBERS), (other, OTHER_SIZE)):
        inputs = draw(generator, *sizes).values()
        right = reference(*inputs)
        try:
            yours = call(student, *inputs)
        except Mistake as stopped:
            raise Mistake(f"{says} On that input, {stopped}") from None
        if agrees(yours, right):
            continue
        for named, wrong in (mistakes(*inputs) if mistakes else {}).items():
            expect(not agrees(yours, wrong), named + DRAWN_ANEW)
        raise Mistake(says)


def agrees(yours: object, right: Tensor | Sequence[Tensor]) -> bool:
    """Return whether two answers agree; a Python or NumPy number counts as a tensor of shape ().

    The relative tolerance is 1e-4. The absolute tolerance is 1e-5 times the largest finite
    magnitude in `right`, but at least 1e-5. Rounding errors in float32 sums of a few hundred terms
    are far below these tolerances.
    """
    if not isinstance(right, Tensor):
        if not isinstance(yours, tuple | list) or len(yours) != len(right):
            return False
        return all(agrees(part, good) for part, good in zip(yours, right, strict=True))
    if isinstance(yours, float | int | np.floating | np.integer) and right.ndim == 0:
        yours = torch.tensor(float(yours))
    if not isinstance(yours, Tensor) or yours.is_complex() or yours.shape != right.shape:
        return False
    own, good = plain(yours, "your result").double(), right.detach().double()
    finite = torch.where(good.isfinite(), good, 0.0).abs()
    largest = max(float(finite.max()), 1.0) if good.numel() else 1.0
    return torch.allclose(own, good, rtol=1e-4, atol=1e-5 * largest, equal_nan=True)


def gradients(
    student: Student,
    reference: Reference,
    inputs: Inputs,
    to: Collection[str],
    otherwise: str = (
        "Is a part of the result cut off by `detach`, or changed by clamping or rounding?"
    ),
) -> None:
    """Raise Mistake unless the gradients with respect to the inputs named in `to` are right.

    Call this function last, because it assumes that the value is right. If the result contains
    several numbers, the gradients are those of a weighted sum with unequal weights.
    """
    leaves = {}
    for name, value in inputs.items():
        leaves[name] = value.clone().requires_grad_() if name in to else value
    try:
        yours = call(student, *leaves.values())
    except Mistake as stopped:
        says = (
            "your function must be differentiable, but NumPy passes no gradient on. Use only torch "
            "operations."
        )
        expect("numpy()" not in str(stopped), says)
        raise
    expect(
        all(leaves[name].grad is None for name in to),
        "`backward()` is called inside your function. Only return the value, and leave `.grad` "
        "alone.",
    )
    cut = (
        "is cut. Look for `detach`, `item`, `.data`, `no_grad`, or a new tensor built from numbers."
    )
    right = reference(*leaves.values())
    wanted = weighted_gradients(right, leaves, to)
    found = weighted_gradients(yours, leaves, to)
    for name, slope, good in zip(to, found, wanted, strict=True):
        lost = good.any() and not slope.any()
        expect(not lost, f"the value is right, but its gradient with respect to {name} {cut}")
        says = f"the value is right, but its gradient with respect to {name} is NaN or infinite."
        expect(slope.isfinite().all(), says)
        says = f"the value is right, but its gradient with respect to {name} is wrong. {otherwise}"
        expect(agrees(slope, good), says)


def weighted_gradients(value: object, leaves: Inputs, to: Collection[str]) -> list[Tensor]:
    """Return the gradients of Σ (1 + i/n) · value[i], with zeros for inputs without a gradient."""
    if not isinstance(value, Tensor) or not value.requires_grad:
        return [torch.zeros_like(leaves[name]) for name in to]
    i = torch.arange(value.numel(), dtype=value.dtype).reshape(value.shape)
    total = ((1 + i / value.numel()) * value).sum()
    return pulled_back(total, [leaves[name] for name in to])


def pulled_back(total: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients of the scalar `total` with respect to the inputs.

    Inputs that do not affect `total` get a gradient of zero.
    """
    try:
        found = torch.autograd.grad(total, inputs, allow_unused=True, retain_graph=True)
    except RuntimeError as error:
        says = f"PyTorch reports: {' '.join(str(error).split())[:160]}"
        if "inplace" in says:
            says = (
                "An in-place operation (`+=`, `add_`) overwrites a value that the gradient needs."
            )
        raise Mistake(f"the value is right, but it has no gradient. {says}") from None
    zeros = [torch.zeros_like(given) for given in inputs]
    return [zero if slope is None else slope for slope, zero in zip(found, zeros, strict=True)]


def draws(
    student: Student, frozen: Mapping[str, Tensor], shape: tuple[int, ...], *inputs: object
) -> Tensor:
    """Return one draw after checking that its seed reproduces it and that the next draw differs."""
    one, two = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    draw, again, after = (plain(call(student, *inputs, g), "your draw") for g in (one, two, one))
    numbers(draw, "your draw", shape)
    for says, wrong in frozen.items():
        expect(not same(draw, wrong), says)
    expect(
        torch.equal(draw, again),
        "two calls with the same seed give different draws. Use `generator=generator` in every "
        "random call.",
    )
    says = (
        "a second call with the same generator repeats the first draw. Is a seed set inside your "
        "function?"
    )
    expect(not torch.equal(draw, after), says)
    return draw


def expect_gaussian(
    z: Tensor, mean: Tensor, std: Tensor, mistakes: Mapping[str, tuple[Tensor, Tensor]]
) -> None:
    """Raise Mistake unless the rows of z are independent draws from N(mean, std²).

    z has the shape (N, d).
    mistakes: the mean and standard deviation of the draws for each known mistake, keyed by the
    sentence that describes the mistake.
    Each statistic has a tolerance of about 5 standard errors, so a correct function almost never
    fails.
    """
    n = len(z)
    expect(
        (z != z[0]).any(),
        "all rows get the same noise. Draw the noise with shape (N, d), one value per number.",
    )
    e = (z - z.mean(0)) / z.std(0).clamp(min=1e-9)  # (N, d), standardized
    # the largest correlation between two columns
    columns_alike = (e.T @ e / n).fill_diagonal_(0).abs().max()
    expect(
        columns_alike < 0.2,
        "all dimensions of a row share one noise value. Draw the noise with shape (N, d).",
    )
    for lag in (1, n // 2):  # a row and the next row; a row and its partner in the other half
        rows_alike = (e[lag:] * e[:-lag]).mean(0).abs().max()
        expect(
            rows_alike < 0.2,
            "rows share their noise. Draw the noise with shape (N, d), one value per number.",
        )
    says = (
        "the noise is not Gaussian. Use `torch.randn`, because `torch.rand` is uniform on [0, 1)."
    )
    fourth = e.pow(4).mean()  # 3 for a Gaussian, 1.8 for a uniform and 6 for a Laplace distribution
    # the standard error is √(24 / number of values)
    expect((fourth - 3).abs() < max(0.3, 6 * (24 / e.numel()) ** 0.5), says)
    beyond = (e.abs() > 3.2).any()  # about twenty of 15,000 Gaussian numbers lie beyond ±3.2
    expect(
        beyond or e.numel() < 15_000,
        "the noise is cut off. A Gaussian variable is unbounded, so do not clamp the noise.",
    )

    def mean_off(mean: Tensor, std: Tensor) -> Tensor:  # in standard errors, (d,)
        return (z.mean(0) - mean).abs() / std * n**0.5

    def std_off(std: Tensor) -> Tensor:  # in standard errors, (d,)
        return (z.std(0) - std).abs() / std * (2 * n) ** 0.5

    for says, (other_mean, other_std) in mistakes.items():
        far = torch.maximum(mean_off(other_mean, other_std), std_off(other_std))
        expect(far.max() > 5, says)
    k = int(mean_off(mean, std).argmax())
    says = f"column {k} of z has a wrong mean: {z[:, k].mean():.3f} instead of {mean[k]:.3f}."
    # if the spread is too large, the mean of the draws also deviates more
    expect((z[:, k].mean() - mean[k]).abs() < 5.5 * torch.maximum(std, z.std(0))[k] / n**0.5, says)
    k = int(std_off(std).argmax())
    says = f"column {k} of z has the right mean but a wrong spread"
    says = f"{says}: its standard deviation is {z[:, k].std():.3f} instead of {std[k]:.3f}."
    expect(std_off(std)[k] < 5.5, says)
