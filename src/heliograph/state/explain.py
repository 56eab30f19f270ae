"""Why an experiment waits, runs, failed or is complete: facts in, an `Explanation` out. Pure.

The answer starts with the first stage that is not complete, or with the one that was asked for. It is put
together from what the watcher, the scheduler and the stages themselves have told; nothing is asked here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from heliograph.state.explain_facts import AttemptFacts, Facts, StageFacts, WatcherFacts
from heliograph.state.explain_job import LONG_S, asked_resources, explain_job, meaning_of
from heliograph.state.explain_training import (
    SIGNALS,
    blocking,
    explain_training,
    signal_missing,
    signal_quarantined,
)
from heliograph.state.explanation import Case, Explanation, StageLine, Step
from heliograph.state.failure_words import CAUSES
from heliograph.words import moment, one_line, printable, rough, since_s

_INBOX_BEHIND_S = 60.0


def explain(facts: Facts, now: datetime, stage: str | None = None) -> Explanation:
    """Explain an experiment, at the stage that it is at or at the one that is asked for."""
    cases = _cases(facts, now)
    asked = stage or _where(cases)
    case = cases[asked]
    if stage is None and all(one.code == "completed" for one in cases.values()):
        case = _all_complete(facts, cases)
    return _put_together(facts, now, asked, case, [StageLine(*_line(facts, s, c)) for s, c in cases.items()])


def _cases(facts: Facts, now: datetime) -> dict[str, Case]:
    """Explain every stage by itself, in order."""
    cases = {"training": explain_training(facts, now)}
    if cases["training"].code == "training_unknown" and any(job.attempts for job in facts.jobs):
        cases["training"] = Case(code="completed", headline="Nothing is known of its training.")
    before = "training"
    for job in facts.jobs:
        cases[job.stage] = _job_case(facts, job, before, cases[before], now)
        before = job.stage
    return cases


def _job_case(facts: Facts, job: StageFacts, before: str, case_before: Case, now: datetime) -> Case:
    trigger = facts.accepted(before)
    last = job.last
    is_new = last is None or (not last.is_by_hand and _differs(last, trigger.sha256 if trigger else None))
    if last is not None and (last.is_open or not is_new or case_before.code != "completed"):
        return explain_job(facts, job, now)
    if case_before.code != "completed":
        return Case(
            code="waits_for_before",
            headline=f"{job.stage.capitalize()} waits for {before}.",
            sentences=[case_before.headline],
            steps=[Step(f"Why {before} is there:", _why(facts, before))],
        )
    if broken := blocking(facts, before):
        return signal_quarantined(facts, broken)
    if trigger is None:
        return signal_missing(facts, before, case_before.since, now)
    return _to_queue(facts, job, before, trigger.seen_at, now, again=last is not None)


def _differs(last: AttemptFacts, sha256: str | None) -> bool:
    return sha256 is not None and last.signal_sha256 is not None and last.signal_sha256 != sha256


def _to_queue(
    facts: Facts, job: StageFacts, before: str, seen_at: str, now: datetime, *, again: bool
) -> Case:
    waited_s = since_s(seen_at, now) or 0.0
    why = f"the signal {SIGNALS[before]} has new content" if again else f"{before} is complete"
    is_late = waited_s > LONG_S and facts.watcher.is_alive
    headline = f"{job.stage.capitalize()} starts soon: {why}, and the watcher queues it in its next pass."
    if is_late:
        headline = f"{job.stage.capitalize()} should have been queued {rough(waited_s)} ago: {why}."
    return Case(
        code="to_queue",
        headline=headline,
        steps=[Step("Read what the watcher says:", facts.watcher_log())] if is_late else [],
        since=seen_at,
    )


def _why(facts: Facts, stage: str) -> str:
    return f"{facts.command} why {facts.experiment} --stage {stage}"


def _where(cases: dict[str, Case]) -> str:
    """Return the first stage that is not complete, else the last."""
    return next((stage for stage, case in cases.items() if case.code != "completed"), list(cases)[-1])


def _all_complete(facts: Facts, cases: dict[str, Case]) -> Case:
    *_, last = cases.values()
    see = Step("See its results:", f"{facts.command} status {facts.experiment}")
    return Case(code="completed", headline="All its stages are complete.", steps=[see], since=last.since)


_WORDS = {
    "training_running": "running",
    "training_silent": "running",
    "training_failed": "failed",
    "retry_due": "failed",
    "running_silent": "running",
    "ending": "running",
    "requeued": "queued",
    "pending": "queued",
    "backoff": "queued",
    "refused": "queued",
    "to_submit": "queued",
    **dict.fromkeys(("held", "running", "failed", "cancelled", "completed")),
}


def _line(facts: Facts, stage: str, case: Case) -> tuple[str, str]:
    """Return a stage with its status in one word. A training without its signal is complete all the same."""
    if stage == "training" and facts.training and facts.training.status == "completed":
        return stage, "completed"
    return stage, (_WORDS[case.code] or case.code) if case.code in _WORDS else "waiting"


def _put_together(facts: Facts, now: datetime, stage: str, case: Case, lines: list[StageLine]) -> Explanation:
    job = next((one for one in facts.jobs if one.stage == stage), None)
    attempt = job.last if job else None
    is_told = case.code not in ("to_queue", "waits_for_before", "completed")
    told = _of_attempt(attempt) if attempt and is_told else {}
    if stage == "training" and facts.training and facts.training.error_message:
        told["error_message"] = _message(facts.training.error_message)
    return Explanation(
        experiment=facts.experiment,
        stage=stage,
        code=case.code,
        status=next(line.status for line in lines if line.stage == stage),
        headline=case.headline,
        first=_first(facts.watcher, now),
        sentences=case.sentences,
        stages=lines,
        since=case.since,
        for_s=since_s(case.since, now),
        most_attempts=job.max_attempts if job else None,
        next_attempt_at=case.next_attempt_at,
        next_resources={name: value for name, value in case.next_resources.items() if value is not None},
        quarantined=[one_line(signal.reason or "") for signal in facts.quarantined()],
        logs=facts.logs.get(stage, []),
        steps=[*_first_steps(facts), *case.steps],
        **told,
    )


def _of_attempt(attempt: AttemptFacts) -> dict[str, Any]:
    """Return what an explanation tells of its attempt."""
    is_failed = attempt.status == "failed"
    words = attempt.pending_reason if attempt.is_open else None
    meaning = meaning_of(attempt) if words and attempt.is_open else None
    return {
        "attempt": attempt.number,
        "executor": one_line(attempt.executor),
        "job_id": one_line(attempt.job_id) if attempt.job_id else None,
        "node": one_line(attempt.nodes or attempt.hostname or "") or None,
        "restarts": attempt.restarts,
        "resources": asked_resources(attempt),
        "scheduler_state": one_line(attempt.scheduler_state) if attempt.scheduler_state else None,
        "scheduler_words": one_line(words) if words else None,
        "scheduler_means": meaning.means if meaning else None,
        "failure_class": attempt.failure_class if is_failed else None,
        "failure_means": CAUSES.get(attempt.failure_class or "") if is_failed else None,
        "error_message": _message(attempt.error_message) if attempt.error_message else None,
        "exit_code": attempt.exit_code,
    }


def _message(text: str) -> str:
    return printable(text[:4000], keep="\n\t")


# What has to be known first ---------------------------------------------------------------------------


def _first(watcher: WatcherFacts, now: datetime) -> list[str]:
    """Say first what makes the rest doubtful: nobody keeps it up to date."""
    published = rough(since_s(watcher.published_at, now) or 0.0)
    told = f"What is told here was published {published} ago, {moment(watcher.published_at, now)} UTC."
    waits = _waiting(watcher.inbox_waiting)
    if watcher.host is None:
        return [f"No watcher runs: nothing new is taken up until somebody starts one. {told}", *waits]
    where = f"{one_line(watcher.host)}, pid {watcher.pid}"
    if watcher.is_dead:
        return [f"The watcher ({where}) has died: nothing new is taken up. {told}", *waits]
    if not watcher.is_alive:
        silent = rough(watcher.beat_age_s or 0.0)
        return [f"The watcher ({where}) has been silent for {silent}. {told}", *waits]
    if watcher.inbox_oldest_s > _INBOX_BEHIND_S:
        oldest = rough(watcher.inbox_oldest_s)
        return [f"The watcher is behind: the oldest event in the inbox has waited for {oldest}.", *waits]
    return []


def _waiting(count: int) -> list[str]:
    if not count:
        return []
    return ["1 event waits in the inbox." if count == 1 else f"{count} events wait in the inbox."]


def _first_steps(facts: Facts) -> list[Step]:
    watcher = facts.watcher
    if watcher.is_alive:
        return []
    if watcher.host is None or watcher.is_dead:
        return [Step("Start the watcher, on the host where sbatch works:", f"{facts.command} watch")]
    return [Step(f"Look on {one_line(watcher.host)}: do that host, its drive and the watcher live?")]
