"""What the watcher costs while ten experiments train and post heartbeats as often as the hook does."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.watcher import processes
from benchmarks.watcher.drives import NEW, MadeDrive
from benchmarks.watcher.figures import Figure
from benchmarks.watcher.watching import Settings, Watch, watching
from heliograph.drive import Drive
from heliograph.protocol.events import TrainingHeartbeat, TrainingStarted
from heliograph.protocol.outbox import Outbox
from heliograph.training.config import HookSettings

PART = "beats"
TRAININGS = 10


def measure(work: Path, counts: list[int], window_s: float) -> list[Figure]:
    """Measure with ten running trainings beside each number of finished experiments."""
    return [figure for count in counts for figure in _measure_count(work, count, window_s)]


class _Trainings:
    """Ten trainings that post heartbeats, evenly spread, until closed."""

    def __init__(self, drive: Drive, outbox: Outbox, every_s: float) -> None:
        self._outbox, self._pause_s = outbox, every_s / TRAININGS
        self._stop = threading.Event()
        for number in range(TRAININGS):
            drive.model_folder(f"{NEW}training-{number}").mkdir()
            started = TrainingStarted(**_about(number), hostname="trainer", user="bench")
            outbox.post(started)
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        step = 0
        while not self._stop.wait(self._pause_s):
            step += 1
            about = _about(step % TRAININGS)
            self._outbox.post(
                TrainingHeartbeat(**about, step=step, total_steps=100_000, metrics={"loss": 3.5})
            )

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def _about(number: int) -> dict[str, Any]:
    return {"experiment": f"{NEW}training-{number}", "stage": "training", "run": f"run-{number:04d}"}


def _written_mb(watch: Watch) -> float:
    """Return what the watcher and its children have written to disks so far."""
    total = 0
    for pid in watch.pids():
        try:
            lines = Path(f"/proc/{pid}/io").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))
    return total / 1e6


def _measure_count(work: Path, count: int, window_s: float) -> list[Figure]:
    made = MadeDrive(work, count)
    made.restore()
    settings = Settings(work / "run", made.drive, made.copy_state(work / "run-state"))
    settings.write(detection={"inotify": "off"}, slots=1, submissions_per_minute=60)
    every_s = HookSettings().heartbeat_every_s
    with watching(settings) as watch:
        watch.wait_ready(timeout_s=1800)
        trainings = _Trainings(made.drive, Outbox(made.drive, work / "spool"), every_s)
        try:
            time.sleep(min(10.0, window_s))
            written, started = _written_mb(watch), time.monotonic()
            peak = processes.Peak(watch.pids)
            cpu = processes.cpu_share(watch.pids, window_s)
            passed = time.monotonic() - started
            peak.close()
            written = _written_mb(watch) - written
        finally:
            trainings.close()
    case = f"ten trainings with a heartbeat every {every_s:.0f} s each, {count:,} finished experiments"
    return [
        Figure(part=PART, case=case, what="CPU", unit="% of a core", values=[cpu]),
        Figure(part=PART, case=case, what="most memory (PSS)", unit="MB", values=[peak.pss_mb]),
        Figure(part=PART, case=case, what="written to disks", unit="MB/min", values=[60 * written / passed]),
    ]
