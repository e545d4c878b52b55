"""The one training loop of the course, for any model: `update(batch)` does a step and returns its numbers.

A `Run` copies all that changes (models, optimizers, noise, history) to host memory about once a second. After
an interrupt in mid-step, a NaN, an error or the loss of the GPU, it goes back to that copy, and forward again
to the step where it should stand. The same copy in a file is the checkpoint.
"""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from IPython import get_ipython
from IPython.display import display
from torch import Tensor, nn
from tqdm import tqdm

from course_lib.files import check_writable, reason, usable
from course_lib.training.checkpoints import read_run, write_run
from course_lib.training.cuda_graph import NoGraph, Owned, captured, in_bfloat16, reason_against
from course_lib.training.rows import as_rows, as_weights, order
from course_lib.training.state import (
    aside,
    get_noise,
    identity,
    load,
    not_finite,
    pack,
    set_noise,
    state_of,
    unpack,
)

COPY_SECONDS = 1.0  # the most work that going back costs; a copy of a small model takes milliseconds
SAVE_SECONDS = 15.0  # the most work that a killed run loses
Log = dict[str, list[float]]


class NotFinite(FloatingPointError):
    """A term, a parameter or a number of an optimizer became NaN or infinite at `step`, counted from 1."""

    def __init__(self, step: int, what: str) -> None:
        causes = "a learning rate too high, exp of a large log-variance, log or sqrt at 0"
        super().__init__(f"Step {step:,} was undone: {what} became NaN or infinite; usual causes: {causes}.")
        self.step = step


