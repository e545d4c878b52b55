"""What the checks share: call a student's function safely, compare its answer, say one line."""

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
Reference = Callable[..., Any]  # the right function: inputs to a tensor, or to a tuple of tensors
Mistakes = Callable[..., Mapping[str, Tensor]]  # the same inputs to {sentence: what this mistake gives}
Inputs = Mapping[str, Any]  # an exercise's arguments by name, in the order in which they are passed
NOT_STARTED = "replace `raise NotImplementedError` with your steps, then run this again."
WORD = {"correct": "✓ Correct", "mistake": "✗ Not yet", "not started": "○ Not started"}
# safe for colour-blind eyes, and read on white and on black
# 4.5 : 1 on white at least, and 3 : 1 on a dark theme's #212121
COLOUR = {"correct": "#1F74B5", "mistake": "#C25200", "not started": "#757575"}


class Mistake(Exception):
    """Ends a check; its text is what the student reads."""


@dataclass
class Result:
    """A verdict: `status` is "not started", "correct" or "mistake"; `message` is the sentence.

    error: what a result that cannot be read ran into; an author who tries a new check looks here.
    """

    status: str
    message: str
    error: Exception | None = None

    def _ipython_display_(self) -> None:
        """Nothing, because the check has written its line already."""


@contextmanager
def repeatable() -> Iterator[None]:
    """Seed torch, NumPy and Python, and put all three generators back afterwards; gradients are switched on.

    So the same answer gets the same verdict each time, and the notebook's random numbers stay as they were.
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
    """Turn a function that raises Mistake into a check that shows one line; its docstring is the praise.

    An error of the check itself, before it has called the student's function, is raised as it is.
    """

    @wraps(check)
    def run(student: Student) -> Result:
        status, says, trouble, answered = "correct", check.__doc__ or "well done.", None, False

        def noted(*inputs: Any, **named: Any) -> object:
            nonlocal answered
            answered = True
            return student(*inputs, **named)

        try:
            with repeatable():
                check(wraps(student)(noted) if callable(student) else student)
        except Mistake as found:
            status, says = "not started" if str(found) == NOT_STARTED else "mistake", str(found)
        except Exception as error:  # whatever a student returns, no traceback of ours
            if not answered:
                raise
            status, trouble = "mistake", error
            reason = textwrap.shorten(str(error), 120, placeholder=" …")
            says = (
                f"your result cannot be read ({type(error).__name__}: {reason}): return a plain torch "
                "tensor. If it is one, the check itself has failed: please report it."
            )
        line = f"{WORD[status]}: {says}"
        if "IPython" in sys.modules and sys.modules["IPython"].get_ipython():
            text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(says))
            mark = f'<span style="color:{COLOUR[status]};font-weight:bold">{WORD[status]}:</span>'
            both = {"text/plain": line, "text/html": f"<div>{mark} {text}</div>"}
            sys.modules["IPython"].display.display(both, raw=True)
        else:
            encoding = sys.stdout.encoding or "utf-8"  # an old Windows console has no ✓
            print(line.encode(encoding, "replace").decode(encoding))
        return Result(status, says, trouble)

    return run


def expect(good: object, otherwise: str) -> None:
    """Raise Mistake(otherwise) unless good."""
    if not good:
        raise Mistake(otherwise)


def call(student: Student, *inputs: Any) -> Any:
    """Call on copies of the inputs; an error inside becomes one sentence with the student's own line."""
    expect(callable(student), "pass the function itself, without calling it: its name, no brackets after it.")
    copies = [v.clone() if isinstance(v, Tensor) else v for v in inputs]
    try:
        value = student(*copies)
    except Mistake:  # said by a network of ours that the student's function was given
        raise
    except (Exception, SystemExit) as error:
        line, trace = "", error.__traceback__
        file = getattr(getattr(inspect.unwrap(student), "__code__", None), "co_filename", "")
        while trace:  # to the innermost line of the student's own file or cell
            if file == trace.tb_frame.f_code.co_filename:
                line = linecache.getline(file, trace.tb_lineno).strip()
            trace = trace.tb_next
        # torch raises NotImplementedError too ("not implemented for 'Byte'"): that is no stub
        stub = isinstance(error, NotImplementedError) and "raise " in (line or "raise ")
        says = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}".rstrip(":. ")
        says = f"your function stops{f' in `{line}`' if line else ''} with {says}."
        raise Mistake(NOT_STARTED if stub else says) from None
    kept = all(torch.equal(v, c) for v, c in zip(inputs, copies, strict=True) if isinstance(v, Tensor))
    expect(kept, "your function changes its input in place: look for `+=`, `/=`, or a method ending in `_`.")
    expect(value is not None, "your function returns None, so its `return` line is missing.")
    return value


