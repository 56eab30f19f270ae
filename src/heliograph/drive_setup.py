"""`heliograph init`: the whole tree of a drive. Running it again changes nothing that exists."""

from __future__ import annotations

from datetime import datetime
from importlib.resources import as_file, files
from pathlib import Path

from heliograph.analysis.install import install_project
from heliograph.config import load_watcher_config, local_state_folder
from heliograph.drive import Drive
from heliograph.errors import DriveError, LeaseHeld
from heliograph.files import make_folder, write_new
from heliograph.names import host_name
from heliograph.state import journal
from heliograph.state.databases import DATABASES
from heliograph.state.lease import held
from heliograph.state.publish import Publisher, pointer_path
from heliograph.state.settle import live_folder
from heliograph.state.store import Store


def set_up_drive(drive: Drive, now: datetime) -> list[str]:
    """Make what a drive lacks; return a sentence for each thing that was made.

    Raises DriveError where the folder cannot be written.
    """
    done: list[str] = []
    try:
        for folder in drive.folders():
            if not folder.is_dir():
                make_folder(folder)
                done.append(f"made   {folder.relative_to(drive.root)}/")
        if not drive.id_file.exists():
            done.append(f"made   {drive.id_file.name}: {drive.make_id()}")
        done += _write_defaults(drive)
        done += install_project(drive)
        done += _publish_databases(drive, now)
    except OSError as error:
        raise DriveError(
            folder=error.filename or drive.root,
            reason=error.strerror or str(error),
            remedy="Run this as a user who may write there.",
        ) from None
    return done


def _write_defaults(drive: Drive) -> list[str]:
    with as_file(files("heliograph").joinpath("defaults")) as defaults:
        return [f"wrote  {name}" for name in copy_missing(Path(defaults), drive.root)]


def copy_missing(source: Path, target: Path) -> list[Path]:
    """Copy every file below `source` that `target` lacks; return their relative paths."""
    copied = []
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        relative = file.relative_to(source)
        make_folder((target / relative).parent)
        if write_new(target / relative, file.read_bytes()):
            copied.append(relative)
    return copied


def _publish_databases(drive: Drive, now: datetime) -> list[str]:
    """Publish the three databases if they never were; a watcher that is alive has done so."""
    if all(pointer_path(drive, stage).exists() for stage in DATABASES):
        return []
    state_folder = local_state_folder(load_watcher_config(drive).state_folder)
    try:
        with held(drive, now), Store(live_folder(state_folder, drive)) as store:
            journal.catch_up(drive, store)
            published = Publisher(drive, store, host=host_name()).publish(now)
    except LeaseHeld:
        return []
    return [f"made   state/{stage}.db" for stage in published]
