"""Settings: what `config/watcher.yaml` and the environment say, as checked structs.

The same definitions give validation, the commented default files and the configuration reference. A key
that nobody knows is an error that names the nearest right one.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import yaml
from msgspec import Meta, Struct, field

from heliograph.drive import Drive
from heliograph.errors import BadConfig, NoDrive
from heliograph.files import read_untrusted
from heliograph.names import NAME_SCHEMA, SlurmMem, SlurmTime, whole

T = TypeVar("T")

Name = Annotated[str, Meta(pattern=NAME_SCHEMA)]
SlurmWord = Annotated[
    str, Meta(pattern=whole(r"[A-Za-z0-9_.,:=+@%&|*()\[\]/-]+"), description="one word, no spaces or quotes")
]
Seconds = Annotated[float, Meta(gt=0)]

_MOST_YAML = 1 << 20


class Resources(Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """What a job asks of the scheduler. Empty means: do not ask, take the cluster's default."""

    time: SlurmTime = "02:00:00"
    """the job's time limit"""
    mem: SlurmMem = "32G"
    """memory of the job, on one node"""
    cpus_per_task: Annotated[int, Meta(ge=1, le=1024)] = 8
    """cores"""
    gres: SlurmWord | None = None
    """generic resources, for instance gpu:1"""
    partition: SlurmWord | None = None
    """Slurm's partition"""
    account: SlurmWord | None = None
    """whom the job is charged to"""
    qos: SlurmWord | None = None
    """quality of service"""
    constraint: SlurmWord | None = None
    """features that the node must have"""
    exclude: SlurmWord | None = None
    """nodes that must not be taken"""


class StageSettings(Struct, forbid_unknown_fields=True, frozen=True):
    """How one stage's job is run."""

    resources: Resources = Resources()
    modules: list[SlurmWord] = []
    """environment modules to load, in this order"""
    setup: list[str] = []
    """lines of shell run before the work, as the administrator writes them"""
    extra_directives: list[Annotated[str, Meta(pattern=whole(r"--[a-z][a-z-]*(=[^\s'\"`$;&|<>\\]+)?"))]] = []
    """more #SBATCH directives, for instance --nice=100"""
    max_attempts: Annotated[int, Meta(ge=1, le=20)] = 3
    """how often a stage is tried for one signal, the first time included"""
    most_mem: SlurmMem = "256G"
    """how far memory may grow after an attempt that ran out of it"""
    most_time: SlurmTime = "24:00:00"
    """how far the time limit may grow after an attempt that ran into it"""


class Detection(Struct, forbid_unknown_fields=True, frozen=True):
    """When the watcher looks at the drive."""

    inbox_every_s: Seconds = 1.0
    """how often the inbox and the open experiments are looked at"""
    sweep_every_s: Seconds = 30.0
    """how often the list of experiments is read, for those that nobody announced"""
    full_sweep_every_s: Seconds = 3600.0
    """how often every experiment is looked at, for re-trainings that nobody announced"""
    settle_s: Annotated[float, Meta(ge=0)] = 2.0
    """a file must have stayed the same for so long before it counts as broken"""
    inotify: Literal["auto", "on", "off"] = "auto"
    """file events: auto means on a local drive only, because no network drive reports them"""


class Retry(Struct, forbid_unknown_fields=True, frozen=True):
    """How long a failed attempt waits for the next: first_delay_s, times factor each, at most the longest."""

    first_delay_s: Seconds = 60.0
    """wait after the first failed attempt"""
    factor: Annotated[float, Meta(ge=1)] = 2.0
    """how much longer each further wait is"""
    longest_delay_s: Seconds = 3600.0
    """the longest wait, and the wait of what Slurm holds back"""
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.2
    """share by which a wait differs at random, so that not all come back at once"""


