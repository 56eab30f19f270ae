"""heliograph in the comparison, by the same questions as the others."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.watcher.drives import MadeDrive
from benchmarks.watcher.latency import Witness
from benchmarks.watcher.watching import Settings, Watch, read_starts
from heliograph.drive import Drive


class Heliograph:
    """`heliograph watch` with the local executor."""

    spread_s = 15.0
    starts_jobs = True
    depends_on_finished = True
    sees = "a whole and valid signal, and a model that loads; heliograph watch"

    def __init__(self, *, inotify: bool) -> None:
        self._inotify = inotify
        self.name = "heliograph" if inotify else "heliograph, inotify off (as on a network drive)"

    def prepare(self, work: Path) -> None:
        """It is installed already: it runs this."""

    def start(self, work: Path, drive: Drive, experiments: list[str]) -> None:
        made = MadeDrive(work, int(drive.root.parent.name), restore=False)
        self._settings = Settings(work / "run", drive, made.copy_state(work / "run-state"))
        detection = {"inotify": "auto" if self._inotify else "off"}
        self._settings.write(detection=detection, slots=2, submissions_per_minute=100_000)
        self._watch = Watch(self._settings)
        self._watch.wait_ready(timeout_s=1800)
        self._witness = Witness(self._settings)

    def pids(self) -> list[int]:
        return self._watch.pids()

    def seen(self) -> Mapping[str, float]:
        to_wall = time.time() - time.monotonic()
        return {name: moment + to_wall for name, moment in self._witness.seen.items()}

    def started_jobs(self) -> Mapping[str, float]:
        return {name: moments[0] for name, moments in read_starts(self._settings).items()}

    def stop(self) -> None:
        self._witness.close()
        self._watch.stop()
