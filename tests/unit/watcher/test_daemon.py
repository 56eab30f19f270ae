"""The watcher over the real local executor; only the workers are stand-ins."""

import os
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from heliograph.config import LocalSettings
from heliograph.drive import Drive
from heliograph.errors import DriveUnavailable, LeaseHeld, NotADrive
from heliograph.names import utc_now
from heliograph.protocol import events as ev
from heliograph.protocol import signals
from heliograph.protocol.outbox import Outbox
from heliograph.protocol.quarantine import list_quarantine
from heliograph.state import rebuild
from heliograph.state.views import Snapshots, read_experiment
from support.drives import NOW, make_model, publish_evaluation, publish_training, training_signal
from support.fake_worker import make_stub, starts
from support.watching import CONFIG, statuses, tick_until, tick_until_idle, watching


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    """The folder that steers the stand-in workers and counts their starts."""
    folder = tmp_path / "fake"
    make_stub(folder)
    return folder


@pytest.fixture
def python(fake: Path) -> Path:
    return fake / "bin" / "python"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_one_signal_leads_through_both_stages_once(
    drive: Drive, state: Path, fake: Path, python: Path
) -> None:
    publish_training(drive, "e1")
    with watching(drive, state, python) as watcher:
        tick_until_idle(watcher)
    assert [line.split()[:2] for line in starts(fake)] == [["e1", "evaluation"], ["e1", "analysis"]]
    with Snapshots(drive) as snapshots:
        snapshots.refresh()
        view = read_experiment(snapshots, "e1")
    assert [stage.status for stage in view.stages()] == ["completed"] * 3
    assert rebuild.check(drive, state) == []
    assert (drive.scripts / "slurm_eval_e1.sh").exists()
    assert list((drive.logs / "evaluation").glob("*.log"))


def test_the_same_signal_seen_again_is_no_new_work(
    drive: Drive, state: Path, fake: Path, python: Path
) -> None:
    signal = publish_training(drive, "e1")
    with watching(drive, state, python) as watcher:
        tick_until_idle(watcher)
        os.utime(signal.path)
        signals.publish_signal(drive, signals.TRAINING_COMPLETE, training_signal(drive, "e1"))
        signal.path.write_bytes(b"\n\n" + signal.path.read_bytes())
        outbox = Outbox(drive, state / "spool")
        for _ in range(10):
            outbox.post(
                ev.SignalPublished(experiment="e1", stage="training", path=str(signal.path), sha256="x")
            )
        tick_until_idle(watcher)
    with watching(drive, state, python) as watcher:
        tick_until_idle(watcher)
    assert len(starts(fake)) == 2


def test_training_again_is_new_work(drive: Drive, state: Path, fake: Path, python: Path) -> None:
    publish_training(drive, "e1")
    with watching(drive, state, python) as watcher:
        tick_until_idle(watcher)
        publish_training(drive, "e1", timestamp=NOW + timedelta(hours=1))
        Outbox(drive, state / "spool").post(
            ev.SignalPublished(experiment="e1", stage="training", path="x", sha256="x")
        )
        tick_until_idle(watcher)
        assert statuses(watcher, "evaluation") == ["completed"] * 2
    assert len(starts(fake)) == 4


def test_a_new_training_that_was_announced_while_a_job_ran_follows_its_end(
    drive: Drive, state: Path, fake: Path, python: Path
) -> None:
    """Its doorbell has rung long before; the background search would find it an hour later."""
    publish_training(drive, "e1")
    (fake / "e1-evaluation").write_text("fail 3")
    with watching(drive, state, python) as watcher:
        tick_until(watcher, lambda: watcher.store.rows("evaluation", "open_attempts") != [])
        publish_training(drive, "e1", timestamp=NOW + timedelta(hours=1))
        Outbox(drive, state / "spool").post(
            ev.SignalPublished(experiment="e1", stage="training", path="x", sha256="x")
        )
        watcher.tick(utc_now())
        tick_until_idle(watcher)
        assert statuses(watcher, "evaluation") == ["failed"] * 2


