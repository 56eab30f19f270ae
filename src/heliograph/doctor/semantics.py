"""What every part of heliograph takes for granted of the drive, tried out in a folder of the doctor's own."""

from __future__ import annotations

import errno
import os
import threading
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from statistics import median

from msgspec import Struct

from heliograph.doctor.finding import Area, Finding
from heliograph.files import sync_folder, write_atomic

AREA = Area("drive")
_RACERS = 8
_ROUNDS = 5
_LONG_NAME = (
    222  # the longest that is written: a temporary name around one of 128 letters, host, pid, counter
)
_WRITES = 7
_SLOW_WRITE_S = 1.0
_SKEW_TOLD_S = 2.0
_SKEW_BAD_S = 300.0
_OTHER_DRIVE = (
    "Put the drive on a file system that can: ext4, xfs, NFS 4.1 or newer, sshfs with dir_cache=no."
)


def attempt(action: Callable[[], object]) -> str:
    """Do something; return the name of the error that it ends with, empty where there is none."""
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return ""


# Whole files ----------------------------------------------------------------------------------------


class Whole(Struct, frozen=True):
    """How each step of writing a whole file ended: the error's name, or empty."""

    fsync_file: str = ""
    rename_new: str = ""
    rename_over: str = ""
    fsync_folder: str = ""
    content_is_new: bool = True


def probe_whole(folder: Path) -> Whole:
    """Write, sync and rename: to a name never used, then over it."""
    first, second, target = folder / "first", folder / "second", folder / "target"

    def write_synced(path: Path) -> None:
        with path.open("wb") as file:
            file.write(path.name.encode())
            file.flush()
            os.fsync(file.fileno())

    fsync_file = attempt(lambda: write_synced(first)) or attempt(lambda: write_synced(second))
    rename_new = attempt(lambda: os.rename(first, target))
    rename_over = attempt(lambda: os.replace(second, target))
    fsync_folder = attempt(lambda: sync_folder(folder))
    content = target.read_bytes() if target.exists() else b""
    return Whole(fsync_file, rename_new, rename_over, fsync_folder, content == b"second")


def judge_whole(whole: Whole) -> Finding:
    if whole.rename_over == "EPERM" and not whole.rename_new:
        told = "a file cannot be replaced (EPERM): this sftp server lacks posix-rename@openssh.com"
        return AREA.bad("whole files", told, "Let OpenSSH's sftp-server serve the drive.")
    names = {
        "fsync_file": "fsync",
        "rename_new": "rename",
        "rename_over": "rename over a file",
        "fsync_folder": "fsync of a folder",
    }
    failed = [f"{told}: {getattr(whole, name)}" for name, told in names.items() if getattr(whole, name)]
    if failed:
        return AREA.bad(
            "whole files", f"{', '.join(failed)}; nothing can be published safely here", _OTHER_DRIVE
        )
    if not whole.content_is_new:
        told = "a file that was just replaced is read with its old content; databases may be read stale"
        return AREA.bad("whole files", told, _OTHER_DRIVE)
    return AREA.ok("whole files", "fsync and rename, to a new name and over a file")


# One winner -----------------------------------------------------------------------------------------


class Race(Struct, frozen=True):
    """How many won each round."""

    mkdir: list[int]
    create: list[int]


def probe_race(folder: Path) -> Race:
    """Let threads make the same folder, and the same file, at the same moment."""

    def create(path: Path) -> None:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))

    return Race(
        [_winners(folder / f"made-{n}", os.mkdir) for n in range(_ROUNDS)],
        [_winners(folder / f"created-{n}", create) for n in range(_ROUNDS)],
    )


