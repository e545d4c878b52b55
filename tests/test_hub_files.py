"""What docs/hub.md gives instructors: an image, a hub's settings, a link for students, and numbers.

Nothing is built or started here. tests/test_hub.py starts a hub with these settings.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from test_notebooks import build
from traitlets.config import Config

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
DOCKERFILE = ROOT / "binder" / "Dockerfile"  # where repo2docker looks before everything else
PAGE = (ROOT / "docs" / "hub.md").read_text(encoding="utf-8")
CONFIG = ROOT / "docs" / "hub" / "jupyterhub_config.py"
STUDENTS = 200


def settings() -> Config:
    """What jupyterhub_config.py sets."""
    found = Config()
    exec(compile(CONFIG.read_text(encoding="utf-8"), CONFIG, "exec"), {"get_config": lambda: found})
    return found


def values() -> dict:
    return yaml.safe_load((CONFIG.parent / "values.yaml").read_text(encoding="utf-8"))


def gigabytes(amount: str) -> float:
    """A hub's "3G", where G is 2³⁰ bytes, in units of 10⁹ bytes."""
    return float(amount.removesuffix("G")) * 2**30 / 1e9


# ---------------------------------------------------------------- the image


def instructions(text: str) -> list[tuple[str, list[str]]]:
    """A Dockerfile's instructions: the name and the words of each."""
    without_comments = re.sub(r"^#.*\n", "", text, flags=re.M)
    lines = re.sub(r"\\\n", " ", without_comments).splitlines()
    found = [shlex.split(line) for line in lines if line.strip()]
    return [(words[0], words[1:]) for words in found]


STEPS = instructions(DOCKERFILE.read_text(encoding="utf-8"))


def stages() -> list[list[tuple[str, list[str]]]]:
    """The steps of each stage, beginning with its FROM."""
    found: list[list[tuple[str, list[str]]]] = []
    for step in STEPS:
        if step[0] == "FROM":
            found.append([])
        found[-1].append(step)
    return found


def stays_outside(path: str) -> bool:
    """What .dockerignore says of a path: the last pattern that fits it or a folder above it."""
    parts = Path(path).parts
    above = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    outside = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").removeprefix("**/")
        names = parts if "**/" in line else above
        if any(fnmatch(name, pattern) for name in names):
            outside = not line.startswith("!")
    return outside


def copied() -> list[str]:
    """The sources of all COPY instructions."""
    found = []
    for name, words in STEPS:
        if name == "COPY":
            found += [word for word in words[:-1] if not word.startswith("--")]
    return found


def test_the_image_has_a_python_that_the_course_promises():
    (python,) = [words[0] for name, words in STEPS if name == "FROM" and ":" in words[0]]
    version = re.fullmatch(r"python:(3\.\d+)-slim", python)[1]
    assert f"{version}.0" in SpecifierSet(PROJECT["requires-python"])


def test_the_image_takes_every_version_from_the_constraints():
    runs = [" ".join(words) for name, words in STEPS if name == "RUN"]
    (install,) = [run for run in runs if "pip install" in run]
    words = install.split()
    assert words[words.index("-c") + 1] == "/srv/course/constraints.txt"
    # the course with one extra, and no package or version beside it
    given = [w for w in words[2:] if not w.startswith("-")]
    assert given == ["${TORCH}", "/srv/course/constraints.txt", "/srv/course[hub]"]
    assert "==" not in install
    before = STEPS[: [" ".join(words) for _, words in STEPS].index(install)]
    sources = [word for name, words in before if name == "COPY" for word in words[:-1]]
    assert {"pyproject.toml", "constraints.txt", "course_lib"} <= set(sources)


def test_the_image_has_none_of_the_developers_tools():
    """tests/test_install.py resolves what this extra brings with it."""
    names = {
        extra: {canonicalize_name(Requirement(row).name) for row in rows}
        for extra, rows in EXTRAS.items()
    }
    assert names["hub"] & (names["dev"] | names["homework"]) == set()
    assert not {"tests", "tools", "benchmarks"} & {Path(source).parts[0] for source in copied()}


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_into_the_image_exists_and_docker_may_see_it(source):
    assert (ROOT / source).exists()
    assert not stays_outside(source)


