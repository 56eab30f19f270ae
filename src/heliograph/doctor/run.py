"""Examining a host: the areas of its role, one after the other, each in a child of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from heliograph.doctor.areas import SILENCE_S
from heliograph.doctor.finding import Area, Context, Finding
from heliograph.doctor.guard import examine_guarded

_NEED_THE_DRIVE = frozenset(["peer", "slurm", "job", "watcher", "mlflow", "limits"])
OnBegin = Callable[[str, str], None]


def examine_host(
    areas: Sequence[str], context: Context, on_begin: OnBegin
) -> Iterator[tuple[str, list[Finding]]]:
    """Give each area with its findings. Where the drive hangs or is none, whatever reads it is left out."""
    drive_is_there = True
    for area in areas:
        if area in _NEED_THE_DRIVE and not drive_is_there:
            yield area, [Area(area).skipped(area, "left out: it needs the drive")]
            continue
        silence_s = SILENCE_S[area]
        findings = list(
            examine_guarded(area, context, silence_s, lambda check, area=area: on_begin(area, check))  # type: ignore[misc]
        )
        if area == "drive":
            drive_is_there = is_usable(findings)
        yield area, findings


def is_usable(findings: Sequence[Finding]) -> bool:
    """Tell whether the drive answered and is a drive: its identity was read, and nothing hung since."""
    identity = any(f.check == "identity" and f.verdict == "ok" for f in findings)
    return identity and not any(f.verdict == "bad" and "it hangs" in f.told for f in findings)