def _winners(path: Path, take: Callable[[Path], None]) -> int:
    barrier = threading.Barrier(_RACERS)
    errors: list[str] = []

    def race() -> None:
        barrier.wait()
        errors.append(attempt(lambda: take(path)))

    threads = [threading.Thread(target=race, daemon=True) for _ in range(_RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors.count("")


def judge_race(race: Race) -> Finding:
    if any(winners != 1 for winners in (*race.mkdir, *race.create)):
        told = (
            f"of {_RACERS} that made the same name, {race.mkdir} (mkdir) and {race.create} (O_EXCL) won; "
            "one was allowed to: a job could run twice"
        )
        return AREA.bad("one winner", told, _OTHER_DRIVE)
    return AREA.ok("one winner", "of mkdir and O_EXCL (between hosts: --peer)")


# Names ----------------------------------------------------------------------------------------------


class Names(Struct, frozen=True):
    """Which names the drive can keep apart, and whether it takes long ones."""

    case: bool
    unicode: bool
    long: str = ""


def probe_names(folder: Path) -> Names:
    def are_two(first: str, second: str) -> bool:
        (folder / first).write_bytes(b"1")
        (folder / second).write_bytes(b"2")
        return (folder / first).read_bytes() == b"1"

    composed = "n\u00e9"
    long = folder / ("n" * _LONG_NAME)
    return Names(
        are_two("name", "NAME"),
        are_two(composed, unicodedata.normalize("NFD", composed)),
        attempt(lambda: long.write_bytes(b"")),
    )


def judge_names(names: Names) -> Finding:
    if names.long:
        told = (
            f"a name of {_LONG_NAME} letters is refused ({names.long}); experiments' names have to be short"
        )
        return AREA.bad("names", told, _OTHER_DRIVE)
    same = [told for told, apart in (("case", names.case), ("form of Unicode", names.unicode)) if not apart]
    if same:
        told = f"names that differ by {' or '.join(same)} only are one: two experiments could be one folder"
        return AREA.warn("names", told, "Give experiments names that differ by more than that.")
    return AREA.ok("names", "kept apart by case and form of Unicode; long ones")


# Time -----------------------------------------------------------------------------------------------


class Clock(Struct, frozen=True):
    """A file's mtime, between two looks at this host's clock."""

    before_s: float
    mtime_s: float
    after_s: float


def probe_clock(folder: Path) -> Clock:
    before_s = time.time()
    path = folder / "clock"
    path.write_bytes(b"tick")
    return Clock(before_s, path.stat().st_mtime, time.time())


def skew_s(clock: Clock) -> float:
    """Return by how much the drive's clock is ahead of ours, 0 where it may be the same. sftp tells whole
    seconds only, cut off."""
    if clock.mtime_s > clock.after_s:
        return clock.mtime_s - clock.after_s
    latest = clock.mtime_s + (1.0 if clock.mtime_s.is_integer() else 0.0)
    return min(0.0, latest - clock.before_s)


def judge_clock(clock: Clock) -> Finding:
    skew = skew_s(clock)
    if abs(skew) <= _SKEW_TOLD_S:
        return AREA.ok("clock", "the drive's and this host's agree")
    told = f"the drive's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this host's"
    remedy = "timedatectl set-ntp true   # on this host and on the file server"
    if abs(skew) > _SKEW_BAD_S:
        return AREA.bad("clock", f"{told}: old generations of databases may be removed too early", remedy)
    return AREA.warn("clock", f"{told}: times that are shown, and the order of events, are off", remedy)


class Speed(Struct, frozen=True):
    """Medians, in seconds."""

    write_s: float
    list_s: float
    listed: int


def probe_speed(folder: Path, inbox: Path) -> Speed:
    """Time a small whole write, and a listing of the inbox."""
    writes, listings, listed = [], [], 0
    for number in range(_WRITES):
        began = time.monotonic()
        write_atomic(folder / f"speed-{number}", b"x" * 512)
        writes.append(time.monotonic() - began)
    for _ in range(3):
        began = time.monotonic()
        listed = sum(1 for _ in inbox.iterdir())
        listings.append(time.monotonic() - began)
    return Speed(median(writes), median(listings), listed)


def judge_speed(speed: Speed, inbox_every_s: float) -> Finding:
    told = f"a small file {_ms(speed.write_s)}, a listing {_ms(speed.list_s)} (medians)"
    if speed.list_s > inbox_every_s:
        told += f"; the inbox is to be listed every {inbox_every_s:g} s, which this drive does not manage"
        every = 2 * max(1.0, speed.list_s)
        return AREA.warn("speed", told, f"In config/watcher.yaml: detection.inbox_every_s: {every:.0f}")
    if speed.write_s > _SLOW_WRITE_S:
        told += "; every event waits so long"
        return AREA.warn("speed", told, "Look for load on the file server and the network.")
    return AREA.ok("speed", told)


def _ms(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"
