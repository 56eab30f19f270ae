"""Minimal pairs: a model that knows a rule finds the right alternative more probable than every wrong one.

The score of an alternative is the sum of its tokens' log-probabilities (natural logarithm), not divided by
its length, as in BLiMP (Warstadt et al. 2020, https://doi.org/10.1162/tacl_a_00321).

Conventions that differ between tools are settings of the data set:
- `bos`: with a begin-of-sequence token ahead, the first token is scored too; without, it is only context.
- `leading_space`, `delimiter`: the text is CONTEXT + delimiter + ALTERNATIVE, or, without a context,
  ALTERNATIVE with a space ahead if leading_space. Scored are the tokens of the whole text after as many as
  the context alone has.
- `ties`: a tie is an exactly equal score. The same text twice always is one, as it is scored once.
The conventions of lm-evaluation-harness are `bos: without_context, leading_space: true, ties: right`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from heliograph.evaluation.data import Line, Reading
from heliograph.evaluation.task import (
    ALL_FORMS,
    Item,
    Limits,
    LogProbs,
    Query,
    TokenIds,
    Unscorable,
    Verdict,
    begin,
    check_text,
    label_field,
    optional_label,
    text_field,
)
from heliograph.stages.evaluation_config import DatasetConfig, MinimalPairsConfig


class MinimalPairs:
    """Implements `task.Task`; `sums` is (right answers,)."""

    name: ClassVar[str] = "minimal_pairs"
    config_type: ClassVar[type[DatasetConfig]] = MinimalPairsConfig
    metric_names: ClassVar[tuple[str, ...]] = ("accuracy",)

    def __init__(self, config: MinimalPairsConfig) -> None:
        self.config = config

    def suffixes(self) -> tuple[str, ...]:
        return (".jsonl",)

    def read(self, reading: Reading) -> Iterator[Item]:
        parse = self._parse_blimp if self.config.format == "blimp" else self._parse_item
        for line in reading.lines():
            yield parse(line, line.fields())

    def _parse_blimp(self, line: Line, fields: dict[str, Any]) -> Item:
        """Read one line of BLiMP. Its pairID counts within a paradigm (UID): an item's id names both."""
        names = self.config.fields
        group = label_field(line, fields, names.item_group or "UID", self.config.name)
        number = label_field(line, fields, names.item_id or "pairID", str(line.number))
        good, bad = names.good or "sentence_good", names.bad or "sentence_bad"
        return Item(
            item_id=f"{group}-{number}",
            item_group=group,
            form=label_field(line, fields, names.form, ALL_FORMS) if names.form else ALL_FORMS,
            field=optional_label(line, fields, names.field or "field"),
            place=line.place,
            texts=(text_field(line, fields, good), text_field(line, fields, bad)),
            context=text_field(line, fields, names.context, "") if names.context else "",
        )

    def _parse_item(self, line: Line, fields: dict[str, Any]) -> Item:
        names = self.config.fields
        texts = _alternatives(line, fields, names.alternatives or "alternatives")
        return Item(
            item_id=label_field(line, fields, names.item_id or "item_id"),
            item_group=label_field(line, fields, names.item_group or "item_group", self.config.name),
            form=label_field(line, fields, names.form or "form", ALL_FORMS),
            field=optional_label(line, fields, names.field or "field"),
            place=line.place,
            texts=texts,
            context=text_field(line, fields, names.context or "context", ""),
            correct=_correct(line, fields, names.correct or "correct", len(texts)),
        )

    def texts(self, item: Item) -> list[str]:
        """Return the whole text of each alternative, and then the context if there is one."""
        if item.context:
            ahead = item.context + self.config.delimiter
            return [*(ahead + text for text in item.texts), item.context]
        space = " " if self.config.leading_space else ""
        return [space + text for text in item.texts]

    def queries(self, item: Item, tokens: Sequence[TokenIds], limits: Limits) -> list[Query]:
        bos = self.config.bos
        ahead = begin(bos == "always" or (bos == "without_context" and not item.context), limits)
        n_context = len(tokens[-1]) if item.context else 0
        start = max(1, len(ahead) + n_context)
        queries = [Query(ahead + ids, start) for ids in tokens[: len(item.texts)]]
        for query in queries:
            if len(query.ids) <= start:
                raise Unscorable("an alternative has no token that could be scored")
            if query.n_inputs > limits.context:
                raise Unscorable(f"{query.n_inputs} tokens, and the model reads at most {limits.context}")
        return queries

    def judge(self, item: Item, log_probs: Sequence[LogProbs]) -> Verdict:
        scores = [float(np.sum(tokens, dtype=np.float64)) for tokens in log_probs]
        right = scores[item.correct]
        best_wrong = max(score for i, score in enumerate(scores) if i != item.correct)
        correct = right > best_wrong or (right == best_wrong and self.config.ties == "right")
        return Verdict(scores, correct, sum(len(tokens) for tokens in log_probs), (float(correct),))

    def metrics(self, n: int, sums: Sequence[float]) -> dict[str, float]:
        return {"accuracy": sums[0] / n}


def _alternatives(line: Line, fields: dict[str, Any], key: str) -> tuple[str, ...]:
    value = fields.get(key)
    if not isinstance(value, list) or len(value) < 2:
        raise line.bad(
            key, "is no list of two or more texts", value, "Write the right one first, then wrong ones."
        )
    return tuple(check_text(line, f"{key}[{i}]", text) for i, text in enumerate(value))


def _correct(line: Line, fields: dict[str, Any], key: str, n: int) -> int:
    value = fields.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < n:
        raise line.bad(key, "is no index of an alternative", value, f"Write 0 to {n - 1}; 0 is the first.")
    return value
