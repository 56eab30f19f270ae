"""Publishing a database: a new generation under a new name, then a pointer of fixed size.

    state/published/evaluation.000123.db     never changes; kept for ten minutes after the next one
    state/published/evaluation.json          generation, size, sha256; padded to 512 bytes, so that a
                                             replaced file is never read truncated
    state/evaluation.db                      the same snapshot under the name that people and R expect

Readers copy, verify, and open their copy: what was measured on network drives leaves no simpler way.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import re
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from heliograph.drive import Drive
from heliograph.durable import durable
from heliograph.errors import NotPublished, StateError
from heliograph.files import (
    atomic_file,
    make_folder,
    read_untrusted,
    remove_file,
    sha256_file,
    write_atomic,
)
from heliograph.names import iso
from heliograph.state.databases import DATABASES
from heliograph.state.store import Store

log = logging.getLogger(__name__)
POINTER_SIZE = 512
KEEP_S = 600.0
GENERATIONS_A_TERM = 1_000_000
_READ_TRIES = 5
_MOST_POINTER = 1 << 16


class Pointer(Struct, frozen=True):
    """Which generation of a database is the newest."""

    generation: int
    file: str
    size: int
    sha256: str
    published_at: str
    host: str


def pointer_path(drive: Drive, stage: str) -> Path:
    return drive.published / f"{stage}.json"


def read_pointer(drive: Drive, stage: str) -> Pointer:
    """Read a database's pointer. Raises NotPublished, or StateError when it cannot be understood."""
    path = pointer_path(drive, stage)
    try:
        raw = read_untrusted(path, _MOST_POINTER)
    except FileNotFoundError:
        raise NotPublished(database=path) from None
    try:
        pointer = msgspec.json.decode(raw, type=Pointer)
    except msgspec.DecodeError as error:
        raise StateError(database=path, reason=str(error), remedy="It is read again.") from None
    if not re.fullmatch(rf"{stage}\.[0-9]{{6,}}\.db", pointer.file):
        raise StateError(database=path, reason=f"it names {pointer.file!a}", remedy="Publish again.")
    return pointer


class Snapshot(Struct, frozen=True):
    """A whole copy of a live database on the local disk, to be put on the drive."""

    stage: str
    copy: Path
    sha256: str
    size: int


def make_snapshot(store: Store, stage: str) -> Snapshot:
    """Copy a live database on the local disk; the copy stands until the next one is made."""
    copy = store.folder / f"{stage}.snapshot"
    remove_file(copy)
    _copy_database(store.connection(stage), copy)
    return Snapshot(stage, copy, sha256_file(copy), copy.stat().st_size)


def put_snapshot(
    drive: Drive,
    snapshot: Snapshot,
    *,
    host: str,
    now: datetime,
    keep_s: float = KEEP_S,
    term: int = 0,
    check: Callable[[], None] = lambda: None,
) -> Pointer:
    """Publish a snapshot as the next generation, and drop generations that were superseded long ago.

    Each lease numbers its generations anew, above all those before: who finishes one under an older lease,
    frozen meanwhile, hits no name of a newer one. `check` raises when the lease is lost: then that is all.
    """
    stage = snapshot.stage
    generation = _next_generation(drive, stage, term)
    name = f"{stage}.{generation:06d}.db"
    _copy_file(snapshot.copy, drive.published / name)
    check()
    pointer = Pointer(generation, name, snapshot.size, snapshot.sha256, iso(now), host)
    _write_pointer(drive, stage, pointer)
    check()
    _copy_file(snapshot.copy, drive.state / f"{stage}.db")
    _drop_old(drive, stage, generation, keep_s)
    return pointer


def _write_pointer(drive: Drive, stage: str, pointer: Pointer) -> None:
    raw = msgspec.json.format(msgspec.json.encode(pointer), indent=2)
    write_atomic(pointer_path(drive, stage), raw.ljust(POINTER_SIZE - 1) + b"\n")


