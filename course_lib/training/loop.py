"""The course's training loop, for any model: `step(batch)` takes a step and returns the losses.

The core of the loop is `Run._loop`. From time to time, a `Run` copies everything that changes
(models, optimizers, noise, history) to host memory. After a NaN or an error, the run returns to its
last copy. A copy stored in a file is called a checkpoint. `Copies.take` decides when the file is
written, and `files.write_whole` never leaves a partial file.
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

StepOnRows = Callable[[Tensor], dict[str, Any]]  # from row indices (B,) to losses


class Run:
    """A training run: the data, the state that changes during training, and the training progress.

    data: one tensor or several, with N rows each, on the training device. parts: the models,
    optimizers and schedulers that the steps change. An epoch uses every row once, in an order
    determined by (seed, epoch); a single leftover row is added to the last batch. weights (N,): the
    relative probability of drawing each row, for example to balance classes; an epoch then draws N
    rows with replacement. batch(tensors, index): returns the batch for the row indices (B,); by
    default, it consists of these rows. Noise comes from torch's global generator, seeded before
    step 1. checkpoint: a file to resume from if it exists, written about every 15 seconds
    (`copies.SAVE_SECONDS`) and at the end; it contains everything but the data. hyperparameters:
    values such as β; a checkpoint with different values is rejected. run_file: the class that reads
    and writes the checkpoint; see `distributed.SharedFile`.

    step, epoch: the progress so far. progress: the fraction of the training completed so far, as a
    scalar tensor on the device, for use in schedules. history: "step", and the mean of each loss
    over the rows processed since the previous entry. evaluations: "step", and what `evaluate`
    returned after that step. Raises ValueError for invalid data, weights, sizes, parts or paths,
    and CheckpointError for a file that is damaged or was saved with a different architecture,
    optimizer, seed, batch size, data or weights.
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
            raise ValueError(
                "Pass the models and optimizers by name, as in Run(data, model=…, optimizer=…)."
            )
        self._rows = Rows(data, batch_size, seed, weights)
        pick = _pick_single if isinstance(data, Tensor) else gather
        self._batch = batch or pick
        self.parts, self.seed = parts, seed
        self.device, self.batch_size = self._rows.device, self._rows.batch_size
        self.step = self._last_step = 0
        self.progress = torch.zeros((), device=self.device)
        self._history = History()
        self._extras: list[tuple[int, Callable[[], None]]] = []  # (steps between calls, function)
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
        """The number of epochs completed so far."""
        return self.step / self._rows.epoch_steps

    @property
    def finished(self) -> bool:
        """Whether the last call to `train` ran to completion; True before the first call."""
        return self.step >= self._last_step

    @property
    def history(self) -> Log:
        """The reported losses, with a final entry for the steps since the last report."""
        return self._history.so_far(self.step)

    @property
    def evaluations(self) -> Log:
        """The results of `evaluate`, and the steps after which they were computed."""
        return self._history.evaluations

    @property
    def checkpoint(self) -> Path | None:
        """The file in which this run is saved, or None."""
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
        """Train until `epochs` epochs have been completed in total, and return the history.

        Call again to continue. step(batch): takes a step on a batch (a tensor or a tuple), and
        returns a dict of numbers, which are read every `report_every` steps. evaluate() returns a
        dict of numbers, and picture(run) returns a figure or axes; `evaluate_every` and
        `picture_every` give the number of epochs between calls. Neither function affects the noise
        or the training mode. autocast: use bfloat16. graph, variant: see `cuda_graph`. quiet: show
        no progress bar. After an interrupt, training stops at the end of the current step. Raises
        NotFinite for NaN or infinite values. An error resets the run to its last copy.
        """
        self._last_step = round(epochs * self._rows.epoch_steps)
        if self.step >= self._last_step:
            print(
                f"Nothing to do: the run is already at epoch {self.epoch:.4g} "
                f"(requested: {epochs:.4g})."
            )
            return self.history
        graph = wants_graph(self, graph, quiet)
        on_batch = in_bfloat16(step, self.device, graph) if autocast else step

        def step_on_rows(index: Tensor) -> Any:
            return on_batch(self._batch(self._rows.tensors, index))

        self._report_every = max(1, report_every)
        self._extras = _extras(self, evaluate, evaluate_every, picture, picture_every)
        preferred = CapturedStep(step_on_rows, self, variant) if graph else step_on_rows
        self._train(preferred, step_on_rows, quiet)
        return self.history

    def _train(self, preferred: StepOnRows, plain: StepOnRows, quiet: bool) -> None:
        """Run the loop, and handle errors and interrupts."""
        with Interrupts() as stop:
            # continue the noise of the last `train`; take a copy, as even the first step may fail
            self._copies.restore_rng()
            self._copies.take(self.step)
            try:
                try:
                    self._loop(preferred, stop, quiet)
                except NoGraph as why:  # only running a step shows whether it can be captured
                    self.step = self._copies.go_back()
                    print(why)
                    self._loop(plain, stop, quiet)
                self._copies.take(self.step, save=True)
            except BaseException as error:
                stop.breakable = False
                self.step, cause = self._copies.undo(error, self.step)
                if cause is not error:  # a NaN in an earlier step is the real cause
                    raise cause from None
                if not isinstance(error, KeyboardInterrupt):
                    raise
                # a second Ctrl-C aborted a step: the run is back at its last copy, which is saved
                self._copies.take(self.step, save=True)
                print(
                    f"Interrupted during a step. Back at epoch {self.epoch:.4g}; "
                    "call train to continue."
                )
            finally:
                self._copies.keep_rng()

    def _loop(self, step_on_rows: StepOnRows, stop: Interrupts, quiet: bool) -> None:
        """Take steps and record losses; at intervals, report, evaluate, plot and copy."""
        stop.breakable = True  # from here on, a second Ctrl-C may abort a step
        with _bar(self.step, self._last_step, quiet) as bar:
            while self.step < self._last_step and not stop.asked:
                self.progress.fill_(self.step / self._last_step)
                index = self._rows.index(self.step)  # (B,)
                losses = step_on_rows(index)
                self._history.add(len(index), losses, self.device)
                self.step += 1

                is_report = self._is_report()
                if is_report:
                    self._history.report(self.step)  # the only place that waits for the device
                for every, extra in self._extras:
                    if self.step % every == 0 or self.step == self._last_step:
                        extra()
                if is_report:
                    _update(bar, self.step, self._history.log)
                    self._copies.take_if_due(self.step)
        stop.breakable = False
        if self.step < self._last_step:
            print(
                f"Interrupted at epoch {self.epoch:.4g}. Nothing is lost; call train to continue."
            )

    def _is_report(self) -> bool:
        """Return whether a report is due. Epochs end with a report, so no mean spans two epochs."""
        in_epoch = self.step % self._rows.epoch_steps
        return in_epoch % self._report_every == 0 or self.step == self._last_step

    def _resume(self, file: RunFile) -> None:
        """Resume from the file, if any; `read_run` rejects a file whose identity does not match."""
        step = self._copies.resume()
        if step is not None:
            self.step = step
            print(f"Resumed from {file.path} at epoch {self.epoch:.4g}, step {step:,}.")
        file.check()

    def plot(self, ax: Any = None) -> Any:
        """Plot losses and evaluations by epoch, on `ax` or on new axes, and return the axes."""
        ax = plt.subplots(figsize=(7, 3))[1] if ax is None else ax
        self._history.plot(ax, self.step, self._rows.epoch_steps)
        return ax


