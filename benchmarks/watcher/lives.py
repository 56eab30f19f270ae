"""The life of a finished experiment: what it leaves on the drive, and the events that tell of it."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct

from heliograph.drive import Drive
from heliograph.names import iso
from heliograph.protocol import events as ev
from heliograph.protocol import signals
from heliograph.watcher.policy import make_token

BEGIN = datetime(2026, 1, 31, 9, 5, tzinfo=UTC)
_PARQUET = "metrics/dataset=pairs/metric=accuracy/final.parquet"
_FIGURE = b"a figure"
_SAME_FILE_AT_MOST = 20_000  # ext4 takes 65,000 links to one file


def _weights(values: int = 4) -> bytes:
    header = json.dumps({"weight": {"dtype": "F32", "shape": [values], "data_offsets": [0, 4 * values]}})
    return struct.pack("<Q", len(header)) + header.encode() + bytes(4 * values)


CONSTANT = {
    "model.safetensors": _weights(),
    "config.json": b"{}",
    "final.parquet": b"PAR1 tiny PAR1",
    "a.png": _FIGURE,
}


class Life(Struct, frozen=True):
    """One experiment's signals and results."""

    experiment: str
    number: int
    training: signals.TrainingComplete
    evaluation: signals.EvalComplete
    analysis: signals.AnalysisComplete

    def digest(self, content: signals.SignalContent) -> str:
        return signals.content_sha256(json.loads(signals.encode_signal(content)))

    def token(self, stage: str) -> str:
        trigger = self.training if stage == "evaluation" else self.evaluation
        return make_token(self.experiment, stage, self.digest(trigger), 1)


def training_signal(drive: Drive, experiment: str, at: datetime) -> signals.TrainingComplete:
    """Return the content of an experiment's training signal."""
    return signals.TrainingComplete(
        timestamp=at,
        experiment=experiment,
        checkpoint_path=str(drive.final_model(experiment)),
        hostname="trainer",
        user="bench",
    )


def make_life(drive: Drive, number: int) -> Life:
    """Return the life of experiment `number`: trained, evaluated and analysed."""
    experiment, at = f"run-{number:06d}", BEGIN + timedelta(seconds=number)
    return Life(
        experiment,
        number,
        training_signal(drive, experiment, at + timedelta(seconds=4)),
        signals.EvalComplete(
            timestamp=at + timedelta(seconds=10),
            experiment=experiment,
            job_id=f"local-{2 * number + 1}",
            status="complete",
        ),
        signals.AnalysisComplete(
            timestamp=at + timedelta(seconds=20),
            experiment=experiment,
            job_id=f"local-{2 * number + 2}",
            engine="fallback",
        ),
    )


