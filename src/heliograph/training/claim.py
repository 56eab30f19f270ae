"""Who trains an experiment: exactly one run owns models/EXPERIMENT, however many start at once.

The owner is whoever made the folder: mkdir has one winner on every drive that was measured. It then says who
it is in `.run.json`. A run that finds the folder there is refused, unless it is asked to begin anew: then
the old folder is moved aside, whole, to models/.superseded/EXPERIMENT-IDENTITY. The identity is what was
*seen* in the folder, so the move is a compare-and-swap: of two runs that move the same folder aside, the
second finds either no folder or a target that is taken (and leaves the new folder alone); so it has lost.

Before each write a run looks whether the folder is still its own (`Claim.check`): one that was believed dead
on another host, and was superseded, no longer writes among the files of its successor.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from heliograph.drive import Drive
from heliograph.durable import durable
from heliograph.errors import UsageError
from heliograph.files import make_folder, make_folder_once, read_untrusted, sync_folder, write_new
from heliograph.names import host_name
from heliograph.protocol.signals import LARGEST_SIGNAL, TRAINING_COMPLETE

_OWNER_FILE = ".run.json"
_ENDED_FILE = ".run_ended"
_SUPERSEDED = ".superseded"  # hidden: whoever lists models/ takes names of experiments only


class Owner(Struct, frozen=True):
    """The run that owns a model folder. `process` tells one process from a later one with the same pid."""

    run: str
    host: str
    pid: int
    process: str
    started_at: str


class Seen(Struct, frozen=True):
    """What stood in an experiment's model folder when it was looked at."""

    identity: str
    """differs whenever another run has taken the folder; empty where nobody has said yet that it is theirs"""
    owner: Owner | None = None
    is_complete: bool = False
    has_models: bool = False
    is_alive: bool | None = None
    """whether the owner still runs; None where it ran on another host, or is not known"""


class ClaimLost(OSError):
    """The model folder belongs to another run now."""


class Claim:
    """The right of one run to write below its model folder."""

    def __init__(self, folder: Path, owner: Owner) -> None:
        self.folder = folder
        self.owner = owner

    def check(self) -> None:
        """Raise ClaimLost if another run owns the folder now, OSError if it cannot be told."""
        owner = _read_owner(self.folder)
        if owner is None:  # an unmounted drive is an empty folder
            raise FileNotFoundError(f"{self.folder / _OWNER_FILE} is not there")
        if owner.run != self.owner.run:
            raise ClaimLost(f"{self.folder} belongs to another run now: {owner.run} on {owner.host}")

    def release(self, how: str) -> None:
        """Write down that the run has ended; its process may go on, and may begin the experiment anew."""
        self.check()
        write_new(self.folder / _ENDED_FILE, f"{how}\n".encode())


def start_claim(drive: Drive, experiment: str, owner: Owner, *, overwrite: bool) -> tuple[Claim, Path | None]:
    """Take the model folder for a new run; also return where an earlier run's folder was moved, if any.

    Raises UsageError, saying what to do, when the experiment is there already or somebody else was first.
    """
    folder = drive.model_folder(experiment)
    aside = None
    if not make_folder_once(folder):
        seen = look(drive, experiment)
        if seen is not None:
            check_startable(experiment, folder, seen, overwrite=overwrite)
            aside = _move_aside(drive, experiment, seen)
        if not make_folder_once(folder):
            raise _somebody_was_first(experiment)
    claim = Claim(folder, owner)
    try:
        write_new(folder / _OWNER_FILE, msgspec.json.format(msgspec.json.encode(owner), indent=2) + b"\n")
        claim.check()
    except (ClaimLost, FileNotFoundError):  # moved aside while it was still without an owner
        raise _somebody_was_first(experiment) from None
    return claim, aside


