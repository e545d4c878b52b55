"""Files of models: what is written is read, what is damaged is named, and no half file is left."""

from __future__ import annotations

import errno
import os
import sys
import types

import pytest
import safetensors.torch
import torch
from torch import nn

from course_lib import files
from course_lib.training.checkpoints import (
    CheckpointError,
    describe,
    load_model,
    read,
    read_run,
    save_model,
    write,
    write_run,
)
from course_lib.training.state import load, pack, state_of, unpack

FAKE = """
from torch import nn
import torch

class Small(nn.Module):
    def __init__(self, width=3, name="a"):
        super().__init__()
        self.config = {"width": width, "name": name}
        self.layer = nn.Linear(2, width)
        self.norm = nn.BatchNorm1d(width)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.tied = self.layer.weight  # two names for one tensor

    def forward(self, x):
        return self.norm(self.layer(x))

class Plain(nn.Module):
    pass
"""


@pytest.fixture
def library(monkeypatch):
    """A module of course_lib that exists for one test."""
    module = types.ModuleType("course_lib.small_model")
    exec(FAKE, module.__dict__)
    monkeypatch.setitem(sys.modules, "course_lib.small_model", module)
    return module


@pytest.fixture
def saved(library, tmp_path):
    torch.manual_seed(0)
    model = library.Small(width=5, name="ü")
    model(torch.randn(9, 2))
    model.count += 7
    save_model(model, tmp_path / "small", epochs=20, nll=[86.5, 0.1], protocol="fixed binarization")
    return model, tmp_path / "small"


def test_facts_may_look_like_the_place_of_the_checksum(tmp_path):
    for n in range(20):  # the order of safetensors' metadata varies
        write(tmp_path / "zeros", "kind", {"x": torch.zeros(2)}, {"note": "0" * 64, "n": n})
        assert read(tmp_path / "zeros", "kind")[1] == {"note": "0" * 64, "n": n}


def test_a_model_comes_back_bit_by_bit(saved):
    model, path = saved
    again = load_model(path)
    assert type(again) is type(model)
    assert again.config == {"width": 5, "name": "ü"}
    assert not again.training
    expected = model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in again.state_dict().items())
    x = torch.randn(4, 2)
    assert torch.equal(again(x), model.eval()(x))
    assert os.listdir(path.parent) == ["small"]


def test_facts_are_read_without_building_the_model(saved, monkeypatch):
    _, path = saved
    monkeypatch.delitem(sys.modules, "course_lib.small_model")
    assert describe(path) == {
        "class": "course_lib.small_model:Small",
        "config": {"width": 5, "name": "ü"},
        "epochs": 20,
        "nll": [86.5, 0.1],
        "protocol": "fixed binarization",
    }


def test_half_precision_halves_the_file_and_comes_back_as_float32(library, tmp_path):
    model = library.Small(width=5000)
    save_model(model, tmp_path / "whole")
    save_model(model, tmp_path / "half", dtype=torch.float16)
    assert (tmp_path / "half").stat().st_size < 0.52 * (tmp_path / "whole").stat().st_size
    again = load_model(tmp_path / "half")
    assert again.layer.weight.dtype == torch.float32
    assert again.count.dtype == torch.int64
    # float16 keeps 11 bits, and numbers below 6e-5 in steps of 6e-8
    torch.testing.assert_close(again.layer.weight, model.layer.weight, rtol=2**-11, atol=6e-8)
    assert not torch.equal(again.layer.weight, model.layer.weight)


def test_the_device_can_be_chosen(saved):
    _, path = saved
    assert load_model(path, "cpu").layer.weight.device.type == "cpu"
    assert load_model(path, torch.device("meta")).layer.weight.device.type == "meta"


def test_a_device_that_is_not_here_is_named(saved, monkeypatch):
    _, path = saved
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", torch.device("cuda"), "cuda:3"):
        with pytest.raises(
            ValueError,
            match=r"was requested, but torch finds no such device on this machine. Use cpu",
        ):
            load_model(path, device)
    with pytest.raises(ValueError, match="'gpu' is not a torch device"):
        load_model(path, "gpu")


def test_weights_too_large_for_half_precision_are_not_saved_as_infinity(library, tmp_path):
    model = library.Small()
    with torch.no_grad():
        model.layer.weight[0] = 1e5
    with pytest.raises(ValueError, match=r"contains numbers too large for torch.float16"):
        save_model(model, tmp_path / "m", dtype=torch.float16)
    assert not (tmp_path / "m").exists()
    save_model(model, tmp_path / "m", dtype=torch.bfloat16)
    assert load_model(tmp_path / "m").layer.weight.isfinite().all()
    with pytest.raises(
        ValueError, match=r"a floating-point type, such as torch.float16, not torch.int8"
    ):
        save_model(model, tmp_path / "m", dtype=torch.int8)


def test_a_missing_file_is_named(tmp_path):
    for function in (load_model, describe):
        with pytest.raises(FileNotFoundError, match="nothing_here"):
            function(tmp_path / "nothing_here")


