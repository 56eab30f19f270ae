"""Parquet files: their schema, their names, whole or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from heliograph.drive import Drive
from heliograph.errors import BadResults
from heliograph.evaluation.checkpoints import Checkpoint
from heliograph.evaluation.finished import Finished, Work, find_finished, write_finished
from heliograph.evaluation.minimal_pairs import MinimalPairs
from heliograph.evaluation.results import (
    PREDICTIONS,
    Origin,
    make_batch,
    metrics_schema,
    open_predictions,
    write_metrics,
)
from heliograph.evaluation.tally import Tally
from heliograph.evaluation.task import Item, Verdict
from heliograph.stages.evaluation_config import MinimalPairsConfig
from unit.evaluation.builders import WORK

NOW = datetime(2026, 1, 31, 9, 5, 0, 123456, tzinfo=UTC)
ORIGIN = Origin(
    experiment="exp",
    checkpoint=Checkpoint("final", Path("/models/final"), 100, None),
    dataset="pairs",
    token="t0k3n",
    timestamp=NOW,
)
TASK = MinimalPairs(MinimalPairsConfig(name="pairs", task="minimal_pairs", data="d", format="items"))


def item(number: int, group: str = "g", form: str = "f") -> Item:
    return Item(item_id=f"i{number}", item_group=group, form=form, field=None, place="p", texts=("a", "b"))


def verdict(correct: bool) -> Verdict:
    return Verdict([-1.5, -2.5], correct, 4, (float(correct),))


def write(drive: Drive, *, broken_at: int | None = None) -> tuple[Path, list[Path]]:
    tally = Tally(TASK)
    with open_predictions(drive, ORIGIN) as predictions:
        for number in range(4):
            if number == broken_at:
                raise RuntimeError("in the middle")
            predictions.add(item(number, f"g{number % 2}"), verdict(number > 0))
            tally.add(item(number, f"g{number % 2}"), verdict(number > 0))
    return predictions.file, write_metrics(drive, ORIGIN, tally)


def test_metrics_have_the_columns_that_were_agreed(drive: Drive) -> None:
    _, (path,) = write(drive)
    assert path == drive.metrics("exp") / "dataset=pairs" / "metric=accuracy" / "final-t0k3n.parquet"
    table = pq.read_table(path, partitioning=None)
    assert table.schema.equals(metrics_schema("accuracy"))
    assert table.schema.names == [
        *("experiment", "checkpoint", "step", "tokens_seen", "item_group", "form", "accuracy", "value"),
        *("n", "field", "token", "timestamp"),
    ]
    shared = {
        "experiment": "exp",
        "checkpoint": "final",
        "step": 100,
        "tokens_seen": None,
        "form": "f",
        "field": None,
        "token": "t0k3n",
        "timestamp": NOW,
        "n": 2,
    }
    assert table.to_pylist() == [
        shared | {"item_group": "g0", "accuracy": 0.5, "value": 0.5},
        shared | {"item_group": "g1", "accuracy": 1.0, "value": 1.0},
    ]


def test_the_hive_path_adds_dataset_and_metric(drive: Drive) -> None:
    write(drive)
    table = pyarrow.dataset.dataset(drive.metrics("exp"), partitioning="hive").to_table()
    assert set(table["dataset"].to_pylist()) == {"pairs"}
    assert set(table["metric"].to_pylist()) == {"accuracy"}


def test_predictions_have_the_columns_that_were_agreed(drive: Drive) -> None:
    path, _ = write(drive)
    assert path == drive.predictions("exp") / "pairs.parquet" / "final-t0k3n.parquet"
    table = pq.read_table(path)
    assert table.schema.equals(PREDICTIONS)
    assert table.schema.field("correct").type == pa.int8()
    assert table.to_pylist()[0] == {
        "experiment": "exp",
        "checkpoint": "final",
        "step": 100,
        "dataset": "pairs",
        "item_id": "i0",
        "item_group": "g0",
        "form": "f",
        "field": None,
        "scores": [-1.5, -2.5],
        "correct": 0,
        "n_tokens": 4,
        "token": "t0k3n",
        "timestamp": NOW,
    }


def test_nothing_is_ever_overwritten(drive: Drive) -> None:
    first = write(drive)
    before = first[0].read_bytes()
    second = write(drive)
    assert second[0].name == "final-t0k3n-2.parquet"
    assert second[1][0].name == "final-t0k3n-2.parquet"
    assert first[0].read_bytes() == before
    assert pq.read_table(first[0].parent).num_rows == 8


def test_what_breaks_in_the_middle_leaves_nothing(drive: Drive) -> None:
    with pytest.raises(RuntimeError, match="in the middle"):
        write(drive, broken_at=2)
    assert [path for path in drive.evaluation.rglob("*") if path.is_file()] == []


def test_rows_are_written_while_items_come(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heliograph.evaluation.results._ROWS_A_GROUP", 3)
    with open_predictions(drive, ORIGIN) as predictions:
        for number in range(10):
            predictions.add(item(number), verdict(True))
            assert len(predictions._rows) < 3
    file = pq.ParquetFile(predictions.file)
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [3, 3, 3, 1]


def good_row() -> dict[str, Any]:
    return ORIGIN.columns() | {
        "dataset": "d",
        "item_id": "i",
        "item_group": "g",
        "form": "f",
        "field": None,
        "scores": [1.0],
        "correct": None,
        "n_tokens": 1,
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"item_id": None}, "item_id"),
        ({"scores": None}, "scores"),
        ({"scores": ["high"]}, "(row)"),
        ({"correct": 300}, "(row)"),
        ({"n_tokens": "many"}, "(row)"),
        ({"more": 1}, "more"),
    ],
    ids=str,
)
def test_the_schema_is_checked_before_anything_is_written(change: dict[str, Any], field: str) -> None:
    assert make_batch([good_row()], PREDICTIONS, Path("p.parquet")).num_rows == 1
    with pytest.raises(BadResults) as caught:
        make_batch([good_row(), good_row() | change], PREDICTIONS, Path("p.parquet"))
    assert caught.value.facts["field"] == field


# Notes of what is finished --------------------------------------------------------------------------


def note(drive: Drive) -> Finished:
    file = drive.metrics("exp") / "x.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"")
    finished = Finished(
        work=WORK,
        token="t",
        finished_at=NOW,
        duration_s=1.0,
        n_items=2,
        n_skipped=0,
        metrics={"accuracy": 0.5, "other": None},
        groups={"g": {"accuracy": 0.5}},
        metric_files=["metrics/x.parquet"],
        prediction_files=[],
    )
    write_finished(drive, finished)
    return finished


def test_a_note_is_found_again(drive: Drive) -> None:
    assert find_finished(drive, WORK) is None
    finished = note(drive)
    assert find_finished(drive, WORK) == finished


@pytest.mark.parametrize("name", [name for name in Work.__struct_fields__ if name != "experiment"])
def test_whatever_changes_is_new_work(drive: Drive, name: str) -> None:
    note(drive)
    value: Any = 99 if name in ("step", "tokens_seen", "batch_tokens") else "changed"
    values = {key: getattr(WORK, key) for key in Work.__struct_fields__} | {name: value}
    assert find_finished(drive, Work(**values)) is None


def test_a_note_whose_files_are_gone_proves_nothing(drive: Drive) -> None:
    note(drive)
    (drive.metrics("exp") / "x.parquet").unlink()
    assert find_finished(drive, WORK) is None


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"\xff"])
def test_a_note_that_cannot_be_read_proves_nothing(drive: Drive, content: bytes) -> None:
    note(drive)
    (path,) = (drive.evaluation_folder("exp") / "finished").iterdir()
    path.write_bytes(content)
    assert find_finished(drive, WORK) is None
