"""Facts in, a list of small actions out. Nothing here touches a disk, a clock or a cluster."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from heliograph.config import Resources, StageSettings, WatcherConfig
from heliograph.executors.base import FailureClass, JobReport, JobState
from heliograph.executors.failures import classify
from heliograph.runner.claims import NOBODY
from heliograph.stage_settings import stage_settings
from heliograph.watcher.facts import Attempt, Evidence, StageFacts, Trigger
from heliograph.watcher.policy import (
    escalate,
    make_token,
    next_attempt_at,
    told_exhausted,
    with_requested,
)


class Queue(Struct, frozen=True, kw_only=True):
    """Commit the intent to run an attempt."""

    experiment: str
    stage: str
    token: str
    number: int
    signal_sha256: str
    input_path: str
    resources: Resources
    parent_id: int | None = None
    not_before: datetime | None = None


class Submit(Struct, frozen=True):
    """Render the script and hand it to the executor."""

    experiment: str
    stage: str
    attempt: Attempt


class LookUp(Struct, frozen=True):
    """Ask the executor for the attempt's name: was it submitted? `is_last`: then absence is believed."""

    experiment: str
    stage: str
    attempt: Attempt
    is_last: bool


class Adopt(Struct, frozen=True):
    """Take over the job that claimed an attempt: an earlier watcher submitted it, and its record is lost."""

    experiment: str
    stage: str
    attempt: Attempt
    job_id: str


class Cancel(Struct, frozen=True):
    """Have the scheduler end the attempt's job."""

    experiment: str
    stage: str
    attempt: Attempt


class Observe(Struct, frozen=True):
    """Record what the scheduler tells anew."""

    experiment: str
    stage: str
    token: str
    state: str
    reason: str | None
    nodes: str | None = None
    restarts: int | None = None


class Conclude(Struct, frozen=True, kw_only=True):
    """Give the verdict on an attempt."""

    experiment: str
    stage: str
    token: str
    status: str
    failure_class: FailureClass | None = None
    reason: str | None = None
    exit_code: int | None = None
    retry_at: datetime | None = None
    nodes: str | None = None


Action = Queue | Submit | LookUp | Adopt | Cancel | Observe | Conclude


def plan(facts: list[StageFacts], config: WatcherConfig, now: datetime) -> list[Action]:
    """Decide what is to be done now, stage by stage."""
    return [action for one in facts for action in plan_stage(one, config, now)]


def plan_stage(facts: StageFacts, config: WatcherConfig, now: datetime) -> list[Action]:
    """Decide for one stage of one experiment."""
    attempt = facts.attempt
    if attempt is None or attempt.is_over:
        return _plan_next_attempt(facts, config)
    if attempt.job_id is None:
        return _plan_submission(facts, attempt, now)
    if attempt.script_path is None:  # the job told of itself before its submission was recorded
        return [Adopt(facts.experiment, facts.stage, attempt, attempt.job_id)]
    return _plan_in_flight(facts, attempt, config, now)


def _plan_next_attempt(facts: StageFacts, config: WatcherConfig) -> list[Action]:
    """New content of the trigger is new work, once: a drive may show old content again for a moment. An
    attempt with a time for the next gets its next."""
    trigger, last = facts.trigger, facts.attempt
    settings = stage_settings(config, facts.stage, facts.experiment)
    if trigger is None:
        return []
    if last is None or trigger.sha256 != last.signal_sha256:
        is_new = trigger.attempts_so_far == 0
        return [_queue(facts, trigger, 1, settings.resources)] if is_new else []
    if last.retry_at is not None:
        resources = resources_of_next(last, settings)
        return [_queue(facts, trigger, last.number + 1, resources, last.retry_at)]
    return []


def resources_of_next(last: Attempt, settings: StageSettings) -> Resources:
    """Return what the next attempt asks for: more of what the last one lacked, or what a person asked for,
    up to the configured most."""
    reason = last.error_message or ""
    resources = escalate(last.resources, last.failure_class, reason, settings, last.nodes)
    return with_requested(resources, last.requested_resources, settings)


