"""Which experiments a pass looks at, and in which order: cost follows what is open, not what exists."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from itertools import islice

SEARCHED_A_PASS = 20
"""finished experiments that each pass looks at besides, for what nobody announced"""
SEARCHED_AT_START = 500


class Agenda:
    """What is announced first, then the open ones in turn; in the background all others, a few at a time."""

    def __init__(self) -> None:
        self._announced: dict[str, None] = {}
        self._turn = 0
        self._looked_in_turn: dict[str, int] = {}
        self._background: deque[str] = deque()
        self._is_first_search = True

    def announce(self, experiments: Iterable[str]) -> None:
        """Look at these in the next pass, before all others."""
        self._announced |= dict.fromkeys(experiments)

    def order(self, open_experiments: Collection[str]) -> list[str]:
        """Return the experiments to look at, the most urgent first: of the open ones those that have waited
        longest, so that each gets its turn when one pass does not reach all."""
        waiting = sorted(open_experiments, key=lambda name: (self._looked_in_turn.get(name, 0), name))
        return list(dict.fromkeys([*self._announced, *waiting]))

    def looked(self, experiments: Iterable[str], open_experiments: Collection[str]) -> None:
        """Note which were looked at."""
        self._turn += 1
        for name in experiments:
            self._announced.pop(name, None)
            self._looked_in_turn[name] = self._turn
        if len(self._looked_in_turn) > 2 * len(open_experiments) + 100:
            self._looked_in_turn = {n: t for n, t in self._looked_in_turn.items() if n in open_experiments}

    # the background search

    def search(self, experiments: Iterable[str]) -> None:
        """Look at all of these once, in the background."""
        self._background = deque(experiments)

    def to_search(self) -> list[str]:
        """Return whose turn it is in the background. At a start all are reached as fast as can be."""
        most = SEARCHED_AT_START if self._is_first_search else SEARCHED_A_PASS
        return list(islice(self._background, most))

    def searched(self, experiments: Iterable[str]) -> None:
        """Note which were reached."""
        was_searching = self.is_searching
        for _ in experiments:
            self._background.popleft()
        if was_searching and not self.is_searching:
            self._is_first_search = False

    @property
    def is_searching(self) -> bool:
        return bool(self._background)

    @property
    def is_hurried(self) -> bool:
        """Tell whether the next pass should follow at once."""
        return bool(self._announced) or (self._is_first_search and self.is_searching)
