"""Perplexity of texts: how many equally likely tokens (words, bytes) would surprise the model as much.

    perplexity = exp(-S / N)    S: sum of the log-probabilities of all scored tokens of all documents,
                                N: number of those tokens            (Jelinek, Mercer, Bahl and Baker 1977,
                                                                      https://doi.org/10.1121/1.2016299)
    word_perplexity             the same S, N: words, which white space separates
    byte_perplexity             the same S, N: bytes of the text in UTF-8
    loss                        -S / number of scored tokens, in nats

Perplexities by token are comparable between models of one tokenizer only; by word and byte, between all.

Documents longer than the window are scored by a window that moves by `stride` tokens: each token is scored
exactly once, in the first window that reaches it, so that at least window - stride tokens stand before it
(but at a document's begin). After https://huggingface.co/docs/transformers/perplexity, with one difference:
there the first token of each later window is lost when stride equals the window; here none is.
With `bos: never` a document's first token is only context: it counts in words and bytes, and not in S.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from heliograph.errors import BadConfig
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
from heliograph.stages.evaluation_config import DatasetConfig, PerplexityConfig


class Perplexity:
    """Implements `task.Task`; `sums` is (S, tokens, words, bytes)."""

    name: ClassVar[str] = "perplexity"
    config_type: ClassVar[type[DatasetConfig]] = PerplexityConfig
    metric_names: ClassVar[tuple[str, ...]] = ("perplexity", "word_perplexity", "byte_perplexity", "loss")

    def __init__(self, config: PerplexityConfig) -> None:
        self.config = config
        if config.format == "jsonl" and config.document == "file":
            raise self._bad("document", "goes with format: text only", "file", "Remove it.")
        if config.window and config.stride and config.stride > config.window:
            raise self._bad("stride", "is longer than the window", config.stride, "Tokens would be left out.")

    def _bad(self, field: str, problem: str, value: object, remedy: str) -> BadConfig:
        file = f"{self.config.name}.yaml"
        return BadConfig(file=file, field=field, problem=problem, value=value, remedy=remedy)

    def suffixes(self) -> tuple[str, ...]:
        return (".jsonl",) if self.config.format == "jsonl" else (".txt",)

    def read(self, reading: Reading) -> Iterator[Item]:
        whole = self.config.format == "text" and self.config.document == "file"
        for line in reading.documents() if whole else reading.lines():
            yield self._parse_json(line) if self.config.format == "jsonl" else self._parse_text(line)

    def _parse_text(self, line: Line) -> Item:
        return Item(
            item_id=line.short_place,
            item_group=self.config.name,
            form=ALL_FORMS,
            field=None,
            place=line.place,
            texts=(check_text(line, "(text)", line.text()),),
        )

    def _parse_json(self, line: Line) -> Item:
        fields, names = line.fields(), self.config.fields
        return Item(
            item_id=label_field(line, fields, names.item_id or "item_id", line.short_place),
            item_group=label_field(line, fields, names.item_group or "item_group", self.config.name),
            form=label_field(line, fields, names.form or "form", ALL_FORMS),
            field=optional_label(line, fields, names.field or "field"),
            place=line.place,
            texts=(text_field(line, fields, names.text or "text"),),
        )

    def texts(self, item: Item) -> list[str]:
        return [item.texts[0]]

    def queries(self, item: Item, tokens: Sequence[TokenIds], limits: Limits) -> list[Query]:  # noqa: ARG002 - as in Task
        window, stride = self._window(limits)
        ids = begin(self.config.bos == "always", limits) + tokens[0]
        if len(ids) < 2:
            raise Unscorable("it has no token that could be scored")
        return list(windows(ids, window, stride))

    def _window(self, limits: Limits) -> tuple[int, int]:
        window = self.config.window or limits.context
        stride = self.config.stride or max(1, window // 2)
        if window > limits.context:
            remedy = f"The model reads at most {limits.context} tokens at once."
            raise self._bad("window", "is longer than the model's context", window, remedy)
        if stride > window:
            raise self._bad("stride", f"is longer than the window of {window}", stride, "Make it shorter.")
        return window, stride

    def judge(self, item: Item, log_probs: Sequence[LogProbs]) -> Verdict:
        total = sum(float(np.sum(tokens, dtype=np.float64)) for tokens in log_probs)
        n_tokens = sum(len(tokens) for tokens in log_probs)
        text = item.texts[0]
        n_words, n_bytes = len(text.split()), len(text.encode("utf-8", "surrogatepass"))
        return Verdict([total], None, n_tokens, (total, n_tokens, n_words, n_bytes))

    def metrics(self, n: int, sums: Sequence[float]) -> dict[str, float]:  # noqa: ARG002 - as in Task
        total, n_tokens, n_words, n_bytes = sums
        return {
            "perplexity": _exp(-total / n_tokens),
            "word_perplexity": _exp(-total / n_words),
            "byte_perplexity": _exp(-total / n_bytes),
            "loss": -total / n_tokens,
        }


def windows(ids: TokenIds, window: int, stride: int) -> Iterator[Query]:
    """Cut a sequence so that every token but the first is scored once, in inputs of at most `window`.

    Window k reads ids[k * stride : k * stride + window] and is asked for the tokens that follow those, as
    far as no earlier window was. 1 <= stride <= window.
    """
    at, scored = 0, 1
    while scored < len(ids):
        end = min(at + window + 1, len(ids))
        yield Query(ids[at:end], scored - at)
        at, scored = at + stride, end


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
