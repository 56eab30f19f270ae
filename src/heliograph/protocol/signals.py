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
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from heliograph.drive import Drive
from heliograph.errors import BadSignal
from heliograph.files import read_untrusted, remove_leftovers, write_atomic
from heliograph.names import is_name, whole
from heliograph.problems import read_json, read_problem
from heliograph.protocol.fields import (
    Amount,
    Count,
    Finite,
    JobId,
    Name,
    Text,
    Timestamp,
    is_possible,
)

LARGEST_SIGNAL = 1 << 20


class TrainingComplete(Struct, kw_only=True, omit_defaults=True):
    """models/EXPERIMENT/.training_complete: the model is saved and may be evaluated."""

    timestamp: Timestamp
    experiment: Name
    checkpoint_path: Text
    hostname: Text
    user: Text
    config_path: Text | None = None
    num_epochs: Amount | None = None
    final_loss: Finite | None = None
    total_steps: Count | None = None
    git_commit: (
        Annotated[str, Meta(pattern=whole("[0-9a-f]{4,64}(-dirty)?", "4 to 64 hexadecimal digits"))] | None
    ) = None


class EvalComplete(Struct, kw_only=True, omit_defaults=True):
    """evaluation/EXPERIMENT/.eval_complete: the evaluation ended, with status complete or failed."""

    timestamp: Timestamp
    experiment: Name
    job_id: JobId
    status: Literal["complete", "failed"]
    datasets_evaluated: list[Name] | None = None
    metrics_summary: dict[str, Finite | dict[str, Finite | None] | None] | None = None
    eval_duration_seconds: Amount | None = None
    error_message: str | None = None


class AnalysisComplete(Struct, kw_only=True, omit_defaults=True):
    """analysis/reports/EXPERIMENT/.analysis_complete: figures, tables and report are there."""

    timestamp: Timestamp
    experiment: Name
    job_id: JobId
    status: Literal["complete"] = field(default="complete")
    engine: Text | None = None
    manifest_path: Text | None = None
    duration_seconds: Amount | None = None


class StageFailure(Struct, kw_only=True, omit_defaults=True):
    """.eval_failed and .analysis_failed: a critical failure, told by the stage itself."""

    timestamp: Timestamp
    experiment: Name
    job_id: JobId
    status: Literal["failed"] = field(default="failed")
    error_message: str = ""
    error_type: Text | None = None
    failing_part: Text | None = None
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


def parse_signal(raw: bytes, kind: SignalKind, path: Path, folder_name: str) -> Signal:
    """Check a signal's bytes. `folder_name` is the experiment's folder. Raises BadSignal."""
    schema = f"docs/schemas/{kind.file_name.lstrip('.')}.json describes each field; publish the signal again."
    try:
        parsed = read_json(raw)
        digest = content_sha256(parsed)
    except (ValueError, RecursionError) as error:
        raise BadSignal(
            file=path,
            field="(file)",
            problem=f"is not JSON in UTF-8: {error}",
            value=raw[:60].decode("utf-8", "replace"),
            remedy="Write it whole, to a temporary name in the same folder, and rename that.",
        ) from None
    try:
        content = msgspec.convert(parsed, kind.schema)
    except msgspec.ValidationError as error:
        wrong = read_problem(str(error), parsed, kind.schema)
        raise BadSignal(
            file=path, field=wrong.field or "(file)", problem=wrong.text, value=wrong.value, remedy=schema
        ) from None
    if not is_possible(content.timestamp):
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
            problem=f"differs from the folder's name {folder_name!r}",
            value=content.experiment,
            remedy="Publish the signal in the folder of its own experiment.",
        )
    return Signal(kind, path, digest, content)


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
    remove_leftovers(path.parent)
    write_atomic(path, raw)
    return read_signal(path, kind, content.experiment)
