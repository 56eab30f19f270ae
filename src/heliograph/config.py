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
from heliograph.names import NAME_SCHEMA, ONE_LINE, SlurmMem, SlurmTime, whole
from heliograph.plain_yaml import load_yaml
from heliograph.problems import read_problem

T = TypeVar("T")

Name = Annotated[str, Meta(pattern=NAME_SCHEMA)]
SlurmWord = Annotated[
    str,
    Meta(
        pattern=whole(
            r"[A-Za-z0-9_.,:=+@%&|*()\[\]/-]{1,256}",
            "one word of Slurm's, without spaces, quotes and $ ; < > \\",
        ),
        description="one word, no spaces or quotes",
    ),
]
Directive = Annotated[
    str,
    Meta(
        pattern=whole(
            r"--[a-z][a-z-]{0,63}(=[!#%()*+,./0-9:=?@A-Z\[\]^_a-z{}~-]{1,256})?",
            "one long option of sbatch, for instance --nice=100, without spaces, quotes and $ ; & | < > \\",
        )
    ),
]
Line = Annotated[str, Meta(min_length=1, max_length=4096, pattern=ONE_LINE)]
LONGEST_S = 366 * 86400.0
Seconds = Annotated[float, Meta(gt=0, le=LONGEST_S)]
SecondsOrZero = Annotated[float, Meta(ge=0, le=LONGEST_S)]

_MOST_YAML = 1 << 20
_POWER = re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+")
REFERENCE = "docs/reference/configuration.md"


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
    setup: list[Line] = []
    """lines of shell run before the work, as the administrator writes them"""
    extra_directives: list[Directive] = []
    """more #SBATCH directives, for instance --nice=100"""
    max_attempts: Annotated[int, Meta(ge=1, le=20)] = 3
    """how often a stage is tried for one signal, the first time included"""
    most_mem: SlurmMem = "256G"
    """how far memory may grow after an attempt that ran out of it"""
    most_time: SlurmTime = "24:00:00"
    """how far the time limit may grow after an attempt that ran into it"""
    warn_before_end_s: Annotated[int, Meta(ge=0, le=86400)] = 120
    """how long before its time limit a job is told to save what it has, at most a quarter of it; 0: not"""
    compress_logs_over_mb: Annotated[int, Meta(ge=1, le=1 << 20)] = 16
    """a log that is larger at the job's end is kept as .log.gz, and its end as it was"""
    array: bool = False
    """evaluate the checkpoints of an experiment side by side, as one job array with a task for each"""
    array_at_once: Annotated[int, Meta(ge=1, le=1000)] = 4
    """how many tasks of a job array run at the same time"""


_DEFAULT_STAGES = {
    "evaluation": StageSettings(),
    "analysis": StageSettings(resources=Resources(time="04:00:00", mem="64G", cpus_per_task=16)),
}


class ExperimentSettings(Struct, forbid_unknown_fields=True, frozen=True):
    """What is different for some experiments."""

    match: Annotated[
        str,
        Meta(
            pattern=whole(
                r"[A-Za-z0-9*?\[\]!._-]{1,256}", "a name with * ? [ ] for what may differ, as in a shell"
            ),
            description="as in a shell",
        ),
    ]
    """names of experiments: big-* or seed_[0-9]"""
    stages: dict[Name, dict[str, Any]] = {}
    """keys as in stages; only what is written here changes, resources one by one"""

    def __post_init__(self) -> None:
        for stage, changes in self.stages.items():
            try:
                msgspec.convert(changes, StageSettings, strict=True)
            except msgspec.ValidationError as error:
                problem, _, at = str(error).partition(" - at `$")
                raise ValueError(f"{problem} - at `$.stages.{stage}{at.rstrip('`')}`") from None


class Detection(Struct, forbid_unknown_fields=True, frozen=True):
    """When the watcher looks at the drive."""

    inbox_every_s: Seconds = 1.0
    """how often the inbox and the open experiments are looked at"""
    sweep_every_s: Seconds = 30.0
    """how often the list of experiments is read, for those that nobody announced"""
    full_sweep_every_s: Seconds = 3600.0
    """how often every experiment is looked at, for re-trainings that nobody announced"""
    settle_s: SecondsOrZero = 2.0
    """a file must have stayed the same for so long before it counts as broken"""
    file_system: Literal["auto", "local", "network"] = "auto"
    """what kind of drive it is: auto asks the mount table, and an unknown kind counts as network"""
    inotify: Literal["auto", "on", "off"] = "auto"
    """file events: auto means on a local drive only, because no network drive reports them"""
    answer_within_s: Annotated[float, Meta(gt=0, le=1)] = 0.8
    """how long the watcher waits for the drive before it goes on without it for a moment"""
    give_up_after_s: Seconds = 60.0
    """a process that has hung on the drive for so long is ended and replaced, if it can be"""


class Retry(Struct, forbid_unknown_fields=True, frozen=True):
    """How long a failed attempt waits for the next: first_delay_s, times factor each, at most the longest."""

    first_delay_s: Seconds = 60.0
    """wait after the first failed attempt"""
    factor: Annotated[float, Meta(ge=1, le=100)] = 2.0
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
    submissions_per_minute: Annotated[int, Meta(ge=1, le=100_000)] = 60
    """at most so many calls of sbatch in a minute"""


