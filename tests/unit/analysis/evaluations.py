"""Small synthetic evaluations, written as the evaluation worker writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from heliograph.drive import Drive
from heliograph.protocol import signals

NOW = datetime(2026, 1, 31, 9, 5, tzinfo=UTC)
ITEMS = 40
EXPERIMENT = "exp_1"

_CELL = [
    *(("experiment", pa.string()), ("checkpoint", pa.string()), ("step", pa.int64())),
    *(("tokens_seen", pa.int64()), ("item_group", pa.string()), ("form", pa.string())),
]
_ORIGIN = [("token", pa.string()), ("timestamp", pa.timestamp("us", tz="UTC"))]
_PREDICTIONS = pa.schema(
    [
        *(("experiment", pa.string()), ("checkpoint", pa.string()), ("step", pa.int64())),
        *(("dataset", pa.string()), ("item_id", pa.string()), ("item_group", pa.string())),
        *(("form", pa.string()), ("field", pa.string()), ("scores", pa.list_(pa.float64()))),
        *(("correct", pa.int8()), ("n_tokens", pa.int64()), *_ORIGIN),
    ]
)


class Shape(Struct, frozen=True, kw_only=True):
    """What an evaluation holds. `right` of ITEMS items are answered right at the last checkpoint, one
    fewer at each checkpoint before it."""

    checkpoints: Sequence[tuple[str, int | None]] = (("checkpoint-10", 10), ("final", 20))
    groups: Sequence[str] = ("agreement", "islands", "npi")
    forms: Sequence[str] = ("plain", "long")
    field: str | None = "syntax"
    right: int = 30
    accuracy: bool = True
    perplexity: bool = True
    host: str = "node03"


def write_evaluation(
    drive: Drive, shape: Shape | None = None, *, token: str = "tok-1", experiment: str = EXPERIMENT
) -> None:
    """Write Parquet files, eval_metadata.json and `.eval_complete` of one evaluation."""
    shape = shape or Shape()
    writer = _Writer(drive, experiment, token, shape)
    for age, (checkpoint, step) in enumerate(reversed(shape.checkpoints)):
        if shape.accuracy:
            writer.add_pairs(checkpoint, step, shape.right - age)
        if shape.perplexity:
            writer.add_text(checkpoint, step, 20.0 * 2**age)
    writer.finish()


class _Writer:
    def __init__(self, drive: Drive, experiment: str, token: str, shape: Shape) -> None:
        self.drive = drive
        self.shape = shape
        self.folder = drive.evaluation_folder(experiment)
        self.files: dict[str, list[str]] = {"metrics": [], "predictions": []}
        self.experiment = experiment
        self.token = token

    def _row(self, checkpoint: str, step: int | None, **values: Any) -> dict[str, Any]:
        origin = {"experiment": self.experiment, "token": self.token, "timestamp": NOW}
        seen = None if step is None else step * 1_000_000_000
        return {**origin, "checkpoint": checkpoint, "step": step, "tokens_seen": seen, **values}

    def _write(self, kind: str, name: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
        self.files[kind].append(name)

    def _write_metric(self, dataset: str, metric: str, checkpoint: str, rows: list[dict[str, Any]]) -> None:
        values = [(metric, pa.float64()), ("value", pa.float64()), ("n", pa.int64()), ("field", pa.string())]
        name = f"metrics/dataset={dataset}/metric={metric}/{checkpoint}-{self.token}.parquet"
        rows = [row | {metric: row["value"]} for row in rows]
        self._write("metrics", name, rows, pa.schema([*_CELL, *values, *_ORIGIN]))

    def add_pairs(self, checkpoint: str, step: int | None, right: int) -> None:
        cells, items = [], []
        for group in self.shape.groups:
            for form in self.shape.forms:
                about = {"item_group": group, "form": form, "field": self.shape.field}
                cells.append(self._row(checkpoint, step, value=right / ITEMS, n=ITEMS, **about))
                for i in range(ITEMS):
                    answer = {"item_id": f"{i}", "scores": [-1.0, -2.0], "correct": int(i < right)}
                    items.append(self._row(checkpoint, step, dataset="pairs", n_tokens=12, **answer, **about))
        self._write_metric("pairs", "accuracy", checkpoint, cells)
        name = f"predictions/pairs.parquet/{checkpoint}-{self.token}.parquet"
        self._write("predictions", name, items, _PREDICTIONS)

    def add_text(self, checkpoint: str, step: int | None, perplexity: float) -> None:
        about = {"item_group": "text", "form": "all", "field": None, "n": 5}
        rows = [self._row(checkpoint, step, value=perplexity, **about)]
        self._write_metric("text", "perplexity", checkpoint, rows)

    def finish(self) -> None:
        kinds = {"pairs": ("minimal_pairs", "accuracy"), "text": ("perplexity", "perplexity")}
        present = [
            name for name in kinds if any(f"dataset={name}/" in file for file in self.files["metrics"])
        ]
        metadata = {
            "experiment": self.experiment,
            "token": self.token,
            "job_id": "4711",
            "signal_sha256": "ab" * 32,
            "started_at": "2026-01-31T09:00:00.000Z",
            "completed_at": "2026-01-31T09:05:00.000Z",
            "checkpoints": [
                {"name": name, "step": step, "tokens_seen": None, "path": f"/drive/{name}"}
                for name, step in self.shape.checkpoints
            ],
            "datasets": [
                {
                    "name": name,
                    "task": kinds[name][0],
                    "metrics": [kinds[name][1]],
                    "sha256": "cd" * 32,
                    "n_items": 240,
                }
                for name in present
            ],
            "files": self.files,
            "provenance": {"git_commit": "a94429c", "config_sha256": "12" * 32, "host": self.shape.host},
            "durations_s": {"total": 10.0},
            "mlflow": None,
        }
        self.drive.evaluation_metadata(self.experiment).write_text(json.dumps(metadata), encoding="utf-8")
        content = signals.EvalComplete(
            timestamp=NOW, experiment=self.experiment, job_id="4711", status="complete"
        )
        signals.publish_signal(self.drive, signals.EVAL_COMPLETE, content)


def rewrite(path: Path, old: str, new: str) -> None:
    """Replace text in a file; the text must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
