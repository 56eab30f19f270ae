"""Gathering the facts: what databases, drive and executors tell of the experiments with open work."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct, field

from heliograph.durable import durable
from heliograph.errors import PollFailed
from heliograph.executors.base import JobReport
from heliograph.stages.stage import Stage
from heliograph.state.store import Store
from heliograph.watcher.facts import Attempt, Evidence, StageFacts, Trigger, attempt_from_row
from heliograph.watcher.look import Looker, Sighting
from heliograph.watcher.submit import Doubt, ExecutorByName

log = logging.getLogger(__name__)


class _Polled(Struct):
    """What an executor said last."""

    at: datetime
    reports: dict[str, JobReport]
    asked: frozenset[str]


class Polls:
    """Asks executors, in one batched call each, as often as each likes. A failed poll changes nothing."""

    def __init__(self, executor: ExecutorByName) -> None:
        self._executor = executor
        self._last: dict[str, _Polled] = {}
        self._missing_since: dict[str, datetime] = {}

    def refresh(self, in_flight: Mapping[str, Mapping[str, str]], now: datetime) -> None:
        """Poll each executor whose turn it is and that has jobs in flight, {executor: {job id: job name}}."""
        for name, jobs in in_flight.items():
            executor, last = self._executor(name), self._last.get(name)
            if not jobs or (last and now - last.at < timedelta(seconds=executor.poll_every_s)):
                continue
            try:
                with durable("poll", name):
                    reports = executor.poll(jobs)
            except PollFailed as error:
                log.warning("%s", error)
                self._last[name] = _Polled(now, {}, frozenset())
                continue
            self._last[name] = _Polled(now, reports, frozenset(jobs))
            for job_id in jobs:
                if job_id in reports:
                    self._missing_since.pop(job_id, None)
                else:
                    self._missing_since.setdefault(job_id, now)

    def report(self, executor: str, job_id: str) -> JobReport | None:
        """Return what the executor said last of a job; None if it did not list it or was not asked."""
        last = self._last.get(executor)
        return last.reports.get(job_id) if last else None

    def missing_since(self, job_id: str) -> datetime | None:
        return self._missing_since.get(job_id)


class Open(Struct):
    """One experiment with open work, as gathered in this tick."""

    experiment: str
    seen: dict[str, Sighting] = field(default_factory=dict)
    attempts: dict[str, Attempt | None] = field(default_factory=dict)


class Gatherer:
    """Makes the facts that `plan` decides on."""

    def __init__(self, store: Store, stages: tuple[Stage, ...], looker: Looker, polls: Polls) -> None:
        self.store = store
        self.stages = stages
        self.looker = looker
        self.polls = polls
        self._over_since: dict[str, datetime] = {}

    def attempts(self, experiment: str) -> dict[str, Attempt | None]:
        """Return the latest attempt at each stage of an experiment."""
        found: dict[str, Attempt | None] = {}
        for stage in self.stages:
            row = self.store.row(stage.database, "last_attempt", experiment=experiment)
            found[stage.name] = attempt_from_row(row) if row else None
        return found

    def poll(self, opened: list[Open], now: datetime) -> None:
        """Ask the executors of all jobs in flight, in one call each."""
        in_flight: dict[str, dict[str, str]] = {}
        for one in opened:
            for stage in self.stages:
                attempt = one.attempts[stage.name]
                if attempt and not attempt.is_over and attempt.job_id:
                    jobs = in_flight.setdefault(attempt.executor, {})
                    jobs[attempt.job_id] = stage.job_name(one.experiment, attempt.token)
        self.polls.refresh(in_flight, now)

    def facts(self, opened: list[Open], doubts: Mapping[str, Doubt], now: datetime) -> list[StageFacts]:
        """Return the facts of every stage of the given experiments."""
        return [self._stage_facts(one, stage, doubts, now) for one in opened for stage in self.stages]

    def _stage_facts(self, one: Open, stage: Stage, doubts: Mapping[str, Doubt], now: datetime) -> StageFacts:
        attempt = one.attempts[stage.name]
        doubt = doubts.get(attempt.token) if attempt else None
        return StageFacts(
            experiment=one.experiment,
            stage=stage.name,
            trigger=self._trigger(one, stage),
            attempt=attempt,
            evidence=self._evidence(one, stage, attempt, now),
            look_up_at=doubt.look_up_at if doubt else None,
            look_up_until=doubt.until if doubt else None,
        )

    def _trigger(self, one: Open, stage: Stage) -> Trigger | None:
        sighting = one.seen.get(stage.trigger.file_name)
        if sighting is None or not sighting.input_path:
            return None
        digest = sighting.signal.sha256
        row = self.store.row(stage.database, "attempts_of_signal", experiment=one.experiment, sha256=digest)
        return Trigger(
            sha256=digest,
            input_path=sighting.input_path,
            attempts_so_far=row["attempts"] if row else 0,
            parent_id=self._parent_id(one.experiment, stage),
        )

    def _parent_id(self, experiment: str, stage: Stage) -> int | None:
        """Return the row that the trigger came from: the training run, or the latest job before."""
        before = stage.trigger.stage
        query = "training_run" if before == "training" else "last_attempt"
        row = self.store.row(before, query, experiment=experiment)
        return row["id"] if row else None

    def _evidence(self, one: Open, stage: Stage, attempt: Attempt | None, now: datetime) -> Evidence:
        if attempt is None or attempt.is_over or attempt.job_id is None:
            return Evidence()
        report = self.polls.report(attempt.executor, attempt.job_id)
        has_done, problem = self.looker.evidence(stage, attempt.job_id, one.seen)
        over = attempt.exit_code is not None or (report is not None and report.state.is_over)
        since = self._over_since.setdefault(attempt.token, now) if over else None
        return Evidence(
            report=report,
            missing_since=self.polls.missing_since(attempt.job_id),
            over_since=since,
            has_done_signal=has_done,
            problem=problem,
        )