@pytest.mark.parametrize(
    "private",
    [
        ".git/config",
        ".venv/bin/python",
        "build/site/index.html",
        "data/MNIST/raw/train-images-idx3-ubyte",
        "grades/secret",
        "notebooks/homework/vae/keys/kl.py",
        "course_lib/__pycache__/plots.pyc",
        "notebooks/.ipynb_checkpoints/04_vae.ipynb",
    ],
)
def test_what_is_private_or_large_stays_out_of_the_image(private):
    assert stays_outside(private)


def test_no_stage_of_the_image_runs_as_root():
    hub, binder = stages()
    users = [words for name, words in hub if name == "USER"]
    assert users == [["${NB_UID}"]]  # a number, of which Kubernetes can tell that it is not root's
    assert binder[0] == ("FROM", ["hub"])
    assert "USER" not in [name for name, _ in binder]  # so it keeps the user of the stage before
    defaults = {words[0] for name, words in STEPS if name == "ARG" and words[0].startswith("NB_")}
    assert defaults == {"NB_USER=jovyan", "NB_UID=1000"}  # Binder passes both


def test_binder_can_start_the_image():
    # Binder gives a command of its own
    assert not [name for name, _ in STEPS if name == "ENTRYPOINT"]
    sources = [words[-2] for name, words in stages()[-1] if name == "COPY"]
    assert "notebooks" in sources
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (path,) = re.findall(r"mybinder\.org/v2/gh/[^?\s]+\?urlpath=lab/tree/([^)\s]+)", readme)
    assert (ROOT / path).exists()
    assert path.startswith("notebooks/")


# ---------------------------------------------------------------- the settings


def test_both_hubs_set_the_same_limits():
    alone, many = settings(), values()["singleuser"]
    assert alone.Spawner.mem_limit == many["memory"]["limit"]
    assert alone.Spawner.cpu_limit == many["cpu"]["limit"]
    assert alone.Spawner.environment == many["extraEnv"]
    assert alone.Spawner.cmd + alone.Spawner.args == many["cmd"]
    assert alone.Spawner.default_url == many["defaultUrl"]
    assert alone.Spawner.http_timeout == values()["hub"]["config"]["KubeSpawner"]["http_timeout"]
    assert alone.Spawner.environment["OMP_NUM_THREADS"] == "1"
    image = [word for name, words in STEPS if name == "ENV" for word in words]
    assert "OMP_NUM_THREADS=1" in image


def test_both_hubs_mount_the_data_read_only():
    alone, many = settings(), values()["singleuser"]
    folder = alone.Spawner.environment["COURSE_DATA"]
    assert alone.DockerSpawner.read_only_volumes == {folder: folder}
    (mount,) = many["storage"]["extraVolumeMounts"]
    (volume,) = many["storage"]["extraVolumes"]
    assert mount == {"name": volume["name"], "mountPath": folder, "readOnly": True}
    claim, job = yaml.safe_load_all((CONFIG.parent / "data.yaml").read_text(encoding="utf-8"))
    assert volume["persistentVolumeClaim"] == {
        "claimName": claim["metadata"]["name"],
        "readOnly": True,
    }
    pod = job["spec"]["template"]["spec"]
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    (container,) = pod["containers"]
    assert container["volumeMounts"][0]["mountPath"] == folder
    assert folder in container["command"][-1]
    image = values()["singleuser"]["image"]
    assert container["image"] == f"{image['name']}:{image['tag']}"


def test_both_hubs_end_what_is_idle():
    (service,) = settings().JupyterHub.services
    (role,) = settings().JupyterHub.load_roles
    assert role["services"] == [service["name"]]
    assert "delete:servers" in role["scopes"]
    cull = values()["cull"]
    assert cull["enabled"]
    assert f"--timeout={cull['timeout']}" in service["command"]


def test_the_values_have_the_chart_s_keys():
    """The chart refuses unknown keys; docs/hub.md names the schema that these were held against."""
    found = values()
    assert set(found) == {"singleuser", "cull", "hub", "prePuller", "proxy"}
    assert set(found["singleuser"]) <= {
        "image",
        "memory",
        "cpu",
        "extraEnv",
        "storage",
        "defaultUrl",
        "cmd",
    }
    assert set(found["singleuser"]["image"]) == {"name", "tag"}
    assert found["singleuser"]["image"]["tag"] != "latest"
    assert (
        set(found["singleuser"]["memory"])
        == set(found["singleuser"]["cpu"])
        == {"guarantee", "limit"}
    )
    assert set(found["singleuser"]["storage"]) == {"capacity", "extraVolumes", "extraVolumeMounts"}
    assert all(isinstance(value, str) for value in found["singleuser"]["extraEnv"].values())
    assert set(found["cull"]) == {"enabled", "timeout", "every"}
    assert found["hub"]["config"]["JupyterHub"]["authenticator_class"] != "dummy"


