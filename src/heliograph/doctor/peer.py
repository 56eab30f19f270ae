"""How soon each host sees what the other wrote: two doctors at the same time, on one drive.

    state/doctor/HOST.PID.START.RANDOM.peer/          one folder a doctor
        listed/000001.json …                          found by listing the folder
        asked/000001.json …                           found by opening a name that was once seen missing
    state/doctor/races/1769850300 …                   folders that all try to make at the same second

Each writes a note of both kinds a second, under names never used. A note holds the writer's clock and, where
it is listed, what the writer has seen of the others since its last one. No clock is taken for right: of a
note that came over and one that went back, the clocks' difference cancels out, and bounds it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct, field

from heliograph.config import load_watcher_config
from heliograph.doctor.finding import Context, Finding, Progress, Step
from heliograph.doctor.peer_judge import KINDS, Kind, Measured, judge_peers
from heliograph.doctor.scratch import RACES, scratch
from heliograph.drive import Drive
from heliograph.files import make_folder_once, read_untrusted, write_atomic
from heliograph.names import host_name

_NOTE_EVERY_S = 1.0
_LOOK_EVERY_S = 0.05
_RACE_EVERY_S = 2
_LARGEST_NOTE = 1 << 20
_SUFFIX = ".peer"


class Seen(Struct, frozen=True):
    """One note of another host, as its reader saw it: by the two clocks, which differ."""

    writer: str
    kind: Kind
    number: int
    late_s: float
    """the reader's clock when it was seen, less the writer's when it was written"""


class Note(Struct, frozen=True):
    """One file of a peer."""

    drive_id: str
    host: str
    written_at: float
    seen: list[Seen] = []
    won: list[int] = []
    tried: list[int] = []


class Other(Struct):
    """What is known of one other peer."""

    host: str = "?"
    drive_id: str = ""
    known: set[str] | None = None
    """names that were listed; None before the first listing, which tells nothing about delays"""
    next_asked: int = 1
    was_missing: bool = False
    here: dict[Kind, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    """how late we saw its notes"""
    there: dict[Kind, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    """how late it saw ours"""
    won: set[int] = field(default_factory=set)
    tried: set[int] = field(default_factory=set)


def steps(context: Context) -> list[Step]:
    return [Step("peer", lambda: _measure(Drive(context.drive), context.seconds))]


def _measure(drive: Drive, seconds: float) -> Iterator[Finding | str]:
    drive_id = drive.read_id()
    every_s = load_watcher_config(drive).detection.inbox_every_s
    with scratch(drive.doctor, "peer") as folder:
        peer = Peer(folder, drive.doctor / RACES, drive_id)
        ends_at = time.monotonic() + seconds
        while (left_s := ends_at - time.monotonic()) > 0:
            if peer.take_turn(time.monotonic()):
                count = len(peer.others)
                seen = f"{count or 'no'} other host{'' if count == 1 else 's'} seen"
                yield Progress(f"{seen}, {left_s:.0f} s left")
            time.sleep(_LOOK_EVERY_S)
        measured = peer.measured()
    yield from judge_peers(measured, drive_id, seconds, every_s)


class Peer:
    """One of the doctors that measure each other."""

    def __init__(self, folder: Path, races: Path, drive_id: str) -> None:
        self.folder = folder
        self.races = races
        self.drive_id = drive_id
        self.others: dict[str, Other] = {}
        self._number = 0
        self._next_note_at = 0.0
        self._seen: list[Seen] = []
        self._won: list[int] = []
        self._tried: list[int] = []
        self._last_race = 0
        self._wall_offset_s = time.time() - time.monotonic()
        for kind in KINDS:
            (folder / kind).mkdir()
        races.mkdir(exist_ok=True)

    def clock(self) -> float:
        """Return this host's wall clock, which no correction makes jump while we measure."""
        return self._wall_offset_s + time.monotonic()

    def take_turn(self, now_s: float) -> bool:
        """Look at the others; write a note where it is time, and tell whether it was."""
        self._look()
        self._race()
        if now_s < self._next_note_at:
            return False
        self._next_note_at = now_s + _NOTE_EVERY_S
        self._number += 1
        seen, self._seen = self._seen, []
        for kind in KINDS:
            said = seen if kind == "listed" else []
            note = Note(
                self.drive_id, host_name(), self.clock(), said, sorted(self._won), sorted(self._tried)
            )
            write_atomic(self.folder / kind / f"{self._number:06d}.json", msgspec.json.encode(note))
        return True

    def _race(self) -> None:
        """Try to make a folder that is named for the second, as every other doctor does at that second."""
        second = int(self.clock())
        if second % _RACE_EVERY_S or second == self._last_race or not self.others:
            return
        self._last_race = second
        with contextlib.suppress(FileNotFoundError):  # whoever thought to be the last has removed it
            if make_folder_once(self.races / str(second)):
                self._won.append(second)
            self._tried.append(second)

    def _look(self) -> None:
        """See who is there, and what is new of each."""
        for path in self.folder.parent.iterdir():
            if path.name.endswith(_SUFFIX) and path != self.folder:
                self.others.setdefault(path.name, Other())
        for name, other in self.others.items():
            folder = self.folder.parent / name
            with contextlib.suppress(OSError):  # it has left, or is only just coming
                self._look_by_listing(name, other, folder / "listed")
            with contextlib.suppress(OSError):
                self._look_by_asking(name, other, folder / "asked")

    def _look_by_listing(self, name: str, other: Other, folder: Path) -> None:
        files = sorted(path.name for path in folder.iterdir() if path.suffix == ".json")
        seen_at = self.clock()
        is_first, other.known = other.known is None, other.known or set()
        for file in files:
            if file in other.known or (note := _read(folder / file)) is None:
                continue
            other.known.add(file)
            _take_in(other, note, self.folder.name)
            if not is_first:
                self._note(name, other, "listed", int(file[:-5]), seen_at - note.written_at)

    def _look_by_asking(self, name: str, other: Other, folder: Path) -> None:
        """Open the next name, as the watcher opens signals that are not there yet. One that was there at the
        first look tells nothing."""
        while (note := _read(folder / f"{other.next_asked:06d}.json")) is not None:
            if other.was_missing:
                late_s = self.clock() - note.written_at
                self._note(name, other, "asked", other.next_asked, late_s)
            other.next_asked += 1
            other.was_missing = False
        other.was_missing = True

    def _note(self, name: str, other: Other, kind: Kind, number: int, late_s: float) -> None:
        other.here[kind].append(late_s)
        self._seen.append(Seen(name, kind, number, late_s))

    def measured(self) -> list[Measured]:
        """Return what was measured with each other peer."""
        return [
            Measured(
                peer=other.host,
                drive_id=other.drive_id,
                here=other.here,
                there=other.there,
                raced=len(set(self._tried) & other.tried),
                both_won=len(set(self._won) & other.won),
            )
            for other in self.others.values()
        ]


def _take_in(other: Other, note: Note, ours: str) -> None:
    """Take in what a peer's note says: who it is, what it saw of ours, which races it ran and won."""
    other.host, other.drive_id = note.host, note.drive_id
    for seen in note.seen:
        if seen.writer == ours:
            other.there[seen.kind].append(seen.late_s)
    other.won |= set(note.won)
    other.tried |= set(note.tried)


def _read(path: Path) -> Note | None:
    """Read a note; None where it is not there, or cannot be read yet: it is looked at again."""
    try:
        return msgspec.json.decode(read_untrusted(path, _LARGEST_NOTE), type=Note)
    except (OSError, msgspec.DecodeError):
        return None
