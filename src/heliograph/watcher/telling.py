"""Telling: what was decided goes to the drive, and nothing is forgotten until it is there."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from heliograph.protocol.events import Event
from heliograph.state import journal
from heliograph.state.publish import Changes, Snapshot, make_snapshot
from heliograph.state.store import Store
from heliograph.watcher.desk import SignalDesk
from heliograph.watcher.every import Every
from heliograph.watcher.guard import Guard
from heliograph.watcher.hands import Hands
from heliograph.watcher.log_copy import LogCopy
from heliograph.watcher.orders import Aside, TellOrder, Told

log = logging.getLogger(__name__)
# Publishing copies whole databases: however large they are, it takes at most this share of the time.
SHARE_FOR_PUBLISHING = 0.1


class _Publication(Struct):
    """Snapshots on their way to the drive."""

    changes: dict[str, int]
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
        self._changes = Changes(store)
        self._publish: Every | None = None
        self._publication: _Publication | None = None
        self._order: TellOrder | None = None
        self._log = LogCopy(log_file) if log_file else None
        self._trouble: list[str] = []

    @property
    def is_behind(self) -> bool:
        """Tell whether something still has to be written, published databases included."""
        return self._order is not None or bool(self._changes.stages())

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
            log=self._log.lines() if self._log else b"",
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
        if self._log and told.log_bytes:
            self._log.taken(told.log_bytes)
        if told.trouble != self._trouble:
            for trouble in told.trouble:
                log.error("what people read could not be written, it is tried again: %s", trouble)
            self._trouble = told.trouble

    # databases

    def _snapshots(self, now: datetime, *, leaving: bool) -> list[Snapshot]:
        """Return copies of the databases that changed, if it is time to publish them."""
        if self._publish is None:  # a start has more urgent things to do
            self._publish = Every(self._publish_every_s, first_at=now)
        is_due = leaving or self._publish.is_due(now)
        changed = self._changes.stages()
        if not changed or not is_due:
            return []
        changes = {stage: self.store.changes[stage] for stage in changed}
        self._publication = _Publication(changes, time.monotonic())
        return [make_snapshot(self.store, stage) for stage in changed]

    def _note_published(self, told: Told, now: datetime) -> None:
        if self._publication is None:
            return
        publication, self._publication = self._publication, None
        took_s = time.monotonic() - publication.began
        self._changes.note({stage: publication.changes[stage] for stage in told.published})
        wait_s = max(self._publish_every_s, took_s / SHARE_FOR_PUBLISHING)
        self._publish = Every(wait_s, first_at=now)
