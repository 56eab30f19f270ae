"""An executor that keeps everything in memory: a test says what becomes of each job, or has it really run.

It keeps the contract of `tests/contract` as the real ones do (there its scripts really run); in the state
machine of `tests/property` jobs start, end, get lost and their ids reused as the test plays them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from heliograph.errors import PollFailed, SubmissionDoubtful, SubmissionRefused
from heliograph.executors.base import FailureClass, JobReport, JobState
from heliograph.executors.command import check_job_name
from heliograph.names import utc_now


class PlayedJob(Struct):
    """One job, as its executor knows it."""

    id: str
    name: str
    script: bytes
    submitted_at: datetime
    state: JobState = JobState.PENDING
    reason: str | None = "Resources"
    exit_code: int | None = None
    signal: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    shows_at: datetime | None = None
    """it was handed in, and does not show until then"""

    def report(self) -> JobReport:
        return JobReport(
            job_id=self.id,
            name=self.name,
            state=self.state,
            reason=self.reason,
            exit_code=self.exit_code,
            signal=self.signal,
            submitted_at=self.submitted_at,
            started_at=self.started_at,
            ended_at=self.ended_at,
            nodes="stage" if self.started_at else None,
        )


class Player(Protocol):
    """Brings about what becomes of jobs."""

    def taken(self, job: PlayedJob) -> None:
        """A job was handed in."""

    def look(self, job: PlayedJob) -> None:
        """Somebody is about to be told of the job."""

    def cancelled(self, job: PlayedJob) -> None:
        """Somebody wants the job ended."""


class PlayedExecutor:
    """Hands out ids, remembers, reports. Without a player, whoever holds it calls `start` and `end`."""

    name = "local"
    poll_every_s = 1.0
    settle_s = 2.0
    calls_last_hour = None

    def __init__(self, player: Player | None = None, clock: Callable[[], datetime] = utc_now) -> None:
        self.jobs: list[PlayedJob] = []
        self.is_silent = False
        """while it is, polls fail"""
        self.next_submissions: list[str] = []
        """what becomes of the next ones: taken, lost or late (all three in doubt), transient, hold"""
        self._player = player
        self._clock = clock
        self._last_id = 0

    # the contract

    def submit(self, script: Path, job_name: str) -> str:
        """Take a script; the contract tells the rest."""
        check_job_name(job_name)
        text = _read_script(script)
        what = self.next_submissions.pop(0) if self.next_submissions else None
        if what in ("transient", "hold"):
            raise SubmissionRefused(executor=self.name, reason=f"played: {what}", failure_class=what)
        self._last_id += 1
        job = PlayedJob(f"local-{self._last_id}", job_name, text, self._clock())
        if what == "late":
            job.shows_at = self._clock() + timedelta(seconds=self.settle_s / 2)
        if what != "lost":
            self.jobs.append(job)
            if self._player:
                self._player.taken(job)
        if what is not None:
            raise SubmissionDoubtful(executor=self.name, reason=f"played: {what}")
        return job.id

    def find(self, names: Collection[str]) -> dict[str, list[JobReport]]:
        """Look names up among all jobs that are not forgotten."""
        found: dict[str, list[JobReport]] = {name: [] for name in names}
        for job in self._listed():
            if job.name in found:
                found[job.name].append(job.report())
        return found

    def poll(self, jobs: Mapping[str, str]) -> dict[str, JobReport]:
        """Tell of these jobs what is known."""
        return {job.id: job.report() for job in self._listed() if jobs.get(job.id) == job.name}

    def cancel(self, job_id: str, job_name: str) -> None:
        """End a job if it is that one."""
        for job in self._listed():
            if (job.id, job.name) == (job_id, job_name) and not job.state.is_over:
                if self._player:
                    self._player.cancelled(job)
                else:
                    self.end(job, JobState.CANCELLED, reason="Cancelled")

    def _listed(self) -> list[PlayedJob]:
        if self.is_silent:
            raise PollFailed(executor=self.name, reason="played: no answer")
        now = self._clock()
        shown = [job for job in self.jobs if job.shows_at is None or job.shows_at <= now]
        for job in shown:
            job.shows_at = None
        if self._player:
            for job in shown:
                self._player.look(job)
        return shown

    # what is played

    def take_again(self, job: PlayedJob) -> None:
        """Take a job's script a second time, under the same name."""
        self._last_id += 1
        self.jobs.append(PlayedJob(f"local-{self._last_id}", job.name, job.script, self._clock()))

    def start(self, job: PlayedJob) -> None:
        job.state, job.reason, job.started_at, job.shows_at = JobState.RUNNING, None, self._clock(), None

    def end(
        self,
        job: PlayedJob,
        state: JobState,
        *,
        exit_code: int | None = None,
        signal: int | None = None,
        reason: str | None = None,
    ) -> None:
        job.state, job.exit_code, job.signal, job.reason = state, exit_code, signal, reason
        job.ended_at = self._clock()

    def forget(self, job: PlayedJob, *, reuse_id: bool) -> None:
        """Lose a job, as a controller does that is killed; the next job may get its id."""
        self.jobs.remove(job)
        number = int(job.id.removeprefix("local-"))
        if reuse_id and all(int(other.id.removeprefix("local-")) < number for other in self.jobs):
            self._last_id = number - 1


def _read_script(script: Path) -> bytes:
    try:
        text = script.read_bytes()
    except OSError as error:
        raise _refused(f"Unable to open file {script}: {error.strerror}", FailureClass.TRANSIENT) from None
    first = text.split(b"\n", 1)[0]
    if first.endswith(b"\r"):
        raise _refused("Batch script contains DOS line breaks", FailureClass.PERMANENT)
    if not first.startswith(b"#!") or not first[2:].strip():
        raise _refused("This does not look like a batch script", FailureClass.PERMANENT)
    return text


def _refused(reason: str, failure_class: FailureClass) -> SubmissionRefused:
    return SubmissionRefused(executor=PlayedExecutor.name, reason=reason, failure_class=failure_class.value)
