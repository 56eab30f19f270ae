"""Being a good guest on a cluster: how often Slurm is asked, and how often it was.

The man pages of squeue and sacct ask not to call them in loops; sites ask for 60 to 180 s between polls.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

from heliograph.names import utc_now

_SLOWER = 1.25
_SLOWEST = 3.0
_JITTER = 0.1


class CallMeter:
    """Counts the calls of Slurm's commands, to show an administrator. Remembers one hour."""

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._calls: deque[datetime] = deque()

    def count(self) -> None:
        """Note a call made now."""
        self._calls.append(self._clock())
        self.last_hour()

    def last_hour(self) -> int:
        """Return how many calls were made in the last hour."""
        limit = self._clock() - timedelta(hours=1)
        while self._calls and self._calls[0] <= limit:
            self._calls.popleft()
        return len(self._calls)


class Pace:
    """How long to wait before the next poll: `every_s`, growing to three times that while there is no news.

    Jobs tell by themselves that they end; the poll is for those that cannot. ±10 %, so that watchers which
    were started together do not poll together.
    """

    def __init__(self, every_s: float, jitter: Callable[[float, float], float] = random.uniform) -> None:
        self._every_s = every_s
        self._jitter = jitter
        self._factor = 1.0
        self.wait_s = every_s

    def note(self, *, news: bool) -> None:
        """Tell whether the last call brought anything new."""
        self._factor = 1.0 if news else min(self._factor * _SLOWER, _SLOWEST)
        self.wait_s = self._every_s * self._factor * self._jitter(1 - _JITTER, 1 + _JITTER)
