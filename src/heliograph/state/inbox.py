"""Taking in the inbox: read, apply once, write to the journal, only then remove.

A process that dies between two of these steps leaves the event in the inbox; its id keeps it from being
applied a second time.
"""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

from heliograph.drive import Drive
from heliograph.durable import durable
from heliograph.errors import BadEvent
from heliograph.files import read_untrusted
from heliograph.protocol.events import EVENT_NAME, LARGEST_EVENT, Event, read_event
from heliograph.protocol.quarantine import keep_aside
from heliograph.state import journal
from heliograph.state.store import Store

log = logging.getLogger(__name__)
MOST_AT_ONCE = 500


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
                if self._has_settled(name, now):
                    self._put_aside(path, error, now)
            except OSError as error:
                log.info("event %s cannot be read now: %s", name, error)
        fresh = store.apply(events) if events else []
        journal.append(self.drive, store)
        for path in done:
            with durable("unlink", path):
                path.unlink(missing_ok=True)
            self._bad_since.pop(path.name, None)
        return fresh

    def _has_settled(self, name: str, now: datetime) -> bool:
        since = self._bad_since.setdefault(name, now)
        return (now - since).total_seconds() >= self.settle_s

    def _put_aside(self, path: Path, error: BadEvent, now: datetime) -> None:
        raw = read_untrusted(path, LARGEST_EVENT)
        kept = keep_aside(self.drive, path, raw, "event000", str(error), now)
        path.unlink(missing_ok=True)
        self._bad_since.pop(path.name, None)
        log.error("an event was put aside as %s: %s", kept, error)
