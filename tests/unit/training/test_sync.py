"""A drive that goes away in the middle: nothing is lost, and everything arrives when it is back."""

from __future__ import annotations

import errno
import json
import re

import pytest

from heliograph.cli.main import main
from heliograph.config import local_state_folder
from heliograph.drive import Drive
from heliograph.protocol.signals import TRAINING_COMPLETE, read_signal
from heliograph.stages.checks import check_model
from heliograph.training.run import TrainingRun
from heliograph.training.sync import Brought, bring_all
from unit.training.runs import kinds, make_run, save_tiny, train_tiny


def take_away(drive: Drive) -> None:
    """Take the drive away; what is left is an empty folder, as after an unmount."""
    drive.root.rename(drive.root.with_name("away"))
    drive.root.mkdir()


def bring_back(drive: Drive) -> None:
    assert list(drive.root.iterdir()) == []  # nobody took it for the drive
    drive.root.rmdir()
    drive.root.with_name("away").rename(drive.root)


@pytest.fixture
def process_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sync take every run for ended, and let no run wait before it publishes once more."""
    monkeypatch.setattr("heliograph.training.sync.is_running", lambda owner: False)
    monkeypatch.setattr("heliograph.training.active._PAUSES_S", ())


def bring(drive: Drive) -> Brought:
    return bring_all(drive, local_state_folder(None) / "spool" / drive.read_id())


def check_complete(drive: Drive) -> None:
    """Check that two checkpoints, the final model, the signal and their events have arrived."""
    signal = read_signal(TRAINING_COMPLETE.path(drive, "exp_01"), TRAINING_COMPLETE, "exp_01")
    check_model(drive, signal)
    assert drive.training_metadata("exp_01").is_file()
    saved = sorted(p.name for p in drive.checkpoints("exp_01").iterdir())
    assert saved == ["checkpoint-1", "checkpoint-2"]
    for name in saved:
        assert (drive.checkpoints("exp_01") / name / "model.safetensors").is_file()
    told = kinds(drive)
    assert told.count("CheckpointSaved") == 2
    assert told.index("TrainingCompleted") < told.index("SignalPublished")


def train_without_drive(drive: Drive) -> TrainingRun:
    """Run a training whose drive goes away after the start, and is back after the end."""
    with make_run(drive) as run:
        take_away(drive)
        for step in (1, 2):
            run.save_checkpoint(step=step, save=save_tiny)
        assert run.complete(save=save_tiny) is None
    bring_back(drive)
    return run


def test_away_for_a_while_the_run_itself_delivers(drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
    with make_run(drive) as run:
        take_away(drive)
        run.log(step=1, loss=1.0)
        run.save_checkpoint(step=1, save=save_tiny)
        waits_in = run.waits_in
        assert waits_in is not None and (waits_in / "checkpoints/checkpoint-1/model.safetensors").is_file()
        bring_back(drive)
        run.save_checkpoint(step=2, save=save_tiny)
        assert run.complete(save=save_tiny) is not None
    assert f"heliograph sync brings {waits_in}" in caplog.text and not waits_in.exists()
    check_complete(drive)
    bring(drive)
    assert kinds(drive).count("TrainingStarted") == 1


@pytest.mark.usefixtures("process_has_ended")
def test_away_until_the_end_sync_delivers(drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
    waits_in = train_without_drive(drive).waits_in
    assert waits_in is not None and (waits_in / "final" / "model.safetensors").is_file()
    assert len([message for message in caplog.messages if "takes no models" in message]) == 1
    brought = bring(drive)
    assert (brought.models, brought.drive_trouble) == (["exp_01"], [])
    check_complete(drive)
    assert not waits_in.exists() and bring(drive) == Brought()


def test_what_a_living_run_holds_is_left_to_it(drive: Drive) -> None:
    with make_run(drive) as run:
        take_away(drive)
        run.save_checkpoint(step=1, save=save_tiny)
        bring_back(drive)
        assert bring(drive).models == [] and run.waits_in is not None
        run.save_checkpoint(step=2, save=save_tiny)
        assert run.complete(save=save_tiny) is not None
    check_complete(drive)


@pytest.mark.usefixtures("process_has_ended")
def test_a_delivery_that_breaks_off_goes_on_where_it_was(
    drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_without_drive(drive)
    with monkeypatch.context() as patch:
        patch.setattr("heliograph.training.staging.publish_signal", refuse)
        brought = bring(drive)
    assert "disk quota exceeded" in brought.drive_trouble[0] and brought.models == []
    assert not TRAINING_COMPLETE.path(drive, "exp_01").exists()
    assert bring(drive).models == ["exp_01"]
    check_complete(drive)


@pytest.mark.usefixtures("process_has_ended")
def test_what_belongs_to_a_run_that_was_superseded_stays_here(drive: Drive) -> None:
    waits_in = train_without_drive(drive).waits_in
    drive.model_folder("exp_01").rename(drive.models / "elsewhere")
    new = train_tiny(drive).signal
    assert "belongs to another run now" in bring(drive).drive_trouble[0]
    assert waits_in is not None and (waits_in / "final" / "model.safetensors").is_file()
    there = read_signal(TRAINING_COMPLETE.path(drive, "exp_01"), TRAINING_COMPLETE, "exp_01")
    assert new is not None and there.sha256 == new.sha256


def refuse(*_: object) -> None:
    raise OSError(errno.EDQUOT, "disk quota exceeded")


def test_a_full_drive_is_one_warning(
    drive: Drive, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make_run(drive) as run:
        with monkeypatch.context() as patch:
            patch.setattr("heliograph.training.active.write_folder", refuse)
            run.save_checkpoint(step=1, save=save_tiny)
            run.save_checkpoint(step=2, save=save_tiny)
        assert run.complete(save=save_tiny) is not None
    assert len([message for message in caplog.messages if "disk quota exceeded" in message]) == 1
    check_complete(drive)


def test_a_drive_and_a_local_disk_that_are_full_do_not_stop_the_training(
    drive: Drive, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make_run(drive) as run:
        with monkeypatch.context() as patch:
            patch.setattr("heliograph.training.folders.os.fsync", refuse)
            run.save_checkpoint(step=1, save=save_tiny)
            run.complete(save=save_tiny)
        assert "checkpoint 1 is not saved" in caplog.text
        assert "the run is not complete" in caplog.text
    assert not TRAINING_COMPLETE.path(drive, "exp_01").exists()
    assert kinds(drive)[-1] == "TrainingFailed"


# The command ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("process_has_ended")
def test_the_command_tells_what_it_brought(drive: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--drive", str(drive.root), "sync"]
    assert main(command) == 0
    assert capsys.readouterr().out == "Nothing waits.\n"
    train_without_drive(drive)
    assert main(command) == 0
    assert re.fullmatch(r"Brought: models of exp_01; \d+ events; 0 metrics\.\n", capsys.readouterr().out)
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "events": 0,
        "points": 0,
        "models": [],
        "drive_trouble": [],
        "mlflow_trouble": [],
    }


@pytest.mark.usefixtures("process_has_ended")
def test_the_command_tells_what_still_waits(
    drive: Drive, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, dead_uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead_uri)
    train_tiny(drive)
    command = ["--drive", str(drive.root), "sync"]
    assert main(command) == 8
    assert "refused" in capsys.readouterr().err
    drive.model_folder("exp_01").rename(drive.models / "elsewhere")
    train_without_drive(drive)
    monkeypatch.setattr("heliograph.training.staging.publish_signal", refuse)
    assert main(command) == 4
    assert "disk quota exceeded" in capsys.readouterr().err
