"""Names of the journal's files: which events one holds, and under which lease it was written.

    000000000015-000000000016.0003.jsonl      events 15 and 16, written under the drive's third lease

A watcher that was frozen in the middle of a write may finish it after another has taken over. What the
earlier lease wrote over the numbers of a later one is void: whoever took over did not see it when it began.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from heliograph.drive import Drive

_NAME = re.compile(r"([0-9]{12})-([0-9]{12})(?:\.([0-9]{4,9}))?\.jsonl")


class Batch(Struct, frozen=True, order=True):
    """One file of the journal."""

    first: int
    last: int
    term: int
    path: Path


def batch_name(first: int, last: int, term: int) -> str:
    return f"{first:012d}-{last:012d}.{term:04d}.jsonl"


def _all_batches(drive: Drive, stage: str) -> list[Batch]:
    folder = drive.journal / stage
    if not folder.is_dir():
        return []
    matches = [(path, _NAME.fullmatch(path.name)) for path in folder.iterdir()]
    return sorted(Batch(int(m[1]), int(m[2]), int(m[3] or 0), path) for path, m in matches if m)


def batches(drive: Drive, stage: str) -> list[Batch]:
    """List the files of a stage's journal that count, in order."""
    return _valid(_all_batches(drive, stage))


def _valid(found: Sequence[Batch]) -> list[Batch]:
    began: dict[int, int] = {}
    for batch in found:
        began[batch.term] = min(batch.first, began.get(batch.term, batch.first))
    return [
        batch
        for batch in found
        if all(batch.last < first for term, first in began.items() if term > batch.term)
    ]


def highest_term(drive: Drive) -> int:
    """Return the highest term under which the journal was written; 0 if there is none."""
    stages = [path.name for path in drive.journal.iterdir()] if drive.journal.is_dir() else []
    return max((batch.term for stage in stages for batch in _all_batches(drive, stage)), default=0)
