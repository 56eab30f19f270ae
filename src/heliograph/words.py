"""Times, sizes and texts as people read them, on a terminal, on a page, in an explanation. All pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from heliograph.names import parse_iso

_UNITS = ("kB", "MB", "GB", "TB", "PB")


def duration(seconds: float) -> str:
    """Write a length of time as exactly as one wants to know it: 4.2 s, 3 min 05 s, 47 min, 2 h 10 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def rough(seconds: float) -> str:
    """Write a length of time in one unit, as ages are told: 4 s, 3 min, 2 h, 5 d."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"


def moment(text: str, now: datetime) -> str:
    """Write a time (ISO 8601) in UTC, the year only where it is another one: 31 Jan 09:05."""
    at = parse_iso(text)
    year = "" if at.year == now.year else f" {at.year}"
    return f"{at.day} {at:%b}{year} {at:%H:%M}"


def until(text: str, now: datetime) -> str:
    """Write a time that is to come, with how long that is from now: 31 Jan 09:05, in 4 min."""
    left = parse_iso(text) - now
    if left <= timedelta():
        return f"{moment(text, now)}, due now"
    return f"{moment(text, now)}, in {rough(left.total_seconds())}"


def size(count: int | None) -> str:
    """Write a number of bytes in units of 1000: 532 kB, 1.3 GB."""
    if count is None:
        return "–"
    if count < 1000:
        return f"{count} B"
    rounded = int(float(f"{count:.3g}"))
    power = min((len(str(rounded)) - 1) // 3, len(_UNITS))
    return f"{rounded / 1000**power:.3g} {_UNITS[power - 1]}"


def printable(text: str, keep: str = "") -> str:
    r"""Write what others said so that it cannot act: control signs, bidirectional marks and the like become
    escapes such as \x1b. `keep` names those that may pass, for instance a line's end."""
    shown = (c if c.isprintable() or c in keep else c.encode("unicode_escape").decode("ascii") for c in text)
    return "".join(shown)


def one_line(text: str) -> str:
    """Write what others said on one line, harmless."""
    return printable(" ".join(text.split()))


def since_s(moment: str | None, now: datetime) -> float | None:
    """Return how many seconds ago a time (ISO 8601) was, never negative; None where there is none."""
    return None if moment is None else max(0.0, (now - parse_iso(moment)).total_seconds())
