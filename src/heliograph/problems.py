"""What is wrong with a value: as msgspec and json tell it, turned into field, problem and value for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from heliograph.names import in_words


class Problem(Struct, frozen=True):
    """One thing that is wrong: where, what, and the value that stands there."""

    field: str
    """a path like stages.evaluation.resources.mem; empty for the value as a whole"""
    text: str
    value: object


def read_problem(message: str, values: object) -> Problem:
    """Read what msgspec says is wrong with `values`.

    Its messages end in the place, as in "Expected `int`, got `str` - at `$.total_steps`". Hostile text may
    stand before that, so the last such mark counts.
    """
    text, mark, place = message.rpartition(" - at `")
    field = place.rpartition("$")[2].rstrip("`").lstrip(".") if mark else ""
    text = in_words(text if mark else message)
    if missing := re.fullmatch(r"Object missing required field `(.*)`", text, re.DOTALL):
        there = value_at(values, field)
        found: object = sorted(map(str, there)) if isinstance(there, Mapping) else there
        return Problem(f"{field}.{missing[1]}".lstrip("."), "is missing", found)
    return Problem(field, text, value_at(values, field))


def json_problem(raw: bytes, said: str) -> Problem:
    """Tell what is wrong with bytes that msgspec could not decode: as JSON, or else as it said."""
    try:
        return read_problem(said, read_json(raw))
    except ValueError as error:
        return Problem("(file)", f"is not JSON in UTF-8: {error}", raw[:60].decode("utf-8", "replace"))


def value_at(values: object, at: str) -> object:
    """Follow a msgspec path like `stages[...].resources.time` as far as it names one value."""
    for step in re.findall(r"[^.\[\]]+", at):
        if isinstance(values, Mapping) and step in values:
            values = values[step]
        elif isinstance(values, list) and step.isdigit() and int(step) < len(values):
            values = values[int(step)]
        else:
            break
    return values


_DEEPEST = 100  # what is read here is read again, and written, with more on the stack
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "UTF-8", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def read_json(raw: bytes) -> Any:
    """Read JSON as RFC 8259 means it: UTF-8, no byte order mark, no NaN, no key twice, no half of a surrogate
    pair. Raises ValueError, which says what is wrong in words."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if raw.startswith(mark):
            raise ValueError(f"it begins with the byte order mark of {encoding}; save it as UTF-8 without one")
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
