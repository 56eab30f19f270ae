"""`heliograph quarantine`: entries as people read them, whatever their bytes would do to a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from rich.console import Console
from rich.text import Text

from heliograph.dashboard import words
from heliograph.dashboard.terminal import print_wrapped
from heliograph.drive import Drive
from heliograph.errors import DriveUnavailable
from heliograph.files import read_untrusted
from heliograph.protocol.quarantine import Kept
from heliograph.protocol.release import Entry, Released

_MOST_SHOWN = 16_000
_MOST_RAW = 64 << 20


class EntryView(Struct, frozen=True, kw_only=True):
    """One entry, as `heliograph quarantine show --json` prints it."""

    name: str
    what: str
    """signal, event, folder or unknown"""
    path: str
    """where it was found"""
    reason: str
    quarantined_at: str
    sha256: str
    content: str
    """what is kept: file, nothing, folder, link, or something that cannot be read"""
    size: int
    text: str | None
    """the content as harmless text, at most 16,000 characters; None where there is none to be read"""
    is_cut: bool
    was_released: bool


def read_content(entry: Entry) -> bytes:
    """Read what is kept, byte for byte. Raises DriveUnavailable with what is in the way."""
    try:
        return read_untrusted(entry.content_path, _MOST_RAW)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DriveUnavailable(folder=entry.content_path, reason=reason) from None


def view_entry(drive: Drive, entry: Entry) -> EntryView:
    """Make an entry harmless."""
    reason = entry.kept.reason
    text, is_cut = None, False
    if entry.content == "file":
        raw = read_content(entry) if entry.size <= _MOST_RAW else b""
        text = words.printable(raw[: _MOST_SHOWN * 4].decode("utf-8", "backslashreplace"), keep="\n\t")
        is_cut = len(text) > _MOST_SHOWN or len(raw) > _MOST_SHOWN * 4 or entry.size > _MOST_RAW
        text = text[:_MOST_SHOWN]
    return EntryView(
        name=entry.kept.name,
        what=entry.what,
        path=words.one_line(reason.path.removeprefix(f"{drive.root}/")),
        reason=words.one_line(reason.reason),
        quarantined_at=words.one_line(reason.quarantined_at),
        sha256=words.one_line(reason.sha256),
        content=entry.content,
        size=entry.size,
        text=text,
        is_cut=is_cut,
        was_released=entry.was_released,
    )


def print_list(console: Console, kept: Sequence[Kept], now: datetime) -> None:
    """Print what was put aside, oldest first, with its reason."""
    if not kept:
        console.print("Nothing was put aside.")
        return
    for one in kept:
        console.print(Text(words.one_line(one.name), style="bold"), soft_wrap=True)
        if when := _when(one.reason.quarantined_at, now):
            console.print(Text(f"  {when}", style="dim"))
        print_wrapped(console, Text(words.one_line(one.reason.reason)), 2)
        console.print()
    count = "1 entry" if len(kept) == 1 else f"{len(kept)} entries"
    console.print(f"{count}. What was found, and how to have one looked at again:")
    for verb in ("show", "release"):
        console.print(Text(f"  heliograph quarantine {verb} NAME", style="cyan"))


def _when(at: str, now: datetime) -> str:
    """Write when it was put aside. What anybody may have written may be no time; it is shown as it is."""
    try:
        return f"{words.moment(at, now)} UTC, {words.rough(max(0.0, words.since_s(at, now) or 0.0))} ago"
    except ValueError:
        return words.one_line(at)


def print_entry(console: Console, view: EntryView, now: datetime) -> None:
    """Print one entry: what it was, when, where, why, and its content."""
    console.print(Text(words.one_line(view.name), style="bold"), soft_wrap=True)
    size = f", {words.size(view.size)}" if view.content == "file" else ""
    facts = {
        "what": "released before" if view.was_released else view.what,
        "when": _when(view.quarantined_at, now),
        "where": view.path,
        "why": view.reason,
        "kept": f"{view.content}{size}",
    }
    for label, value in facts.items():
        print_wrapped(console, Text(value), Text(f"  {label:<7}", style="dim"))
    if view.text:
        console.print()
        for line in view.text.splitlines():
            console.print(Text(f"  │ {line}"), soft_wrap=True)
    if view.is_cut:
        console.print(Text("  … only its beginning; --raw gives all of it", style="dim"))
    if not view.was_released:
        console.print()
        console.print(Text("  To have it looked at again:", style="bold"))
        console.print(Text(f"    heliograph quarantine release {view.name}", style="cyan"), soft_wrap=True)


def print_released(console: Console, released: Released) -> None:
    """Print what was done to release an entry."""
    console.print(Text.assemble(("Released ", "green"), words.one_line(released.name)), soft_wrap=True)
    for said in released.told:
        print_wrapped(console, Text(said), 2)
    if released.experiment:
        console.print(Text(f"  heliograph why {released.experiment}", style="cyan"), soft_wrap=True)
