from pathlib import Path

import pytest

from heliograph import durable
from heliograph.drive import Drive
from heliograph.errors import StateError
from heliograph.protocol import events as ev
from heliograph.protocol.outbox import Outbox
from heliograph.state import journal, rebuild
from heliograph.state.databases import DATABASES
from heliograph.state.inbox import Inbox
from heliograph.state.settle import live_folder, settle
from heliograph.state.store import Store
from support.drives import NOW
from support.histories import told_by_others, whole_life


def all_contents(store: Store) -> dict[str, object]:
    return {stage: rebuild.contents(store, stage) for stage in DATABASES}


def test_the_journal_gives_the_same_databases_again(drive: Drive, tmp_path: Path) -> None:
    with Store(tmp_path / "one") as one, Store(tmp_path / "two") as two:
        for number in range(5):
            one.apply(whole_life(drive, f"e{number}"))
            journal.append(drive, one, 1)
        assert journal.append(drive, one, 1) == 0
        assert journal.catch_up(drive, two) == sum(one.last_event(s) for s in DATABASES)
        assert all_contents(two) == all_contents(one)
        assert journal.catch_up(drive, two) == 0
        assert journal.append(drive, two, 1) == 0, "what came from the journal does not go there again"


def test_an_older_database_is_brought_level(drive: Drive, tmp_path: Path) -> None:
    with Store(tmp_path / "old") as old, Store(tmp_path / "new") as new:
        old.apply(whole_life(drive, "e1"))
        journal.append(drive, old, 1)
        journal.catch_up(drive, new)
        new.apply(whole_life(drive, "e2"))
        journal.append(drive, new, 1)
        journal.catch_up(drive, old)
        assert all_contents(old) == all_contents(new)


def test_two_stories_are_told_apart_and_a_rebuild_joins_them(drive: Drive, tmp_path: Path) -> None:
    state_folder = tmp_path / "state"
    live = live_folder(state_folder, drive)
    with Store(live) as here, Store(tmp_path / "there") as there:
        here.apply(whole_life(drive, "e1"))
        there.apply(whole_life(drive, "e2"))
        journal.append(drive, there, 1)
        with pytest.raises(StateError, match="heliograph db rebuild"):
            journal.catch_up(drive, here)
    told = rebuild.rebuild(drive, state_folder, NOW)
    assert any("taken over" in line for line in told)
    with Store(live) as store:
        runs = store.rows("training", "training_runs")
    assert {run["experiment_name"] for run in runs} == {"e1", "e2"}
    assert rebuild.check(drive, state_folder) == []


def test_a_corrupt_database_costs_nothing(drive: Drive, tmp_path: Path) -> None:
    state_folder = tmp_path / "state"
    live = live_folder(state_folder, drive)
    with Store(live) as store:
        store.apply(whole_life(drive))
        journal.append(drive, store, 1)
        before = all_contents(store)
    path = live / "evaluation.db"
    path.write_bytes(b"garbage" * 1000)
    for leftover in ("evaluation.db-wal", "evaluation.db-shm"):
        (live / leftover).unlink(missing_ok=True)
    rebuild.rebuild(drive, state_folder, NOW)
    with Store(live) as store:
        assert all_contents(store) == before


def test_check_tells_what_differs_from_the_journal(drive: Drive, tmp_path: Path) -> None:
    state_folder = tmp_path / "state"
    with Store(live_folder(state_folder, drive)) as store:
        store.apply(whole_life(drive))
        journal.append(drive, store, 1)
        store.connection("evaluation").execute("UPDATE evaluation_jobs SET status = 'running'")
    assert rebuild.check(drive, state_folder) == [
        "evaluation.db: table evaluation_jobs differs from the journal"
    ]


def test_a_cut_batch_is_told_by_name(drive: Drive, tmp_path: Path) -> None:
    with Store(tmp_path / "one") as one:
        one.apply(whole_life(drive))
        journal.append(drive, one, 1)
    batch = journal.batches(drive, "training")[0].path
    batch.write_bytes(b"\n".join(batch.read_bytes().splitlines()[:-1]))
    with Store(tmp_path / "two") as two, pytest.raises(StateError, match=f"{batch.name}.*promises"):
        journal.catch_up(drive, two)


def test_the_inbox_is_emptied_into_journal_and_databases(drive: Drive, tmp_path: Path) -> None:
    outbox = Outbox(drive, tmp_path / "spool")
    told = told_by_others(drive)
    for event in told:
        outbox.post(event.body, event.at)
    with Store(tmp_path / "live") as store:
        assert len(Inbox(drive, settle_s=0).take(store, NOW, 1)) == len(told) == 14
        assert list(drive.inbox.iterdir()) == []
        assert store.row("training", "training_run", experiment="e1")["status"] == "completed"
        assert all(store.not_journaled(stage) == [] for stage in DATABASES)


