"""Why a stage that runs as a job is where it is: one function for each way in which an attempt can stand."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from heliograph.names import parse_iso
from heliograph.state.explain_facts import AttemptFacts, Facts, StageFacts
from heliograph.state.explanation import Case, Step
from heliograph.state.failure_words import CAUSES, REMEDIES
from heliograph.state.pending_words import PendingMeaning, pending_meaning
from heliograph.words import duration, one_line, rough, since_s, until

SILENT_JOB_S = 600.0
"""A job beats each minute, and its events may wait for the drive."""
LONG_S = 300.0
"""What the watcher does in its next pass and has not done for so long, it cannot do."""


def explain_job(facts: Facts, stage: StageFacts, now: datetime) -> Case:
    """Tell where the last attempt at a stage is."""
    attempt = stage.last
    if attempt is None:
        raise ValueError(f"{stage.stage} has no attempt")
    if attempt.status == "completed":
        return Case(code="completed", headline=f"{_name(stage)} is complete.", since=attempt.completed_at)
    if attempt.status == "failed":
        return _failed(facts, stage, attempt, now)
    case = _open(facts, stage, attempt, now)
    if attempt.cancel_requested_at:
        who = one_line(attempt.requested_by or "somebody")
        asked = f"{who} asked {_ago(attempt.cancel_requested_at, now)} to cancel it; the watcher ends it."
        others = [step for step in case.steps if step.command != _command(facts, "cancel", stage)]
        return replace(case, sentences=[asked, *case.sentences], steps=others)
    return case


def _open(facts: Facts, stage: StageFacts, attempt: AttemptFacts, now: datetime) -> Case:
    if attempt.status == "running":
        return _running(facts, stage, attempt, now)
    if attempt.job_id is None:
        return _not_submitted(facts, stage, attempt, now)
    return _pending(facts, stage, attempt, now)


# Not handed in yet ------------------------------------------------------------------------------------


def _not_submitted(facts: Facts, stage: StageFacts, attempt: AttemptFacts, now: datetime) -> Case:
    waits = attempt.not_before is not None and parse_iso(attempt.not_before) > now
    executor = _whom(attempt)
    if waits and attempt.scheduler_state in ("HOLD", "TRANSIENT"):
        return _refused(facts, stage, attempt, now)
    if waits:
        return _backoff(facts, stage, attempt, now)
    waited_s = since_s(attempt.queued_at, now) or 0.0
    if waited_s > LONG_S and facts.watcher.is_alive:
        return Case(
            code="to_submit",
            headline=f"{_name(stage)} has waited {rough(waited_s)} for being handed to {executor}.",
            sentences=[
                "That takes seconds otherwise.",
                f"It may not be known whether an earlier submission arrived, because {executor} is silent.",
                "Or many others are submitted before it.",
            ],
            steps=[Step("Read what the watcher says:", facts.watcher_log())],
            since=attempt.queued_at,
        )
    return Case(
        code="to_submit",
        headline=f"{_name(stage)} is queued: the watcher's next pass hands it to {executor}.",
        since=attempt.queued_at,
    )


def _backoff(facts: Facts, stage: StageFacts, attempt: AttemptFacts, now: datetime) -> Case:
    """An earlier attempt failed, and this one waits for its time."""
    before = stage.attempts[-2] if len(stage.attempts) > 1 else None
    told = []
    if before is not None and before.status == "failed":
        why = CAUSES.get(before.failure_class or "", "")
        told = [f"Attempt {before.number} failed{f', because {why}' if why else ''}: {_said(before)}"]
    at = until(attempt.not_before or attempt.queued_at, now)
    return Case(
        code="backoff",
        headline=f"{_name(stage)} waits for its {_which(stage, attempt)}: {at}.",
        sentences=told,
        steps=[
            Step("Without waiting:", _command(facts, "retry", stage)),
            Step("To have no other attempt:", _command(facts, "cancel", stage)),
        ],
        since=attempt.queued_at,
        next_attempt_at=attempt.not_before,
        next_resources=attempt.resources,
    )


def _refused(facts: Facts, stage: StageFacts, attempt: AttemptFacts, now: datetime) -> Case:
    """The executor took nothing, and nothing was spent."""
    is_held = attempt.scheduler_state == "HOLD"
    executor, again = _whom(attempt), until(attempt.not_before or attempt.queued_at, now)
    verb = "is held" if is_held else "waits"
    steps = [Step(REMEDIES["hold"])] if is_held else []
    return Case(
        code="held" if is_held else "refused",
        headline=f"{_name(stage)} {verb}: {executor} does not take it now.",
        sentences=[
            f"{executor} says: {one_line(attempt.pending_reason or 'nothing')}",
            f"It is offered again {again}. No attempt was spent.",
        ],
        steps=[*steps, Step("To have it offered now:", _command(facts, "retry", stage))],
        since=attempt.queued_at,
        next_attempt_at=attempt.not_before,
        next_resources=attempt.resources,
    )


# In the scheduler's hands -----------------------------------------------------------------------------


def _pending(facts: Facts, stage: StageFacts, attempt: AttemptFacts, now: datetime) -> Case:
    reason = one_line(attempt.pending_reason or "")
    waited = duration(since_s(attempt.submitted_at or attempt.queued_at, now) or 0.0)
    queue = "for its turn on this machine" if attempt.executor == "local" else "in Slurm's queue"
    cancel = Step("To have it no more:", _command(facts, "cancel", stage))
    return Case(
        code="pending",
        headline=f"{_name(stage)} waits {queue}, for {waited} so far{f': {reason}' if reason else ''}.",
        sentences=_pending_sentences(attempt, reason),
        steps=[*_pending_steps(attempt, meaning_of(attempt)), cancel],
        since=attempt.submitted_at or attempt.queued_at,
    )


def _pending_sentences(attempt: AttemptFacts, reason: str) -> list[str]:
    meaning = meaning_of(attempt)
    if meaning is not None:
        return [f"{reason} means: {meaning.means}."]
    if reason:
        return [f"Slurm says {reason!r}. What that means is not known here."]
    return ["Why, nobody has told yet."]


def _pending_steps(attempt: AttemptFacts, meaning: PendingMeaning | None) -> list[Step]:
    job = shlex.quote(one_line(attempt.job_id or ""))
    if meaning is None:
        is_slurm = attempt.executor == "slurm" and attempt.pending_reason
        return [Step("Ask Slurm for more:", f"scontrol show job {job}")] if is_slurm else []
    command = meaning.command.format(job_id=job) if meaning.command else None
    return [Step(meaning.remedy, command)]


_LOCAL = PendingMeaning(
    "as many jobs run on this machine as may run at the same time",
    "Nothing: it starts when one of them ends. local.slots in config/watcher.yaml allows more.",
    passes=True,
)


def meaning_of(attempt: AttemptFacts) -> PendingMeaning | None:
    """Return what the reason of a waiting job means; None where it is not known."""
    if attempt.executor == "local" and attempt.pending_reason == "Resources":
        return _LOCAL
    return pending_meaning(attempt.pending_reason or "")


def _running(facts: Facts, stage: StageFacts, attempt: AttemptFacts, now: datetime) -> Case:
    log = Step("Follow its log:", f"{facts.command} logs {facts.experiment} {stage.stage} -f")
    if attempt.exit_code is not None:
        return _ending(facts, stage, attempt, now)
    if attempt.scheduler_state == "PENDING":
        return _requeued(stage, attempt)
    where = one_line(attempt.nodes or attempt.hostname or "its node")
    silent_s = since_s(attempt.heartbeat_at or attempt.started_at, now) or 0.0
    if silent_s > SILENT_JOB_S and facts.watcher.is_alive:
        return Case(
            code="running_silent",
            headline=f"{_name(stage)} runs on {where}, and has given no sign of life for {rough(silent_s)}.",
            sentences=[
                "A job tells each minute that it lives.",
                "Its node may not reach the drive; then it goes on, and tells later.",
                "If it has died, the scheduler will say so, and the next attempt follows.",
            ],
            steps=[log, *_ask_slurm(attempt), Step("To end it:", _command(facts, "cancel", stage))],
            since=attempt.started_at,
        )
    ran = duration(since_s(attempt.started_at, now) or 0.0)
    return Case(
        code="running",
        headline=f"{_name(stage)} runs on {where}, for {ran} so far{_done(attempt)}.",
        sentences=[f"Its last sign of life was {rough(silent_s)} ago."] if silent_s else [],
        steps=[log],
        since=attempt.started_at,
    )


def _done(attempt: AttemptFacts) -> str:
    if attempt.progress_done is None or not attempt.progress_total:
        return ""
    share = min(100, int(100 * attempt.progress_done / attempt.progress_total))
    return f": {attempt.progress_done:,} of {attempt.progress_total:,} done, {share} %"


def _ending(facts: Facts, stage: StageFacts, attempt: AttemptFacts, now: datetime) -> Case:
    waited_s = since_s(attempt.heartbeat_at, now) or 0.0
    well = attempt.exit_code == 0
    told = "its signal and its results" if well else "the scheduler's word of its end"
    return Case(
        code="ending",
        headline=f"{_name(stage)} has ended with exit code {attempt.exit_code}, {rough(waited_s)} ago.",
        sentences=[f"The watcher looks for {told}, and judges it then."],
        steps=[Step("If that lasts, read what the watcher says:", facts.watcher_log())],
        since=attempt.heartbeat_at,
    )


def _requeued(stage: StageFacts, attempt: AttemptFacts) -> Case:
    reason = one_line(attempt.pending_reason or "")
    times = f"{attempt.restarts} times so far" if attempt.restarts > 1 else "once so far"
    return Case(
        code="requeued",
        headline=f"{_name(stage)} ran, and was put back into Slurm's queue{f': {reason}' if reason else ''}.",
        sentences=[
            f"Slurm does that when a node fails or a more urgent job needs it; {times}.",
            "It starts again by itself, in the same attempt.",
            *_pending_sentences(attempt, reason),
        ],
        steps=_pending_steps(attempt, meaning_of(attempt)),
        since=attempt.started_at,
    )


def _ask_slurm(attempt: AttemptFacts) -> list[Step]:
    if attempt.executor != "slurm" or not attempt.job_id:
        return []
    return [Step("Ask Slurm about it:", f"scontrol show job {shlex.quote(one_line(attempt.job_id))}")]


# Failed -----------------------------------------------------------------------------------------------


def _failed(facts: Facts, stage: StageFacts, attempt: AttemptFacts, now: datetime) -> Case:
    if attempt.retry_at is not None:
        return _retry_due(facts, stage, attempt, now)
    when = f" {_ago(attempt.completed_at, now)}" if attempt.completed_at else ""
    log = Step("Read the whole log:", f"{facts.command} logs {facts.experiment} {stage.stage}")
    if attempt.failure_class == "cancelled":
        who = f" by {one_line(attempt.requested_by)}" if attempt.requested_by else ""
        return Case(
            code="cancelled",
            headline=f"{_name(stage)} was cancelled{who}{when}.",
            sentences=["No other attempt follows by itself."],
            steps=[Step("If it is wanted after all:", _command(facts, "retry", stage))],
            since=attempt.completed_at,
        )
    if attempt.is_by_hand:
        return Case(
            code="failed",
            headline=f"{_name(stage)} was run by hand, and failed{when}.",
            sentences=["What is run by hand is never tried again by itself."],
            steps=[Step("Mend what the message names, then run it again.")],
            since=attempt.completed_at,
        )
    spent = stage.max_attempts is not None and attempt.number >= stage.max_attempts
    count = f"all {stage.max_attempts} attempts are spent" if spent else "no other attempt follows by itself"
    if spent and stage.max_attempts == 1:
        count = "its only attempt is spent"
    return Case(
        code="failed",
        headline=f"{_name(stage)} failed{when}, and {count}.",
        sentences=_earlier(stage, attempt),
        steps=[log, *_retry_steps(facts, stage, attempt)],
        since=attempt.completed_at,
    )


def _retry_due(facts: Facts, stage: StageFacts, attempt: AttemptFacts, now: datetime) -> Case:
    asked = attempt.requested_by is not None
    at = attempt.retry_at or ""
    who = f" {one_line(attempt.requested_by or '')} asked for it." if asked else ""
    return Case(
        code="retry_due",
        headline=f"{_name(stage)} failed, and is tried again {until(at, now)}.{who}",
        steps=[
            *([] if asked else [Step("Without waiting:", _command(facts, "retry", stage))]),
            Step("To have no other attempt:", _command(facts, "cancel", stage)),
        ],
        since=attempt.completed_at,
        next_attempt_at=at,
        next_resources=attempt.resources | stage.larger | attempt.requested_resources,
    )


def _retry_steps(facts: Facts, stage: StageFacts, attempt: AttemptFacts) -> list[Step]:
    failure = attempt.failure_class or ""
    remedy = REMEDIES.get(failure, "Mend what the message names, then try it again.")
    remedy = f"{remedy.rstrip('.')}:"  # a command follows
    if failure != "resources":
        return [Step(remedy, _command(facts, "retry", stage))]
    if stage.larger:
        options = " ".join(f"--{name} {value}" for name, value in stage.larger.items())
        return [Step(remedy, f"{_command(facts, 'retry', stage)} {options}")]
    settings = f"stages.{stage.stage}.most_mem and most_time"
    return [
        Step(f"It had the most already: raise {settings} in config/watcher.yaml, or make the work smaller."),
        Step("Then try it again:", _command(facts, "retry", stage)),
    ]


def _earlier(stage: StageFacts, last: AttemptFacts) -> list[str]:
    """Tell of the earlier attempts at the same work, shortly."""
    same = [a for a in stage.attempts[:-1] if a.signal_sha256 == last.signal_sha256 and a.status == "failed"]
    return [f"Attempt {attempt.number} before it failed: {_said(attempt)}" for attempt in same]


# Words ------------------------------------------------------------------------------------------------


def _name(stage: StageFacts) -> str:
    return stage.stage.capitalize()


def _which(stage: StageFacts, attempt: AttemptFacts) -> str:
    is_within = stage.max_attempts is not None and attempt.number <= stage.max_attempts
    return f"attempt {attempt.number}" + (f" of {stage.max_attempts}" if is_within else "")


def _said(attempt: AttemptFacts) -> str:
    text = one_line(attempt.error_message or "nobody told why")
    return text if len(text) <= 160 else f"{text[:159]}…"


def _whom(attempt: AttemptFacts) -> str:
    return {"slurm": "Slurm", "local": "this machine"}.get(attempt.executor, one_line(attempt.executor))


def _ago(moment: str | None, now: datetime) -> str:
    return f"{rough(since_s(moment, now) or 0.0)} ago"


def _command(facts: Facts, verb: str, stage: StageFacts) -> str:
    return f"{facts.command} {verb} {facts.experiment} --stage {stage.stage}"


def asked_resources(attempt: AttemptFacts) -> dict[str, Any]:
    """Return what an attempt asks of the scheduler, without what it does not ask for."""
    return {name: value for name, value in attempt.resources.items() if value is not None}