def _queue(
    facts: StageFacts, trigger: Trigger, number: int, resources: Resources, not_before: datetime | None = None
) -> Queue:
    return Queue(
        experiment=facts.experiment,
        stage=facts.stage,
        token=make_token(facts.experiment, facts.stage, trigger.sha256, number),
        number=number,
        signal_sha256=trigger.sha256,
        input_path=trigger.input_path,
        resources=resources,
        parent_id=trigger.parent_id,
        not_before=not_before,
    )


def _plan_submission(facts: StageFacts, attempt: Attempt, now: datetime) -> list[Action]:
    if facts.claimed_by is not None:
        return [_take_over(facts, attempt, facts.claimed_by, now)]
    if facts.look_up_at is not None:
        if now < facts.look_up_at:
            return []
        is_last = facts.look_up_until is None or now >= facts.look_up_until
        return [LookUp(facts.experiment, facts.stage, attempt, is_last)]
    if attempt.cancel_requested_at is not None:
        told = f"cancelled before it was submitted, as {attempt.requested_by} asked"
        return [_conclude(facts, attempt, "failed", failure_class=FailureClass.CANCELLED, reason=told)]
    if attempt.not_before is not None and now < attempt.not_before:
        return []
    return [Submit(facts.experiment, facts.stage, attempt)]


def _take_over(facts: StageFacts, attempt: Attempt, claimed_by: str, now: datetime) -> Action:
    """Go on with what an earlier watcher began, whose records are lost: its claims tell."""
    if claimed_by != NOBODY:
        return Adopt(facts.experiment, facts.stage, attempt, claimed_by)
    told = "an earlier watcher followed this attempt by another, and its record is lost"
    kind = FailureClass.TRANSIENT
    return _conclude(facts, attempt, "failed", failure_class=kind, reason=told, retry_at=now)


def _plan_in_flight(
    facts: StageFacts, attempt: Attempt, config: WatcherConfig, now: datetime
) -> list[Action]:
    """Success is exit code 0 and the done signal and valid outputs; absence from a list is no state.

    A job that was ended from outside after its done signal has done its work all the same: the signal is the
    last thing that a stage writes, and to run it again would only trigger the next stage a second time.
    """
    evidence, report = facts.evidence, facts.evidence.report
    if not evidence.was_looked_for:
        return _observe(facts, attempt, report)
    verdict = _verdict(facts, attempt, config, now)
    if verdict is not None:
        return [verdict]
    if attempt.cancel_requested_at is not None and evidence.over_since is None:
        return [Cancel(facts.experiment, facts.stage, attempt)]
    return _observe(facts, attempt, report)


def _verdict(facts: StageFacts, attempt: Attempt, config: WatcherConfig, now: datetime) -> Conclude | None:
    """Return the verdict on a job in flight; None while there is none."""
    evidence, report = facts.evidence, facts.evidence.report
    exit_code = _exit_code(attempt, report)
    ended_from_outside = attempt.exit_code is None and (
        evidence.missing_since is not None if report is None else report.state.is_over
    )
    if evidence.has_done_signal and (exit_code == 0 or ended_from_outside):
        return _conclude(facts, attempt, "completed", exit_code=exit_code)
    if report is not None and report.state.is_over and report.state is not JobState.COMPLETED:
        kind = classify(report, attempt.exit_code, attempt.error_tail)
        return _failed(facts, attempt, kind, _told(report), config, now)
    if exit_code == 0 and _for_longer_than(evidence.over_since, config.signal_grace_s, now):
        told = evidence.problem or "the job ended with exit code 0, but its signal is missing"
        return _failed(facts, attempt, FailureClass.TRANSIENT, told, config, now)
    if report is None and _for_longer_than(evidence.missing_since, config.vanished_after_s, now):
        return _vanished(facts, attempt, evidence, config, now)
    return None


