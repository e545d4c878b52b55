"""The training loop: against one written out by hand, and against all that can stop it."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time

import matplotlib.pyplot as plt
import nbformat
import pytest
import torch
from nbclient import NotebookClient
from torch import nn
from torch.overrides import TorchFunctionMode

from course_lib import files
from course_lib.training import copies as copying
from course_lib.training import loop
from course_lib.training.checkpoints import CheckpointError
from course_lib.training.history import NotFinite
from course_lib.training.loop import Run

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
DATA = torch.randint(
    0, 256, (330, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(2)
)
STEPS = 11  # an epoch of 330 rows, 32 at a time: ten whole batches and one of 10 rows


class Net(nn.Module):
    """What a copy must hold: noise, dropout, batch norm, a buffer that state_dict leaves out."""

    def __init__(
        self, width: int = 8, act: type[nn.Module] = nn.SiLU, inputs: int = 6, p: float = 0.2
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(inputs, width), nn.BatchNorm1d(width), act(), nn.Dropout(p)
        )
        self.head = nn.Linear(width, inputs)
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.head(self.body(x + 0.1 * torch.randn_like(x))) + 0.01 * self.calls


def make(
    checkpoint=None,
    *,
    seed=0,
    data=DATA,
    batch_size=32,
    lr=1e-2,
    optimizer=torch.optim.Adam,
    beta=1,
    **net,
):
    """A run and its update, which does not use progress, so two calls of train equal one."""
    torch.manual_seed(11)
    model = Net(**net).to(data.device)
    opt = optimizer(model.parameters(), lr=lr)
    scheduler = torch.optim.lr_scheduler.StepLR(opt, 7, 0.9)
    run = Run(
        data,
        batch_size=batch_size,
        seed=seed,
        checkpoint=checkpoint,
        hyperparameters={"beta": beta},
        model=model,
        opt=opt,
        scheduler=scheduler,
    )

    return run, update_of(run)


def update_of(run: Run):
    model, opt, scheduler = run.parts.values()

    def update(batch):
        x = batch.float() / 255
        error = (model(x) - x).square().sum(-1).mean()
        weights = sum(p.square().sum() for p in model.parameters())
        loss = error + 1e-3 * weights
        opt.zero_grad()
        loss.backward()
        opt.step()
        scheduler.step()
        return {"loss": loss, "error": error, "weights": weights}

    return update


def state(run: Run) -> dict:
    """All that must be equal, bit by bit."""
    model, opt = run.parts["model"], run.parts["opt"]
    tensors = {**model.state_dict(), "calls": model.calls, "noise": torch.get_rng_state()}
    for i, slots in opt.state_dict()["state"].items():
        tensors |= {f"{i}.{name}": value for name, value in slots.items()}
    plain = {"step": run.step, "history": run.history, "evaluations": run.evaluations}
    plain |= {"lr": opt.param_groups[0]["lr"], "scheduler": run.parts["scheduler"].state_dict()}
    return {k: v.detach().cpu().clone() for k, v in tensors.items()} | plain


def assert_same(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for key in a:
        equal = (
            torch.equal(a[key], b[key]) if isinstance(a[key], torch.Tensor) else a[key] == b[key]
        )
        assert equal, f"{key}: {a[key]} and {b[key]}"


def trained(epochs: float = 4, **options) -> dict:
    run, update = make()
    run.train(update, epochs, quiet=True, **options)
    return state(run)


@pytest.fixture(params=[0.0, 1e9], ids=["copy at each report", "copy once"])
def copies(request, monkeypatch):
    monkeypatch.setattr(copying, "COPY_SECONDS", request.param)
    return request.param


# ---------------------------------------------------------------- the loop


@pytest.mark.parametrize(
    ("rows", "batch", "sizes"),
    [
        (10, 5, [5, 5]),
        (10, 4, [4, 4, 2]),
        (9, 4, [4, 5]),
        (5, 4, [5]),
        (3, 3, [3]),
        (3, 1, [1] * 3),
        (1, 1, [1]),
    ],
)
def test_an_epoch_takes_every_row_once_in_a_new_order_and_no_row_is_left_alone(rows, batch, sizes):
    seen = []
    run = Run(torch.arange(rows), batch_size=batch, model=nn.Linear(1, 1))
    run.train(lambda ids: seen.append(ids.clone()) or {"one": 1.0}, 3, quiet=True)
    assert [len(ids) for ids in seen] == sizes * 3
    epochs = [torch.cat(seen[i : i + len(sizes)]) for i in range(0, len(seen), len(sizes))]
    assert all(torch.equal(order.sort().values, torch.arange(rows)) for order in epochs)
    if rows == 10:
        assert not torch.equal(epochs[0], epochs[1])
    assert (run.step, run.epoch) == (3 * len(sizes), 3)


def test_the_order_follows_from_seed_and_epoch_alone():
    def order(seed: int, waste: int) -> torch.Tensor:
        seen = []
        run = Run(torch.arange(40), batch_size=8, seed=seed, model=nn.Linear(1, 1))
        run.train(lambda ids: seen.append(ids) or {"one": torch.rand(waste).sum()}, 2, quiet=True)
        return torch.cat(seen)

    assert torch.equal(order(3, 1), order(3, 100))
    assert not torch.equal(order(3, 1), order(4, 1))


def test_the_noise_follows_from_the_seed():
    drawn = []
    run = Run(torch.arange(8), batch_size=8, seed=3, model=nn.Linear(1, 1))
    torch.manual_seed(123)
    run.train(lambda ids: drawn.append(torch.rand(5)) or {"one": 1.0}, 1, quiet=True)
    assert torch.equal(drawn[0], torch.rand(5, generator=torch.Generator().manual_seed(3)))


@pytest.mark.parametrize("kind", [tuple, list])
def test_several_tensors_come_as_a_tuple_of_the_same_rows(kind):
    pairs = kind([torch.arange(7), torch.arange(7) * 10])

    def update(batch):
        assert isinstance(batch, tuple)
        ids, tens = batch
        assert torch.equal(tens, ids * 10)
        return {"one": 1}

    Run(pairs, batch_size=3, model=nn.Linear(1, 1)).train(update, 2, quiet=True)


def test_batches_may_be_made_in_another_way():
    """As by a kernel that picks rows and binarizes them at once."""
    ids = torch.arange(7)

    def batch(tensors, index):
        assert tensors[0] is ids
        return index, 10 * tensors[0][index]

    def update(made):
        assert torch.equal(made[1], 10 * made[0])
        return {"rows": len(made[0])}

    history = Run(ids, batch_size=3, batch=batch, model=nn.Linear(1, 1)).train(
        update, 2, quiet=True
    )
    assert history["rows"] == [25 / 7, 25 / 7]  # 3 and 4 rows, each counted as often as it has rows


def test_terms_are_averaged_over_rows_not_over_batches():
    values = torch.rand(103, dtype=torch.float64)  # in batches of 25, 25, 25, 28
    run = Run(values, batch_size=25, model=nn.Linear(1, 1))
    history = run.train(
        lambda x: {"mean": x.mean(), "number": 2.5}, 3, report_every=1000, quiet=True
    )
    # 1e-12: float64 sums in another order
    assert history["mean"] == pytest.approx([float(values.mean())] * 3, rel=1e-12)
    assert history["number"] == [2.5] * 3
    assert history["step"] == [5, 10, 15]  # reports end with the epoch: no mean is of two epochs


def test_a_run_equals_the_loop_written_out_by_hand():
    """Order, noise and steps, bit by bit: the loop adds nothing of its own."""
    run, update = make()
    torch.manual_seed(0)
    terms = []
    for epoch in range(3):
        order = torch.randperm(330, generator=torch.Generator().manual_seed(1_000_003 + epoch))
        terms += [float(update(DATA[index])["loss"].detach()) for index in order.split(32)]
    expected = run.parts["model"].state_dict()
    run, update = make()
    history = run.train(update, 3, report_every=1, quiet=True)
    assert history["loss"] == terms
    assert all(
        torch.equal(value, expected[name])
        for name, value in run.parts["model"].state_dict().items()
    )


def test_the_device_is_waited_for_at_reports_only():
    """item, float(), bool(), cpu and tolist are what makes a GPU wait."""
    waits = ("item", "__float__", "__bool__", "__int__", "cpu", "tolist", "nonzero")

    class Count(TorchFunctionMode):
        n = 0

        def __torch_function__(self, function, kinds, args=(), kwargs=None):
            self.n += getattr(function, "__name__", "") in waits
            return function(*args, **(kwargs or {}))

    counts = []
    for report_every in (10, 100):
        run = Run(torch.zeros(1000), batch_size=5, model=nn.Linear(1, 1))
        with Count() as counter:
            run.train(lambda x: {"loss": x.sum()}, 1, report_every=report_every, quiet=True)
        counts.append(counter.n)
    assert counts[1] < 40  # 200 steps
    assert counts[0] - counts[1] <= 18 * 5  # 18 more reports


def test_the_seed_decides_and_nothing_before_the_run_does():
    torch.manual_seed(123)
    first = trained(2)
    torch.rand(1000)
    assert_same(first, trained(2))
    run, update = make(seed=1)
    run.train(update, 2, quiet=True)
    assert not torch.equal(state(run)["head.weight"], first["head.weight"])


@pytest.mark.parametrize("split", [[1, 2, 3, 4], [0.5, 1.3, 4], [2, 2, 4]])
def test_training_in_several_calls_is_training_in_one(split):
    run, update = make()
    for epochs in split:
        run.train(update, epochs, quiet=True)
        torch.rand(7)  # what is drawn between calls changes nothing
    got = state_as_left(run)
    whole = trained(4)
    if 0.5 in split:  # a call that ends within an epoch ends with a report
        got.pop("history"), whole.pop("history")
    assert_same(got, whole)


def state_as_left(run: Run) -> dict:
    """The state with the generator as `train` left it, whatever was drawn since then."""
    run._copies.restore_rng()
    return state(run)


def test_progress_is_the_share_done_and_epochs_that_are_done_are_not_done_again(capsys):
    seen = []
    run = Run(torch.zeros(40), batch_size=10, model=nn.Linear(1, 1))
    history = run.train(
        lambda x: seen.append(float(run.progress)) or {"one": run.progress}, 2, quiet=True
    )
    assert seen == [i / 8 for i in range(8)]
    # progress is written in place; each step's value was kept
    assert history["one"] == [1.5 / 8, 5.5 / 8]
    for epochs in (2, 1, 0, -1):
        assert run.train(lambda x: {"one": 1.0}, epochs) == history
    assert capsys.readouterr().out.count("Nothing to do: the run is already at epoch 2 ") == 4
    assert run.step == 8


def test_a_returned_part_of_a_parameter_keeps_the_value_that_it_had():
    model = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(model.weight)
    run = Run(torch.zeros(40), batch_size=10, model=model)

    def step(batch):
        found = {"first": model.weight[0, 0]}  # shares its memory with the parameter
        with torch.no_grad():
            model.weight += 1
        return found

    # when the four steps return, the values are 1, 2, 3 and 4
    assert run.train(step, 1, quiet=True)["first"] == [2.5]


def test_evaluation_and_pictures_leave_no_trace():
    def nosy(*_):
        torch.rand(99)
        assert not run.parts["model"].eval()(DATA[:1] / 255).requires_grad
        run.parts["model"].calls -= 1
        return {"chance": torch.rand(())}

    plain = trained(3)
    run, update = make()
    run.train(
        update, 3, evaluate=nosy, evaluate_every=0.4, picture=nosy, picture_every=0.2, quiet=True
    )
    assert run.evaluations["step"] == [4, 8, 12, 16, 20, 24, 28, 32, 33]
    assert len(set(run.evaluations["chance"])) == 9
    assert_same(state(run) | {"evaluations": {}}, plain)
    assert run.parts["model"].training


def test_terms_are_those_of_their_step_also_if_they_are_parameters():
    model = nn.Linear(1, 1)
    scale = nn.Parameter(torch.zeros(()))

    def update(x):
        scale.data += 1
        return {"scale": scale, "twice": 2 * scale}

    history = Run(torch.zeros(40), batch_size=10, model=model).train(
        update, 1, report_every=0, quiet=True
    )
    assert history == {"step": [1, 2, 3, 4], "scale": [1, 2, 3, 4], "twice": [2, 4, 6, 8]}
    scale.data.zero_()
    history = Run(torch.zeros(40), batch_size=10, model=model).train(update, 1, quiet=True)
    # the means of 1 to 4, and of twice that
    assert (history["scale"], history["twice"]) == ([2.5], [5])


def test_a_run_knows_whether_it_came_to_its_end():
    def update(x):
        if run.step == 5:
            press_stop()
        return {"one": 1.0}

    run = Run(torch.zeros(40), batch_size=10, model=nn.Linear(1, 1))
    run.train(update, 2, quiet=True)
    assert (run.step, run.finished) == (6, False)
    run.train(update, 2, quiet=True)
    assert run.finished


def test_autocast_computes_in_bfloat16_and_still_learns():
    run, update = make()
    dtypes = []
    run.parts["model"].head.register_forward_hook(lambda m, i, out: dtypes.append(out.dtype))
    history = run.train(update, 6, autocast=True, quiet=True)
    assert set(dtypes) == {torch.bfloat16}
    assert {p.dtype for p in run.parts["model"].parameters()} == {torch.float32}
    exact = trained(6)["history"]["error"]
    assert history["error"][-1] < 0.5 * history["error"][0]
    # bfloat16 has 8 bits: 5 % of a loss after 66 noisy steps is its rounding, no difference in kind
    assert history["error"][-1] == pytest.approx(exact[-1], rel=0.05)
    assert history["error"] != exact


def test_a_graph_without_cuda_is_said_and_changes_nothing(capsys):
    run, update = make()
    run.train(update, 2, graph=True, quiet=True)
    assert (
        capsys.readouterr().out
        == "A CUDA graph needs a CUDA device. On cpu, the steps run one by one.\n"
    )
    assert_same(state(run), trained(2))


# ---------------------------------------------------------------- interrupts


def press_stop(times: int = 1) -> None:
    """Ctrl-C, or the notebook's stop button."""
    for _ in range(times):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("where", ["start", "backward", "opt.step", "end"])
