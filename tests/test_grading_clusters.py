"""The files for SLURM and Kubernetes are well-formed, and their commands exist."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from torch.distributed.run import get_args_parser

from course_lib import recipes
from course_lib.grading import sandbox
from course_lib.grading.__main__ import ALLOWED_DEATHS, parser

CLUSTERS = Path(__file__).parent.parent / "docs" / "clusters"


@pytest.fixture(scope="module")
def kubernetes() -> dict:
    return yaml.safe_load((CLUSTERS / "kubernetes.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def slurm():
    spec = importlib.util.spec_from_file_location("slurm", CLUSTERS / "slurm.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_slurm_is_refused_in_one_sentence_where_there_is_none(slurm, monkeypatch, capsys):
    monkeypatch.setattr(slurm.shutil, "which", lambda name: None)
    monkeypatch.setattr(slurm, "make_cluster", lambda: pytest.fail("a cluster was started"))
    assert slurm.main() == 2
    assert capsys.readouterr().err.startswith("There is no sbatch here")


def started(make):
    """A cluster; if it fails to start, another try, as in `grade`: other tests start some too."""
    for _ in range(2):
        try:
            return make()
        except RuntimeError:
            continue
    return make()


# Another test's cluster may have the port, and any other port does as well.
@pytest.mark.filterwarnings("ignore:Port .* is already in use")
def test_slurm_gets_a_job_with_a_wall_and_memory_for_every_submission(slurm):
    assert slurm.ALLOWED_DEATHS == ALLOWED_DEATHS
    with started(slurm.make_cluster) as cluster:
        script = cluster.job_script()
        assert cluster.scheduler_address.startswith("tcp://")
    assert "#SBATCH --cpus-per-task=8" in script
    assert "bwrap" in script
    assert "--nthreads 1" in script
    assert "--nworkers 8" in script
    gigabytes = float(re.search(r"--memory-limit ([\d.]+)GiB", script)[1])
    assert gigabytes * 2**30 >= 0.9 * sandbox.Limits().memory  # dask counts in other units


def test_kubernetes_runs_workers_in_machines_of_their_own(kubernetes):
    assert kubernetes["apiVersion"] == "kubernetes.dask.org/v1"
    assert kubernetes["kind"] == "DaskCluster"
    worker = kubernetes["spec"]["worker"]["spec"]
    (container,) = worker["containers"]
    # a privileged container is safe in a virtual machine alone
    assert container["securityContext"]["privileged"]
    assert worker["runtimeClassName"] == "kata"
    assert worker["automountServiceAccountToken"] is False
    assert (
        int(container["resources"]["limits"]["memory"].removesuffix("Gi")) * 2**30
        > sandbox.Limits().memory
    )


def test_kubernetes_scheduler_allows_as_many_deaths_as_a_local_one(kubernetes):
    scheduler = kubernetes["spec"]["scheduler"]
    (container,) = scheduler["spec"]["containers"]
    settings = {one["name"]: one["value"] for one in container["env"]}
    assert settings["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] == str(ALLOWED_DEATHS)
    ports = {port["port"] for port in scheduler["service"]["ports"]}
    assert 8786 in ports


@pytest.mark.parametrize("name", ["kubernetes.yaml", "slurm.py", "../homework.md"])
def test_every_grade_command_in_the_files_can_be_given(name):
    text = (CLUSTERS / name).read_text(encoding="utf-8")
    text = text.replace("python docs/clusters/slurm.py", "python -m course_lib.grading grade")
    commands = re.findall(r"python -m course_lib\.grading ([^`\n]+)$", text, re.M)
    assert commands
    for line in commands:
        words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)]
        assert parser().parse_args(words).command == words[0]


def test_the_image_holds_what_a_worker_needs():
    text = (CLUSTERS / "Dockerfile").read_text(encoding="utf-8")
    assert "bubblewrap" in text
    assert "[homework]" in text
    for copied in re.findall(r"^COPY (.*) \S+$", text, re.M):
        for name in copied.split():
            assert (CLUSTERS.parent.parent / name).exists(), name


# What SLURM's programs do for a job of two nodes, as far as train.slurm uses them.
SCONTROL = r"""#!/bin/bash
[ "$*" = "show hostnames node[7-8]" ] && printf 'node7\nnode8\n'
"""
SRUN = """#!/bin/bash
[ "$1" = --cpus-per-task=8 ] && shift
for SLURM_NODEID in 0 1; do
    export SLURM_NODEID
    "$@"
done
"""
TORCHRUN = r"""#!/bin/bash
printf '%s\n' "$OMP_NUM_THREADS" "$@" > "node$SLURM_NODEID.txt"
"""


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_slurm_starts_a_torchrun_on_each_node_that_meets_the_others_on_the_first(
    tmp_path, monkeypatch
):
    executable(tmp_path / "bin" / "scontrol", SCONTROL)
    executable(tmp_path / "bin" / "srun", SRUN)
    executable(tmp_path / ".venv" / "bin" / "torchrun", TORCHRUN)
    slurm = {
        "SLURM_CPUS_PER_TASK": "8",
        "SLURM_JOB_ID": "654321",
        "SLURM_JOB_NODELIST": "node[7-8]",
        "SLURM_NNODES": "2",
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
    }
    words = ["best", "--out", "my models/best.safetensors", "--seed", "3"]
    command = ["bash", str(CLUSTERS / "train.slurm"), *words]
    subprocess.run(command, cwd=tmp_path, env=os.environ | slurm, check=True, timeout=60)
    monkeypatch.chdir(tmp_path)
    for node in (0, 1):
        threads, *arguments = Path(f"node{node}.txt").read_text(encoding="utf-8").splitlines()
        asked = get_args_parser().parse_args(arguments)
        assert int(threads) * int(asked.nproc_per_node) == 8
        assert (asked.nnodes, asked.node_rank) == ("2", node)
        assert (asked.master_addr, asked.master_port) == ("node7", 24321)
        assert asked.module
        assert asked.training_script == "course_lib.recipes"
        monkeypatch.setattr(sys, "argv", ["recipes", *asked.training_script_args])
        assert recipes.command_line().out == Path("my models/best.safetensors")


def test_slurm_has_one_torchrun_a_node_and_is_told_before_the_time_is_up():
    text = (CLUSTERS / "train.slurm").read_text(encoding="utf-8")
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=(\S+)$", text, re.M))
    assert len(options) == len(re.findall(r"^#SBATCH", text, re.M))
    assert options["ntasks-per-node"] == "1"
    signal, seconds = options["signal"].split("@")
    assert signal == "INT"  # torchrun passes it on, and a shared training stops at its checkpoint
    assert int(seconds) > 30  # as long as torchrun waits before it kills its processes
