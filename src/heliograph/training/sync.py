"""Bringing what waits on this machine to the drive and to MLflow: `heliograph sync`."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from heliograph.drive import Drive
from heliograph.errors import HeliographError, TrackingError
from heliograph.protocol.outbox import Outbox
from heliograph.tracking import Mlflow
from heliograph.training.claim import is_running
from heliograph.training.metrics import End, Spool, spools
from heliograph.training.shipper import ship
from heliograph.training.staging import Staged, staged_below


class Brought(Struct):
    """What was brought, and what still waits and why."""

    events: int = 0
    points: int = 0
    models: list[str] = []
    """experiments whose models or signals have reached the drive"""
    drive_trouble: list[str] = []
    mlflow_trouble: list[str] = []


def bring_all(drive: Drive, local: Path) -> Brought:
    """Bring everything that waits for one drive below `local`, its spool folder. Repeatable; one thing that
    cannot be brought keeps nothing else."""
    brought = Brought()
    outbox = Outbox(drive, local)
    for staged in staged_below(local / "staged"):
        _bring_models(drive, outbox, staged, brought)
    for spool in spools(local / "metrics"):
        _bring_metrics(spool, brought)
    try:
        brought.events = outbox.deliver()
    except (OSError, HeliographError) as error:
        brought.drive_trouble.append(f"{len(outbox.waiting())} events wait in {local}: {error}")
    return brought


def _bring_models(drive: Drive, outbox: Outbox, staged: Staged, brought: Brought) -> None:
    try:
        note = staged.note()
        if is_running(note.owner):
            return  # the run itself brings them with its next checkpoint
        staged.deliver(drive, outbox)
        brought.models.append(note.experiment)
    except (OSError, HeliographError, msgspec.DecodeError) as error:
        brought.drive_trouble.append(f"models wait in {staged.folder}: {error}")


def _bring_metrics(spool: Spool, brought: Brought) -> None:
    try:
        note = spool.read_note()
        with spool.lock() as mine:
            if not mine:
                return  # the run is alive, and ships them itself
            if spool.read_end() is None:  # the process died before it could say so
                spool.note_end(End("KILLED", time.time_ns() // 1_000_000))
            # a run that no server knows yet may go to a server that has moved since
            moved = os.environ.get("MLFLOW_TRACKING_URI") if spool.read_sent() is None else None
            brought.points += ship(spool, Mlflow(moved or note.uri))
    except TrackingError as error:
        brought.mlflow_trouble.append(f"metrics wait in {spool.folder}: {error}")
    except (OSError, msgspec.DecodeError) as error:
        brought.mlflow_trouble.append(f"metrics cannot be read in {spool.folder}: {error}")
