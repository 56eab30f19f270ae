"""Taking in the inbox: read, apply once, write to the journal, only then remove.

A process that dies between two of these steps leaves the event in the inbox; its id keeps it from being
applied a second time.
"""

from __future__ import annotations

import logging
import sqlite3
from datetime import datetime
from pathlib import Path

from heliograph.drive import Drive
from heliograph.durable import durable
from heliograph.errors import BadEvent, plain
from heliograph.files import LASTING
from heliograph.protocol.events import Event, event_path
from heliograph.protocol.quarantine import move_aside
from heliograph.state import journal
from heliograph.state.posted import read_posted
from heliograph.state.store import Store

log = logging.getLogger(__name__)
MOST_AT_ONCE = 500
MOST_BYTES_AT_ONCE = 8 << 20
# Values that the schema lets pass and a database or a calendar does not; a full disk is none of these.
_CANNOT_BE_APPLIED = (
    ArithmeticError,
    LookupError,
    ValueError,
    TypeError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    BadEvent,
)


class Inbox:
    """The inbox of a drive, with a memory of what could not be read yet."""

    def __init__(self, drive: Drive, settle_s: float) -> None:
        self.drive = drive
        self.settle_s = settle_s
        self._bad_since: dict[str, datetime] = {}

    def names(self) -> list[str]:
        """List what waits, oldest first as far as the hosts' clocks agree; hidden files are still written."""
        return sorted(p.name for p in self.drive.inbox.iterdir() if not p.name.startswith("."))

    def take(self, store: Store, now: datetime) -> list[Event]:
        """Apply and journal what waits, at most 500 events or 8 MiB; return the new ones."""
        found = self._read(now)
        fresh = self._apply(store, list(found.values()), now) if found else []
        journal.append(self.drive, store)
        for path in found:
            with durable("unlink", path):
                path.unlink(missing_ok=True)
            self._bad_since.pop(path.name, None)
        return fresh

    def _read(self, now: datetime) -> dict[Path, Event]:
        """Read the oldest events that can be read; put aside what has been none for long enough."""
        events: dict[Path, Event] = {}
        bytes_read = 0
        for name in self.names():
            if len(events) >= MOST_AT_ONCE or bytes_read >= MOST_BYTES_AT_ONCE:
                break
            path = self.drive.inbox / name
            try:
                events[path], size = read_posted(path)
                bytes_read += size
            except BadEvent as error:
                self._put_aside_when_settled(path, error, now)
            except OSError as error:
                if error.errno in LASTING:
                    self._put_aside_when_settled(path, _no_file(path, error), now)
                else:
                    log.debug("event %s cannot be read now: %s", plain(name), error.strerror)
        return events

    def _apply(self, store: Store, events: list[Event], now: datetime) -> list[Event]:
        """Apply all at once; where one of them cannot be applied, one by one, and put that one aside."""
        try:
            return store.apply(events)
        except _CANNOT_BE_APPLIED:
            fresh = []
        for event in events:
            try:
                fresh += store.apply([event])
            except _CANNOT_BE_APPLIED as error:
                path = event_path(self.drive, event.id)
                self._put_aside(path, _explain(path, event, error), now)
        return fresh

    def _put_aside_when_settled(self, path: Path, error: BadEvent, now: datetime) -> None:
        since = self._bad_since.setdefault(path.name, now)
        if (now - since).total_seconds() >= self.settle_s:
            self._put_aside(path, error, now)

    def _put_aside(self, path: Path, error: BadEvent, now: datetime) -> None:
        kept = move_aside(self.drive, path, str(error), now)
        self._bad_since.pop(path.name, None)
        log.error("an event was put aside as %s: %s", kept, error)


def _no_file(path: Path, error: OSError) -> BadEvent:
    return BadEvent(
        file=path,
        field="(file)",
        problem="cannot be read as an event",
        value=error.strerror,
        remedy="Events are plain files of at most 1 MiB that the watcher's user may read.",
    )


def _explain(path: Path, event: Event, error: Exception) -> BadEvent:
    """Say what a database or a calendar did not take, unless that is said already."""
    if isinstance(error, BadEvent):
        error.facts["file"] = plain(str(path))
        return error
    return BadEvent(
        file=path,
        field="body",
        problem=f"cannot be applied: {error!r}",
        value=event.body,
        remedy="docs/schemas/event.json describes events.",
    )
