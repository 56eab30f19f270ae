"""Limits of this host: file events, open files, and whether its clock is kept right."""

from __future__ import annotations

import ctypes
import resource
from pathlib import Path

from msgspec import Struct

from heliograph.config import load_watcher_config
from heliograph.doctor.finding import Area, Context, Finding, Step
from heliograph.drive import Drive
from heliograph.errors import StateError
from heliograph.state.views import Snapshots, read_overview

AREA = Area("limits")
_INOTIFY = Path("/proc/sys/fs/inotify")
_WATCHES_AN_EXPERIMENT = 3  # models/E, evaluation/E, analysis/reports/E
_WATCHES_ALWAYS = 2
_LEAST_FREE_SHARE = 0.5
_LEAST_INSTANCES = 8
_LEAST_FILES = 256
_UNSYNCHRONISED = 5  # adjtimex(2): TIME_ERROR
_TIMEX_BYTES = 512  # more than struct timex has anywhere


def steps(context: Context) -> list[Step]:
    drive = Drive(context.drive)
    return [
        Step("open files", lambda: [judge_open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])]),
        Step("clock", lambda: [judge_clock(probe_clock())]),
        *([Step("file events", lambda: [_look_at_inotify(drive)])] if context.drive_answers else []),
    ]


class Watches(Struct, frozen=True):
    """How many folders can be watched, by how many programs, and how many experiments have open work."""

    most: int
    instances: int
    open_experiments: int


def _look_at_inotify(drive: Drive) -> Finding:
    asked = load_watcher_config(drive).detection.inotify
    if asked == "off" or (asked == "auto" and drive.is_network()):
        return AREA.skipped("file events", "not used on this drive, which is listed instead")
    most, instances = (
        int((_INOTIFY / name).read_text()) for name in ("max_user_watches", "max_user_instances")
    )
    return judge_inotify(Watches(most, instances, count_open(drive)))


def count_open(drive: Drive) -> int:
    """Return how many experiments have a stage that waits or runs; 0 where nothing is published yet."""
    try:
        with Snapshots(drive) as snapshots:
            snapshots.refresh()
            views = read_overview(snapshots).experiments
    except StateError:
        return 0
    return sum(view.status in ("running", "queued", "waiting") for view in views)


def judge_inotify(watches: Watches) -> Finding:
    """At the limit, an observer starts without an error and misses folders (seen): leave half of it free."""
    needed = _WATCHES_ALWAYS + _WATCHES_AN_EXPERIMENT * watches.open_experiments
    told = f"{needed} watches of {watches.most} are needed, {watches.instances} instances"
    if needed > watches.most * _LEAST_FREE_SHARE:
        told += "; beyond the limit, folders are missed without a word and found by the sweep only"
        return AREA.warn("file events", told, f"sysctl fs.inotify.max_user_watches={max(524288, 4 * needed)}")
    if watches.instances < _LEAST_INSTANCES:
        return AREA.warn("file events", told, "sysctl fs.inotify.max_user_instances=128")
    return AREA.ok("file events", told)


def judge_open_files(limit: int) -> Finding:
    if limit == resource.RLIM_INFINITY:
        return AREA.ok("open files", "no limit")
    if limit < _LEAST_FILES:
        told = f"only {limit} may be open at once"
        return AREA.warn("open files", told, "ulimit -n 1024   # or LimitNOFILE=1024 in the unit")
    return AREA.ok("open files", f"{limit} at once")


def probe_clock() -> bool | None:
    """Ask the kernel whether something keeps the clock right; None where it does not tell. Changes nothing:
    the structure's `modes` is 0."""
    try:
        answer = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except AttributeError:  # a C library without it
        return None
    return None if answer < 0 else answer != _UNSYNCHRONISED


def judge_clock(is_synchronised: bool | None) -> Finding:
    if is_synchronised is None:
        return AREA.skipped("clock", "whether it is kept right cannot be told here")
    if is_synchronised:
        return AREA.ok("clock", "kept right by NTP or its like")
    told = "nothing keeps it right: times that hosts tell drift apart"
    return AREA.warn("clock", told, "timedatectl set-ntp true   # or apt install chrony")
