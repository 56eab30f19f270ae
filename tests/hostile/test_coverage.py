"""The corpus is whole: enough cases, and for every field of every schema one in which it is wrong.

The fields come from the structs themselves, so a new field without a case fails here. To add one: write the
case without `told` in corpus/*.yaml, run it, and judge the text that it fails with before it becomes the
expected one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from heliograph.config import WatcherConfig
from heliograph.protocol import events as ev
from heliograph.protocol.signals import ALL_KINDS
from heliograph.stages.checks import EvaluationMetadata, Manifest
from heliograph.stages.evaluation_config import EvaluationConfig, MinimalPairsConfig, PerplexityConfig
from heliograph.training.config import ExperimentConfig
from hostile import makers, model_makers
from hostile.cases import CORPUS, Case, read_corpus

CONFIGS = {
    "watcher": WatcherConfig,
    "experiment": ExperimentConfig,
    "base_eval": EvaluationConfig,
    "minimal_pairs": MinimalPairsConfig,
    "perplexity": PerplexityConfig,
}
ALL = ("signals", "events", "configs", "models", "results")


def fields_of(kind: Any, at: str = "") -> Iterator[str]:
    """Name every field below a struct, those of nested structs as a.b, any key of a mapping as *."""
    info = kind if isinstance(kind, msgspec.inspect.Type) else msgspec.inspect.type_info(kind)
    match info:
        case msgspec.inspect.Metadata():
            yield from fields_of(info.type, at)
        case msgspec.inspect.UnionType():
            for one in info.types:
                yield from fields_of(one, at)
        case msgspec.inspect.ListType():
            yield from fields_of(info.item_type, at)
        case msgspec.inspect.DictType():
            yield from fields_of(info.value_type, f"{at}.*")
        case msgspec.inspect.StructType():
            for field in info.fields:
                yield f"{at}.{field.encode_name}".lstrip(".")
                yield from fields_of(field.type, f"{at}.{field.encode_name}".lstrip("."))


def told_field(case: Case) -> str:
    """Return the field that a case's error names, without positions in lists."""
    return re.sub(r"\[\d+\]", "", (case.told or "").split(": ")[1]) if case.told else ""


def missing(kind: Any, cases: list[Case], prefix: str = "") -> set[str]:
    """Return the fields of a schema in which nothing is wrong in any of the cases."""
    told = {told_field(case) for case in cases}
    wanted = {f"{prefix}{field}" for field in fields_of(kind)}
    return {field for field in wanted if not any(_is(field, one) for one in told)}


def _is(field: str, told: str) -> bool:
    pattern = re.escape(field).replace(r"\*", r"[^.]+")
    return re.fullmatch(pattern, told) is not None


def test_there_are_enough_of_each() -> None:
    counts = {name: sum(case.told is not None for case in read_corpus(name)) for name in ALL}
    assert counts["signals"] + counts["events"] + counts["configs"] >= 60
    assert all(counts[name] >= 30 for name in ALL), counts
    assert sum(counts.values()) >= 500


@pytest.mark.parametrize("name", ALL)
def test_names_are_unique_and_every_error_names_file_field_value_and_remedy(name: str) -> None:
    cases = read_corpus(name)
    assert [one for one, n in Counter((case.file, case.name) for case in cases).items() if n > 1] == []
    for case in cases:
        if case.told is not None:
            assert re.fullmatch(r"\{(file|drive|model)\}\S*: [^:]+: .+, found .+\. .+[.?]", case.told), (
                case.name
            )


@pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.file_name)
def test_every_field_of_every_signal(kind: Any) -> None:
    same = [one.file_name.lstrip(".") for one in ALL_KINDS if one.schema is kind.schema]
    cases = [case for case in read_corpus("signals") if (case.kind or "training_complete") in same]
    assert missing(kind.schema, cases) == set()


def test_every_field_of_an_events_envelope() -> None:
    cases = read_corpus("events")
    assert (
        missing(ev.Event, cases) - {f"body.{one}" for body in ev.Body.__args__ for one in fields_of(body)}
        == set()
    )


@pytest.mark.parametrize("body", ev.Body.__args__, ids=lambda body: body.__struct_config__.tag)
def test_every_field_of_every_event(body: Any) -> None:
    tag = body.__struct_config__.tag
    cases = [case for case in read_corpus("events") if (case.kind or "training.heartbeat") == tag]
    if body in ev.DECISIONS:
        assert [told_field(case) for case in cases] == ["body.kind"], "nobody may post it, whatever it says"
    else:
        assert missing(body, cases, "body.") == set()


@pytest.mark.parametrize("name", CONFIGS)
def test_every_field_of_every_configuration(name: str) -> None:
    cases = [case for case in read_corpus("configs") if case.file == name]
    assert missing(CONFIGS[name], cases) == set()


@pytest.mark.parametrize(("file", "kind"), [("eval_metadata", EvaluationMetadata), ("manifest", Manifest)])
def test_every_field_of_every_result(file: str, kind: Any) -> None:
    cases = [case for case in read_corpus("results") if case.file == file]
    assert missing(kind, cases) == set()


def test_nothing_of_the_corpus_is_left_over() -> None:
    assert {path.stem for path in CORPUS.iterdir()} == {*ALL, "valid"}
    used = {case.make for name in ALL for case in read_corpus(name)}
    made = {
        name
        for module in (makers, model_makers)
        for name, one in vars(module).items()
        if getattr(one, "__module__", "") == module.__name__ and "Place" in str(one.__annotations__)
    }
    assert {name for name in made if not name.startswith("_")} == used - {None}
