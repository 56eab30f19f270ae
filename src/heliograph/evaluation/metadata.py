"""eval_metadata.json: which files make up the current result, and where they come from."""

from __future__ import annotations

import hashlib
import logging
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from heliograph import __version__
from heliograph.drive import Drive
from heliograph.files import sha256_file, write_atomic

log = logging.getLogger(__name__)
_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "pyarrow", "numpy")


class CheckpointEntry(Struct, kw_only=True):
    """One checkpoint that was evaluated; `path` is absolute."""

    name: str
    step: int | None
    tokens_seen: int | None
    path: str


class DatasetEntry(Struct, kw_only=True):
    """One data set that was evaluated. `n_skipped` of its items the model could not score, at most."""

    name: str
    task: str
    metrics: list[str]
    sha256: str
    n_items: int
    n_skipped: int


class FailureEntry(Struct, kw_only=True):
    """What could not be evaluated, and why; `checkpoint` is None where that is so for all."""

    dataset: str | None
    checkpoint: str | None
    error_type: str
    message: str

    def __str__(self) -> str:
        about = " at ".join(name for name in (self.dataset, self.checkpoint) if name)
        return f"{about}: {self.message}" if about else self.message


class Files(Struct, kw_only=True):
    """Paths relative to evaluation/EXPERIMENT/."""

    metrics: list[str]
    predictions: list[str]


class Provenance(Struct, kw_only=True):
    """Where the numbers come from."""

    git_commit: str | None
    """of the training's code"""
    config_sha256: str
    dataset_config_sha256: dict[str, str]
    model_sha256: dict[str, str]
    """by checkpoint: of model.safetensors, or of the list of its shards' hashes"""
    model_config_sha256: dict[str, str]
    tokenizer_sha256: dict[str, str]
    settings: dict[str, Any]
    versions: dict[str, str]
    host: str


class MlflowLink(Struct, kw_only=True, frozen=True):
    """The MLflow run of this evaluation."""

    run_id: str
    experiment_id: str


class EvaluationMetadata(Struct, kw_only=True):
    """The content of eval_metadata.json. Times are ISO 8601 in UTC."""

    experiment: str
    token: str
    job_id: str
    signal_sha256: str | None
    started_at: str
    completed_at: str
    checkpoints: list[CheckpointEntry]
    datasets: list[DatasetEntry]
    files: Files
    failures: list[FailureEntry]
    provenance: Provenance
    durations_s: dict[str, float]
    """total; CHECKPOINT/load; CHECKPOINT/DATASET, as measured when it was evaluated"""
    mlflow: MlflowLink | None


def write_metadata(drive: Drive, metadata: EvaluationMetadata) -> None:
    """Write eval_metadata.json, replacing that of an earlier evaluation."""
    path = drive.evaluation_metadata(metadata.experiment)
    write_atomic(path, msgspec.json.format(msgspec.json.encode(metadata), indent=2) + b"\n")


class _TrainingMlflow(Struct):
    run_id: str | None = None


class TrainingMetadata(Struct):
    """What the evaluation takes from training_metadata.json."""

    git_commit: str | None = None
    mlflow: _TrainingMlflow | None = None

    @property
    def mlflow_run_id(self) -> str | None:
        return self.mlflow.run_id if self.mlflow else None


def read_training_metadata(drive: Drive, experiment: str) -> TrainingMetadata:
    """Read training_metadata.json; where it is missing or wrong, nothing is known of the training."""
    path = drive.training_metadata(experiment)
    try:
        return msgspec.json.decode(path.read_bytes(), type=TrainingMetadata)
    except FileNotFoundError:
        return TrainingMetadata()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("%s cannot be read, so git commit and MLflow run stay unknown: %s", path, error)
        return TrainingMetadata()


def hash_files(files: Sequence[Path]) -> str:
    """Return the SHA-256 of one file; of several, that of the list which sha256sum prints."""
    if len(files) == 1:
        return sha256_file(files[0])
    listing = "".join(f"{sha256_file(path)}  {path.name}\n" for path in files)
    return hashlib.sha256(listing.encode()).hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of everything that has a part in the numbers."""
    found = {"heliograph": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found
