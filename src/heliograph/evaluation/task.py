"""What a task is: how a data set's lines become items, what of them is scored, and what is counted.

A task never sees the model: it says which tokens are to be scored, and is told their log-probabilities.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from heliograph.evaluation.data import Line, Reading
from heliograph.stages.evaluation_config import DatasetConfig

ALL_FORMS = "all"
TokenIds = list[int]
LogProbs = NDArray[np.float32]


class Item(Struct, frozen=True, kw_only=True):
    """One item of a data set: a pair, a document."""

    item_id: str
    item_group: str
    form: str
    field: str | None
    place: str
    """where it stands, FILE:LINE, for messages"""
    texts: tuple[str, ...]
    """its alternatives, or the one text"""
    context: str = ""
    """what stands before each of the texts and is not scored"""
    correct: int = 0
    """which of the alternatives is right"""


class Query(Struct, frozen=True):
    """Tokens to score: of `ids` those from `start` on, each given all before it. 1 <= start < len(ids)."""

    ids: TokenIds
    start: int

    @property
    def n_inputs(self) -> int:
        """The tokens that the model reads: the last one is only predicted."""
        return len(self.ids) - 1


class Limits(Struct, frozen=True):
    """What a task must know of the model: the most tokens it reads at once, and how a sequence begins."""

    context: int
    bos_id: int | None


class Verdict(Struct, frozen=True):
    """What became of an item. `sums` are the task's own numbers, which are added up over items."""

    scores: list[float]
    correct: bool | None
    n_tokens: int
    sums: tuple[float, ...]


class Unscorable(Exception):
    """The model cannot score this item, the text says why. It is left out, counted and named in the log."""


class Task(Protocol):
    """One kind of data set, made for one data set."""

    name: ClassVar[str]
    config_type: ClassVar[type[DatasetConfig]]
    metric_names: ClassVar[tuple[str, ...]]
    """every metric, the one that stands for the data set in summaries first"""

    def __init__(self, config: Any) -> None:
        """Take a configuration of type `config_type`. Raises BadConfig where keys contradict each other."""

    def suffixes(self) -> tuple[str, ...]:
        """Return how the files end that are read where the data is a folder."""
        ...

    def read(self, reading: Reading) -> Iterator[Item]:
        """Give the items in order. Raises BadDataset, naming file and line."""
        ...

    def texts(self, item: Item) -> list[str]:
        """Return the texts of an item that are to be tokenised."""
        ...

    def queries(self, item: Item, tokens: Sequence[TokenIds], limits: Limits) -> list[Query]:
        """Return what is to be scored, given the tokens of `texts(item)`. Raises Unscorable."""
        ...

    def judge(self, item: Item, log_probs: Sequence[LogProbs]) -> Verdict:
        """Judge an item by the log-probabilities (natural logarithm) of its queries' tokens."""
        ...

    def metrics(self, n: int, sums: Sequence[float]) -> dict[str, float]:
        """Return every metric of `n` items whose `sums` were added up."""
        ...


def begin(bos: bool, limits: Limits) -> TokenIds:
    """Return what stands ahead of a text. Raises Unscorable where it should and the model has no such."""
    if not bos:
        return []
    if limits.bos_id is None:
        raise Unscorable(
            "neither tokenizer nor model names a begin- or end-of-sequence token; set bos: never"
        )
    return [limits.bos_id]


def text_field(line: Line, fields: dict[str, Any], key: str, default: str | None = None) -> str:
    """Return a field that holds text which is not blank. Without the field: `default`, if there is one.

    Raises BadDataset naming line and field.
    """
    value = fields.get(key)
    if value is None and default is not None:
        return default
    return check_text(line, key, value)


def check_text(line: Line, key: str, value: object) -> str:
    """Return `value` if it is text and not blank. Raises BadDataset naming line and field."""
    if isinstance(value, str) and value.strip():
        return value
    problem = "is missing" if value is None else "is blank" if isinstance(value, str) else "is no text"
    raise line.bad(key, problem, value, "Give it a text, or name the right field under `fields:`.")


def label_field(line: Line, fields: dict[str, Any], key: str, default: str | None = None) -> str:
    """Return a field that names something, as text; a whole number will do. Raises BadDataset."""
    value = fields.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text_field(line, fields, key, default)


def optional_label(line: Line, fields: dict[str, Any], key: str) -> str | None:
    """Return a field that names something, None where it is missing. Raises BadDataset."""
    return None if fields.get(key) is None else label_field(line, fields, key)
