"""The hook from end to end on a real drive folder: what it leaves behind, and what it never does."""

from __future__ import annotations

import json
import logging
import subprocess
from pathlib import Path

import pytest

from heliograph import TrainingRun
from heliograph.drive import Drive
from heliograph.errors import BadConfig, DriveError, NoDrive, NotADrive, UsageError
from heliograph.names import host_name, parse_iso, user_name
from heliograph.protocol.events import (
    CheckpointSaved,
    SignalPublished,
    TrainingCompleted,
    TrainingFailed,
    TrainingHeartbeat,
)
from heliograph.protocol.signals import TRAINING_COMPLETE, read_signal
from heliograph.stages.checks import check_model
from unit.training.runs import events, kinds, make_run, save_tiny, train_tiny, wait_until


def signal_file(drive: Drive, name: str = "exp_01") -> Path:
    return TRAINING_COMPLETE.path(drive, name)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


# What a training leaves behind ------------------------------------------------------------------------


def test_the_signal_has_the_fields_of_the_specification(
    drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "code"
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", str(repository)]
    repository.mkdir()
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    monkeypatch.chdir(repository)
    drive.experiment_configs.joinpath("experiment_01.yaml").write_text("name: experiment_01\n")
    with TrainingRun.from_config("experiment_01.yaml", drive=str(drive.root)) as run:
        run.log(step=50000, loss=2.34, epoch=10)
        run.complete(save=save_tiny)
    told = json.loads(signal_file(drive, "experiment_01").read_bytes())
    timestamp = parse_iso(told.pop("timestamp"))
    assert timestamp == run.signal.content.timestamp
    assert told == {
        "experiment": "experiment_01",
        "checkpoint_path": str(drive.models / "experiment_01" / "final"),
        "hostname": host_name(),
        "user": user_name(),
        "config_path": str(drive.experiment_configs / "experiment_01.yaml"),
        "num_epochs": 10,
        "final_loss": 2.34,
        "total_steps": 50000,
        "git_commit": commit.strip(),
    }
    assert check_model(drive, run.signal) == told["checkpoint_path"]


def test_folders_and_metadata(drive: Drive) -> None:
    run = train_tiny(drive, params={"note": "mine"})
    folder = drive.model_folder("exp_01")
    assert sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")) == [
        "checkpoints",
        "final",
        "training_metadata.json",
    ]
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["checkpoint-2", "checkpoint-3"]
    second = json.loads((folder / "checkpoints/checkpoint-2/metadata.json").read_bytes())
    parse_iso(second.pop("saved_at"))
    assert second == {
        "step": 2,
        "epoch": 1.0,
        "tokens_seen": 128,
        "metrics": {"loss": 1.5, "epoch": 1.0, "tokens_seen": 128.0},
    }
    told = json.loads(drive.training_metadata("exp_01").read_bytes())
    assert told["config"]["params"] == {"note": "mine"}
    assert (told["final_loss"], told["total_steps"], told["num_epochs"]) == (1.0, 3, 1.5)
    assert told["mlflow"] is None and "torch" in told["versions"]
    assert [Path(saved["path"]).name for saved in told["checkpoints"]] == [
        "checkpoint-2",
        "checkpoint-3",
        "final",
    ]
    assert parse_iso(told["started_at"]) <= parse_iso(told["completed_at"])
    assert run.waits_in is None


def test_events_tell_the_whole_story_in_order(drive: Drive) -> None:
    run = train_tiny(drive)
    assert kinds(drive) == [
        "TrainingStarted",
        "CheckpointSaved",
        "CheckpointSaved",
        "TrainingCompleted",
        "SignalPublished",
    ]
    first = events(drive, CheckpointSaved)[0].body
    assert (first.step, first.epoch, first.metrics["loss"]) == (2, 1.0, 1.5)
    size = sum(p.stat().st_size for p in Path(first.checkpoint_path).iterdir())
    assert first.size_bytes == size > 0
    assert events(drive, TrainingCompleted)[0].body.run == events(drive)[0].body.run
    published = events(drive, SignalPublished)[0].body
    assert (published.path, published.sha256) == (str(signal_file(drive)), run.signal.sha256)


