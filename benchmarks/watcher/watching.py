"""`heliograph watch` as people run it: one process, measured from outside.

Its jobs are stand-ins: the administrator's `setup` lines of config/watcher.yaml note when the job starts, and
end it. What is measured is the watcher, not a model's evaluation.
"""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import heliograph
from benchmarks.watcher import processes
from heliograph.drive import Drive
from heliograph.state.settle import live_folder

# $EPOCHREALTIME is bash's own clock: no process is started to read it. A held job waits until told to end.
STAND_IN = """\
printf '%s %s\\n' "$EPOCHREALTIME" "$HELIOGRAPH_JOB_NAME" >> {starts}
while [ -e {hold} ]; do sleep 0.5; done
exit 1
"""


class Settings:
    """Where one run of the watcher keeps its things, and its configuration."""

    def __init__(self, folder: Path, drive: Drive, state: Path) -> None:
        self.folder, self.drive, self.state = folder, drive, state
        self.starts, self.hold = folder / "starts", folder / "hold"
        self.config, self.log = folder / "watcher.yaml", folder / "watch.log"

    def write(self, *, detection: Mapping[str, Any], slots: int, submissions_per_minute: int) -> None:
        """Write the configuration; everything that is not named here has its default."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.starts.unlink(missing_ok=True)
        self.hold.unlink(missing_ok=True)
        script = STAND_IN.format(starts=shlex.quote(str(self.starts)), hold=shlex.quote(str(self.hold)))
        stage = {"max_attempts": 1, "setup": script.splitlines()}
        config = {
            "executor": "local",
            "detection": dict(detection),
            "local": {"slots": slots},
            "slurm": {"submissions_per_minute": submissions_per_minute},
            "stages": {"evaluation": stage, "analysis": stage},
        }
        self.config.write_text(json.dumps(config, indent=1))  # JSON is YAML

    def environment(self) -> dict[str, str]:
        package = str(Path(heliograph.__file__).parents[1])
        return os.environ | {
            "PYTHONPATH": package,
            "HELIOGRAPH_STATE": str(self.state),
            "WATCHER_CONFIG": str(self.config),
            "HELIOGRAPH_LOG_FORMAT": "json",
        }


def command(drive: Drive, *verb: str) -> list[str]:
    return [sys.executable, "-m", "heliograph", "--drive", str(drive.root), *verb]


class Watch:
    """A running watcher, and what can be seen of it without asking it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        with settings.log.open("wb") as log:
            self.started = time.monotonic()
            self.process = subprocess.Popen(
                command(settings.drive, "watch"), env=settings.environment(), stdout=log, stderr=log
            )

    def pids(self) -> list[int]:
        return processes.tree(self.process.pid)

    def wait_ready(self, timeout_s: float = 900) -> float:
        """Wait until it serves the drive and its first work is done; return how long it was busy."""
        holder = self.settings.drive.lease / "holder.json"
        processes.wait_for(lambda: holder.exists() or not self.lives(), 60, "the watcher's lease")
        busy = processes.wait_quiet(self.pids, timeout_s=timeout_s)
        if not self.lives():
            raise RuntimeError(f"heliograph watch has ended; see {self.settings.log}")
        return busy

    def lives(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        self.settings.hold.unlink(missing_ok=True)
        processes.stop(self.process)


@contextmanager
def watching(settings: Settings) -> Iterator[Watch]:
    """Run `heliograph watch` and end it."""
    watch = Watch(settings)
    try:
        yield watch
    finally:
        watch.stop()


class Ledger:
    """Reads the watcher's live databases from outside; SQLite's WAL lets one reader look on."""

    def __init__(self, settings: Settings) -> None:
        folder = live_folder(settings.state, settings.drive)
        uri = "file:{}?mode=ro"
        self._databases = {
            stage: sqlite3.connect(uri.format(folder / f"{stage}.db"), uri=True, isolation_level=None)
            for stage in ("training", "evaluation")
        }
        self._version = -1

    def close(self) -> None:
        for database in self._databases.values():
            database.close()

    def changed(self) -> bool:
        """Tell whether something was committed in evaluation.db since the last call."""
        version = int(self._databases["evaluation"].execute("PRAGMA data_version").fetchone()[0])
        is_new, self._version = version != self._version, version
        return is_new

    def intents(self) -> set[str]:
        """Return the new experiments for which an attempt at the evaluation is committed."""
        rows = self._databases["evaluation"].execute(
            "SELECT experiment_name FROM evaluation_jobs WHERE experiment_name GLOB 'new-*'"
        )
        return {row[0] for row in rows}

    def submitted(self) -> list[str]:
        """Return the new experiments whose attempt has a job, one entry an attempt."""
        rows = self._databases["evaluation"].execute(
            "SELECT experiment_name FROM evaluation_jobs "
            "WHERE experiment_name GLOB 'new-*' AND slurm_job_id IS NOT NULL"
        )
        return [row[0] for row in rows]


def read_starts(settings: Settings) -> dict[str, list[float]]:
    """Return when the stand-in jobs of each experiment started, by the wall clock in seconds."""
    if not settings.starts.exists():
        return {}
    found: dict[str, list[float]] = {}
    for line in settings.starts.read_text().splitlines():
        moment, name = line.split()
        experiment = name.split("_", 1)[1].rpartition(".")[0]
        found.setdefault(experiment, []).append(float(moment.replace(",", ".")))
    return found
