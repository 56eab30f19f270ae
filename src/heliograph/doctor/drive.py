"""The drive: is it this drive, how is it mounted, and can it do what everything else relies on?"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from heliograph.config import load_watcher_config, local_state_folder
from heliograph.doctor import semantics
from heliograph.doctor.finding import Area, Context, Finding, Role, Step
from heliograph.doctor.mount import command_lines, find_sshfs, is_read_only, judge_mount
from heliograph.doctor.scratch import can_be_made, homes, scratch
from heliograph.drive import Drive
from heliograph.errors import NotADrive
from heliograph.files import temporary_name, write_atomic
from heliograph.mounts import Mount, mount_of
from heliograph.watcher.bell import Bell

AREA = Area("drive")
_LEAST_SHARE = 0.10
_LEAST_LOCAL_BYTES = 1 << 30
_BELL_S = 2.0
_GB = 1e9


def steps(context: Context) -> list[Step]:
    """Look at the mount table first: it answers also when the drive does not."""
    drive, role = Drive(context.drive), context.role
    first = [
        Step("mount", lambda: _look_at_mount(drive)),
        Step("identity", lambda: [look_at_identity(drive)], needed=True),
        Step("space", lambda: judge_space(probe_space(drive.root))),
        Step("access", lambda: [_look_at_access(drive, role)]),
    ]
    tried = [] if role == "monitoring" else [Step("semantics", lambda: _try_out(drive))]
    return [*first, *tried, Step("local state", lambda: _look_at_local(drive, role))]


# Mount and identity ---------------------------------------------------------------------------------


def _look_at_mount(drive: Drive) -> list[Finding]:
    mount = mount_of(drive.root)
    process = find_sshfs(mount, command_lines()) if mount.type == "fuse.sshfs" else None
    return judge_mount(mount, process)


def look_at_identity(drive: Drive) -> Finding:
    try:
        return AREA.ok("identity", drive.read_id())
    except NotADrive:
        return judge_missing_id(drive.root, mount_of(drive.root))


def judge_missing_id(root: Path, mount: Mount) -> Finding:
    """Tell that a folder is no drive; on a local disk it may be what is there when no drive is mounted."""
    told = f"{root} has no .drive_id, so it is no drive"
    if not mount.is_network:
        told += "; it is on a local disk: is this the empty folder that the network drive is mounted on?"
    path = shlex.quote(str(root))
    return AREA.bad("identity", told, f"mount {path}   # or, to make a new drive: heliograph init {path}")


# Space ----------------------------------------------------------------------------------------------


class Space(Struct, frozen=True):
    """What is free for this user, and what there is."""

    folder: str
    free_bytes: int
    bytes: int
    free_inodes: int
    inodes: int
    """0 where the file system does not count them"""


def probe_space(folder: Path) -> Space:
    told = os.statvfs(folder)
    return Space(
        str(folder), told.f_bavail * told.f_frsize, told.f_blocks * told.f_frsize, told.f_favail, told.f_files
    )


def judge_space(space: Space, check: str = "space", least_bytes: int = 0) -> list[Finding]:
    """Less than a tenth is bad: whoever runs out of space writes half files, and trainings stop."""
    share = space.free_bytes / space.bytes if space.bytes else 1.0
    told = f"{space.free_bytes / _GB:.1f} GB of {space.bytes / _GB:.1f} GB are free ({100 * share:.0f} %)"
    remedy = f"du -xh --max-depth=2 {shlex.quote(space.folder)} | sort -h | tail   # what takes the space"
    if space.bytes and (share < _LEAST_SHARE or space.free_bytes < least_bytes):
        return [AREA.bad(check, told, remedy)]
    if space.inodes and space.free_inodes / space.inodes < _LEAST_SHARE:
        told += f", but only {100 * space.free_inodes / space.inodes:.0f} % of the inodes: few more files fit"
        return [AREA.bad(check, told, remedy.replace("du -xh", "du --inodes -xh"))]
    return [AREA.ok(check, told)]


# Access ---------------------------------------------------------------------------------------------


class Access(Struct, frozen=True):
    """For each folder, the error that a small file ended with; empty where it could be written."""

    mount_is_read_only: bool
    folders: dict[str, str]


def needed_folders(drive: Drive, role: Role) -> list[Path]:
    """List the folders that a host of this role writes to; of monitoring, those that it should not."""
    if role == "wild_west":
        return [drive.models, drive.inbox, drive.stage_logs("training")]
    if role == "monitoring":
        return [drive.models, drive.inbox, drive.published, drive.config]
    return drive.folders()


def probe_access(drive: Drive, role: Role) -> Access:
    def write(folder: Path) -> None:
        path = temporary_name(folder / "doctor")
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        finally:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    found = {
        str(folder.relative_to(drive.root)): semantics.attempt(lambda folder=folder: write(folder))  # type: ignore[misc]
        for folder in needed_folders(drive, role)
    }
    return Access(is_read_only(mount_of(drive.root)), found)


def _look_at_access(drive: Drive, role: Role) -> Finding:
    return judge_access(probe_access(drive, role), role, drive.root)


def judge_access(access: Access, role: Role, root: Path) -> Finding:
    refused = {name: error for name, error in access.folders.items() if error}
    if role == "monitoring":
        if len(refused) == len(access.folders):
            return AREA.ok("access", "read-only, which is all that monitoring needs")
        open_to_us = ", ".join(f"{name}/" for name in access.folders if name not in refused)
        told = f"this host can write to {open_to_us}; monitoring needs to read only (mlflow-artifacts/ aside)"
        return AREA.warn("access", told, "Mount the drive with ro, or run as a user who may only read.")
    if not refused:
        return AREA.ok("access", f"all {len(access.folders)} folders can be written")
    path = shlex.quote(str(root))
    if access.mount_is_read_only or set(refused.values()) == {"EROFS"}:
        return AREA.bad("access", "the drive is mounted read-only", f"mount -o remount,rw {path}")
    if missing := [name for name, error in refused.items() if error == "ENOENT"]:
        told = f"missing: {_several(missing)}"
        return AREA.bad("access", told, f"heliograph init {path}   # changes nothing that exists")
    told = ", ".join(f"{name}/ ({error})" for name, error in list(refused.items())[:4])
    remedy = f"chgrp -R LAB {path} && chmod -R g+rwXs {path}   # LAB: a group that this user is in"
    return AREA.bad("access", f"cannot write to {told}; {role} needs to", remedy)


def _several(names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(f"{name}/" for name in names[:4]) + more


# Trying it out --------------------------------------------------------------------------------------


def _try_out(drive: Drive) -> Iterator[Finding | str]:
    """Write in a folder of our own, where one can be made; access has told why where none can."""
    home = next((home for home in homes(drive) if can_be_made(home)), None)
    if home is None or is_read_only(mount_of(drive.root)):
        yield AREA.skipped("semantics", "nothing can be written, so nothing was tried out")
        return
    with scratch(home, "drive") as folder:
        yield "whole files"
        yield semantics.judge_whole(semantics.probe_whole(folder))
        yield "one winner"
        yield semantics.judge_race(semantics.probe_race(folder))
        yield "names"
        yield semantics.judge_names(semantics.probe_names(folder))
        yield "clock"
        yield semantics.judge_clock(semantics.probe_clock(folder))
        yield "file events"
        is_network = drive.is_network()
        yield judge_file_events(is_network, None if is_network else hears_files(folder))
        yield "speed"
        every_s = load_watcher_config(drive).detection.inbox_every_s
        yield semantics.judge_speed(semantics.probe_speed(folder, drive.inbox), every_s)


def hears_files(folder: Path) -> bool:
    """Tell whether a new file rings the watcher's own bell."""
    bell = Bell(watching=True)
    try:
        bell.watch([folder])
        write_atomic(folder / "bell", b"")
        return bell.sleep(_BELL_S)
    finally:
        bell.close()


