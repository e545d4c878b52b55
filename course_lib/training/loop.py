"""The one training loop of the course, for any model: `step(batch)` does a step and returns its losses.

`Run._loop` is its heart. Now and then a `Run` copies all that changes (models, optimizers, noise, history)
to host memory. After a NaN or an error it goes back to that copy; in a file, the copy is the checkpoint.
`Copies.take_if_due` decides when that file is written, and `files.write_whole` makes it whole or absent.
"""

import sys
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from IPython import get_ipython
from IPython.display import display
from torch import Tensor
from tqdm import tqdm

from course_lib.training.checkpoints import RunFile
from course_lib.training.copies import Copies
from course_lib.training.cuda_graph import CapturedStep, NoGraph, in_bfloat16, wants_graph
from course_lib.training.history import History, Log
from course_lib.training.interrupts import Interrupts
from course_lib.training.rows import Rows, gather
from course_lib.training.state import aside, identity

StepOnRows = Callable[[Tensor], dict[str, Any]]  # from the indices (B,) of rows to losses


class Run:
    """One training run: data, the parts that change, how far it is. A checkpoint holds all but the data.

    data: tensors of N rows, on the device. parts: models, optimizers, schedulers, all that steps change.
    An epoch takes every row once, in an order made from (seed, epoch); a single row left over joins the
    batch before. weights: (N,), how likely each row is, for classes of unequal size; an epoch then draws
    N rows with replacement. batch(tensors, index): makes the batch of the rows `index` (B,) in another
    way than by picking them. Noise is torch's global generator, seeded with `seed` before step 1.
    checkpoint: a file that is resumed from if it exists, and written about every 15 seconds
    (`copies.SAVE_SECONDS`) and at the end.
    Put numbers such as β in `hyperparameters`; a checkpoint with different ones is rejected.
    run_file: the class that reads and writes the checkpoint; see `distributed.SharedFile`.

    step, epoch: done so far. progress: the share of the training done, a scalar tensor on the device, for
    schedules. history: "step", and each loss's mean over the rows since the entry before. evaluations:
    "step", and what `evaluate` returned after it.
    Raises ValueError for data, weights, sizes, parts and paths that do not fit; CheckpointError for a
    file that is damaged, or is of another architecture, optimizer, seed, batch size, data or weights.
    """

    def __init__(
        self,
        data: Tensor | tuple[Tensor, ...],
        *,
        batch_size: int = 128,
        seed: int = 0,
        weights: Tensor | None = None,
        batch: Callable[[tuple[Tensor, ...], Tensor], Any] | None = None,
        checkpoint: str | Path | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
        run_file: type[RunFile] = RunFile,
        **parts: Any,
    ) -> None:
        if not parts or not all(hasattr(part, "load_state_dict") for part in parts.values()):
            raise ValueError("Name the models, optimizers and schedulers: Run(data, model=…, optimizer=…).")
        self._rows = Rows(data, batch_size, seed, weights)
        pick = _pick_single if isinstance(data, Tensor) else gather
        self._batch = batch or pick
        self.parts, self.seed = parts, seed
        self.device, self.batch_size = self._rows.device, self._rows.batch_size
        self.step = self._last_step = 0
        self.progress = torch.zeros((), device=self.device)
        self._history = History()
        self._extras: list[tuple[int, Callable[[], None]]] = []  # every so many steps, and what
        must_match = {**(hyperparameters or {}), "seed": seed, "batch_size": self.batch_size}
        self._file = None
        if checkpoint is not None:
            run_identity = identity(parts, self._rows.tensors, self._rows.weights, must_match)
            self._file = run_file(checkpoint, run_identity)
        self._copies = Copies(parts, self._history, self.device, seed, self._file)
        if self._file:
            self._resume(self._file)

    @property
    def epoch(self) -> float:
        """Epochs done so far."""
        return self.step / self._rows.epoch_steps

    @property
    def finished(self) -> bool:
        """Whether the last `train` came to its end: not after an interrupt. True before the first one."""
        return self.step >= self._last_step

    @property
    def history(self) -> Log:
        """What was reported, and a last entry for the steps since then."""
        return self._history.so_far(self.step)

    @property
    def evaluations(self) -> Log:
        """What `evaluate` returned, and after which step."""
        return self._history.evaluations

    @property
    def checkpoint(self) -> Path | None:
        """The file that this run is saved in, if there is one."""
        return self._file.path if self._file else None

    def train(
        self,
        step: Callable[[Any], dict[str, Any]],
        epochs: float,
        *,
        report_every: int = 50,
        evaluate: Callable[[], dict[str, float]] | None = None,
        evaluate_every: float = 1,
        picture: Callable[["Run"], Any] | None = None,
        picture_every: float = 1,
        graph: bool | None = None,
        variant: Callable[[], Hashable] | None = None,
        autocast: bool = False,
        quiet: bool = False,
    ) -> Log:
        """Train until `epochs` epochs are done in all; return the history. Call it again to go on.

        step(batch): does a step on the rows drawn (a tensor, or the tuple), and returns a dict of numbers,
        which are read every `report_every` steps. evaluate() returns a dict of numbers, picture(run) a
        figure or axes: every so many epochs, without gradients, and with no trace in noise or training mode.
        autocast: in bfloat16. graph, variant: see `cuda_graph`. quiet: no bar.
        An interrupt lets a step finish. Raises NotFinite; after an error the run is at its last copy.
        """
        self._last_step = round(epochs * self._rows.epoch_steps)
        if self.step >= self._last_step:
            print(f"Nothing to do: {self.epoch:.4g} epochs are done, {epochs:.4g} were asked for.")
            return self.history
        graph = wants_graph(self, graph, quiet)
        on_batch = in_bfloat16(step, self.device, graph) if autocast else step

        def step_on_rows(index: Tensor) -> Any:
            return on_batch(self._batch(self._rows.tensors, index))

        self._report_every = max(1, report_every)
        self._extras = []
        if evaluate:
            self._extras.append((self._steps_of(evaluate_every), partial(self._evaluate, evaluate)))
        if picture:
            self._extras.append((self._steps_of(picture_every), partial(_show, self, picture, _screen())))
        preferred = CapturedStep(step_on_rows, self, variant) if graph else step_on_rows
        self._train(preferred, step_on_rows, quiet)
        return self.history

    def _train(self, preferred: StepOnRows, plain: StepOnRows, quiet: bool) -> None:
        """The loop, with what happens if it is broken off."""
        with Interrupts() as stop:
            # the noise goes on where the last `train` left it, and the first step may fail, too
            self._copies.restore_rng()
            self._copies.take(self.step)
            try:
                try:
                    self._loop(preferred, stop, quiet)
                except NoGraph as why:  # that a step cannot be recorded shows only when it runs
                    self.step = self._copies.go_back()
                    print(why)
                    self._loop(plain, stop, quiet)
                self._copies.take(self.step, save=True)
            except BaseException as error:
                stop.breakable = False
                self.step, cause = self._copies.undo(error, self.step)
                if cause is not error:  # a NaN of an earlier step stands behind it: that is what went wrong
                    raise cause from None
                if not isinstance(error, KeyboardInterrupt):
                    raise
                # a second Ctrl-C broke a step off: the run is back at its last copy, which is kept
                self._copies.take(self.step, save=True)
                print(f"Interrupted mid-step: back at {self.epoch:.4g} epochs; call train to go on.")
            finally:
                self._copies.keep_rng()

    def _loop(self, step_on_rows: StepOnRows, stop: Interrupts, quiet: bool) -> None:
        """The heart: draw rows, take a step, note its losses; at times report, evaluate, draw and copy."""
        stop.breakable = True  # from here on a second Ctrl-C may break a step off
        with _bar(self.step, self._last_step, quiet) as bar:
            while self.step < self._last_step and not stop.asked:
                self.progress.fill_(self.step / self._last_step)
                index = self._rows.index(self.step)  # (B,)
                losses = step_on_rows(index)
                self._history.add(len(index), losses, self.device)
                self.step += 1

                is_report = self._is_report()
                if is_report:
                    self._history.report(self.step)  # only here is the device waited for
                for every, extra in self._extras:
                    if self.step % every == 0 or self.step == self._last_step:
                        extra()
                if is_report:
                    _update(bar, self.step, self._history.log)
                    self._copies.take_if_due(self.step)
        stop.breakable = False
        if self.step < self._last_step:
            print(f"Interrupted after {self.epoch:.4g} epochs; nothing is lost, call train to go on.")

    def _is_report(self) -> bool:
        """Whether it is time to read the losses. A report ends with the epoch: no mean is of two epochs."""
        in_epoch = self.step % self._rows.epoch_steps
        return in_epoch % self._report_every == 0 or self.step == self._last_step

    def _steps_of(self, epochs: float) -> int:
        return max(1, round(epochs * self._rows.epoch_steps))

    def _resume(self, file: RunFile) -> None:
        """Go on from the file, if there is one; `checkpoints.read_run` refuses one of another identity."""
        step = self._copies.resume()
        if step is not None:
            self.step = step
            print(f"Resumed from {file.path} after {self.epoch:.4g} epochs, step {step:,}.")
        file.check()

    def _evaluate(self, evaluate: Callable[[], dict[str, float]]) -> None:
        with aside(self.device, self.seed, *self.parts.values()):
            found = evaluate()
        self._history.add_evaluation(self.step, found)

    def plot(self, ax: Any = None) -> Any:
        """Losses and evaluations against the epoch, on `ax` or new axes, which are returned."""
        ax = plt.subplots(figsize=(7, 3))[1] if ax is None else ax
        self._history.plot(ax, self.step, self._rows.epoch_steps)
        return ax


def _pick_single(tensors: tuple[Tensor, ...], index: Tensor) -> Tensor:
    """The rows of data that are one tensor, not a tuple of some."""
    return gather(tensors, index)[0]


def _screen() -> Any:
    """In a notebook a place of its own, before the bar begins: a picture below it would cut it in two."""
    if hasattr(get_ipython(), "kernel"):
        return display({"text/plain": ""}, raw=True, display_id=True)
    return None


def _show(run: Run, picture: Callable[[Run], Any], screen: Any) -> None:
    """Draw the picture in its place."""
    with aside(run.device, run.seed, *run.parts.values()):
        drawn = picture(run)
    drawn = getattr(drawn, "figure", drawn)  # axes stand for their figure
    if screen:
        screen.update(drawn)
    if hasattr(drawn, "canvas"):
        plt.close(drawn)  # else the notebook shows it a second time


def _bar(step: int, last_step: int, quiet: bool) -> tqdm:
    return tqdm(total=last_step, initial=step, file=sys.stdout, leave=False, disable=quiet)


def _update(bar: tqdm, step: int, log: Log) -> None:
    bar.set_postfix({name: f"{values[-1]:.4g}" for name, values in log.items()}, refresh=False)
    bar.update(step - bar.n)
