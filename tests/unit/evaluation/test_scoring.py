"""Batches under a budget, items in their order, memory that does not grow with the data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.evaluation.minimal_pairs import MinimalPairs
from heliograph.evaluation.perplexity import windows
from heliograph.evaluation.scoring import Scorer, plan_batches
from heliograph.evaluation.task import Item, Limits, LogProbs, Query
from heliograph.evaluation.tokenizer import LoadedTokenizer
from heliograph.stages.evaluation_config import MinimalPairsConfig
from unit.evaluation.builders import save_tokenizer, word_tokenizer


@given(st.lists(st.integers(1, 60), max_size=60), st.integers(1, 100))
def test_batches_hold_everything_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = plan_batches(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget
    longest = [max(lengths[i] for i in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)


@given(st.integers(2, 80), st.integers(2, 20), st.integers(1, 20))
def test_windows_ask_for_every_token_but_the_first_once(length: int, window: int, stride: int) -> None:
    stride = min(stride, window)
    ids = list(range(length))
    found = list(windows(ids, window, stride))
    assert [token for query in found for token in query.ids[query.start :]] == ids[1:]
    assert all(1 <= query.n_inputs <= window for query in found)
    least = min(window - stride + 1, window)
    assert all(query.start >= least for query in found[1:])


class CountingModel:
    """Stands for a model where only the flow counts: a token's log-probability is minus its id."""

    def __init__(self) -> None:
        self.batches: list[list[Query]] = []

    def log_probs(self, queries: Sequence[Query]) -> list[LogProbs]:
        self.batches.append(list(queries))
        return [-np.array(query.ids[query.start :], np.float32) for query in queries]


@pytest.fixture
def model() -> CountingModel:
    return CountingModel()


@pytest.fixture
def scorer(model: CountingModel, tmp_path: Path) -> Scorer:
    save_tokenizer(tmp_path, word_tokenizer([f"w{i}" for i in range(100)]))
    return Scorer(model, LoadedTokenizer(tmp_path), Limits(50, 0), 20, lambda: None)  # type: ignore[arg-type]


TASK = MinimalPairs(MinimalPairsConfig(name="d", task="minimal_pairs", data="d", format="items"))


def items(n: int) -> Iterator[Item]:
    for i in range(n):
        good, bad = "w1 " * (1 + i % 7), "w2 " * (1 + i % 5) + f"w{i % 90 + 3}"
        yield Item(item_id=str(i), item_group="g", form="all", field=None, place=f"d:{i}", texts=(good, bad))


def test_items_come_back_in_order_with_their_own_scores(scorer: Scorer, model: CountingModel) -> None:
    found = list(scorer.score(TASK, items(1000)))
    assert [one.item.item_id for one in found] == [str(i) for i in range(1000)]
    for i, one in enumerate(found):
        assert one.verdict is not None
        assert one.verdict.scores == [-(1.0 + i % 7), -(2.0 * (1 + i % 5) + i % 90 + 3)]
    for batch in model.batches:
        assert len(batch) == 1 or len(batch) * max(query.n_inputs for query in batch) <= 20


def test_the_first_results_come_before_the_last_items_are_read(scorer: Scorer) -> None:
    read = 0

    def counted() -> Iterator[Item]:
        nonlocal read
        for item in items(50_000):
            read += 1
            yield item

    next(scorer.score(TASK, counted()))
    assert read <= 512


def test_equal_texts_are_scored_once(scorer: Scorer, model: CountingModel) -> None:
    same = [Query([0, 5, 6], 1)] * 40 + [Query([0, 5, 6], 2)]
    found = scorer.log_probs(same)
    assert sum(len(batch) for batch in model.batches) == 2
    assert [one.tolist() for one in found] == [[-5.0, -6.0]] * 40 + [[-6.0]]


def test_stopping_is_asked_before_each_batch(scorer: Scorer, model: CountingModel) -> None:
    def stop() -> None:
        if len(model.batches) == 3:
            raise KeyboardInterrupt

    scorer.check_stop = stop
    with pytest.raises(KeyboardInterrupt):
        list(scorer.score(TASK, items(1000)))
    assert len(model.batches) == 3
