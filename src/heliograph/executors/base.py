"""The contract of an executor: whoever takes a batch script and runs it, on this machine or on a cluster.

Absence is not a state: a job that an executor does not list is simply missing from its answers. What
follows from that is decided elsewhere, with more evidence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from msgspec import Struct


class JobState(StrEnum):
    """Slurm's words for a job, reduced to those that ask for different things."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    NODE_FAIL = "NODE_FAIL"
    PREEMPTED = "PREEMPTED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"
    """whoever could tell did not answer: nothing is concluded, not even that the job is missing"""

    @property
    def is_over(self) -> bool:
        return self not in (JobState.PENDING, JobState.RUNNING, JobState.UNKNOWN)


class FailureClass(StrEnum):
    """What a failure asks for."""

    TRANSIENT = "transient"  # the same again, later
    RESOURCES = "resources"  # again with more memory or time
    NODE = "node"  # again, elsewhere
    PERMANENT = "permanent"  # no use in trying again; tell
    HOLD = "hold"  # keep, tell, try again rarely
    CANCELLED = "cancelled"  # somebody wanted it so
    VANISHED = "vanished"  # the scheduler forgot it and nothing tells how it ended


class JobReport(Struct, frozen=True, kw_only=True):
    """What an executor tells of one job now. Times are UTC; `reason` is the scheduler's own word."""

    job_id: str
    name: str
    state: JobState
    reason: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    nodes: str | None = None
    restarts: int | None = None
    """how often the scheduler has put the job back into its queue; None where it does not tell"""


class Executor(Protocol):
    """Runs batch scripts. Job names are unique for one attempt; they, not the ids, identify a job."""

    @property
    def name(self) -> str:
        """The executor's name in configuration and events."""
        ...

    @property
    def poll_every_s(self) -> float:
        """How long to wait between two polls: its etiquette."""
        ...

    @property
    def settle_s(self) -> float:
        """How long after a doubtful submission the job may still appear under its name."""
        ...

    @property
    def calls_last_hour(self) -> int | None:
        """How often the scheduler was called in the last hour; None where there is none to be spared."""
        ...

    def submit(self, script: Path, job_name: str) -> str:
        """Hand in a script; return the job's id.

        Raises SubmissionRefused (nothing was taken; says of which class the refusal is) or
        SubmissionDoubtful (it may have been taken: look the name up first).
        """
        ...

    def find(self, names: Collection[str]) -> dict[str, list[JobReport]]:
        """Look jobs up by their names, ended ones included as far back as is known, in one batched call.

        An empty list says that nobody knows the name. A name that is not in the answer was asked in vain:
        who could tell did not, and nothing follows from it. Raises PollFailed where nothing was answered.
        """
        ...

    def poll(self, jobs: Mapping[str, str]) -> dict[str, JobReport]:
        """Tell of the jobs {id: name} what is known, in one batched call. A job whose name differs from
        the one given is another job (ids are reused after a crash) and is left out.

        A job of which nobody could tell is UNKNOWN, with the reason; the others are told all the same.
        Raises PollFailed where nothing was answered.
        """
        ...

    def cancel(self, job_id: str, job_name: str) -> None:
        """End a job if it is still the one of that name. An unknown job is let be. Raises PollFailed."""
        ...
