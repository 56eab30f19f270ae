"""The watcher: look, decide, act, tell; once a second, or as soon as the bell rings.

`tick(now)` is all of it and takes the time as a value; `run` only repeats it and sleeps. What it does on the
drive, its hands do (see `hands`), which may be in another process and may not answer now: then a pass does
what needs no drive, and concludes nothing.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from heliograph.config import WatcherConfig
from heliograph.drive import Drive
from heliograph.errors import DriveError, DriveUnavailable, LeaseHeld
from heliograph.files import remove_leftovers
from heliograph.mounts import MountWatch
from heliograph.protocol.events import AttemptConcluded, AttemptObserved, AttemptQueued
from heliograph.stage_settings import stage_settings
from heliograph.stages.stage import Stage
from heliograph.state.inbox import apply_each
from heliograph.state.store import Store
from heliograph.watcher.agenda import Agenda
from heliograph.watcher.bell import Bell
from heliograph.watcher.desk import SignalDesk
from heliograph.watcher.every import Every
from heliograph.watcher.facts import StageFacts
from heliograph.watcher.gather import Gatherer, OpenAttempt, Polls
from heliograph.watcher.guard import Guard
from heliograph.watcher.hands import Hands
from heliograph.watcher.memory import resident_mb
from heliograph.watcher.orders import Aside, Beat, Looked, LookOrder, Seen
from heliograph.watcher.plan import Action, Adopt, Cancel, Conclude, LookUp, Observe, Queue, Submit, plan
from heliograph.watcher.policy import one_line
from heliograph.watcher.submit import ExecutorByName, Submitter
from heliograph.watcher.telling import Teller

log = logging.getLogger(__name__)
LEASE_BEAT_S = 5.0
# Whoever was stopped for longer than this may have lost the lease meanwhile: it looks again before it acts.
STALE_AFTER_S = 10.0


class Setup(Struct, frozen=True, kw_only=True):
    """What a watcher is made of."""

    drive: Drive
    hands: Hands | Guard
    store: Store
    config: WatcherConfig
    stages: tuple[Stage, ...]
    executor: ExecutorByName
    executor_name: str
    """which executor gets new jobs"""
    state_folder: Path
    variables: Mapping[str, str]
    """environment variables of every job"""
    bell: Bell
    log_file: Path | None = None
    """the watcher's log on the local disk, of which the drive gets a copy"""
    python: str = sys.executable
    """the interpreter that jobs are run with"""


