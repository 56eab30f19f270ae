"""Taking in the inbox: read, apply once, write to the journal, only then remove.

A process that dies between two of these steps leaves the event in the inbox; its id keeps it from being
applied a second time.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from heliograph.drive import Drive
from heliograph.errors import BadEvent, plain
from heliograph.files import LASTING, remove_file
from heliograph.protocol.events import Event, event_path
from heliograph.protocol.quarantine import move_aside
from heliograph.state import journal
from heliograph.state.posted import read_posted
from heliograph.state.store import Store

log = logging.getLogger(__name__)
MOST_AT_ONCE = 500
MOST_BYTES_AT_ONCE = 8 << 20
# Values that the schema lets pass and a database or a calendar does not; a full disk is none of these.
CANNOT_BE_APPLIED = (
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

    def read(self, now: datetime) -> list[Event]:
        """Read the oldest events that can be read, at most 500 or 8 MiB; put aside what has been none for
        `settle_s`."""
        events: list[Event] = []
        bytes_read = 0
        for name in self.names():
            if len(events) >= MOST_AT_ONCE or bytes_read >= MOST_BYTES_AT_ONCE:
                break
            path = self.drive.inbox / name
            try:
                event, size = read_posted(path)
                events.append(event)
                bytes_read += size
                self._bad_since.pop(name, None)
            except BadEvent as error:
                self._put_aside_when_settled(path, error, now)
            except OSError as error:
                if error.errno in LASTING:
                    self._put_aside_when_settled(path, _no_file(path, error), now)
                else:
                    log.debug("event %s cannot be read now: %s", plain(name), error.strerror)
        return events

    def remove(self, ids: Iterable[str]) -> None:
        """Remove events that the journal holds."""
        for event_id in ids:
            remove_file(event_path(self.drive, event_id))

    def put_aside(self, event_id: str, reason: str, now: datetime) -> None:
        """Move an event that cannot be used into the quarantine."""
        path = event_path(self.drive, event_id)
        if os.path.lexists(path):
            self._put_aside(path, reason, now)

    def take(self, store: Store, now: datetime, term: int) -> list[Event]:
        """Apply and journal what waits, as much as `read` reads, for the lease of that term; return the new
        ones."""
        events = self.read(now)
        fresh, unusable = apply_each(self.drive, store, events)
        journal.append(self.drive, store, term)
        for event_id, reason in unusable.items():
            self.put_aside(event_id, reason, now)
        self.remove(event.id for event in events if event.id not in unusable)
        return fresh

    def _put_aside_when_settled(self, path: Path, error: BadEvent, now: datetime) -> None:
        since = self._bad_since.setdefault(path.name, now)
        if (now - since).total_seconds() >= self.settle_s:
            self._put_aside(path, str(error), now)

    def _put_aside(self, path: Path, reason: str, now: datetime) -> None:
        kept = move_aside(self.drive, path, reason, now)
        self._bad_since.pop(path.name, None)
        log.error("an event was put aside as %s: %s", kept, reason)


def apply_each(drive: Drive, store: Store, events: Sequence[Event]) -> tuple[list[Event], dict[str, str]]:
    """Apply events all at once; where one of them cannot be applied, one by one.

    Returns those that are new, and the reason of each that cannot be applied, by its id.
    """
    unusable: dict[str, str] = {}
    if not events:
        return [], unusable
    try:
        return store.apply(events), unusable
    except CANNOT_BE_APPLIED:
        fresh: list[Event] = []
    for event in events:
        try:
            fresh += store.apply([event])
        except CANNOT_BE_APPLIED as error:
            unusable[event.id] = str(_explain(event_path(drive, event.id), event, error))
    return fresh, unusable


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
