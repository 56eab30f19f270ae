"""A burst: very many signals at once, each submitted exactly once."""

from __future__ import annotations

import math
import time
from pathlib import Path

from benchmarks.watcher import processes
from benchmarks.watcher.drives import NEW, MadeDrive
from benchmarks.watcher.figures import Figure
from benchmarks.watcher.latency import publish
from benchmarks.watcher.lives import Writer
from benchmarks.watcher.watching import Ledger, Settings, read_starts, watching
from heliograph.config import SlurmSettings
from heliograph.protocol.outbox import Outbox

PART = "burst"


def measure(work: Path, count: int, signals: int) -> list[Figure]:
    """Publish `signals` signals as fast as the disk takes them, beside `count` finished experiments."""
    made = MadeDrive(work, count)
    made.restore()
    settings = Settings(work / "run", made.drive, made.copy_state(work / "run-state"))
    settings.write(detection={"inotify": "off"}, slots=2, submissions_per_minute=100_000)
    names = [f"{NEW}{number:05d}" for number in range(signals)]
    writer = Writer(made.drive, made.folder / "samples")
    for name in names:
        writer.model(name)
    outbox = Outbox(made.drive, work / "spool")
    with watching(settings) as watch:
        watch.wait_ready()
        before = processes.memory(watch.pids())
        peak = processes.Peak(lambda: processes.tree(watch.process.pid))
        ledger = Ledger(settings)
        begin = time.monotonic()
        for name in names:
            publish(made.drive, outbox, name)
        published_s = time.monotonic() - begin
        processes.wait_for(lambda: len(set(ledger.submitted())) == signals, 1800, "all are submitted", 0.1)
        submitted_s = time.monotonic() - begin
        processes.wait_for(lambda: len(read_starts(settings)) == signals, 1800, "all have started", 0.5)
        watch.wait_ready()
        peak.close()
        after = processes.memory(watch.pids())
        submitted, starts = ledger.submitted(), read_starts(settings)
        ledger.close()
    _check_exactly_once(names, submitted, starts)
    return _figures(count, signals, published_s, submitted_s, (before.pss_mb, peak.pss_mb, after.pss_mb))


def _check_exactly_once(names: list[str], submitted: list[str], starts: dict[str, list[float]]) -> None:
    """Raise where an experiment was submitted or started more or less than once."""
    wrong = [name for name in names if submitted.count(name) != 1 or len(starts.get(name, [])) != 1]
    if wrong or len(submitted) != len(names):
        raise RuntimeError(
            f"not exactly once: {wrong[:10]}, {len(submitted)} attempts for {len(names)} signals"
        )


def _figures(
    count: int, signals: int, published_s: float, submitted_s: float, memory: tuple[float, float, float]
) -> list[Figure]:
    case = f"{signals:,} signals at once, {count:,} finished experiments"
    per_minute = SlurmSettings().submissions_per_minute

    def figure(what: str, unit: str, value: float, note: str = "") -> Figure:
        return Figure(part=PART, case=case, what=what, unit=unit, values=[value], note=note)

    return [
        figure("publishing them", "s", published_s, "by one process, each with its event"),
        figure("until all are submitted, no rate limit", "s", submitted_s, "each exactly once: counted"),
        figure(
            f"projection at the default of {per_minute} submissions a minute",
            "s",
            (math.ceil(signals / per_minute) - 1) * 60.0,
            "the limit alone",
        ),
        figure("memory before (PSS)", "MB", memory[0]),
        figure("most memory (PSS), short-lived submission processes included", "MB", memory[1]),
        figure("memory after (PSS)", "MB", memory[2]),
    ]
