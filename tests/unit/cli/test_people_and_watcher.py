"""The commands over a real watcher with the local executor: only the workers are stand-ins.

What is asked for is seen in the published rows; the watcher here makes its passes whenever a command waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.cli.main import main
from heliograph.dashboard.asking import Asked, ask
from heliograph.dashboard.explaining import explain_experiment, gather
from heliograph.dashboard.log_choice import choose_logs
from heliograph.dashboard.log_show import JsonPrinter, follow
from heliograph.drive import Drive
from heliograph.names import utc_now
from heliograph.protocol.quarantine import list_quarantine
from heliograph.protocol.release import find_entry, release
from heliograph.state.explanation import Explanation
from heliograph.state.views import Snapshots
from heliograph.watcher.daemon import Watcher
from heliograph.watcher.requests import plan_cancel, plan_retry, post_request
from support.drives import make_model, publish_training
from support.fake_worker import make_stub
from support.watching import CONFIG, statuses, tick_until, tick_until_idle, watching


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    """The folder that steers the stand-in workers."""
    folder = tmp_path / "fake"
    make_stub(folder)
    return folder


@pytest.fixture
def watcher(drive: Drive, fake: Path, tmp_path: Path) -> Iterator[Watcher]:
    with watching(drive, tmp_path / "state", fake / "bin" / "python") as started:
        yield started


@pytest.fixture
def snapshots(drive: Drive) -> Iterator[Snapshots]:
    with Snapshots(drive) as opened:
        yield opened


def why(watcher: Watcher, snapshots: Snapshots, stage: str | None = None) -> Explanation:
    """Explain e1 by what the watcher has published."""
    watcher.finish(utc_now())
    snapshots.refresh()
    return explain_experiment(snapshots, "e1", utc_now(), stage=stage)


def test_why_tells_what_the_watcher_does_from_the_signal_to_the_end(
    drive: Drive, watcher: Watcher, snapshots: Snapshots
) -> None:
    make_model(drive, "e1")
    assert why(watcher, snapshots).code == "training_unknown"
    publish_training(drive, "e1")
    tick_until(watcher, lambda: statuses(watcher, "evaluation") == ["queued"])
    answer = why(watcher, snapshots)
    assert answer.code in ("to_submit", "pending")
    assert answer.executor == "local"
    tick_until_idle(watcher)
    assert why(watcher, snapshots).headline == "All its stages are complete."


def test_a_failure_is_explained_with_its_log(
    drive: Drive, fake: Path, watcher: Watcher, snapshots: Snapshots
) -> None:
    (fake / "e1-evaluation").write_text("fail 3")
    publish_training(drive, "e1")
    tick_until(watcher, lambda: statuses(watcher, "evaluation") == ["failed"])
    answer = why(watcher, snapshots)
    assert (answer.code, answer.failure_class, answer.exit_code) == ("failed", "permanent", 3)
    assert answer.error_message is not None and "it is broken on purpose" in answer.error_message
    assert any("it is broken on purpose" in line for log in answer.logs for line in log.lines)
    assert "heliograph retry e1 --stage evaluation" in [step.command for step in answer.steps]


def test_a_broken_signal_is_explained_and_released(
    drive: Drive, watcher: Watcher, snapshots: Snapshots
) -> None:
    """The model comes later than its signal: released, the very same signal is good."""
    signal = drive.model_folder("e1") / ".training_complete"
    publish_training(drive, "e1")
    content = signal.read_bytes()
    (drive.final_model("e1") / "model.safetensors").unlink()
    tick_until(watcher, lambda: bool(list_quarantine(drive)))
    answer = why(watcher, snapshots)
    assert answer.code == "signal_quarantined"
    assert len(answer.quarantined) == 1
    make_model(drive, "e1")
    signal.unlink()
    released = release(drive, find_entry(drive, "e1"), lambda body: post_request(drive, body))
    assert released.put_back == "models/e1/.training_complete"
    assert signal.read_bytes() == content
    tick_until(watcher, lambda: statuses(watcher, "analysis") == ["completed"])
    assert why(watcher, snapshots).quarantined == []


def asking(watcher: Watcher, snapshots: Snapshots, what: str, **told: object) -> Asked:
    """Ask as the command does; the watcher makes a pass whenever the command would sleep."""
    watcher.finish(utc_now())
    snapshots.refresh()
    facts = gather(snapshots, "e1", utc_now())
    plan = {
        "retry": lambda: plan_retry(facts, CONFIG.stages, **told),
        "cancel": lambda: plan_cancel(facts, **told),
    }
    request = plan[what]()

    def pass_by(_: float) -> None:
        watcher.tick(utc_now())
        watcher.finish(utc_now())

    return ask(snapshots, request, wait_s=0.3, sleep=pass_by)


def test_a_retry_is_taken_up_and_stands_in_the_row(
    drive: Drive, fake: Path, watcher: Watcher, snapshots: Snapshots
) -> None:
    (fake / "e1-evaluation").write_text("fail 3")
    publish_training(drive, "e1")
    tick_until(watcher, lambda: statuses(watcher, "evaluation") == ["failed"])
    (fake / "e1-evaluation").unlink()
    asked = asking(watcher, snapshots, "retry", mem="64G")
    assert asked.taken_up
    assert asked.watcher_is_alive
    row = watcher.store.rows("evaluation", "jobs_of", experiment="e1")[0]
    assert row["retry_at"] is None, "the next attempt is there, so nothing waits any more"
    assert row["requested_resources"] == '{"mem":"64G"}'
    assert row["requested_by"] is not None


def test_a_cancellation_is_taken_up_and_stands_in_the_row(
    drive: Drive, fake: Path, watcher: Watcher, snapshots: Snapshots
) -> None:
    (fake / "e1-evaluation").write_text("slow 2")
    publish_training(drive, "e1")
    tick_until(watcher, lambda: statuses(watcher, "evaluation") == ["running"])
    asked = asking(watcher, snapshots, "cancel", stage="evaluation")
    assert asked.taken_up
    row = watcher.store.rows("evaluation", "jobs_of", experiment="e1")[0]
    assert row["cancel_requested_at"] is not None
    tick_until(watcher, lambda: statuses(watcher, "evaluation") != ["running"])


def test_following_a_log_ends_with_the_work_and_misses_nothing(
    drive: Drive, fake: Path, watcher: Watcher, snapshots: Snapshots
) -> None:
    (fake / "e1-evaluation").write_text("slow 1")
    publish_training(drive, "e1")
    tick_until(watcher, lambda: statuses(watcher, "evaluation") == ["running"])
    watcher.finish(utc_now())
    snapshots.refresh()
    choice = choose_logs(gather(snapshots, "e1", utc_now()), "evaluation")
    printed: list[str] = []

    def pass_by(_: float) -> None:
        watcher.tick(utc_now())
        watcher.bell.sleep(0.05)
        watcher.finish(utc_now())

    follow(snapshots, choice, JsonPrinter(printed.append, following=True), lines=200, sleep=pass_by)
    assert any("ended with exit code 0" in line for line in printed)


def test_following_goes_on_into_the_next_attempt(
    drive: Drive, fake: Path, watcher: Watcher, snapshots: Snapshots
) -> None:
    (fake / "e1-evaluation").write_text("fail 1")
    publish_training(drive, "e1")
    tick_until(watcher, lambda: statuses(watcher, "evaluation")[:1] in (["running"], ["failed"]))
    watcher.finish(utc_now())
    snapshots.refresh()
    choice = choose_logs(gather(snapshots, "e1", utc_now()), "evaluation", attempt=1)
    printed: list[str] = []

    def pass_by(_: float) -> None:
        watcher.tick(utc_now())
        watcher.bell.sleep(0.05)
        watcher.finish(utc_now())

    follow(snapshots, choice, JsonPrinter(printed.append, following=True), lines=200, sleep=pass_by)
    notes = [line for line in printed if '"note"' in line]
    assert ["attempt 2" in notes[0], "attempt 3" in notes[1]] == [True, True]
    assert statuses(watcher, "evaluation") == ["failed"] * 3


def test_the_command_itself_waits_for_nothing_when_told_so(
    drive: Drive, fake: Path, watcher: Watcher, capsys: pytest.CaptureFixture[str]
) -> None:
    (fake / "e1-evaluation").write_text("fail 3")
    publish_training(drive, "e1")
    tick_until(watcher, lambda: statuses(watcher, "evaluation") == ["failed"])
    watcher.finish(utc_now())
    assert main(["--drive", str(drive.root), "retry", "e1", "--no-wait"]) == 0
    assert "It stands in the inbox; the watcher takes it up within seconds." in capsys.readouterr().out
