"""Reading the drive for everybody who looks at the dashboard.

sqlite3's connections belong to the thread that opened them, and a network drive may hang for ever. So one
thread of its own does all the reading, through verified copies in a local folder, and makes a `Reading` that
never changes. A page asks for the latest one: if it is older than 2 s a new one is made, for all who ask at
that time, and whoever asks waits at most 1.5 s for it. After that, or when the drive is in trouble, the
last good one is shown, with its age once that is more than 15 s. Requests never touch the drive or SQLite.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct, structs

from heliograph.dashboard.freshness import Pulse
from heliograph.drive import Drive
from heliograph.errors import DriveUnavailable, HeliographError, StateError
from heliograph.state.views import Overview, Snapshots, read_overview

T = TypeVar("T")
_Item = tuple[Future[Any], Callable[[], Any]]

EVERY_S = 2.0
PATIENCE_S = 1.5
SLOW_S = 15.0


class Reading(Struct, frozen=True, kw_only=True):
    """What was read of the drive at one time."""

    overview: Overview
    beat_age_s: float | None
    """how long the watcher had been silent when this was read"""
    read_at: datetime
    trouble: str | None = None
    """why nothing newer could be read; None while this is the newest"""


class Worker:
    """One thread that does one piece of work after the other. It is a daemon: a drive that hangs does not
    keep the process from ending."""

    def __init__(self, name: str) -> None:
        self._work: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        self._work.put((future, work))
        return future

    def close(self, timeout_s: float = 2.0) -> None:
        """Let the thread end after what it is doing now; wait for it, but not for ever."""
        self._work.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            future, work = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except Exception as error:  # noqa: BLE001 - handed on to whoever asked
                future.set_exception(error)


class Reader:
    """Hands out the latest reading of a drive. Belongs to one event loop."""

    def __init__(self, drive: Drive, clock: Callable[[], datetime]) -> None:
        self.drive = drive
        self._clock = clock
        self._worker = Worker("heliograph-reader")
        self._snapshots: Snapshots | None = None
        self._pulse = Pulse()
        self._pending: Future[Reading | HeliographError] | None = None
        self._latest: Reading | None = None

    def close(self) -> None:
        """Stop reading and remove the local copies."""
        self._worker.submit(self._close_snapshots)
        self._worker.close()

    async def latest(self) -> Reading:
        """Return what is known now. Raises HeliographError while nothing could be read at all."""
        if self._latest is not None and self._age_s(self._latest) < EVERY_S:
            return self._latest
        if self._pending is None or self._pending.done():
            self._pending = self._worker.submit(self._read)
        pending = self._pending
        await asyncio.wait([asyncio.wrap_future(pending)], timeout=PATIENCE_S)
        if not pending.done():
            if self._latest is not None and self._age_s(self._latest) < SLOW_S:
                return self._latest
            return self._fall_back(DriveUnavailable(folder=self.drive.root, reason="it is slow or hangs"))
        found = pending.result()
        return self._fall_back(found) if isinstance(found, HeliographError) else found

    def _age_s(self, reading: Reading) -> float:
        return (self._clock() - reading.read_at).total_seconds()

    def _fall_back(self, error: HeliographError) -> Reading:
        if self._latest is None:
            raise error
        return structs.replace(self._latest, trouble=str(error))

    def _read(self) -> Reading | HeliographError:
        """Read everything, or tell what is in the way. Runs in the reader's thread; what it read late is
        kept too, for the next who asks."""
        if self._snapshots is None:
            self._snapshots = Snapshots(self.drive)
        try:
            overview = read_drive(self._snapshots)
        except HeliographError as error:
            return error
        now = self._clock()
        age_s = self._pulse.age_s(overview.watcher, now)
        self._latest = Reading(overview=overview, beat_age_s=age_s, read_at=now)
        return self._latest

    def _close_snapshots(self) -> None:
        if self._snapshots is not None:
            self._snapshots.close()
            self._snapshots = None


def read_drive(snapshots: Snapshots) -> Overview:
    """Take the newest that is published and read it. Whatever the drive does becomes a HeliographError."""
    with reading(snapshots):
        return read_overview(snapshots)


@contextmanager
def reading(snapshots: Snapshots) -> Iterator[None]:
    """Take the newest that is published, for the block to read it. Whatever the drive does there becomes a
    HeliographError."""
    try:
        snapshots.drive.read_id()  # an unmounted drive is an empty folder: not the same as an empty drive
        snapshots.refresh()
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise DriveUnavailable(folder=snapshots.drive.root, reason=reason) from error
    except sqlite3.Error as error:
        raise StateError(
            database=snapshots.drive.published,
            reason=f"what is published cannot be read: {error}",
            remedy="Is the heliograph here older than the watcher's? Then install that one.",
        ) from error
