"""What the watcher knows when it decides. Plain values: `plan` needs no disk, no clock and no cluster."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from heliograph.config import Resources
from heliograph.executors.base import JobReport
from heliograph.names import parse_iso


class Trigger(Struct, frozen=True):
    """A valid signal that asks for a stage, seen on the drive just now."""

    sha256: str
    input_path: str
    attempts_so_far: int
    """attempts that this content has had"""
    parent_id: int | None = None
    """row id of the training run or the evaluation that it came from"""


class Attempt(Struct, frozen=True, kw_only=True):
    """The latest attempt at a stage, as the database has it."""

    token: str
    number: int
    status: str
    signal_sha256: str
    executor: str
    resources: Resources
    input_path: str
    queued_at: datetime
    parent_id: int | None = None
    not_before: datetime | None = None
    job_id: str | None = None
    script_path: str | None = None
    """set when this watcher, or one before it, recorded the submission"""
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    scheduler_state: str | None = None
    pending_reason: str | None = None
    exit_code: int | None = None
    error_message: str | None = None
    error_tail: tuple[str, ...] = ()
    """the last lines of the job's error output, as the job told"""
    failure_class: str | None = None
    retry_at: datetime | None = None
    nodes: str | None = None
    restarts: int = 0
    cancel_requested_at: datetime | None = None
    requested_by: str | None = None
    """who asked for a cancellation or another attempt"""
    requested_resources: Mapping[str, str] = {}
    """memory and time that somebody asked for with the next attempt"""

    @property
    def is_over(self) -> bool:
        return self.status in ("completed", "failed")


def attempt_from_row(row: Mapping[str, Any]) -> Attempt:
    """Turn a row of evaluation_jobs or analysis_jobs into an Attempt."""

    def moment(name: str) -> datetime | None:
        return parse_iso(row[name]) if row[name] else None

    metadata = msgspec.json.decode(row["metadata"])
    return Attempt(
        token=row["token"],
        number=row["attempt"],
        status=row["status"],
        signal_sha256=row["signal_sha256"] or "",
        executor=row["executor"],
        resources=msgspec.json.decode(row["resources"], type=Resources),
        input_path=str(metadata.get("input_path", "")),
        queued_at=parse_iso(row["queued_at"]),
        parent_id=row.get("training_run_id", row.get("evaluation_job_id")),
        not_before=moment("not_before"),
        job_id=row["slurm_job_id"],
        script_path=row["script_path"],
        submitted_at=moment("submitted_at"),
        started_at=moment("started_at"),
        scheduler_state=row["scheduler_state"],
        pending_reason=row["pending_reason"],
        exit_code=row["exit_code"],
        error_message=row["error_message"],
        error_tail=tuple(metadata.get("error_tail", ())),
        failure_class=row["failure_class"],
        retry_at=moment("retry_at"),
        nodes=row["nodes"],
        restarts=row["restarts"],
        cancel_requested_at=moment("cancel_requested_at"),
        requested_by=row["requested_by"],
        requested_resources=msgspec.json.decode(row["requested_resources"], type=dict[str, str]),
    )


class Evidence(Struct, frozen=True, kw_only=True):
    """What is known of an attempt in flight, besides its row."""

    report: JobReport | None = None
    """what the scheduler tells; None where it does not list the job or was not asked"""
    missing_since: datetime | None = None
    """since when the scheduler, when asked, has not listed the job"""
    over_since: datetime | None = None
    """since when the job is known to be over, by the scheduler's or the job's own word"""
    was_looked_for: bool = True
    """whether the drive was looked at for this job, after the scheduler told; else nothing is concluded"""
    has_done_signal: bool = False
    """the stage's done signal names this job, and what it announces is there and valid"""
    problem: str | None = None
    """what is wrong with the done signal or its outputs; or what the stage's failed signal tells"""


class StageFacts(Struct, frozen=True, kw_only=True):
    """One stage of one experiment, now."""

    experiment: str
    stage: str
    trigger: Trigger | None = None
    attempt: Attempt | None = None
    evidence: Evidence = Evidence()
    claimed_by: str | None = None
    """the job that claimed the attempt on the drive, though this watcher knows of none that it submitted"""
    look_up_at: datetime | None = None
    """set while it is in doubt whether the attempt was submitted: when its name is to be looked up"""
    look_up_until: datetime | None = None
    """when a look-up that finds nothing is believed"""
