"""The per-step losses of a run, kept on the device until the next report and then averaged."""

from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor

Log = dict[str, list[float]]  # "step", and a list of the same length for each name


class NotFinite(FloatingPointError):
    """Raised if a loss, or a value in a model or an optimizer, has become NaN or infinite.

    step: the first step with a bad loss, or the step at which the bad value was found, counted from
    1. undone: a clause that says which steps were undone. what: the names of the bad values.
    """

    def __init__(self, step: int, undone: str, what: str) -> None:
        causes = (
            "a learning rate that is too high, exp of a large log-variance, and log or sqrt at 0"
        )
        super().__init__(
            f"{undone} because {what} became NaN or infinite. Common causes are {causes}."
        )
        self.step = step


class Owned(dict[str, Any]):
    """The losses of a step: detached tensors, on the device, that no later step overwrites."""


class History:
    """The losses returned by the steps, and the results of evaluations between steps.

    Losses are not read after every step, but only for reports, copies and plots, because reading a
    loss forces the CPU to wait for the GPU.
    """

    def __init__(self) -> None:
        self.log = Log()
        self.evaluations = Log()
        # (rows, losses) since the last report
        self.pending: list[tuple[int, dict[str, Tensor]]] = []

    def add(self, rows: int, losses: Any, device: torch.device) -> None:
        """Record the losses of a step on `rows` rows.

        Raises TypeError unless losses is a dict, not empty, of numbers or scalar tensors.
        """
        if not isinstance(losses, dict) or not losses:
            raise TypeError(f"step must return a dict of numbers, not {losses}.")
        if not isinstance(losses, Owned):
            losses = {name: _owned(name, loss, device) for name, loss in losses.items()}
        self.pending.append((rows, losses))

    def report(self, step: int) -> None:
        """Read the losses since the last report, up to `step`, and add their means to the log.

        Raises the errors of `means`.
        """
        self.log = self.so_far(step)
        self.pending = []

    def check(self, step: int) -> None:
        """Raise the errors of `means`, such as NotFinite, for the steps since the last report."""
        if self.pending:
            self.means(step)

    def so_far(self, step: int) -> Log:
        """Return the log, with a final entry for the steps since the last report.

        Raises the errors of `means`.
        """
        return _append(self.log, step, self.means(step)) if self.pending else self.log

    def add_evaluation(self, step: int, found: Any) -> None:
        """Record the result of `evaluate` after a step.

        Raises TypeError if the result is not a dict, and ValueError if its names differ from those
        of earlier results.
        """
        if not isinstance(found, dict):
            raise TypeError(f"evaluate must return a dict of numbers, not {found}.")
        self.evaluations = _append(self.evaluations, step, found)

    def state_dict(self) -> dict[str, Any]:
        """Return the complete state, for use with `load_state_dict`."""
        return {"pending": self.pending, "log": self.log, "evaluations": self.evaluations}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore a state returned by `state_dict`."""
        self.log = state["log"]
        self.evaluations = state["evaluations"]
        self.pending = [
            (rows, {name: loss.to(device) for name, loss in losses.items()})
            for rows, losses in state["pending"]
        ]

    def plot(self, ax: Axes, step: int, epoch_steps: int) -> None:
        """Plot the losses (solid) and the evaluations (dashed, with dots) against the epoch."""
        for log, style in ((self.so_far(step), "-"), (self.evaluations, "o--")):
            epochs = [step / epoch_steps for step in log.get("step", [])]
            for name in [name for name in log if name != "step"]:
                ax.plot(epochs, log[name], style, label=name)
        ax.set_xlabel("epoch")
        ax.legend()

    def means(self, step: int) -> dict[str, float]:
        """Return the mean of each loss over all rows since the last report.

        Raises NotFinite, with the number of the first such step, if a loss is NaN or infinite, and
        ValueError if the steps returned different names.
        """
        rows = torch.tensor([n for n, _ in self.pending]).double()  # (k,) for k steps
        names = list(self.pending[0][1])
        for _, losses in self.pending:
            _check_names(names, losses)
        on_device = torch.stack([losses[name] for name in names for _, losses in self.pending])
        # this waits for the device
        values = on_device.cpu().double().view(len(names), -1)  # (names, k)
        is_good = values.isfinite()
        if not is_good.all():
            first = int(is_good.all(0).int().argmin())
            bad = [name for name, good in zip(names, is_good[:, first], strict=True) if not good]
            guilty = step - len(rows) + first + 1
            raise NotFinite(guilty, f"Step {guilty:,} was undone", " and ".join(bad))
        means = values @ rows / rows.sum()
        return dict(zip(names, means.tolist(), strict=True))


def _append(log: Log, step: int, values: dict[str, float]) -> Log:
    """Return a new log with one more entry.

    Raises ValueError if the names differ from those in the log.
    """
    if log:
        _check_names(log.keys() - {"step"}, values)
    row = {**values, "step": step}
    return {name: [*log.get(name, []), float(value)] for name, value in row.items()}


def _owned(name: str, loss: Any, device: torch.device) -> Tensor:
    if not isinstance(loss, Tensor):
        try:
            return torch.tensor(float(loss), device=device)
        except (TypeError, ValueError):
            raise TypeError(
                f"step must return a dict of numbers, but {name} is {loss!r}."
            ) from None
    if loss.ndim:
        raise TypeError(
            f"step must return scalars, but {name} has shape {tuple(loss.shape)}. Return its mean."
        )
    # a copy, because later steps may modify a parameter, or a tensor such as run.progress
    return loss.detach().to(device, copy=True)


def _check_names(before: Any, now: Any) -> None:
    if set(before) != set(now):
        names = ", ".join(sorted(before)), ", ".join(sorted(now))
        raise ValueError(
            f"The names of the returned numbers changed from {names[0]} to {names[1]}. "
            "Return the same names at every step, or create a new Run."
        )