def restore_pointer(drive: Drive, stage: str, ours: Pointer) -> None:
    """Write a pointer again if it names an older generation than ours."""
    with contextlib.suppress(StateError):  # what cannot be read is replaced with the next generation
        if read_pointer(drive, stage).generation < ours.generation:
            log.warning("%s.json named an older generation; it is put right", stage)
            _write_pointer(drive, stage, ours)


class Changes:
    """Knows which databases have changed since they were published."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._published: dict[str, int] = {}

    def stages(self) -> list[str]:
        """List the stages whose database has changed."""
        return [s for s in DATABASES if self._published.get(s) != self._store.changes[s]]

    def note(self, published: Mapping[str, int]) -> None:
        """Remember with how many changes each database was published."""
        self._published |= published


class Publisher:
    """Publishes the live databases when they have changed."""

    def __init__(self, drive: Drive, store: Store, *, host: str, keep_s: float = KEEP_S) -> None:
        self.drive = drive
        self.store = store
        self.host = host
        self.keep_s = keep_s
        self._changes = Changes(store)

    def publish(self, now: datetime) -> list[str]:
        """Publish each database that changed since the last time; return their stages."""
        changed = self._changes.stages()
        for stage in changed:
            changes = self.store.changes[stage]
            snapshot = make_snapshot(self.store, stage)
            put_snapshot(self.drive, snapshot, host=self.host, now=now, keep_s=self.keep_s)
            self._changes.note({stage: changes})
        return changed


def _generations(drive: Drive, stage: str) -> dict[int, Path]:
    found = {}
    for path in drive.published.glob(f"{stage}.*.db"):
        number = path.name.split(".")[1]
        if number.isdigit():
            found[int(number)] = path
    return found


def _next_generation(drive: Drive, stage: str, term: int) -> int:
    """Return a number that was never used, also when the pointer was lost or is ahead of the files."""
    known = [term * GENERATIONS_A_TERM, *_generations(drive, stage)]
    with contextlib.suppress(StateError, OSError):
        known.append(read_pointer(drive, stage).generation)
    return max(known) + 1


def _drop_old(drive: Drive, stage: str, newest: int, keep_s: float) -> None:
    """Remove generations that were superseded longer than `keep_s` ago, by the drive's own times."""
    generations = _generations(drive, stage)
    if newest not in generations:
        return
    now = generations[newest].stat().st_mtime
    numbers = sorted(generations)
    for number, follower in itertools.pairwise(numbers):
        if now - generations[follower].stat().st_mtime > keep_s:
            remove_file(generations[number])


def _copy_database(source: sqlite3.Connection, target: Path) -> None:
    """Copy a live database with SQLite's backup API; the copy is no WAL database, so one file is all."""
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        with durable("backup", target):
            source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    finally:
        copy.close()


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as reading, atomic_file(target) as writing:
        shutil.copyfileobj(reading, writing, 1 << 20)


def fetch_snapshot(drive: Drive, stage: str, folder: Path) -> tuple[Path, Pointer]:
    """Copy the newest generation to `folder` on a local disk, verified; return the copy and its pointer.

    A copy of the same generation that is there already is used again. Raises NotPublished, or StateError
    when five tries found nothing whole.
    """
    reason = ""
    for _ in range(_READ_TRIES):
        try:
            pointer = read_pointer(drive, stage)
            copy = folder / f"{pointer.sha256[:16]}.{pointer.file}"
            if not copy.exists():
                _fetch_verified(drive.published / pointer.file, pointer, copy)
            return copy, pointer
        except NotPublished:
            raise
        except (OSError, StateError) as error:
            reason = str(error)
    raise StateError(
        database=drive.published / f"{stage}.*.db",
        reason=f"no whole generation could be read: {reason}",
        remedy="Is the drive well? The watcher publishes a new one at the next change.",
    )


def _fetch_verified(source: Path, pointer: Pointer, target: Path) -> None:
    content = read_untrusted(source, pointer.size)
    if len(content) != pointer.size or hashlib.sha256(content).hexdigest() != pointer.sha256:
        raise StateError(database=source, reason="it differs from its pointer", remedy="It is read again.")
    make_folder(target.parent)
    write_atomic(target, content)
