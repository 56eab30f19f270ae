"""What cannot be used is kept with its reason, for a person to look at.

    state/quarantine/20260131T090500123Z-EXPERIMENT-.training_complete/
        content      the bytes as they were found (none where they could not be read)
        reason.json  path, reason, when, sha256

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
from heliograph.files import make_folder, read_untrusted, write_new
from heliograph.names import iso

_MOST_REASON = 1 << 20


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
    """Copy `raw`, found at `path`, into the quarantine with its reason; return the entry's name.

    Repeatable: who died in the middle, or before it was noted, finds the entry and completes it.
    """
    told = Reason(str(path), reason, iso(now), sha256)
    folder = _find_entry(drive, path, told) or _new_entry(drive, path, told)
    write_new(folder / "content", raw)
    write_new(folder / "reason.json", _encode(told))
    return folder.name


def move_aside(drive: Drive, path: Path, reason: str, now: datetime) -> str:
    """Move whatever stands at `path` (a file, FIFO, folder or link of the inbox) into the quarantine.

    Repeatable: an entry that has no content yet is the one of who died in the middle.
    """
    told = Reason(str(path), reason, iso(now), "")
    folder = _find_entry(drive, path, told)
    if folder is None or os.path.lexists(folder / "content"):
        folder = _new_entry(drive, path, told)
    write_new(folder / "reason.json", _encode(told))
    with durable("rename", path):
        os.rename(path, folder / "content")
    return folder.name


def _entry_label(path: Path, reason: Reason) -> str:
    parts = (safe_label(path.parent.name), safe_label(path.name), reason.sha256[:8])
    return "-".join(part for part in parts if part)


def _find_entry(drive: Drive, path: Path, reason: Reason) -> Path | None:
    """Return the entry of this very content of this path, if it was begun before."""
    label = _entry_label(path, reason)
    for folder in sorted(drive.quarantine.iterdir()):
        if folder.name.partition("-")[2] == label:
            known = _read_reason(folder)
            if known is None or (known.path, known.sha256) == (reason.path, reason.sha256):
                return folder
    return None


def _new_entry(drive: Drive, path: Path, reason: Reason) -> Path:
    moment = re.sub(r"[-:.]", "", reason.quarantined_at)
    folder = drive.quarantine / f"{moment}-{_entry_label(path, reason)}"
    make_folder(folder)
    return folder


def _encode(reason: Reason) -> bytes:
    return msgspec.json.format(msgspec.json.encode(reason), indent=2) + b"\n"


def _read_reason(folder: Path) -> Reason | None:
    try:
        return msgspec.json.decode(read_untrusted(folder / "reason.json", _MOST_REASON), type=Reason)
    except (OSError, msgspec.DecodeError):
        return None


def list_quarantine(drive: Drive) -> list[Kept]:
    """List what is kept aside, oldest first; an entry without a readable reason is listed with that fact."""
    return [
        Kept(folder.name, _read_reason(folder) or Reason(str(folder), "the reason could not be read", "", ""))
        for folder in sorted(p for p in drive.quarantine.iterdir() if p.is_dir())
    ]