def test_a_file_cut_anywhere_is_refused(saved):
    _, path = saved
    whole = path.read_bytes()
    for cut in [0, 1, 7, 8, 9, 60, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:cut])
        with pytest.raises(
            CheckpointError,
            match=r"small is truncated, modified.* Delete the file or choose another",
        ):
            load_model(path)


def test_a_byte_changed_anywhere_is_noticed(saved):
    _, path = saved
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(CheckpointError, match="is truncated, modified"):
            describe(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(CheckpointError, match="is truncated, modified"):
        describe(path)


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0{}", b"\x02\0\0\0\0\0\0\0[]"]
)
def test_another_kind_of_file_is_refused(tmp_path, content):
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(
        CheckpointError, match="other is truncated, modified, or not a file of this"
    ):
        load_model(tmp_path / "other")


def test_a_safetensors_file_from_elsewhere_is_refused(tmp_path):
    for metadata in (None, {"format": "pt"}, {"sha256": ""}):
        safetensors.torch.save_file({"a": torch.ones(2)}, tmp_path / "foreign", metadata)
        with pytest.raises(CheckpointError, match="not a file of this course"):
            load_model(tmp_path / "foreign")


def test_the_checkpoint_of_a_run_is_no_model(tmp_path):
    write(tmp_path / "run", "training run", {"a": torch.ones(1)}, {})
    with pytest.raises(CheckpointError, match="run contains 'training run', not 'model'"):
        load_model(tmp_path / "run")


@pytest.mark.parametrize(
    "name", ["os:system", "torch.nn:Linear", "course_libx.y:Z", "course_lib.small_model:Gone"]
)
def test_only_classes_of_the_course_are_built(tmp_path, library, name):
    write(tmp_path / "m", "model", {}, {"class": name, "config": {}})
    sentence = f"m does not match the current definition of the class {name}"
    with pytest.raises(CheckpointError, match=sentence):
        load_model(tmp_path / "m")


def test_a_class_that_changed_since_is_told(saved, library):
    _, path = saved
    exec(FAKE.replace("nn.Linear(2, width)", "nn.Linear(4, width)"), library.__dict__)
    sentence = (
        r"small does not match the current definition of the class .*Small: size mismatch for"
    )
    with pytest.raises(CheckpointError, match=sentence):
        load_model(path)
    exec(FAKE.replace("width=3, name", "size=3, name").replace("width", "size"), library.__dict__)
    with pytest.raises(
        CheckpointError,
        match=r"the current definition of the class .*unexpected keyword argument 'width'",
    ):
        load_model(path)


