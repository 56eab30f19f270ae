"""Which areas there are, and which of them matter on which host."""

from __future__ import annotations

from heliograph.doctor.finding import Role

AREAS = ("drive", "slurm", "watcher", "analysis", "mlflow", "python", "limits")
MEASUREMENTS = ("peer", "job")
"""areas that are examined only when they are asked for, by --peer and --job"""

_OF_ROLE: dict[Role, tuple[str, ...]] = {
    "wild_west": ("drive", "mlflow", "python", "limits"),
    "ssrde": AREAS,
    "monitoring": ("drive", "watcher", "mlflow", "python", "limits"),
    "all": AREAS,
}

SILENCE_S = {
    "drive": 8.0,
    "presence": 8.0,
    "peer": 20.0,
    "slurm": 60.0,
    "job": 60.0,
    "watcher": 30.0,
    "analysis": 90.0,
    "mlflow": 20.0,
    "python": 20.0,
    "limits": 10.0,
}
"""how long one check of an area may say nothing before it is given up"""


def areas_of(role: Role) -> tuple[str, ...]:
    """Return the areas that matter on a host of this role, in the order in which they are examined."""
    return _OF_ROLE[role]
