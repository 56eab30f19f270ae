"""Taking in the inbox: read, apply once, write to the journal, only then remove.

A process that dies between two of these steps leaves the event in the inbox; its id keeps it from being
applied a second time.
"""

from __future__ import annotations

import errno
import logging
import sqlite3
from datetime import datetime
from pathlib import Path

from heliograph.drive import Drive
from heliograph.errors import BadEvent
from heliograph.files import remove_file
from heliograph.protocol.events import EVENT_NAME, Event, read_event
from heliograph.protocol.quarantine import move_aside
from heliograph.state import journal
from heliograph.state.store import Store

log = logging.getLogger(__name__)
MOST_AT_ONCE = 500
_NEVER_AN_EVENT = (errno.EINVAL, errno.EFBIG, errno.ELOOP, errno.EISDIR, errno.ENXIO)
# Values that the schema lets pass and a database or a calendar does not; a full disk is none of these.
_CANNOT_BE_APPLIED = (
    ArithmeticError,
    LookupError,
    ValueError,
    TypeError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
)


class Inbox:
    """The inbox of a drive, with a memory of what could not be read yet."""

    def __init__(self, drive: Drive, settle_s: float) -> None:
        self.drive = drive
        self.settle_s = settle_s
        self._bad_since: dict[str, datetime] = {}

    def names(self) -> list[str]:
        """List the events that wait, oldest first as far as the hosts' clocks agree."""
        return sorted(p.name for p in self.drive.inbox.iterdir() if EVENT_NAME.fullmatch(p.stem))

    def take(self, store: Store, now: datetime) -> list[Event]:
        """Apply and journal what waits, at most 500 events; return the new ones."""
        events: list[Event] = []
        done: list[Path] = []
        for name in self.names()[:MOST_AT_ONCE]:
            path = self.drive.inbox / name
            try:
                events.append(read_event(path))
                done.append(path)
            except BadEvent as error:
                self._put_aside_when_settled(path, str(error), now)
            except OSError as error:
                if error.errno in _NEVER_AN_EVENT:
                    told = f"{path}: (file): {error.strerror}. Events are plain files of at most 1 MiB."
                    self._put_aside_when_settled(path, told, now)
                else:
                    log.debug("event %s cannot be read now: %s", name, error)
        fresh = self._apply(store, events, now) if events else []
        journal.append(self.drive, store)
        for path in done:
            remove_file(path)
            self._bad_since.pop(path.name, None)
        return fresh

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
                path = self.drive.inbox / f"{event.id}.json"
                kept = move_aside(self.drive, path, f"{path}: cannot be applied: {error!r}", now)
                log.warning("an event was put aside as %s: it cannot be applied: %r", kept, error)
        return fresh

    def _put_aside_when_settled(self, path: Path, reason: str, now: datetime) -> None:
        since = self._bad_since.setdefault(path.name, now)
        if (now - since).total_seconds() >= self.settle_s:
            kept = move_aside(self.drive, path, reason, now)
            self._bad_since.pop(path.name, None)
            log.error("an event was put aside as %s: %s", kept, reason)