def test_models_from_elsewhere_are_refused(tmp_path, library):
    for model in (nn.Linear(1, 1), library.Plain()):
        with pytest.raises(
            TypeError, match=r"Only course_lib models with a .config can be saved this way, not"
        ):
            save_model(model, tmp_path / "m")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_the_old_file(saved, library, monkeypatch, fails):
    _, path = saved
    before = path.read_bytes()

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, fails, refuse)
    with pytest.raises(OSError, match="No space left"):
        save_model(library.Small(), path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["small"]


def test_a_write_that_really_breaks_off_half_way_leaves_the_old_file(tmp_path):
    """The system lets no file grow beyond 10,000 bytes, as a quota or a full disk would."""
    resource = pytest.importorskip("resource")
    write(tmp_path / "m", "model", {"a": torch.ones(9)}, {})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(tmp_path / "m", "model", {"a": torch.ones(9999)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert torch.equal(read(tmp_path / "m", "model")[0]["a"], torch.ones(9))
    assert os.listdir(tmp_path) == ["m"]


def test_the_bytes_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            files.os, name, lambda *a, real=real, name=name: (calls.append(name), real(*a))
        )
    write(tmp_path / "m", "model", {"a": torch.ones(3)}, {"b": 1})
    assert calls == ["fsync", "replace"]
    tensors, facts = read(tmp_path / "m", "model")
    assert torch.equal(tensors["a"], torch.ones(3))
    assert facts == {"b": 1}


# ---------------------------------------------------------------- paths


def test_a_tilde_is_the_home_folder_wherever_a_path_is_taken(library, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    save_model(library.Small(), "~/m", epochs=2)
    assert os.listdir(tmp_path) == ["m"]
    assert describe("~/m")["epochs"] == 2
    assert load_model("~/m").config == load_model(tmp_path / "m").config
    assert read("~/m", "model")[1]["epochs"] == 2


WRONG_PATHS = {
    "": "The file name is empty. Provide a name",
    "folder": "folder is a folder. Pass the name of a file in it",
    ".": r"\. is a folder",
    "plain file/m": r"Cannot access plain file/m \(Not a directory\). Choose another file name",
    "m" * 300: r"m \(File name too long\). Choose another file name",
    "a\0b": r"'a\\x00b' \((stat: )?embedded null .*\). Choose another file name",
    "~nobody-has-this-name/m": r"Cannot access ~nobody-has-this-name/m \(Could not determine home",
}


@pytest.mark.parametrize("path", WRONG_PATHS, ids=range(len(WRONG_PATHS)))
def test_a_path_where_no_file_can_be_is_one_sentence(path, library, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain file").write_text("")
    for use in (load_model, describe, lambda path: save_model(library.Small(), path)):
        with pytest.raises(ValueError, match=WRONG_PATHS[path]) as refused:
            use(path)
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) < 300
    assert sorted(os.listdir(tmp_path)) == ["folder", "plain file"]


# ---------------------------------------------------------------- two runs with one name

ME = {"seed": "0"}


def steps_at(path, identity=ME):
    return read_run(path, identity)[0]


def test_a_later_state_of_a_run_replaces_an_earlier_one(tmp_path):
    for step in (3, 7, 7):
        assert write_run(tmp_path / "net", ME, step, "tree", {}) == tmp_path / "net"
        assert read_run(tmp_path / "net", ME) == (step, "tree", {})
    assert os.listdir(tmp_path) == ["net"]


def test_neither_another_run_nor_a_later_state_nor_a_stranger_is_overwritten(tmp_path):
    path = tmp_path / "net.safetensors"
    write_run(path, {"seed": "1"}, 3, "tree", {})
    (tmp_path / "net_2.safetensors").write_text("my notes")
    write(tmp_path / "net_3.safetensors", "model", {"a": torch.ones(2)}, {})
    write_run(tmp_path / "net_4.safetensors", ME, 9, "tree", {})
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    kept = write_run(path, ME, 8, "tree", {})
    assert kept == tmp_path / "net_5.safetensors"
    assert steps_at(kept) == 8
    assert write_run(kept, ME, 10, "tree", {}) == kept
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


def test_a_run_that_is_saved_between_the_look_and_the_write_is_kept_too(tmp_path, monkeypatch):
    """The moment when both processes have seen that there is no file."""
    path = tmp_path / "net"
    real = files.os.fsync

    def fsync(file):
        monkeypatch.setattr(files.os, "fsync", real)
        write_run(path, {"seed": "1"}, 3, "tree", {})
        real(file)

    monkeypatch.setattr(files.os, "fsync", fsync)
    assert write_run(path, ME, 8, "tree", {}) == tmp_path / "net_2"
    assert (steps_at(path, {"seed": "1"}), steps_at(tmp_path / "net_2")) == (3, 8)


# ---------------------------------------------------------------- a run's state as JSON and tensors


def test_a_state_survives_json_and_tensors(tmp_path):
    tree = {
        0: [1, 2.5, float("inf"), None, True, "text"],
        "betas": (0.9, 0.999),
        "deep": {
            "tensor": torch.arange(6).view(2, 3).T,
            "bf16": torch.ones(2, dtype=torch.bfloat16),
        },
        "0-dim": torch.tensor(3.0),
        "dict": {},
        "list": [],
    }
    tensors: dict[str, torch.Tensor] = {}
    write(tmp_path / "t", "training run", *((packed := pack(tree, tensors)) and (tensors, packed)))
    tensors, packed = read(tmp_path / "t", "training run")
    again = unpack(packed, tensors)
    assert list(again) == list(tree)
    assert again[0] == tree[0]
    assert again["betas"] == (0.9, 0.999)
    assert again["deep"]["bf16"].dtype == torch.bfloat16
    assert torch.equal(again["deep"]["tensor"], tree["deep"]["tensor"])
    assert again["0-dim"].shape == ()
    assert (again["dict"], again["list"]) == ({}, [])


def test_a_copy_shares_no_memory_with_what_it_was_made_from():
    tree, tensors = {"a": torch.ones(2)}, {}
    packed = pack(tree, tensors)
    tree["a"].zero_()
    first = unpack(packed, tensors)
    first["a"].fill_(5)
    assert torch.equal(unpack(packed, tensors)["a"], torch.ones(2))


@pytest.mark.parametrize(
    "kind",
    [
        torch.optim.Adam,
        torch.optim.SGD,
        torch.optim.RMSprop,
        torch.optim.NAdam,
        torch.optim.Adagrad,
    ],
)
def test_every_optimizer_goes_on_as_if_nothing_had_happened(kind):
    def step(p, opt):
        opt.zero_grad()
        (p**2).sum().backward()
        opt.step()

    p = nn.Parameter(torch.ones(3))
    opt = kind([p], lr=torch.tensor(0.1) if kind is torch.optim.Adam else 0.1)
    step(p, opt)
    tensors: dict[str, torch.Tensor] = {}
    packed, value = pack(state_of(opt), tensors), p.detach().clone()
    step(p, opt)
    expected = p.detach().clone()
    for _ in range(2):  # twice: the first must not have written into the copy
        load(opt, unpack(packed, tensors))
        p.data.copy_(value)
        step(p, opt)
        assert torch.equal(p.detach(), expected)