def test_a_broken_event_is_put_aside_after_it_has_settled_and_the_rest_goes_on(
    drive: Drive, tmp_path: Path
) -> None:
    from datetime import timedelta

    from heliograph.protocol.quarantine import list_quarantine

    good = Outbox(drive, tmp_path / "spool").post(whole_life(drive)[0].body)
    name = f"{ev.new_event_id()}.json"
    (drive.inbox / name).write_text('{"half": ')
    (drive.inbox / ".hidden.tmp").write_text("still being written")
    inbox = Inbox(drive, settle_s=2)
    with Store(tmp_path / "live") as store:
        assert [e.id for e in inbox.take(store, NOW, 1)] == [good.id]
        assert inbox.take(store, NOW + timedelta(seconds=1), 1) == []
        assert (drive.inbox / name).exists()
        inbox.take(store, NOW + timedelta(seconds=3), 1)
    assert not (drive.inbox / name).exists()
    (kept,) = list_quarantine(drive)
    assert name in kept.reason.path
    assert (drive.quarantine / kept.name / "content").read_text() == '{"half": '


@pytest.mark.parametrize("kind", ["fifo", "folder", "link", "huge"])
def test_what_is_no_plain_file_is_moved_aside_and_the_rest_goes_on(
    drive: Drive, tmp_path: Path, kind: str
) -> None:
    import os

    path = drive.inbox / f"{ev.new_event_id()}.json"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to("/etc/passwd")
        case "huge":
            path.write_bytes(b" " * (ev.LARGEST_EVENT + 1))
    good = Outbox(drive, tmp_path / "spool").post(whole_life(drive)[0].body)
    with Store(tmp_path / "live") as store:
        assert [event.id for event in Inbox(drive, settle_s=0).take(store, NOW, 1)] == [good.id]
    assert list(drive.inbox.iterdir()) == []
    (kept,) = drive.quarantine.iterdir()
    assert os.path.lexists(kept / "content")
    assert path.name in (kept / "reason.json").read_text()


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        ('"at":"2026-01-31T09:05:00Z"', '"at":"0001-01-01T00:00:00+14:00"'),
        ('"step":10', '"step":1000000000000000000000000000000'),
        ('"step":10', '"step":9223372036854775808'),
    ],
)
def test_an_event_that_no_database_takes_is_put_aside_alone(
    drive: Drive, tmp_path: Path, what: str, instead: str
) -> None:
    outbox = Outbox(drive, tmp_path / "spool")
    outbox.post(whole_life(drive)[0].body, NOW)
    bad = outbox.post(whole_life(drive)[1].body, NOW)
    outbox.post(whole_life(drive)[2].body, NOW)
    path = ev.event_path(drive, bad.id)
    text = path.read_text()
    assert what in text
    path.write_text(text.replace(what, instead))
    with Store(tmp_path / "live") as store:
        assert len(Inbox(drive, settle_s=0).take(store, NOW, 1)) == 2
        assert len(store.rows("training", "checkpoints", experiment="e1")) == 1
    assert list(drive.inbox.iterdir()) == []
    (kept,) = drive.quarantine.iterdir()
    assert (kept / "content").is_file()


class Crash(BaseException):
    """Stands for the end of the process: nothing catches it."""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", range(13))
def test_dying_at_any_step_of_the_intake_loses_and_doubles_nothing(
    drive: Drive, tmp_path: Path, step: int, moment: str
) -> None:
    outbox = Outbox(drive, tmp_path / "spool")
    for event in told_by_others(drive):
        outbox.post(event.body, event.at)
    seen = []

    def die(when: str, kind: str, what: str) -> None:
        if when == moment:
            seen.append((kind, what))
            if len(seen) == step + 1:
                raise Crash

    with Store(tmp_path / "live") as store:
        durable.install_hook(die)
        try:
            Inbox(drive, settle_s=0).take(store, NOW, 1)
        except Crash:
            pass
        finally:
            durable.install_hook(None)
    with Store(tmp_path / "live") as store, Store(tmp_path / "fresh") as fresh:
        journal.catch_up(drive, store)
        Inbox(drive, settle_s=0).take(store, NOW, 1)
        assert list(drive.inbox.glob("[0-9]*")) == []
        assert sum(store.last_event(stage) for stage in DATABASES) == 14
        journal.catch_up(drive, fresh)
        assert all_contents(fresh) == all_contents(store)


def test_settle_applies_and_publishes_without_a_watcher(drive: Drive, tmp_path: Path) -> None:
    from heliograph.state.views import Snapshots, read_experiment

    outbox = Outbox(drive, tmp_path / "spool")
    for event in told_by_others(drive):
        outbox.post(event.body, event.at)
    assert settle(drive, tmp_path / "state", NOW)
    with Snapshots(drive) as snapshots:
        snapshots.refresh()
        assert read_experiment(snapshots, "e1").training.status == "completed"
