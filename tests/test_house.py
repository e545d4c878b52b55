"""The house's lists and pages agree with each other: dependencies, pins, targets, links, addresses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from test_notebooks import build

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]+):.*?## ", MAKEFILE, re.M))

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def required() -> list[Requirement]:
    extras = [r for rows in PROJECT["optional-dependencies"].values() for r in rows]
    return [Requirement(r) for r in PROJECT["dependencies"] + extras]


def pins() -> dict[str, str]:
    rows = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    rows = [row.strip() for row in rows if row.strip() and not row.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", row) for row in rows)
    return {canonicalize_name(row.split("==")[0]): row.split("==")[1] for row in rows}


# ---------------------------------------------------------------- dependencies


def test_constraints_pin_every_requirement_within_its_bounds():
    pinned = pins()
    for requirement in required():
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name} is not pinned"
        assert requirement.specifier.contains(pinned[name]), f"{name}=={pinned[name]} breaks {requirement}"


def test_constraints_hold_no_address_and_nothing_of_one_platform():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert " @ " not in text
    assert not [name for name in pins() if re.match(r"(nvidia|cuda|triton)", name)]
    assert (
        "+" not in pins()["torch"]
    )  # a build for one kind of machine, such as +cpu, is not to be had elsewhere


def test_bounds_are_the_issue_s():
    bounds = {r.name: r.specifier for r in required()}
    assert PROJECT["requires-python"] == ">=3.11"
    assert bounds["torch"] == SpecifierSet(">=2.11")
    assert bounds["torchvision"] == SpecifierSet(">=0.26")


def test_conda_environment_agrees_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["name"] == PROJECT["name"]
    assert environment["channels"] == ["conda-forge"]
    conda = [Requirement(row) for row in environment["dependencies"] if isinstance(row, str)]
    (pip,) = [row["pip"] for row in environment["dependencies"] if isinstance(row, dict)]
    assert {r.name for r in conda} == {"python", "pip"}  # conda refuses a pip section without pip
    (python,) = [r for r in conda if r.name == "python"]
    assert python.specifier == SpecifierSet(PROJECT["requires-python"])
    assert "-c constraints.txt" in pip
    (editable,) = [row for row in pip if row.startswith("-e ")]
    extras = re.fullmatch(r"-e \.\[([\w,]+)\]", editable)
    assert extras is not None
    assert set(extras[1].split(",")) == set(PROJECT["optional-dependencies"])
    assert len(pip) == 2  # every package is named in pyproject.toml and nowhere else


def test_front_ends_of_the_widgets_are_packaged():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
        "package-data"
    ]
    suffixes = {Path(pattern).suffix for pattern in data["course_lib"]}
    files = [p for p in (ROOT / "course_lib").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert {p.suffix for p in files} - {".py"} <= suffixes


# ---------------------------------------------------------------- make


@needs_make
def test_make_alone_prints_one_line_for_each_target():
    printed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^  make (\w+) +\S", printed, re.M) == re.findall(r"^([a-z]+):.*?## ", MAKEFILE, re.M)
    assert {"lab", "test", "notebooks", "run", "lint", "bench", "clean"} <= TARGETS


@needs_make
def test_nothing_is_installed_twice(tmp_path):
    """A stamp newer than both lists: make has nothing to do; a list newer than the stamp: it installs."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    stamp = tmp_path / ".venv" / ".installed"
    stamp.parent.mkdir()
    stamp.touch()
    plan = ["make", "-n", "lint"]
    assert (
        "pip install"
        not in subprocess.run(plan, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    )
    later = stamp.stat().st_mtime + 10
    os.utime(tmp_path / "constraints.txt", (later, later))
    assert (
        "pip install" in subprocess.run(plan, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    )


@needs_make
def test_an_old_python_is_refused_in_one_sentence(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    old = tmp_path / "python3.9"  # runs the one-liner that it is given, and claims to be old
    claim = "import sys; sys.version_info = (3, 9, 18); sys.version = '3.9.18 (main)'; exec(sys.argv[1])"
    old.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{claim}" "$2"\n')
    old.chmod(0o755)
    done = subprocess.run(["make", "lint", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"The course needs Python 3.11 or newer; {old} is 3.9.18." in done.stderr
    assert not (tmp_path / ".venv").exists()
    done = subprocess.run(["make", "lint", "PYTHON="], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "Python 3.11 or newer, and none was found" in done.stdout


@needs_make
@pytest.mark.parametrize("command", ["run", "address"])
def test_a_missing_argument_is_asked_for(command):
    done = subprocess.run(
        ["make", command, "-o", ".venv/.installed"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert f"make {command} " in done.stdout


# ---------------------------------------------------------------- README


def test_readme_names_exactly_the_targets_that_exist():
    spans = "\n".join(re.findall(r"```.*?```|`[^`]+`", README, re.S))
    assert set(re.findall(r"\bmake ([a-z]+)\b", spans)) == TARGETS


def test_links_in_readme_lead_somewhere():
    links = re.findall(r"\]\(([^)\s]+)\)|<img[^>]* src=\"([^\"]+)\"", README)
    links = [a or b for a, b in links]
    local = [link.split("#")[0] for link in links if "://" not in link and not link.startswith("#")]
    assert local
    assert [link for link in local if not (ROOT / link).exists()] == []
    headings = {
        re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.+)$", README, re.M)
    }
    assert {link[1:] for link in links if link.startswith("#")} <= headings


def test_the_readmes_python_runs(tmp_path, monkeypatch):
    """Both examples for authors, each on its own, as somebody would paste them."""
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(examples) == 2
    for example in examples:
        exec(example, {"__name__": "pasted"})
    assert (tmp_path / "mine.safetensors").exists()


def test_readme_lists_every_notebook_that_exists():
    for notebook in build.all_notebooks():
        assert f"(notebooks/{notebook.name})" in README


def test_pages_name_the_one_address():
    slug = PROJECT["urls"]["Repository"].removeprefix("https://github.com/")
    assert re.fullmatch(r"[\w-]+/[\w.-]+", slug)
    shown = re.findall(r"(?:github\.com|/github|v2/gh)/([\w-]+/[\w.-]+?)(?=/|\?|\"|\)|\s|$)", README)
    assert len(shown) >= 3  # to clone, Colab, Binder
    assert set(shown) == {slug}
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == PROJECT["urls"]["Repository"]
    assert citation["version"] == PROJECT["version"]
    for source in (ROOT / "notebooks" / "source").glob("*.py"):
        assert f"git+https://github.com/{slug}" in source.read_text(encoding="utf-8"), source.name


def test_a_fork_changes_its_address_everywhere_at_once(tmp_path):
    for name in ("README.md", "CITATION.cff", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(
        ROOT / "notebooks",
        tmp_path / "notebooks",
        ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"),
    )
    old = PROJECT["urls"]["Repository"].removeprefix("https://github.com/")
    build.set_address("someone-else/their.course", tmp_path)
    texts = {
        p: p.read_text(encoding="utf-8") for p in tmp_path.rglob("*") if p.suffix in (".md", ".cff", ".toml")
    }
    texts |= {p: p.read_text(encoding="utf-8") for p in (tmp_path / "notebooks").rglob("*.py")}
    texts |= {p: p.read_text(encoding="utf-8") for p in (tmp_path / "notebooks").rglob("*.ipynb")}
    assert [p.name for p, text in texts.items() if old in text] == []
    for name in ("README.md", "CITATION.cff", "pyproject.toml"):
        assert "someone-else/their.course" in texts[tmp_path / name]
    # outputs stay, and still count as made from the present text
    for notebook in (tmp_path / "notebooks").glob("*.ipynb"):
        fresh = [p for p in build.check(ROOT / "notebooks" / notebook.name) if "older text" in p]
        assert [p for p in build.check(notebook) if "older text" in p] == fresh
        assert [p for p in build.check(notebook) if "differ" in p] == []
        nb = nbformat.read(notebook, as_version=4)
        assert nb.metadata.course.text_sha256 == build.text_sha256(nb)  # changed in both, so neither wins


@pytest.mark.parametrize("address", ["", "name", "https://github.com/a/b", "a/b/c", "a b/c", "a/b.git"])
def test_a_wrong_address_is_refused(address, tmp_path):
    with pytest.raises(build.NotebookError, match="owner/name"):
        build.set_address(address, tmp_path)


# ---------------------------------------------------------------- small things


def test_data_cache_is_ignored_and_the_package_of_that_name_is_not():
    def ignored(path: str) -> bool:
        return subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT).returncode == 0

    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    assert ignored("data/MNIST/raw/train-images-idx3-ubyte")
    assert ignored(".venv/bin/python")
    assert not ignored("data/README.md")
    assert not ignored("course_lib/data/mnist.py")
    assert not ignored("notebooks/00_start_here.ipynb")


def test_ci_script_can_be_run():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0
    assert {"make lint", "make test"} <= set(script.read_text(encoding="utf-8").splitlines())
