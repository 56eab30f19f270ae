"""Taking something out of the quarantine: a signal is looked at again, an event goes back into the inbox.

Anybody may have written `reason.json`. Nothing is written where it says: the places follow from this drive's
own layout, and are checked to be inside it. Each step may be repeated, so that a release which died half-way
is finished by the next one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from msgspec import Struct

from heliograph.drive import Drive
from heliograph.durable import durable
from heliograph.errors import BadEvent, BadSignal, CannotRelease, UsageError
from heliograph.errors import quote as quoted
from heliograph.files import make_folder, read_untrusted, write_atomic
from heliograph.names import is_name
from heliograph.protocol.events import LARGEST_EVENT, Event, ReleaseRequested, event_path, parse_event
from heliograph.protocol.quarantine import Kept, list_quarantine, safe_label
from heliograph.protocol.signals import ALL_KINDS, LARGEST_SIGNAL, SignalKind

_LONGEST_PATH = 4096
Post = Callable[[ReleaseRequested], object]


class Entry(Struct, frozen=True, kw_only=True):
    """One entry of the quarantine, looked at closely."""

    kept: Kept
    folder: Path
    what: str
    """signal, event, folder (one whose name is no experiment's name) or unknown"""
    content: str
    """what is kept: file, nothing, folder, link, or something that cannot be read"""
    size: int
    was_released: bool

    @property
    def content_path(self) -> Path:
        return self.folder / "content"


class Released(Struct, frozen=True, kw_only=True):
    """What was done to release an entry."""

    name: str
    what: str
    experiment: str | None
    put_back: str | None
    """the file that was put back to its place, below the drive"""
    told: list[str]


def find_entry(drive: Drive, name: str) -> Entry:
    """Return the entry of that name, or the only one whose name holds it. Raises UsageError."""
    for was_released in (False, True):
        folder = drive.released if was_released else drive.quarantine
        kept = list_quarantine(drive, released=was_released)
        found = [one for one in kept if one.name == name] or [one for one in kept if name in one.name]
        if len(found) == 1:
            return _look(drive, found[0], folder / found[0].name, was_released=was_released)
        if found:
            names = "\n  ".join(one.name for one in found[:20])
            raise UsageError(reason=f"{quoted(name)} may mean several", remedy=f"Name one:\n  {names}")
    raise UsageError(
        reason=f"nothing is kept as {quoted(name)}", remedy="heliograph quarantine lists what is"
    )


def _look(drive: Drive, kept: Kept, folder: Path, *, was_released: bool) -> Entry:
    content, size = _content(folder / "content")
    return Entry(
        kept=kept,
        folder=folder,
        what=_what(drive, kept),
        content=content,
        size=size,
        was_released=was_released,
    )


def _content(path: Path) -> tuple[str, int]:
    try:
        facts = path.lstat()
    except OSError:
        return "nothing", 0
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
    kind = kinds.get(stat.S_IFMT(facts.st_mode), "something that cannot be read")
    return kind, facts.st_size if kind == "file" else 0


def _what(drive: Drive, kept: Kept) -> str:
    path = PurePosixPath(kept.reason.path)
    if len(kept.reason.path) > _LONGEST_PATH:
        return "unknown"
    if _signal(drive, kept) is not None:
        return "signal"
    if path.parent.name == drive.inbox.name and not kept.reason.sha256:
        return "event"
    is_hostile = not is_name(path.name) and not path.name.startswith(".")
    if path.parent.name == drive.models.name and kept.reason.sha256 and is_hostile:
        return "folder"
    return "unknown"


def _signal(drive: Drive, kept: Kept) -> tuple[SignalKind, str] | None:
    """Return kind and experiment of a kept signal; None where its path is no signal's place on a drive."""
    path = PurePosixPath(kept.reason.path)
    kind = next((kind for kind in ALL_KINDS if kind.file_name == path.name), None)
    if kind is None or not is_name(path.parent.name) or not kept.reason.sha256:
        return None
    place = kind.path(drive, path.parent.name).relative_to(drive.root).parts
    return (kind, path.parent.name) if path.parts[-len(place) :] == place else None


def release(drive: Drive, entry: Entry, post: Post) -> Released:
    """Take an entry out of the quarantine. Raises CannotRelease, which says why not, or OSError."""
    if entry.was_released:
        return _released(entry, None, None, ["It was released before; nothing is left to do."])
    actions = {"signal": _release_signal, "event": _release_event, "folder": _release_folder}
    if entry.what not in actions:
        raise CannotRelease(
            name=entry.kept.name,
            reason="its reason.json does not tell what it was, or names a place where no signal can stand",
            remedy="Look at it: heliograph quarantine show. What is of use, publish or post again",
        )
    released = actions[entry.what](drive, entry, post)
    _move_to_released(drive, entry)
    return released


def _released(entry: Entry, experiment: str | None, put_back: str | None, told: list[str]) -> Released:
    return Released(
        name=entry.kept.name, what=entry.what, experiment=experiment, put_back=put_back, told=told
    )


# Signals ----------------------------------------------------------------------------------------------


def _release_signal(drive: Drive, entry: Entry, post: Post) -> Released:
    """1. Put the content back where nothing stands. 2. Ask the watcher to look at it as if never seen."""
    found = _signal(drive, entry.kept)
    if found is None:
        raise CannotRelease(name=entry.kept.name, reason="it is no signal", remedy="Publish it again")
    kind, experiment = found
    put_back, why = _put_back(drive, entry, kind, experiment)
    reason = entry.kept.reason
    post(ReleaseRequested(experiment=experiment, stage=kind.stage, path=reason.path, sha256=reason.sha256))
    then = "The watcher looks at it as if never seen, and puts it aside again if it is still wrong."
    return _released(entry, experiment, put_back, [why, then])


def _put_back(drive: Drive, entry: Entry, kind: SignalKind, experiment: str) -> tuple[str | None, str]:
    """Put the kept content back to its place if nothing stands there; return the place, and what was done."""
    place = kind.path(drive, experiment)
    shown = str(place.relative_to(drive.root))
    if os.path.lexists(place):
        return None, f"{shown} stands where it was, and is left as it is."
    area = place.parent.parent
    try:
        is_there = drive.inside(place.parent, area, field="path", file=entry.folder).is_dir()
    except BadSignal:
        raise CannotRelease(
            name=entry.kept.name,
            reason=f"{shown} would lead out of {area.relative_to(drive.root)}/ by a symbolic link",
            remedy="Remove that link first",
        ) from None
    if not is_there:
        return None, f"{place.parent.relative_to(drive.root)}/ is gone, so the signal was not put back."
    if entry.content != "file" or not entry.size:
        return None, f"{shown} is gone, and its content could not be kept: publish it again."
    write_atomic(place, read_untrusted(entry.content_path, LARGEST_SIGNAL))
    return shown, f"{shown} was put back: nothing stood there any more."


def _release_folder(_: Drive, entry: Entry, post: Post) -> Released:
    """A folder whose name is no name is only told of again, unless it was renamed."""
    reason = entry.kept.reason
    label = safe_label(PurePosixPath(reason.path).name)
    post(ReleaseRequested(experiment=label, stage="training", path=reason.path, sha256=reason.sha256))
    told = "Unless that folder has been renamed or removed, the watcher tells of it again."
    return _released(entry, None, None, [told])


# Events -----------------------------------------------------------------------------------------------


def _release_event(drive: Drive, entry: Entry, _: Post) -> Released:
    """Move an event back into the inbox, under the name that its own id gives it."""
    if entry.content == "nothing":  # an earlier release died after this step
        return _released(entry, None, None, ["It was moved back into the inbox before."])
    event = _parse(entry)
    place = event_path(drive, event.id)
    if os.path.lexists(place):
        raise CannotRelease(
            name=entry.kept.name,
            reason=f"{place.relative_to(drive.root)} stands there already",
            remedy="When the watcher has taken that one up, release this one",
        )
    with durable("rename", place):
        os.rename(entry.content_path, place)
    shown = str(place.relative_to(drive.root))
    told = f"It stands in the inbox again, as {place.name}."
    return _released(entry, event.body.experiment, shown, [told])


def _parse(entry: Entry) -> Event:
    """Read a kept event. Raises CannotRelease with what is wrong with it."""
    remedy = "It stays where it is. What it was meant to tell has to be posted anew, whole"
    if entry.content != "file":
        raise CannotRelease(name=entry.kept.name, reason=f"it is no file but {entry.content}", remedy=remedy)
    try:
        return parse_event(read_untrusted(entry.content_path, LARGEST_EVENT), "its content")
    except BadEvent as error:
        raise CannotRelease(name=entry.kept.name, reason=str(error).rstrip("."), remedy=remedy) from None
    except OSError as error:
        raise CannotRelease(
            name=entry.kept.name, reason=f"it cannot be read: {error.strerror}", remedy=remedy
        ) from None


def _move_to_released(drive: Drive, entry: Entry) -> None:
    """Keep the entry, out of the way. The rename is the last step, and has one winner."""
    make_folder(drive.released)
    target = drive.released / entry.kept.name
    number = 2
    while os.path.lexists(target):
        target = drive.released / f"{entry.kept.name}-{number}"
        number += 1
    with durable("rename", entry.folder):
        os.rename(entry.folder, target)
