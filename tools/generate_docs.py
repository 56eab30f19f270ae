"""Writes what the docs take from the code: JSON Schemas, the configuration reference, the commands.

python tools/generate_docs.py            write docs/schemas/*.json and docs/reference/*.md
python tools/generate_docs.py --check    tell what is out of date, and fail if anything is
"""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
from pathlib import Path
from typing import Any

import msgspec

from heliograph.cli import main as cli
from heliograph.config import Resources, StageSettings, WatcherConfig
from heliograph.protocol.events import Event
from heliograph.protocol.signals import ALL_KINDS
from heliograph.stages.evaluation_config import EvaluationConfig, MinimalPairsConfig, PerplexityConfig
from heliograph.training.config import ExperimentConfig

DOCS = Path(__file__).parents[1] / "docs"
CONFIGS: tuple[tuple[str, str, type[Any]], ...] = (
    ("watcher.yaml", "config/watcher.yaml, or the file that WATCHER_CONFIG names", WatcherConfig),
    ("Experiments", "config/experiments/NAME.yaml", ExperimentConfig),
    ("base_eval.yaml", "config/evaluation/base_eval.yaml", EvaluationConfig),
    ("Minimal pairs", "config/evaluation/dataset_configs/NAME.yaml, task: minimal_pairs", MinimalPairsConfig),
    ("Perplexity", "config/evaluation/dataset_configs/NAME.yaml, task: perplexity", PerplexityConfig),
)
ENVIRONMENT = {
    "SHARED_DRIVE": "the shared drive, where --drive is not given",
    "MLFLOW_TRACKING_URI": "where MLflow answers, where the configuration does not say",
    "MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD": "the login for MLflow",
    "WATCHER_CONFIG": "another file in place of config/watcher.yaml",
    "SLURM_ACCOUNT": "the account of every stage that names none",
    "HELIOGRAPH_STATE": "local folder for live databases, spools and the local executor's jobs "
    "(default: $XDG_STATE_HOME/heliograph, ~/.local/state/heliograph)",
    "HELIOGRAPH_LOG_FORMAT": "text or json, on standard error (default: text on a terminal, json elsewhere)",
}

PLAIN = {
    "NoneType": "nothing",
    "StrType": "text",
    "IntType": "whole number",
    "FloatType": "number",
    "BoolType": "true or false",
}


def field_docs(kind: type[Any]) -> dict[str, str]:
    """Return the string that stands below each field in the source."""
    body = ast.parse(inspect.getsource(kind)).body[0]
    if not isinstance(body, ast.ClassDef):
        raise TypeError(kind)
    found = {}
    for node, following in zip(body.body, body.body[1:], strict=False):
        told = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and told:
            found[node.target.id] = " ".join(str(following.value.value).split())  # type: ignore[attr-defined]
    return found


def describe_type(info: Any) -> str:
    """Write a msgspec type as people read it."""
    kinds = msgspec.inspect
    told: str
    match info:
        case kinds.Metadata():
            note = (info.extra_json_schema or {}).get("description")
            told = describe_type(info.type) + (f" ({note})" if note else "")
        case kinds.UnionType():
            told = " or ".join(dict.fromkeys(describe_type(part) for part in info.types))
        case kinds.LiteralType():
            told = ", ".join(f"`{value}`" for value in info.values)
        case kinds.ListType() | kinds.VarTupleType():
            told = f"list of {describe_type(info.item_type)}"
        case kinds.DictType():
            told = f"mapping of {describe_type(info.key_type)} to {describe_type(info.value_type)}"
        case kinds.StructType():
            told = f"[{info.cls.__name__}](#{info.cls.__name__.lower()})"
        case _:
            told = PLAIN.get(type(info).__name__, type(info).__name__) + _limits(info)
    return told


def _limits(info: Any) -> str:
    names = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    limits = {sign: getattr(info, name, None) for name, sign in names.items()}
    told = ", ".join(f"{sign} {limit}" for sign, limit in limits.items() if limit is not None)
    return f" {told}" if told else ""


