"""What the doctor finds: one line each, with what was seen, what follows from it, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from heliograph.errors import HeliographError

Verdict = Literal["bad", "warn", "ok", "skipped"]
Role = Literal["wild_west", "ssrde", "monitoring", "all"]

ATTENTION: tuple[Verdict, ...] = ("bad", "warn", "ok", "skipped")
"""Every verdict, the one that asks for attention first."""


class Finding(Struct, frozen=True):
    """One thing that was looked at."""

    area: str
    check: str
    verdict: Verdict
    told: str
    """what was seen, and what follows from it"""
    remedy: str = ""
    """what to do, as a command where there is one"""


class Area(Struct, frozen=True):
    """A group of checks; makes the findings of its own."""

    name: str

    def ok(self, check: str, told: str) -> Finding:
        return Finding(self.name, check, "ok", told)

    def warn(self, check: str, told: str, remedy: str) -> Finding:
        return Finding(self.name, check, "warn", told, remedy)

    def bad(self, check: str, told: str, remedy: str) -> Finding:
        return Finding(self.name, check, "bad", told, remedy)

    def from_error(self, check: str, error: HeliographError) -> Finding:
        """Tell an error: its message names file, field and value, and ends with what to do."""
        remedy = str(error.facts.get("remedy", ""))
        return self.bad(check, str(error).removesuffix(remedy).rstrip(" ."), remedy)

    def skipped(self, check: str, told: str, remedy: str = "") -> Finding:
        return Finding(self.name, check, "skipped", told, remedy)


class Context(Struct, frozen=True):
    """What was asked for."""

    drive: str
    role: Role = "all"
    seconds: float = 60.0
    """how long hosts are measured against each other, and how long a job is waited for"""
    drive_answers: bool = True
    """whether the drive was found to answer; what needs it is left out where it does not"""


class Progress(str):
    """How far a step is: to be shown, and no check of its own."""

    __slots__ = ()


Look = Callable[[], Iterable[Finding | str]]


class Step(NamedTuple):
    """One thing to look at. Where a `needed` one is bad or skipped, the area ends there.

    `look` gives findings and, where it is several checks or takes long, the next one's name or its progress.
    """

    check: str
    look: Look
    needed: bool = False
    silence_s: float | None = None
    """how long it may say nothing, where that is longer than its area's other steps"""


def worst(findings: Sequence[Finding]) -> Verdict:
    """Return the verdict that asks for attention most; ok where there is none."""
    return min((f.verdict for f in findings), key=ATTENTION.index, default="ok")