def plain(value: object, what: str) -> Tensor:
    """The value, detached and on the CPU, if it is a real tensor."""
    if not isinstance(value, Tensor) or value.is_complex():
        raise Mistake(f"{what}: a {type(value).__name__}, but a torch tensor of real numbers is wanted.")
    return value.detach().to_dense().cpu()


def number_or_tensor(value: object, what: str, differentiable: bool) -> Tensor:
    """Like `plain`, for one number: a Python or NumPy float will do where no gradient is wanted."""
    if isinstance(value, bool) or not isinstance(value, float | int | np.floating | np.integer):
        return plain(value, what)
    if differentiable:
        says = "but a torch tensor is wanted: `.item()` and `float()` cut the gradient. Return the tensor."
        raise Mistake(f"{what}: a {type(value).__name__}, {says}")
    return torch.tensor(float(value), dtype=torch.float64)


def show(value: Tensor) -> str:
    """The numbers, rounded, in round brackets."""
    return str(value.double().round(decimals=4).tolist()).replace("[", "(").replace("]", ")")


def same(a: Tensor, b: Tensor) -> bool:
    """Equal shapes and numbers; 1e-4 is far above float32 rounding, far below a typical mistake."""
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-6, equal_nan=True)


@dataclass
class Table:
    """An exercise's small input, its known answer, and what each typical mistake gives on that input."""

    inputs: Mapping[str, Tensor]
    right: Tensor
    mistakes: Mapping[str, Tensor] = field(default_factory=dict)  # sentence: what this mistake computes
    laws: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)  # sentence: what must hold
    # said after "NaN or infinity."
    not_finite: str = "Look for a division by 0, or the logarithm of 0 or less."
    otherwise: str = "a wrong value."  # said of a finite wrong value that nothing above names
    dtype: torch.dtype | None = None  # None: any floating type
    differentiable: bool = False  # True refuses a Python float, through which no gradient flows
    # False: of an input with a row for each row of the answer, a message shows only the wrong element's row
    inputs_whole: bool = False

    @classmethod
    def of(cls, inputs: Inputs, reference: Reference, mistakes: Mistakes, **more: Any) -> "Table":
        """The table of a reference and of a function that makes all typical mistakes, on these inputs."""
        return cls(inputs, reference(*inputs.values()), mistakes(*inputs.values()), **more)

    def ask(self, student: Student) -> None:
        """Call the student's function on the inputs and judge what it returns."""
        self.judge(call(student, *self.inputs.values()))

    def judge(self, value: object, what: str = "your result") -> None:
        """Raise Mistake unless right: mistakes, then dtype, shape, finite, properties, values."""
        right = self.right.detach()
        one_number = right.ndim == 0
        yours = number_or_tensor(value, what, self.differentiable) if one_number else plain(value, what)
        named = [says for says, wrong in self.mistakes.items() if same(yours, wrong)]
        if named:
            says = named[0]
        elif yours.dtype != self.dtype if self.dtype else not yours.is_floating_point():
            says = f"{what}: dtype {yours.dtype}, but {self.dtype or 'a floating type'} is wanted."
        elif yours.shape != right.shape:
            turned = same(yours.squeeze(), right.squeeze()) or (yours.ndim == 2 and same(yours.T, right))
            hint = "the numbers are right, the axes are not." if turned else "which axis do you reduce over?"
            says = f"{what}: a wrong shape, {hint}"
        elif not yours.isfinite().all():
            says = f"{what}: NaN or infinity. {self.not_finite}"
        elif same(yours, right):
            return
        else:
            broken = [(says, ~holds(yours)) for says, holds in self.laws.items() if not holds(yours).all()]
            if broken:
                says, where = broken[0]
                raise Mistake(f"{says} {self.example(yours, where if where.shape == yours.shape else None)}")
            says = f"{what}: {self.otherwise}"
        raise Mistake(f"{says} {self.example(yours)}")

    def example(self, yours: Tensor, where: Tensor | None = None) -> str:
        """The first element that disagrees, or the first one of `where`: the input, yours, expected."""
        if yours.shape != self.right.shape:
            return f"Yours has shape {tuple(yours.shape)}, expected {tuple(self.right.shape)}."
        right = self.right.detach().double()
        apart = ~torch.isclose(yours.double(), right, rtol=1e-4, atol=1e-6) if where is None else where
        if not apart.any():
            return "The numbers themselves are right."
        at = apart.nonzero()[0].tolist()
        rows = {n: v[at[0]] if at and v.ndim and len(v) == len(yours) else v for n, v in self.inputs.items()}
        shown = self.inputs if self.inputs_whole else rows
        short = {name: value for name, value in shown.items() if value.numel() <= 9}
        given = ", ".join(f"{name} = {show(value)}" for name, value in short.items())
        if self.inputs_whole and short and len(short) < len(shown):
            given += " and longer inputs"
        says = f"{f'your element {at}' if at else 'yours'} is {show(yours[tuple(at)])}"
        says = f"For {given}: {says}" if given else says.capitalize()
        return f"{says}, expected {show(self.right[tuple(at)])}."


