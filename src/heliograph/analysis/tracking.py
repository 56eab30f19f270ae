"""The analysis' run in MLflow, nested below the training's. It never makes an analysis fail."""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime

import msgspec
from msgspec import Struct

from heliograph.analysis.attempt import STAGE, Attempt
from heliograph.analysis.manifest import Manifest
from heliograph.drive import Drive
from heliograph.errors import TrackingError
from heliograph.names import parse_iso
from heliograph.tracking import Metric, Mlflow

log = logging.getLogger(__name__)

MLFLOW_EXPERIMENT = "heliograph"
_WORK_TAG = "heliograph.work"
_SHOWN = {".png": "figures", ".html": "report", ".pdf": "report"}


class _Link(Struct):
    run_id: str | None = None


class _TrainingMetadata(Struct):
    mlflow: _Link | None = None


def log_run(
    uri: str | None, drive: Drive, attempt: Attempt, manifest: Manifest, duration_s: float
) -> str | None:
    """Log metrics, figures and report to MLflow at `uri`; return the run's id, None where that failed.

    The run of the same outputs is found by a tag and logged to again: an analysis that is repeated
    without anything to do makes no second run.
    """
    if not uri:
        return None
    try:
        return _log_run(Mlflow(uri), drive, attempt, manifest, duration_s)
    except TrackingError as error:
        log.warning("the analysis is not in MLflow: %s", error)
        return None


def _log_run(mlflow: Mlflow, drive: Drive, attempt: Attempt, manifest: Manifest, duration_s: float) -> str:
    experiment_id = mlflow.experiment_id(MLFLOW_EXPERIMENT)
    work = hashlib.sha256(msgspec.json.encode(manifest, order="deterministic")).hexdigest()[:32]
    run_id = mlflow.find_run(experiment_id, tag=_WORK_TAG, value=work)
    if run_id is None:
        run_id = mlflow.start_run(
            experiment_id,
            name=f"{attempt.experiment}-{STAGE}",
            tags={
                _WORK_TAG: work,
                "heliograph.experiment": attempt.experiment,
                "heliograph.stage": STAGE,
                "heliograph.token": attempt.token,
                "heliograph.job_id": attempt.job_id,
                "heliograph.engine": manifest.engine,
            },
            parent_run_id=_training_run(drive, attempt.experiment),
        )
        for output in manifest.files:
            path = drive.root / output.path
            # a figure's PDF is the same picture as its PNG, which the pages of MLflow can show
            if output.type != "table" and not (output.type == "figure" and path.suffix == ".pdf"):
                mlflow.log_artifact(run_id, path, _SHOWN[path.suffix])
    moment = parse_iso(manifest.created_at)
    mlflow.log(run_id, metrics=build_metrics(manifest, duration_s, moment))
    mlflow.end_run(run_id, "FINISHED")
    return run_id


def build_metrics(manifest: Manifest, duration_s: float, moment: datetime) -> list[Metric]:
    """Return the manifest's metrics and the duration as MLflow takes them."""
    at_ms = int(moment.timestamp() * 1000)
    values = manifest.metrics | {"duration_s": duration_s}
    return [Metric(name, value, at_ms) for name, value in values.items()]


def _training_run(drive: Drive, experiment: str) -> str | None:
    """Return the MLflow run of the training; None where nothing is known of it."""
    path = drive.training_metadata(experiment)
    try:
        metadata = msgspec.json.decode(path.read_bytes(), type=_TrainingMetadata)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("%s cannot be read, so the training's MLflow run stays unknown: %s", path, error)
        return None
    return metadata.mlflow.run_id if metadata.mlflow else None
