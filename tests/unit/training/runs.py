"""Runs for tests: with a model that is whole and takes no time to save."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heliograph.drive import Drive
from heliograph.protocol.events import Event, read_event
from heliograph.training.config import ExperimentConfig, HookSettings
from heliograph.training.run import TrainingRun
from support.drives import safetensors_bytes

QUICK = HookSettings(heartbeat_every_s=0.02, exit_wait_s=5.0)


def save_tiny(folder: Path) -> None:
    """Fill a folder with a model that passes every check, and is no language model."""
    (folder / "model.safetensors").write_bytes(safetensors_bytes())
    (folder / "config.json").write_text("{}")


def make_run(drive: Drive, name: str = "exp_01", *, overwrite: bool = False, **settings: Any) -> TrainingRun:
    """Make a run that beats fast and does not wait long."""
    config = ExperimentConfig(name=name, **({"hook": QUICK} | settings))
    return TrainingRun(config, drive, overwrite=overwrite)


def train_tiny(
    drive: Drive, name: str = "exp_01", *, overwrite: bool = False, **settings: Any
) -> TrainingRun:
    """Run a whole training: three steps, two checkpoints, the final model."""
    with make_run(drive, name, overwrite=overwrite, **settings) as run:
        for step in (1, 2, 3):
            run.log(step=step, loss=3.0 / step, epoch=step / 2, tokens_seen=step * 64)
            if step > 1:
                run.save_checkpoint(step=step, save=save_tiny)
        run.complete(save=save_tiny)
    return run


def events(drive: Drive, kind: type | None = None) -> list[Event]:
    """Read the inbox, oldest first."""
    found = [read_event(path) for path in sorted(drive.inbox.glob("*.json"))]
    return [event for event in found if kind is None or isinstance(event.body, kind)]


def kinds(drive: Drive) -> list[str]:
    """The kinds of the events in the inbox, oldest first, heartbeats left out."""
    names = [type(event.body).__name__ for event in events(drive)]
    return [name for name in names if name != "TrainingHeartbeat"]


def wait_until(holds: Callable[[], object]) -> None:
    """Wait until something holds; pytest's time limit ends a wait for what never does."""
    while not holds():
        time.sleep(0.01)