def describe_struct(kind: type[Any], seen: list[type[Any]]) -> list[str]:
    """Write one struct as a table, and remember the structs that its fields lead to."""
    docs: dict[str, str] = {}
    for parent in reversed(kind.__mro__):
        if issubclass(parent, msgspec.Struct) and parent is not msgspec.Struct:
            docs |= field_docs(parent)
    lines = ["| key | takes | without it | what it means |", "| --- | --- | --- | --- |"]
    for part in msgspec.inspect.type_info(kind).fields:  # type: ignore[attr-defined]
        default = "required" if part.required else "…"
        if part.default is not msgspec.NODEFAULT and not isinstance(part.default, msgspec.Struct):
            default = f"`{msgspec.json.encode(part.default).decode()}`"
        takes = describe_type(part.type).replace("|", "\\|")
        about = docs.get(part.name) or _struct_doc(part.type)
        lines.append(f"| `{part.encode_name}` | {takes} | {default} | {about} |")
        _collect(part.type, seen)
    return lines


def _struct_doc(info: Any) -> str:
    """Return the first sentence about the struct that a key leads to."""
    cls = getattr(info, "cls", None)
    return " ".join((cls.__doc__ or "").split()).split(". ")[0].rstrip(".") if cls else ""


def _collect(info: Any, seen: list[type[Any]]) -> None:
    cls = getattr(info, "cls", None)
    if isinstance(cls, type) and issubclass(cls, msgspec.Struct) and cls not in seen:
        seen.append(cls)
    for name in ("types", "value_type", "item_type", "type"):
        inner = getattr(info, name, None)
        for part in inner if isinstance(inner, tuple) else [inner] if inner is not None else []:
            _collect(part, seen)


def configuration_page() -> str:
    """Return docs/reference/configuration.md."""
    lines = ["# Configuration reference", "", "Generated from the code by `tools/generate_docs.py`.", ""]
    lines += ["An unknown key is an error that names the nearest right one. Times are seconds.", ""]
    lines += ["## Environment variables", "", "| variable | what it means |", "| --- | --- |"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in ENVIRONMENT.items()]
    structs: list[type[Any]] = [Resources, StageSettings]
    for title, where, kind in CONFIGS:
        lines += ["", f"## {title}", "", f"`{where}`", ""]
        lines += describe_struct(kind, structs)
    lines += ["", "## Parts of the above"]
    done = 0
    while done < len(structs):
        kind = structs[done]
        if kind not in [config[2] for config in CONFIGS]:
            told = " ".join((kind.__doc__ or "").split())
            lines += ["", f"### {kind.__name__}", "", told, "", *describe_struct(kind, structs)]
        done += 1
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Return docs/reference/commands.md: the help of every verb."""
    lines = ["# Commands", "", "Generated from the code by `tools/generate_docs.py`.", "", "```"]
    lines += [cli.build_parser([]).format_help().rstrip(), "```"]
    for verb in cli.VERBS:
        sub = next(a for a in cli.build_parser([verb])._actions if isinstance(a, argparse._SubParsersAction))
        lines += ["", f"## heliograph {verb}", "", "```", sub.choices[verb].format_help().rstrip(), "```"]
    return "\n".join(lines) + "\n"


def pages() -> dict[Path, str]:
    """Return every generated file by its path."""
    found = {
        DOCS / "reference" / "configuration.md": configuration_page(),
        DOCS / "reference" / "commands.md": commands_page(),
        DOCS / "schemas" / "event.json": _schema(Event),
    }
    for kind in ALL_KINDS:
        found[DOCS / "schemas" / f"{kind.file_name.lstrip('.')}.json"] = _schema(kind.schema)
    return found


def _schema(kind: type[Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(msgspec.json.schema(kind)), indent=2).decode() + "\n"


def main() -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        print(f"{'out of date' if check else 'wrote'}: {path.relative_to(DOCS.parent)}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pages()[path])
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
