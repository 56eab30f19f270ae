"""Events: everything that happens, each one small immutable file under a never-used name.

Whoever is on another host than the watcher writes nothing on the drive but signals, results and events. The
flat folder of events, the inbox, is the doorbell too: the watcher lists one folder each second.

    state/inbox/01769850300123456789-wild-west-4711-000003.json
                └ time (ns, for order)└ host    └ pid └ counter
"""

from __future__ import annotations

import itertools
import os
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from heliograph.drive import Drive
from heliograph.errors import BadEvent
from heliograph.files import read_untrusted
from heliograph.names import SlurmMem, SlurmTime, host_name, user_name, utc_now
from heliograph.problems import Problem, json_problem
from heliograph.protocol.fields import (
    Amount,
    Count,
    ExitCode,
    Message,
    Metrics,
    Name,
    Restarts,
    Stage,
    Text,
    Timestamp,
    Token,
    is_possible,
)

LARGEST_EVENT = 1 << 20
EVENT_NAME = re.compile(r"[0-9]{20}-[A-Za-z0-9-]{1,64}-[0-9]{1,10}-[0-9]{6,12}")
_counter = itertools.count()


class _Body(Struct, kw_only=True, tag_field="kind", omit_defaults=True, frozen=True):
    experiment: Name
    stage: Stage


# Training (wild_west) -------------------------------------------------------------------------------


class TrainingStarted(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="training.started"):
    """A training run began, or was resumed."""

    run: Token
    hostname: Text
    user: Text
    config_path: Text | None = None
    mlflow_run_id: Text | None = None
    metadata: dict[str, Any] = {}


class TrainingHeartbeat(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="training.heartbeat"):
    """A training run lives, and how far it is."""

    run: Token
    step: Count
    total_steps: Count | None = None
    metrics: Metrics = {}


class CheckpointSaved(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="training.checkpoint"):
    """A checkpoint stands whole on the drive."""

    run: Token
    checkpoint_path: Text
    step: Count
    epoch: Amount | None = None
    size_bytes: Count | None = None
    metrics: Metrics = {}


class TrainingCompleted(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="training.completed"):
    """The run ended well and its signal is published."""

    run: Token
    checkpoint_path: Text
    mlflow_run_id: Text | None = None
    metadata: dict[str, Any] = {}


class TrainingFailed(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="training.failed"):
    """The run ended with an exception or a signal of the operating system."""

    run: Token
    error_type: Text
    error_message: Message


class SignalPublished(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="signal.published"):
    """The doorbell: this signal has just been published. `stage` is the stage that ended."""

    path: Text
    sha256: Text


# Attempts, as the watcher decides -------------------------------------------------------------------


class SignalAccepted(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="signal.accepted"):
    """The watcher read a valid signal. `stage` is the stage that ended."""

    path: Text
    sha256: str
    content: dict[str, Any]


class SignalQuarantined(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="signal.quarantined"):
    """A signal was put aside, with the reason. `experiment` is the folder's name made safe."""

    path: Text
    sha256: str
    reason: Message
    kept_as: str | None = None


class AttemptQueued(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="attempt.queued"):
    """The intent, committed before anything is submitted."""

    token: Token
    attempt: int
    signal_sha256: str
    executor: str
    resources: dict[str, Any]
    not_before: Timestamp | None = None
    parent_id: int | None = None
    input_path: str | None = None
    metadata: dict[str, Any] = {}


class AttemptSubmitted(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="attempt.submitted"):
    """The scheduler took the job, under this id."""

    token: Token
    job_id: str
    script_path: str
    log_path: str
    adopted: bool = False


class AttemptObserved(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="attempt.observed"):
    """The scheduler told a new state or a new reason for waiting, in its own words."""

    token: Token
    state: str
    reason: str | None = None
    not_before: Timestamp | None = None
    nodes: str | None = None
    restarts: int | None = None


class AttemptConcluded(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="attempt.concluded"):
    """The attempt is over; final states never leave."""

    token: Token
    status: str
    failure_class: str | None = None
    reason: str | None = None
    exit_code: int | None = None
    retry_at: Timestamp | None = None
    nodes: str | None = None


# What people ask of the watcher ----------------------------------------------------------------------


class RetryRequested(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="request.retry"):
    """Somebody wants a stage tried again, now: one that failed, or (`force`) one that is completed.

    Memory and time stand in for those of the last attempt, within the configured ceilings.
    """

    mem: SlurmMem | None = None
    time: SlurmTime | None = None
    force: bool = False


class CancelRequested(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="request.cancel"):
    """Somebody wants the open attempt at a stage ended, and no other to follow it."""


