"""What cannot be used is kept with its reason, for a person to look at.

    state/quarantine/20260131T090500123Z-EXPERIMENT-.training_complete/
        content      the bytes as they were found (none where they could not be read)
        reason.json  path, reason, when, sha256
    state/quarantine/released/                      entries that somebody has taken out again

The original stays where it is: it belongs to whoever wrote it, and the watcher may not be allowed to move it.
A corrected file has other content and is taken up at once.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from heliograph.drive import Drive
from heliograph.durable import durable
from heliograph.files import read_untrusted, write_atomic
from heliograph.names import iso

_MOST_REASON = 1 << 20
RELEASED = "released"


class Reason(Struct, frozen=True):
    """Why a file was put aside."""

    path: str
    reason: str
    quarantined_at: str
    sha256: str


class Kept(Struct, frozen=True):
    """One entry of the quarantine."""

    name: str
    reason: Reason


def safe_label(text: str) -> str:
    """Reduce hostile text to a name: what a file, and an experiment in an event, may be called."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text).lstrip("._-")[:100] or "unnamed"


def keep_aside(drive: Drive, path: Path, raw: bytes, sha256: str, reason: str, now: datetime) -> str:
    """Copy `raw`, found at `path`, into the quarantine with its reason; return the entry's name."""
    folder = _make_entry(drive, path, Reason(str(path), reason, iso(now), sha256))
    write_atomic(folder / "content", raw)
    return folder.name


def move_aside(drive: Drive, path: Path, reason: str, now: datetime) -> str:
    """Move whatever stands at `path` (a file, FIFO, folder or link of the inbox) into the quarantine."""
    folder = _make_entry(drive, path, Reason(str(path), reason, iso(now), ""))
    with durable("rename", path):
        os.rename(path, folder / "content")
    return folder.name


def _make_entry(drive: Drive, path: Path, reason: Reason) -> Path:
    """Make the folder of an entry, with its reason; return it."""
    moment = re.sub(r"[-:.]", "", reason.quarantined_at)
    parts = (moment, safe_label(path.parent.name), safe_label(path.name), reason.sha256[:8])
    folder = drive.quarantine / "-".join(part for part in parts if part)
    folder.mkdir(parents=True, exist_ok=True)
    told = msgspec.json.format(msgspec.json.encode(reason), indent=2)
    write_atomic(folder / "reason.json", told + b"\n")
    return folder


def list_quarantine(drive: Drive, *, released: bool = False) -> list[Kept]:
    """List what is kept aside, oldest first; an entry without a readable reason is listed with that fact.

    `released` asks for what was taken out again. A symbolic link is no entry: others may write here.
    """
    entries = []
    for folder in _entries(drive.released if released else drive.quarantine):
        try:
            reason = msgspec.json.decode(read_untrusted(folder / "reason.json", _MOST_REASON), type=Reason)
        except (OSError, msgspec.DecodeError):
            reason = Reason(str(folder), "the reason could not be read", "", "")
        entries.append(Kept(folder.name, reason))
    return entries


def _entries(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(one.name for one in entries if one.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
    return [folder / name for name in names if name != RELEASED]
