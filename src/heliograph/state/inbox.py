"""Taking in the inbox: read, apply once, write to the journal, only then remove.

A process that dies between two of these steps leaves the event in the inbox; its id keeps it from being
applied a second time.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from heliograph.drive import Drive
from heliograph.errors import BadEvent
from heliograph.files import remove_file
from heliograph.protocol.events import DECISIONS, EVENT_NAME, Event, event_path, read_event
from heliograph.protocol.quarantine import move_aside
from heliograph.state import journal
from heliograph.state.store import Store

log = logging.getLogger(__name__)
MOST_AT_ONCE = 500
_NEVER_AN_EVENT = (errno.EINVAL, errno.EFBIG, errno.ELOOP, errno.EISDIR, errno.ENXIO)
# Values that the schema lets pass and a database or a calendar does not; a full disk is none of these.
CANNOT_BE_APPLIED = (
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
        return sorted(path.name for path in self.drive.inbox.iterdir() if EVENT_NAME.fullmatch(path.stem))

    def read(self, now: datetime) -> list[Event]:
        """Read what waits, at most 500 events; put aside what has been no event for `settle_s`."""
        events: list[Event] = []
        for name in self.names()[:MOST_AT_ONCE]:
            path = self.drive.inbox / name
            try:
                event = read_event(path)
                refuse_decision(event, path)
                events.append(event)
                self._bad_since.pop(name, None)
            except BadEvent as error:
                self._put_aside_when_settled(path, str(error), now)
            except OSError as error:
                if error.errno in _NEVER_AN_EVENT:
                    told = f"{path}: (file): {error.strerror}. Events are plain files of at most 1 MiB."
                    self._put_aside_when_settled(path, told, now)
                else:
                    log.debug("event %s cannot be read now: %s", name, error)
        return events

    def remove(self, ids: Iterable[str]) -> None:
        """Remove events that the journal holds."""
        for event_id in ids:
            remove_file(event_path(self.drive, event_id))

    def put_aside(self, event_id: str, reason: str, now: datetime) -> None:
        """Move an event that cannot be used into the quarantine."""
        path = event_path(self.drive, event_id)
        if os.path.lexists(path):
            kept = move_aside(self.drive, path, f"{path}: {reason}", now)
            log.error("an event was put aside as %s: %s", kept, reason)

    def take(self, store: Store, now: datetime) -> list[Event]:
        """Apply and journal what waits, at most 500 events; return the new ones."""
        events = self.read(now)
        fresh, unusable = apply_each(store, events)
        journal.append(self.drive, store)
        for event_id, reason in unusable.items():
            self.put_aside(event_id, reason, now)
        self.remove(event.id for event in events if event.id not in unusable)
        return fresh

    def _put_aside_when_settled(self, path: Path, reason: str, now: datetime) -> None:
        since = self._bad_since.setdefault(path.name, now)
        if (now - since).total_seconds() >= self.settle_s:
            kept = move_aside(self.drive, path, reason, now)
            self._bad_since.pop(path.name, None)
            log.error("an event was put aside as %s: %s", kept, reason)


def refuse_decision(event: Event, path: Path) -> None:
    """Refuse an event that only the watcher may decide on; it records these itself. Raises BadEvent."""
    if isinstance(event.body, DECISIONS):
        raise BadEvent(
            file=path,
            field="body.kind",
            problem="is for the watcher to decide, who believes nobody who posts it",
            value=event.body.__struct_config__.tag,
            remedy="Ask for what you want: heliograph retry, heliograph cancel.",
        )


def apply_each(store: Store, events: Sequence[Event]) -> tuple[list[Event], dict[str, str]]:
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
            unusable[event.id] = f"cannot be applied: {error!r}"
    return fresh, unusable
