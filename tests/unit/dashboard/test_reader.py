"""The reader, on drives that change, hang, vanish and break."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from heliograph.dashboard import reader as reading
from heliograph.dashboard.reader import Reader, Worker
from heliograph.drive import Drive
from heliograph.errors import DriveUnavailable, NotADrive, NotPublished, StateError
from heliograph.state import views
from heliograph.state.publish import Publisher, pointer_path
from heliograph.state.store import Store
from support.drives import NOW, make_drive
from unit.dashboard.scenes import Scene, write_beat


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(own_drive: Drive, clock: Clock) -> Iterator[Reader]:
    made = Reader(own_drive, clock)
    yield made
    made.close()


def latest(reader: Reader) -> reading.Reading:
    return asyncio.run(reader.latest())


def publish_more(drive: Drive, experiment: str) -> None:
    """Publish anew, with one more experiment."""
    with Store(drive.root.parent / "drive-live") as store:
        Scene(drive, store, NOW).train(experiment, 5)
        Publisher(drive, store, host="ssrde").publish(NOW)


def names(found: reading.Reading) -> set[str]:
    return {view.experiment for view in found.overview.experiments}


def test_what_is_published_is_read(reader: Reader, own_drive: Drive) -> None:
    found = latest(reader)
    assert {"baseline", "hostile"} < names(found)
    assert (found.trouble, found.beat_age_s, found.read_at) == (None, 3.0, NOW)


def test_what_is_two_seconds_old_is_read_anew_and_nothing_younger(
    reader: Reader, own_drive: Drive, clock: Clock
) -> None:
    before = latest(reader)
    publish_more(own_drive, "newcomer")
    clock.go_on(1.9)
    assert latest(reader) is before
    clock.go_on(0.1)
    assert names(latest(reader)) - names(before) == {"newcomer"}


def test_many_who_ask_at_the_same_time_cause_one_reading(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(reading, "read_overview", lambda s: calls.append(s) or views.read_overview(s))

    async def ask_often() -> list[reading.Reading]:
        return await asyncio.gather(*(reader.latest() for _ in range(20)))

    assert len({id(found) for found in asyncio.run(ask_often())}) == 1
    assert len(calls) == 1


def test_an_unmounted_drive_is_not_an_empty_one(reader: Reader, own_drive: Drive, clock: Clock) -> None:
    before = latest(reader)
    own_drive.id_file.rename(own_drive.root / "moved")
    clock.go_on(300)
    found = latest(reader)
    assert found.overview is before.overview
    assert found.trouble is not None and "is not a heliograph drive" in found.trouble
    (own_drive.root / "moved").rename(own_drive.id_file)
    assert latest(reader).trouble is None


def test_a_drive_that_hangs_is_told_and_comes_back(
    reader: Reader, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = latest(reader)
    answers = threading.Event()
    monkeypatch.setattr(reading, "PATIENCE_S", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(Drive, "read_id", lambda _: answers.wait(60))
        clock.go_on(10)
        assert latest(reader).trouble is None  # slow for a moment: what is 10 s old will do
        clock.go_on(10)
        found = latest(reader)
        assert found.overview is before.overview
        assert found.trouble is not None and "it is slow or hangs" in found.trouble
        answers.set()
    monkeypatch.setattr(reading, "PATIENCE_S", 60)
    after = latest(reader)
    assert (after.trouble, after.read_at) == (None, clock.now)


def test_a_drive_that_hangs_from_the_beginning_is_an_error(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(reading, "PATIENCE_S", 0.05)
    monkeypatch.setattr(Drive, "read_id", lambda _: answers.wait(60))
    with pytest.raises(DriveUnavailable):
        latest(reader)
    answers.set()


def test_a_drive_with_nothing_published_and_no_drive_at_all(drive: Drive, clock: Clock) -> None:
    for root, error in ((drive, NotPublished), (Drive(drive.root / "nowhere"), NotADrive)):
        reader = Reader(root, clock)
        with pytest.raises(error):
            latest(reader)
        reader.close()


def test_input_and_output_errors_of_the_drive_are_told(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(_: Drive) -> str:
        raise OSError(107, "Transport endpoint is not connected")

    monkeypatch.setattr(Drive, "read_id", break_down)
    with pytest.raises(DriveUnavailable, match="Transport endpoint is not connected"):
        latest(reader)


def test_a_broken_pointer_leaves_the_last_good_reading(
    reader: Reader, own_drive: Drive, clock: Clock
) -> None:
    before = latest(reader)
    pointer_path(own_drive, "evaluation").write_bytes(b"{")
    clock.go_on(60)
    found = latest(reader)
    assert found.overview is before.overview
    assert found.trouble is not None and "evaluation" in found.trouble


def test_a_database_that_is_not_understood_is_told(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        reading,
        "read_overview",
        lambda snapshots: snapshots._open["training"][1].execute("SELECT newer FROM training_runs"),
    )
    with pytest.raises(StateError, match="no such column: newer"):
        latest(reader)


def test_beats_are_watched_from_reading_to_reading(reader: Reader, own_drive: Drive, clock: Clock) -> None:
    latest(reader)
    clock.go_on(100)
    write_beat(own_drive, NOW - timedelta(hours=5), beat=8)  # that host's clock is five hours behind
    assert latest(reader).beat_age_s == 0.0
    clock.go_on(100)
    assert latest(reader).beat_age_s == 100.0


def test_closing_removes_the_local_copies(own_drive: Drive, clock: Clock) -> None:
    reader = Reader(own_drive, clock)
    latest(reader)
    assert reader._snapshots is not None
    cache = reader._snapshots.cache
    assert len(list(cache.iterdir())) == 3
    reader.close()
    assert not cache.exists()


def test_a_worker_hands_on_errors_and_goes_on() -> None:
    worker = Worker("test")
    assert isinstance(worker.submit(lambda: 1 // 0).exception(10), ZeroDivisionError)
    assert worker.submit(lambda: 42).result(10) == 42
    worker.close()


def test_a_worker_skips_what_nobody_waits_for_any_more() -> None:
    worker, goes_on, done = Worker("test"), threading.Event(), []
    worker.submit(lambda: goes_on.wait(60))
    worker.submit(lambda: done.append("given up")).cancel()
    last = worker.submit(lambda: done.append("wanted"))
    goes_on.set()
    last.result(10)
    worker.close()
    assert done == ["wanted"]


def test_an_empty_drive_can_be_read(drive: Drive, clock: Clock) -> None:
    with Store(drive.root.parent / "live") as store:
        Publisher(make_drive(drive.root), store, host="ssrde").publish(NOW)
    reader = Reader(drive, clock)
    found = latest(reader)
    reader.close()
    assert (found.overview.experiments, found.beat_age_s) == ([], None)