class SlurmSettings(Struct, forbid_unknown_fields=True, frozen=True):
    """How Slurm is asked. The man pages ask for few calls: one batched call, 30 s apart at the least."""

    poll_every_s: Seconds = 60.0
    """wait between two polls; it grows to three times that while nothing changes"""
    settle_s: Seconds = 10.0
    """how long after a doubtful submission its name is looked up for the last time"""
    command_timeout_s: Seconds = 60.0
    """how long one of Slurm's commands may take"""
    submissions_per_minute: Annotated[int, Meta(ge=1)] = 60
    """at most so many calls of sbatch in a minute"""


class LocalSettings(Struct, forbid_unknown_fields=True, frozen=True):
    """The local executor."""

    slots: Annotated[int, Meta(ge=1, le=256)] = 1
    """how many jobs run at the same time"""


class WatcherConfig(Struct, forbid_unknown_fields=True, frozen=True):
    """config/watcher.yaml"""

    executor: Literal["auto", "local", "slurm"] = "auto"
    """auto takes Slurm where a controller answers, else this machine"""
    state_folder: str | None = None
    """where the live databases stand, on a local disk; empty means $XDG_STATE_HOME/heliograph"""
    mlflow_tracking_uri: str | None = None
    """where MLflow answers, for instance http://monitoring-server:5000"""
    publish_every_s: Seconds = 5.0
    """how often changed databases are published on the drive"""
    vanished_after_s: Seconds = 300.0
    """a job that the scheduler no longer lists and that left no evidence is failed after this long"""
    detection: Detection = Detection()
    retry: Retry = Retry()
    slurm: SlurmSettings = SlurmSettings()
    local: LocalSettings = LocalSettings()
    stages: dict[Name, StageSettings] = field(
        default_factory=lambda: {
            "evaluation": StageSettings(),
            "analysis": StageSettings(resources=Resources(time="04:00:00", mem="64G", cpus_per_task=16)),
        }
    )
    """how each stage's job is run; the keys are evaluation and analysis"""


class _UniqueKeys(yaml.CSafeLoader):
    """PyYAML's safe loader, which by itself keeps the last of two equal keys without a word, and reads the
    words on, off, yes and no as true and false, as YAML 1.1 had it: `inotify: on` would be no word."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the base class has it
        first: [(tag, form) for tag, form in forms if first in "tTfF" or not tag.endswith(":bool")]
        for first, forms in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands here twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Read a YAML file of at most 1 MiB into plain values. Raises BadConfig, with the line.

    FileNotFoundError is left to the caller, who knows whether the file has to be there.
    """
    try:
        raw = read_untrusted(path, _MOST_YAML, follow=True)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadConfig(
            file=path,
            field="(file)",
            problem="cannot be read",
            value=error.strerror,
            remedy="It has to be a plain file of at most 1 MiB that this user may read.",
        ) from None
    try:
        return yaml.load(raw, Loader=_UniqueKeys)  # noqa: S506 - a subclass of the safe loader
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else "(file)"
        problem = getattr(error, "problem", None) or str(error)
        raise BadConfig(
            file=path,
            field=where,
            problem=f"not readable as YAML: {problem}",
            value=_line_of(raw, mark.line if mark else 0),
            remedy="Mend that line; indent with spaces, quote values that hold a colon.",
        ) from None


def _line_of(raw: bytes, number: int) -> str:
    lines = raw.splitlines()
    return lines[number].decode("utf-8", "replace") if number < len(lines) else ""


def load_config(path: Path, kind: type[T]) -> T:
    """Read a YAML file as a struct of type `kind`. Raises BadConfig with field, value and remedy."""
    try:
        values = read_yaml(path)
    except FileNotFoundError:
        raise BadConfig(
            file=path,
            field="(file)",
            problem="does not exist",
            value=path.name,
            remedy="Check the name; heliograph init writes the default files of a drive.",
        ) from None
    return parse_config({} if values is None else values, kind, file=path)


_UNKNOWN_KEY = re.compile(r"unknown field `(?P<key>[^`]*)`(?: - at `\$(?P<at>[^`]*)`)?")
_OTHER = re.compile(r"(?P<problem>.*?)(?: - at (?P<key>`key` in )?`\$(?P<at>[^`]*)`)?$", re.DOTALL)