def numbers(value: object, what: str, shape: tuple[int, ...]) -> Tensor:
    """The value as a plain tensor, if it has this shape, a floating type, and neither NaN nor infinity."""
    yours = plain(value, what)
    expect(yours.shape == shape, f"{what}: shape {tuple(yours.shape)}, expected {tuple(shape)}.")
    expect(yours.is_floating_point(), f"{what}: dtype {yours.dtype}, but a floating type is wanted.")
    expect(yours.isfinite().all(), f"{what}: NaN or infinity.")
    return yours


def other_units(right: Tensor) -> dict[str, Tensor]:
    """What the right answer in nats would be with another logarithm: entries for a Table's mistakes."""
    bits = "these are bits (logarithms to base 2): nats are wanted, so use the natural logarithm."
    tens = "these are logarithms to base 10: nats are wanted, so use the natural logarithm."
    return {bits: right / math.log(2), tens: right / math.log(10)}


def fresh_generator() -> torch.Generator:
    """A generator whose seed comes from the operating system; torch's own generator is left alone."""
    return torch.Generator().manual_seed(secrets.randbits(62))


def parts(answer: object, names: Sequence[str], right: Sequence[Tensor]) -> list[Tensor]:
    """The tensors of an answer that returns several, if they come in the order of `names`."""
    order = ", ".join(names)
    if not isinstance(answer, tuple | list) or len(answer) != len(names):
        raise Mistake(f"return {len(names)} tensors: {order}.")
    yours = [plain(part, f"your {name}") for part, name in zip(answer, names, strict=True)]
    for turned in itertools.permutations(right):
        if all(good is own for good, own in zip(turned, right, strict=True)):
            continue
        values = all(same(part, good) for part, good in zip(yours, turned, strict=True))
        # different shapes tell the order even where the numbers are wrong, too
        shapes = [part.shape for part in yours]
        by_shape = shapes == [good.shape for good in turned] and shapes != [good.shape for good in right]
        expect(not (values or by_shape), f"the results come in another order: return {order}.")
    return yours


