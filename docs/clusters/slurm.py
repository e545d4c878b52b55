"""Grade on a SLURM cluster. Run it where you may submit jobs; it takes the arguments of `grade`:

    python docs/clusters/slurm.py mixtures --submissions submissions.zip --out grades

Before the first time: pip install dask-jobqueue. Put your cluster's own account and partition
below.
"""

import shutil
import subprocess
import sys

import dask
from dask_jobqueue import SLURMCluster

JOBS = 5  # each of them one node's share, below
ALLOWED_DEATHS = 8  # how many workers a submission may lose before it is set aside


def make_cluster() -> SLURMCluster:
    """A scheduler in this process, and workers in jobs that SLURM starts."""
    dask.config.set({"distributed.scheduler.allowed-failures": ALLOWED_DEATHS})
    return SLURMCluster(
        account="teaching",
        queue="short",
        cores=8,
        processes=8,  # one submission each
        memory="24GB",  # 3 GB a submission, as the sandbox allows
        walltime="02:00:00",
        job_script_prologue=["export OMP_NUM_THREADS=1", "command -v bwrap"],
        worker_extra_args=[
            "--lifetime",
            "110m",
            "--lifetime-stagger",
            "5m",
        ],  # leave before SLURM ends the job
    )


def main() -> int:
    if shutil.which("sbatch") is None:
        print(
            "There is no sbatch here: run this on a machine from which you submit jobs.",
            file=sys.stderr,
        )
        return 2
    with make_cluster() as cluster:
        cluster.scale(jobs=JOBS)
        grade = [sys.executable, "-m", "course_lib.grading", "grade", *sys.argv[1:]]
        return subprocess.call([*grade, "--scheduler", cluster.scheduler_address])


if __name__ == "__main__":
    sys.exit(main())