def test_nobody_gets_in_without_a_password():
    found = settings().JupyterHub
    assert found.authenticator_class == "pam"
    assert found.bind_url.startswith("http://127.0.0.1")  # the page says what stands before it


# ---------------------------------------------------------------- the link


def links_for_students() -> list[SplitResult]:
    """The links for nbgitpuller on the page."""
    return [urlsplit(link) for link in re.findall(r"https://\S+/git-pull\?\S+", PAGE)]


def test_the_link_for_students_is_what_nbgitpuller_reads():
    (link,) = links_for_students()
    assert link.path == "/hub/user-redirect/git-pull"  # to the server of whoever follows it
    query = parse_qs(link.query, strict_parsing=True)
    assert set(query) == {"repo", "branch", "targetPath", "urlpath"}
    assert query["repo"] == [PROJECT["urls"]["Repository"]]
    folder = query["targetPath"][0]
    path = query["urlpath"][0].removeprefix(f"lab/tree/{folder}/")
    assert (ROOT / path).exists()


def test_a_fork_s_address_gets_into_the_link(tmp_path):
    for name in ("README.md", "CITATION.cff", "pyproject.toml", "docs/hub.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    build.set_address("someone-else/their.course", tmp_path)
    text = (tmp_path / "docs" / "hub.md").read_text(encoding="utf-8")
    assert "repo=https://github.com/someone-else/their.course&" in text
    assert PROJECT["urls"]["Repository"] not in text


# ---------------------------------------------------------------- the numbers


def recorded(field: str) -> dict[str, float]:
    """What the last full run of each chapter recorded, by the chapter's number."""
    found = {}
    for path in build.all_notebooks():
        course = json.loads(path.read_text(encoding="utf-8"))["metadata"]["course"]
        found[path.stem[:2]] = course["memory"]["peak"] if field == "peak" else course[field]
    return found


def row(words: str) -> list[float]:
    """The numbers of the row of the table "What a class needs" that begins with these words."""
    (found,) = re.findall(rf"^\| {re.escape(words)} \|(.*)\|$", PAGE, re.M)
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", found)]


def test_the_page_states_the_memory_that_the_chapters_recorded():
    peaks = recorded("peak")
    worst = max(peaks, key=lambda chapter: peaks[chapter])
    (said,) = re.findall(r"A full run of chapter (\d\d) takes the most, (\d\.\d) GB", PAGE)
    assert said == (worst, f"{peaks[worst]:.1f}")
    mean = sum(peaks.values()) / len(peaks)
    assert f"the average over all chapters is {mean:.1f} GB" in PAGE


def test_the_limit_holds_the_greediest_chapter_a_server_and_a_second_kernel():
    peaks = recorded("peak")
    worst = max(peaks, key=lambda chapter: peaks[chapter])
    second = min(peaks.values())  # little more than its imports
    (server,) = re.findall(r"A student's server takes (0\.\d+) GB", PAGE)
    needed = peaks[worst] + float(server)
    limit = gigabytes(settings().Spawner.mem_limit)
    assert limit > needed + second
    assert row("memory limit (`3G`)") == [pytest.approx(limit, abs=0.05)]
    student, everybody = row(f"memory at the peak of chapter {worst}")
    assert student == pytest.approx(needed, abs=0.1)
    assert everybody == pytest.approx(STUDENTS * student, abs=1)


def test_the_page_states_how_many_cores_the_chapters_need():
    """Those of a machine with two cores, as if every chapter had used both all the time."""
    seconds = recorded("seconds")
    lecture = 90 * 60
    cores = {chapter: STUDENTS * 2 * took / lecture for chapter, took in seconds.items()}
    (stated,) = re.findall(r"(\d+) cores are enough for every\s+chapter", PAGE)
    assert max(cores.values()) <= float(stated) < max(cores.values()) + 2
