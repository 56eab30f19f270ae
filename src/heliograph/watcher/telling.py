"""Telling: what was decided goes to the drive, and nothing is forgotten until it is there."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct

from heliograph.protocol.events import Event
from heliograph.state import journal
from heliograph.state.databases import DATABASES
from heliograph.state.publish import Snapshot, make_snapshot
from heliograph.state.store import Store
from heliograph.watcher.desk import SignalDesk
from heliograph.watcher.guard import Guard
from heliograph.watcher.hands import Hands
from heliograph.watcher.orders import Aside, TellOrder, Told

log = logging.getLogger(__name__)
# Publishing copies whole databases: however large they are, it takes at most this share of the time.
SHARE_FOR_PUBLISHING = 0.1
_MOST_LOG = 1 << 18
_LOCAL_LOG = 4 << 20


class _Publication(Struct):
    """Snapshots on their way to the drive."""

    changes: dict[str, int]
    scratch: tempfile.TemporaryDirectory[str]
    began: float


class Teller:
    """Makes one order a pass, and repeats it until the drive has taken it."""

    def __init__(
        self,
        hands: Hands | Guard,
        store: Store,
        desk: SignalDesk,
        *,
        publish_every_s: float,
        log_file: Path | None,
    ) -> None:
        self.hands = hands
        self.store = store
        self.desk = desk
        self.unusable: dict[str, str] = {}
        """events that cannot be applied, and why"""
        self._publish_every_s = publish_every_s
        self._published: dict[str, int] = {}
        self._publish_at: datetime | None = None
        self._publication: _Publication | None = None
        self._order: TellOrder | None = None
        self._log_file = log_file
        self._offset_file = log_file and log_file.with_name(f"{log_file.name}.offset")
        self._log_offset = self._read_offset()
        self._trouble: list[str] = []

    @property
    def is_behind(self) -> bool:
        """Tell whether something still has to be written, published databases included."""
        return self._order is not None or bool(self._changed())

    def tell(
        self,
        now: datetime,
        events: Sequence[Event],
        asides: list[Aside],
        scripts: dict[str, bytes],
        *,
        leaving: bool = False,
    ) -> None:
        """Write everything that is decided; `events` leave the inbox, `scripts` is emptied.

        Raises DriveUnavailable or OSError where that is not done yet: `finish` goes on with it.
        """
        order = TellOrder(
            now=now,
            journal=journal.pending(self.store),
            taken=[event.id for event in events if event.id not in self.unusable],
            unusable=self.unusable,
            asides=asides,
            scripts=dict(scripts),
            snapshots=self._snapshots(now, leaving=leaving),
            log=self._log_lines(),
        )
        self.unusable = {}
        scripts.clear()
        if not order.is_empty():
            self._order = order
            self.finish(now)

    def finish(self, now: datetime) -> None:
        """Have the order that is under way written to its end, if there is one."""
        if self._order is None:
            return
        told = self.hands.tell(self._order)
        order, self._order = self._order, None
        for batch in order.journal:
            self.store.mark_journaled(batch.stage, batch.last)
        self.desk.put_aside(order.asides, told.kept_as, now)
        self._note_published(told, now)
        self._note_log(told)
        if told.trouble != self._trouble:
            for trouble in told.trouble:
                log.error("what people read could not be written, it is tried again: %s", trouble)
            self._trouble = told.trouble

    # databases

    def _changed(self) -> list[str]:
        return [stage for stage in DATABASES if self._published.get(stage) != self.store.changes[stage]]

    def _snapshots(self, now: datetime, *, leaving: bool) -> list[Snapshot]:
        """Return copies of the databases that changed, if it is time to publish them."""
        is_due = leaving or self._publish_at is None or now >= self._publish_at
        changed = self._changed()
        if not changed or not is_due:
            return []
        scratch = tempfile.TemporaryDirectory(dir=self.store.folder, ignore_cleanup_errors=True)
        changes = {stage: self.store.changes[stage] for stage in changed}
        self._publication = _Publication(changes, scratch, time.monotonic())
        return [make_snapshot(self.store, stage, Path(scratch.name)) for stage in changed]

    def _note_published(self, told: Told, now: datetime) -> None:
        if self._publication is None:
            return
        publication, self._publication = self._publication, None
        took_s = time.monotonic() - publication.began
        publication.scratch.cleanup()
        self._published |= {stage: publication.changes[stage] for stage in told.published}
        wait_s = max(self._publish_every_s, took_s / SHARE_FOR_PUBLISHING)
        self._publish_at = now + timedelta(seconds=wait_s)

    # the log

    def _read_offset(self) -> int:
        """Return up to where the drive has the local log: an earlier watcher may have died while the drive
        was away."""
        if self._log_file is None or self._offset_file is None:
            return 0
        try:
            offset = int(self._offset_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0
        return offset if offset <= self._log_file.stat().st_size else 0

    def _log_lines(self) -> bytes:
        """Return lines of the local log that the drive does not have yet."""
        if self._log_file is None:
            return b""
        with self._log_file.open("rb") as file:
            file.seek(self._log_offset)
            lines = file.read(_MOST_LOG)
        return lines[: lines.rfind(b"\n") + 1]

    def _note_log(self, told: Told) -> None:
        if self._log_file is None or self._offset_file is None or not told.log_bytes:
            return
        self._log_offset += told.log_bytes
        if self._log_offset >= _LOCAL_LOG and self._log_file.stat().st_size == self._log_offset:
            with self._log_file.open("rb+") as file:  # no other thread logs
                file.truncate(0)
            self._log_offset = 0
        self._offset_file.write_text(str(self._log_offset), encoding="ascii")
