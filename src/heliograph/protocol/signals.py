"""Signals: a JSON file that says a stage ended. They alone suffice to drive the pipeline.

A signal is published whole (temporary file, fsync, rename) and read as hostile input. Three outcomes of a
look at one are kept apart, because they ask for different things:

- `Signal`: valid; its sha256 is the identity of the work that it triggers;
- `BadSignal` (raised): it was read, and what it says is wrong; after a while unchanged it is quarantined;
- `OSError` (raised): it could not be read now (absent, stale handle, half replaced); look again.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from heliograph.drive import Drive
from heliograph.errors import BadSignal
from heliograph.files import read_untrusted, write_atomic
from heliograph.names import NAME_SCHEMA, is_name, whole

LARGEST_SIGNAL = 1 << 20
_EARLIEST_YEAR, _LATEST_YEAR = 1970, 9998  # beyond them a time zone leads out of the calendar

Name = Annotated[str, Meta(pattern=NAME_SCHEMA, description="letters, digits, . _ -")]
Timestamp = Annotated[
    datetime, Meta(tz=True, description="ISO 8601 with an offset, as in 2026-01-31T09:05:00Z")
]
Text = Annotated[str, Meta(min_length=1, max_length=4096)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
JobId = Annotated[str, Meta(pattern=whole("[A-Za-z0-9][A-Za-z0-9._-]{0,63}"))]


class TrainingComplete(Struct, kw_only=True, omit_defaults=True):
    """models/EXPERIMENT/.training_complete: the model is saved and may be evaluated."""

    timestamp: Timestamp
    experiment: Name
    checkpoint_path: Text
    hostname: Text
    user: Text
    config_path: Text | None = None
    num_epochs: Annotated[float, Meta(ge=0)] | None = None
    final_loss: float | None = None
    total_steps: Count | None = None
    git_commit: Annotated[str, Meta(pattern=whole("[0-9a-f]{4,64}(-dirty)?"))] | None = None


class EvalComplete(Struct, kw_only=True, omit_defaults=True):
    """evaluation/EXPERIMENT/.eval_complete: the evaluation ended, with status complete or failed."""

    timestamp: Timestamp
    experiment: Name
    job_id: JobId
    status: Literal["complete", "failed"]
    datasets_evaluated: list[Name] | None = None
    metrics_summary: dict[str, float | dict[str, float | None] | None] | None = None
    eval_duration_seconds: Annotated[float, Meta(ge=0)] | None = None
    error_message: str | None = None


class AnalysisComplete(Struct, kw_only=True, omit_defaults=True):
    """analysis/reports/EXPERIMENT/.analysis_complete: figures, tables and report are there."""

    timestamp: Timestamp
    experiment: Name
    job_id: JobId
    status: Literal["complete"] = field(default="complete")
    engine: str | None = None
    manifest_path: Text | None = None
    duration_seconds: Annotated[float, Meta(ge=0)] | None = None


class StageFailure(Struct, kw_only=True, omit_defaults=True):
    """.eval_failed and .analysis_failed: a critical failure, told by the stage itself."""

    timestamp: Timestamp
    experiment: Name
    job_id: JobId
    status: Literal["failed"] = field(default="failed")
    error_message: str = ""
    error_type: str | None = None
    failing_part: str | None = None
    log_tail: list[str] | None = None


SignalContent = TrainingComplete | EvalComplete | AnalysisComplete | StageFailure


class SignalKind(Struct, frozen=True):
    """One kind of signal: its file name, the folder of an experiment that holds it, its schema."""

    file_name: str
    stage: str
    area: Literal["models", "evaluation", "reports"]
    schema: type[Any]

    def path(self, drive: Drive, experiment: str) -> Path:
        """Return where this signal of `experiment` stands. Raises BadName."""
        folders = {
            "models": drive.model_folder,
            "evaluation": drive.evaluation_folder,
            "reports": drive.reports,
        }
        return folders[self.area](experiment) / self.file_name


TRAINING_COMPLETE = SignalKind(".training_complete", "training", "models", TrainingComplete)
EVAL_COMPLETE = SignalKind(".eval_complete", "evaluation", "evaluation", EvalComplete)
EVAL_FAILED = SignalKind(".eval_failed", "evaluation", "evaluation", StageFailure)
ANALYSIS_COMPLETE = SignalKind(".analysis_complete", "analysis", "reports", AnalysisComplete)
ANALYSIS_FAILED = SignalKind(".analysis_failed", "analysis", "reports", StageFailure)
ALL_KINDS = (TRAINING_COMPLETE, EVAL_COMPLETE, EVAL_FAILED, ANALYSIS_COMPLETE, ANALYSIS_FAILED)


class Signal(Struct, frozen=True):
    """A signal that was read and is valid."""

    kind: SignalKind
    path: Path
    sha256: str
    content: Any


def encode_signal(content: SignalContent) -> bytes:
    """Write a signal as the specification wants it: UTF-8 JSON, pretty-printed, times ISO 8601 in UTC."""
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def content_sha256(parsed: object) -> str:
    """Return the identity of a signal's content: layout and key order do not count, every value does."""
    canonical = json.dumps(parsed, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands there twice")
        found[key] = value
    return found


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON; leave the key out or write null")


def parse_signal(raw: bytes, kind: SignalKind, path: Path, folder_name: str) -> Signal:
    """Check a signal's bytes. `folder_name` is the experiment's folder. Raises BadSignal."""
    try:
        parsed = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique_pairs, parse_constant=_refuse_constant
        )
        json.dumps(parsed, ensure_ascii=False).encode()  # an escaped half of a surrogate pair is no text
        digest = content_sha256(parsed)
    except (ValueError, RecursionError) as error:
        raise BadSignal(
            file=path,
            field="(file)",
            problem=f"not JSON in UTF-8: {str(error)[:150]}",
            value=raw[:60].decode("utf-8", "replace"),
            remedy="Write it as docs/schemas describes, whole, by a rename.",
        ) from None
    try:
        content = msgspec.convert(parsed, kind.schema)
    except msgspec.ValidationError as error:
        raise _explain(str(error), parsed, path) from None
    if not _EARLIEST_YEAR <= content.timestamp.year <= _LATEST_YEAR:
        raise BadSignal(
            file=path,
            field="timestamp",
            problem="is no time that a signal can have been written at",
            value=str(content.timestamp),
            remedy="Set the clock of that host right, and publish the signal again.",
        )
    if content.experiment != folder_name or not is_name(folder_name):
        raise BadSignal(
            file=path,
            field="experiment",
            problem=f"differs from the folder's name {folder_name!r}"[:200],
            value=content.experiment,
            remedy="Publish the signal in the folder of its own experiment.",
        )
    return Signal(kind, path, digest, content)


