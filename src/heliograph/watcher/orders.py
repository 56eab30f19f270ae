"""What the watcher asks of its hands, and what they answer: plain values that pass between two processes.

A pass has two halves. `LookOrder` → `Seen`: everything that is read. `TellOrder` → `Told`: everything that is
written. Between them the watcher decides, and touches no drive.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from heliograph.protocol.events import Event
from heliograph.state.journal import Pending
from heliograph.state.publish import Snapshot
from heliograph.watcher.look import Broken, Sighting


class Beat(Struct, frozen=True):
    """What the lease shows of the watcher."""

    memory_mb: float
    slurm_calls_last_hour: int | None


class LookOrder(Struct, frozen=True, kw_only=True):
    """Read the inbox and look at experiments."""

    now: datetime
    experiments: list[str]
    """in the order in which they are looked at, until `budget_s` is over; what the inbox names comes first"""
    in_flight: dict[str, dict[str, str]] = {}
    """jobs whose results are looked for: {experiment: {stage: job id}}"""
    known: dict[str, dict[str, str]] = {}
    """finished experiments to look at in the background: {experiment: {signal file: sha256 known}}"""
    tokens: list[str] = []
    """attempts that are not submitted: did a job claim them?"""
    to_close: list[str] = []
    """attempts that ended, before the next one of that work is submitted: no job may begin them any more"""
    arrays: dict[str, tuple[str, str, str]] = {}
    """attempts to be submitted as job arrays, whose parts are listed: {token: (stage, experiment, input)}"""
    sweep: bool = False
    """list the experiments, too, if there may be others than before"""
    list_all: bool = False
    """list them in any case"""
    beat: Beat | None = None
    budget_s: float = 0.4


class Looked(Struct, kw_only=True):
    """One experiment, as it was seen."""

    seen: dict[str, Sighting] = {}
    broken: list[Broken] = []
    evidence: dict[str, tuple[bool, str | None]] = {}
    """of each stage in flight: whether its job's done signal and outputs are there, else what is wrong"""


class Seen(Struct, kw_only=True):
    """What the drive shows."""

    events: list[Event] = []
    waiting: bool = False
    """whether more waits in the inbox than was read"""
    looked: dict[str, Looked] = {}
    trouble: dict[str, str] = {}
    """experiments that could not be looked at, and why"""
    searched: list[str] = []
    """experiments of `known` that were looked at"""
    news: list[str] = []
    """those of them whose signals are not the known ones"""
    unsettled: set[str] = set()
    """experiments with a signal that is broken, or whose files still change"""
    settling: bool = False
    """whether one of those may still become good"""
    claims: dict[str, str] = {}
    """attempts that a job has claimed: {token: job id}"""
    parts: dict[str, list[str]] = {}
    """the parts of attempts that are to be job arrays"""
    experiments: list[str] | None = None
    hostile_folders: list[str] = []
    took_s: float = 0.0


class Aside(Struct, frozen=True, kw_only=True):
    """A signal, or a folder, to be kept in the quarantine."""

    stage: str
    experiment: str
    path: str
    raw: bytes
    sha256: str
    reason: str


class TellOrder(Struct, frozen=True, kw_only=True):
    """Write down what was decided. Every part may be written twice."""

    now: datetime
    journal: list[Pending] = []
    taken: list[str] = []
    """events that are in `journal`, or in the journal already: they leave the inbox"""
    unusable: dict[str, str] = {}
    """events that cannot be applied, and why"""
    asides: list[Aside] = []
    scripts: dict[str, bytes] = {}
    """copies of batch scripts, for people: {file name: content}"""
    snapshots: list[Snapshot] = []
    log: bytes = b""
    """lines for the watcher's log"""

    def is_empty(self) -> bool:
        return not (
            self.journal
            or self.taken
            or self.unusable
            or self.asides
            or self.scripts
            or self.snapshots
            or self.log
        )


class Told(Struct, kw_only=True):
    """What was written. What is not here failed and is in `trouble`; it is not needed for the truth."""

    kept_as: list[str] = []
    """the entries of `asides`, in order"""
    published: list[str] = []
    log_bytes: int = 0
    trouble: list[str] = []
