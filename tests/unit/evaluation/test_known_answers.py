"""Numbers that can be checked with a pencil: a model that is a table of chances for the next word."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from heliograph.evaluation.minimal_pairs import MinimalPairs
from heliograph.evaluation.models import load_model
from heliograph.evaluation.perplexity import Perplexity
from heliograph.evaluation.scoring import Scored, Scorer
from heliograph.evaluation.tally import Tally
from heliograph.evaluation.task import Item, Limits, Task
from heliograph.evaluation.tokenizer import LoadedTokenizer
from heliograph.stages.evaluation_config import MinimalPairsConfig, PerplexityConfig
from unit.evaluation.builders import BOS, save_bigram_model, save_tokenizer, word_tokenizer

WORDS = (BOS, "the", "cat", "cats", "sleeps", "sleep")
#        <bos>  the    cat    cats   sleeps sleep
TABLE = (
    (0.025, 0.500, 0.250, 0.125, 0.050, 0.050),  # after <bos>
    (0.100, 0.100, 0.400, 0.200, 0.100, 0.100),  # after the
    (0.100, 0.100, 0.100, 0.100, 0.500, 0.100),  # after cat
    (0.100, 0.100, 0.100, 0.100, 0.100, 0.500),  # after cats
    (0.250, 0.250, 0.125, 0.125, 0.125, 0.125),  # after sleeps
    (0.250, 0.250, 0.125, 0.125, 0.125, 0.125),  # after sleep
)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    folder = tmp_path_factory.mktemp("bigram")
    save_bigram_model(folder, TABLE, context=6)
    save_tokenizer(folder, word_tokenizer(WORDS))
    model = load_model(folder, "float32", torch.device("cpu"))
    return Scorer(model, LoadedTokenizer(folder), Limits(model.context, 0), 32, lambda: None)


def item(*texts: str, context: str = "", correct: int = 0, name: str = "i1") -> Item:
    return Item(
        item_id=name,
        item_group="g",
        form="all",
        field=None,
        place="data.jsonl:1",
        texts=texts,
        context=context,
        correct=correct,
    )


def pairs(**changes: Any) -> MinimalPairs:
    return MinimalPairs(
        MinimalPairsConfig(name="d", task="minimal_pairs", data="d", format="items", **changes)
    )


def texts(**changes: Any) -> Perplexity:
    return Perplexity(PerplexityConfig(name="d", task="perplexity", data="d", format="text", **changes))


def score(scorer: Scorer, task: Task, *items: Item) -> list[Scored]:
    return list(scorer.score(task, items))


def scores(scorer: Scorer, task: Task, one: Item) -> Sequence[float]:
    (scored,) = score(scorer, task, one)
    assert scored.verdict is not None, scored.reason
    return [math.exp(value) for value in scored.verdict.scores]


def test_a_score_is_the_product_of_the_chances(scorer: Scorer) -> None:
    found = scores(scorer, pairs(), item("the cat sleeps", "the cat sleep"))
    assert found == pytest.approx([0.5 * 0.4 * 0.5, 0.5 * 0.4 * 0.1], rel=1e-5)


def test_without_bos_the_first_token_is_only_context(scorer: Scorer) -> None:
    found = scores(scorer, pairs(bos="never"), item("the cat sleeps", "the cats sleeps"))
    assert found == pytest.approx([0.4 * 0.5, 0.2 * 0.1], rel=1e-5)


def test_a_context_is_not_scored(scorer: Scorer) -> None:
    one = item("cat sleeps", "cats sleeps", context="sleep the")
    assert scores(scorer, pairs(), one) == pytest.approx([0.4 * 0.5, 0.2 * 0.1], rel=1e-5)


@pytest.mark.parametrize(("bos", "length"), [("always", 3), ("without_context", 2), ("never", 2)], ids=str)
def test_bos_before_a_context(scorer: Scorer, bos: str, length: int) -> None:
    task = pairs(bos=bos)
    queries = task.queries(item("cat", "cats", context="the"), [[1, 2], [1, 3], [1]], scorer.limits)
    assert [len(query.ids) for query in queries] == [length, length]
    assert [query.ids[query.start :] for query in queries] == [[2], [3]]


def test_bos_without_a_context_unless_never(scorer: Scorer) -> None:
    for bos, expected in (("always", [0, 1, 2]), ("without_context", [0, 1, 2]), ("never", [1, 2])):
        assert pairs(bos=bos).queries(item("the cat", "x"), [[1, 2]], scorer.limits)[0].ids == expected


def test_more_than_two_alternatives_and_another_right_one(scorer: Scorer) -> None:
    one = item("the cat sleep", "the cat sleeps", "the cat cat", correct=1)
    (scored,) = score(scorer, pairs(), one)
    assert scored.verdict is not None
    assert scored.verdict.correct is True
    assert scored.verdict.n_tokens == 9


@pytest.mark.parametrize(("ties", "correct"), [("wrong", False), ("right", True)])
def test_a_tie_is_an_equal_score(scorer: Scorer, ties: str, correct: bool) -> None:
    same = item("the cat sleeps", "the cat sleeps")
    others = [item("the " * n + "cat", "cats sleep", name=str(n)) for n in range(1, 5)]
    verdicts = [one.verdict for one in score(scorer, pairs(ties=ties), *others, same)]
    assert verdicts[-1] is not None
    assert verdicts[-1].scores[0] == verdicts[-1].scores[1]
    assert verdicts[-1].correct is correct


def test_what_is_too_long_is_left_out_with_the_reason(scorer: Scorer) -> None:
    fits, too_long = "the cat sleeps the cat sleeps", "the cat sleeps the cat sleeps the"
    found = score(scorer, pairs(), item(fits, "the cat"), item(fits, too_long))
    assert [one.verdict is None for one in found] == [False, True]
    assert found[1].reason == "7 tokens, and the model reads at most 6"


def test_a_single_token_without_bos_cannot_be_scored(scorer: Scorer) -> None:
    (found,) = score(scorer, pairs(bos="never"), item("cat", "the cat"))
    assert found.verdict is None
    assert "no token that could be scored" in found.reason


def perplexities(scorer: Scorer, task: Perplexity, *documents: str) -> dict[str, float]:
    tally = Tally(task)
    for scored in score(scorer, task, *(item(text) for text in documents)):
        assert scored.verdict is not None
        tally.add(scored.item, scored.verdict)
    return tally.overall()


def test_perplexity_by_token_word_and_byte(scorer: Scorer) -> None:
    chance = (0.5 * 0.4 * 0.5) * (0.25 * 0.5)  # "the cat sleeps" and "cat sleeps"
    found = perplexities(scorer, texts(), "the cat sleeps", "cat sleeps")
    assert found["perplexity"] == pytest.approx(chance ** (-1 / 5), rel=1e-5)
    assert found["word_perplexity"] == pytest.approx(chance ** (-1 / 5), rel=1e-5)
    assert found["byte_perplexity"] == pytest.approx(chance ** (-1 / (14 + 10)), rel=1e-5)
    assert found["loss"] == pytest.approx(-math.log(chance) / 5, rel=1e-5)


def test_perplexity_without_bos(scorer: Scorer) -> None:
    chance = 0.4 * 0.5
    found = perplexities(scorer, texts(bos="never"), "the cat sleeps")
    assert found["perplexity"] == pytest.approx(chance ** (-1 / 2), rel=1e-5)
    assert found["word_perplexity"] == pytest.approx(chance ** (-1 / 3), rel=1e-5)


def test_windows_do_not_change_what_depends_on_the_last_token_alone(scorer: Scorer) -> None:
    document = "the cat sleeps the cats sleep the cat sleep the cats sleeps the cat"
    ids = [0, *(WORDS.index(word) for word in document.split())]
    chance = math.prod(TABLE[a][b] for a, b in itertools.pairwise(ids))
    for window, stride in ((6, 6), (6, 3), (5, 1), (2, 2), (None, None)):
        found = perplexities(scorer, texts(window=window, stride=stride), document)
        assert found["perplexity"] == pytest.approx(chance ** (-1 / 14), rel=1e-5), (window, stride)


def test_tokenizer_bos_may_be_a_token_object(tmp_path: Path) -> None:
    save_tokenizer(tmp_path, word_tokenizer(WORDS))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": {"content": "sleep"}}')
    tokenizer = LoadedTokenizer(tmp_path)
    assert tokenizer.bos_id({"bos_token_id": 1}, 6) == 5
    assert tokenizer.bos_id({"bos_token_id": 1}, 5) == 1  # a token that the model lacks is no use
