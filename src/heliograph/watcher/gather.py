"""Gathering the facts: what databases, drive and executors tell of the experiments that were looked at."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from heliograph.durable import durable
from heliograph.errors import PollFailed
from heliograph.executors.base import JobReport, JobState
from heliograph.stages.stage import Stage
from heliograph.state.store import Store
from heliograph.watcher.facts import Attempt, Evidence, StageFacts, Trigger, attempt_from_row
from heliograph.watcher.look import Sighting
from heliograph.watcher.orders import Looked
from heliograph.watcher.submit import Doubt, ExecutorByName

log = logging.getLogger(__name__)


class OpenAttempt(Struct, frozen=True):
    """An attempt that has not ended, as far as each pass needs it."""

    experiment: str
    stage: str
    token: str
    executor: str
    job_id: str | None
    input_path: str


class _Polled(Struct):
    """What an executor said last."""

    at: datetime
    reports: dict[str, JobReport]


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
            wait = timedelta(seconds=executor.poll_every_s)
            if last is not None and abs(now - last.at) < wait:  # a clock that was set back waits no longer
                continue
            try:
                with durable("poll", name):
                    reports = executor.poll(jobs)
            except PollFailed as error:
                log.warning("%s", error)
                self._last[name] = _Polled(now, {})
                continue
            self._last[name] = _Polled(now, reports)
            for job_id in jobs:
                if job_id in reports:
                    self._missing_since.pop(job_id, None)
                else:
                    self._missing_since.setdefault(job_id, now)
        open_ids = {job_id for jobs in in_flight.values() for job_id in jobs}
        self._missing_since = {k: at for k, at in self._missing_since.items() if k in open_ids}

    def report(self, executor: str, job_id: str) -> JobReport | None:
        """Return what the executor said last of a job; None if it did not list it or was not asked."""
        last = self._last.get(executor)
        return last.reports.get(job_id) if last else None

    def missing_since(self, job_id: str) -> datetime | None:
        return self._missing_since.get(job_id)


class Gatherer:
    """Makes the facts that `plan` decides on."""

    def __init__(self, store: Store, stages: tuple[Stage, ...], polls: Polls) -> None:
        self.store = store
        self.stages = stages
        self.polls = polls
        self._over_since: dict[str, datetime] = {}

    def open_attempts(self) -> list[OpenAttempt]:
        """Return every attempt that has not ended."""
        return [
            OpenAttempt(
                row["experiment_name"],
                stage.name,
                row["token"],
                row["executor"],
                row["slurm_job_id"],
                row["input_path"] or "",
            )
            for stage in self.stages
            for row in self.store.rows(stage.database, "open_work")
        ]

    def superseded(self) -> list[str]:
        """Return the attempts that ended and are followed by one that is not submitted yet."""
        return [
            str(row["token"])
            for stage in self.stages
            for row in self.store.rows(stage.database, "superseded_attempts")
        ]

    def poll(self, attempts: Iterable[OpenAttempt], now: datetime) -> None:
        """Ask the executors of all jobs in flight, in one call each."""
        by_name = {stage.name: stage for stage in self.stages}
        in_flight: dict[str, dict[str, str]] = {}
        for one in attempts:
            if one.job_id is not None:
                jobs = in_flight.setdefault(one.executor, {})
                jobs[one.job_id] = by_name[one.stage].job_name(one.experiment, one.token)
        self.polls.refresh(in_flight, now)
        tokens = {one.token for one in attempts}
        self._over_since = {token: at for token, at in self._over_since.items() if token in tokens}

    def without_drive(self, attempts: Iterable[OpenAttempt]) -> list[StageFacts]:
        """Return the facts of jobs that run or wait, for when the drive does not answer: only what the
        scheduler tells may be recorded then, and nothing concluded."""
        found = []
        for one in attempts:
            report = self.polls.report(one.executor, one.job_id) if one.job_id else None
            row = self.store.row(one.stage, "job_by_token", token=one.token) if report else None
            if report and row and not report.state.is_over:
                evidence = Evidence(report=report, was_looked_for=False)
                facts = StageFacts(
                    experiment=one.experiment,
                    stage=one.stage,
                    attempt=attempt_from_row(row),
                    evidence=evidence,
                )
                found.append(facts)
        return found

    def facts(
        self,
        experiment: str,
        looked: Looked,
        claims: Mapping[str, str],
        doubts: Mapping[str, Doubt],
        now: datetime,
    ) -> list[StageFacts]:
        """Return the facts of every stage of one experiment."""
        found = []
        for stage in self.stages:
            row = self.store.row(stage.database, "last_attempt", experiment=experiment)
            attempt = attempt_from_row(row) if row else None
            doubt = doubts.get(attempt.token) if attempt else None
            found.append(
                StageFacts(
                    experiment=experiment,
                    stage=stage.name,
                    trigger=self._trigger(experiment, stage, looked.seen.get(stage.trigger.file_name)),
                    attempt=attempt,
                    evidence=self._evidence(stage, attempt, looked, now),
                    claimed_by=claims.get(attempt.token) if attempt else None,
                    look_up_at=doubt.look_up_at if doubt else None,
                    look_up_until=doubt.until if doubt else None,
                )
            )
        return found

    def _trigger(self, experiment: str, stage: Stage, sighting: Sighting | None) -> Trigger | None:
        if sighting is None or not sighting.input_path:
            return None
        digest = sighting.signal.sha256
        row = self.store.row(stage.database, "attempts_of_signal", experiment=experiment, sha256=digest)
        return Trigger(
            sha256=digest,
            input_path=sighting.input_path,
            attempts_so_far=row["attempts"] if row else 0,
            parent_id=self._parent_id(experiment, stage),
        )

    def _parent_id(self, experiment: str, stage: Stage) -> int | None:
        """Return the row that the trigger came from: the training run, or the latest job before."""
        before = stage.trigger.stage
        query = "training_run" if before == "training" else "last_attempt"
        row = self.store.row(before, query, experiment=experiment)
        return row["id"] if row else None

    def _evidence(self, stage: Stage, attempt: Attempt | None, looked: Looked, now: datetime) -> Evidence:
        if attempt is None or attempt.is_over or attempt.job_id is None:
            return Evidence()
        report = self.polls.report(attempt.executor, attempt.job_id)
        if report is not None and report.state is JobState.UNKNOWN:
            report = None
        found = looked.evidence.get(stage.name)  # None: the drive was asked before this job was known
        has_done, problem = found or (False, None)
        over = attempt.exit_code is not None or (report is not None and report.state.is_over)
        if over and found is not None:
            self._over_since.setdefault(attempt.token, now)
        return Evidence(
            report=report,
            missing_since=self.polls.missing_since(attempt.job_id),
            over_since=self._over_since.get(attempt.token),
            was_looked_for=found is not None,
            has_done_signal=has_done,
            problem=problem,
        )
