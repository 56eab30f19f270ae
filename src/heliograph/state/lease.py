"""One watcher a drive: a lease that is taken by mkdir, the one call that has exactly one winner everywhere.

    state/locks/watcher/holder.json     host, pid, start time of the process, and a counter that beats

A holder on this host is alive if its process is. A holder on another host is alive as long as its counter
beats, by *our* clock: the hosts' clocks are never compared.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from heliograph.drive import Drive
from heliograph.durable import durable
from heliograph.errors import LeaseHeld
from heliograph.files import make_folder_once, read_untrusted, remove_file, temporary_name, write_atomic
from heliograph.names import host_name, iso, parse_iso
from heliograph.state.batch_names import highest_term

DEAD_AFTER_S = 30.0


class Holder(Struct, frozen=True):
    """Who has the lease."""

    host: str
    pid: int
    process_started: int
    beat: int
    at: str
    term: int = 0
    """counts the leases of this drive"""
    memory_mb: float | None = None
    slurm_calls_last_hour: int | None = None


class Owner(Struct, frozen=True):
    """A process, named for good."""

    host: str
    pid: int
    process_started: int

    @classmethod
    def here(cls) -> Owner:
        """Return this process."""
        return cls(host_name(), os.getpid(), process_start(os.getpid()) or 0)


def process_start(pid: int) -> int | None:
    """Return when a process of this host started, in clock ticks since boot; None if there is no such one.

    With the pid this names a process for good: pids are used again, start times of one pid are not. One that
    has ended and waits to be reaped (Z) is none any more.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])


def read_holder(drive: Drive) -> Holder | None:
    """Return who has the lease, as far as that can be read; None when nobody has or it is just changing."""
    try:
        return msgspec.json.decode(read_untrusted(drive.lease / "holder.json", 1 << 16), type=Holder)
    except (OSError, msgspec.DecodeError):
        return None


def is_dead_here(holder: Holder) -> bool:
    """Tell whether the holder was a process of this host that is gone."""
    return holder.host == host_name() and process_start(holder.pid) != holder.process_started


class Lease:
    """The watcher's lease on a drive, held for `owner`: this process, or the one that it works for."""

    def __init__(self, drive: Drive, owner: Owner | None = None) -> None:
        self.drive = drive
        self.owner = owner or Owner.here()
        self.term = 0
        """which lease of the drive this is, once it is taken; what is written under it bears the number"""
        self._beat = 0

    def take(
        self,
        now: datetime,
        *,
        wait_s: float = DEAD_AFTER_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the lease; raise LeaseHeld while somebody alive has it.

        1. mkdir: whoever makes the folder has the lease.
        2. Somebody has it: is it a process of this host that is gone, or does its counter stand still for
           `wait_s`? Then the folder is renamed away (one winner) and step 1 is tried once more.
        """
        before = 0
        for _ in range(2):
            if make_folder_once(self.drive.lease):
                self.term = 1 + max(before, highest_term(self.drive))
                self.beat(now)
                return
            holder = read_holder(self.drive)
            before = holder.term if holder else 0
            self._break_if_dead(now, wait_s, sleep)
        self._refuse(read_holder(self.drive), now)

    def _break_if_dead(self, now: datetime, wait_s: float, sleep: Callable[[float], None]) -> None:
        holder = read_holder(self.drive)
        if holder is None or not is_dead_here(holder):
            if wait_s <= 0:
                self._refuse(holder, now)
            sleep(wait_s)
            later = read_holder(self.drive)
            if later is not None and (holder is None or later.beat != holder.beat):
                self._refuse(later, now)
            if later is not None and later.host == host_name() and not is_dead_here(later):
                self._refuse(later, now)  # alive here, only slow
        aside = temporary_name(self.drive.lease)
        with contextlib.suppress(FileNotFoundError):
            with durable("rename", self.drive.lease):
                os.rename(self.drive.lease, aside)
            _remove(aside)

    def _refuse(self, holder: Holder | None, now: datetime) -> None:
        if holder is None:
            raise LeaseHeld(host="(just starting)", pid=0, age_s=0.0)
        age_s = max(0.0, (now - parse_iso(holder.at)).total_seconds())
        raise LeaseHeld(host=holder.host, pid=holder.pid, age_s=age_s)

    def beat(
        self, now: datetime, *, memory_mb: float | None = None, slurm_calls_last_hour: int | None = None
    ) -> None:
        """Show that the holder lives. The folder is ours; if it is gone, that is an OSError."""
        self._beat += 1
        holder = Holder(
            host=self.owner.host,
            pid=self.owner.pid,
            process_started=self.owner.process_started,
            beat=self._beat,
            at=iso(now),
            term=self.term,
            memory_mb=memory_mb,
            slurm_calls_last_hour=slurm_calls_last_hour,
        )
        write_atomic(self.drive.lease / "holder.json", msgspec.json.encode(holder).ljust(383) + b"\n")

    def check(self) -> None:
        """Raise LeaseHeld if somebody else has the lease by now. What cannot be read says nothing."""
        holder = read_holder(self.drive)
        if holder is not None and not self._is_owner(holder):
            raise LeaseHeld(host=holder.host, pid=holder.pid, age_s=0.0)

    def is_ours(self) -> bool:
        """Tell whether the lease names its owner."""
        holder = read_holder(self.drive)
        return holder is not None and self._is_owner(holder)

    def _is_owner(self, holder: Holder) -> bool:
        return Owner(holder.host, holder.pid, holder.process_started) == self.owner

    def release(self) -> None:
        """Give the lease back, if it is still ours."""
        if self.is_ours():
            aside = temporary_name(self.drive.lease)
            with durable("rename", self.drive.lease):
                os.rename(self.drive.lease, aside)
            _remove(aside)


def _remove(folder: Path) -> None:
    for path in folder.iterdir():
        remove_file(path)
    with durable("rmdir", folder):
        folder.rmdir()


@contextlib.contextmanager
def held(drive: Drive, now: datetime, *, wait_s: float = 0.0) -> Iterator[Lease]:
    """Hold the lease for a moment. Raises LeaseHeld while a watcher is alive."""
    lease = Lease(drive)
    lease.take(now, wait_s=wait_s)
    try:
        yield lease
    finally:
        lease.release()
