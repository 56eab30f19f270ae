"""The watcher without its memory: databases and journal lost, or another host went on with the drive."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from heliograph.drive import Drive
from heliograph.protocol import signals
from heliograph.protocol.events import JobStarted, parse_event
from heliograph.state import journal, rebuild
from heliograph.state.rebuild import open_level
from heliograph.state.settle import live_folder
from heliograph.state.store import Store
from support.drives import NOW, publish_training, training_signal
from support.fake_worker import make_stub, starts
from support.histories import whole_life
from support.watching import statuses, tick_until, tick_until_idle, watching


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    make_stub(tmp_path / "fake")
    return tmp_path / "fake"


@pytest.fixture
def python(fake: Path) -> Path:
    return fake / "bin" / "python"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def lose_everything(drive: Drive, state: Path) -> None:
    """Lose the databases and the journal; signals, results and claims are still on the drive."""
    shutil.rmtree(live_folder(state, drive))
    for folder in drive.journal.iterdir():
        shutil.rmtree(folder)


def test_from_signals_and_claims_alone_nothing_runs_again(
    drive: Drive, state: Path, fake: Path, python: Path
) -> None:
    for name in ("e1", "e2"):
        publish_training(drive, name)
    with watching(drive, state, python) as watcher:
        tick_until_idle(watcher)
    assert len(starts(fake)) == 4
    lose_everything(drive, state)
    with watching(drive, state, python) as watcher:
        tick_until_idle(watcher)
        assert statuses(watcher, "evaluation") == ["completed"] * 2
        assert statuses(watcher, "analysis") == ["completed"] * 2
    assert len(starts(fake)) == 4, "the claims tell who did the work, the signals that it is done"
    assert rebuild.check(drive, state) == []


def test_a_job_that_runs_is_found_again_by_its_claim(
    drive: Drive, state: Path, fake: Path, python: Path
) -> None:
    publish_training(drive, "e1")
    (fake / "e1-evaluation").write_text("slow 2")
    with watching(drive, state, python) as watcher:
        tick_until(watcher, lambda: len(starts(fake)) == 1)
    lose_everything(drive, state)
    with watching(drive, state, python) as watcher:
        tick_until_idle(watcher)
        assert statuses(watcher, "evaluation") == ["completed"]
    assert len(starts(fake)) == 2


def test_a_job_that_tells_of_itself_before_it_is_queued_again_is_followed(
    drive: Drive, state: Path, fake: Path, python: Path
) -> None:
    """Where the databases are lost, the events of a running job may come first."""
    publish_training(drive, "e1")
    with watching(drive, state, python) as watcher:
        tick_until(watcher, lambda: statuses(watcher, "evaluation") == ["queued"])
        row = watcher.store.rows("evaluation", "jobs")[0]
        queued = watcher.store.connection("evaluation").execute(
            "SELECT json FROM events WHERE kind = 'attempt.queued'"
        )
        event = parse_event(queued.fetchone()[0].encode(), "the journal")
    about = {"experiment": "e1", "stage": "evaluation", "token": row["token"]}
    with Store(state / "other") as store:
        store.record(JobStarted(**about, job_id="local-1", hostname="n1"), NOW)
        store.apply([event])
        (job,) = store.rows("evaluation", "jobs")
    assert (job["status"], job["slurm_job_id"], job["executor"]) == ("running", "local-1", "local")
    assert job["resources"] == row["resources"]


def test_old_content_that_shows_up_again_is_no_new_work(
    drive: Drive, state: Path, fake: Path, python: Path
) -> None:
    """A network drive may show for a moment what was there before."""
    path = publish_training(drive, "e1").path
    old = path.read_bytes()
    with watching(drive, state, python) as watcher:
        tick_until_idle(watcher)
        later = training_signal(drive, "e1", timestamp=NOW + timedelta(hours=1))
        signals.publish_signal(drive, signals.TRAINING_COMPLETE, later)
        watcher.agenda.announce(["e1"])
        tick_until_idle(watcher)
        assert statuses(watcher, "evaluation") == ["completed"] * 2
        path.write_bytes(old)
        watcher.agenda.announce(["e1"])
        tick_until_idle(watcher)
        assert statuses(watcher, "evaluation") == ["completed"] * 2
    assert len(starts(fake)) == 4


def test_a_watcher_that_died_between_accepting_and_queueing_goes_on(
    drive: Drive, state: Path, fake: Path, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_training(drive, "e1")
    with watching(drive, state, python) as watcher:
        monkeypatch.setattr(watcher, "_decide", lambda *_: None)
        tick_until(watcher, lambda: watcher.store.last_event("training") == 1)
        assert statuses(watcher, "evaluation") == []
    with watching(drive, state, python) as watcher:
        tick_until(watcher, lambda: statuses(watcher, "analysis") == ["completed"])
    assert len(starts(fake)) == 2


def test_databases_that_tell_another_story_are_made_anew_by_themselves(drive: Drive, state: Path) -> None:
    live = live_folder(state, drive)
    with Store(live) as here, Store(state / "there") as there:
        here.apply(whole_life(drive, "e1"))
        there.apply(whole_life(drive, "e2"))
        journal.append(drive, there, 1)
    with open_level(drive, live, NOW, 2) as store:
        runs = store.rows("training", "training_runs")
    assert {run["experiment_name"] for run in runs} == {"e1", "e2"}
    assert [path.name for path in live.parent.glob("live.*")] == ["live.20260131T090500Z"]
    assert rebuild.check(drive, state) == []


def test_a_database_that_is_no_database_is_made_anew_by_itself(drive: Drive, state: Path) -> None:
    live = live_folder(state, drive)
    with Store(live) as store:
        store.apply(whole_life(drive, "e1"))
        journal.append(drive, store, 1)
    (live / "evaluation.db").write_bytes(b"no database at all" * 100)
    for suffix in ("-wal", "-shm"):
        (live / f"evaluation.db{suffix}").unlink(missing_ok=True)
    with open_level(drive, live, NOW, 2) as store:
        assert len(store.rows("evaluation", "jobs")) == 1
