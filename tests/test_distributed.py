"""Processes that share a training get what one gets, whichever is killed, and one writes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from distributed_script import EPOCH, RECIPES, SMALL, digits, outcome, train_all

from course_lib import recipes
from course_lib.recipes import train
from course_lib.training import copies, processes
from course_lib.training.distributed import LOOK_EVERY, NoiseOfTheBatch, own_rows
from course_lib.training.gan import GANRecipe

TESTS = Path(__file__).parent
pytestmark = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="this PyTorch has no gloo"
)


def torchrun(folder: Path, *, kill: str = "", others: str = "") -> subprocess.CompletedProcess:
    """distributed_script.py's command in two processes, which find each other on this machine."""
    # 0: a free port
    found = ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
    script = str(TESTS / "distributed_script.py")
    words = ["plain", "--seed=1", "--k=0", "--device=cpu", f"--out={folder / 'model.safetensors'}"]
    environment = {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(TESTS.parent),
        "RESULT": str(folder / "result.pt"),
        "OTHERS": others and str(folder / others),
        "KILL": kill,
    }
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        *found,
        script,
        *words,
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=os.environ | environment, **pipes) as process:
        try:
            said, errors = process.communicate(timeout=800)
        except subprocess.TimeoutExpired:
            process.terminate()  # not kill, which would leave its processes behind
            raise
    return subprocess.CompletedProcess(command, process.returncode, said, errors)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def killed(folder) -> subprocess.CompletedProcess:
    """The command, with process 1 killed in the second epoch. A copy of its checkpoint is kept."""
    done = torchrun(folder, kill=f"1 {EPOCH + 3}")
    assert [path.name for path in folder.iterdir()] == ["model.run.safetensors"], done.stderr
    shutil.copy(folder / "model.run.safetensors", folder / "copy.safetensors")
    return done


@pytest.fixture(scope="module")
def finished(killed, folder) -> subprocess.CompletedProcess:
    """The same command again, and in the same processes trainings that nobody disturbs."""
    return torchrun(folder, others="others.pt")


@pytest.fixture(scope="module")
def both(finished, folder) -> list[dict]:
    """What the two processes got."""
    assert finished.returncode == 0, finished.stderr
    return torch.load(folder / "others.pt", weights_only=False)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict[str, dict]:
    """What one process gets, without torchrun."""
    return train_all(tmp_path_factory.mktemp("alone"))


