"""Figures: what was measured, how often, how it is spread, and how busy the machine was meanwhile."""

from __future__ import annotations

import os
import platform
import statistics
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct, field


class Figure(Struct, kw_only=True, omit_defaults=True):
    """One measured quantity in one case, with every single value."""

    part: str
    """the part of the benchmark, for instance latency"""
    case: str
    """under which circumstances"""
    what: str
    """what was measured"""
    unit: str
    values: list[float]
    subject: str = "heliograph"
    load: float = field(default_factory=lambda: os.getloadavg()[0])
    """load average of the last minute, when the measurement ended"""
    note: str = ""


class Skipped(Struct, kw_only=True):
    """What could not be measured here, and why."""

    part: str
    what: str
    reason: str


class Machine(Struct, kw_only=True):
    """Where and when it was measured."""

    at: str
    cores: int
    memory_gb: float
    kernel: str
    python: str
    heliograph: str
    command: str


class Part(Struct, kw_only=True):
    """One part of the benchmark as it was run."""

    name: str
    machine: Machine
    figures: list[Figure]
    skipped: list[Skipped] = []
    load_before: float = 0.0


def this_machine(command: str) -> Machine:
    """Describe the machine without naming it."""
    from heliograph import __version__

    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        cores=os.cpu_count() or 1,
        memory_gb=round(pages / 1e9, 1),
        kernel=f"{platform.system()} {platform.release().split('-')[0]}",
        python=platform.python_version(),
        heliograph=__version__,
        command=command,
    )


def quantile(values: list[float], share: float) -> float:
    """Return the value that this share of all values does not pass (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def median(values: list[float]) -> float:
    return statistics.median(values)


def quartiles(values: list[float]) -> tuple[float, float]:
    """Return the first and third quartile; of a single value, it twice."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


def read_parts(path: Path) -> dict[str, Part]:
    """Read what earlier runs left, by the name of the part."""
    if not path.exists():
        return {}
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Part])


def write_parts(path: Path, parts: dict[str, Part]) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(parts), indent=1) + b"\n")
