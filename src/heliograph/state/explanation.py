"""The answer to "why": what `heliograph why --json` prints, and what a page may show."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from heliograph.state.log_files import LogEnd


class Step(Struct, frozen=True):
    """Something that a person can do; with a command to copy where there is one."""

    text: str
    command: str | None = None


class StageLine(Struct, frozen=True):
    """One stage in one word: waiting, queued, held, running, completed, failed or cancelled."""

    stage: str
    status: str


class Case(Struct, frozen=True, kw_only=True):
    """What is the matter at one stage, before it is put together with what surrounds it."""

    code: str
    """the same for the same matter, for scripts: pending, running, failed, …; `CODES` lists all"""
    headline: str
    sentences: list[str] = []
    steps: list[Step] = []
    since: str | None = None
    """since when it is so (ISO 8601)"""
    next_attempt_at: str | None = None
    next_resources: dict[str, Any] = {}


class Explanation(Struct, frozen=True, kw_only=True):
    """Why an experiment is where it is, in plain words, and what one can do."""

    experiment: str
    stage: str
    """the stage that it is at, or that was asked for"""
    code: str
    status: str
    """the stage in one word, as in `stages`"""
    headline: str
    """the answer in one sentence"""
    first: list[str]
    """what has to be known before anything else is believed: no watcher, old data, a full inbox"""
    sentences: list[str]
    """the rest of the answer, in the order in which it is told"""
    stages: list[StageLine]
    since: str | None
    for_s: float | None
    """for how long it has been so"""
    attempt: int | None = None
    most_attempts: int | None = None
    """how many attempts there are by themselves, where that is known"""
    executor: str | None = None
    job_id: str | None = None
    node: str | None = None
    restarts: int = 0
    resources: dict[str, Any] = {}
    scheduler_state: str | None = None
    scheduler_words: str | None = None
    """why the job waits or how it ended, in the scheduler's exact words"""
    scheduler_means: str | None = None
    """what these words mean; None where they are not known"""
    failure_class: str | None = None
    failure_means: str | None = None
    error_message: str | None = None
    exit_code: int | None = None
    next_attempt_at: str | None = None
    next_resources: dict[str, Any] = {}
    quarantined: list[str] = []
    """why signals of this experiment were put aside"""
    logs: list[LogEnd] = []
    steps: list[Step] = []
    """what a person can do now"""


CODES = {
    "training_unknown": "nothing is known of a training",
    "training_running": "the training runs",
    "training_silent": "the training is recorded as running, and gives no sign of life",
    "training_failed": "the training ended with an error",
    "signal_missing": "a stage is complete, and its signal is not there",
    "signal_not_taken_up": "a signal stands on the drive, and the watcher has not taken it up yet",
    "signal_quarantined": "a signal was put aside, because it cannot be used",
    "waits_for_before": "the stage before it is not complete",
    "to_queue": "its turn has come: the watcher queues it in its next pass",
    "to_submit": "queued: the watcher hands it to the executor in its next pass",
    "backoff": "an attempt failed, and the next one waits for its time",
    "refused": "the executor did not take it; it is offered again",
    "held": "the cluster does not take it now; it is kept, and offered again rarely",
    "pending": "it waits in the scheduler's queue",
    "requeued": "the scheduler has put it back into its queue",
    "running": "its job runs",
    "running_silent": "its job is recorded as running, and gives no sign of life",
    "ending": "its job has ended, and the watcher waits for the scheduler's word and the results",
    "retry_due": "its last attempt failed, and another follows by itself",
    "failed": "its last attempt failed, and no other follows by itself",
    "cancelled": "somebody cancelled it",
    "completed": "it is complete",
}
"""Every code, and what it stands for."""
