import os
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from heliograph.drive import Drive
from heliograph.errors import NotPublished, StateError, UnknownExperiment
from heliograph.state.publish import POINTER_SIZE, Publisher, fetch_snapshot, pointer_path, read_pointer
from heliograph.state.store import Store
from heliograph.state.views import Snapshots, read_experiment, read_overview
from support.drives import NOW
from support.histories import whole_life


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "live") as opened:
        yield opened


def test_only_what_changed_gets_a_new_generation(drive: Drive, store: Store) -> None:
    publisher = Publisher(drive, store, host="ssrde")
    assert publisher.publish(NOW) == ["training", "evaluation", "analysis"]
    assert publisher.publish(NOW) == []
    store.apply(whole_life(drive)[:1])
    assert publisher.publish(NOW) == ["training"]
    assert read_pointer(drive, "training").generation == 2
    assert read_pointer(drive, "evaluation").generation == 1
    assert pointer_path(drive, "training").stat().st_size == POINTER_SIZE


def test_the_snapshot_under_the_promised_name_is_one_plain_file(drive: Drive, store: Store) -> None:
    store.apply(whole_life(drive))
    Publisher(drive, store, host="ssrde").publish(NOW)
    connection = sqlite3.connect(f"file:{drive.state}/evaluation.db?mode=ro", uri=True)
    assert connection.execute("SELECT status FROM evaluation_jobs").fetchall() == [("completed",)]
    connection.close()
    assert not list(drive.state.glob("*-wal")) + list(drive.published.glob("*-wal"))


def test_old_generations_stay_for_ten_minutes(drive: Drive, store: Store) -> None:
    publisher = Publisher(drive, store, host="ssrde", keep_s=600)
    for number in range(4):
        store.apply(whole_life(drive, f"e{number}"))
        publisher.publish(NOW)
    names = sorted(drive.published.glob("training.*.db"))
    assert len(names) == 4
    now = NOW + timedelta(seconds=0)
    for path in names:
        os.utime(path, (now.timestamp() - 601, now.timestamp() - 601))
    store.apply(whole_life(drive, "e9"))
    publisher.publish(now)
    left = sorted(path.name for path in drive.published.glob("training.*.db"))
    assert left == ["training.000004.db", "training.000005.db"], "the newest but one was superseded just now"


def test_a_reader_never_takes_what_differs_from_the_pointer(
    drive: Drive, store: Store, tmp_path: Path
) -> None:
    Publisher(drive, store, host="ssrde").publish(NOW)
    newest = drive.published / read_pointer(drive, "training").file
    whole = newest.read_bytes()
    newest.write_bytes(whole[:-100])
    with pytest.raises(StateError, match="no whole generation"):
        fetch_snapshot(drive, "training", tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.db")) if (tmp_path / "cache").exists() else True
    newest.write_bytes(whole)
    copy, pointer = fetch_snapshot(drive, "training", tmp_path / "cache")
    assert copy.read_bytes() == whole
    assert pointer.generation == 1


ELSEWHERE = ["../../../etc/passwd", "/etc/passwd", "evaluation.000001.db", "training.db"]


@pytest.mark.parametrize("file", ELSEWHERE)
def test_a_pointer_cannot_lead_elsewhere(drive: Drive, store: Store, tmp_path: Path, file: str) -> None:
    Publisher(drive, store, host="ssrde").publish(NOW)
    path = pointer_path(drive, "training")
    path.write_text(path.read_text().replace("training.000001.db", file))
    with pytest.raises(StateError):
        fetch_snapshot(drive, "training", tmp_path / "cache")


def test_a_fifo_in_place_of_a_pointer_hangs_nobody_and_is_replaced(
    drive: Drive, store: Store, tmp_path: Path
) -> None:
    publisher = Publisher(drive, store, host="ssrde")
    publisher.publish(NOW)
    pointer_path(drive, "training").unlink()
    os.mkfifo(pointer_path(drive, "training"))
    with pytest.raises(StateError, match="no whole generation"):
        fetch_snapshot(drive, "training", tmp_path / "cache")
    store.apply(whole_life(drive)[:1])
    assert publisher.publish(NOW) == ["training"]
    assert read_pointer(drive, "training").generation == 2


def test_numbers_are_not_used_again_after_the_pointer_is_lost(drive: Drive, store: Store) -> None:
    publisher = Publisher(drive, store, host="ssrde")
    publisher.publish(NOW)
    pointer_path(drive, "training").unlink()
    store.apply(whole_life(drive)[:1])
    publisher.publish(NOW)
    assert read_pointer(drive, "training").generation == 2


def test_views_tell_every_stage(drive: Drive, store: Store) -> None:
    store.apply(whole_life(drive, "e1"))
    store.apply(whole_life(drive, "e2", ending="failed"))
    Publisher(drive, store, host="ssrde").publish(NOW)
    with Snapshots(drive) as snapshots:
        snapshots.refresh()
        overview = read_overview(snapshots)
        views = {view.experiment: view for view in overview.experiments}
        with pytest.raises(UnknownExperiment, match="Did you mean e1"):
            read_experiment(snapshots, "e11")
    assert [stage.status for stage in views["e1"].stages()] == ["completed"] * 3
    assert views["e1"].training.mlflow_url == "http://monitoring:5000/#/experiments/1/runs/abc"
    assert views["e1"].evaluation.mlflow_url == "http://monitoring:5000/#/experiments/1/runs/def"
    assert views["e1"].results[0].value == 0.75
    assert views["e2"].status == "failed"
    assert views["e2"].evaluation.message == "vocabulary too small"


def test_before_anything_is_published_that_is_said(drive: Drive) -> None:
    with Snapshots(drive) as snapshots, pytest.raises(NotPublished, match="nothing is published"):
        snapshots.refresh()