class Run:
    """One training: data, the parts that change, how far it is. A checkpoint holds all of it but the data.

    data: tensors of N rows, on the device. parts: models, optimizers, schedulers, all that `update` changes.
    An epoch takes every row once, in an order made from (seed, epoch); a single row left over joins the batch
    before. Noise is torch's global generator: seeded with `seed` before step 1, set again by every `train`.
    weights: (N,), how likely each row is, for classes of unequal size. An epoch then draws N rows with
    replacement, and the history holds means over the rows drawn, not over the data.
    A `checkpoint` that exists is resumed from; it is written every few seconds and at the end. Where another
    process has meanwhile put another run, that file stays and a numbered name is taken. What an update
    computes it cannot know: `facts`, such as its β, make a checkpoint of other facts another run's.
    step, epoch: done so far. progress: share of the training done, () on the device, for schedules in update.
    history: "step", and each term's mean over the rows since the entry before. evaluations: by `evaluate`.
    Raises ValueError for data, weights, sizes, parts and paths that do not fit; CheckpointError for a file
    that is damaged, or is of another architecture, optimizer, seed, batch size, data or weights.
    """

    def __init__(
        self,
        data: Tensor | tuple[Tensor, ...],
        *,
        batch_size: int = 128,
        seed: int = 0,
        weights: Tensor | None = None,
        checkpoint: str | Path | None = None,
        facts: Mapping[str, Any] | None = None,
        **parts: Any,
    ) -> None:
        self._rows = as_rows(data)
        self._single = isinstance(data, Tensor)
        n = len(self._rows[0])
        self._weights = None if weights is None else as_weights(weights, n)
        if not 1 <= batch_size <= n or int(batch_size) != batch_size:
            raise ValueError(f"batch_size must be 1 to {n:,}, the rows of data, not {batch_size}.")
        if not parts or not all(hasattr(part, "load_state_dict") for part in parts.values()):
            raise ValueError("Name the models, optimizers and schedulers: Run(data, model=…, optimizer=…).")
        self.parts, self.seed, self.device = parts, seed, self._rows[0].device
        self.batch_size = int(batch_size)
        self._host = tuple(rows.cpu() for rows in self._rows)  # what is left if the device vanishes
        self._epoch_steps = n // self.batch_size + (n % self.batch_size > 1)
        self.step, self._total, self.progress = 0, 0, torch.zeros((), device=self.device)
        self._log, self.evaluations = Log(), Log()
        self._pending: list[Any] = []  # (rows, terms) of the steps since the last report, still on the device
        self._order = (-1, torch.empty(0))  # an epoch, and its permutation
        self._noise: dict[str, Tensor] = {}  # the generators as the last `train` left them
        self._saved, self._refused, self._screen = time.monotonic(), False, None
        self._bad_before = set(not_finite(parts))  # no step's doing: a mask of −∞, a NaN that means "not yet"
        self.checkpoint = None if checkpoint is None else usable(checkpoint)
        if self.checkpoint:
            self._resume(self.checkpoint, facts or {})

    @property
    def epoch(self) -> float:
        """Epochs done so far."""
        return self.step / self._epoch_steps

    @property
    def finished(self) -> bool:
        """Whether the last `train` came to its end; not so after an interrupt."""
        return self.step >= self._total

    @property
    def history(self) -> Log:
        """What was reported, and a last entry for the steps since then."""
        return _append(self._log, self.step, self._means()) if self._pending else self._log

    def train(
        self,
        update: Callable[[Any], dict[str, Any]],
        epochs: float,
        *,
        report_every: int = 50,
        evaluate: Callable[[], dict[str, float]] | None = None,
        evaluate_every: float = 1,
        picture: Callable[["Run"], Any] | None = None,
        picture_every: float = 1,
        graph: bool = False,
        autocast: bool = False,
        quiet: bool = False,
    ) -> Log:
        """Train until `epochs` epochs are done in all; return the history. After an interrupt, call it again.

        update(batch) gets the rows drawn (a tensor, or the tuple), does a step, returns a dict of numbers:
        read every `report_every` steps. evaluate() returns a dict of numbers, picture(run) a figure or axes
        for one place in the notebook: every so many epochs, without gradients, without a trace in noise or
        training mode. autocast: update computes in bfloat16. graph: on CUDA, a whole step is captured after
        three, then replayed: its kernels, not its Python; optimizers need capturable=True. Where that cannot
        be, a sentence says why and the steps run one by one. quiet: no bar.
        Raises NotFinite, with the run at the last good step; other errors leave it at the last whole step.
        """
        self._total, self._screen = round(epochs * self._epoch_steps), None
        if picture and hasattr(get_ipython(), "kernel"):
            # a place of its own before the bar begins, which a picture below it would cut in two
            self._screen = display({"text/plain": ""}, raw=True, display_id=True)
        self._report_every = max(1, report_every)
        if self.step >= self._total:
            print(f"Nothing to do: {self.epoch:.4g} epochs are done, {epochs:.4g} were asked for.")
            return self.history
        against = reason_against(self) if graph else ""
        if against:
            print(against)
        graph = graph and not against
        on_batch = in_bfloat16(update, self, graph) if autocast else update

        def eager(index: Tensor) -> Any:
            return on_batch(self._batch(index))

        step = captured(eager, self) if graph else eager
        calls = ((evaluate_every, evaluate, self._evaluate), (picture_every, picture, self._show))
        also = [(max(1, round(every * self._epoch_steps)), f, use) for every, f, use in calls if f]
        set_noise(self.device, self._noise, self.seed)
        self._keep()
        self._good = self.step
        try:
            while self.step < self._total:
                try:
                    self._loop(step, also, quiet)
                except KeyboardInterrupt:
                    self._return_to(self._good, eager)
                    print(f"Interrupted after {self.epoch:.4g} epochs; nothing is lost, call train to go on.")
                    break
                except NoGraph as why:
                    step = eager
                    self._return_to(self._good, eager)  # what the broken step did in Python is undone
                    print(why)
                except RuntimeError as error:
                    lost = isinstance(error, torch.AcceleratorError) or str(error).startswith("CUDA error")
                    if not lost or self._rows is self._host:
                        raise
                    step = eager
                    self._leave_device()
                    print(f"The device is gone ({error}): on from step {self.step:,}, on the CPU.")
            self._keep(save=True)
        except NotFinite as trouble:
            raise self._last_good(trouble, eager) from None
        except BaseException:
            self._return_to(self._good, eager)
            raise
        finally:
            self._noise = get_noise(self.device)
        return self.history

    def _loop(self, update: Any, also: Any, quiet: bool) -> None:
        with tqdm(total=self._total, initial=self.step, file=sys.stdout, leave=False, disable=quiet) as bar:
            while self.step < self._total:
                self._good = self.step  # a step counts as not begun until all that belongs to it is done
                reported = self._advance(update)
                for every, function, use in also:
                    if self.step % every == 0 or self.step == self._total:
                        use(function)
                if reported:
                    bar.set_postfix({name: f"{v[-1]:.4g}" for name, v in self._log.items()}, refresh=False)
                    bar.update(self.step - bar.n)
                    if time.monotonic() - self._copied > COPY_SECONDS:
                        self._keep()

    def _advance(self, update: Any) -> bool:
        """One step; True if the terms since the last report were read and averaged."""
        self.progress.fill_(self.step / self._total)
        epoch, i = divmod(self.step, self._epoch_steps)
        if self._order[0] != epoch:
            rows = order(len(self._host[0]), self.seed, epoch, self._weights)
            self._order = (epoch, rows.to(self.device))
        stop = (i + 1) * self.batch_size if i + 1 < self._epoch_steps else None
        index = self._order[1][i * self.batch_size : stop]  # (B,)
        terms = update(index)
        if not isinstance(terms, dict) or not terms:
            raise TypeError(f"update must return a dict of numbers, not {terms}.")
        if not isinstance(terms, Owned):
            terms = {k: _number(k, term, self.device) for k, term in terms.items()}
        self._pending.append((len(index), terms))
        self.step += 1
        if self.step % self._epoch_steps % self._report_every and self.step < self._total:
            return False
        self._log, self._pending = _append(self._log, self.step, self._means()), []
        return True

    def _batch(self, index: Tensor) -> Any:
        """The rows (B,) of the data, as `update` gets them."""
        batch = tuple(rows.index_select(0, index) for rows in self._rows)  # (B, ...) each
        return batch[0] if self._single else batch

    def _means(self) -> dict[str, float]:
        """Each term's mean over the pending rows. Raises NotFinite for the first step with a bad term."""
        rows = torch.tensor([n for n, _ in self._pending]).double()  # (k,)
        names = self._pending[0][1].keys()
        for _, terms in self._pending:
            _check_names(names, terms.keys())
        values = torch.stack([terms[name] for name in names for _, terms in self._pending])
        values = values.cpu().double().view(len(names), -1)  # (terms, k): only here is the device waited for
        good = values.isfinite()
        if not good.all():
            first = int(good.all(0).int().argmin())
            bad = " and ".join(name for name, ok in zip(names, good[:, first], strict=True) if not ok)
            raise NotFinite(self.step - len(rows) + first + 1, bad)
        return dict(zip(names, (values @ rows / rows.sum()).tolist(), strict=True))

    def _check_parts(self) -> None:
        """Raise NotFinite for what no term shows yet, such as a second moment that will freeze its weight."""
        for name in not_finite(self.parts):
            if name not in self._bad_before:
                raise NotFinite(self.step, f"with finite numbers from update, {name}")

    def _modules(self) -> list[tuple[str, nn.Module]]:
        return [(name, part) for name, part in self.parts.items() if isinstance(part, nn.Module)]

    def _keep(self, save: bool = False) -> None:
        """Copy a sound state, and write the copy to the checkpoint when it is time."""
        if self._pending:
            self._means()
        self._check_parts()
        parts, noise = {k: state_of(part) for k, part in self.parts.items()}, get_noise(self.device)
        state = {"parts": parts, "noise": noise, "pending": self._pending}
        state |= {"log": self._log, "evaluations": self.evaluations}
        tensors: dict[str, Tensor] = {}
        self._copy, self._copied = (self.step, pack(state, tensors), tensors), time.monotonic()
        if self.checkpoint and (save or self._copied - self._saved > SAVE_SECONDS):
            self._saved = self._copied
            self._write(self.checkpoint)

    def _write(self, path: Path) -> None:
        """Write the copy to the checkpoint, or say once why that cannot be."""
        try:
            self.checkpoint = write_run(path, self._identity, *self._copy)
        except OSError as error:
            if not self._refused:
                print(f"{path} cannot be written ({reason(error)}); training goes on.")
            self._refused = True
            return
        self._refused = False
        if self.checkpoint != path:
            print(
                f"Another process has written {path}, which stays as it is: "
                f"from here on, this run is saved as {self.checkpoint}."
            )

    def _restore(self) -> None:
        torch.set_grad_enabled(True)  # an interrupt in the first line of a no_grad() would leave it off
        self.step, tree, tensors = self._copy
        state = unpack(tree, tensors)
        for name, part in self.parts.items():
            load(part, state["parts"][name])
        self._log, self.evaluations, self._noise = state["log"], state["evaluations"], state["noise"]
        self._pending = [(n, {k: v.to(self.device) for k, v in row.items()}) for n, row in state["pending"]]
        set_noise(self.device, self._noise, self.seed)

    def _return_to(self, step: int, update: Any) -> None:
        """To the copy, and forward again to `step`. Interrupted once more, it stays at the copy."""
        while True:
            try:
                self._restore()
                while self.step < step:
                    self._advance(update)
                    self._check_parts()
                return
            except KeyboardInterrupt:
                step = 0

    def _last_good(self, trouble: NotFinite, update: Any) -> NotFinite:
        """Stand before the step that did it: a bad number's, or an earlier one that spoilt a parameter."""
        try:
            self._return_to(trouble.step - 1, update)
        except NotFinite as earlier:
            return self._last_good(earlier, update)
        return trouble

    def _leave_device(self) -> None:
        self.device, self._rows, self._order = torch.device("cpu"), self._host, (-1, self._order[1])
        self.progress = torch.zeros(())
        for _, module in self._modules():
            module.zero_grad(set_to_none=True)
            module.to_empty(device="cpu")
        for part in self.parts.values():
            for group in getattr(part, "param_groups", []):
                group |= {"capturable": False} if "capturable" in group else {}
        self._restore()

    def _resume(self, path: Path, facts: Mapping[str, Any]) -> None:
        facts = {**facts, "seed": self.seed, "batch_size": self.batch_size}
        self._identity = identity(self.parts, self._host, self._weights, facts)
        there = path.exists()
        if there:
            self._copy = read_run(path, self._identity)
            self._restore()
            print(f"Resumed from {path} after {self.epoch:.4g} epochs, step {self.step:,}.")
        try:
            check_writable(path)
        except OSError as error:
            if not there:
                raise ValueError(f"{path} cannot be written ({reason(error)}): name another file.") from None
            print(f"{path} cannot be written ({reason(error)}); training goes on, but is not saved.")
            self._refused = True

    def _evaluate(self, evaluate: Any) -> None:
        with aside(self.device, self.seed, *self.parts.values()):
            found = evaluate()
        if not isinstance(found, dict):
            raise TypeError(f"evaluate must return a dict of numbers, not {found}.")
        self.evaluations = _append(self.evaluations, self.step, found)
        self._keep()  # going forward again does not evaluate again

    def _show(self, picture: Any) -> None:
        with aside(self.device, self.seed, *self.parts.values()):
            drawn = picture(self)
        drawn = getattr(drawn, "figure", drawn)  # axes stand for their figure
        if self._screen:
            self._screen.update(drawn)
        if hasattr(drawn, "canvas"):
            plt.close(drawn)  # else the notebook shows it a second time

    def plot(self, ax: Any = None) -> Any:
        """Terms as lines, evaluations as dots, against the epoch; on `ax` or new axes, which are returned."""
        ax = plt.subplots(figsize=(7, 3))[1] if ax is None else ax
        for log, style in ((self.history, "-"), (self.evaluations, "o--")):
            for name in [name for name in log if name != "step"]:
                ax.plot([step / self._epoch_steps for step in log["step"]], log[name], style, label=name)
        ax.set_xlabel("epoch")
        ax.legend()
        return ax


def _number(name: str, term: Any, device: torch.device) -> Tensor:
    if not isinstance(term, Tensor):
        return torch.tensor(float(term), device=device)
    if term.ndim:
        raise TypeError(
            f"update must return numbers, but {name} has shape {tuple(term.shape)}: take its mean."
        )
    # what was not computed in this step may be written to in place, as run.progress and a parameter are
    return term.detach() if term.grad_fn is not None else term.detach().to(device, copy=True)


def _append(log: Log, step: int, values: dict[str, float]) -> Log:
    row = {**values, "step": step}
    if log:
        _check_names(log.keys() - {"step"}, values.keys())
    return {name: [*log.get(name, []), float(value)] for name, value in row.items()}


def _check_names(before: Any, now: Any) -> None:
    if set(before) != set(now):
        names = ", ".join(sorted(before)), ", ".join(sorted(now))
        raise ValueError(f"The numbers were {names[0]} and are now {names[1]}: begin a new Run for that.")
