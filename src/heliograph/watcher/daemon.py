"""The watcher: look, decide, act, tell; once a second, or as soon as the bell rings.

`tick(now)` is all of it and takes the time as a value; `run` only repeats it and sleeps.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from heliograph.config import WatcherConfig
from heliograph.drive import Drive
from heliograph.errors import DriveUnavailable, HeliographError, LeaseHeld
from heliograph.names import host_name
from heliograph.protocol.events import AttemptConcluded, AttemptObserved, AttemptQueued
from heliograph.stages.stage import Stage
from heliograph.state import journal
from heliograph.state.inbox import Inbox
from heliograph.state.lease import Lease
from heliograph.state.leftovers import remove_leftovers_of_state
from heliograph.state.publish import Publisher
from heliograph.state.store import Store
from heliograph.watcher.bell import Bell
from heliograph.watcher.desk import SignalDesk
from heliograph.watcher.gather import Gatherer, Open, Polls
from heliograph.watcher.look import Looker
from heliograph.watcher.plan import Action, Conclude, LookUp, Observe, Queue, Submit, plan
from heliograph.watcher.policy import one_line
from heliograph.watcher.submit import ExecutorByName, Submitter

log = logging.getLogger(__name__)
LEASE_BEAT_S = 5.0


class _Due(Struct):
    """When each of the things that are done now and then is due; None means now."""

    sweep: datetime | None = None
    full_sweep: datetime | None = None
    publish: datetime | None = None
    beat: datetime | None = None


def _is_due(moment: datetime | None, now: datetime) -> bool:
    return moment is None or now >= moment


class Setup(Struct, frozen=True, kw_only=True):
    """What a watcher is made of."""

    drive: Drive
    store: Store
    lease: Lease
    config: WatcherConfig
    stages: tuple[Stage, ...]
    executor: ExecutorByName
    executor_name: str
    """which executor gets new jobs"""
    state_folder: Path
    variables: Mapping[str, str]
    """environment variables of every job"""
    bell: Bell
    python: str = sys.executable
    """the interpreter that jobs are run with"""


class Watcher:
    """Serves one drive. The caller holds the lease and has brought the store level with the journal."""

    def __init__(self, setup: Setup) -> None:
        self.drive, self.store, self.lease = setup.drive, setup.store, setup.lease
        self.config, self.bell = setup.config, setup.bell
        self.drive_id = setup.drive.read_id()
        self.stages = {stage.name: stage for stage in setup.stages}
        self.executor, self.executor_name = setup.executor, setup.executor_name
        settle_s = setup.config.detection.settle_s
        self.inbox = Inbox(self.drive, settle_s)
        self.looker = Looker(self.drive, setup.stages, settle_s)
        self.desk = SignalDesk(self.drive, self.store)
        self.gatherer = Gatherer(self.store, setup.stages, self.looker, Polls(setup.executor))
        self.publisher = Publisher(self.drive, self.store, host=host_name())
        self.submitter = Submitter(
            self.drive,
            self.store,
            self.stages,
            self.config,
            setup.executor,
            scripts=setup.state_folder / "scripts",
            variables=setup.variables,
            python=setup.python,
        )
        self._open: set[str] = set()
        """experiments that are looked at in each pass"""
        self._silent: set[str] = set()
        """experiments with a folder and no training signal yet: their training may be running"""
        self._told: dict[str, str] = {}
        """experiments that cannot be looked at, and why: said once"""
        self._due = _Due()
        self._drive_was_well = True

    def start(self, now: datetime) -> None:
        """Clear up after an earlier watcher, doubt every attempt that it left without an id, and open all
        unfinished work."""
        remove_leftovers_of_state(self.drive, self.store.folder, self.submitter.scripts)
        for stage in self.stages.values():
            for row in self.store.rows(stage.database, "open_attempts"):
                if row["slurm_job_id"] is None:
                    self.submitter.doubt(row["token"], row["executor"], now)
        self._open |= self._busy()

    def tick(self, now: datetime) -> bool:
        """Do one pass; tell whether anything changed."""
        self._check_drive()
        self._beat(now)
        before = dict(self.store.changes)
        self._open |= {event.body.experiment for event in self.inbox.take(self.store, now)}
        self._sweep(now)
        looks = [self._look_alone(experiment, now) for experiment in sorted(self._open)]
        opened = [one for one in looks if one is not None]
        self.gatherer.poll(opened, now)
        for action in plan(self.gatherer.facts(opened, self.submitter.doubts, now), self.config, now):
            self._act(action, now)
        self._open = self._busy() | self._silent | self.looker.broken_experiments()
        journal.append(self.drive, self.store)
        changed = before != self.store.changes
        self._publish(now)
        self._watch_folders()
        return changed

    def is_idle(self, now: datetime) -> bool:
        """Tell whether nothing waits in the inbox, settles, is open or will follow."""
        return not (self.inbox.names() or self.looker.is_settling(now) or self._jobs_busy())

    # look

    def _check_drive(self) -> None:
        """An unmounted drive is an empty local folder: nothing is concluded from it or written to it."""
        try:
            if self.drive.read_id() != self.drive_id:
                raise DriveUnavailable(folder=self.drive.root, reason="another drive is mounted there")
        except OSError as error:
            raise DriveUnavailable(folder=self.drive.root, reason=str(error)) from None
        self.lease.check()

    def _beat(self, now: datetime) -> None:
        if _is_due(self._due.beat, now):
            calls = self.executor(self.executor_name).calls_last_hour
            self.lease.beat(now, memory_mb=resident_mb(), slurm_calls_last_hour=calls)
            self._due.beat = now + timedelta(seconds=LEASE_BEAT_S)

    def sweep_soon(self) -> None:
        self._due.sweep = None

    def _sweep(self, now: datetime) -> None:
        """Open what nobody announced: experiments without a signal often, all others rarely."""
        detection = self.config.detection
        if not _is_due(self._due.sweep, now):
            return
        names = set(self.looker.experiments())
        if _is_due(self._due.full_sweep, now):
            self._open |= names
            self._due.full_sweep = now + timedelta(seconds=detection.full_sweep_every_s)
        told = {row["experiment"] for row in self.store.rows("training", "experiments_with_signal")}
        self._silent = names - told
        self._open |= self._silent
        for folder in self.looker.hostile_folders():
            self.desk.quarantine_folder(folder, now)
        self._due.sweep = now + timedelta(seconds=detection.sweep_every_s)

    def _look_alone(self, experiment: str, now: datetime) -> Open | None:
        """Look at one experiment; what nobody foresaw there is told once, and does not stop the others."""
        try:
            return self._look(experiment, now)
        except Exception as error:
            if self._told.get(experiment) != repr(error):
                self._told[experiment] = repr(error)
                log.exception("this experiment cannot be looked at", extra={"experiment": experiment})
            return None

    def _look(self, experiment: str, now: datetime) -> Open:
        """Look at an experiment's signals; record those that are new, put aside those that stay broken."""
        seen, broken = self.looker.look(experiment, now)
        for sighting in seen.values():
            if self.desk.accept(sighting, now):
                self._silent.discard(experiment)
        for one in broken:
            self.desk.quarantine(one, experiment, now)
        return Open(experiment, seen, self.gatherer.attempts(experiment))

    def _jobs_busy(self) -> set[str]:
        """Return the experiments with an attempt that is open or will be followed by another."""
        query = "experiments_with_open_work"
        rows = [row for stage in self.stages.values() for row in self.store.rows(stage.database, query)]
        return {row["experiment_name"] for row in rows}

    def _busy(self) -> set[str]:
        trainings = self.store.rows("training", "open_training_runs")
        return self._jobs_busy() | {row["experiment_name"] for row in trainings}

    # act

    def _act(self, action: Action, now: datetime) -> None:
        """Carry one action out. What goes wrong with one does not stop the others."""
        try:
            self._carry_out(action, now)
        except Exception:  # a part of tick, for one action
            context = {"experiment": action.experiment, "stage": action.stage}
            log.exception("%s failed; it is tried again", type(action).__name__, extra=context)

    def _carry_out(self, action: Action, now: datetime) -> None:
        match action:
            case Queue():
                self._queue(action, now)
            case Submit():
                self.submitter.submit(action, now)
            case LookUp():
                self.submitter.look_up(action, now)
            case Observe():
                self.store.record(AttemptObserved(**msgspec.structs.asdict(action)), now)
            case Conclude():
                self.store.record(AttemptConcluded(**msgspec.structs.asdict(action)), now)
                level = logging.INFO if action.status == "completed" else logging.ERROR
                told = action.status if action.reason is None else f"{action.status}: {action.reason}"
                context = {"experiment": action.experiment, "stage": action.stage, "token": action.token}
                log.log(level, "%s", one_line(told), extra=context)

    def _queue(self, action: Queue, now: datetime) -> None:
        self.store.record(
            AttemptQueued(
                experiment=action.experiment,
                stage=action.stage,
                token=action.token,
                attempt=action.number,
                signal_sha256=action.signal_sha256,
                executor=self.executor_name,
                resources=msgspec.to_builtins(action.resources),
                not_before=action.not_before,
                parent_id=action.parent_id,
                input_path=action.input_path,
                metadata={"input_path": action.input_path},
            ),
            now,
        )
        self.bell.ring()  # what is queued now is submitted in the next pass, at once

    # tell

    def _publish(self, now: datetime) -> None:
        if _is_due(self._due.publish, now) and self.publisher.publish(now):
            self._due.publish = now + timedelta(seconds=self.config.publish_every_s)

    def _watch_folders(self) -> None:
        folders = [self.drive.inbox, self.drive.models]
        for experiment in self._open:
            folders += self.looker.folders(experiment)
        self.bell.watch(folders)

    def drive_is_well(self) -> None:
        if not self._drive_was_well:
            log.warning("the drive answers again")
        self._drive_was_well = True

    def drive_is_ill(self, error: Exception) -> None:
        """Say once that a pass could not be done; it is tried again, and nothing is concluded."""
        if self._drive_was_well:
            log.error("nothing can be done now, it is tried again: %s", error)
        self._drive_was_well = False

    def finish(self, now: datetime) -> None:
        """Write down and publish everything before leaving."""
        journal.append(self.drive, self.store)
        self.publisher.publish(now)


def resident_mb() -> float:
    """Return this process's resident memory in MB, as Linux tells it."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def run(
    watcher: Watcher,
    clock: Callable[[], datetime],
    should_stop: Callable[[], bool],
    *,
    until_idle: bool = False,
) -> None:
    """Repeat `tick` until told to stop (or until idle). What a pass raises is logged, and tried again."""
    watcher.start(clock())
    while not should_stop():
        try:
            changed = watcher.tick(clock())
            watcher.drive_is_well()
            if until_idle and not changed and watcher.is_idle(clock()):
                return
        except LeaseHeld:
            raise
        except (HeliographError, OSError) as error:
            watcher.drive_is_ill(error)
        except Exception:
            log.exception("a pass failed; it is tried again")
        if watcher.bell.sleep(watcher.config.detection.inbox_every_s):
            watcher.sweep_soon()