class Writer:
    """Writes what experiments leave behind. Files that are all the same are links to one, to save space."""

    def __init__(self, drive: Drive, samples: Path) -> None:
        self.drive, self.samples = drive, samples
        self._written = 0

    def _link(self, name: str, target: Path) -> None:
        folder = self.samples / str(self._written // _SAME_FILE_AT_MOST)
        if not (folder / name).exists():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(CONSTANT[name])
        os.link(folder / name, target)

    def model(self, experiment: str) -> None:
        """Write a model that passes the watcher's check."""
        folder = self.drive.final_model(experiment)
        folder.mkdir(parents=True, exist_ok=True)
        self._link("model.safetensors", folder / "model.safetensors")
        self._link("config.json", folder / "config.json")
        self._written += 1

    def life(self, life: Life) -> None:
        """Write a whole life: model, results, outputs and all three signals."""
        drive, name = self.drive, life.experiment
        self.model(name)
        parquet = drive.evaluation_folder(name) / _PARQUET
        parquet.parent.mkdir(parents=True, exist_ok=True)
        self._link("final.parquet", parquet)
        metadata = {
            "experiment": name,
            "job_id": life.evaluation.job_id,
            "files": {"metrics": [_PARQUET], "predictions": []},
        }
        drive.evaluation_metadata(name).write_text(json.dumps(metadata))
        figure = drive.figures(name) / "a.png"
        figure.parent.mkdir(parents=True, exist_ok=True)
        self._link("a.png", figure)
        output = {
            "path": str(figure.relative_to(drive.root)),
            "type": "figure",
            "sha256": hashlib.sha256(_FIGURE).hexdigest(),
            "bytes": len(_FIGURE),
        }
        drive.reports(name).mkdir(parents=True, exist_ok=True)
        manifest = {"experiment": name, "engine": "fallback", "files": [output]}
        drive.analysis_manifest(name).write_text(json.dumps(manifest))
        for kind, content in (
            (signals.TRAINING_COMPLETE, life.training),
            (signals.EVAL_COMPLETE, life.evaluation),
            (signals.ANALYSIS_COMPLETE, life.analysis),
        ):
            kind.path(drive, name).write_bytes(signals.encode_signal(content))


def events_of(drive: Drive, life: Life) -> list[ev.Event]:
    """Return the events of a whole life in order, as hook, jobs and watcher tell them."""
    run = f"run-{life.number:08x}"
    training: dict[str, Any] = {"experiment": life.experiment, "stage": "training", "run": run}
    final = str(drive.final_model(life.experiment))
    bodies: list[ev.Body] = [
        ev.TrainingStarted(
            **training, hostname="trainer", user="bench", config_path="config/experiments/e.yaml"
        ),
        ev.TrainingHeartbeat(**training, step=10, total_steps=20, metrics={"loss": 3.5}),
        ev.CheckpointSaved(**training, checkpoint_path=f"{final}/../10", step=10, epoch=0.5, size_bytes=99),
        ev.TrainingCompleted(**training, checkpoint_path=final, metadata={"final_loss": 2.34}),
        _accepted(drive, life, signals.TRAINING_COMPLETE, life.training),
        *_job(drive, life, "evaluation"),
        _accepted(drive, life, signals.EVAL_COMPLETE, life.evaluation),
        *_job(drive, life, "analysis"),
        _accepted(drive, life, signals.ANALYSIS_COMPLETE, life.analysis),
    ]
    begin = BEGIN + timedelta(seconds=life.number)
    return [ev.make_event(body, begin + timedelta(seconds=n)) for n, body in enumerate(bodies)]


def _accepted(
    drive: Drive, life: Life, kind: signals.SignalKind, content: signals.SignalContent
) -> ev.SignalAccepted:
    told = json.loads(signals.encode_signal(content)) | {"timestamp": iso(content.timestamp)}
    return ev.SignalAccepted(
        experiment=life.experiment,
        stage=kind.stage,
        path=str(kind.path(drive, life.experiment)),
        sha256=life.digest(content),
        content=told,
    )


def _job(drive: Drive, life: Life, stage: str) -> list[ev.Body]:
    about: dict[str, Any] = {"experiment": life.experiment, "stage": stage, "token": life.token(stage)}
    trigger, done = (
        (life.training, life.evaluation) if stage == "evaluation" else (life.evaluation, life.analysis)
    )
    told: ev.Body
    if stage == "evaluation":
        told = ev.ResultsAdded(**about, dataset="pairs", checkpoint="final", metrics={"accuracy": 0.75})
    else:
        told = ev.OutputAdded(
            **about, output_type="figure", output_path=f"analysis/figures/{life.experiment}/a.png"
        )
    log = str(drive.stage_logs(stage) / f"{done.job_id}.log")
    return [
        ev.AttemptQueued(
            **about,
            attempt=1,
            signal_sha256=life.digest(trigger),
            executor="local",
            resources={"mem": "1G"},
            parent_id=life.number + 1,
            input_path=str(drive.final_model(life.experiment)),
            metadata={"input_path": str(drive.final_model(life.experiment))},
        ),
        ev.AttemptSubmitted(**about, job_id=done.job_id, script_path="/scripts/s.sh", log_path=log),
        ev.JobStarted(**about, job_id=done.job_id, hostname="node1"),
        ev.JobHeartbeat(**about, done=1, total=2),
        told,
        ev.RunLinked(**about, mlflow_run_id="def"),
        ev.JobEnded(**about, exit_code=0),
        ev.AttemptConcluded(**about, status="completed"),
    ]
