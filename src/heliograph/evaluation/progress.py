"""How far the evaluation is: told to people often, and to the watcher by an event now and then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

_SHOW_EVERY_S = 0.1
_BEAT_EVERY_S = 20.0  # each heartbeat is a file on the drive


class Display(Protocol):
    """Shows progress to people."""

    def __call__(self, done: int, total: int, doing: str) -> None: ...


class Progress:
    """Counts items that are done, of all data sets at all checkpoints."""

    def __init__(self, display: Display, beat: Display, monotonic: Callable[[], float]) -> None:
        self.done = 0
        self.total = 0
        self.doing = ""
        self._display = display
        self._beat = beat
        self._monotonic = monotonic
        self._shown_at = self._beat_at = float("-inf")

    def begin(self, doing: str) -> None:
        """Tell what is done now."""
        self.doing = doing
        self._show(self._monotonic())

    def advance(self, items: int = 1) -> None:
        """Count items; tell of it if the last time was long enough ago."""
        self.done += items
        now = self._monotonic()
        if now - self._shown_at >= _SHOW_EVERY_S:
            self._show(now)

    def finish(self) -> None:
        """Tell of the end, however short ago the last time was."""
        self._beat_at = float("-inf")
        self.begin("publishing")

    def _show(self, now: float) -> None:
        self._shown_at = now
        self._display(self.done, self.total, self.doing)
        if self.total and now - self._beat_at >= _BEAT_EVERY_S:
            self._beat_at = now
            self._beat(self.done, self.total, self.doing)
