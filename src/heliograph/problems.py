"""What is wrong with a value, as msgspec and json tell it: turned into field, problem and value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

from heliograph.names import in_words

Steps = list[str | int]


class Problem(Struct, frozen=True):
    """One thing that is wrong: where, what, and the value that stands there."""

    field: str
    """a path like stages.evaluation.resources.mem; empty for the value as a whole"""
    text: str
    value: object


def read_problem(message: str, values: object, kind: Any) -> Problem:
    """Read what msgspec says is wrong with `values`, which it could not convert to `kind`.

    Its messages end in the place, as in "Expected `int`, got `str` - at `$.total_steps`". Hostile text may
    stand before that, so the last such mark counts. It writes every key of a mapping as [...]; which one it
    is, is found by asking again with each alone.
    """
    text, mark, place = message.rpartition(" - at `")
    text = in_words(text if mark else message)
    text = _TIMES.get(text, text)
    steps: Steps = []
    for step in re.findall(r"\[\.\.\.\]|[^.\[\]]+", place.rpartition("$")[2].rstrip("`") if mark else ""):
        found = _culprit(message, values, kind, steps) if step == "[...]" else None
        steps.append(found if found is not None else int(step) if step.isdigit() else step)
    if own := re.fullmatch(r"([a-z_]+): (.*)", text, re.DOTALL):  # a struct's own check names its field
        text = own[2]
        steps.append(own[1])
    if text.startswith("Invalid enum value") and (choices := _choices(kind, steps)):
        text = f"is none of: {', '.join(choices)}"
    value = _follow(values, steps)
    if place.startswith("key`") and (key := _culprit(message, values, kind, steps)) is not None:
        value = key
    if missing := re.fullmatch(r"Object missing required field `(.*)`", text, re.DOTALL):
        text, value = "is missing", sorted(map(str, value)) if isinstance(value, Mapping) else value
        steps.append(missing[1])
    return Problem(_write(steps), text, value)


def json_problem(raw: bytes, said: str, kind: Any) -> Problem:
    """Tell what is wrong with bytes that msgspec could not decode: as JSON, or else as it said."""
    try:
        parsed = read_json(raw)
    except ValueError as error:
        return Problem("(file)", f"is not JSON in UTF-8: {error}", raw[:60].decode("utf-8", "replace"))
    return read_problem(_complaint(parsed, kind) or said, parsed, kind)


def _complaint(values: object, kind: Any) -> str | None:
    try:
        msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def _culprit(message: str, values: object, kind: Any, steps: Steps) -> str | None:
    """Return the key that is meant, of the mapping to which the steps lead."""
    mapping = _follow(values, steps)
    if isinstance(mapping, Mapping):
        for key in islice(mapping, _MOST_KEYS_TRIED):
            if _complaint(_replace(values, steps, {key: mapping[key]}), kind) == message:
                return str(key)
    return None


def _follow(values: object, steps: Steps) -> object:
    """Follow the steps as far as they lead."""
    for step in steps:
        try:
            values = values[step]  # type: ignore[index]
        except (LookupError, TypeError):
            return values
    return values


def _replace(values: Any, steps: Steps, instead: object) -> object:
    """Return the values with another one where the steps lead."""
    if not steps:
        return instead
    changed = values.copy()
    changed[steps[0]] = _replace(values[steps[0]], steps[1:], instead)
    return changed


def _write(steps: Steps) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")


def _choices(kind: Any, steps: Steps) -> list[str]:
    """Return what a field may be, where that is one of a few words, or a list beside them."""
    nodes: list[Any] = [msgspec.inspect.type_info(kind)]
    for step in [*steps, None]:
        nodes = [plain for node in nodes for plain in _alternatives(node)]
        if step is not None:
            nodes = [part for node in nodes for part in _part(node, step)]
    words = [
        str(one) for node in nodes if isinstance(node, msgspec.inspect.LiteralType) for one in node.values
    ]
    return words + ["a list" for node in nodes if isinstance(node, msgspec.inspect.ListType)]


def _alternatives(node: Any) -> list[Any]:
    if isinstance(node, msgspec.inspect.Metadata):
        return _alternatives(node.type)
    if isinstance(node, msgspec.inspect.UnionType):
        return [plain for one in node.types for plain in _alternatives(one)]
    return [node]


def _part(node: Any, step: str | int) -> list[Any]:
    if isinstance(node, msgspec.inspect.StructType):
        return [field.type for field in node.fields if field.encode_name == step]
    inner = getattr(node, "value_type", None) or getattr(node, "item_type", None)
    return [] if inner is None else [inner]


_TIMES = {
    "Invalid RFC3339 encoded datetime": "is no time as in 2026-01-31T09:05:00Z",
    "Expected `datetime` with a timezone component": "is a time without its offset from UTC",
}
_MOST_KEYS_TRIED = 100
_DEEPEST = 100  # what is read here is read again, and written, with more on the stack
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "UTF-8", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def read_json(raw: bytes) -> Any:
    """Read JSON as RFC 8259 means it: UTF-8, no byte order mark, no NaN, no key twice, no half of a surrogate
    pair. Raises ValueError, which says what is wrong in words."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if raw.startswith(mark):
            raise ValueError(
                f"it begins with the byte order mark of {encoding}; save it as UTF-8 without one"
            )
    if not raw.strip():
        raise ValueError("it is empty")
    try:
        parsed = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
        json.dumps(parsed, ensure_ascii=False).encode()  # an escaped half of a surrogate pair is no text
        if _is_deeper(parsed, _DEEPEST):
            raise RecursionError
    except RecursionError:
        raise ValueError(f"it is nested more than {_DEEPEST} levels deep") from None
    except UnicodeEncodeError:
        raise ValueError("it holds an escaped half of a surrogate pair, which is no text") from None
    except ValueError as error:
        if "Exceeds the limit" in str(error):  # Python's, of the digits that it turns into a number
            raise ValueError("a number in it has more than 4300 digits") from None
        raise
    return parsed


def _is_deeper(value: Any, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        level = [inner for one in level if isinstance(one, dict | list) for inner in _inner(one)]
    return bool(level)


def _inner(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:60]!r} stands there twice")
        found[key] = value
    return found


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON; leave the key out or write null")
