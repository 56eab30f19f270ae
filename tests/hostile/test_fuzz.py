"""Whatever a valid file is turned into: the parsers say BadInput, and nothing else."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import msgspec
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliograph.config import WatcherConfig, parse_config
from heliograph.errors import BadInput
from heliograph.plain_yaml import load_yaml
from heliograph.protocol import events as ev
from heliograph.protocol import signals
from heliograph.protocol.signals import ALL_KINDS
from hostile.cases import event_values, valid

FAST = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
PATH = Path("/drive/models/e1/file")

TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)
SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(-(2**80), 2**80), st.floats(), TEXT),
    st.sampled_from(["2026-01-31T09:05:00Z", "../x", "e1", "$(id)", "02:00:00", "32G", "training", 10**400]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)


@st.composite
def changed(draw: st.DrawFn, original: Any) -> Any:
    """Change a value somewhere: another value, a key more, less or renamed, at any depth."""
    if isinstance(original, dict) and original and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(original)))
        match draw(st.sampled_from(["inside", "inside", "drop", "add", "rename"])):
            case "inside":
                return original | {key: draw(changed(original[key]))}
            case "drop":
                return {name: value for name, value in original.items() if name != key}
            case "add":
                return original | {draw(TEXT): draw(VALUES)}
            case _:
                return {draw(TEXT) if name == key else name: value for name, value in original.items()}
    return draw(VALUES)


@st.composite
def bytes_of(draw: st.DrawFn, original: Any) -> bytes:
    """Write a changed value as JSON; then, sometimes, damage the bytes too."""
    values = draw(changed(original))
    raw = json.dumps(values).encode()
    match draw(st.sampled_from(["whole", "whole", "cut", "flip", "insert", "utf16"])):
        case "cut":
            return raw[: draw(st.integers(0, len(raw)))]
        case "flip" if raw:
            at = draw(st.integers(0, len(raw) - 1))
            return raw[:at] + bytes([draw(st.integers(0, 255))]) + raw[at + 1 :]
        case "insert":
            at = draw(st.integers(0, len(raw)))
            return raw[:at] + draw(st.binary(max_size=8)) + raw[at:]
        case "utf16":
            return raw.decode().encode("utf-16")
    return raw


def check(error: BadInput) -> None:
    assert str(error).isprintable()
    assert all(error.facts[name] for name in ("file", "field", "problem", "value", "remedy"))


SIGNALS = {kind: valid("signals")[kind.file_name.lstrip(".")] | {"experiment": "e1"} for kind in ALL_KINDS}


@FAST
@given(st.data())
def test_signals(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(ALL_KINDS))
    raw = data.draw(bytes_of(SIGNALS[kind]))
    try:
        signal = signals.parse_signal(raw, kind, PATH, "e1")
    except BadInput as error:
        check(error)
        return
    again = signals.encode_signal(signal.content)
    assert signals.parse_signal(again, kind, PATH, "e1").content == signal.content


@FAST
@given(st.data())
def test_events(data: st.DataObject) -> None:
    tag = data.draw(st.sampled_from(sorted(valid("events"))))
    raw = data.draw(bytes_of(event_values(tag, "e1", 7, {})))
    try:
        event = ev.parse_event(raw, PATH)
    except BadInput as error:
        check(error)
        return
    line = ev.encode_event(event)
    assert b"\n" not in line
    assert ev.parse_event(line, PATH) == event, "what is journaled is read back"


@FAST
@given(st.binary(max_size=60))
def test_bytes_of_any_kind(raw: bytes) -> None:
    for parse in (
        lambda: signals.parse_signal(raw, signals.TRAINING_COMPLETE, PATH, "e1"),
        lambda: ev.parse_event(raw, PATH),
    ):
        try:
            parse()
        except BadInput as error:
            check(error)


CONFIG = msgspec.to_builtins(WatcherConfig())


@FAST
@given(changed(CONFIG))
def test_configuration(values: Any) -> None:
    try:
        config = parse_config(values, WatcherConfig, file=PATH)
    except BadInput as error:
        check(error)
        return
    assert set(config.stages) == {"evaluation", "analysis"}


@FAST
@given(st.text(st.sampled_from("[]{},:-?&*!|>'\"%@` \n\tab1<=~#"), max_size=60))
def test_yaml_of_any_kind(text: str) -> None:
    with contextlib.suppress(yaml.YAMLError, ValueError):
        load_yaml(text.encode())