class ReleaseRequested(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="request.release"):
    """Somebody took a signal out of the quarantine: this content of it is looked at as if never seen."""

    path: Text
    sha256: Text


# Jobs, as they tell themselves ----------------------------------------------------------------------


class JobStarted(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="job.started"):
    """The job, or one part of a job array, claimed its attempt and runs. A run by hand starts here."""

    token: Token
    job_id: Text
    hostname: Text
    signal_sha256: Text | None = None
    input_path: Text | None = None
    restarts: Restarts = 0
    part: Name | None = None


class JobHeartbeat(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="job.heartbeat"):
    """The job lives, and how far it is."""

    token: Token
    done: Count | None = None
    total: Count | None = None
    doing: Message = ""


class RunLinked(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="job.run_linked"):
    """The MLflow run that this attempt logs to."""

    token: Token
    mlflow_run_id: Text


class ResultsAdded(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="job.results"):
    """Overall results of one data set and checkpoint; their Parquet files stand whole on the drive."""

    token: Token
    dataset: Name
    checkpoint: Name
    metrics: Metrics


class OutputAdded(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="job.output"):
    """A figure, table or report stands whole on the drive. The path is relative to the drive."""

    token: Token
    output_type: Text
    output_path: Text


class JobEnded(_Body, frozen=True, kw_only=True, omit_defaults=True, tag="job.ended"):
    """The work of the job ended with this exit code; with a `part`, that part of a job array only."""

    token: Token
    exit_code: ExitCode
    error_message: Message | None = None
    error_tail: list[Message] = []
    restarts: Restarts = 0
    part: Name | None = None


Body = (
    TrainingStarted
    | TrainingHeartbeat
    | CheckpointSaved
    | TrainingCompleted
    | TrainingFailed
    | SignalPublished
    | SignalAccepted
    | SignalQuarantined
    | AttemptQueued
    | AttemptSubmitted
    | AttemptObserved
    | AttemptConcluded
    | RetryRequested
    | CancelRequested
    | ReleaseRequested
    | JobStarted
    | JobHeartbeat
    | RunLinked
    | ResultsAdded
    | OutputAdded
    | JobEnded
)

DECISIONS = (
    SignalAccepted,
    SignalQuarantined,
    AttemptQueued,
    AttemptSubmitted,
    AttemptObserved,
    AttemptConcluded,
)
"""What only the watcher decides: it records these itself, and believes nobody who posts them."""


class Event(Struct, kw_only=True, frozen=True):
    """One thing that happened: an id that is also its file's name, when, where, who, and what."""

    id: Text
    at: Timestamp
    host: Text
    pid: Count
    user: Text
    body: Body


_decoder = msgspec.json.Decoder(Event)


def new_event_id(now_ns: int | None = None) -> str:
    """Return an id that nobody else uses; ids of one host sort by time."""
    moment = time.time_ns() if now_ns is None else now_ns
    return f"{moment:020d}-{host_name()}-{os.getpid()}-{next(_counter):06d}"


def make_event(body: Body, now: datetime | None = None) -> Event:
    """Wrap what happened as an event of this process."""
    return Event(
        id=new_event_id(),
        at=now or utc_now(),
        host=host_name(),
        pid=os.getpid(),
        user=user_name(),
        body=body,
    )


def encode_event(event: Event) -> bytes:
    """Write an event as one line of JSON without the line's end."""
    return msgspec.json.encode(event)


def parse_event(raw: bytes, file: object) -> Event:
    """Check an event's bytes. Raises BadEvent."""
    try:
        event = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_event(file, json_problem(raw, str(error), Event)) from None
    if not EVENT_NAME.fullmatch(event.id):
        raise bad_event(file, Problem("id", "is no event's id", event.id))
    if not is_possible(event.at):
        raise bad_event(file, Problem("at", "is no time that an event can have happened at", str(event.at)))
    return event


def bad_event(file: object, wrong: Problem) -> BadEvent:
    """Return the error that names what is wrong with an event."""
    return BadEvent(
        file=file,
        field=wrong.field or "(file)",
        problem=wrong.text,
        value=wrong.value,
        remedy="docs/schemas/event.json describes events.",
    )


def event_path(drive: Drive, event_id: str) -> Path:
    return drive.inbox / f"{event_id}.json"


def read_event(path: Path) -> Event:
    """Read one event of the inbox. Raises OSError (look again) or BadEvent."""
    event = parse_event(read_untrusted(path, LARGEST_EVENT), path)
    if path.stem != event.id:
        raise bad_event(path, Problem("id", "differs from the file's name", event.id))
    return event
