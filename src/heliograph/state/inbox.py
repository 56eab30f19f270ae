"""Taking in the inbox: read, apply once, write to the journal, only then remove.

A process that dies between two of these steps leaves the event in the inbox; its id keeps it from being
applied a second time.
"""

from __future__ import annotations

import errno
import logging
from datetime import datetime
from pathlib import Path

from heliograph.drive import Drive
from heliograph.durable import durable
from heliograph.errors import BadEvent
from heliograph.protocol.events import EVENT_NAME, Event, read_event
from heliograph.protocol.quarantine import move_aside
from heliograph.state import journal
from heliograph.state.store import Store

log = logging.getLogger(__name__)
MOST_AT_ONCE = 500
_NEVER_AN_EVENT = (errno.EINVAL, errno.EFBIG, errno.ELOOP, errno.EISDIR, errno.ENXIO)


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
        fresh = store.apply(events) if events else []
        journal.append(self.drive, store)
        for path in done:
            with durable("unlink", path):
                path.unlink(missing_ok=True)
            self._bad_since.pop(path.name, None)
        return fresh

    def _put_aside_when_settled(self, path: Path, reason: str, now: datetime) -> None:
        since = self._bad_since.setdefault(path.name, now)
        if (now - since).total_seconds() >= self.settle_s:
            kept = move_aside(self.drive, path, reason, now)
            self._bad_since.pop(path.name, None)
            log.error("an event was put aside as %s: %s", kept, reason)
