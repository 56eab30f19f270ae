"""The loop around a watcher's passes: repeat, sleep, and outlive whatever a pass raises."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from heliograph.errors import DriveBusy, HeliographError, LeaseHeld
from heliograph.watcher.daemon import Watcher

log = logging.getLogger(__name__)


def run(
    watcher: Watcher,
    clock: Callable[[], datetime],
    should_stop: Callable[[], bool],
    *,
    until_idle: bool = False,
) -> None:
    """Repeat `tick` until told to stop (or until idle). What a pass raises is logged, and tried again."""
    watcher.start(clock())
    while not should_stop():
        try:
            changed = watcher.tick(clock())
            watcher.drive_is_well()
            if until_idle and not changed and watcher.is_idle():
                return
        except LeaseHeld:
            raise
        except DriveBusy:
            continue  # the hands are at work; waiting for them was the pause
        except (HeliographError, OSError) as error:
            watcher.drive_is_ill(error)
        except Exception:
            log.exception("a pass failed; it is tried again")
        if watcher.bell.sleep(watcher.config.detection.inbox_every_s):
            watcher.sweep_soon()
