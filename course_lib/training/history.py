"""What the steps of a run returned: on the device until the next report, then as means over rows."""

from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor

Log = dict[str, list[float]]  # "step", and a list of the same length for each name


class NotFinite(FloatingPointError):
    """A loss became NaN or infinite at `step`, counted from 1, or by then a number of a model or optimizer.

    undone: which steps were, in words.
    """

    def __init__(self, step: int, undone: str, what: str) -> None:
        causes = "a learning rate too high, exp of a large log-variance, log or sqrt at 0"
        super().__init__(f"{undone}: {what} became NaN or infinite; usual causes: {causes}.")
        self.step = step


class Owned(dict[str, Any]):
    """Losses of a step that no later step writes to, on the device, without gradients."""


class History:
    """The losses that steps returned, and the evaluations between them.

    Reading a loss makes a GPU wait for its steps, so that is done at reports only.
    """

    def __init__(self) -> None:
        self.log = Log()
        self.evaluations = Log()
        self.pending: list[tuple[int, dict[str, Tensor]]] = []  # (rows, losses) since the last report

    def add(self, rows: int, losses: Any, device: torch.device) -> None:
        """Keep what a step on so many rows returned. Raises TypeError for anything but a dict of numbers."""
        if not isinstance(losses, dict) or not losses:
            raise TypeError(f"step must return a dict of numbers, not {losses}.")
        if not isinstance(losses, Owned):
            losses = {name: _owned(name, loss, device) for name, loss in losses.items()}
        self.pending.append((rows, losses))

    def report(self, step: int) -> None:
        """Read the losses since the last report, up to step `step`, and append their means to the log."""
        self.log = self.so_far(step)
        self.pending = []

    def check(self, step: int) -> None:
        """Raise NotFinite if one of the losses since the last report is bad."""
        if self.pending:
            self.means(step)

    def so_far(self, step: int) -> Log:
        """The log, with a last entry for the steps since the last report."""
        return _append(self.log, step, self.means(step)) if self.pending else self.log

    def add_evaluation(self, step: int, found: Any) -> None:
        """Keep what `evaluate` returned after a step. Raises TypeError for anything but a dict."""
        if not isinstance(found, dict):
            raise TypeError(f"evaluate must return a dict of numbers, not {found}.")
        self.evaluations = _append(self.evaluations, step, found)

    def state_dict(self) -> dict[str, Any]:
        """All of it, as `load_state_dict` takes it."""
        return {"pending": self.pending, "log": self.log, "evaluations": self.evaluations}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on from a state."""
        self.log = state["log"]
        self.evaluations = state["evaluations"]
        self.pending = [
            (rows, {name: loss.to(device) for name, loss in losses.items()})
            for rows, losses in state["pending"]
        ]

    def plot(self, ax: Axes, step: int, epoch_steps: int) -> None:
        """Losses as lines, evaluations as dots, against the epoch."""
        for log, style in ((self.so_far(step), "-"), (self.evaluations, "o--")):
            epochs = [step / epoch_steps for step in log.get("step", [])]
            for name in [name for name in log if name != "step"]:
                ax.plot(epochs, log[name], style, label=name)
        ax.set_xlabel("epoch")
        ax.legend()

    def means(self, step: int) -> dict[str, float]:
        """Each loss's mean over the pending rows. Raises NotFinite for the first step with a bad one."""
        rows = torch.tensor([n for n, _ in self.pending]).double()  # (k,)
        names = list(self.pending[0][1])
        for _, losses in self.pending:
            _check_names(names, losses)
        on_device = torch.stack([losses[name] for name in names for _, losses in self.pending])
        values = on_device.cpu().double().view(len(names), -1)  # (names, k): here the device is waited for
        is_good = values.isfinite()
        if not is_good.all():
            first = int(is_good.all(0).int().argmin())
            bad = [name for name, good in zip(names, is_good[:, first], strict=True) if not good]
            guilty = step - len(rows) + first + 1
            raise NotFinite(guilty, f"Step {guilty:,} was undone", " and ".join(bad))
        means = values @ rows / rows.sum()
        return dict(zip(names, means.tolist(), strict=True))


def _append(log: Log, step: int, values: dict[str, float]) -> Log:
    """The log with one more entry, as a new dict. Raises ValueError if the names differ from the log's."""
    if log:
        _check_names(log.keys() - {"step"}, values)
    row = {**values, "step": step}
    return {name: [*log.get(name, []), float(value)] for name, value in row.items()}


def _owned(name: str, loss: Any, device: torch.device) -> Tensor:
    if not isinstance(loss, Tensor):
        return torch.tensor(float(loss), device=device)
    if loss.ndim:
        raise TypeError(f"step must return numbers, but {name} has shape {tuple(loss.shape)}: take its mean.")
    # what was not computed in this step may be written to in place, as run.progress and a parameter are
    return loss.detach() if loss.grad_fn is not None else loss.detach().to(device, copy=True)


def _check_names(before: Any, now: Any) -> None:
    if set(before) != set(now):
        names = ", ".join(sorted(before)), ", ".join(sorted(now))
        raise ValueError(f"The numbers were {names[0]} and are now {names[1]}: begin a new Run for that.")
