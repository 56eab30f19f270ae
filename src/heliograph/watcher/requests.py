"""What people ask of the watcher: whether it makes sense is told at once, by what is published. All pure but
`post_request`."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from heliograph.config import StageSettings
from heliograph.drive import Drive
from heliograph.errors import DriveUnavailable, UsageError
from heliograph.errors import quote as quoted
from heliograph.files import write_atomic
from heliograph.names import SlurmMem, SlurmTime
from heliograph.protocol.events import (
    CancelRequested,
    Event,
    ReleaseRequested,
    RetryRequested,
    encode_event,
    event_path,
    make_event,
)
from heliograph.state.explain_facts import AttemptFacts, Facts, StageFacts
from heliograph.watcher.policy import mem_mb, time_s
from heliograph.words import duration, one_line

Body = RetryRequested | CancelRequested


class Request(Struct, frozen=True, kw_only=True):
    """Something that can be asked now."""

    body: Body
    attempt: AttemptFacts
    """the attempt that it is about, as it was published"""
    will: str
    """what will be done, in a sentence"""
    notes: list[str] = []
    """what whoever asks should know"""


def plan_retry(
    facts: Facts,
    settings: dict[str, StageSettings],
    *,
    stage: str | None = None,
    mem: str | None = None,
    time: str | None = None,
    force: bool = False,
) -> Request:
    """Check that another attempt makes sense, and word it. Raises UsageError with what to do instead."""
    job = _chosen(facts, stage) if stage else _to_retry(facts, force=force)
    last = _last(facts, job)
    _refuse_retry(facts, job, last, force=force)
    _check_most(job.stage, "mem", mem, settings)
    _check_most(job.stage, "time", time, settings)
    body = RetryRequested(experiment=facts.experiment, stage=job.stage, mem=mem, time=time, force=force)
    asked = {"memory": mem, "time limit": time and f"{time} ({duration(time_s(time))})"}
    more = " and ".join(f"{label} {value}" for label, value in asked.items() if value)
    which = last.number if last.status == "queued" else last.number + 1
    will = f"{job.stage} of {facts.experiment}: attempt {which}, at once{f', with {more}' if more else ''}."
    return Request(body=body, attempt=last, will=will, notes=_retry_notes(last))


def plan_cancel(facts: Facts, *, stage: str | None = None) -> Request:
    """Check that there is something to be cancelled, and word it. Raises UsageError."""
    job = _chosen(facts, stage) if stage else _to_cancel(facts)
    last = _last(facts, job)
    if not last.is_open and last.retry_at is None:
        reason = f"{job.stage} of {facts.experiment} is {_over(last)}, so there is nothing to cancel"
        raise UsageError(reason=reason, remedy=_see(facts))
    what = f"{job.stage} of {facts.experiment}: attempt {last.number}"
    if last.is_open:
        will = f"{what}{_where(last)} ends, and no other follows."
    else:
        will = f"{what} failed, and the one that would follow is not made."
    notes = []
    if last.cancel_requested_at:
        notes = [f"{one_line(last.requested_by or 'Somebody')} asked for that before."]
    body = CancelRequested(experiment=facts.experiment, stage=job.stage)
    return Request(body=body, attempt=last, will=will, notes=notes)


def is_done(request: Request, now: AttemptFacts | None) -> bool:
    """Tell from the last attempt, as it is published now, whether the watcher has done what was asked."""
    if now is None:
        return False
    before = request.attempt
    if isinstance(request.body, CancelRequested):
        return not now.is_open and now.retry_at is None
    is_newer = (now.queued_at, now.number) != (before.queued_at, before.number)
    return is_newer or (before.status == "queued" and (now.job_id is not None or now.status != "queued"))


def post_request(drive: Drive, body: Body | ReleaseRequested) -> Event:
    """Post to the inbox, or raise DriveUnavailable. It never waits in a spool: a request that arrived hours
    later would meet another attempt than the one that was meant."""
    event = make_event(body)
    drive.read_id()  # an unmounted drive is an empty local folder
    try:
        write_atomic(event_path(drive, event.id), encode_event(event))
    except OSError as error:
        raise DriveUnavailable(
            folder=drive.inbox, reason=f"{error.strerror or error}. Nothing was asked"
        ) from None
    return event


# Which stage ------------------------------------------------------------------------------------------


def _chosen(facts: Facts, stage: str) -> StageFacts:
    found = next((job for job in facts.jobs if job.stage == stage), None)
    if found is not None:
        return found
    names = " and ".join(job.stage for job in facts.jobs)
    if stage == "training":
        raise UsageError(
            reason="a training is started and ended where its script runs, not by the watcher",
            remedy=f"The watcher runs {names}",
        )
    raise UsageError(
        reason=f"no stage is called {quoted(stage)}", remedy=f"The watcher runs {names}: name one by --stage"
    )


def _by_watcher(job: StageFacts) -> list[AttemptFacts]:
    return [attempt for attempt in job.attempts if not attempt.is_by_hand]


def _last(facts: Facts, job: StageFacts) -> AttemptFacts:
    """Return the last attempt that the watcher made. Raises UsageError where there is none."""
    attempts = _by_watcher(job)
    if attempts:
        return attempts[-1]
    how = "was only run by hand" if job.attempts else "has not been tried yet"
    raise UsageError(reason=f"{job.stage} of {facts.experiment} {how}", remedy=_see(facts))


def _to_retry(facts: Facts, *, force: bool) -> StageFacts:
    """Return the last stage that failed, else one that waits to be submitted."""
    tried = [(job, attempts[-1]) for job in facts.jobs if (attempts := _by_watcher(job))]
    failed = [job for job, last in tried if last.status == "failed"]
    waiting = [job for job, last in tried if last.status == "queued" and last.job_id is None]
    if chosen := failed or waiting:
        return chosen[-1]
    if force and tried:
        stages = " or ".join(f"--stage {job.stage}" for job, _ in tried)
        raise UsageError(
            reason=f"nothing of {facts.experiment} failed, so it is not clear what is to be done again",
            remedy=f"Name the stage: {stages}",
        )
    open_ones = [(job, last) for job, last in tried if last.is_open]
    if open_ones:
        return open_ones[-1][0]  # refused with its own reason
    if facts.training is not None and facts.training.status == "failed":
        return _chosen(facts, "training")
    raise UsageError(reason=f"nothing of {facts.experiment} failed", remedy=_see(facts))


def _to_cancel(facts: Facts) -> StageFacts:
    """Return the last stage with an attempt that is open or will be followed by another."""
    tried = [(job, attempts[-1]) for job in facts.jobs if (attempts := _by_watcher(job))]
    found = [job for job, last in tried if last.is_open or last.retry_at is not None]
    if found:
        return found[-1]
    if facts.training is not None and facts.training.status in ("started", "running"):
        return _chosen(facts, "training")
    raise UsageError(reason=f"nothing of {facts.experiment} waits or runs", remedy=_see(facts))


# What is refused --------------------------------------------------------------------------------------


def _refuse_retry(facts: Facts, job: StageFacts, last: AttemptFacts, *, force: bool) -> None:
    stage, name = job.stage, facts.experiment
    if last.status == "running" or (last.status == "queued" and last.job_id is not None):
        doing = "runs now" if last.status == "running" else "waits in the scheduler's queue already"
        raise UsageError(
            reason=f"{stage} of {name} {doing}{_where(last)}",
            remedy=f"Cancel it first: {facts.command} cancel {name} --stage {stage}",
        )
    if last.status == "completed" and not force:
        raise UsageError(
            reason=f"{stage} of {name} is complete",
            remedy=f"To have it done again: {facts.command} retry {name} --stage {stage} --force",
        )


def _check_most(stage: str, name: str, value: str | None, settings: dict[str, StageSettings]) -> None:
    """Refuse what is no memory or time of Slurm's, and what is more than the configuration allows."""
    if value is None:
        return
    measure, kind, example = (mem_mb, SlurmMem, "64G") if name == "mem" else (time_s, SlurmTime, "08:00:00")
    try:
        amount = measure(msgspec.convert(value, kind))
    except msgspec.ValidationError:
        amount = 0
    if amount <= 0:
        # to Slurm, 0 means all memory of the node, and no limit of time
        raise UsageError(
            reason=f"--{name} {quoted(value)} is not what Slurm takes", remedy=f"Write it as {example}"
        )
    if stage not in settings:
        return
    most: str = getattr(settings[stage], f"most_{name}")
    if amount > measure(most):
        raise UsageError(
            reason=f"--{name} {value} is more than the {most} that {stage} may have",
            remedy=f"The ceiling is stages.{stage}.most_{name} in config/watcher.yaml",
        )


def _retry_notes(last: AttemptFacts) -> list[str]:
    notes = []
    if last.failure_class == "permanent":
        notes.append("It could not succeed as it was: another attempt helps only if that has been mended.")
    if last.status == "completed":
        notes.append("It is complete; what follows it is done again too, with its new result.")
    if last.retry_at and last.requested_by:
        notes.append(f"{one_line(last.requested_by)} asked for that before.")
    return notes


def _where(last: AttemptFacts) -> str:
    job = f"{one_line(last.executor)} {one_line(last.job_id)}" if last.job_id else ""
    node = f" on {one_line(last.nodes or last.hostname or '')}" if last.nodes or last.hostname else ""
    return f" ({job}{node})" if job else ""


def _over(last: AttemptFacts) -> str:
    if last.failure_class == "cancelled":
        return "cancelled already"
    return "complete" if last.status == "completed" else "over: it failed, and nothing follows"


def _see(facts: Facts) -> str:
    return f"Where it stands: {facts.command} why {facts.experiment}"