def test_heartbeats_tell_step_and_loss(drive: Drive) -> None:
    with make_run(drive) as run:
        run.expect_steps(10)
        run.log(step=4, loss=float("nan"))
        wait_until(lambda: events(drive, TrainingHeartbeat))
        run.complete(save=save_tiny)
    beat = events(drive, TrainingHeartbeat)[0].body
    assert (beat.step, beat.total_steps, beat.metrics) == (4, 10, {"loss": None})
    assert run.signal.content.final_loss is None


def test_the_log_is_json_lines_with_context(drive: Drive) -> None:
    train_tiny(drive)
    lines = [json.loads(line) for line in drive.training_log("exp_01").read_text().splitlines()]
    said = [line["event"] for line in lines if line["event"] != "alive"]
    assert said[0] == "training started" and said[-1].startswith("training complete")
    assert {line["experiment"] for line in lines} == {"exp_01"}
    for line in lines:
        parse_iso(line["time"])
        assert line["level"] in ("INFO", "WARN", "ERROR") and line["host"] == host_name()


def test_others_may_read_what_was_saved(drive: Drive) -> None:
    def save_privately(folder: Path) -> None:
        save_tiny(folder)
        (folder / "model.safetensors").chmod(0o600)  # as the safetensors library does

    with make_run(drive) as run:
        run.complete(save=save_privately)
    folder = drive.final_model("exp_01")
    assert folder.stat().st_mode & 0o777 == 0o755
    assert {p.stat().st_mode & 0o777 for p in folder.iterdir()} == {0o644}


def test_a_model_that_is_in_the_model_folder_already_stays_where_it_is(drive: Drive) -> None:
    with make_run(drive) as run:
        mine = drive.model_folder("exp_01") / "mine"
        mine.mkdir()
        save_tiny(mine)
        run.complete(path=mine)
    assert run.signal.content.checkpoint_path == str(mine)
    assert not drive.final_model("exp_01").exists()


