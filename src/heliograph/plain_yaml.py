"""YAML for settings: plain values, each key once, and neither so deep nor so large that it harms the reader.

PyYAML's loader over libyaml follows nesting on the C stack: 100,000 times `[` ended the process (SIGSEGV,
PyYAML 6.0.3). And nine lines of aliases of aliases are a billion values ("billion laughs").
"""

from __future__ import annotations

from typing import Any, ClassVar

import yaml

_DEEPEST = 60
_MOST_VALUES = 20_000
_NOT_YET = -1
_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.CSafeLoader):
    """PyYAML's safe loader, which by itself keeps the last of two equal keys without a word, and reads the
    words on, off, yes and no as true and false, as YAML 1.1 had it: `inotify: on` would be no word."""

    yaml_implicit_resolvers: ClassVar = {  # type: ignore[misc] # PyYAML's own way; the stubs know another
        first: [(tag, form) for tag, form in forms if first in "tTfF" or not tag.endswith(":bool")]
        for first, forms in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise _wrong("a key has to be one word or number", key_node)
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise _wrong(f"the key {key!r} stands here twice", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_yaml(raw: bytes) -> Any:
    """Read one YAML document into plain values. Raises yaml.YAMLError, mostly with a mark, or ValueError."""
    _check_events(raw)
    loader = _Loader(raw)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {})
        return loader.construct_document(node)
    except ValueError as error:
        if "Exceeds the limit" in str(error):  # Python's, of the digits that it turns into a number
            raise ValueError("a number in it has more than 4300 digits") from None
        raise
    finally:
        loader.dispose()


def _check_events(raw: bytes) -> None:
    """Look at the parser's events, which need no stack, before anything is built from them."""
    depth = 0
    for number, event in enumerate(yaml.parse(raw, Loader=yaml.CSafeLoader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise _wrong(f"it is nested more than {_DEEPEST} levels deep", event)
        if number > 2 * _MOST_VALUES:
            raise _wrong(f"it has more than {_MOST_VALUES} values", event)


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """Return how many values a node stands for, aliases filled in. Each node is looked at once."""
    number = id(node)
    if number not in known:
        known[number] = _NOT_YET
        known[number] = 1 + sum(_count(inner, known) for inner in _inner(node))
    if known[number] == _NOT_YET:
        raise _wrong("an alias stands inside of what it names", node)
    if known[number] > _MOST_VALUES:
        raise _wrong(f"with its aliases filled in, it has more than {_MOST_VALUES} values", node)
    return known[number]


def _inner(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _wrong(problem: str, at: Any) -> yaml.YAMLError:
    """Return the error for a node or event."""
    return yaml.constructor.ConstructorError(None, None, problem, at.start_mark)