def test_signals_that_came_while_no_watcher_ran_are_found(
    drive: Drive, state: Path, fake: Path, python: Path
) -> None:
    for number in range(5):
        publish_training(drive, f"e{number}")
    publish_evaluation(drive, "by-hand", "manual-1")
    make_model(drive, "by-hand")
    with watching(drive, state, python) as watcher:
        tick_until_idle(watcher)
    assert len(starts(fake)) == 11, "five experiments with two stages, and one that was evaluated by hand"


def test_an_unannounced_signal_is_found_by_the_sweep(
    drive: Drive, state: Path, fake: Path, python: Path
) -> None:
    with watching(drive, state, python) as watcher:
        watcher.tick(utc_now())
        make_model(drive, "late")
        tick_until(watcher, lambda: "late" in watcher._silent)
        publish_training(drive, "late")
        tick_until(watcher, lambda: statuses(watcher, "analysis") == ["completed"])


def test_a_permanent_failure_is_told_at_once(drive: Drive, state: Path, fake: Path, python: Path) -> None:
    publish_training(drive, "e1")
    (fake / "e1-evaluation").write_text("fail 3")
    with watching(drive, state, python) as watcher:
        tick_until_idle(watcher)
        (job,) = watcher.store.rows("evaluation", "jobs")
    assert (job["status"], job["failure_class"], job["exit_code"]) == ("failed", "permanent", 3)
    assert "it is broken on purpose" in job["error_message"]
    assert len(starts(fake)) == 1


def test_a_transient_failure_is_tried_again_up_to_the_most(
    drive: Drive, state: Path, fake: Path, python: Path
) -> None:
    publish_training(drive, "e1")
    (fake / "e1-evaluation").write_text("fail 1")
    with watching(drive, state, python) as watcher:
        tick_until_idle(watcher)
        assert statuses(watcher, "evaluation") == ["failed"] * 3
        tokens = {row["token"] for row in watcher.store.rows("evaluation", "jobs")}
    assert len(tokens) == 3
    assert len(starts(fake)) == 3
    assert rebuild.check(drive, state) == []


def test_a_broken_signal_is_kept_aside_and_the_rest_goes_on(
    drive: Drive, state: Path, fake: Path, python: Path
) -> None:
    bad = publish_training(drive, "bad").path
    bad.write_text('{"timestamp": "2026-01-31T09:05:00Z"}')
    (drive.models / "; rm -rf ~").mkdir()
    publish_training(drive, "good")
    with watching(drive, state, python) as watcher:
        tick_until_idle(watcher)
        tick_until(watcher, lambda: len(list_quarantine(drive)) == 2)
        reasons = " ".join(one.reason.reason for one in list_quarantine(drive))
        assert "experiment: is missing" in reasons
        assert "not a name" in reasons
        assert statuses(watcher, "analysis") == ["completed"]
        assert len(watcher.store.rows("training", "quarantined_signals")) == 2
        publish_training(drive, "bad")
        tick_until(watcher, lambda: statuses(watcher, "analysis") == ["completed"] * 2)
        assert len(list_quarantine(drive)) == 2, "once is enough"
    assert bad.exists()


@pytest.mark.parametrize("name", ["_backup", "-rf", "; rm -rf ~", "$(id)", "[bold]m[", "ü", "._x"])
def test_a_hostile_folder_does_not_poison_the_journal(
    drive: Drive, state: Path, python: Path, name: str
) -> None:
    (drive.models / name).mkdir()
    for _ in range(2):
        with watching(drive, state, python) as watcher:
            tick_until_idle(watcher)
    assert rebuild.check(drive, state) == []
    assert rebuild.rebuild(drive, state, utc_now())


def test_what_nobody_foresaw_in_one_experiment_does_not_stop_the_others(
    drive: Drive, state: Path, fake: Path, python: Path
) -> None:
    for name in ("a-bad", "z-good"):
        publish_training(drive, name)
    with watching(drive, state, python) as watcher:
        look = watcher.hands.looker.look

        def broken(experiment: str, now: datetime) -> object:
            if experiment == "a-bad":
                raise RuntimeError("nobody foresaw this")
            return look(experiment, now)

        watcher.hands.looker.look = broken  # type: ignore[method-assign,assignment]
        tick_until_idle(watcher)
        assert statuses(watcher, "analysis") == ["completed"]
        watcher.hands.looker.look = look  # type: ignore[method-assign]


