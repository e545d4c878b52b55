"""A step as a CUDA graph: in a small simulation on the CPU, and on a GPU where there is one.

The simulation keeps what matters of a capture: operations are recorded and leave no trace, a replay
runs them on the same memory with new random numbers, and nothing of Python happens again.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from course_lib import kernels, recipes
from course_lib.data import Digits
from course_lib.models.autoencoder import AutoEncoder
from course_lib.models.conditional_vae import ConditionalVAE
from course_lib.models.vae import VAE
from course_lib.training import copies, cuda_graph
from course_lib.training.cuda_graph import reason_against, wants_graph
from course_lib.training.gan import GANRecipe
from course_lib.training.history import NotFinite
from course_lib.training.loop import Run
from course_lib.training.vae import Recipe

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
SIMULATED = pytest.param("simulated", id="simulated")
ON_CUDA = pytest.param("cuda", marks=needs_cuda, id="cuda")
both = pytest.mark.parametrize("place", [SIMULATED, ON_CUDA], indirect=True)
IMAGES = torch.randint(
    0, 256, (70, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
)


class Recorder(TorchDispatchMode):
    """A CUDAGraph: `capture` records operations and undoes them, `replay` does them again."""

    def __init__(self):
        super().__init__()
        self.calls, self.before, self.replays = [], {}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        assert "_local_scalar_dense" not in str(function), (
            "operation not permitted when stream is capturing"
        )
        for tensor in tree_flatten((args, kwargs))[0]:
            if isinstance(tensor, Tensor):  # its storage may be written to
                storage = tensor.untyped_storage()
                self.before.setdefault(storage.data_ptr(), (storage, storage.clone()))
        out = function(*args, **kwargs)
        self.calls.append((function, args, kwargs, out))
        return out

    @contextmanager
    def capture(self):
        noise = torch.get_rng_state()
        try:
            with self:
                yield
        except AssertionError as error:
            raise RuntimeError(*error.args) from error
        finally:
            torch.set_rng_state(noise)
            for storage, kept in self.before.values():
                storage.copy_(kept)
            self.before.clear()

    def replay(self):
        self.replays += 1
        with torch.no_grad():
            for function, args, kwargs, out in self.calls:
                again = function(*args, **kwargs)
                for old, new in zip(tree_flatten(out)[0], tree_flatten(again)[0], strict=True):
                    if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


@pytest.fixture
def place(request, monkeypatch):
    """The device, and the graphs that were captured."""
    graphs = []
    if request.param == "cuda":
        real = torch.cuda.CUDAGraph
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: graphs.append(real()) or graphs[-1])
        return SimpleNamespace(device=torch.device("cuda"), graphs=graphs, simulated=False)
    modes, stream = [], SimpleNamespace(wait_stream=lambda other: None)

    def graph():
        graphs.append(Recorder())
        return graphs[-1]

    monkeypatch.setattr(cuda_graph, "reason_against", lambda run: "")
    for name, fake in {
        "CUDAGraph": graph,
        "Stream": lambda device: stream,
        "current_stream": lambda: stream,
        "stream": lambda stream: nullcontext(),
        "graph": Recorder.capture,
        "set_sync_debug_mode": modes.append,
        "default_generators": {
            None: SimpleNamespace(clone_state=lambda: 0, graphsafe_set_state=id)
        },
    }.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    return SimpleNamespace(device=torch.device("cpu"), graphs=graphs, simulated=True, modes=modes)


def adam(module: nn.Module, device: torch.device) -> torch.optim.Optimizer:
    return torch.optim.Adam(module.parameters(), 1e-3, fused=True, capturable=device.type == "cuda")


def vae_run(device: torch.device, fused: bool = False, **options):
    """The whole update: gather, binarize, forward, loss, backward, Adam;
    5 steps an epoch, one of 6 rows.
    """
    torch.manual_seed(0)
    images = IMAGES.to(device)
    model = VAE((4, 4), 3, (8,)).to(device)
    optimizer, python = adam(model, device), []
    run = Run(torch.arange(70, device=device), batch_size=16, model=model, optimizer=optimizer)

    def update(index):
        python.append(len(index))
        x = (
            kernels.gather_binarize(images, index)
            if fused
            else images[index].flatten(1).div(255).bernoulli()
        )
        losses = kernels.fused_loss(model, x) if fused else model.loss(x)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        return losses | {"ink": x.mean(), "constant": 2.5, "progress": run.progress}

    return (
        run,
        run.train(update, 4, report_every=1, quiet=True, **{"graph": False, **options}),
        python,
    )


def same(a, b, exact):
    """On a CPU bit by bit; a GPU adds in another order."""
    (run_a, log_a, _), (run_b, log_b, _) = a, b
    assert log_a.keys() == log_b.keys()
    for name in log_a:
        assert log_b[name] == (log_a[name] if exact else pytest.approx(log_a[name], rel=1e-3))
    for name, part in run_a.parts.items():
        if isinstance(part, nn.Module):
            for p, q in zip(part.parameters(), run_b.parts[name].parameters(), strict=True):
                torch.testing.assert_close(
                    p, q, rtol=0 if exact else 1e-3, atol=0 if exact else 1e-5
                )


@both
@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused kernels"])
def test_a_captured_update_trains_as_the_eager_one_and_runs_no_python(place, fused, monkeypatch):
    # on a CPU the course looks at row numbers and pixels, on a GPU it would have to wait
    if place.simulated:
        look = Tensor.aminmax
        blind = lambda self: look(self) if isinstance(self, nn.Parameter) else (0, 0)  # noqa: E731
        monkeypatch.setattr(Tensor, "aminmax", blind)
    eager, graph = vae_run(place.device, fused), vae_run(place.device, fused, graph=True)
    same(eager, graph, exact=place.simulated)
    assert len(eager[2]) == 20
    # of 16 whole batches three are warm-up, one is recorded; four ends of epochs differ in size
    assert sorted(graph[2]) == sorted([16] * 4 + [6] * 4)
    assert len(set(graph[1]["loss"])) == 20  # each replay has its own noise
    assert graph[1]["progress"] == pytest.approx([i / 20 for i in range(20)])
    if place.simulated:
        assert [g.replays for g in place.graphs] == [13]
        assert place.modes.count("error") == 1  # the step before the capture must not wait


def gan_run(device: torch.device, **options):
    """Two updates: D on real and generated points, then G against the new D; an optimizer each."""
    torch.manual_seed(0)
    G, D = (nn.Sequential(nn.Linear(2, 8), nn.SiLU(), nn.Linear(8, n)).to(device) for n in (2, 1))
    optimizer_D, optimizer_G = adam(D, device), adam(G, device)
    data = torch.randn(64, 2, generator=torch.Generator().manual_seed(2)).to(device)
    run = Run(data, batch_size=16, G=G, D=D, optimizer_D=optimizer_D, optimizer_G=optimizer_G)
    softplus = nn.functional.softplus

    def update(x):
        fake = G(torch.randn_like(x))
        loss_D = softplus(-D(x)).mean() + softplus(D(fake.detach())).mean()
        optimizer_D.zero_grad()
        loss_D.backward()
        optimizer_D.step()
        loss_G = softplus(-D(G(torch.randn_like(x)))).mean()
        optimizer_G.zero_grad()
        loss_G.backward()
        optimizer_G.step()
        return {"D": loss_D, "G": loss_G}

    return run, run.train(update, 5, report_every=1, quiet=True, **{"graph": False, **options}), []


@both
def test_both_updates_of_a_gan_become_one_graph(place):
    eager, graph = gan_run(place.device), gan_run(place.device, graph=True)
    same(eager, graph, exact=place.simulated)
    assert len(place.graphs) == 1
    assert len(set(graph[1]["G"])) == 20


def scheduled(device: torch.device, trouble=None, **options):
    """An update with noise and a count that Python keeps; a broken step must not count twice."""
    torch.manual_seed(0)
    model = nn.Linear(4, 1).to(device)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
    run = Run(
        torch.randn(48, 4, generator=torch.Generator().manual_seed(3)).to(device),
        batch_size=8,
        model=model,
        optimizer=optimizer,
        scheduler=scheduler,
    )

    def update(x):
        loss = (model(x + torch.randn_like(x)) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if trouble:
            trouble(loss)
        return {"loss": loss}

    return run, run.train(update, 3, report_every=1, quiet=True, **{"graph": False, **options}), []


@both
def test_an_update_that_cannot_be_recorded_goes_on_eagerly_and_says_why(place, capsys):
    def trouble(loss):
        if place.simulated:
            loss.detach().item()
        else:
            event = torch.cuda.Event()
            event.record()
            event.synchronize()  # sync_debug_mode does not see it; a capture does not bear it

    same(
        scheduled(place.device), scheduled(place.device, trouble, graph=True), exact=place.simulated
    )
    assert "No CUDA graph is used, because step cannot be captured (" in capsys.readouterr().out


@both
def test_an_update_that_waits_for_the_device_goes_on_eagerly_and_says_why(place, capsys):
    calls = []

    def trouble(loss):
        calls.append(1)
        if not place.simulated:
            loss.item()
        elif place.modes and place.modes[-1] == "error":
            raise RuntimeError("called a synchronizing CUDA operation")

    eager = scheduled(place.device)
    same(eager, scheduled(place.device, trouble, graph=True), exact=place.simulated)
    said = capsys.readouterr().out
    assert said == (
        "No CUDA graph is used, because step waits for the device, as .item(), float() and print "
        "do. The steps run one by one.\n"
    )
    assert len(calls) >= 18 + 1  # 18 steps, and the one that was undone


@both
def test_an_error_of_the_update_itself_is_no_reason_for_eager(place):
    def trouble(loss):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        scheduled(place.device, trouble, graph=True)


@both
def test_a_replay_that_diverges_is_undone(place):
    torch.manual_seed(0)
    model = nn.Linear(1, 1).to(place.device)
    run = Run(torch.ones(40, 1, device=place.device), batch_size=4, model=model)

    def update(x):
        with torch.no_grad():
            model.weight.mul_(1e5)
        return {"size": model.weight.abs().sum()}

    with pytest.raises(NotFinite, match="size") as caught:
        run.train(update, 2, graph=True, quiet=True)
    assert caught.value.step in (8, 9)  # 10³⁸ is float32's end
    assert run.step == 0
    assert model.weight.isfinite().all()


@both
def test_steps_that_launch_different_kernels_have_a_graph_each(place):
    """As a GAN with R1 in every third step."""

    def run_it(**options):
        torch.manual_seed(0)
        model = nn.Linear(4, 1).to(place.device)
        optimizer = adam(model, place.device)
        data = torch.randn(80, 4, generator=torch.Generator().manual_seed(3)).to(place.device)
        run = Run(data, batch_size=2, model=model, optimizer=optimizer)

        def step(x):
            loss = (model(x) - 1).square().mean()
            if run.step % 3 == 0:
                loss = loss + 0.1 * model.weight.square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return {"loss": loss}

        options |= {"variant": lambda: run.step % 3 == 0}
        return run, run.train(step, 1, report_every=1, quiet=True, **options), []

    eager, graph = run_it(graph=False), run_it(graph=True)
    same(eager, graph, exact=place.simulated)
    assert len(place.graphs) == 2
    if place.simulated:  # of 40 steps 14 have the penalty; of each kind three are warm-up
        assert sorted(g.replays for g in place.graphs) == [14 - 3, 26 - 3]


SMALL = {"latent": 3, "hidden": [8]}
RECIPES = {
    "vae": Recipe(VAE, SMALL, batch_size=7, cosine=True, warmup=0.5),
    "auto-encoder": Recipe(AutoEncoder, SMALL, batch_size=7, decay=0.5),
    "gan": GANRecipe(SMALL | {"network": "plain"}, batch_size=7, r1=0.1, r1_every=3),
    "wasserstein": GANRecipe(
        SMALL | {"network": "plain"}, loss="wasserstein", penalty=10.0, batch_size=7
    ),
    # on a CPU labels are looked at, which a recording does not bear
    "conditional vae": Recipe(ConditionalVAE, SMALL, batch_size=7, cosine=True, warmup=0.5),
    "conditional gan": GANRecipe(
        SMALL | {"network": "plain", "labels": 3}, batch_size=7, r1=0.1, r1_every=3
    ),
}


def by_recipe(name: str, device: torch.device, graph: bool | None):
    digits = Digits(IMAGES.to(device), torch.arange(70, device=device) % 3, "a test")
    _, run = recipes.train(
        RECIPES[name], digits, seed=1, epochs=3, report_every=1, quiet=True, graph=graph
    )
    return run, run.history, []


@both
@pytest.mark.parametrize("name", [name for name in RECIPES if "conditional" not in name])
def test_recipes_train_as_graphs_as_they_do_without(name, place, monkeypatch):
    if place.simulated:
        # nobody looks at pixels on a GPU
        monkeypatch.setattr(Tensor, "aminmax", lambda self: (0, 0))
        monkeypatch.setattr(copies, "not_finite", lambda parts: [])
    eager, graph = by_recipe(name, place.device, False), by_recipe(name, place.device, True)
    same(eager, graph, exact=place.simulated)
    assert len(place.graphs) == (2 if name == "gan" else 1)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("place", [ON_CUDA], indirect=True)
def test_on_a_gpu_recipes_take_the_graph_by_themselves(name, place):
    eager, graph = by_recipe(name, place.device, False), by_recipe(name, place.device, None)
    same(eager, graph, exact=False)
    assert len(place.graphs) == (2 if name.endswith("gan") else 1)


def test_reasons_that_are_known_before():
    model = nn.Linear(1, 1)
    run = Run(
        torch.zeros(4, 1), batch_size=2, model=model, optimizer=torch.optim.Adam(model.parameters())
    )
    assert (
        reason_against(run) == "A CUDA graph needs a CUDA device. On cpu, the steps run one by one."
    )
    run.device = torch.device("cuda")
    assert reason_against(run) == (
        "No CUDA graph is used, because optimizer was created without capturable=True. "
        "The steps run one by one."
    )
    run.parts["optimizer"] = torch.optim.SGD(model.parameters(), 0.1)
    assert reason_against(run) == ""


def test_a_graph_is_taken_by_itself_where_all_was_made_for_it(capsys):
    """And nowhere else: a graph repeats the kernels, and not what a step does in Python."""

    def taken(asked=None, quiet=False, **parts):
        run = Run(torch.zeros(4, 1), batch_size=2, **parts)
        run.device = torch.device("cuda")
        return wants_graph(run, asked, quiet)

    model = nn.Linear(1, 1)
    capturable = torch.optim.Adam(model.parameters(), capturable=True)
    scheduler = torch.optim.lr_scheduler.StepLR(capturable, 3)
    assert taken(model=model, optimizer=capturable)
    assert (
        capsys.readouterr().out
        == "The steps are replayed as a CUDA graph. Pass graph=False to run them one by one.\n"
    )
    assert taken(model=model, optimizer=capturable, quiet=True)
    assert not taken(False, model=model, optimizer=capturable)
    assert not taken(model=model, optimizer=torch.optim.Adam(model.parameters()))
    assert not taken(model=model, optimizer=torch.optim.SGD(model.parameters(), 0.1))
    assert not taken(model=model, optimizer=capturable, scheduler=scheduler)
    assert not taken(model=model)
    assert capsys.readouterr().out == ""
    run = Run(torch.zeros(4, 1), batch_size=2, model=model, optimizer=capturable)
    assert not wants_graph(run, None)  # on a CPU
    assert capsys.readouterr().out == ""
