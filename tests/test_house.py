"""The house's lists and pages agree: dependencies, pins, targets, links, addresses."""

from __future__ import annotations

import ast
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
PAGES = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
PAGES[ROOT / "README.md"] = README
EVERY_PAGE = "\n".join(PAGES.values())
INSTALLING = PAGES[ROOT / "docs" / "installing.md"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]+):.*?## ", MAKEFILE, re.M))

TORCH = ("torch", "torchvision")
# All but the hub's, which few start.
OF_DEVELOPERS = [extra for extra in PROJECT["optional-dependencies"] if extra != "hub"]

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def required() -> list[Requirement]:
    extras = [r for rows in PROJECT["optional-dependencies"].values() for r in rows]
    return [Requirement(r) for r in PROJECT["dependencies"] + extras]


def constraints() -> dict[str, SpecifierSet]:
    rows = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(row) for row in rows if row.strip() and not row.startswith("#")]
    return {canonicalize_name(r.name): r.specifier for r in requirements}


def pins() -> dict[str, str]:
    """The exact versions: everything but torch and torchvision, which are ranges."""
    exact = {name: str(specifier) for name, specifier in constraints().items() if name not in TORCH}
    assert all(re.fullmatch(r"==[A-Za-z0-9.+!]+", specifier) for specifier in exact.values())
    return {name: specifier.removeprefix("==") for name, specifier in exact.items()}


# ---------------------------------------------------------------- dependencies


def test_constraints_pin_every_requirement_within_its_bounds():
    pinned = pins()
    for requirement in required():
        name = canonicalize_name(requirement.name)
        if name not in TORCH:
            assert name in pinned, f"{name} is not pinned"
            assert requirement.specifier.contains(pinned[name]), (
                f"{name}=={pinned[name]} breaks {requirement}"
            )


def test_torch_is_a_range_from_the_oldest_promised_to_the_one_tested():
    """tests/test_install.py shows that pip takes the upper end wherever there is a build of it."""
    promised = {r.name: r.specifier for r in required()}
    for name in TORCH:
        (highest,) = [s for s in constraints()[name] if s.operator == "<="]
        assert constraints()[name] == promised[name] & SpecifierSet(str(highest))
        # a smaller build of the same version
        assert constraints()[name].contains(f"{highest.version}+cpu")


def test_constraints_hold_no_address_and_nothing_of_one_platform():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert " @ " not in text
    assert not [name for name in constraints() if re.match(r"(nvidia|cuda|triton)", name)]
    # a build for one kind of machine, such as +cpu, is not to be had elsewhere
    assert not [name for name, specifier in constraints().items() if "+" in str(specifier)]


def test_bounds_are_the_issue_s():
    bounds = {r.name: r.specifier for r in required()}
    assert PROJECT["requires-python"] == ">=3.11,<3.15"
    assert bounds["torch"] == SpecifierSet(">=2.11")
    assert bounds["torchvision"] == SpecifierSet(">=0.26")


def test_all_files_promise_the_same_pythons():
    promised = SpecifierSet(PROJECT["requires-python"])
    names = [f"3.{minor}" for minor in range(30) if f"3.{minor}.0" in promised]
    assert names == ["3.11", "3.12", "3.13", "3.14"]
    assert "3.15.0" not in promised
    in_words = ", ".join(names[:-1]) + f" or {names[-1]}"
    assert f"You need Python {in_words}" in README
    # nothing found; the wrong one named
    assert MAKEFILE.count(f"The course needs Python {in_words}") == 2
    assert "not (3, 11) <= sys.version_info < (3, 15)" in MAKEFILE
    for command in re.findall(r"^py -(\S+) ", INSTALLING, re.M):
        assert command in names  # `py -3` would take the newest, whichever it is
    for path in re.findall(r"/path/to/python([\d.]*\d)", INSTALLING + MAKEFILE):
        assert path in names
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert settings["mypy"]["python_version"] == names[0]
    assert settings["ruff"]["target-version"] == "py" + names[0].replace(".", "")


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
    assert "-e ." in pip  # what the notebooks need, without the developers' extras
    assert len(pip) == 2  # every package is named in pyproject.toml and nowhere else


