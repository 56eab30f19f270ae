"""Examining a host: the areas of its role, one after the other, each in a child of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from heliograph.doctor.areas import SILENCE_S
from heliograph.doctor.finding import Area, Context, Finding
from heliograph.doctor.guard import examine_guarded

_NEED_THE_DRIVE = frozenset(["peer", "slurm", "job", "watcher", "mlflow"])
_DRIVE = "drive"
OnBegin = Callable[[str, str], None]


def examine_host(
    areas: Sequence[str], context: Context, on_begin: OnBegin
) -> Iterator[tuple[str, list[Finding]]]:
    """Give each area with its findings. The drive comes first; where it hangs or is none, whatever else needs
    it is left out."""
    drive_findings = _examine(_DRIVE if _DRIVE in areas else "presence", context, on_begin)
    context = msgspec.structs.replace(context, drive_answers=is_usable(drive_findings))
    if _DRIVE in areas or not context.drive_answers:
        yield _DRIVE, [msgspec.structs.replace(finding, area=_DRIVE) for finding in drive_findings]
    for area in areas:
        if area in _NEED_THE_DRIVE and not context.drive_answers:
            yield area, [Area(area).skipped(area, "left out: it needs the drive")]
        elif area != _DRIVE:
            yield area, _examine(area, context, on_begin)


def _examine(area: str, context: Context, on_begin: OnBegin) -> list[Finding]:
    return list(examine_guarded(area, context, SILENCE_S[area], lambda check: on_begin(area, check)))


def is_usable(findings: Sequence[Finding]) -> bool:
    """Tell whether the drive answered and is a drive: its identity was read, and nothing hung since."""
    identity = any(f.check == "identity" and f.verdict == "ok" for f in findings)
    return identity and not any(f.verdict == "bad" and "it hangs" in f.told for f in findings)
