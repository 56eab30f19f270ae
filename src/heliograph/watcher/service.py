"""Putting a watcher together and running it: lease, databases, executor, signals of the operating system."""

from __future__ import annotations

import logging
import os
import signal
from functools import cache
from pathlib import Path
from types import FrameType

from heliograph.config import WatcherConfig, load_watcher_config, local_state_folder
from heliograph.drive import Drive
from heliograph.executors.base import Executor
from heliograph.executors.choose import choose_executor, executor_by_name
from heliograph.names import utc_now
from heliograph.stages.builtin import STAGES
from heliograph.state import journal
from heliograph.state.lease import Lease
from heliograph.state.settle import live_folder
from heliograph.state.store import Store
from heliograph.watcher.bell import Bell
from heliograph.watcher.daemon import Setup, Watcher, resident_mb, run

log = logging.getLogger(__name__)


def serve(drive: Drive, *, once: bool = False, until_idle: bool = False) -> None:
    """Watch a drive until SIGTERM or SIGINT, or for one pass, or until nothing is left to do.

    Raises LeaseHeld where another watcher serves the drive.
    """
    config = load_watcher_config(drive)
    folder = local_state_folder(config.state_folder) / drive.read_id()
    bell = Bell(watching=_wants_file_events(config, drive) and not once)
    stop = _StopFlag(bell)
    lease = Lease(drive)
    lease.take(utc_now())
    try:
        with Store(live_folder(folder.parent, drive)) as store:
            journal.catch_up(drive, store)
            watcher = _build(drive, store, lease, config, folder, bell)
            log.info("watching %s with %s (%.0f MB)", drive.root, watcher.executor_name, resident_mb())
            if once:
                watcher.start(utc_now())
                watcher.tick(utc_now())
            else:
                run(watcher, utc_now, stop.is_set, until_idle=until_idle)
            watcher.finish(utc_now())
            log.info("stopped")
    finally:
        lease.release()
        bell.close()


class _StopFlag:
    """SIGTERM and SIGINT only set a flag and ring: whatever is half done is finished first."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._set = False
        signal.signal(signal.SIGTERM, self._handle)
        signal.signal(signal.SIGINT, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self._set = True
        self._bell.ring()

    def is_set(self) -> bool:
        return self._set


def _wants_file_events(config: WatcherConfig, drive: Drive) -> bool:
    asked = config.detection.inotify
    return asked == "on" or (asked == "auto" and not drive.is_network())


def _build(
    drive: Drive, store: Store, lease: Lease, config: WatcherConfig, folder: Path, bell: Bell
) -> Watcher:
    chosen = choose_executor(config, folder)

    @cache
    def by_name(name: str) -> Executor:
        """Jobs that were handed to the other executor before are still followed there."""
        return chosen if name == chosen.name else executor_by_name(name, config, folder)

    variables = {"HELIOGRAPH_STATE": str(folder.parent)}
    if config.mlflow_tracking_uri:
        variables["MLFLOW_TRACKING_URI"] = config.mlflow_tracking_uri
    variables |= {k: os.environ[k] for k in ("HELIOGRAPH_LOG_FORMAT",) if k in os.environ}
    return Watcher(
        Setup(
            drive=drive,
            store=store,
            lease=lease,
            config=config,
            stages=STAGES,
            executor=by_name,
            executor_name=chosen.name,
            state_folder=folder,
            variables=variables,
            bell=bell,
        )
    )