def is_saved(run: Run) -> bool:
    """Return whether the run's checkpoint contains its present step. In a group, ask process 0."""
    return run._file is not None and run._file.saved_step == run.step


def _pick_single(tensors: tuple[Tensor, ...], index: Tensor) -> Tensor:
    """Return the rows selected by `index` from a data set that consists of a single tensor."""
    return gather(tensors, index)[0]


def _extras(
    run: Run,
    evaluate: Callable[[], dict[str, float]] | None,
    evaluate_every: float,
    picture: Callable[[Run], Any] | None,
    picture_every: float,
) -> list[tuple[int, Callable[[], None]]]:
    """Return the functions to call at intervals, as pairs (steps between calls, function)."""
    calls: list[tuple[float, Callable[[], None]]] = []
    if evaluate:
        calls.append((evaluate_every, partial(_evaluate, run, evaluate)))
    if picture:
        calls.append((picture_every, partial(_show, run, picture, _screen())))
    return [(max(1, round(epochs * run._rows.epoch_steps)), call) for epochs, call in calls]


def _screen() -> Any:
    """Return a display above the progress bar, or None outside a notebook.

    A picture below the progress bar would split the bar in two.
    """
    if hasattr(get_ipython(), "kernel"):
        return display({"text/plain": ""}, raw=True, display_id=True)
    return None


def _evaluate(run: Run, evaluate: Callable[[], dict[str, float]]) -> None:
    """Call `evaluate` and record its result in the run's history."""
    with aside(run.device, run.seed, *run.parts.values()):
        found = evaluate()
    run._history.add_evaluation(run.step, found)


def _show(run: Run, picture: Callable[[Run], Any], screen: Any) -> None:
    """Draw the picture, and show it on `screen` if there is one."""
    with aside(run.device, run.seed, *run.parts.values()):
        drawn = picture(run)
    drawn = getattr(drawn, "figure", drawn)  # for axes, use their figure
    if screen:
        screen.update(drawn)
    if hasattr(drawn, "canvas"):
        plt.close(drawn)  # otherwise, the notebook shows the figure twice


def _bar(step: int, last_step: int, quiet: bool) -> tqdm:
    return tqdm(total=last_step, initial=step, file=sys.stdout, leave=False, disable=quiet)


def _update(bar: tqdm, step: int, log: Log) -> None:
    bar.set_postfix({name: f"{values[-1]:.4g}" for name, values in log.items()}, refresh=False)
    bar.update(step - bar.n)
