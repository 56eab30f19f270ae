"""What is known of one experiment when it is explained: plain values, no disk and no clock."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from heliograph.state.log_files import LogEnd

Row = Mapping[str, Any]
SILENT_WATCHER_S = 60.0
"""A watcher beats every 5 s, and a network drive may show that half a minute late."""


class WatcherFacts(Struct, frozen=True, kw_only=True):
    """The watcher, as its lease tells; no `host` where nobody holds it."""

    host: str | None = None
    pid: int | None = None
    beat_age_s: float | None = None
    is_dead: bool = False
    """it was a process of this very host, and is gone"""
    published_at: str
    inbox_waiting: int = 0
    """events that nobody has taken up"""
    inbox_oldest_s: float = 0.0

    @property
    def is_alive(self) -> bool:
        return self.host is not None and not self.is_dead and (self.beat_age_s or 0.0) <= SILENT_WATCHER_S


class TrainingFacts(Struct, frozen=True, kw_only=True):
    """The training run, as the database has it. `status` is started, running, completed or failed."""

    status: str
    started_at: str | None = None
    completed_at: str | None = None
    heartbeat_at: str | None = None
    step: int | None = None
    total_steps: int | None = None
    hostname: str | None = None
    user: str | None = None
    config_path: str | None = None
    error_message: str | None = None


class AttemptFacts(Struct, frozen=True, kw_only=True):
    """One attempt at a stage, as the database has it. `status` is queued, running, completed or failed."""

    number: int
    status: str
    executor: str
    queued_at: str
    signal_sha256: str | None = None
    not_before: str | None = None
    job_id: str | None = None
    submitted_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    hostname: str | None = None
    nodes: str | None = None
    restarts: int = 0
    resources: dict[str, Any] = {}
    scheduler_state: str | None = None
    pending_reason: str | None = None
    exit_code: int | None = None
    failure_class: str | None = None
    error_message: str | None = None
    retry_at: str | None = None
    heartbeat_at: str | None = None
    progress_done: int | None = None
    progress_total: int | None = None
    cancel_requested_at: str | None = None
    requested_by: str | None = None
    requested_resources: dict[str, Any] = {}

    @property
    def is_by_hand(self) -> bool:
        return self.executor == "by hand"

    @property
    def is_open(self) -> bool:
        return self.status in ("queued", "running")


class SignalFacts(Struct, frozen=True, kw_only=True):
    """One content of a signal that was seen. `status` is accepted or quarantined."""

    stage: str
    """the stage that it announces the end of"""
    path: str
    sha256: str
    status: str
    seen_at: str
    reason: str | None = None
    kept_as: str | None = None


class StageFacts(Struct, frozen=True, kw_only=True):
    """One stage that runs as a job: all its attempts, in order, and what its settings allow."""

    stage: str
    attempts: list[AttemptFacts] = []
    max_attempts: int | None = None
    """None where the configuration cannot be read"""
    larger: dict[str, str] = {}
    """what an attempt with more than the last would ask for, up to the configured most; empty: no more"""

    @property
    def last(self) -> AttemptFacts | None:
        return self.attempts[-1] if self.attempts else None


class Facts(Struct, frozen=True, kw_only=True):
    """All that is known of one experiment."""

    experiment: str
    watcher: WatcherFacts
    training: TrainingFacts | None = None
    jobs: list[StageFacts] = []
    """evaluation and analysis, in their order"""
    signals: list[SignalFacts] = []
    signal_files: list[str] = []
    """stages whose done signal stands on the drive now"""
    has_model_folder: bool = False
    config_path: str | None = None
    """where the experiment's configuration stands below the drive, if it does"""
    logs: dict[str, list[LogEnd]] = {}
    """the last lines of each stage's logs, harmless"""
    drive: str = ""
    """the drive's root, as this host knows it"""
    command: str = "heliograph"
    """how the command is called here: with --drive where SHARED_DRIVE does not name it"""

    def watcher_log(self) -> str:
        """Return the command that shows what the watcher says."""
        return f"less {shlex.quote(f'{self.drive}/logs/watcher.log')}"

    def quarantined(self) -> list[SignalFacts]:
        """Return what was put aside and not followed by anything newer from the same place."""
        newest = {signal.path: signal for signal in self.signals}
        return [signal for signal in newest.values() if signal.status == "quarantined"]

    def accepted(self, stage: str) -> SignalFacts | None:
        """Return the signal of a stage's good end that was accepted last."""
        of_stage = [s for s in self.signals if s.stage == stage and s.status == "accepted"]
        return next((s for s in reversed(of_stage) if s.path.endswith("_complete")), None)


def training_facts(row: Row) -> TrainingFacts:
    """Turn a row of training_runs into facts."""
    names = TrainingFacts.__struct_fields__
    return msgspec.convert({name: row[name] for name in names if name in row}, TrainingFacts)


_RENAMED = {"number": "attempt", "job_id": "slurm_job_id"}
_JSON = ("resources", "requested_resources")


def attempt_facts(row: Row) -> AttemptFacts:
    """Turn a row of evaluation_jobs or analysis_jobs into facts."""
    columns = {name: _RENAMED.get(name, name) for name in AttemptFacts.__struct_fields__}
    # what an older watcher published has fewer columns
    values = {name: row[column] for name, column in columns.items() if column in row}
    values |= {name: msgspec.json.decode(values[name]) for name in _JSON if name in values}
    return msgspec.convert(values, AttemptFacts)


def signal_facts(stage: str, row: Row) -> SignalFacts:
    """Turn a row of a stage's signals into facts."""
    names = [name for name in SignalFacts.__struct_fields__ if name != "stage"]
    return msgspec.convert({"stage": stage} | {name: row[name] for name in names}, SignalFacts)
