"""The hands in a guarded child: they may hang, die or fail, and whoever asks goes on."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from heliograph.drive import Drive
from heliograph.errors import DriveBusy, DriveUnavailable, LeaseHeld, NotADrive
from heliograph.names import utc_now
from heliograph.protocol import events as ev
from heliograph.protocol.outbox import Outbox
from heliograph.state.batch_names import batches
from heliograph.state.journal import Pending
from heliograph.state.lease import Owner, read_holder
from heliograph.watcher.guard import Guard
from heliograph.watcher.hands import HandsSetup
from heliograph.watcher.orders import Beat, LookOrder, TellOrder
from support.drives import NOW, publish_training
from support.fake_worker import make_stub, starts
from support.watching import CONFIG, statuses, tick_until, watching

T = TypeVar("T")

# A child whose looks take as long as the file SLOW says, as on a drive that hangs.
SLOW_CHILD = """
import sys, time
from pathlib import Path
from heliograph.watcher import guard, hands
look = hands.Hands.look
def slow(self, order):
    slow = Path({slow!r})
    while slow.exists():
        time.sleep(0.02)
    return look(self, order)
hands.Hands.look = slow
guard.main()
"""


def setup_of(drive: Drive) -> HandsSetup:
    return HandsSetup(
        root=str(drive.root),
        drive_id=drive.read_id(),
        stages=("evaluation", "analysis"),
        settle_s=0.0,
        owner=Owner.here(),
        spool=str(drive.root.with_name("spool")),
    )


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """While this file exists, the child's looks hang."""
    return tmp_path / "slow"


@pytest.fixture
def guard(drive: Drive, slow: Path) -> Iterator[Guard]:
    argv = (sys.executable, "-c", SLOW_CHILD.format(slow=str(slow)))
    guard = Guard(setup_of(drive), wait_s=0.3, ill_after_s=0.6, give_up_after_s=1.0, argv=argv)
    yield guard
    guard.close()


def ask(call: Callable[[], T], within_s: float = 20.0) -> T:
    """Repeat a call until the child has answered it."""
    give_up_at = time.monotonic() + within_s
    while True:
        try:
            return call()
        except DriveBusy:
            assert time.monotonic() < give_up_at


def started(guard: Guard) -> Guard:
    ask(lambda: guard.take_lease(utc_now(), 0))
    return guard


def look_after_a_death(guard: Guard) -> None:
    """Look; the death may be noticed before the question, or by it, which then fails once."""
    try:
        ask(lambda: guard.look(LookOrder(now=NOW, experiments=[])))
    except DriveUnavailable as error:
        assert "another one is started" in str(error)


def test_the_child_looks_and_tells_like_hands_in_this_process(drive: Drive, guard: Guard) -> None:
    started(guard)
    publish_training(drive, "e1")
    event = Outbox(drive, drive.root / "x").post(
        ev.TrainingFailed(experiment="e2", stage="training", run="run1", error_type="X", error_message="y"),
        NOW,
    )
    order = LookOrder(now=NOW, experiments=["e1"], tokens=["abcdef"], sweep=True)
    seen = ask(lambda: guard.look(order))
    assert seen.events == [event]
    assert seen.looked["e1"].seen[".training_complete"].input_path == str(drive.final_model("e1"))
    assert seen.experiments == ["e1"]
    told = ask(lambda: guard.tell(TellOrder(now=NOW, taken=[event.id], log=b"a line\n")))
    assert told.log_bytes == 7
    assert drive.watcher_log.read_text() == "a line\n"
    assert list(drive.inbox.iterdir()) == []
    holder = read_holder(drive)
    assert holder is not None
    assert holder.pid == os.getpid() != guard.pid, "the lease is the watcher's, not its child's"


def test_a_child_that_hangs_keeps_nobody_waiting_and_its_answer_is_not_lost(
    drive: Drive, guard: Guard, slow: Path
) -> None:
    started(guard)
    publish_training(drive, "e1")
    slow.touch()
    first = LookOrder(now=NOW, experiments=["e1"])
    with pytest.raises(DriveBusy):
        guard.look(first)
    with pytest.raises(DriveUnavailable, match="still has to answer"):
        guard.tell(TellOrder(now=NOW))
    slow.unlink()
    later = LookOrder(now=NOW + timedelta(seconds=1), experiments=[])
    assert list(ask(lambda: guard.look(later)).looked) == ["e1"], "the answer to the first question"


