"""The order CUDA, MPS, CPU, and what overrides it. Torch is made to report GPUs: none is needed."""

import contextlib
import runpy
from pathlib import Path

import pytest
import torch

from course_lib import device
from course_lib.device import pick_device


@pytest.fixture
def machine(monkeypatch):
    """machine(gpus=2, mps=False): a machine with that, and no wish in the environment."""
    monkeypatch.delenv("COURSE_DEVICE", raising=False)

    def pretend(gpus: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("gpus", "mps", "best"),
    [(1, True, "cuda"), (0, True, "mps"), (0, False, "cpu"), (2, False, "cuda")],
)
def test_order(machine, gpus, mps, best):
    machine(gpus, mps)
    assert pick_device() == torch.device(best)


def test_wishes(machine, monkeypatch):
    machine(gpus=2)
    assert pick_device("cuda:1") == torch.device("cuda:1")
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    assert pick_device() == torch.device("cpu")
    # the argument is nearer than the environment
    assert pick_device("cuda") == torch.device("cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "laptop"])
def test_unknown_name(machine, name):
    machine()
    with pytest.raises(ValueError, match=f"'{name}' is not a torch device. Use cpu"):
        pick_device(name)


@pytest.mark.parametrize("name", [2.5, 1j, [1]])
def test_what_is_no_name_at_all(machine, name):
    machine()
    with pytest.raises(ValueError, match=r"is not a torch device. Use cpu"):
        pick_device(name)


def test_a_device_may_be_given_as_one(machine):
    machine(gpus=1)
    assert pick_device(torch.device("cpu")) == torch.device("cpu")
    assert pick_device(0) == torch.device("cuda:0")
    machine()
    with pytest.raises(
        ValueError,
        match=r"'cuda' was requested, but torch finds no such device on this machine. Use cpu",
    ):
        pick_device(torch.device("cuda"))


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_missing_device(machine, monkeypatch, name):
    machine(gpus=name == "cuda:1")  # one GPU: cuda:0 only
    monkeypatch.setenv("COURSE_DEVICE", name)
    with pytest.raises(
        ValueError, match=f"'{name}' was requested, but torch finds no such device on this machine"
    ):
        pick_device()


@pytest.mark.parametrize(("value", "fast"), [(None, False), ("", False), ("0", False), ("1", True)])
def test_fast(monkeypatch, value, fast):
    monkeypatch.delenv("COURSE_FAST", raising=False)
    if value is not None:
        monkeypatch.setenv("COURSE_FAST", value)
    assert runpy.run_path(str(Path(device.__file__)))["FAST"] is fast


@pytest.mark.parametrize("can", [True, False])
def test_bfloat16_where_the_device_has_it(monkeypatch, can):
    asked, cards = [], []
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation: asked.append(including_emulation) or can,
    )
    monkeypatch.setattr(
        torch.cuda, "device", lambda which: contextlib.nullcontext(cards.append(which))
    )
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: can)
    monkeypatch.setattr(device.platform, "machine", lambda: "x86_64")
    assert device.knows_bfloat16(torch.device("cuda:1")) == can
    assert asked == [False]  # an old GPU that imitates it does not count
    assert cards == [torch.device("cuda:1")]
    assert not device.knows_bfloat16(torch.device("mps"))
    assert device.knows_bfloat16(torch.device("cpu")) == can
    monkeypatch.setattr(device.platform, "machine", lambda: "arm64")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not device.knows_bfloat16(torch.device("cpu"))
