"""The environment that commands and jobs are given: ours, without what an outer job left in it.

A watcher or a test may itself run inside a Slurm job. There, SLURM_WORKING_CLUSTER redirects the clients,
SBATCH_* and SQUEUE_* change what they do and print, and SLURM_JOB_ID would be taken for the job's own.
"""

from __future__ import annotations

from collections.abc import Mapping

_OUTER_JOB = (
    "SLURM_",
    "SLURMD_",
    "SBATCH_",
    "SRUN_",
    "SALLOC_",
    "SQUEUE_",
    "SACCT_",
    "SCANCEL_",
    "SCONTROL_",
    "HELIOGRAPH_JOB_",
)
# where the cluster is and who we are there; not of one job
_KEPT = frozenset(["SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT"])


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` without the variables of an outer job."""
    return {key: value for key, value in environ.items() if key in _KEPT or not key.startswith(_OUTER_JOB)}