def judge_file_events(is_network: bool, heard: bool | None) -> Finding:
    if is_network:
        told = "no network drive reports what other hosts write, so the inbox is listed instead"
        return AREA.ok("file events", told)
    if heard:
        return AREA.ok("file events", "inotify tells of new files at once")
    told = "inotify tells nothing, so new files are found by listing only"
    return AREA.warn("file events", told, "heliograph doctor limits")


# The local state folder -----------------------------------------------------------------------------


def _look_at_local(drive: Drive, role: Role) -> list[Finding]:
    folder = local_state_folder(load_watcher_config(drive).state_folder)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    mount = mount_of(there)
    return [
        judge_local_state(str(folder), mount, role),
        *judge_space(probe_space(there), "local space", _LEAST_LOCAL_BYTES),
    ]


def judge_local_state(folder: str, mount: Mount, role: Role) -> Finding:
    """The live databases use SQLite's WAL, which loses rows without an error on a network file system."""
    if not mount.is_network:
        return AREA.ok("local state", f"{folder} on {mount.type}, a local disk")
    told = f"{folder} is on {mount.type}, not a local disk"
    remedy = "export HELIOGRAPH_STATE=/var/lib/heliograph   # or state_folder in config/watcher.yaml"
    if role in ("wild_west", "monitoring"):
        return AREA.warn("local state", f"{told}: what waits to be delivered hangs with that server", remedy)
    return AREA.bad("local state", f"{told}: the databases would lose rows without an error", remedy)
