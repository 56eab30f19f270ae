"""The same files and the same questions for heliograph and three other tools, one after the other."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.watcher import processes
from benchmarks.watcher.drives import NEW, MadeDrive
from benchmarks.watcher.figures import Figure, Skipped
from benchmarks.watcher.latency import Published, publish
from benchmarks.watcher.lives import Writer
from benchmarks.watcher.peers.airflow import Airflow
from benchmarks.watcher.peers.dagster import Dagster
from benchmarks.watcher.peers.ours import Heliograph
from benchmarks.watcher.peers.polling import Polling
from benchmarks.watcher.peers.tool import CannotRun, Tool

log = logging.getLogger(__name__)
PART = "peers"
OPEN = 10
"""experiments that wait for their signal at a time"""


def tools() -> list[Tool]:
    """Return every tool and configuration, heliograph first and last so that drift of the machine shows."""
    return [
        Heliograph(inotify=True),
        Polling(),
        Dagster(None),
        Airflow(None),
        Heliograph(inotify=False),
        Dagster(1),
        Airflow(1),
    ]


def measure(
    work: Path, counts: list[int], rounds: int, window_s: float
) -> tuple[list[Figure], list[Skipped]]:
    """Measure every tool at each number of finished experiments, in `rounds` interleaved rounds."""
    skipped: dict[str, Skipped] = {}
    values: dict[tuple[str, str, str, str], list[float]] = {}
    sees: dict[str, str] = {}
    loads: dict[tuple[str, str], float] = {}
    for count in counts:
        for number in range(rounds):
            for one in tools():
                if one.name in skipped or (count != counts[0] and not one.depends_on_finished):
                    continue
                case = f"{count:,} finished experiments"
                try:
                    told = _measure_one(one, work, count, window_s, seed=number)
                except (CannotRun, TimeoutError) as reason:
                    skipped[one.name] = Skipped(part=PART, what=f"{one.name}, {case}", reason=str(reason))
                    continue
                sees[one.name], loads[one.name, case] = one.sees, os.getloadavg()[0]
                for (what, unit), some in told.items():
                    values.setdefault((case, one.name, what, unit), []).extend(some)
    figures = [
        Figure(
            part=PART,
            case=case,
            subject=name,
            what=what,
            unit=unit,
            values=some,
            load=loads[name, case],
            note=sees[name] if what.startswith("idle memory") else "",
        )
        for (case, name, what, unit), some in values.items()
    ]
    return figures, list(skipped.values())


def _measure_one(
    one: Tool, work: Path, count: int, window_s: float, seed: int
) -> Mapping[tuple[str, str], list[float]]:
    """Start a tool, let it idle, publish ten signals, and note when it saw them and began the work."""
    log.info("%s, %d finished experiments", one.name, count)
    one.prepare(work)
    made = MadeDrive(work, count)
    (work / "run").mkdir(exist_ok=True)
    names = [f"{NEW}{number:03d}" for number in range(OPEN)]
    writer = Writer(made.drive, made.folder / "samples")
    for name in names:
        writer.model(name)
    try:
        one.start(work, made.drive, names)
        cpu = processes.cpu_share(one.pids, window_s)
        memory = processes.memory(one.pids())
        published = _publish(made, names, one.spread_s, seed)
        _wait_for_all(one, names)
        seen, jobs = one.seen(), one.started_jobs()
    finally:
        one.stop()
    told = {
        ("idle CPU, ten signals awaited", "% of a core"): [cpu],
        ("idle memory, ten signals awaited (PSS, all processes)", "MB"): [memory.pss_mb],
    }
    if seen:
        told["rename until it is seen", "s"] = [seen[p.experiment] - p.wall for p in published]
    if jobs:
        told["rename until the work starts", "s"] = [jobs[p.experiment] - p.wall for p in published]
    return told


def _publish(made: MadeDrive, names: list[str], spread_s: float, seed: int) -> list[Published]:
    chance = random.Random(seed)
    moments = sorted(chance.uniform(0, max(spread_s, 15.0)) for _ in names)
    begin = time.monotonic()
    published = []
    for name, moment in zip(names, moments, strict=True):
        time.sleep(max(0.0, begin + moment - time.monotonic()))
        published.append(publish(made.drive, None, name))
    return published


def _wait_for_all(one: Tool, names: list[str], timeout_s: float = 240) -> None:
    def all_told() -> bool:
        seen, jobs = one.seen(), one.started_jobs()
        wanted = set(names)
        return wanted <= seen.keys() and (wanted <= jobs.keys() or not one.starts_jobs)

    processes.wait_for(all_told, timeout_s, f"{one.name} sees all signals", 0.5)
    time.sleep(1.0)