OTHER_NUMBERS = "Right on the example, wrong on other numbers: does your code fit only the example?"
OTHER_SIZE = "Right on the example, wrong on another size: is a size written into your code?"
DRAWN_ANEW = " (The input is drawn anew at each check.)"


def other_inputs(
    student: Student,
    reference: Reference,
    draw: Callable[..., Inputs],
    example: tuple[int, ...],
    other: tuple[int, ...],
    mistakes: Mistakes | None = None,
) -> None:
    """Raise Mistake unless the student agrees with the reference on two inputs that nobody has seen.

    draw(generator, *sizes) gives the inputs by name. The first draw has the example's sizes, the second
    one others, so that the message can tell a number that fits only the example from a size that is written
    into the code. The expected value is never shown.
    mistakes: gives for the same inputs what each typical mistake computes; its sentence is said then.
    """
    generator = fresh_generator()
    for sizes, says in ((example, OTHER_NUMBERS), (other, OTHER_SIZE)):
        inputs = draw(generator, *sizes).values()
        right = reference(*inputs)
        try:
            yours = call(student, *inputs)
        except Mistake as stopped:
            raise Mistake(f"{says} There {stopped}") from None
        if agrees(yours, right):
            continue
        for named, wrong in (mistakes(*inputs) if mistakes else {}).items():
            expect(not agrees(yours, wrong), named + DRAWN_ANEW)
        raise Mistake(says)


def agrees(yours: object, right: Tensor | Sequence[Tensor]) -> bool:
    """Equal shapes and numbers, for one tensor or several; a Python float stands for a tensor ().

    1e-5 of the largest number: float32 sums of a few hundred terms stay far below that.
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
    otherwise: str = "Is a part of it cut by `detach`, or changed by a clamp or a rounding?",
) -> None:
    """Raise Mistake unless the student's result has the reference's gradient with respect to the inputs `to`.

    Call it last: the value must be right already. A result of several numbers is summed with unequal weights.
    """
    leaves = {}
    for name, value in inputs.items():
        leaves[name] = value.clone().requires_grad_() if name in to else value
    try:
        yours = call(student, *leaves.values())
    except Mistake as stopped:
        says = "NumPy passes no gradient on, but your function must be differentiable: stay with torch."
        expect("numpy()" not in str(stopped), says)
        raise
    expect(
        all(leaves[name].grad is None for name in to),
        "`backward()` is called inside your function: only return the value, and leave `.grad` alone.",
    )
    cut = "is cut: look for `detach`, `item`, `.data`, `no_grad`, or a new tensor made from numbers."
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
    """The gradients of Σ (1 + i/n) · value[i]; zeros where none arrives."""
    if not isinstance(value, Tensor) or not value.requires_grad:
        return [torch.zeros_like(leaves[name]) for name in to]
    weights = 1 + torch.arange(value.numel(), dtype=value.dtype).reshape(value.shape) / value.numel()
    return pulled_back((weights * value).sum(), [leaves[name] for name in to])


def pulled_back(total: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The gradients of a student's number with respect to the inputs; zeros where none arrives."""
    try:
        found = torch.autograd.grad(total, inputs, allow_unused=True, retain_graph=True)
    except RuntimeError as error:
        says = f"Autograd says: {' '.join(str(error).split())[:160]}"
        if "inplace" in says:
            says = "An in-place operation (`+=`, `add_`) overwrites what the gradient needs."
        raise Mistake(f"the value is right, but it has no gradient. {says}") from None
    zeros = [torch.zeros_like(given) for given in inputs]
    return [zero if slope is None else slope for slope, zero in zip(found, zeros, strict=True)]


