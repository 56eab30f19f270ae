"""What is done now and then. A clock that is set back, or forward, stops nothing: at worst it is early."""

from __future__ import annotations

from datetime import datetime, timedelta


class Every:
    """Something that is done every so many seconds; the first time at once, or after the first wait."""

    def __init__(self, seconds: float, *, first_at: datetime | None = None) -> None:
        self.seconds = seconds
        self._last = first_at

    def is_due(self, now: datetime) -> bool:
        """Tell whether it is time. A last time that lies in the future was told by a clock set back since."""
        return self._last is None or not timedelta(0) <= now - self._last < timedelta(seconds=self.seconds)

    def done(self, now: datetime) -> None:
        self._last = now

    def soon(self) -> None:
        """Have it done next time, whatever the clock says."""
        self._last = None

    @property
    def is_wanted_soon(self) -> bool:
        return self._last is None
