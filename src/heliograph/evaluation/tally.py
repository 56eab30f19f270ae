"""Counts verdicts by item group and form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from heliograph.evaluation.task import Item, Task, Verdict


@dataclass
class Cell:
    """What was counted of one item group and form."""

    n: int
    sums: list[float]
    fields: set[str | None] = field(default_factory=set)

    @property
    def field(self) -> str | None:
        """The field of its items, where it is the same for all."""
        return next(iter(self.fields)) if len(self.fields) == 1 else None


class Tally:
    """Adds up verdicts by (item group, form), in float64 and in the order of the items."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.cells: dict[tuple[str, str], Cell] = {}

    def add(self, item: Item, verdict: Verdict) -> None:
        key = (item.item_group, item.form)
        cell = self.cells.setdefault(key, Cell(0, [0.0] * len(verdict.sums)))
        cell.n += 1
        cell.sums = [total + part for total, part in zip(cell.sums, verdict.sums, strict=True)]
        cell.fields.add(item.field)

    @property
    def n(self) -> int:
        return sum(cell.n for cell in self.cells.values())

    def metrics_of(self, cells: Sequence[Cell]) -> dict[str, float]:
        """Return every metric of some cells taken together."""
        sums = [sum(column) for column in zip(*(cell.sums for cell in cells), strict=True)]
        return self._task.metrics(sum(cell.n for cell in cells), sums)

    def overall(self) -> dict[str, float]:
        """Return every metric of the whole data set."""
        return self.metrics_of(list(self.cells.values()))

    def by_group(self) -> dict[str, dict[str, float]]:
        """Return every metric of each item group, over all its forms."""
        groups: dict[str, list[Cell]] = {}
        for (group, _), cell in self.cells.items():
            groups.setdefault(group, []).append(cell)
        return {group: self.metrics_of(cells) for group, cells in groups.items()}