def parse_config(values: object, kind: type[T], *, file: object) -> T:
    """Turn plain values into a struct of type `kind`; `file` is named in errors. Raises BadConfig."""
    try:
        return msgspec.convert(values, kind, strict=True)
    except msgspec.ValidationError as error:
        raise _explain(str(error), values, kind, file) from None


def _explain(message: str, values: object, kind: type[Any], file: object) -> BadConfig:
    if unknown := _UNKNOWN_KEY.search(message):
        key, at = unknown["key"], (unknown["at"] or "").lstrip(".")
        near = difflib.get_close_matches(key, _known_keys(kind), n=1, cutoff=0.6)
        remedy = f"Did you mean {near[0]}?" if near else "Remove it, or see the reference."
        where = f"{at}.{key}".lstrip(".")
        return BadConfig(file=file, field=where, problem="unknown key", value=key, remedy=remedy)
    match = _OTHER.match(message)
    at = (match["at"] or "").lstrip(".") if match else ""
    return BadConfig(
        file=file,
        field=at or "(top level)",
        problem=(match["problem"] if match else message)[:200],
        value=value_at(values, at),
        remedy="See docs/reference/configuration.md for what this key takes.",
    )


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


def _known_keys(kind: type[Any], seen: set[type[Any]] | None = None) -> list[str]:
    """List every key that may stand anywhere below a struct type."""
    seen = set() if seen is None else seen
    if kind in seen:
        return []
    seen.add(kind)
    keys: list[str] = []
    info = msgspec.inspect.type_info(kind)
    stack: list[Any] = [info]
    while stack:
        node = stack.pop()
        if isinstance(node, msgspec.inspect.StructType):
            if node.cls is not kind:
                keys += _known_keys(node.cls, seen)
                continue
            for part in node.fields:
                keys.append(part.encode_name)
                stack.append(part.type)
        for name in ("types", "value_type", "item_type", "type"):
            inner = getattr(node, name, None)
            stack += list(inner) if isinstance(inner, tuple) else [inner] if inner is not None else []
    return keys


def choose_drive(given: str | None, environ: Mapping[str, str] = os.environ) -> Drive:
    """Return the drive named by --drive, else by SHARED_DRIVE. Raises NoDrive."""
    root = given or environ.get("SHARED_DRIVE")
    if not root:
        raise NoDrive()
    return Drive(root)


def load_watcher_config(drive: Drive, environ: Mapping[str, str] = os.environ) -> WatcherConfig:
    """Read WATCHER_CONFIG or the drive's watcher.yaml, then let the environment speak.

    MLFLOW_TRACKING_URI and SLURM_ACCOUNT stand in for settings that the file leaves empty.
    """
    named = environ.get("WATCHER_CONFIG")
    path = Path(named) if named else drive.watcher_config
    config = load_config(path, WatcherConfig) if named or path.exists() else WatcherConfig()
    if config.mlflow_tracking_uri is None and (uri := environ.get("MLFLOW_TRACKING_URI")):
        config = msgspec.structs.replace(config, mlflow_tracking_uri=uri)
    if account := environ.get("SLURM_ACCOUNT"):
        config = msgspec.structs.replace(
            config, stages={k: _with_account(v, account) for k, v in config.stages.items()}
        )
    return config


def _with_account(stage: StageSettings, account: str) -> StageSettings:
    if stage.resources.account is not None:
        return stage
    values = msgspec.to_builtins(stage.resources) | {"account": account}
    resources = parse_config(values, Resources, file="environment variable SLURM_ACCOUNT")
    return msgspec.structs.replace(stage, resources=resources)


def local_state_folder(config_value: str | None, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the local folder for live databases, spools and the local executor's jobs."""
    if config_value:
        return Path(config_value).expanduser()
    if named := environ.get("HELIOGRAPH_STATE"):
        return Path(named)
    base = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "heliograph"