@pytest.fixture
def group_of_one():
    """This process as a group, which shares its steps with nobody."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


# ---------------------------------------------------------------- what comes out


@pytest.mark.parametrize("name", [*RECIPES, "own step"])
def test_two_processes_get_what_one_gets(name, both, alone):
    """The same rows and noise: only rounding differs. Adam moves a weight by up to 4e-3 a step."""
    ours, theirs = both[0][name], alone[name]
    assert ours["history"].keys() == theirs["history"].keys()
    for loss, values in theirs["history"].items():
        torch.testing.assert_close(ours["history"][loss], values, rtol=2e-6, atol=1e-6)
    torch.testing.assert_close(ours["weights"], theirs["weights"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [*RECIPES, "own step"])
def test_all_processes_have_the_same_weights_to_the_last_bit(name, both):
    assert torch.equal(both[0][name]["weights"], both[1][name]["weights"])
    assert both[0][name]["history"] == both[1][name]["history"]


def test_one_process_of_a_group_gets_the_bits_of_one_without(group_of_one, alone, tmp_path):
    for name, found in train_all(tmp_path).items():
        assert torch.equal(found["weights"], alone[name]["weights"])
        assert found["history"] == alone[name]["history"]


def test_rows_are_divided_without_rest_and_as_evenly_as_can_be():
    for rows in range(1, 12):
        for processes_ in range(1, 6):
            parts = [range(rows)[own_rows(rows, rank, processes_)] for rank in range(processes_)]
            assert [row for part in parts for row in part] == list(range(rows))
            sizes = [len(part) for part in parts]
            assert max(sizes) - min(sizes) <= 1


def test_noise_is_the_rows_of_the_whole_batch_s_noise():
    whole = torch.zeros(7, 20)
    torch.manual_seed(3)
    expected = torch.randn_like(whole), torch.randn_like(whole)
    torch.manual_seed(3)
    with NoiseOfTheBatch(7, slice(2, 5)):
        found = torch.randn_like(whole[2:5]), torch.randn_like(whole[2:5])
    for mine, all_rows in zip(found, expected, strict=True):
        assert torch.equal(mine, all_rows[2:5])


@pytest.mark.parametrize(
    "use",
    [
        lambda x: torch.rand(4, 3),
        lambda x: torch.distributions.Normal(x, 1.0).rsample(),
        lambda x: torch.nn.Dropout()(x),
        lambda x: torch.nn.BatchNorm1d(3)(x),
    ],
)
def test_what_cannot_be_shared_is_named(use):
    """Else each process would drop the same places of its rows, or know the mean of these only."""
    x = torch.rand(4, 3)
    with (
        NoiseOfTheBatch(8, slice(0, 4)),
        pytest.raises(
            NotImplementedError, match="is not supported when training with several processes"
        ),
    ):
        use(x)


# ---------------------------------------------------------------- one of them is killed


def test_torchrun_ends_all_when_one_is_killed(killed):
    assert killed.returncode != 0
    assert "SIGKILL" in killed.stderr


def test_the_command_goes_on_and_ends_as_if_nobody_had_been_killed(both, finished, folder):
    assert (
        f"Resumed from {folder / 'model.run.safetensors'} at epoch 1, step {EPOCH}."
        in finished.stdout
    )
    resumed = torch.load(folder / "result.pt", weights_only=False)
    undisturbed = both[0]["plain"]
    assert torch.equal(resumed["weights"], undisturbed["weights"])


def test_another_number_of_processes_goes_on(killed, both, folder, capsys):
    model, run = train(SMALL, digits(), 1, checkpoint=folder / "copy.safetensors", quiet=True)
    assert f"step {EPOCH}." in capsys.readouterr().out
    found = outcome(model, run)
    torch.testing.assert_close(found["weights"], both[0]["plain"]["weights"], rtol=0, atol=1e-5)


def test_an_interrupt_stops_all_at_one_step(group_of_one, tmp_path, monkeypatch, capsys):
    """The one that got it goes on until all look. The steps since the last copy are done again."""
    monkeypatch.setattr(copies, "COPY_SECONDS", 0.0)
    whole = outcome(*train(SMALL, digits(), quiet=True))

    def strike(model):
        signal.raise_signal(signal.SIGINT)
        return {}

    path = tmp_path / "run.safetensors"
    before = signal.getsignal(signal.SIGINT)
    _, run = train(SMALL, digits(), checkpoint=path, evaluate=strike, quiet=True)
    assert signal.getsignal(signal.SIGINT) is before
    assert not run.finished
    assert EPOCH < LOOK_EVERY < 2 * EPOCH
    assert run.step == EPOCH
    assert "call train to continue" in capsys.readouterr().out
    model, run = train(SMALL, digits(), checkpoint=path, quiet=True)
    assert run.finished
    assert torch.equal(outcome(model, run)["weights"], whole["weights"])


# ---------------------------------------------------------------- who speaks


def test_only_process_0_writes_evaluates_and_prints(both, alone, finished, folder):
    first, second = both
    assert len(first["written"]) >= len(RECIPES)
    assert second["written"] == []
    for name in RECIPES:
        assert first[name]["evaluations"]["step"] == alone[name]["evaluations"]["step"]
        assert second[name]["evaluations"] == {}
    assert finished.stdout.count("Batches and loss") == 1
    assert finished.stdout.count("model.safetensors: {") == 1
    files = {path.name for path in folder.iterdir()}
    ours = {"model.safetensors", "copy.safetensors", "others.pt", "result.pt"}
    assert files == ours | {f"{name}.run" for name in RECIPES}


# ---------------------------------------------------------------- what is refused


def refused(monkeypatch, capsys, *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["recipes", *words])
    with pytest.raises(SystemExit) as ended:
        recipes.main()
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("name", ["gan", "classifier"])
def test_what_one_process_must_train_is_refused(name, group_of_one, monkeypatch, capsys):
    sentence = "use a single process, without torchrun."
    assert sentence in refused(monkeypatch, capsys, name, "--device=cpu")
    with pytest.raises(ValueError, match=sentence):
        train(GANRecipe(), digits())


def test_a_batch_smaller_than_the_processes_is_refused(group_of_one, monkeypatch, capsys):
    monkeypatch.setattr(recipes, "count", lambda: 200)
    said = refused(monkeypatch, capsys, "plain", "--device=cpu")
    assert "200 processes cannot share a batch of 128 rows: start fewer processes." in said


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")


def test_each_process_gets_a_gpu_of_its_own(group_of_one, two_gpus, monkeypatch, capsys):
    assert processes.own_device() == processes.own_device("cuda") == torch.device("cuda:1")
    assert processes.own_device("cpu") == torch.device("cpu")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    said = refused(monkeypatch, capsys, "plain")
    assert "3 processes need 3 GPUs, but this machine has only 2. Pass --nproc-per-node=2" in said


def test_a_device_that_processes_cannot_share_is_refused(group_of_one, monkeypatch, capsys):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    said = refused(monkeypatch, capsys, "plain", "--device=mps")
    assert "Training with several processes is not supported on mps. Use cpu." in said


def test_without_torchrun_a_process_is_alone():
    with processes.group():
        assert not processes.is_shared()
        assert processes.is_first()
        assert processes.count() == 1
        assert processes.first(lambda: 3) == 3
