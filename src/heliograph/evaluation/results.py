"""Results as Parquet: whole or not at all, under names that nothing else has, checked before being written.

evaluation/E/metrics/dataset=D/metric=M/CHECKPOINT-TOKEN.parquet      one row an item group and form
evaluation/E/predictions/D.parquet/CHECKPOINT-TOKEN.parquet           one row an item
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from heliograph.drive import Drive
from heliograph.errors import BadResults
from heliograph.evaluation.checkpoints import Checkpoint
from heliograph.evaluation.tally import Tally
from heliograph.evaluation.task import Item, Verdict
from heliograph.files import atomic_file

_ROWS_A_GROUP = 8192
_MOMENT = pa.timestamp("us", tz="UTC")


def _required(name: str, kind: Any) -> pa.Field:
    return pa.field(name, kind, nullable=False)


PREDICTIONS = pa.schema(
    [
        _required("experiment", pa.string()),
        _required("checkpoint", pa.string()),
        pa.field("step", pa.int64()),
        _required("dataset", pa.string()),
        _required("item_id", pa.string()),
        _required("item_group", pa.string()),
        _required("form", pa.string()),
        pa.field("field", pa.string()),
        _required("scores", pa.list_(pa.float64())),  # sum of log-probabilities of each alternative, in nats
        pa.field("correct", pa.int8()),
        _required("n_tokens", pa.int64()),  # tokens scored, of all alternatives together
        _required("token", pa.string()),
        _required("timestamp", _MOMENT),
    ]
)


def metrics_schema(metric: str) -> pa.Schema:
    """Return the columns of one metric's files; `dataset` and `metric` come from the path (hive)."""
    return pa.schema(
        [
            _required("experiment", pa.string()),
            _required("checkpoint", pa.string()),
            pa.field("step", pa.int64()),
            pa.field("tokens_seen", pa.int64()),
            _required("item_group", pa.string()),
            _required("form", pa.string()),
            _required(metric, pa.float64()),
            _required("value", pa.float64()),  # the same number, so that different metrics read as one table
            _required("n", pa.int64()),  # items behind the number
            pa.field("field", pa.string()),
            _required("token", pa.string()),
            _required("timestamp", _MOMENT),
        ]
    )


class Origin(Struct, frozen=True, kw_only=True):
    """What all rows of one data set and checkpoint share."""

    experiment: str
    checkpoint: Checkpoint
    dataset: str
    token: str
    timestamp: datetime
    """when the evaluation of this data set began"""

    @property
    def file_stem(self) -> str:
        return f"{self.checkpoint.name}-{self.token}"

    def columns(self) -> dict[str, Any]:
        return {
            "experiment": self.experiment,
            "checkpoint": self.checkpoint.name,
            "step": self.checkpoint.step,
            "token": self.token,
            "timestamp": self.timestamp,
        }


def new_file(drive: Drive, folder: Path, stem: str) -> Path:
    """Return a Parquet file's path in `folder` that nothing has yet; the folder is made."""
    drive.make_folder(folder)
    names = itertools.chain([stem], (f"{stem}-{i}" for i in itertools.count(2)))
    return next(path for name in names if not (path := folder / f"{name}.parquet").exists())


def make_batch(rows: Sequence[dict[str, Any]], schema: pa.Schema, file: Path) -> pa.RecordBatch:
    """Turn rows into a record batch of exactly this schema. Raises BadResults where they do not fit."""
    for row in rows:
        if set(row) != set(schema.names):
            odd = min(set(row) ^ set(schema.names))
            raise _bad(file, odd, "is a column too many or too few", odd)
    try:
        batch = pa.RecordBatch.from_pylist(list(rows), schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise _bad(file, "(row)", f"does not fit the schema: {error}", rows[0]) from None
    for field in schema:
        if not field.nullable and batch.column(field.name).null_count:
            raise _bad(file, field.name, "must not be empty", None)
    return batch


def _bad(file: Path, field: str, problem: str, value: object) -> BadResults:
    remedy = "This is a fault of a task or of heliograph itself; please report it."
    return BadResults(file=file, field=field, problem=problem, value=value, remedy=remedy)


class PredictionWriter:
    """Appends scored items to one Parquet file, a row group at a time."""

    def __init__(self, file: Path, writer: pq.ParquetWriter, origin: Origin) -> None:
        self.file = file
        self._writer = writer
        self._shared = origin.columns() | {"dataset": origin.dataset}
        self._rows: list[dict[str, Any]] = []

    def add(self, item: Item, verdict: Verdict) -> None:
        self._rows.append(
            self._shared
            | {
                "item_id": item.item_id,
                "item_group": item.item_group,
                "form": item.form,
                "field": item.field,
                "scores": verdict.scores,
                "correct": None if verdict.correct is None else int(verdict.correct),
                "n_tokens": verdict.n_tokens,
            }
        )
        if len(self._rows) >= _ROWS_A_GROUP:
            self.flush()

    def flush(self) -> None:
        if self._rows:
            self._writer.write_batch(make_batch(self._rows, PREDICTIONS, self.file))
            self._rows.clear()


@contextmanager
def open_predictions(drive: Drive, origin: Origin) -> Iterator[PredictionWriter]:
    """Open a new file of predictions; it appears under its name when all went well, else not at all."""
    folder = drive.predictions(origin.experiment) / f"{origin.dataset}.parquet"
    path = new_file(drive, folder, origin.file_stem)
    with atomic_file(path) as file, pq.ParquetWriter(file, PREDICTIONS, compression="zstd") as writer:
        predictions = PredictionWriter(path, writer, origin)
        yield predictions
        predictions.flush()


def write_metrics(drive: Drive, origin: Origin, tally: Tally) -> list[Path]:
    """Write one new file for each metric; return their paths."""
    shared = origin.columns() | {"tokens_seen": origin.checkpoint.tokens_seen}
    cells = [
        (
            {"item_group": group, "form": form, "n": cell.n, "field": cell.field},
            tally.metrics_of([cell]),
        )
        for (group, form), cell in sorted(tally.cells.items())
    ]
    paths = []
    for metric in tally.overall():
        rows = [shared | key | {metric: values[metric], "value": values[metric]} for key, values in cells]
        folder = drive.metrics(origin.experiment) / f"dataset={origin.dataset}" / f"metric={metric}"
        path = new_file(drive, folder, origin.file_stem)
        schema = metrics_schema(metric)
        batch = make_batch(rows, schema, path)
        with atomic_file(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
            writer.write_batch(batch)
        paths.append(path)
    return paths