@pytest.mark.parametrize("at", [0, 1, 9, 10, 11, 30, 42])
def test_an_interrupt_lets_the_step_finish_and_loses_nothing(where, at, copies, capsys):
    run, update = make()
    todo = {where}

    def strike(here: str) -> None:
        if run.step == at and here in todo:
            todo.remove(here)
            press_stop()

    # between these two, the parameters change; after the second, the scheduler does
    run.parts["opt"].register_step_pre_hook(lambda *_: strike("backward"))
    run.parts["opt"].register_step_post_hook(lambda *_: strike("opt.step"))

    def interrupted(batch):
        strike("start")
        terms = update(batch)
        strike("end")
        return terms

    history = run.train(interrupted, 4, report_every=4, quiet=True)
    assert not todo
    assert run.step == at + 1
    said = capsys.readouterr().out
    assert said.startswith(f"Interrupted at epoch {run.epoch:.4g}. Nothing is lost; call train")
    assert history["step"][-1] == at + 1  # the history reaches to the last step
    torch.rand(3)
    run.train(interrupted, 4, report_every=4, quiet=True)
    assert_same(state(run), trained(4, report_every=4))
    with pytest.raises(KeyboardInterrupt):  # outside of a training, an interrupt is what it was
        press_stop()


@pytest.mark.parametrize("at", [3, 15])
def test_a_second_interrupt_breaks_the_step_off_and_goes_back_to_the_copy(at, copies, capsys):
    run, update = make()
    struck = []

    def interrupted(batch):
        terms = update(batch)
        if run.step == at and not struck:
            struck.append(at)
            press_stop(2)
        return terms

    run.train(interrupted, 4, quiet=True)
    assert run.step == (11 if at > 11 and copies == 0 else 0)
    said = capsys.readouterr().out
    assert (
        said
        == f"Interrupted during a step. Back at epoch {run.epoch:.4g}; call train to continue.\n"
    )
    run.train(interrupted, 4, quiet=True)
    assert_same(state(run), trained(4))


