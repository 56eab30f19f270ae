"""Words, signs, times and numbers as people read them, on the pages and in the terminal. All pure."""

from __future__ import annotations

import re

from heliograph.state.failure_words import MEANINGS as FAILURES
from heliograph.words import duration, moment, one_line, printable, rough, since_s, size, until

__all__ = [
    "ATTENTION",
    "FAILURES",
    "SIGNS",
    "attention",
    "duration",
    "is_share",
    "moment",
    "natural",
    "number",
    "one_line",
    "printable",
    "rough",
    "short_checkpoint",
    "sign",
    "since_s",
    "size",
    "tick",
    "until",
]

ATTENTION = ("failed", "running", "queued", "waiting", "completed")
"""Every status, the one that asks for attention first."""

SIGNS = {
    "failed": "✗",
    "running": "▶",
    "queued": "◷",
    "waiting": "·",
    "completed": "✓",
    "cancelled": "⊘",
    "held": "◷",
}
"""The sign of every status, and of the words that stand for one where they say more."""

_NUMBER = re.compile(r"([0-9]+)")


def sign(status: str) -> str:
    """Return the sign that stands beside a status' word."""
    return SIGNS.get(status, "?")


def attention(status: str) -> int:
    """Return where a status stands in the order of attention; one that is not known comes first."""
    return ATTENTION.index(status) if status in ATTENTION else -1


def is_share(metric: str) -> bool:
    """Tell whether a metric is a share, 0 to 1, and is read best as a percentage."""
    return metric == "accuracy" or metric.endswith("_accuracy")


def number(metric: str, value: float | None) -> str:
    """Write one result: 91.2 % where the metric is a share, four digits else, a dash where there is none."""
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if is_share(metric) else f"{value:.4g}"


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
