"""Drives, models and signals for tests: small, real, made from nothing."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from heliograph.drive import Drive
from heliograph.protocol import signals

DATASET = "name: pairs\ntask: minimal_pairs\nformat: items\ndata: data/pairs.jsonl\n"
NOW = datetime(2026, 1, 31, 9, 5, tzinfo=UTC)


def make_drive(root: Path) -> Drive:
    """Make the bare tree of a drive: folders and identity."""
    drive = Drive(root)
    for folder in drive.folders():
        folder.mkdir(parents=True, exist_ok=True)
    drive.make_id()
    (drive.dataset_configs / "pairs.yaml").write_text(DATASET)
    return drive


def safetensors_bytes(values: int = 4) -> bytes:
    """Return a whole safetensors file with one float32 vector."""
    header = json.dumps({"weight": {"dtype": "F32", "shape": [values], "data_offsets": [0, 4 * values]}})
    return struct.pack("<Q", len(header)) + header.encode() + bytes(4 * values)


def make_model(drive: Drive, experiment: str, name: str = "final") -> Path:
    """Write a model that passes the watcher's check (it is no real language model)."""
    folder = drive.model_folder(experiment) / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(safetensors_bytes())
    (folder / "config.json").write_text("{}")
    return folder


def training_signal(drive: Drive, experiment: str, **changes: Any) -> signals.TrainingComplete:
    """Return a valid training signal, with some fields changed."""
    fields: dict[str, Any] = {
        "timestamp": NOW,
        "experiment": experiment,
        "checkpoint_path": str(drive.final_model(experiment)),
        "hostname": "wild_west",
        "user": "tmorton",
    }
    return signals.TrainingComplete(**(fields | changes))


def publish_training(drive: Drive, experiment: str, **changes: Any) -> signals.Signal:
    """Make a model and publish its training signal."""
    make_model(drive, experiment)
    content = training_signal(drive, experiment, **changes)
    return signals.publish_signal(drive, signals.TRAINING_COMPLETE, content)


def write_evaluation(drive: Drive, experiment: str, job_id: str) -> None:
    """Write what an evaluation leaves behind, small and valid for the watcher, without its signal."""
    folder = drive.metrics(experiment) / "dataset=pairs" / "metric=accuracy"
    drive.make_folder(folder)
    (folder / "final.parquet").write_bytes(b"PAR1 tiny PAR1")
    metadata = {
        "experiment": experiment,
        "job_id": job_id,
        "files": {"metrics": ["metrics/dataset=pairs/metric=accuracy/final.parquet"], "predictions": []},
    }
    drive.evaluation_metadata(experiment).write_text(json.dumps(metadata))


def publish_evaluation(drive: Drive, experiment: str, job_id: str, **changes: Any) -> signals.Signal:
    """Write an evaluation and publish its signal."""
    write_evaluation(drive, experiment, job_id)
    fields: dict[str, Any] = {
        "timestamp": NOW,
        "experiment": experiment,
        "job_id": job_id,
        "status": "complete",
    }
    content = signals.EvalComplete(**(fields | changes))
    return signals.publish_signal(drive, signals.EVAL_COMPLETE, content)


def publish_analysis(drive: Drive, experiment: str, job_id: str) -> signals.Signal:
    """Write what an analysis leaves behind, and its signal."""
    import hashlib

    figure = drive.figures(experiment) / "accuracy.png"
    drive.make_folder(figure.parent)
    figure.write_bytes(b"a figure")
    manifest = {
        "experiment": experiment,
        "engine": "fallback",
        "files": [
            {
                "path": str(figure.relative_to(drive.root)),
                "type": "figure",
                "sha256": hashlib.sha256(b"a figure").hexdigest(),
                "bytes": 8,
            }
        ],
    }
    drive.reports(experiment).mkdir(parents=True, exist_ok=True)
    drive.analysis_manifest(experiment).write_text(json.dumps(manifest))
    content = signals.AnalysisComplete(timestamp=NOW, experiment=experiment, job_id=job_id, engine="fallback")
    return signals.publish_signal(drive, signals.ANALYSIS_COMPLETE, content)
