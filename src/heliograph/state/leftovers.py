"""Removing what processes that died in the middle of a write left behind, so that it does not pile up."""

from __future__ import annotations

from pathlib import Path

from heliograph.drive import Drive
from heliograph.files import remove_leftovers


def remove_leftovers_of_state(drive: Drive, *local: Path) -> int:
    """Remove the temporary files of this host's dead processes below state/ and in local folders; return how
    many. Nobody looks into each claim and quarantine entry: one file at most is left there."""
    folders = [drive.state, drive.inbox, drive.published, drive.scripts]
    folders += [drive.locks, drive.lease, drive.claims]
    if drive.journal.is_dir():
        folders += sorted(path for path in drive.journal.iterdir() if path.is_dir())
    return sum(remove_leftovers(folder) for folder in (*folders, *local))
