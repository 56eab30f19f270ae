"""What people ask of the watcher: cancel, retry, release; acted on over the real local executor."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from heliograph.config import Resources, StageSettings
from heliograph.drive import Drive
from heliograph.names import utc_now
from heliograph.protocol import events as ev
from heliograph.protocol.outbox import Outbox
from heliograph.protocol.quarantine import list_quarantine
from heliograph.state import rebuild
from heliograph.watcher.daemon import Watcher
from support.drives import make_model, publish_training
from support.fake_worker import make_stub, starts
from support.watching import CONFIG, statuses, tick_until, tick_until_idle, watching

SMALL = StageSettings(resources=Resources(mem="1G", time="00:10:00"), most_mem="4G", most_time="01:00:00")


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


def ask(drive: Drive, body: ev.Body) -> None:
    Outbox(drive, drive.root / "spool").post(body)


def last_job(watcher: Watcher, stage: str = "evaluation") -> dict[str, Any]:
    return watcher.store.rows(stage, "jobs")[0]


def test_a_running_job_is_cancelled_and_not_tried_again(
    drive: Drive, state: Path, fake: Path, python: Path
) -> None:
    publish_training(drive, "e1")
    (fake / "e1-evaluation").write_text("slow 60")
    with watching(drive, state, python) as watcher:
        tick_until(watcher, lambda: len(starts(fake)) == 1)
        ask(drive, ev.CancelRequested(experiment="e1", stage="evaluation"))
        tick_until_idle(watcher)
        job = last_job(watcher)
    assert (job["status"], job["failure_class"], job["retry_at"]) == ("failed", "cancelled", None)
    assert f"cancelled, as {ev.user_name()}@" in job["error_message"]
    assert len(starts(fake)) == 1
    assert rebuild.check(drive, state) == []


def test_what_waits_for_its_next_attempt_is_cancelled_without_being_submitted(
    drive: Drive, state: Path, fake: Path, python: Path
) -> None:
    publish_training(drive, "e1")
    (fake / "e1-evaluation").write_text("fail 1")
    late = msgspec.structs.replace(CONFIG.retry, first_delay_s=3600, jitter=0)
    config = msgspec.structs.replace(CONFIG, retry=late)
    with watching(drive, state, python, config) as watcher:
        tick_until(watcher, lambda: statuses(watcher, "evaluation") == ["failed", "queued"])
        ask(drive, ev.CancelRequested(experiment="e1", stage="evaluation"))
        tick_until_idle(watcher)
        job = last_job(watcher)
    assert (job["status"], job["failure_class"]) == ("failed", "cancelled")
    assert "before it was submitted" in job["error_message"]
    assert len(starts(fake)) == 1


def test_a_failed_stage_is_tried_again_with_what_somebody_asks_for(
    drive: Drive, state: Path, fake: Path, python: Path
) -> None:
    publish_training(drive, "e1")
    (fake / "e1-evaluation").write_text("fail 3")
    config = msgspec.structs.replace(CONFIG, stages={"evaluation": SMALL, "analysis": SMALL})
    with watching(drive, state, python, config) as watcher:
        tick_until_idle(watcher)
        assert last_job(watcher)["failure_class"] == "permanent"
        (fake / "e1-evaluation").unlink()
        ask(drive, ev.RetryRequested(experiment="e1", stage="evaluation", mem="2G", time="24:00:00"))
        tick_until_idle(watcher)
        assert statuses(watcher, "evaluation") == ["failed", "completed"]
        assert statuses(watcher, "analysis") == ["completed"]
        resources = msgspec.json.decode(last_job(watcher)["resources"])
    assert (resources["mem"], resources["time"]) == ("2G", "01:00:00"), "not more than the configured most"
    assert rebuild.check(drive, state) == []


def test_what_waits_long_is_tried_now(drive: Drive, state: Path, fake: Path, python: Path) -> None:
    publish_training(drive, "e1")
    (fake / "e1-evaluation").write_text("fail 1")
    late = msgspec.structs.replace(CONFIG.retry, first_delay_s=3600, jitter=0)
    with watching(drive, state, python, msgspec.structs.replace(CONFIG, retry=late)) as watcher:
        tick_until(watcher, lambda: statuses(watcher, "evaluation") == ["failed", "queued"])
        (fake / "e1-evaluation").unlink()
        ask(drive, ev.RetryRequested(experiment="e1", stage="evaluation"))
        tick_until_idle(watcher)
        assert statuses(watcher, "evaluation") == ["failed", "completed"]


@pytest.mark.parametrize(("force", "attempts"), [(False, 1), (True, 2)])
def test_a_completed_stage_runs_again_only_by_force(
    drive: Drive, state: Path, fake: Path, python: Path, force: bool, attempts: int
) -> None:
    publish_training(drive, "e1")
    with watching(drive, state, python) as watcher:
        tick_until_idle(watcher)
        ask(drive, ev.RetryRequested(experiment="e1", stage="analysis", force=force))
        tick_until_idle(watcher)
        assert statuses(watcher, "analysis") == ["completed"] * attempts
        assert statuses(watcher, "evaluation") == ["completed"]


def test_requests_for_what_does_not_exist_change_nothing(drive: Drive, state: Path, python: Path) -> None:
    for body in (
        ev.RetryRequested(experiment="nobody", stage="evaluation"),
        ev.CancelRequested(experiment="nobody", stage="training"),
        ev.ReleaseRequested(experiment="nobody", stage="training", path="/nowhere", sha256="0" * 64),
    ):
        ask(drive, body)
    with watching(drive, state, python) as watcher:
        tick_until_idle(watcher)
    assert rebuild.check(drive, state) == []


def test_a_released_signal_is_told_anew_if_it_is_still_broken(
    drive: Drive, state: Path, python: Path
) -> None:
    path = publish_training(drive, "bad").path
    path.write_text("{}")
    with watching(drive, state, python) as watcher:
        tick_until(watcher, lambda: len(watcher.store.rows("training", "quarantined_signals")) == 1)
        (row,) = watcher.store.connection("training").execute("SELECT path, sha256 FROM signals")
        ask(drive, ev.ReleaseRequested(experiment="bad", stage="training", path=row[0], sha256=row[1]))
        tick_until(watcher, lambda: watcher.store.last_event("training") == 3)
        assert len(list_quarantine(drive)) == 1, "the same content is the same entry"
        assert len(watcher.store.rows("training", "quarantined_signals")) == 1
        make_model(drive, "bad")
        publish_training(drive, "bad")
        tick_until(watcher, lambda: statuses(watcher, "analysis") == ["completed"])
        watcher.tick(utc_now())