def _exit_code(attempt: Attempt, report: JobReport | None) -> int | None:
    """Return the exit code: the job's own word, else the scheduler's."""
    if attempt.exit_code is not None:
        return attempt.exit_code
    return 0 if report is not None and report.state is JobState.COMPLETED else None


def _for_longer_than(since: datetime | None, seconds: float, now: datetime) -> bool:
    return since is not None and now - since >= timedelta(seconds=seconds)


def _told(report: JobReport) -> str:
    parts = [report.state.value, report.reason or ""]
    if report.exit_code:
        parts.append(f"exit code {report.exit_code}")
    if report.signal:
        parts.append(f"signal {report.signal}")
    return ", ".join(part for part in parts if part and part != "None")


def _failed(
    facts: StageFacts,
    attempt: Attempt,
    failure_class: FailureClass,
    scheduler_says: str,
    config: WatcherConfig,
    now: datetime,
) -> Conclude:
    settings = stage_settings(config, facts.stage, facts.experiment)
    told = [facts.evidence.problem or attempt.error_message, scheduler_says]
    if attempt.cancel_requested_at is not None:
        failure_class = FailureClass.CANCELLED
        told.insert(0, f"cancelled, as {attempt.requested_by} asked")
    reason = " | ".join(dict.fromkeys(text for text in told if text))
    retry_at = next_attempt_at(failure_class, attempt.number, settings, config.retry, attempt.token, now)
    exhausted = told_exhausted(attempt.resources, failure_class, reason, settings, attempt.exit_code)
    if exhausted is not None:
        reason, retry_at = f"{reason} | {exhausted}", None
    return _conclude(
        facts,
        attempt,
        "failed",
        failure_class=failure_class,
        reason=reason,
        exit_code=attempt.exit_code,
        retry_at=retry_at,
        nodes=facts.evidence.report.nodes if facts.evidence.report else None,
    )


def _vanished(
    facts: StageFacts, attempt: Attempt, evidence: Evidence, config: WatcherConfig, now: datetime
) -> Conclude:
    """The scheduler has not listed the job for long. What the job itself told still counts."""
    since = evidence.missing_since or now
    if attempt.exit_code:
        report = JobReport(
            job_id=attempt.job_id or "", name="", state=JobState.FAILED, exit_code=attempt.exit_code
        )
        return _failed(
            facts,
            attempt,
            classify(report, attempt.exit_code, attempt.error_tail),
            _told(report),
            config,
            now,
        )
    told = f"job {attempt.job_id} is no longer listed since {since:%H:%M:%S} UTC, and it left no word"
    return _failed(facts, attempt, FailureClass.VANISHED, told, config, now)


def _conclude(
    facts: StageFacts,
    attempt: Attempt,
    status: str,
    *,
    failure_class: FailureClass | None = None,
    reason: str | None = None,
    exit_code: int | None = None,
    retry_at: datetime | None = None,
    nodes: str | None = None,
) -> Conclude:
    return Conclude(
        experiment=facts.experiment,
        stage=facts.stage,
        token=attempt.token,
        status=status,
        failure_class=failure_class,
        reason=reason,
        exit_code=exit_code,
        retry_at=retry_at,
        nodes=nodes,
    )


def _observe(facts: StageFacts, attempt: Attempt, report: JobReport | None) -> list[Action]:
    if report is None or report.state.is_over or report.state is JobState.UNKNOWN:
        return []
    reason = report.reason if report.state is JobState.PENDING else None
    nodes, restarts = report.nodes or attempt.nodes, report.restarts or attempt.restarts
    told = (report.state.value, reason, nodes, restarts)
    if told == (attempt.scheduler_state, attempt.pending_reason, attempt.nodes, attempt.restarts):
        return []
    return [Observe(facts.experiment, facts.stage, attempt.token, *told)]