def _explain(message: str, parsed: object, path: Path) -> BadSignal:
    problem, _, at = message.partition(" - at `$")
    field_name = at.strip("`").lstrip(".")
    if "missing required field" in problem:
        field_name = field_name or problem.split("`")[1]
    value = parsed.get(field_name.split("[")[0]) if isinstance(parsed, dict) else type(parsed).__name__
    return BadSignal(
        file=path,
        field=field_name or "(file)",
        problem=problem,
        value=value,
        remedy="docs/schemas describes what each field takes; publish the signal again.",
    )


def read_signal(path: Path, kind: SignalKind, folder_name: str) -> Signal:
    """Read one signal file, opened anew. Raises OSError (look again) or BadSignal (it is wrong)."""
    return parse_signal(read_untrusted(path, LARGEST_SIGNAL), kind, path, folder_name)


def publish_signal(drive: Drive, kind: SignalKind, content: SignalContent) -> Signal:
    """Publish a signal and read it back. Raises OSError when the drive does not take it, BadSignal when
    what was to be published is not valid."""
    path = kind.path(drive, content.experiment)
    raw = encode_signal(content)
    parse_signal(raw, kind, path, content.experiment)
    drive.make_folder(path.parent)
    write_atomic(path, raw)
    return read_signal(path, kind, content.experiment)