def look(drive: Drive, experiment: str) -> Seen | None:
    """Look at an experiment's model folder; None if there is none.

    All of it is read through one handle: should the folder be moved aside meanwhile, and a new one take its
    name, then this still is a look at the old one, and not at something of each.
    """
    try:
        handle = os.open(drive.model_folder(experiment), os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        folder = Path(f"/proc/self/fd/{handle}")
        names = {path.name for path in folder.iterdir()}
        owner = _read_owner(folder)
        is_begun = any(not name.endswith(".tmp") for name in names)  # an owner who just says so is not enough
        identity = owner.run if owner else f"inode-{os.fstat(handle).st_ino}"
        return Seen(
            identity=identity if is_begun else "",
            owner=owner,
            is_complete=TRAINING_COMPLETE.file_name in names,
            has_models=bool(names & {"final", "checkpoints"}),
            is_alive=_is_alive(owner, names),
        )
    finally:
        os.close(handle)


def _is_alive(owner: Owner | None, names: set[str]) -> bool | None:
    if _ENDED_FILE in names:
        return False
    return None if owner is None or owner.host != host_name() else is_running(owner)


def check_startable(experiment: str, folder: Path, seen: Seen, *, overwrite: bool) -> None:
    """Decide whether a new run may take over a folder in which `seen` stands. Raises UsageError if not."""
    anew = "Give it another name, or begin anew with --overwrite: the old folder is then moved aside"
    if not seen.identity:
        reason, remedy = f"{folder} is empty", "If no other run is just starting, remove that folder"
    elif seen.is_alive and seen.owner and not seen.is_complete:
        reason = f"{experiment} is being trained by process {seen.owner.pid} on this host"
        remedy = "Wait until it ends, or end it first"
    elif overwrite:
        return
    elif seen.is_complete:
        reason, remedy = f"{experiment} is trained already (it has a .training_complete)", anew
    elif seen.is_alive is None:
        who = f"run {seen.owner.run} on {seen.owner.host}" if seen.owner else "somebody"
        reason, remedy = f"{experiment} was begun by {who}, which may still be at work", anew
    elif seen.has_models:
        reason, remedy = f"{experiment} was begun and broken off, and has checkpoints", anew
    else:
        return  # begun on this host, ended before it saved anything: nobody loses
    raise UsageError(reason=reason, remedy=f"{remedy}.")


def _move_aside(drive: Drive, experiment: str, seen: Seen) -> Path:
    aside = drive.models / _SUPERSEDED / f"{experiment}-{seen.identity}"
    make_folder(aside.parent)
    try:
        with durable("rename", aside):
            os.rename(drive.model_folder(experiment), aside)
    except OSError:  # gone, or (the target is not empty) moved by another run that has taken the name since
        raise _somebody_was_first(experiment) from None
    for folder in (aside.parent, drive.models):
        sync_folder(folder)
    return aside


def _somebody_was_first(experiment: str) -> UsageError:
    reason = f"another run of {experiment} was started at the same moment, and was first"
    return UsageError(reason=reason, remedy="Look at heliograph status before you start it again.")


def this_process(run: str, started_at: str) -> Owner:
    """Describe this process as an owner."""
    return Owner(run, host_name(), os.getpid(), _process_identity(os.getpid()) or "", started_at)


def is_running(owner: Owner) -> bool:
    """Tell whether a process of this host still is the one that `owner` describes."""
    return _process_identity(owner.pid) == owner.process


def _process_identity(pid: int) -> str | None:
    """Return boot id and start time of a process; None if there is none, or it has ended (a zombie)."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        # after the command's name in brackets: state is the 1st field, starttime the 20th (proc(5))
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        fields = status.rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return None if fields[0] in "ZX" else f"{boot}-{fields[19]}"
    return None


def _read_owner(folder: Path) -> Owner | None:
    raw = _read_or_none(folder / _OWNER_FILE)
    try:
        return None if raw is None else msgspec.json.decode(raw, type=Owner)
    except msgspec.DecodeError:
        return None


def _read_or_none(path: Path) -> bytes | None:
    try:
        return read_untrusted(path, LARGEST_SIGNAL)
    except FileNotFoundError:
        return None