def test_a_saved_folder_from_elsewhere_is_copied(drive: Drive, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    save_tiny(saved)
    with make_run(drive) as run:
        run.complete(path=saved)
    assert run.signal.content.checkpoint_path == str(drive.final_model("exp_01"))
    assert (drive.final_model("exp_01") / "model.safetensors").is_file() and saved.is_dir()


# When training goes wrong -----------------------------------------------------------------------------


def test_an_exception_leaves_no_signal_and_goes_on_its_way(drive: Drive) -> None:
    with pytest.raises(ZeroDivisionError), make_run(drive) as run:
        run.log(step=1, loss=1.0)
        print(1 / 0)
    assert not signal_file(drive).exists()
    failed = events(drive, TrainingFailed)[0].body
    assert (failed.error_type, failed.error_message) == ("ZeroDivisionError", "division by zero")
    last = json.loads(drive.training_log("exp_01").read_text().splitlines()[-1])
    assert last["level"] == "ERROR" and "print(1 / 0)" in " ".join(last["traceback"])


def test_an_exception_after_completion_takes_nothing_back(drive: Drive) -> None:
    with pytest.raises(KeyboardInterrupt), make_run(drive) as run:
        run.complete(save=save_tiny)
        raise KeyboardInterrupt
    assert signal_file(drive).exists() and not events(drive, TrainingFailed)


def test_a_training_that_never_completes_is_failed(drive: Drive) -> None:
    with make_run(drive) as run:
        run.log(step=1, loss=1.0)
    assert run.signal is None and not signal_file(drive).exists()
    assert events(drive, TrainingFailed)[0].body.error_type == "NotCompleted"


# Misuse is a warning, and never more ------------------------------------------------------------------


def test_values_that_are_none_are_left_out_with_one_warning(
    drive: Drive, caplog: pytest.LogCaptureFixture
) -> None:
    with make_run(drive) as run:
        for step in (1, 2):
            run.log(step=step, loss=0.5, note="good")  # type: ignore[arg-type]
            run.log(step=step, **{"bad\nname": 1.0})
            run.log(step="third", loss=9.0)  # type: ignore[arg-type]
        run.complete(save=save_tiny)
    assert run.signal.content.final_loss == 0.5 and run.signal.content.total_steps == 2
    told = warnings(caplog)
    assert len(told) == 3
    assert "'note' is left out" in told[0] and "'good'" in told[0]


def test_wrong_models_are_not_published(drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
    def save_half(folder: Path) -> None:
        save_tiny(folder)
        with (folder / "model.safetensors").open("r+b") as file:
            file.truncate(70)

    def fail(folder: Path) -> None:
        raise ValueError("no such layer")

    with make_run(drive) as run:
        run.save_checkpoint(step=1, save=save_half)
        run.save_checkpoint(step=2, save=fail)
        run.save_checkpoint(step=3, save=lambda folder: None)
        run.save_checkpoint(step=4, save=save_tiny, path="/nowhere")
        run.save_checkpoint(step=5, save=save_tiny)
        run.complete(save=save_half)
    told = " | ".join(warnings(caplog))
    for words in ("is cut off", "no such layer", "model.safetensors: is missing", "Give exactly one of them"):
        assert words in told
    assert [p.name for p in drive.checkpoints("exp_01").iterdir()] == ["checkpoint-5"]
    assert not drive.final_model("exp_01").exists() and not signal_file(drive).exists()
    assert run.signal is None and kinds(drive)[-1] == "TrainingFailed"


def test_completing_twice_changes_nothing(drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
    with make_run(drive) as run:
        first = run.complete(save=save_tiny)
        assert run.complete(save=save_tiny) == first
    assert "has ended already" in " ".join(warnings(caplog))
    assert kinds(drive).count("SignalPublished") == 1


@pytest.mark.parametrize("rank", ["1", "17"])
def test_other_ranks_write_nothing(drive: Drive, rank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(drive.root.rglob("*"))
    monkeypatch.setenv("RANK", rank)
    run = train_tiny(drive)
    assert run.signal is None and sorted(drive.root.rglob("*")) == before


# What is raised before the first step -----------------------------------------------------------------


def test_no_drive_is_told_before_the_first_step(tmp_path: Path) -> None:
    config = tmp_path / "e.yaml"
    config.write_text("name: e\n")
    with pytest.raises(NoDrive):
        TrainingRun.from_config(config)
    with pytest.raises(NotADrive), TrainingRun.from_config(config, drive=str(tmp_path)):
        pass
    with pytest.raises(BadConfig, match="does not exist"):
        TrainingRun.from_config("missing.yaml", drive=str(tmp_path))


def test_a_drive_without_its_folders_is_told_with_the_remedy(drive: Drive) -> None:
    drive.models.rmdir()
    with pytest.raises(DriveError, match="heliograph init"), make_run(drive):
        pass


def test_an_experiment_that_is_there_is_left_alone(drive: Drive) -> None:
    train_tiny(drive)
    before = read_signal(signal_file(drive), TRAINING_COMPLETE, "exp_01").sha256
    with pytest.raises(UsageError, match=r"is trained already.*--overwrite"), make_run(drive):
        pass
    assert read_signal(signal_file(drive), TRAINING_COMPLETE, "exp_01").sha256 == before
    run = train_tiny(drive, overwrite=True)
    assert run.signal.sha256 != before
    (aside,) = drive.models.joinpath(".superseded").iterdir()
    assert read_signal(aside / ".training_complete", TRAINING_COMPLETE, "exp_01").sha256 == before
    assert (aside / "checkpoints/checkpoint-2/model.safetensors").is_file()
