"""Putting a watcher together and running it: lease, databases, executor, signals of the operating system."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType
from typing import TypeVar

from heliograph import logs
from heliograph.config import WatcherConfig, load_watcher_config, local_state_folder
from heliograph.drive import Drive
from heliograph.durable import durable
from heliograph.errors import DriveBusy, DriveUnavailable, HeliographError
from heliograph.executors.base import Executor
from heliograph.executors.choose import choose_executor, executor_by_name
from heliograph.files import make_folder
from heliograph.names import utc_now
from heliograph.stages.builtin import STAGES
from heliograph.state.lease import DEAD_AFTER_S, Owner
from heliograph.state.rebuild import open_level
from heliograph.state.store import Store
from heliograph.watcher.bell import Bell
from heliograph.watcher.daemon import Setup, Watcher
from heliograph.watcher.guard import Guard
from heliograph.watcher.hands import HandsSetup
from heliograph.watcher.loop import run
from heliograph.watcher.memory import resident_mb

log = logging.getLogger(__name__)
T = TypeVar("T")
_LEAVE_WITHIN_S = 2.0


def serve(drive: Drive, *, level: str = "INFO", once: bool = False, until_idle: bool = False) -> None:
    """Watch a drive until SIGTERM or SIGINT, or for one pass, or until nothing is left to do.

    Raises LeaseHeld where another watcher serves the drive.
    """
    drive_id = drive.read_id()
    config = load_watcher_config(drive)
    folder = local_state_folder(config.state_folder) / drive_id
    log_file = folder / "watcher.log"
    make_folder(folder)
    with durable("log", log_file):
        log_file.touch()
    logs.set_up(level, file=log_file)
    os.chdir("/")  # whoever stands in a folder of the drive hangs with it, and its jobs begin there
    bell = Bell(watching=wants_file_events(config, drive) and not once)
    stop = _StopFlag(bell)
    guard = _make_guard(drive, drive_id, config)
    try:
        term = _patiently(lambda: guard.take_lease(utc_now(), DEAD_AFTER_S), stop.is_set)
        if term is None:
            return
        try:
            with open_level(drive, folder / "live", utc_now(), term) as store:
                watcher = _build(drive, guard, store, config, folder, bell, log_file)
                log.info("watching %s with %s (%.0f MB)", drive.root, watcher.executor_name, resident_mb())
                if once:
                    watcher.start(utc_now())
                    _patiently(lambda: watcher.tick(utc_now()), stop.is_set)
                else:
                    run(watcher, utc_now, stop.is_set, until_idle=until_idle)
                log.info("stopping")
                _within(_LEAVE_WITHIN_S, lambda: watcher.finish(utc_now()))
        finally:
            _within(_LEAVE_WITHIN_S, guard.release_lease)
    finally:
        guard.close()
        bell.close()


def _make_guard(drive: Drive, drive_id: str, config: WatcherConfig) -> Guard:
    setup = HandsSetup(
        root=str(drive.root),
        drive_id=drive_id,
        stages=tuple(stage.name for stage in STAGES),
        settle_s=config.detection.settle_s,
        owner=Owner.here(),
        spool=str(local_state_folder(config.state_folder) / "spool" / drive_id),
    )
    detection = config.detection
    return Guard(setup, wait_s=detection.answer_within_s, give_up_after_s=detection.give_up_after_s)


def _patiently(call: Callable[[], T], should_stop: Callable[[], bool]) -> T | None:
    """Repeat a call until the drive has answered, and return the answer; None when told to stop before."""
    told = False
    while not should_stop():
        try:
            return call()
        except DriveBusy:
            continue
        except DriveUnavailable as error:
            if not told:
                log.error("nothing can be done now, it is tried again: %s", error)  # noqa: TRY400 - no fault of ours
            told = True
            time.sleep(0.2)
    return None


def _within(seconds: float, call: Callable[[], None]) -> None:
    """Do something before leaving, if the drive lets us; what is not done now, the next watcher does."""
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        try:
            call()
            return
        except DriveBusy:
            continue
        except (HeliographError, OSError) as error:
            log.warning("left undone, the next watcher does it: %s", error)
            return


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


def wants_file_events(config: WatcherConfig, drive: Drive) -> bool:
    """Tell whether inotify is to ring: as configured, or else on a local drive."""
    asked, kind = config.detection.inotify, config.detection.file_system
    if asked == "auto":
        return kind == "local" or (kind == "auto" and not drive.is_network())
    return asked == "on"


def _build(
    drive: Drive, guard: Guard, store: Store, config: WatcherConfig, folder: Path, bell: Bell, log_file: Path
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
            hands=guard,
            store=store,
            config=config,
            stages=STAGES,
            executor=by_name,
            executor_name=chosen.name,
            state_folder=folder,
            variables=variables,
            bell=bell,
            log_file=log_file,
        )
    )
