"""A folder of the doctor's own on the drive, which goes when the doctor goes."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from heliograph.drive import Drive
from heliograph.names import host_name
from heliograph.state.lease import process_start

RACES = "races"
"""the folder in which several doctors race for names; whoever leaves last removes it"""


@contextlib.contextmanager
def scratch(home: Path, kind: str) -> Iterator[Path]:
    """Make a folder in `home`, named for this process; remove it, and `home` where nobody else is in it.

    What a doctor of this host left behind, because it was killed or the drive hung, is removed first. Raises
    OSError where nothing can be made.
    """
    home.mkdir(exist_ok=True)
    remove_left_behind(home)
    folder = home / f"{host_name()}.{os.getpid()}.{process_start(os.getpid())}.{secrets.token_hex(3)}.{kind}"
    try:
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _leave(home)


def _leave(home: Path) -> None:
    """Remove what all share, and the home itself, where nobody else is in it."""
    with contextlib.suppress(OSError):
        if {path.name for path in home.iterdir()} <= {RACES}:
            shutil.rmtree(home / RACES, ignore_errors=True)
            home.rmdir()


def remove_left_behind(home: Path) -> None:
    """Remove the folders of processes of this host that are gone."""
    for folder in home.iterdir():
        host, *process = folder.name.split(".")[:3]
        is_ours = host == host_name() and len(process) == 2 and process[0].isdigit()
        if is_ours and str(process_start(int(process[0]))) != process[1]:
            shutil.rmtree(folder, ignore_errors=True)


def homes(drive: Drive) -> list[Path]:
    """List where the doctor's folder may stand: a training host may be allowed to write to models/ only,
    where hidden folders are nobody's experiment."""
    return [drive.doctor, drive.models / ".doctor"]


def can_be_made(home: Path) -> bool:
    """Tell whether this user may write to `home`, or make it."""
    return os.access(home if home.exists() else home.parent, os.W_OK)
