"""The watcher's hands: all that it does on the drive, in one place.

`heliograph watch` has them in a process of their own (see `guard`), because a call on a dead network drive
may hang for minutes and cannot be ended. Once it runs, nothing else in the watcher touches the drive.
"""

from __future__ import annotations

import logging
import os
import time
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from heliograph.drive import Drive
from heliograph.durable import durable
from heliograph.errors import DriveUnavailable
from heliograph.files import write_atomic
from heliograph.protocol.outbox import Outbox
from heliograph.protocol.quarantine import keep_aside
from heliograph.runner.claims import close_claim, read_claim
from heliograph.stages.render import parts_of
from heliograph.stages.stage import Stage
from heliograph.state import journal
from heliograph.state.inbox import MOST_AT_ONCE, Inbox
from heliograph.state.lease import Lease, Owner
from heliograph.state.leftovers import remove_leftovers_of_state
from heliograph.state.publish import Pointer, put_snapshot, restore_pointer
from heliograph.watcher.look import Looker
from heliograph.watcher.orders import Looked, LookOrder, Seen, TellOrder, Told

log = logging.getLogger(__name__)


class HandsSetup(Struct, frozen=True, kw_only=True):
    """What a pair of hands is made of."""

    root: str
    drive_id: str
    stages: tuple[str, ...]
    settle_s: float
    owner: Owner
    spool: str
    """where events of this host wait that the drive did not take"""


class Hands:
    """Reads and writes the drive for the watcher that holds the lease."""

    def __init__(self, setup: HandsSetup, stages: tuple[Stage, ...]) -> None:
        self.drive = Drive(setup.root)
        self.drive_id = setup.drive_id
        self.stages = stages
        self.inbox = Inbox(self.drive, setup.settle_s)
        self.looker = Looker(self.drive, stages, setup.settle_s)
        self.lease = Lease(self.drive, setup.owner)
        self.outbox = Outbox(self.drive, Path(setup.spool))
        self._pointers: dict[str, Pointer] = {}
        """what was published under this lease"""

    def take_lease(self, now: datetime, wait_s: float) -> int:
        """Take the lease, and clear up after those who had it before and died; return its term.

        Raises LeaseHeld while somebody alive has it.
        """
        self.lease.take(now, wait_s=wait_s)
        remove_leftovers_of_state(self.drive)
        return self.lease.term

    def keep_lease(self, term: int) -> None:
        """Go on under the lease that hands before these took for the same watcher."""
        self.lease.term = term

    def release_lease(self) -> None:
        self.lease.release()

    def look(self, order: LookOrder) -> Seen:
        """Read everything that the watcher decides on."""
        began = time.monotonic()
        self._check(order)
        for token in order.to_close:
            close_claim(self.drive, token)
        seen = Seen()
        seen.events = self.inbox.read(order.now)
        seen.waiting = len(seen.events) >= MOST_AT_ONCE
        announced = [event.body.experiment for event in seen.events]
        wanted = dict.fromkeys([*announced, *order.experiments])
        for experiment in wanted:
            if seen.looked and time.monotonic() - began > order.budget_s:
                break
            self._look_at(experiment, order, seen)
        self._search(order, seen, began)
        seen.unsettled, seen.settling = self.looker.unsettled(), self.looker.is_settling(order.now)
        claims = ((token, read_claim(self.drive, token)) for token in order.tokens)
        seen.claims = {token: job_id for token, job_id in claims if job_id is not None}
        by_name = {stage.name: stage for stage in self.stages}
        for token, (stage, experiment, input_path) in order.arrays.items():
            seen.parts[token] = parts_of(by_name[stage], self.drive, experiment, input_path)
        if order.sweep and (self.looker.may_have_changed() or order.list_all):
            seen.experiments, seen.hostile_folders = self.looker.list_models()
        seen.took_s = time.monotonic() - began
        return seen

    def _look_at(self, experiment: str, order: LookOrder, seen: Seen) -> None:
        """Look at one experiment; what nobody foresaw there does not stop the others."""
        try:
            signals, broken = self.looker.look(experiment, order.now)
            jobs = order.in_flight.get(experiment, {})
            evidence = {
                stage.name: self.looker.evidence(stage, jobs[stage.name], signals)
                for stage in self.stages
                if stage.name in jobs
            }
            seen.looked[experiment] = Looked(seen=signals, broken=broken, evidence=evidence)
        except Exception as error:
            seen.trouble[experiment] = repr(error)
            log.debug("%s cannot be looked at", experiment, exc_info=True)

    def _search(self, order: LookOrder, seen: Seen, began: float) -> None:
        """Look whether finished experiments have a signal that nobody announced."""
        for experiment, known in order.known.items():
            if seen.searched and time.monotonic() - began > order.budget_s:
                break
            seen.searched.append(experiment)
            if self.looker.has_news(experiment, known):
                seen.news.append(experiment)

    def _check(self, order: LookOrder) -> None:
        self._check_drive()
        self.lease.check()
        if order.beat is not None:
            beat = order.beat
            self.lease.beat(
                order.now, memory_mb=beat.memory_mb, slurm_calls_last_hour=beat.slurm_calls_last_hour
            )
            self._now_and_then()

    def _now_and_then(self) -> None:
        """Bring what jobs of this host could not deliver; put right what a watcher published that was frozen
        in the middle and thawed after it had lost the lease."""
        self.outbox.deliver()
        for stage, pointer in self._pointers.items():
            restore_pointer(self.drive, stage, pointer)

    def _check_drive(self) -> None:
        """An unmounted drive is an empty local folder: nothing is concluded from it or written to it."""
        try:
            if self.drive.read_id() != self.drive_id:
                raise DriveUnavailable(folder=self.drive.root, reason="another drive is mounted there")
        except OSError as error:
            raise DriveUnavailable(folder=self.drive.root, reason=str(error)) from None

    def tell(self, order: TellOrder) -> Told:
        """Write what was decided, the journal first. Raises OSError where the drive does not take what the
        truth depends on; what only people read is told as trouble instead."""
        self._check_drive()
        self.lease.check()
        told = Told()
        for batch in order.journal:
            journal.write(self.drive, batch, self.lease.term)
        self.lease.check()  # whoever was frozen in the middle goes no further
        for event_id, reason in order.unusable.items():
            self.inbox.put_aside(event_id, reason, order.now)
        self.inbox.remove(order.taken)
        for one in order.asides:
            entry = keep_aside(self.drive, one.path, one.raw, one.sha256, one.reason, order.now)
            told.kept_as.append(entry)
        self._tell_people(order, told)
        return told

    def _tell_people(self, order: TellOrder, told: Told) -> None:
        try:
            for name, content in order.scripts.items():
                write_atomic(self.drive.scripts / name, content, mode=0o755)
            for snapshot in order.snapshots:
                self._pointers[snapshot.stage] = put_snapshot(
                    self.drive,
                    snapshot,
                    host=self.lease.owner.host,
                    now=order.now,
                    term=self.lease.term,
                    check=self.lease.check,
                )
                told.published.append(snapshot.stage)
            told.log_bytes = self._append_log(order.log)
        except OSError as error:
            told.trouble.append(str(error))

    def _append_log(self, lines: bytes) -> int:
        """Append to the watcher's log on the drive, opened anew: a file held open breaks for ever when a
        network drive comes back. Returns how many bytes the drive took."""
        if not lines:
            return 0
        with durable("log", self.drive.watcher_log):
            handle = os.open(self.drive.watcher_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                return os.write(handle, lines)
            finally:
                os.close(handle)
