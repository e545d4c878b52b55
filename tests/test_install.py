"""The pinned versions can be installed on every Python and kind of machine that README names.

uv resolves the pins for a Python and a machine that are not here. It reads each package's metadata
from the index and downloads no package. Without a network these tests are skipped.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from thorough import THOROUGH

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# What torch chooses for each platform by itself, and what it needs beside them.
CHOSEN_BY_TORCH = re.compile(r"nvidia-.*|cuda-.*|triton|setuptools")

# What uv says when it gets no answer, whatever the reason.
UNREACHABLE = re.compile(r"error sending request|failed to fetch|connect|dns error|timed out", re.I)


@dataclass(frozen=True)
class Target:
    """A Python and a machine to choose versions for, with all extras, with one, or with none."""

    python: str = "3.12.0"
    machine: str = "x86_64-manylinux_2_28"
    macos: str = "14.0"
    extras: bool = False
    extra: str = ""
    also: tuple[str, ...] = ()  # requirements beside the course's own


OLDEST_TORCH = ("torch==2.11.*", "torchvision==0.26.*")

# 3.11.0 is the lowest that README promises, and 3.11.2 is what Debian 12 brings.
PYTHONS = {
    python: Target(python, extras=True)
    for python in ("3.11.0", "3.11.2", "3.12.0", "3.13.0", "3.14.0")
}
NEWEST_TORCH = {
    "Linux": Target(),
    "Linux on ARM": Target(machine="aarch64-manylinux_2_28"),
    "Windows": Target("3.13.0", machine="x86_64-pc-windows-msvc"),
    "macOS 14": Target("3.13.0", machine="aarch64-apple-darwin"),
}
OLDER_TORCH = {
    "macOS 13": Target("3.13.0", machine="aarch64-apple-darwin", macos="13.0"),
    "the GPU machine's torch": Target("3.12.0", also=OLDEST_TORCH),
    "the oldest torch on the newest Python": Target("3.14.0", also=OLDEST_TORCH),
}
IMAGE = {"the image of a hub": Target("3.13.0", extra="hub")}  # see binder/Dockerfile
REFUSED = {
    "Python 3.15": Target("3.15.0"),
    "Intel Mac": Target(machine="x86_64-apple-darwin"),
}


def of_these(targets: dict[str, Target], *few: str) -> dict[str, Target]:
    """All in a thorough run, else a few: each costs a fresh machine seconds of processor time."""
    return targets if THOROUGH else {name: targets[name] for name in few}


PYTHONS = of_these(PYTHONS, "3.11.0", "3.14.0")
NEWEST_TORCH = of_these(NEWEST_TORCH, "Linux", "macOS 14")
OLDER_TORCH = of_these(OLDER_TORCH, "the oldest torch on the newest Python")
TARGETS = PYTHONS | NEWEST_TORCH | OLDER_TORCH | IMAGE | REFUSED


def index_of_pip() -> dict[str, str]:
    """uv asks the index that pip was told to use, where pip was told to use one."""
    index = os.environ.get("PIP_INDEX_URL")
    if index is None:
        command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
        index = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return {"UV_DEFAULT_INDEX": index} if index else {}


def resolve(target: Target, **settings: str) -> subprocess.CompletedProcess:
    """Choose versions for the target, from wheels alone; `settings` is an environment for uv."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "-"]
    command += ["--constraints", "constraints.txt", "--only-binary", ":all:"]
    command += ["--python-version", target.python, "--python-platform", target.machine]
    command += ["--quiet", "--no-header", "--no-annotate", "--no-config"]
    if target.extras:
        command.append("--all-extras")
    if target.extra:
        command += ["--extra", target.extra]
    environment = (
        os.environ | index_of_pip() | {"MACOSX_DEPLOYMENT_TARGET": target.macos} | settings
    )
    return subprocess.run(
        command,
        input="\n".join(target.also),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )


def versions(done: subprocess.CompletedProcess) -> dict[str, str]:
    """The versions that uv chose. Skips the test if the index could not be reached."""
    if done.returncode != 0 and UNREACHABLE.search(done.stderr):
        pytest.skip("needs a network: the package index cannot be reached")
    assert done.returncode == 0, done.stderr
    rows = [Requirement(row) for row in done.stdout.splitlines() if row.strip()]
    return {canonicalize_name(row.name): str(row.specifier).removeprefix("==") for row in rows}


@pytest.fixture(scope="module")
def resolved() -> dict[str, subprocess.CompletedProcess]:
    """All targets at once, because uv mostly waits for the index."""
    with ThreadPoolExecutor(8) as pool:
        done = pool.map(resolve, TARGETS.values())
        return dict(zip(TARGETS, done, strict=True))


# ---------------------------------------------------------------- what can be installed


@pytest.mark.parametrize("python", PYTHONS)
def test_every_promised_python_can_install_every_pin(resolved, python):
    chosen = versions(resolved[python])
    rows = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {
        canonicalize_name(Requirement(row).name) for row in rows if row and not row.startswith("#")
    }
    unpinned = [name for name in chosen if name not in pinned]
    assert [name for name in unpinned if not CHOSEN_BY_TORCH.fullmatch(name)] == []


@pytest.mark.parametrize("machine", NEWEST_TORCH)
def test_the_torch_that_was_tested_is_chosen_wherever_it_was_built(resolved, machine):
    chosen = versions(resolved[machine])
    assert (chosen["torch"], chosen["torchvision"]) == ("2.15.0", "0.29.2")


@pytest.mark.parametrize("machine", OLDER_TORCH)
def test_the_oldest_promised_torch_fits_beside_the_other_pins(resolved, machine):
    bounds = {r.name: str(r.specifier) for r in map(Requirement, PROJECT["dependencies"])}
    assert (bounds["torch"], bounds["torchvision"]) == (">=2.11", ">=0.26")
    chosen = versions(resolved[machine])
    assert (chosen["torch"], chosen["torchvision"]) == ("2.11.0", "0.26.0")


@pytest.mark.parametrize("target", REFUSED)
def test_what_is_refused_cannot_be_had_yet(resolved, target):
    """If this fails, Makefile and README refuse somebody without need."""
    versions(resolved["Linux"])  # skips without a network
    assert resolved[target].returncode != 0


PARTS_OF_JUPYTER = {"nbclient", "nbconvert", "nbformat", "packaging", "psutil", "pyyaml"}


def names_of(extra: str) -> set[str]:
    return {
        canonicalize_name(Requirement(row).name) for row in PROJECT["optional-dependencies"][extra]
    }


def test_a_student_gets_none_of_the_developers_tools(resolved):
    chosen = versions(resolved["Linux"])
    for extra in PROJECT["optional-dependencies"]:
        assert names_of(extra) & set(chosen) <= PARTS_OF_JUPYTER


def test_the_image_of_a_hub_has_none_of_the_developers_tools(resolved):
    (target,) = IMAGE
    chosen = versions(resolved[target])
    assert names_of("hub") <= set(chosen)
    for extra in ("dev", "homework"):
        assert names_of(extra) & set(chosen) <= PARTS_OF_JUPYTER


# ---------------------------------------------------------------- the skip


def test_an_index_that_does_not_answer_is_a_reason_to_skip():
    nowhere = resolve(
        Target(), UV_DEFAULT_INDEX="http://127.0.0.1:9/simple", UV_NO_CACHE="1", UV_HTTP_RETRIES="0"
    )
    with pytest.raises(pytest.skip.Exception, match="needs a network"):
        versions(nowhere)


def test_a_pin_that_cannot_be_had_is_no_reason_to_skip(resolved):
    versions(resolved["Linux"])  # skips without a network
    with pytest.raises(AssertionError, match=r"numpy==0\.0\.1"):
        versions(resolve(Target(also=("numpy==0.0.1",))))
