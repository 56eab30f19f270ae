"""The outbox: events on their way to the drive. What the drive does not take now waits on the local disk."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from heliograph.drive import Drive
from heliograph.errors import DriveError
from heliograph.files import make_folder, remove_file, write_atomic
from heliograph.protocol.events import Body, Event, encode_event, event_path, make_event


class Outbox:
    """Posts events to the drive's inbox; what the drive does not take waits in a local folder.

    `post` never raises OSError while the local folder takes files. `deliver` brings what waits.
    """

    def __init__(self, drive: Drive, spool: Path) -> None:
        self.drive = drive
        self.spool = spool

    def post(self, body: Body, now: datetime | None = None) -> Event:
        """Post one event: to the inbox, else to the spool."""
        event = make_event(body, now)
        raw = encode_event(event)
        try:
            self.drive.read_id()  # an unmounted drive is an empty local folder: never write into it
            write_atomic(event_path(self.drive, event.id), raw)
        except (OSError, DriveError):
            make_folder(self.spool)
            write_atomic(self.spool / f"{event.id}.json", raw)
        return event

    def waiting(self) -> list[Path]:
        """List the events that wait in the spool, oldest first."""
        return sorted(self.spool.glob("[0-9]*.json"))

    def deliver(self) -> int:
        """Bring waiting events to the inbox, oldest first; return how many waited. Raises OSError on the
        first that the drive does not take; the rest goes on waiting. Several processes may share a spool."""
        waiting = self.waiting()
        if waiting:
            self.drive.read_id()
        for path in waiting:
            try:
                raw = path.read_bytes()
            except FileNotFoundError:
                continue  # another process has brought it; brought twice, it counts once
            write_atomic(self.drive.inbox / path.name, raw)
            remove_file(path)
        return len(waiting)