def test_without_a_signal_of_its_own_an_interrupt_breaks_the_step_off():
    """As in a thread, where Python lets nobody handle signals."""
    ends = []

    def work():
        run, update = make()

        def interrupted(batch):
            terms = update(batch)
            if run.step == 5 and not ends:
                ends.append(run)
                raise KeyboardInterrupt
            return terms

        run.train(interrupted, 1, quiet=True)
        run.train(interrupted, 1, quiet=True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert_same(state_as_left(ends[0]), trained(1))


def test_somebody_else_s_signal_handler_stays(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run, update = make()
        run.train(lambda batch: press_stop() or update(batch), 1, quiet=True)
        assert run.finished
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_gradients_of_a_step_that_broke_off_do_not_reach_the_next():
    """In an update that clears the gradients last, not first."""
    ends = []
    for broken in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(6, 1)
        opt = torch.optim.SGD(model.parameters(), 1e-6)
        run = Run(DATA, batch_size=32, model=model, opt=opt)
        todo = [1] if broken else []

        def update(batch, run=run, model=model, opt=opt, todo=todo):
            loss = model(batch.float()).square().mean()
            loss.backward()
            if run.step == 5 and todo:
                todo.clear()
                press_stop(2)
            opt.step()
            opt.zero_grad()
            return {"loss": loss}

        run.train(update, 2, quiet=True)
        assert run.step == (0 if broken else 22)
        run.train(update, 2, quiet=True)
        ends.append(model.weight.detach())
    assert torch.equal(*ends)


@pytest.mark.parametrize("name", ["report", "take", "_evaluate", "_show"])
@pytest.mark.parametrize("call", [1, 2, 5])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_outside_of_the_step_loses_nothing_either(
    name, call, after, times, copies, monkeypatch
):
    def options(run):
        # it draws noise: what is kept after it must be the training's own
        return {
            "evaluate": lambda: {"norm": run.parts["model"].head.weight.norm() * torch.rand(())},
            "evaluate_every": 0.5,
            "picture": lambda run: None,
            "picture_every": 0.5,
            "report_every": 4,
        }

    whole, update = make()
    whole.train(update, 3, quiet=True, **options(whole))
    expected = state(whole)
    run, update = make()
    owner = {"report": run._history, "take": run._copies}.get(name, loop)
    real, calls = getattr(owner, name), []

    def strike(*args, **kwargs):
        calls.append(name)
        if len(calls) == call and not after:
            press_stop(times)
        done = real(*args, **kwargs)
        if len(calls) == call and after:
            press_stop(times)
        return done

    monkeypatch.setattr(owner, name, strike)
    for _ in range(5):
        run.train(update, 3, quiet=True, **options(run))
    assert len(calls) >= (2 if name == "take" else call)  # how many copies there are, time decides
    assert_same(state_as_left(run), expected)


HEAD = """
import os, random, signal, sys, threading, time
sys.path[:0] = {paths!r}
import torch
torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job ignores
from course_lib.training import copies as copying, loop
import test_training as t
dice, path = random.Random(4), {path!r}
# The bar's lock is shared with forked processes: one that is killed while it holds it would stop
# all others.
from tqdm import tqdm
tqdm.monitor_interval = 0  # no thread, which could hold it at the moment of a fork
tqdm.set_lock(threading.RLock())
t.trained(1)  # torch imports much at the first step
"""

INTERRUPTED = """
copying.COPY_SECONDS = 0.004
run, update = t.make(path)
left, hits = 0, 0
def strike(_, frame):
    global left, hits
    left -= 1
    if left <= 0:
        signal.setitimer(signal.ITIMER_REAL, 0)
    while frame and frame.f_code is not loop.Run.train.__code__:
        frame = frame.f_back
    if frame:
        hits += 1
        signal.raise_signal(signal.SIGINT)
signal.signal(signal.SIGALRM, strike)
while run.step < 25 * t.STEPS:
    left = dice.choice([1, 4])
    signal.setitimer(signal.ITIMER_REAL, dice.uniform(0.004, 0.04), 0.0005)
    try:
        run.train(update, 25, report_every=3, quiet=True)
    except KeyboardInterrupt:  # before the loop or after it
        pass
    signal.setitimer(signal.ITIMER_REAL, 0)
run._copies.take(run.step, save=True)
print("hits", hits)
"""


def in_a_process(root, path, code: str) -> str:
    """Outside of pytest, which makes an error of an exception that hits a destructor."""
    code = (HEAD + code).format(paths=[str(root), str(root / "tests")], path=str(path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
def test_interrupts_at_any_moment_end_bit_equal(tmp_path, root):
    """A timer interrupts wherever the code happens to be, every other time more than once."""
    out = in_a_process(root, tmp_path / "net", INTERRUPTED)
    assert int(out.split()[-1]) > 20
    assert "Nothing is lost" in out
    run, _ = make(tmp_path / "net")
    assert_same(state(run), trained(25, report_every=3))


def test_an_error_in_a_step_leaves_the_run_at_its_last_copy(copies):
    run, update = make()

    def wrong(batch):
        terms = update(batch)
        if run.step == 17:
            raise ZeroDivisionError("mine")
        return terms

    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        run.train(wrong, 4, quiet=True)
    assert run.step == (11 if copies == 0 else 0)
    note = f"Because of this error, the run was reset to its state after step {run.step}."
    assert caught.value.__notes__ == [note]
    run.train(update, 4, quiet=True)
    assert_same(state(run), trained(4))


# ---------------------------------------------------------------- NaN and infinity


@pytest.mark.parametrize("step", [1, 2, 11, 12, 27, 44])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_bad_term_stops_at_its_step_and_keeps_the_last_good_state(step, value, copies):
    run, update = make()

    def bad(batch):
        terms = update(batch)
        broken = run.step == step - 1 or (run.step > step - 1 and value != value)
        return {**terms, "error": terms["error"] + value} if broken else terms

    with pytest.raises(NotFinite) as caught:
        run.train(bad, 4, report_every=5, quiet=True)
    assert caught.value.step == step
    assert str(caught.value).startswith(
        f"Step {step} was undone because error became NaN or infinite. Common causes are"
    )
    reports = [s for s in range(step) if s % STEPS % 5 == 0]  # the last before the bad step
    assert run.step == (reports[-1] if copies == 0 else 0)
    if run.step:
        good, update = make()
        good.train(update, run.step / STEPS, report_every=5, quiet=True)
        assert_same(state(run), state(good))
    run.train(update_of(run), 4, report_every=5, quiet=True)  # with the cause removed it goes on
    assert_same(state(run), trained(4, report_every=5))


def test_all_terms_that_broke_together_are_named():
    run = Run(torch.zeros(100), batch_size=10, model=nn.Linear(1, 1))
    inf = torch.tensor(math.inf)

    def update(x):
        return (
            {"loss": inf, "kl": inf, "rec": x.sum()}
            if run.step == 6
            else dict.fromkeys(("loss", "kl", "rec"), 1)
        )

    with pytest.raises(
        NotFinite, match="Step 7 was undone because loss and kl became NaN or infinite"
    ):
        run.train(update, 1, quiet=True)


@pytest.mark.parametrize("step", [1, 8, 22, 44])
def test_a_parameter_spoilt_by_a_step_with_finite_terms_is_noticed_and_undone(step, copies):
    """The terms become NaN one step later, or never when it was the last step."""
    run, update = make()

    def spoil(batch):
        terms = update(batch)
        if run.step == step - 1:
            run.parts["model"].head.weight.data[0, 0] = math.nan
        return terms

    with pytest.raises(NotFinite) as caught:
        run.train(spoil, 4, quiet=True)
    by_terms = f"Step {step + 1} was undone because loss and error and weights became"
    by_itself = (
        f"All losses were finite, but the steps up to {step} were undone "
        "because the parameter model.head.weight"
    )
    assert str(caught.value).startswith((by_terms, by_itself))
    assert caught.value.step in (step, step + 1)
    assert run.step < step
    assert all(p.isfinite().all() for p in run.parts["model"].parameters())
    run.train(update, 4, quiet=True)
    assert_same(state(run), trained(4))


def second_moment(parts):
    return parts["opt"].state[parts["model"].head.weight]["exp_avg_sq"]


def first_moment(parts):
    return parts["opt"].state[parts["model"].body[0].bias]["exp_avg"]


SPOILT = {
    "exp_avg_sq of opt for model.head.weight": second_moment,
    "exp_avg of opt for model.body.0.bias": first_moment,
    "the buffer model.body.1.running_var": lambda p: p["model"].body[1].running_var,
}


@pytest.mark.parametrize("step", [1, 22, 44])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", SPOILT)
def test_numbers_beside_the_parameters_are_watched_too(name, value, step, copies):
    """An infinite second moment freezes its weight, and no loss ever shows it."""
    run, update = make()

    def spoil(batch):
        terms = update(batch)
        if run.step == step - 1:
            SPOILT[name](run.parts).view(-1)[0] = value
        return terms

    with pytest.raises(NotFinite) as caught:
        run.train(spoil, 4, quiet=True)
    noticed = -(-step // STEPS) * STEPS if copies == 0 else 44  # at the next copy
    by_itself = (
        f"All losses were finite, but the steps up to {noticed} were undone because {name} became"
    )
    # a NaN reaches the weights, and the next losses
    by_losses = "loss and error and weights became"
    assert str(caught.value).startswith(by_itself) or by_losses in str(caught.value)
    assert run.step < step
    run.train(update, 4, quiet=True)
    assert_same(state(run), trained(4))


@pytest.mark.parametrize("name", ["lr of opt", "base_lrs of scheduler", "gamma of scheduler"])
def test_a_rate_that_becomes_nan_is_named_and_undone(name, copies):
    run, update = make()
    opt, scheduler = run.parts["opt"], run.parts["scheduler"]

    def spoil(batch):
        terms = update(batch)
        if run.step == 8:
            if name == "lr of opt":
                opt.param_groups[0]["lr"] = math.nan
            if name == "base_lrs of scheduler":
                scheduler.base_lrs = [math.nan]
            if name == "gamma of scheduler":
                scheduler.gamma = math.nan
        return terms

    # the rate shows in the losses
    by_losses = r"Step 1\d was undone because loss and error and weights became"
    with pytest.raises(NotFinite, match=f"were undone because {name}|{by_losses}"):
        run.train(spoil, 4, quiet=True)
    run.train(update, 4, quiet=True)
    assert_same(state(run), trained(4))


def test_a_gradient_whose_square_overflows_is_caught_for_real():
    """1e25 is a float32, its square is not: Adam would never move that weight again."""
    model = nn.Linear(6, 1)
    opt = torch.optim.Adam(model.parameters(), 1e-3)
    run = Run(DATA, batch_size=32, model=model, opt=opt)

    def update(batch):
        loss = model(batch.float()).mean() * (1e25 if run.step == 5 else 1)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return {"loss": loss}

    with pytest.raises(
        NotFinite, match=r"were undone because .*exp_avg_sq of opt for model\.weight became"
    ):
        run.train(update, 1, quiet=True)
    assert all(value.isfinite().all() for value in opt.state[model.weight].values())


@pytest.mark.parametrize("kind", [torch.optim.swa_utils.AveragedModel, lambda m: m])
def test_an_average_of_weights_is_watched(kind):
    """Of torch's own class, or a second model that update writes to."""
    model, average = nn.Linear(6, 1), kind(nn.Linear(6, 1))
    run = Run(DATA, batch_size=32, model=model, average=average)

    def update(batch):
        if run.step == 3:
            next(average.parameters()).data += math.nan
        return {"loss": model(batch.float()).mean()}

    with pytest.raises(
        NotFinite, match=r"were undone because .*the parameter average\.(module\.)?weight"
    ):
        run.train(update, 1, quiet=True)
    assert all(p.isfinite().all() for p in average.parameters())


def test_what_was_infinite_before_the_first_step_is_meant_so(tmp_path):
    """A mask of −∞, a mean not known yet, and the best loss of a scheduler that has seen none."""
    for epochs in (1, 2):
        model = nn.Linear(6, 6)
        model.register_buffer("mask", torch.full((6, 6), -math.inf).triu(1))
        model.register_buffer("mean", torch.tensor(math.nan))
        opt = torch.optim.SGD(model.parameters(), 1e-3)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(opt)
        run = Run(
            DATA, batch_size=32, checkpoint=tmp_path / "net", model=model, opt=opt, plateau=plateau
        )
        run.train(lambda batch: {"loss": 1.0}, epochs, quiet=True)
    assert run.step == 2 * STEPS


def test_a_nan_behind_an_error_of_the_next_step_is_named():
    """As where a GAN checks that what G makes are pixels."""
    run, update = make()

    def refuse(batch):
        if not run.parts["model"].head.weight.isfinite().all():
            raise ValueError("these are no pixels")
        terms = update(batch)
        if run.step == 5:
            run.parts["model"].head.weight.data[0, 0] = math.nan
        return terms

    with pytest.raises(
        NotFinite, match=r"the steps up to 6 .* the parameter model\.head\.weight became"
    ):
        run.train(refuse, 4, quiet=True)
    assert run.step == 0


def test_a_learning_rate_too_high_is_caught_for_real():
    run, update = make(lr=1e38, optimizer=torch.optim.SGD)
    with pytest.raises(FloatingPointError, match="a learning rate that is too high"):
        run.train(update, 4, quiet=True)
    assert all(p.isfinite().all() for p in run.parts["model"].parameters())


def test_an_interrupt_after_a_nan_does_not_hide_it():
    run, update = make()

    def bad(batch):
        terms = update(batch)
        if run.step == 8:
            press_stop()
        return {**terms, "loss": terms["loss"] * math.nan} if run.step >= 5 else terms

    with pytest.raises(NotFinite, match="Step 6 was undone because loss"):
        run.train(bad, 4, quiet=True)
    assert run.step == 0


# ---------------------------------------------------------------- checkpoints


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(copying, "COPY_SECONDS", 0)
    monkeypatch.setattr(copying, "SAVE_SECONDS", 0)


def test_a_new_process_resumes_at_the_end_of_the_last_call(tmp_path, capsys):
    path = tmp_path / "new folder" / "net.safetensors"
    run, update = make(path)
    assert capsys.readouterr().out == ""
    run.train(update, 2, quiet=True, evaluate=lambda: {"two": 2.0})
    run, update = make(path)
    assert capsys.readouterr().out == f"Resumed from {path} at epoch 2, step 22.\n"
    torch.rand(5)
    run.train(update, 4, quiet=True, evaluate=lambda: {"two": 2.0})
    assert_same(state(run), trained(4, evaluate=lambda: {"two": 2.0}))
    assert os.listdir(path.parent) == [path.name]


def test_what_an_interrupt_keeps_is_in_the_file(tmp_path):
    run, update = make(tmp_path / "a")

    def interrupted(batch):
        if run.step == 17:
            press_stop()
        return update(batch)

    run.train(interrupted, 4, quiet=True)
    run, update = make(tmp_path / "a")
    assert run.step == 18
    run.train(update, 4, quiet=True)
    assert_same(state(run), trained(4))


KILLED = """
from course_lib.training import checkpoints
copying.COPY_SECONDS = copying.SAVE_SECONDS = kills = 0
left = 1  # the checkpoint; each write that is killed leaves a temporary file beside it
real, slow = os.fsync, 0.01
def fsync(file):
    time.sleep(slow * (kills % 2))  # so that many kills hit the writing
    real(file)
os.fsync = fsync
while True:
    ready, begins = os.pipe()
    child = os.fork()  # one process for each life, without importing torch again
    if child == 0:
        run, update = t.make(path)
        os.write(begins, b"!")
        run.train(update, 12, report_every=3, quiet=True)
        os._exit(0)
    os.close(begins)
    os.read(ready, 1)
    os.close(ready)
    # longer and longer, so that it must end
    time.sleep(dice.uniform(0, 0.03 + slow) * (1 + kills / 8))
    os.kill(child, signal.SIGKILL if kills % 3 else signal.SIGTERM)
    if os.waitpid(child, 0)[1] == 0:
        break
    kills += 1
    left, before = len(os.listdir(os.path.dirname(path))), left
    print("killed", "while writing" if left > before else "", flush=True)
    if os.path.exists(path):
        checkpoints.read(path, "training run")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_killed_at_many_moments_it_ends_bit_equal(tmp_path, root):
    path = tmp_path / "net"
    out = in_a_process(root, path, KILLED)
    assert out.count("killed") >= 10
    assert "while writing" in out
    assert out.count("Resumed") >= 5
    run, update = make(path)
    assert_same(state(run), trained(12, report_every=3))
    for left in tmp_path.glob(".net.*.tmp"):
        os.utime(left, (0, 0))  # as if it were decades old
    run.train(update, 13, quiet=True)
    assert os.listdir(tmp_path) == ["net"]


def test_a_full_disk_is_said_once_and_costs_nothing_but_the_file(
    tmp_path, often, monkeypatch, capsys
):
    path = tmp_path / "net"
    run, update = make(path)
    run.train(update, 1, quiet=True)
    before = path.read_bytes()

    def full(file):
        raise OSError(28, "No space left on device")

    for epochs in (2, 3):
        with monkeypatch.context() as patch:
            patch.setattr(files.os, "fsync", full)
            run.train(update, epochs, report_every=3, quiet=True)
    says = f"{path} cannot be written (No space left on device). Training continues.\n"
    assert capsys.readouterr().out == says
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["net"]
    run.train(update, 4, quiet=True)
    assert_same(state(run) | {"history": 0}, trained(4) | {"history": 0})
    assert make(path)[0].step == 44


def test_only_old_temporary_files_of_the_checkpoint_are_cleared_away(tmp_path):
    """A young one is perhaps being written now, by another process."""
    for name in (".net.0123.tmp", ".net.4567.tmp", ".other.89ab.tmp", "net.tmp"):
        (tmp_path / name).write_bytes(b"half")
    for name in (".net.0123.tmp", ".other.89ab.tmp", "net.tmp"):
        os.utime(tmp_path / name, (0, 0))
    run, update = make(tmp_path / "net")
    assert len(os.listdir(tmp_path)) == 4
    run.train(update, 1, quiet=True)
    assert sorted(os.listdir(tmp_path)) == [".net.4567.tmp", ".other.89ab.tmp", "net", "net.tmp"]


def two_with_one_name(path, epochs=(1, 1), seeds=(0, 1)):
    """Both were made before either wrote; then one trains, and the other."""
    runs = [make(path, seed=seed) for seed in seeds]
    for (run, update), length in zip(runs, epochs, strict=True):
        run.train(update, length, quiet=True)
    return [state_as_left(run) for run, _ in runs]


def test_two_runs_with_one_name_are_both_kept(tmp_path, often, capsys):
    path = tmp_path / "net.safetensors"
    first, second = two_with_one_name(path)
    beside = tmp_path / "net_2.safetensors"
    assert capsys.readouterr().out == (
        f"Another process has written {path}. That file is left unchanged, "
        f"and this run is saved as {beside} from now on.\n"
    )
    assert sorted(os.listdir(tmp_path)) == ["net.safetensors", "net_2.safetensors"]
    assert_same(state_as_left(make(path)[0]), first)
    assert_same(state_as_left(make(beside, seed=1)[0]), second)
    with pytest.raises(
        CheckpointError, match=r"belongs to another run \(seed is 1 here but 0 in the file"
    ):
        make(path, seed=1)


@pytest.mark.parametrize(("epochs", "kept"), [((2, 1), ["net", "net_2"]), ((1, 2), ["net"])])
def test_of_one_run_in_two_processes_the_later_state_is_kept(epochs, kept, tmp_path):
    two_with_one_name(tmp_path / "net", epochs, seeds=(0, 0))
    assert sorted(os.listdir(tmp_path)) == kept
    assert make(tmp_path / "net")[0].epoch == 2


@pytest.fixture
def locked(monkeypatch):
    """As in a folder where nobody may write. (The rights of a real one do not bind root.)"""

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files, "_temporary", refuse)


def test_a_checkpoint_in_a_locked_folder_is_resumed_from(tmp_path, often, capsys, request):
    path = tmp_path / "net"
    run, update = make(path)
    run.train(update, 1, quiet=True)
    before = path.read_bytes()
    request.getfixturevalue("locked")
    run, update = make(path)
    run.train(update, 2, quiet=True)
    run.train(update, 3, quiet=True)
    assert capsys.readouterr().out == (
        f"Resumed from {path} at epoch 1, step 11.\n"
        f"{path} cannot be written (Permission denied). Training continues, but is not saved.\n"
    )
    assert path.read_bytes() == before
    assert_same(state(run), trained(3))


def test_a_new_checkpoint_in_a_locked_folder_is_refused_before_training(tmp_path, locked):
    with pytest.raises(
        ValueError, match=r"net cannot be written \(Permission denied\). Choose another file"
    ):
        make(tmp_path / "net")


WRONG_PATHS = {
    "": "The file name is empty",
    "folder": "folder is a folder. Pass the name of a file in it",
    "plain/net": r"net \(Not a directory\). Choose another file name",
    "plain/deeper/net": r"net \(Not a directory\). Choose another file name",
    "n" * 300: r"n \(File name too long\). Choose another file name",
    "n\0": r"'n\\x00' \((stat: )?embedded null .*\). Choose another file name",
}


@pytest.mark.parametrize("path", WRONG_PATHS, ids=range(len(WRONG_PATHS)))
def test_a_path_where_no_checkpoint_can_be_is_refused_before_training(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").write_text("")
    with pytest.raises(ValueError, match=WRONG_PATHS[path]):
        make(path)
    assert sorted(os.listdir(tmp_path)) == ["folder", "plain"]


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        run, update = make("~/runs/net")
        run.train(update, 1, quiet=True)
    assert run.checkpoint == tmp_path / "home" / "runs" / "net"
    assert os.listdir(tmp_path) == ["home"]


# ---------------------------------------------------------------- weights of the rows

WEIGHTS = torch.rand(330, generator=torch.Generator().manual_seed(6))


def weighted(checkpoint=None, weights=WEIGHTS):
    run, _ = make()
    parts = run.parts
    run = Run(DATA, batch_size=32, weights=weights, checkpoint=checkpoint, **parts)
    return run, update_of(run)


def test_a_weighted_epoch_has_as_many_steps_and_draws_rows_by_weight():
    weights = torch.tensor([0.0] * 5 + [1.0] * 4 + [16.0])
    seen = []
    run = Run(torch.arange(10), batch_size=4, weights=weights, model=nn.Linear(1, 1))
    history = run.train(lambda ids: seen.append(ids) or {"id": ids.float().mean()}, 300, quiet=True)
    assert [len(ids) for ids in seen] == [4, 4, 2] * 300
    shares = torch.cat(seen).bincount(minlength=10) / 3000
    assert shares[:5].sum() == 0
    # 16 of 20; 5 standard errors of a share of 3,000 draws are 5·√(0.8·0.2/3,000) = 0.037
    assert abs(shares[9] - 0.8) < 0.037
    # the history is the mean over the rows drawn, not over the data, whose mean is 4.5
    drawn = torch.cat(seen[-3:]).float().mean()
    assert history["id"][-1] == pytest.approx(float(drawn), abs=1e-6)


def test_a_weighted_run_resumes_bit_equal(tmp_path):
    whole, update = weighted()
    whole.train(update, 4, quiet=True)
    path = tmp_path / "net"
    for epochs in (0.5, 1.7, 4):
        run, update = weighted(path)
        run.train(update, epochs, quiet=True)
    assert_same(state(run) | {"history": 0}, state(whole) | {"history": 0})
    with pytest.raises(
        CheckpointError, match=r"weights is torch\.float64 \(330,\) with checksum .* here but torch"
    ):
        weighted(path, WEIGHTS.flip(0))
    with pytest.raises(CheckpointError, match=r"weights is None here but torch\.float64"):
        make(path)


def test_weights_that_do_not_fit_are_refused_before_training():
    with pytest.raises(
        ValueError, match=r"weights must have shape \(330,\), one per row, but got \(3,\)"
    ):
        Run(DATA, weights=torch.ones(3), model=nn.Linear(1, 1))


OTHER = {
    "seed is 1 here but 0 in the file": {"seed": 1},
    "batch_size is 30 here but 32 in the file": {"batch_size": 30},
    "beta is 2 here but 1 in the file": {"beta": 2},
    "data[0] is torch.uint8 (330, 6) with checksum": {"data": DATA.flip(0)},
    "data[0] is torch.uint8 (329, 6) with checksum": {"data": DATA[:-1]},
    "model.body.0 is Linear(in_features=6, out_features=9": {"width": 9},
    "model.body.2 is ReLU() here but SiLU() in the file": {"act": nn.ReLU},
    "model.body.3 is Dropout(p=0.5": {"p": 0.5},
    "opt is SGD here but Adam in the file": {"optimizer": torch.optim.SGD},
    "opt.lr is 0.02 here but 0.01 in the file": {"lr": 0.02},
}


@pytest.mark.parametrize("says", OTHER)
def test_a_checkpoint_of_another_run_is_refused_and_left_alone(says, tmp_path):
    path = tmp_path / "net"
    run, update = make(path)
    run.train(update, 1, quiet=True)
    before = path.read_bytes()
    with pytest.raises(CheckpointError) as refused:
        make(path, **OTHER[says])
    message = str(refused.value)
    assert says in message
    assert message.startswith(f"{path} belongs to another run (")
    assert message.endswith("). Delete it or choose another file.")
    assert path.read_bytes() == before


def test_how_an_optimizer_computes_is_no_difference_and_stays_as_it_is_here(tmp_path):
    path = tmp_path / "net"
    run, update = make(path)
    run.train(update, 1, quiet=True)
    run, update = make(path, optimizer=lambda p, lr: torch.optim.Adam(p, lr, foreach=True))
    assert run.parts["opt"].param_groups[0]["foreach"] is True
    assert run.step == 11


@pytest.mark.parametrize("cut", [0, 7, 8, 100, -1, -1000])
def test_a_file_cut_short_is_named_and_left_alone(cut, tmp_path):
    path = tmp_path / "net"
    run, update = make(path)
    run.train(update, 1, quiet=True)
    path.write_bytes(path.read_bytes()[:cut])
    before = path.read_bytes()
    with pytest.raises(
        CheckpointError, match=r"net is truncated, modified.* Delete the file or choose another one"
    ):
        make(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("wrong", [{"data": (DATA, DATA[1:])}, {"data": DATA[:0]}, {"data": ()}])
def test_data_that_do_not_fit_are_refused(wrong):
    with pytest.raises(
        ValueError, match="All tensors must have the same number of rows, at least one"
    ):
        Run(**wrong, model=nn.Linear(1, 1))


@pytest.mark.parametrize("data", [DATA.numpy(), (DATA, DATA.numpy()), [DATA.tolist()], None])
def test_data_that_are_no_tensors_are_named(data):
    with pytest.raises(
        ValueError,
        match=r"data must be a tensor with N rows or a tuple of .*, not (Tensor, )?[nlN]",
    ):
        Run(data, model=nn.Linear(1, 1))


@pytest.mark.parametrize("found", [3.0, None])
def test_an_evaluation_without_names_is_told(found):
    run = Run(DATA, model=nn.Linear(1, 1))
    with pytest.raises(TypeError, match=f"evaluate must return a dict of numbers, not {found}"):
        run.train(lambda batch: {"loss": 1.0}, 1, evaluate=lambda: found, quiet=True)


@pytest.mark.parametrize("size", [0, -3, 331, 31.5])
def test_a_batch_size_that_does_not_fit_is_refused(size):
    with pytest.raises(
        ValueError, match=f"batch_size must be an integer from 1 to 330, .* but got {size}"
    ):
        Run(DATA, batch_size=size, model=nn.Linear(1, 1))


@pytest.mark.parametrize("parts", [{}, {"model": nn.Linear(1, 1), "lr": 0.1}])
def test_parts_without_a_state_are_refused(parts):
    with pytest.raises(ValueError, match="Pass the models and optimizers by name"):
        Run(DATA, **parts)


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        (None, "step must return a dict of numbers, not None"),
        ({}, "step must return a dict of numbers, not {}"),
        (torch.tensor(1.0), "step must return a dict of numbers"),
        ({"loss": torch.ones(3)}, r"loss has shape \(3,\)\. Return its mean"),
        ({"loss": "low"}, "step must return a dict of numbers, but loss is 'low'"),
        ({"loss": None}, "step must return a dict of numbers, but loss is None"),
    ],
)
def test_an_update_that_returns_no_numbers_is_told(terms, says):
    run = Run(DATA, model=nn.Linear(1, 1))
    with pytest.raises(TypeError, match=says):
        run.train(lambda batch: terms, 1, quiet=True)
    assert run.step == 0


def test_terms_that_change_their_names_are_refused():
    run = Run(DATA, batch_size=30, model=nn.Linear(1, 1))
    run.train(lambda batch: {"loss": 1.0}, 1, quiet=True)
    with pytest.raises(ValueError, match="numbers changed from loss to cost, loss"):
        run.train(lambda batch: {"loss": 1.0, "cost": 2.0}, 2, quiet=True)
    with pytest.raises(ValueError, match="numbers"):
        run.train(lambda batch: {"loss": 1.0} if run.step % 2 else {"cost": 1.0}, 2, quiet=True)


def test_no_graph_of_autograd_is_held_by_the_terms():
    run = Run(DATA, batch_size=30, model=nn.Linear(6, 1))
    run.train(lambda batch: {"loss": run.parts["model"](batch.float()).mean()}, 0.5, quiet=True)
    assert run._history.pending == []
    seen = []

    def update(batch):
        seen.extend(
            term.requires_grad for _, terms in run._history.pending for term in terms.values()
        )
        return {"loss": run.parts["model"](batch.float()).mean()}

    run.train(update, 1, quiet=True)
    assert seen
    assert not any(seen)


def test_a_part_that_cannot_be_kept_is_named():
    class Odd:
        def state_dict(self):
            return {"inner": [1, object()]}

        def load_state_dict(self, state):
            pass

    run = Run(DATA, odd=Odd())
    with pytest.raises(
        TypeError, match=r"A checkpoint cannot contain /parts/odd/inner/1 of type object"
    ):
        run.train(lambda batch: {"one": 1.0}, 1, quiet=True)


# ---------------------------------------------------------------- what is seen


def test_outside_a_notebook_a_picture_is_drawn_but_not_shown_nor_left_open(capsys):
    drawn = []

    def picture(run):
        drawn.append(run.step)
        return plt.subplots()[1] if len(drawn) % 2 else plt.figure()

    run, update = make()
    run.train(update, 2, picture=picture, picture_every=0.5, quiet=True)
    assert drawn == [6, 12, 18, 22]
    assert plt.get_fignums() == []
    assert capsys.readouterr().out == ""


def test_the_bar_shows_the_last_report(capsys):
    run, update = make()
    # the bar moves every 0.1 s
    history = run.train(lambda batch: time.sleep(0.02) or update(batch), 2)
    out = capsys.readouterr().out
    assert f"loss={history['loss'][0]:.4g}" in out
    assert out.split("\r")[-1].strip() == ""  # it is taken away at the end


def test_a_notebook_shows_one_picture_that_changes(root, tmp_path):
    cell = f"""
import sys; sys.path.insert(0, {str(root)!r})
import torch, matplotlib.pyplot as plt
from course_lib.training import Run
run = Run(torch.zeros(40), batch_size=10, model=torch.nn.Linear(1, 1))
def picture(run):
    figure, ax = plt.subplots(figsize=(1, 1))
    ax.set_title(str(run.step))
    return ax
run.train(lambda x: {{"one": 1.0}}, 3, picture=picture, picture_every=0.5);
"""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    NotebookClient(
        book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = [
        o for o in book.cells[0].outputs if o.output_type in ("display_data", "execute_result")
    ]
    assert len(shown) == 1
    assert "image/png" in shown[0]["data"]
    # the bar is drawn below it, in one piece, and is gone at the end
    assert book.cells[0].outputs[0] is shown[0]
    assert "".join(o.text for o in book.cells[0].outputs[1:]).split("\r")[-1].strip() == ""


def test_curves_are_drawn_against_the_epoch():
    run, update = make()
    run.train(update, 3, report_every=1000, quiet=True, evaluate=lambda: {"held out": run.epoch**2})
    ax = run.plot()
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert lines.keys() == {"loss", "error", "weights", "held out"}
    assert list(lines["held out"].get_xdata()) == [1, 2, 3]
    assert list(lines["held out"].get_ydata()) == [1, 4, 9]
    assert list(lines["loss"].get_ydata()) == run.history["loss"]
    assert ax.get_xlabel() == "epoch"
    assert run.plot(ax) is ax
    plt.close("all")


# ---------------------------------------------------------------- CUDA


def on_cuda(graph: bool, capturable: bool = True, **options):
    torch.manual_seed(11)
    model = Net(p=0.2).cuda()
    opt = torch.optim.Adam(model.parameters(), 1e-2, capturable=capturable)
    run = Run(DATA.cuda(), batch_size=32, model=model, opt=opt)

    def update(batch):
        x = batch.float() / 255
        loss = (model(x) - x).square().sum(-1).mean() * (1 + run.progress)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return {"loss": loss}

    return run, run.train(update, 4, graph=graph, quiet=True, **options)


@needs_cuda
@pytest.mark.parametrize("autocast", [False, True])
def test_a_graph_equals_the_eager_run(autocast):
    """The noise is the same: both draw from CUDA's generator in the same order."""
    eager, first = on_cuda(False, autocast=autocast)
    graph, second = on_cuda(True, autocast=autocast)
    # float32 sums in another order, over 44 steps; bfloat16 has 8 bits
    tolerance = 2e-2 if autocast else 1e-4
    assert second["loss"] == pytest.approx(first["loss"], rel=tolerance)
    for a, b in zip(
        eager.parts["model"].parameters(), graph.parts["model"].parameters(), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@needs_cuda
def test_an_optimizer_that_cannot_be_captured_steps_eagerly(capsys):
    _, history = on_cuda(True, capturable=False)
    assert (
        "No CUDA graph is used, because opt was created without capturable=True"
        in capsys.readouterr().out
    )
    assert history["loss"] == pytest.approx(on_cuda(False)[1]["loss"], rel=1e-4)


@needs_cuda
def test_noise_on_cuda_is_part_of_the_state():
    run, update = make(data=DATA.cuda())
    run.train(update, 2, quiet=True)
    torch.rand(5, device="cuda")
    run.train(update, 4, quiet=True)
    again, update = make(data=DATA.cuda())
    again.train(update, 4, quiet=True)
    for a, b in zip(
        run.parts["model"].parameters(), again.parts["model"].parameters(), strict=True
    ):
        torch.testing.assert_close(a, b)
