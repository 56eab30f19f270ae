"""What cannot be used is kept with its reason, for a person to look at.

    state/quarantine/EXPERIMENT-training_complete-1a2b3c4d/
        content      the bytes as they were found (none where they could not be read)
        reason.json  path, reason, when, sha256
    state/quarantine/released/                      entries that somebody has taken out again

The original stays where it is: it belongs to whoever wrote it, and the watcher may not be allowed to move it.
A corrected file has other content and is taken up at once.
"""

from __future__ import annotations

import hashlib
import os
import re
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from heliograph.drive import Drive
from heliograph.durable import durable
from heliograph.errors import plain
from heliograph.files import make_folder, read_untrusted, write_atomic
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


def keep_aside(drive: Drive, path: Path | str, raw: bytes, sha256: str, reason: str, now: datetime) -> str:
    """Copy `raw`, found at `path`, into the quarantine with its reason; return the entry's name.

    The name follows from path and content alone: whoever dies here and does it again makes the same entry.
    """
    folder = _make_entry(drive, Path(path), Reason(plain(str(path)), reason, iso(now), sha256), sha256)
    write_atomic(folder / "content", raw)
    return folder.name


def move_aside(drive: Drive, path: Path, reason: str, now: datetime) -> str:
    """Move whatever stands at `path` (a file, FIFO, folder or link of the inbox) into the quarantine."""
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()
    told = Reason(plain(str(path)), reason, iso(now), "")
    folder = _make_entry(drive, path, told, digest)
    while os.path.lexists(folder / "content"):  # the same name again: the first one is kept, too
        digest = hashlib.sha256(digest.encode()).hexdigest()
        folder = _make_entry(drive, path, told, digest)
    with durable("rename", path):
        os.rename(path, folder / "content")
    return folder.name


def _make_entry(drive: Drive, path: Path, reason: Reason, digest: str) -> Path:
    """Make the folder of an entry, with its reason; return it. The digest tells apart what looks alike when
    it is made safe."""
    folder = drive.quarantine / "-".join((safe_label(path.parent.name), safe_label(path.name), digest[:8]))
    make_folder(folder)
    told = msgspec.json.format(msgspec.json.encode(reason), indent=2)
    write_atomic(folder / "reason.json", told + b"\n")
    return folder


def list_quarantine(drive: Drive, *, released: bool = False) -> list[Kept]:
    """List what is kept aside, oldest first; an entry without a readable reason is listed with that fact.

    `released` asks for what was taken out again. Others can write here too: a symbolic link is no entry, and
    all text is made plain, so that it can be printed.
    """
    entries = []
    for folder in _entries(drive.released if released else drive.quarantine):
        try:
            told = msgspec.json.decode(read_untrusted(folder / "reason.json", _MOST_REASON), type=Reason)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            told = Reason(str(folder), "the reason could not be read", "", "")
        made_plain = Reason(**{name: plain(getattr(told, name)) for name in Reason.__struct_fields__})
        entries.append(Kept(plain(folder.name), made_plain))
    return sorted(entries, key=lambda kept: kept.reason.quarantined_at)


def _entries(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(one.name for one in entries if one.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
    return [folder / name for name in names if name != RELEASED]
