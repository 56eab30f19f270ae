"""Drives with many finished experiments, made in bulk and kept between runs.

WORK/drives/10000/drive/    the shared drive
WORK/drives/10000/state/    the watcher's local state, with the databases: never used itself, only copied
WORK/drives/10000/made.json   what was made; its absence means: make it again
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import subprocess
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.watcher import lives
from heliograph.drive import Drive
from heliograph.state import databases, journal
from heliograph.state.batch_names import batches
from heliograph.state.databases import DATABASES
from heliograph.state.queries import read_sql
from heliograph.state.settle import live_folder
from heliograph.state.store import Store

log = logging.getLogger(__name__)
NEW = "new-"
"""what the names of experiments begin with that a measurement adds"""
DATASET = "name: pairs\ntask: minimal_pairs\nformat: items\ndata: data/pairs.jsonl\n"
_AT_ONCE = 500


class Made(Struct):
    """What a made drive is."""

    version: str
    experiments: int
    events: int
    last_events: dict[str, int]
    seconds: float


class MadeDrive:
    """A drive with `count` finished experiments, and databases that know them."""

    def __init__(self, work: Path, count: int, *, restore: bool = True) -> None:
        self.folder = work / "drives" / str(count)
        self.count = count
        self.drive = Drive(self.folder / "drive")
        self.stored = self.folder / "drive.stored"
        """where the drive stands while something is mounted in its place"""
        self.put_back()
        self.made = self._read() or self._make()
        if restore:
            self.restore()

    def _read(self) -> Made | None:
        try:
            made = msgspec.json.decode((self.folder / "made.json").read_bytes(), type=Made)
        except FileNotFoundError:
            return None
        return made if made.version == _version() else None

    def _make(self) -> Made:
        log.info("making a drive with %d finished experiments", self.count)
        started = time.monotonic()
        if self.folder.exists():
            shutil.rmtree(self.folder)
        for folder in self.drive.folders():
            folder.mkdir(parents=True)
        self.drive.make_id()
        (self.drive.dataset_configs / "pairs.yaml").write_text(DATASET)
        events = 0
        writer = lives.Writer(self.drive, self.folder / "samples")
        with Store(live_folder(self.folder / "state", self.drive)) as store:
            for some in self._batches():
                for life in some:
                    writer.life(life)
                told = [event for life in some for event in lives.events_of(self.drive, life)]
                events += len(store.apply(told))
                journal.append(self.drive, store, 1)
            last = {stage: store.last_event(stage) for stage in DATABASES}
        made = Made(_version(), self.count, events, last, round(time.monotonic() - started, 1))
        (self.folder / "made.json").write_bytes(msgspec.json.encode(made))
        return made

    def _batches(self) -> Iterator[list[lives.Life]]:
        numbers = iter(range(self.count))
        while some := list(islice(numbers, _AT_ONCE)):
            yield [lives.make_life(self.drive, number) for number in some]

    def put_back(self) -> None:
        """Unmount what stands in the drive's place; a run that was killed leaves that behind, too."""
        if self.stored.exists():
            root = self.drive.root
            subprocess.run(["fusermount3", "-u", "-z", str(root)], check=False, capture_output=True)
            root.rmdir()
            self.stored.rename(root)

    def restore(self) -> None:
        """Take away what measurements left on the drive."""
        drive = self.drive
        for area in (
            drive.models,
            drive.evaluation,
            *(drive.analysis / n for n in ("figures", "tables", "reports")),
        ):
            for folder in area.glob(f"{NEW}*"):
                shutil.rmtree(folder)
        for folder in (drive.inbox, drive.published, drive.quarantine, drive.scripts, drive.locks / "claims"):
            shutil.rmtree(folder)
            folder.mkdir()
        shutil.rmtree(drive.lease, ignore_errors=True)
        for stage, last in self.made.last_events.items():
            for batch in batches(drive, stage):
                if batch.first > last:
                    batch.path.unlink()
            for file in drive.stage_logs(stage).iterdir():
                file.unlink()
            (drive.state / f"{stage}.db").unlink(missing_ok=True)
        drive.watcher_log.unlink(missing_ok=True)

    def copy_state(self, target: Path) -> Path:
        """Copy the watcher's local state, for a run that may change it."""
        if target.exists():
            shutil.rmtree(target)
        shutil.copytree(self.folder / "state", target)
        return target

    def journal_files(self) -> int:
        return sum(len(batches(self.drive, stage)) for stage in DATABASES)

    def database_mb(self) -> dict[str, float]:
        """Return the size of each live database."""
        live = live_folder(self.folder / "state", self.drive)
        return {s: (live / d.file_name).stat().st_size / 1e6 for s, d in DATABASES.items()}


def _version() -> str:
    """Tell made drives apart whose content or schema is another."""
    drive = Drive("/drive")
    life = lives.make_life(drive, 0)
    texts = [repr(event.body) for event in lives.events_of(drive, life)]
    texts += [repr(life), repr(lives.CONSTANT), DATASET]
    for steps in databases._MIGRATIONS.values():
        texts += [read_sql(name) for step in steps for name in step]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
