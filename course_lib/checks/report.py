"""What the checks share: call a student's function safely, compare its answer, say one line."""

import html
import inspect
import linecache
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import torch
from torch import Tensor

Student = Callable[..., object]
NOT_STARTED = "replace `raise NotImplementedError` by your steps, then run this again."
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
            # the same verdict each time, and the notebook's own random numbers stay as they were
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(0)
                check(wraps(student)(noted) if callable(student) else student)
        except Mistake as found:
            status, says = "not started" if str(found) == NOT_STARTED else "mistake", str(found)
        except Exception as error:  # whatever a student returns, no traceback of ours
            if not answered:
                raise
            status, trouble = "mistake", error
            says = f"your result cannot be read ({type(error).__name__}): return a plain torch tensor."
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
    not_finite: str = "Look for a division by 0, or the logarithm of 0 or less."
    dtype: torch.dtype | None = None  # None: any floating type

    def ask(self, student: Student) -> None:
        """Call the student's function on the inputs and judge what it returns."""
        self.judge(call(student, *self.inputs.values()))

    def judge(self, value: object, what: str = "your result") -> None:
        """Raise Mistake unless right: mistakes, then dtype, shape, finite, properties, values."""
        yours, right = plain(value, what), self.right
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
            broken = [says for says, holds in self.laws.items() if not holds(yours).all()]
            says = broken[0] if broken else f"{what}: a wrong value."
        raise Mistake(f"{says} {self.example(yours)}")

    def example(self, yours: Tensor) -> str:
        """The first element that disagrees: the input, yours, expected."""
        if yours.shape != self.right.shape:
            return f"Yours has shape {tuple(yours.shape)}, expected {tuple(self.right.shape)}."
        apart = ~torch.isclose(yours.double(), self.right.double(), rtol=1e-4, atol=1e-6)
        if not apart.any():
            return "The numbers themselves are right."
        at = apart.nonzero()[0].tolist()
        rows = {n: v[at[0]] if at and v.ndim and len(v) == len(yours) else v for n, v in self.inputs.items()}
        given = ", ".join(f"{name} = {show(row)}" for name, row in rows.items() if row.numel() <= 9)
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
    """One seeded draw: the same seed must repeat it, the generator's next must not, nor be a frozen one."""
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
    """Raise Mistake unless z (N, d) are independent draws of N(mean, std²); a mistake gives others."""
    expect((z != z[0]).any(), "all rows get the same noise: draw it with shape (N, d), one per number.")
    e = (z - z.mean(0)) / z.std(0).clamp(min=1e-9)  # (N, d), standardised
    alike = (e.T @ e / len(e)).fill_diagonal_(0).abs().max()  # largest correlation of two columns
    expect(alike < 0.5, "one noise serves all dimensions of a row: draw it with shape (N, d).")
    says = "the noise is not Gaussian: use `torch.randn`; `torch.rand` is uniform on [0, 1)."
    expect((e.pow(4).mean() - 3).abs() < 0.3, says)  # the fourth moment: Gaussian 3, uniform 1.8, Laplace 6

    def far(mean: Tensor, std: Tensor) -> Tensor:  # in standard errors, (d,)
        return torch.maximum((z.mean(0) - mean).abs(), (z.std(0) - std).abs() * 2**0.5) / std * len(z) ** 0.5

    for says, wrong in mistakes.items():
        expect(far(*wrong).max() > 5, says)
    k = int(far(mean, std).argmax())
    says = f"column {k} of z has mean {z[:, k].mean():.3f} and std {z[:, k].std():.3f}"
    # 5 standard errors: a right function is refused once in a million times
    expect(far(mean, std).max() < 5, f"{says}, expected {mean[k]:.3f} and {std[k]:.3f}.")
