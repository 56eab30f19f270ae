"""Words, signs, times and numbers as people read them, on the pages and in the terminal. All pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from heliograph.names import parse_iso

ATTENTION = ("failed", "running", "queued", "waiting", "completed")
"""Every status, the one that asks for attention first."""

SIGNS = {"failed": "✗", "running": "▶", "queued": "◷", "waiting": "·", "completed": "✓"}

FAILURES = {
    "transient": "A passing trouble: the same is tried again later.",
    "resources": "It ran out of memory or time: it is tried again with more, up to the configured most.",
    "node": "The node failed: it is tried again elsewhere.",
    "permanent": "Trying again would not help: it has to be mended first.",
    "hold": "The cluster does not take it now: it is kept, and tried again rarely.",
    "cancelled": "Somebody cancelled it.",
    "vanished": "The scheduler no longer knows it, and nothing tells how it ended.",
}
"""What the classes of failures ask for."""

_UNITS = ("kB", "MB", "GB", "TB", "PB")
_NUMBER = re.compile(r"([0-9]+)")


def sign(status: str) -> str:
    """Return the sign that stands beside a status' word."""
    return SIGNS.get(status, "?")


def attention(status: str) -> int:
    """Return where a status stands in the order of attention; one that is not known comes first."""
    return ATTENTION.index(status) if status in ATTENTION else -1


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


def is_share(metric: str) -> bool:
    """Tell whether a metric is a share, 0 to 1, and is read best as a percentage."""
    return metric == "accuracy" or metric.endswith("_accuracy")


def number(metric: str, value: float | None) -> str:
    """Write one result: 91.2 % where the metric is a share, four digits else, a dash where there is none."""
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if is_share(metric) else f"{value:.4g}"


def printable(text: str, keep: str = "") -> str:
    r"""Write what others said so that it cannot act: control signs, bidirectional marks and the like become
    escapes such as \x1b. `keep` names those that may pass, for instance a line's end."""
    shown = (c if c.isprintable() or c in keep else c.encode("unicode_escape").decode("ascii") for c in text)
    return "".join(shown)


def one_line(text: str) -> str:
    """Write what others said on one line, harmless."""
    return printable(" ".join(text.split()))


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts names with numbers as people count: checkpoint-9 before checkpoint-10."""
    parts = _NUMBER.split(text)
    return tuple((1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts)


def tick(metric: str, value: float) -> str:
    """Write a round number beside an axis."""
    return f"{100 * value:.3g} %" if is_share(metric) else f"{value:g}"


def short_checkpoint(name: str) -> str:
    """Write a checkpoint's name as an axis can hold it: 1000 for checkpoint-1000."""
    return name.removeprefix("checkpoint-")
