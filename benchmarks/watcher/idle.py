"""What the watcher costs while nothing happens, and its start, beside many finished experiments."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from benchmarks.watcher import processes
from benchmarks.watcher.drives import NEW, MadeDrive
from benchmarks.watcher.figures import Figure
from benchmarks.watcher.latency import publish
from benchmarks.watcher.lives import Writer
from benchmarks.watcher.watching import Ledger, Settings, command, watching

PART = "idle"
DETECTION = {"inotify": "off"}
"""as on a network drive: on a local one, inotify makes no difference while nothing happens"""


def measure(work: Path, counts: list[int], window_s: float, runs: int) -> list[Figure]:
    """Measure idle cost and start-up at each number of finished experiments."""
    return [figure for count in counts for figure in _measure_count(work, count, window_s, runs)]


def _measure_count(work: Path, count: int, window_s: float, runs: int) -> list[Figure]:
    made = MadeDrive(work, count)
    case = f"{count:,} finished experiments"
    values: dict[tuple[str, str], list[float]] = {}

    def note(what: str, unit: str, value: float) -> None:
        values.setdefault((what, unit), []).append(value)

    for _ in range(runs):
        _measure_running(made, work, window_s, note)
        note("heliograph watch --once", "s", _time_once(made, work))
        note("heliograph db rebuild with no databases", "s", _time_rebuild(made, work))
    sizes = made.database_mb()
    note("events in the journal", "events", made.made.events)
    note("live databases together", "MB", sum(sizes.values()))
    loads = os.getloadavg()[0]
    return [
        Figure(part=PART, case=case, what=what, unit=unit, values=told, load=loads)
        for (what, unit), told in values.items()
    ]


def _measure_running(made: MadeDrive, work: Path, window_s: float, note) -> None:  # type: ignore[no-untyped-def]
    """Start it beside one signal that nobody announced; then let it idle."""
    made.restore()
    settings = Settings(work / "run", made.drive, made.copy_state(work / "run-state"))
    settings.write(detection=DETECTION, slots=1, submissions_per_minute=100_000)
    name = f"{NEW}waiting"
    Writer(made.drive, made.folder / "samples").model(name)
    publish(made.drive, None, name)
    with watching(settings) as watch:
        peak = processes.Peak(watch.pids)
        processes.wait_for((made.drive.lease / "holder.json").exists, 120, "the watcher's lease", 0.01)
        ledger = Ledger(settings)
        processes.wait_for(lambda: name in ledger.intents(), 1800, "the signal that waited", 0.02)
        note("start to the first intent (a signal waited)", "s", time.monotonic() - watch.started)
        ledger.close()
        watch.wait_ready(timeout_s=1800)
        note("start until quiet", "s", time.monotonic() - watch.started - 3.0)
        peak.close()
        note("most memory while it started (PSS)", "MB", peak.pss_mb)
        note("idle CPU", "% of a core", processes.cpu_share(watch.pids, window_s))
        memory = processes.memory(watch.pids())
        note("idle memory (RSS)", "MB", memory.rss_mb)
        note("idle memory (PSS)", "MB", memory.pss_mb)
        note("processes", "", len(watch.pids()))


def _time_once(made: MadeDrive, work: Path) -> float:
    """Time one complete pass over a drive on which nothing is new."""
    made.restore()
    settings = Settings(work / "run", made.drive, made.copy_state(work / "run-state"))
    settings.write(detection=DETECTION, slots=1, submissions_per_minute=100_000)
    return _timed(settings, "watch", "--once")


def _time_rebuild(made: MadeDrive, work: Path) -> float:
    """Time the replay of the whole journal into empty databases, and their publication."""
    made.restore()
    state = work / "run-state"
    shutil.rmtree(state, ignore_errors=True)
    settings = Settings(work / "run", made.drive, state)
    settings.write(detection=DETECTION, slots=1, submissions_per_minute=100_000)
    return _timed(settings, "db", "rebuild")


def _timed(settings: Settings, *verb: str) -> float:
    started = time.monotonic()
    with settings.log.open("wb") as log:
        subprocess.run(
            command(settings.drive, *verb), env=settings.environment(), stdout=log, stderr=log, check=True
        )
    return time.monotonic() - started