def test_a_watcher_that_is_stopped_goes_on_where_it_left(
    drive: Drive, state: Path, fake: Path, python: Path
) -> None:
    publish_training(drive, "e1")
    (fake / "e1-evaluation").write_text("slow 1")
    with watching(drive, state, python) as watcher:
        tick_until(watcher, lambda: len(starts(fake)) == 1)
    with watching(drive, state, python) as watcher:
        tick_until_idle(watcher)
        assert statuses(watcher, "evaluation") == ["completed"]
    assert len(starts(fake)) == 2


def test_an_intent_without_a_submission_is_looked_up_then_submitted(
    drive: Drive, state: Path, fake: Path, python: Path
) -> None:
    """The watcher died between the intent and the submission."""
    publish_training(drive, "e1")
    with watching(drive, state, python) as watcher:
        tick_until(watcher, lambda: statuses(watcher, "evaluation") == ["queued"])
        assert starts(fake) == []
    with watching(drive, state, python) as watcher:
        assert len(watcher.submitter.doubts) == 1
        tick_until_idle(watcher)
    assert len(starts(fake)) == 2


def test_a_submission_that_was_not_recorded_is_adopted(
    drive: Drive, state: Path, fake: Path, python: Path
) -> None:
    """The watcher died between the submission and its record: the job is found by its name."""
    publish_training(drive, "e1")
    (fake / "e1-evaluation").write_text("slow 1")
    with watching(drive, state, python) as watcher:
        tick_until(watcher, lambda: statuses(watcher, "evaluation") == ["queued"])
        watcher.submitter._record_submitted = lambda *_, **__: None  # type: ignore[method-assign]
        watcher.tick(utc_now())
        assert watcher.store.rows("evaluation", "jobs")[0]["submitted_at"] is None
    with watching(drive, state, python) as watcher:
        tick_until_idle(watcher)
        (job,) = watcher.store.rows("evaluation", "jobs")
        assert job["status"] == "completed"
        adopted = watcher.store.connection("evaluation").execute(
            "SELECT json FROM events WHERE kind = 'attempt.submitted'"
        )
        assert [msgspec.json.decode(row[0])["body"].get("adopted") for row in adopted] == [True]
    assert len(starts(fake)) == 2


def test_many_experiments_share_the_slots(drive: Drive, state: Path, fake: Path, python: Path) -> None:
    for number in range(12):
        publish_training(drive, f"e{number:02d}")
    config = msgspec.structs.replace(CONFIG, local=LocalSettings(slots=2))
    with watching(drive, state, python, config) as watcher:
        tick_until_idle(watcher, timeout_s=120)
        assert statuses(watcher, "analysis") == ["completed"] * 12
    assert sorted(starts(fake)) == sorted(set(starts(fake)))
    assert len(starts(fake)) == 24


def test_an_unmounted_drive_is_not_an_empty_one(drive: Drive, state: Path, fake: Path, python: Path) -> None:
    publish_training(drive, "e1")
    (fake / "e1-evaluation").write_text("slow 1")
    away = drive.root.with_name("away")
    with watching(drive, state, python) as watcher:
        tick_until(watcher, lambda: len(starts(fake)) == 1)
        drive.root.rename(away)
        drive.root.mkdir()
        with pytest.raises(NotADrive):
            watcher.tick(utc_now())
        assert list(drive.root.iterdir()) == []
        drive.root.rmdir()
        away.rename(drive.root)
        tick_until_idle(watcher)
        assert statuses(watcher, "evaluation")[-1] == "completed"


def test_another_drive_under_the_same_path_is_refused(drive: Drive, state: Path, python: Path) -> None:
    with watching(drive, state, python) as watcher:
        watcher.tick(utc_now())
        kept = drive.id_file.read_text()
        drive.id_file.write_text("other")
        with pytest.raises(DriveUnavailable, match="another drive"):
            watcher.tick(utc_now())
        drive.id_file.write_text(kept)


def test_a_second_watcher_is_refused_and_told_who_holds_the_drive(
    drive: Drive, state: Path, python: Path
) -> None:
    with (
        watching(drive, state, python),
        pytest.raises(LeaseHeld, match=f"pid {os.getpid()}"),
        watching(drive, state, python),
    ):
        pass
