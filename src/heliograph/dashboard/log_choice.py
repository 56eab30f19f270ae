"""Which logs are meant: of the training, or of one attempt at a stage. For commands and for pages."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from heliograph.drive import Drive
from heliograph.errors import NoLog, UsageError
from heliograph.errors import quote as quoted
from heliograph.names import is_name
from heliograph.state.explain_facts import AttemptFacts, Facts
from heliograph.state.log_files import job_logs, training_logs
from heliograph.words import one_line

TRAINING = "training"


class LogChoice(Struct, frozen=True, kw_only=True):
    """The logs of one attempt, or of the training."""

    experiment: str
    stage: str
    attempt: AttemptFacts | None
    """None for the training"""
    errors: bool | None
    """only the error output (True), only the rest (False), or both"""

    def paths(self, drive: Drive) -> list[Path]:
        """List the files that are there now. Raises OSError where the drive does not answer."""
        if self.attempt is None:
            return training_logs(drive, self.experiment) if is_name(self.experiment) else []
        return job_logs(drive, self.stage, self.attempt.job_id, errors=self.errors)

    @property
    def title(self) -> str:
        """Say whose logs they are."""
        if self.attempt is None:
            return f"training of {self.experiment}"
        job = f", {one_line(self.attempt.executor)} {one_line(self.attempt.job_id or '')}"
        return f"{self.stage} of {self.experiment}, attempt {self.attempt.number}{job}"


def choose_logs(
    facts: Facts, stage: str | None, *, attempt: int | None = None, errors: bool | None = None
) -> LogChoice:
    """Choose the logs that are meant. Raises UsageError or NoLog."""
    stages = [TRAINING, *(job.stage for job in facts.jobs)]
    if stage is not None and stage not in stages:
        raise UsageError(
            reason=f"no stage is called {quoted(stage)}", remedy=f"The stages are {', '.join(stages)}"
        )
    chosen = stage or _default(facts)
    if chosen == TRAINING:
        if attempt is not None or errors:
            raise UsageError(
                reason="a training has one log, without attempts and without a file of errors",
                remedy=f"heliograph logs {facts.experiment} training",
            )
        return LogChoice(experiment=facts.experiment, stage=TRAINING, attempt=None, errors=None)
    return LogChoice(
        experiment=facts.experiment, stage=chosen, attempt=_attempt(facts, chosen, attempt), errors=errors
    )


def _default(facts: Facts) -> str:
    """Return the last stage that had a job; the training where none had."""
    return next((job.stage for job in reversed(facts.jobs) if _with_job(job.attempts)), TRAINING)


def _with_job(attempts: list[AttemptFacts]) -> list[AttemptFacts]:
    return [attempt for attempt in attempts if attempt.job_id]


def _attempt(facts: Facts, stage: str, number: int | None) -> AttemptFacts:
    """Return the last attempt with a job, or the last of that number."""
    attempts = _with_job(next(job.attempts for job in facts.jobs if job.stage == stage))
    if number is None:
        if not attempts:
            what = f"{stage} of {facts.experiment} has no log yet: no job was submitted"
            raise NoLog(what=what, remedy=f"Why: {facts.command} why {facts.experiment} --stage {stage}")
        return attempts[-1]
    found = [attempt for attempt in attempts if attempt.number == number]
    if not found:
        numbers = ", ".join(str(n) for n in sorted({attempt.number for attempt in attempts})) or "none"
        raise NoLog(
            what=f"{stage} of {facts.experiment} has no job of attempt {number}",
            remedy=f"Attempts with a job: {numbers}.",
        )
    return found[-1]


def next_choice(facts: Facts, choice: LogChoice) -> LogChoice | None:
    """Return the logs of the attempt that followed, if one has a job by now."""
    if choice.attempt is None:
        return None
    attempts = _with_job(next(job.attempts for job in facts.jobs if job.stage == choice.stage))
    places = [n for n, one in enumerate(attempts) if _is_same(one, choice.attempt)]
    if not places or places[-1] + 1 >= len(attempts):
        return None
    return LogChoice(
        experiment=choice.experiment,
        stage=choice.stage,
        attempt=attempts[places[-1] + 1],
        errors=choice.errors,
    )


def _is_same(one: AttemptFacts, other: AttemptFacts) -> bool:
    return (one.queued_at, one.number, one.signal_sha256) == (
        other.queued_at,
        other.number,
        other.signal_sha256,
    )


def is_over(facts: Facts, choice: LogChoice) -> bool:
    """Tell whether nothing more will be written: the work has ended, and no other attempt is to follow."""
    if choice.attempt is None:
        return facts.training is None or facts.training.status not in ("started", "running")
    attempts = next(job.attempts for job in facts.jobs if job.stage == choice.stage)
    last = attempts[-1]
    return not last.is_open and last.retry_at is None