def test_developers_are_told_to_install_all_extras():
    everything = ".[" + ",".join(OF_DEVELOPERS) + "]"
    assert f"DEVELOPERS_LIST := {everything}\n" in MAKEFILE
    for page in (INSTALLING, (ROOT / "environment.yml").read_text(encoding="utf-8")):
        assert f'-c constraints.txt -e "{everything}"' in page


def test_front_ends_of_the_widgets_are_packaged():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    data = project["tool"]["setuptools"]["package-data"]
    suffixes = {Path(pattern).suffix for pattern in data["course_lib"]}
    files = [
        p for p in (ROOT / "course_lib").rglob("*") if p.is_file() and "__pycache__" not in p.parts
    ]
    assert {p.suffix for p in files} - {".py"} <= suffixes


# ---------------------------------------------------------------- make


@needs_make
def test_make_alone_prints_one_line_for_each_target():
    printed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^  make (\w+) +\S", printed, re.M) == re.findall(
        r"^([a-z]+):.*?## ", MAKEFILE, re.M
    )
    assert {"lab", "test", "notebooks", "run", "lint", "bench", "clean"} <= TARGETS


def plan(folder: Path, target: str) -> str:
    """What make would do for the target, without doing it."""
    done = subprocess.run(
        ["make", "-n", target], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A folder with all that decides about installing, in which nothing is installed yet."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def stamp(folder: Path, name: str) -> None:
    path = folder / ".venv" / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    later = (folder / "constraints.txt").stat().st_mtime + 10
    os.utime(path, (later, later))


@needs_make
@pytest.mark.parametrize("target", ["lab", "lint"])
def test_nothing_is_installed_twice(fresh, target):
    """A stamp newer than both lists: make has nothing to do; a newer list: it installs."""
    assert "pip install" in plan(fresh, target)
    stamp(fresh, ".installed")
    stamp(fresh, ".installed-dev")
    assert "pip install" not in plan(fresh, target)
    later = (fresh / ".venv" / ".installed-dev").stat().st_mtime + 10
    os.utime(fresh / "constraints.txt", (later, later))
    assert "pip install" in plan(fresh, target)


@needs_make
def test_a_student_installs_the_course_and_a_developer_its_tools(fresh):
    assert "-c constraints.txt -e '.'\n" in plan(fresh, "lab")
    stamp(fresh, ".installed")
    assert "pip install" not in plan(fresh, "lab")
    extras = ",".join(OF_DEVELOPERS)
    for target in TARGETS - {"lab", "clean"}:
        assert f"-c constraints.txt -e '.[{extras}]'\n" in plan(fresh, target), target


@needs_make
def test_a_hub_is_installed_beside_the_developers_tools(fresh):
    everything = ",".join(PROJECT["optional-dependencies"])
    for name in (".installed", ".installed-dev"):
        stamp(fresh, name)
    assert f"-c constraints.txt -e '.[{everything}]'\n" in plan(fresh, "hub")
    assert "npm install" in plan(fresh, "hub")
    assert "npm install" not in plan(fresh, "test")
    stamp(fresh, ".installed-hub")
    assert "npm install" not in plan(fresh, "hub")


def fake_python(path: Path, version: str, machine: str = "x86_64", platform: str = "linux") -> Path:
    """An interpreter that runs the one-liner it gets, and claims another version and machine."""
    numbers = ", ".join(version.split("."))
    claim = (
        f"import platform, sys; sys.version_info = ({numbers}); sys.version = '{version} (main)'; "
        f"sys.platform = '{platform}'; platform.machine = lambda: '{machine}'; exec(sys.argv[1])"
    )
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{claim}" "$2"\n')
    path.chmod(0o755)
    return path


def refusal(folder: Path, *arguments: str, path: str | None = None) -> str:
    """What make says on refusing to install. Nothing is left behind."""
    environment = os.environ | ({"PATH": path} if path else {})
    command = [shutil.which("make"), "lint", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert not (folder / ".venv").exists()
    return done.stderr


@needs_make
@pytest.mark.parametrize("version", ["3.9.18", "3.10.13", "3.15.0"])
def test_a_wrong_python_is_refused_in_one_sentence(fresh, version):
    wrong = fake_python(fresh / "python3", version)
    said = refusal(fresh, f"PYTHON={wrong}")
    assert (
        f"The course needs Python 3.11, 3.12, 3.13 or 3.14; {wrong} is {version}. Name another"
        in said
    )


@needs_make
def test_the_absence_of_python_is_told_in_one_sentence(fresh):
    said = refusal(fresh, "PYTHON=")
    assert (
        "needs Python 3.11, 3.12, 3.13 or 3.14, and none of them was found. Install Python 3.13"
        in said
    )


@needs_make
def test_an_intel_mac_is_told_where_the_course_runs(fresh):
    python = fake_python(fresh / "python3.13", "3.13.0", machine="x86_64", platform="darwin")
    assert "no build for Macs with an Intel processor. Run the course on Colab" in refusal(
        fresh, f"PYTHON={python}"
    )


@needs_make
@pytest.mark.parametrize("version", ["3.10.13", "3.15.0"])
def test_a_good_python_is_found_behind_a_wrong_python3(fresh, version):
    programs = fresh / "programs"
    programs.mkdir()
    for name in ("sh", "awk"):
        (programs / name).symlink_to(shutil.which(name))
    fake_python(programs / "python3", version)
    fake_python(programs / "python3.12", "3.12.4")
    command = [shutil.which("make"), "-n", "lab"]
    path_of_programs = {"PATH": str(programs)}
    done = subprocess.run(command, cwd=fresh, env=path_of_programs, capture_output=True, text=True)
    assert '"python3.12" -m venv .venv' in done.stdout


@needs_make
@pytest.mark.parametrize("command", ["run", "address"])
def test_a_missing_argument_is_asked_for(command):
    done = subprocess.run(
        ["make", command, "-o", ".venv/.installed-dev"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert f"make {command} " in done.stdout


# ---------------------------------------------------------------- README


def test_no_function_and_no_class_of_the_package_is_long():
    limits = {ast.FunctionDef: 60, ast.AsyncFunctionDef: 60, ast.ClassDef: 200}
    too_long = []
    for path in (ROOT / "course_lib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            limit = limits.get(type(node))
            if limit and node.end_lineno - node.lineno + 1 > limit:
                too_long.append(f"{path.name}: {node.name}")
    assert too_long == []


def test_readme_is_short():
    assert len(README.split()) <= 900


def test_the_pages_name_exactly_the_targets_that_exist():
    spans = "\n".join(re.findall(r"```.*?```|`[^`]+`", EVERY_PAGE, re.S))
    assert set(re.findall(r"\bmake ([a-z]+)\b", spans)) == TARGETS


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_of_a_page_lead_somewhere(page):
    found = re.findall(r"\]\(([^)\s]+)\)|<img[^>]* src=\"([^\"]+)\"", PAGES[page])
    links = [a or b for a, b in found]
    local = [link.split("#")[0] for link in links if "://" not in link and not link.startswith("#")]
    assert [link for link in local if not (page.parent / link).exists()] == []
    headings = {
        re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-")
        for h in re.findall(r"^#+ (.+)$", PAGES[page], re.M)
    }
    assert {link[1:] for link in links if link.startswith("#")} <= headings


def test_the_python_for_contributors_runs(tmp_path, monkeypatch):
    """Both examples, each on its own, as somebody would paste them."""
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", PAGES[ROOT / "docs" / "contributing.md"], re.S)
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
    shown = re.findall(
        r"(?:github\.com|/github|v2/gh)/([\w-]+/[\w.-]+?)(?=/|\?|\"|\)|\s|$)", README
    )
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
        p: p.read_text(encoding="utf-8")
        for p in tmp_path.rglob("*")
        if p.suffix in (".md", ".cff", ".toml")
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
        # changed in both, so neither wins
        assert nb.metadata.course.text_sha256 == build.text_sha256(nb)


@pytest.mark.parametrize(
    "address", ["", "name", "https://github.com/a/b", "a/b/c", "a b/c", "a/b.git"]
)
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
    assert ignored(".venv")  # a folder, or a link to one elsewhere
    assert not ignored("data/README.md")
    assert not ignored("course_lib/data/mnist.py")
    assert not ignored("notebooks/00_start_here.ipynb")


def test_ci_script_can_be_run():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0
    assert {"make lint", "make test"} <= set(script.read_text(encoding="utf-8").splitlines())
