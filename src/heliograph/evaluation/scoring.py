"""Items in, scored items out, in order: in batches under a budget of tokens, sorted by length.

Texts of like length go through the model together, so that little of a batch is padding. To sort, items are
gathered into windows of bounded size: memory does not grow with the data set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import Struct

from heliograph.evaluation.task import Item, Limits, LogProbs, Query, Task, Unscorable, Verdict
from heliograph.evaluation.tokenizer import LoadedTokenizer

if TYPE_CHECKING:
    from heliograph.evaluation.models import CausalModel  # torch takes seconds to import

_BATCHES_A_WINDOW = 32
_TEXTS_AT_ONCE = 256  # items whose texts are tokenised together


class Scored(Struct, frozen=True):
    """An item and its verdict; or, where the model cannot score it, why."""

    item: Item
    verdict: Verdict | None
    reason: str = ""


@dataclass
class Scorer:
    """A model with its tokenizer, and how much goes through it at once."""

    model: CausalModel
    tokenizer: LoadedTokenizer
    limits: Limits
    batch_tokens: int
    check_stop: Callable[[], None]
    """called before each batch; raises to stop"""

    def score(self, task: Task, items: Iterable[Item]) -> Iterator[Scored]:
        """Score the items; results come in their order. Raises BadDataset, BadModel and BadConfig."""
        source = iter(items)
        window: list[_Prepared] = []
        size = 0
        while chunk := list(islice(source, _TEXTS_AT_ONCE)):
            prepared = self._prepare(task, chunk)
            window += prepared
            size += sum(query.n_inputs for one in prepared for query in one.queries)
            if size >= _BATCHES_A_WINDOW * self.batch_tokens:
                yield from self._score_window(task, window)
                window, size = [], 0
        yield from self._score_window(task, window)

    def _prepare(self, task: Task, items: Sequence[Item]) -> list[_Prepared]:
        texts = [task.texts(item) for item in items]
        tokens = iter(self.tokenizer.encode([text for one in texts for text in one]))
        prepared = []
        for item, one in zip(items, texts, strict=True):
            own = list(islice(tokens, len(one)))
            try:
                prepared.append(_Prepared(item, task.queries(item, own, self.limits)))
            except Unscorable as reason:
                prepared.append(_Prepared(item, [], str(reason)))
        return prepared

    def _score_window(self, task: Task, window: Sequence[_Prepared]) -> Iterator[Scored]:
        found = self.log_probs([query for one in window for query in one.queries])
        at = 0
        for one in window:
            own = found[at : at + len(one.queries)]
            at += len(one.queries)
            verdict = task.judge(one.item, own) if own else None
            yield Scored(one.item, verdict, one.reason)

    def log_probs(self, queries: Sequence[Query]) -> list[LogProbs]:
        """Return what `CausalModel.log_probs` does, for any number of queries.

        Equal queries are scored once: so equal texts always have equal scores, whatever batch they are in.
        """
        places: dict[tuple[int, ...], int] = {}
        which = [places.setdefault((query.start, *query.ids), len(places)) for query in queries]
        unique = [Query(list(key[1:]), key[0]) for key in places]
        found: dict[int, LogProbs] = {}
        for batch in plan_batches([query.n_inputs for query in unique], self.batch_tokens):
            self.check_stop()
            found |= zip(batch, self.model.log_probs([unique[i] for i in batch]), strict=True)
        return [found[i] for i in which]


class _Prepared(Struct, frozen=True):
    """An item and what is to be scored of it; nothing, and why, where the model cannot."""

    item: Item
    queries: list[Query]
    reason: str = ""


def plan_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group sequences, the longest first, so that each group padded to its longest stays in the budget.

    One that is longer than the budget has a batch of its own. Returns indices into `lengths`.
    """
    batches: list[list[int]] = []
    longest = 0
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if not batches or (len(batches[-1]) + 1) * longest > budget:
            batches.append([])
            longest = lengths[i]
        batches[-1].append(i)
    return batches