class Watcher:
    """Serves one drive. The caller holds the lease and has brought the store level with the journal."""

    def __init__(self, setup: Setup) -> None:
        self.drive, self.hands, self.store = setup.drive, setup.hands, setup.store
        self.config, self.bell = setup.config, setup.bell
        self.stages = {stage.name: stage for stage in setup.stages}
        self.executor, self.executor_name = setup.executor, setup.executor_name
        self.desk = SignalDesk(self.store)
        self.agenda = Agenda()
        self.gatherer = Gatherer(self.store, setup.stages, Polls(setup.executor))
        self.teller = Teller(
            self.hands,
            self.store,
            self.desk,
            publish_every_s=setup.config.publish_every_s,
            log_file=setup.log_file,
        )
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
        self._mount = MountWatch(self.drive.root)
        self._silent: set[str] = set()
        """experiments with a folder and no training signal yet: their training may be running"""
        self._last = Seen()
        self._looked_at = 0.0
        self._closed: set[str] = set()
        """ended attempts that no job can begin any more"""
        self._told_of: dict[str, str] = {}
        """experiments that cannot be looked at, and why: said once"""
        detection = setup.config.detection
        self._beat = Every(LEASE_BEAT_S)
        self._sweep = Every(detection.sweep_every_s)
        self._search = Every(detection.full_sweep_every_s)
        self._drive_was_well = True

    def start(self, now: datetime) -> None:
        """Clear up after an earlier watcher, doubt every attempt that it left without an id, and look at what
        it left undone."""
        for folder in (self.store.folder, self.submitter.scripts):
            remove_leftovers(folder)
        for one in self.gatherer.open_attempts():
            if one.job_id is None:
                self.submitter.doubt(one.token, one.executor, now)

    def tick(self, now: datetime) -> bool:
        """Do one pass; tell whether anything changed.

        Raises DriveUnavailable or OSError where the drive does not answer: what the scheduler tells of jobs
        that wait or run is recorded all the same.
        """
        before = dict(self.store.changes)
        attempts = self.gatherer.open_attempts()
        self.gatherer.poll(attempts, now)
        try:
            self._check_mount()
            self.teller.finish(now)
            order = self._order(attempts, now)
            seen = self.hands.look(order)
        except LeaseHeld:
            raise
        except (DriveError, OSError):
            for action in plan(self.gatherer.without_drive(attempts), self.config, now):
                self._act(action, now)
            raise
        self._last, self._looked_at = seen, time.monotonic()
        self._closed.update(order.to_close)
        asides = self._take_in(seen, now)
        self._decide(seen, now)
        changed = before != self.store.changes
        self.teller.tell(now, self._last.events, asides, self.submitter.to_show)
        self._watch_folders()
        if self.agenda.is_hurried:
            self.bell.ring()
        return changed

    def is_idle(self) -> bool:
        """Tell whether nothing waits in the inbox, settles, is open or will follow."""
        seen = self._last
        return not (
            seen.events
            or seen.settling
            or self.agenda.is_hurried
            or self.agenda.is_searching
            or self.teller.is_behind
            or self._sweep.is_wanted_soon
            or self._jobs_busy()
        )

    # look

    def _check_mount(self) -> None:
        if trouble := self._mount.trouble():
            raise DriveUnavailable(folder=self.drive.root, reason=trouble)

    def _order(self, attempts: list[OpenAttempt], now: datetime) -> LookOrder:
        in_flight: dict[str, dict[str, str]] = {}
        for one in attempts:
            if one.job_id is not None:
                in_flight.setdefault(one.experiment, {})[one.stage] = one.job_id
        beat = None
        if self._beat.is_due(now):
            calls = self.executor(self.executor_name).calls_last_hour
            beat = Beat(resident_mb(), calls)
            self._beat.done(now)
        return LookOrder(
            now=now,
            experiments=self.agenda.order(self._open()),
            in_flight=in_flight,
            known=self._known(self.agenda.to_search()),
            tokens=[one.token for one in attempts if one.job_id is None],
            to_close=[token for token in self.gatherer.superseded() if token not in self._closed],
            arrays={
                one.token: (one.stage, one.experiment, one.input_path)
                for one in attempts
                if one.job_id is None and stage_settings(self.config, one.stage, one.experiment).array
            },
            sweep=self._sweep.is_due(now),
            list_all=self._is_search_due(now),
            beat=beat,
        )

    def _open(self) -> set[str]:
        return self._busy() | self._silent | self._last.unsettled

    def _known(self, experiments: list[str]) -> dict[str, dict[str, str]]:
        """Return the content of each trigger that was accepted last of these experiments and had an attempt:
        where a watcher died between the two, the signal is as good as new."""
        known: dict[str, dict[str, str]] = {name: {} for name in experiments}
        if known:
            names = msgspec.json.encode(experiments).decode()
            for stage in self.stages.values():
                file_name, where = stage.trigger.file_name, stage.trigger.stage
                rows = self.store.rows(stage.database, "had_attempts", experiments=names)
                had = {(row["experiment_name"], row["signal_sha256"]) for row in rows}
                query = "accepted_signals_of"
                for row in self.store.rows(where, query, file_name=file_name, experiments=names):
                    if (row["experiment"], row["sha256"]) in had:
                        known[row["experiment"]][file_name] = row["sha256"]
        return known

    def sweep_soon(self) -> None:
        self._sweep.soon()

    def _take_in(self, seen: Seen, now: datetime) -> list[Aside]:
        """Record what is new; return what is to be put aside."""
        _, unusable = apply_each(self.drive, self.store, seen.events)
        self.teller.unusable |= unusable
        self.agenda.looked([*seen.looked, *seen.trouble], self._open())
        self.agenda.searched(seen.searched)
        self.agenda.announce(seen.news)
        named = {event.body.experiment for event in seen.events}
        self.agenda.announce(sorted(named - seen.looked.keys() - seen.trouble.keys()))
        asides: list[Aside] = []
        for experiment, looked in seen.looked.items():
            for sighting in looked.seen.values():
                if self.desk.accept(sighting, now):
                    self._silent.discard(experiment)
            asides += self.desk.asides(experiment, looked.broken)
        if self._sweep.is_due(now):
            self._sweep.done(now)
        if seen.experiments is not None:
            self._swept(seen.experiments, now)
            asides += self.desk.folder_asides(seen.hostile_folders)
        self._tell_of_trouble(seen.trouble)
        return asides

    def _swept(self, experiments: list[str], now: datetime) -> None:
        """Note which experiments exist: those without a signal are looked at often, all others rarely."""
        told = {row["experiment"] for row in self.store.rows("training", "experiments_with_signal")}
        silent = set(experiments) - told
        if silent - self._silent:
            self.bell.ring()
        self._silent = silent
        if self._is_search_due(now):
            self.agenda.search(experiments)
            self._search.done(now)

    def _is_search_due(self, now: datetime) -> bool:
        return self._search.is_due(now) and not self.agenda.is_searching

    def _tell_of_trouble(self, trouble: Mapping[str, str]) -> None:
        for experiment, why in trouble.items():
            if self._told_of.get(experiment) != why:
                self._told_of[experiment] = why
                log.error("this experiment cannot be looked at: %s", why, extra={"experiment": experiment})

    def _jobs_busy(self) -> set[str]:
        """Return the experiments with an attempt that is open or will be followed by another."""
        query = "experiments_with_open_work"
        rows = [row for stage in self.stages.values() for row in self.store.rows(stage.database, query)]
        return {row["experiment_name"] for row in rows}

    def _busy(self) -> set[str]:
        trainings = self.store.rows("training", "open_training_runs")
        return self._jobs_busy() | {row["experiment_name"] for row in trainings}

    # decide and act

    def _decide(self, seen: Seen, now: datetime) -> None:
        facts = [
            fact
            for experiment, looked in seen.looked.items()
            for fact in self._facts_alone(experiment, looked, seen, now)
        ]
        actions = plan(facts, self.config, now)
        self.submitter.look_up([one for one in actions if isinstance(one, LookUp)], now)
        for action in actions:
            if time.monotonic() - self._looked_at > STALE_AFTER_S:
                self.bell.ring()  # something took long; whether the lease is still ours is looked at first
                return
            self._act(action, now)

    def _facts_alone(self, experiment: str, looked: Looked, seen: Seen, now: datetime) -> list[StageFacts]:
        try:
            return self.gatherer.facts(experiment, looked, seen.claims, self.submitter.doubts, now)
        except Exception as error:  # noqa: BLE001 - a part of tick, for one experiment
            self._tell_of_trouble({experiment: repr(error)})
            return []

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
                self.submitter.submit(action, now, self._last.parts.get(action.attempt.token, ()))
            case Adopt():
                self.submitter.adopt(action, now)
            case Cancel():
                self.submitter.cancel(action, now)
            case LookUp():
                pass  # all at once, see _decide
            case Observe():
                self.store.record(AttemptObserved(**msgspec.structs.asdict(action)), now)
            case Conclude():
                self.store.record(AttemptConcluded(**msgspec.structs.asdict(action)), now)
                level = logging.INFO if action.status == "completed" else logging.ERROR
                told = action.status if action.reason is None else f"{action.status}: {action.reason}"
                context = {"experiment": action.experiment, "stage": action.stage, "token": action.token}
                log.log(level, "%s", one_line(told), extra=context)
                self.agenda.announce([action.experiment])  # it may have been trained again meanwhile

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
        self.agenda.announce([action.experiment])  # once the journal has it, it is submitted in the next pass

    # sleep and leave

    def _watch_folders(self) -> None:
        if self.bell.is_watching:
            silent = sorted(self._silent | self._last.unsettled)
            folders = [self.drive.inbox, self.drive.models]
            self.bell.watch([*folders, *(self.drive.model_folder(name) for name in silent)])

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
        self.teller.finish(now)
        self.teller.tell(now, [], [], self.submitter.to_show, leaving=True)