def test_a_child_that_is_silent_for_long_is_told_then_replaced(
    drive: Drive, guard: Guard, slow: Path
) -> None:
    started(guard)
    pid = guard.pid
    slow.touch()
    order = LookOrder(now=NOW, experiments=[])
    told = set()
    for _ in range(200):
        try:
            guard.look(order)
            break
        except DriveUnavailable as error:
            told.add(type(error).__name__)
            time.sleep(0.02)
            if guard.pid != pid:
                slow.unlink(missing_ok=True)
    assert told == {"DriveBusy", "DriveUnavailable"}
    assert guard.pid != pid
    assert not Path(f"/proc/{pid}").exists()


def test_a_child_that_is_killed_is_replaced(guard: Guard) -> None:
    started(guard)
    assert guard.pid is not None
    os.kill(guard.pid, signal.SIGKILL)
    look_after_a_death(guard)
    assert ask(lambda: guard.look(LookOrder(now=NOW, experiments=[]))).looked == {}


def test_a_child_that_replaces_another_goes_on_under_the_same_lease(drive: Drive, guard: Guard) -> None:
    term = ask(lambda: guard.take_lease(utc_now(), 0))
    assert guard.pid is not None
    os.kill(guard.pid, signal.SIGKILL)
    look_after_a_death(guard)
    ask(lambda: guard.tell(TellOrder(now=NOW, journal=[Pending("training", 1, 1, b"{}\n")])))
    ask(lambda: guard.look(LookOrder(now=NOW, experiments=[], beat=Beat(30.0, None))))
    assert [batch.term for batch in batches(drive, "training")] == [term]
    holder = read_holder(drive)
    assert holder is not None
    assert holder.term == term


def test_errors_come_through_as_they_are(drive: Drive, guard: Guard) -> None:
    started(guard)
    drive.id_file.unlink()
    with pytest.raises(NotADrive, match="not a heliograph drive"):
        ask(lambda: guard.look(LookOrder(now=NOW, experiments=[])))
    drive.id_file.write_text("another\n")
    with pytest.raises(DriveUnavailable, match="another drive is mounted"):
        ask(lambda: guard.look(LookOrder(now=NOW, experiments=[])))


def test_the_lease_of_another_is_told(drive: Drive, guard: Guard) -> None:
    started(guard)
    holder = drive.lease / "holder.json"
    holder.write_text(holder.read_text().replace(f'"pid":{os.getpid()}', '"pid":1'))
    for call in (
        lambda: guard.look(LookOrder(now=NOW, experiments=[])),
        lambda: guard.tell(TellOrder(now=NOW)),
    ):
        with pytest.raises(LeaseHeld, match="pid 1"):
            ask(call)


def test_what_the_child_logs_is_in_the_watchers_log(
    drive: Drive, guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    started(guard)
    name = "00001769850300123456789-a-1-000001"
    (drive.inbox / f"{name[3:]}.json").write_text("{")
    ask(lambda: guard.look(LookOrder(now=NOW, experiments=[])))
    assert "an event was put aside" in caplog.text


def test_the_child_ends_with_its_parent(guard: Guard) -> None:
    started(guard)
    pid = guard.pid
    guard.close()
    assert not Path(f"/proc/{pid}").exists()


def test_a_watcher_whose_drive_hangs_follows_its_jobs_and_goes_on_afterwards(
    drive: Drive, guard: Guard, slow: Path, tmp_path: Path
) -> None:
    fake = tmp_path / "fake"
    python = make_stub(fake)
    publish_training(drive, "e1")
    (fake / "e1-evaluation").write_text("slow 1")
    with watching(drive, tmp_path / "state", python, CONFIG, hands=guard) as watcher:
        tick_until(watcher, lambda: len(starts(fake)) == 1)
        slow.touch()
        for _ in range(8):
            with pytest.raises(DriveUnavailable):
                watcher.tick(utc_now())
        row = watcher.store.rows("evaluation", "jobs")[0]
        assert row["scheduler_state"] == "RUNNING", "the scheduler was asked all the same"
        assert row["status"] in ("queued", "running"), "and nothing was concluded"
        slow.unlink()
        tick_until(watcher, lambda: statuses(watcher, "analysis") == ["completed"])
    assert len(starts(fake)) == 2
