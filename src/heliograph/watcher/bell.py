"""The bell: what ends the watcher's sleep early. inotify rings it on a local drive, never on a network one.

inotify(7) does not report what another host wrote, so on a network drive only the listing counts; and on a
local drive the listing goes on as well, because watches run out and observers die without a word.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver, ObservedWatch

log = logging.getLogger(__name__)


# a watch costs two threads; folders beyond these are only listed
MOST_WATCHES = 24
_DEBOUNCE_S = 0.02


class Bell:
    """Sleeps until the time is over, somebody rings, or (`watching`) a file appears in a watched folder."""

    def __init__(self, *, watching: bool) -> None:
        self._rung = threading.Event()
        self._observer: BaseObserver | None = None
        self._watches: dict[Path, ObservedWatch] = {}
        self._refused: set[Path] = set()
        if watching:
            self._start_observer()

    def _start_observer(self) -> None:
        from watchdog.observers import Observer

        observer = Observer()
        try:
            observer.start()
        except OSError as error:
            log.warning("no file events (%s); the drive is listed instead", error)
            return
        self._observer = observer

    @property
    def is_watching(self) -> bool:
        """Tell whether file events ring at all."""
        return self._observer is not None

    def watch(self, folders: Sequence[Path]) -> None:
        """Watch exactly these folders from now on, not what is below them; of many, the first ones."""
        if self._observer is None:
            return
        if not self._is_well(self._observer):
            log.warning("the observer of file events has died; the drive is listed instead")
            self._observer = None
            return
        wanted = set(folders[:MOST_WATCHES])
        for gone in self._watches.keys() - wanted:
            self._observer.unschedule(self._watches.pop(gone))
        self._refused &= wanted
        for folder in wanted - self._watches.keys():
            self._watch_one(folder)

    def _is_well(self, observer: BaseObserver) -> bool:
        """Tell whether the observer and each folder's emitter live. An emitter ends with its folder."""
        if not observer.is_alive():
            return False
        dead = {emitter.watch.path for emitter in observer.emitters if not emitter.is_alive()}
        for folder in [folder for folder in self._watches if str(folder) in dead]:
            if folder.is_dir():
                return False
            observer.unschedule(self._watches.pop(folder))
        return True

    def _watch_one(self, folder: Path) -> None:
        from watchdog.events import FileMovedEvent, FileSystemEvent, FileSystemEventHandler

        rung = self._rung

        class Ring(FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:
                """A finished file arrives by a rename; what is only read or still written does not ring."""
                if isinstance(event, FileMovedEvent) or event.event_type in ("created", "closed"):
                    rung.set()

        if self._observer is None or not folder.is_dir():
            return
        try:
            self._watches[folder] = self._observer.schedule(Ring(), str(folder), recursive=False)
        except OSError as error:
            if folder not in self._refused:  # told once, tried again in each pass
                log.warning("no file events for %s (%s); it is listed instead", folder, error)
            self._refused.add(folder)

    def ring(self) -> None:
        self._rung.set()

    def sleep(self, seconds: float) -> bool:
        """Sleep; tell whether the bell rang. What rings in the same moment rings once."""
        rung = self._rung.wait(seconds)
        if rung and self._observer is not None:
            time.sleep(_DEBOUNCE_S)
        self._rung.clear()
        return rung

    def close(self) -> None:
        if self._observer is not None and self._observer.is_alive():
            self._observer.stop()
            self._observer.join(timeout=5)