@dataclass
class Network:
    """A network handed to a student's function: always one answer, and it keeps what it was shown."""

    name: str
    answer: tuple[Tensor, ...]
    seen: list[Tensor] = field(default_factory=list)

    def __call__(self, given: object) -> Tensor | tuple[Tensor, ...]:
        self.seen.append(plain(given, f"what `{self.name}` gets"))
        whole = self.seen[-1].shape[:1] == self.answer[0].shape[:1]
        expect(whole, f"give `{self.name}` the whole batch at once: one row for each image.")
        copies = tuple(part.clone() for part in self.answer)
        return copies if len(copies) > 1 else copies[0]


def draws(student: Student, frozen: Mapping[str, Tensor], shape: tuple[int, ...], *inputs: object) -> Tensor:
    """One seeded draw. The same seed must repeat it, the generator's next draw must not; nor is it frozen."""
    one, two = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    draw, again, after = (plain(call(student, *inputs, g), "your draw") for g in (one, two, one))
    numbers(draw, "your draw", shape)
    for says, wrong in frozen.items():
        expect(not same(draw, wrong), says)
    expect(torch.equal(draw, again), "same seed, other draw: use `generator=generator` in every random call.")
    says = "a second call with the same generator repeats the first draw: is a seed set inside your function?"
    expect(not torch.equal(draw, after), says)
    return draw


def expect_gaussian(
    z: Tensor, mean: Tensor, std: Tensor, mistakes: Mapping[str, tuple[Tensor, Tensor]]
) -> None:
    """Raise Mistake unless z (N, d) are independent draws of N(mean, std²); a mistake gives other ones.

    Each statistic may be 5 standard errors off, or more: a right function fails once in a million times.
    """
    n = len(z)
    expect((z != z[0]).any(), "all rows get the same noise: draw it with shape (N, d), one per number.")
    e = (z - z.mean(0)) / z.std(0).clamp(min=1e-9)  # (N, d), standardized
    columns_alike = (e.T @ e / n).fill_diagonal_(0).abs().max()  # largest correlation of two columns
    expect(columns_alike < 0.2, "one noise serves all dimensions of a row: draw it with shape (N, d).")
    for lag in (1, n // 2):  # a row and the next one, a row and its partner in the other half
        rows_alike = (e[lag:] * e[:-lag]).mean(0).abs().max()
        expect(rows_alike < 0.2, "rows share their noise: draw it with shape (N, d), one per number.")
    says = "the noise is not Gaussian: use `torch.randn`; `torch.rand` is uniform on [0, 1)."
    fourth = e.pow(4).mean()  # Gaussian 3, uniform 1.8, Laplace 6
    # its standard error is √(24 / numbers)
    expect((fourth - 3).abs() < max(0.3, 6 * (24 / e.numel()) ** 0.5), says)
    beyond = (e.abs() > 3.2).any()  # of 15,000 Gaussian numbers twenty are
    expect(
        beyond or e.numel() < 15_000, "the noise is cut off: a Gaussian has no limits, so do not clamp it."
    )

    def mean_off(mean: Tensor, std: Tensor) -> Tensor:  # in standard errors, (d,)
        return (z.mean(0) - mean).abs() / std * n**0.5

    def std_off(std: Tensor) -> Tensor:  # in standard errors, (d,)
        return (z.std(0) - std).abs() / std * (2 * n) ** 0.5

    for says, (other_mean, other_std) in mistakes.items():
        far = torch.maximum(mean_off(other_mean, other_std), std_off(other_std))
        expect(far.max() > 5, says)
    k = int(mean_off(mean, std).argmax())
    says = f"column {k} of z has a wrong mean, {z[:, k].mean():.3f} in place of {mean[k]:.3f}."
    # with a wrong spread the mean of the draws strays farther, too
    expect((z[:, k].mean() - mean[k]).abs() < 5.5 * torch.maximum(std, z.std(0))[k] / n**0.5, says)
    k = int(std_off(std).argmax())
    says = f"column {k} of z has the right mean but a wrong spread"
    says = f"{says}: its standard deviation is {z[:, k].std():.3f} in place of {std[k]:.3f}."
    expect(std_off(std)[k] < 5.5, says)