class LocalSettings(Struct, forbid_unknown_fields=True, frozen=True):
    """The local executor."""

    slots: Annotated[int, Meta(ge=1, le=256)] = 1
    """how many jobs run at the same time"""


class WatcherConfig(Struct, forbid_unknown_fields=True, frozen=True):
    """config/watcher.yaml"""

    executor: Literal["auto", "local", "slurm"] = "auto"
    """auto takes Slurm where a controller answers, else this machine"""
    state_folder: Line | None = None
    """where the live databases stand, on a local disk; empty means $XDG_STATE_HOME/heliograph"""
    mlflow_tracking_uri: Line | None = None
    """where MLflow answers, for instance http://monitoring-server:5000"""
    publish_every_s: Seconds = 5.0
    """how often changed databases are published on the drive"""
    vanished_after_s: Seconds = 300.0
    """a job that the scheduler no longer lists and that left no evidence is failed after this long"""
    signal_grace_s: Seconds = 90.0
    """a job that ended well and whose done signal the drive does not show is failed after this long"""
    detection: Detection = Detection()
    retry: Retry = Retry()
    slurm: SlurmSettings = SlurmSettings()
    local: LocalSettings = LocalSettings()
    stages: dict[Name, StageSettings] = field(default_factory=lambda: dict(_DEFAULT_STAGES))
    """how each stage's job is run; the keys are evaluation and analysis"""
    experiments: list[ExperimentSettings] = []
    """what is different for some experiments; of several entries that match, the later ones decide"""

    def __post_init__(self) -> None:
        places = {"stages": list(self.stages)}
        places |= {f"experiments[{i}].stages": list(entry.stages) for i, entry in enumerate(self.experiments)}
        for place, names in places.items():
            if unknown := [name for name in names if name not in _DEFAULT_STAGES]:
                raise ValueError(f"Object contains unknown field `{unknown[0]}` - at `$.{place}`")
        msgspec.structs.force_setattr(self, "stages", _DEFAULT_STAGES | self.stages)


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
        return load_yaml(raw)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else "(file)"
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
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


_TWO_PLACES = re.compile(r" - at `\$([^`]*)` - at `\$([^`]*)`$")  # inside a value; where that value stands


def parse_config(values: object, kind: type[T], *, file: object) -> T:
    """Turn plain values into a struct of type `kind`; `file` is named in errors. Raises BadConfig."""
    try:
        return msgspec.convert(values, kind, strict=True)
    except msgspec.ValidationError as error:
        message = _TWO_PLACES.sub(r" - at `$\2\1`", str(error))
        raise _explain(message, values, kind, file) from None


def _explain(message: str, values: object, kind: type[Any], file: object) -> BadConfig:
    wrong = read_problem(message, values, kind)
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", wrong.text, re.DOTALL):
        key = unknown[1]
        near = difflib.get_close_matches(key[:64], [*_known_keys(kind), *_DEFAULT_STAGES], n=1, cutoff=0.6)
        remedy = f"Remove it; {REFERENCE} lists what there is."
        if near:
            remedy = (
                f"Did you mean {near[0]}?" if near[0] != key else f"It belongs elsewhere; see {REFERENCE}."
            )
        where = f"{wrong.field}.{key}".lstrip(".") or "(top level)"
        return BadConfig(file=file, field=where, problem="unknown key", value=key, remedy=remedy)
    remedy = f"{REFERENCE} tells what this key takes."
    if re.search("Expected `str.* got `(int|float|bool|datetime|date)`", wrong.text):
        remedy = "Put the value in quotes: without them YAML reads a number, a date, or yes and no."
    if "Expected `float" in wrong.text and isinstance(wrong.value, str) and _POWER.fullmatch(wrong.value):
        remedy = "YAML reads that as text: write a point and a sign, as in 1.0e-3, or 0.001."
    return BadConfig(
        file=file, field=wrong.field or "(top level)", problem=wrong.text, value=wrong.value, remedy=remedy
    )


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
        line = _from_environment("MLFLOW_TRACKING_URI", uri, Line)
        config = msgspec.structs.replace(config, mlflow_tracking_uri=line)
    if account := environ.get("SLURM_ACCOUNT"):
        config = msgspec.structs.replace(
            config, stages={k: _with_account(v, account) for k, v in config.stages.items()}
        )
    return config


def _with_account(stage: StageSettings, account: str) -> StageSettings:
    if stage.resources.account is not None:
        return stage
    word = _from_environment("SLURM_ACCOUNT", account, SlurmWord)
    return msgspec.structs.replace(stage, resources=msgspec.structs.replace(stage.resources, account=word))


def _from_environment(name: str, value: str, kind: Any) -> str:
    return str(parse_config(value, kind, file=f"environment variable {name}"))


def local_state_folder(config_value: str | None, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the local folder for live databases, spools and the local executor's jobs."""
    if config_value:
        return Path(config_value).expanduser()
    if named := environ.get("HELIOGRAPH_STATE"):
        return Path(named)
    base = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "heliograph"
