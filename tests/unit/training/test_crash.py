"""kill -9 at every durable step of a training: the signal is there and valid, or it is not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from heliograph.drive import Drive
from heliograph.protocol.signals import TRAINING_COMPLETE, read_signal
from heliograph.stages.checks import check_model
from heliograph.training.folders import check_weights
from heliograph.training.sync import bring_all
from meta.project import ROOT
from unit.training.runs import train_tiny

CHILD = Path(__file__).with_name("crash_child.py")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one drive for each step at which a training was killed."""
    folder = tmp_path_factory.mktemp("killed")
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    environ.pop("MLFLOW_TRACKING_URI", None)
    subprocess.run([sys.executable, CHILD, folder], check=True, env=environ)
    return folder


def drives(killed: Path) -> list[Drive]:
    return [Drive(case / "drive") for case in sorted(killed.iterdir()) if case.name[0].isdigit()]


def test_the_steps_are_those_that_matter(killed: Path) -> None:
    steps = json.loads((killed / "steps.json").read_text())
    told = [f"{step.split()[0]} {Path(step.split()[1]).name}" for step in steps]
    order = [
        "mkdir exp_01",
        "rename .run.json",
        "rename checkpoint-2",
        "rename checkpoint-3",
        "rename final",
        "rename training_metadata.json",
        "fsync .training_complete",
        "rename .training_complete",
        "rename .run_ended",
    ]
    assert [step for step in told if step in order] == order
    assert len(drives(killed)) == 2 * len(steps)


def test_the_signal_is_whole_or_not_there(killed: Path) -> None:
    published = 0
    for drive in drives(killed):
        path = TRAINING_COMPLETE.path(drive, "exp_01")
        if path.exists():
            check_model(drive, read_signal(path, TRAINING_COMPLETE, "exp_01"))
            assert json.loads(drive.training_metadata("exp_01").read_bytes())["experiment"] == "exp_01"
            published += 1
    assert 0 < published < len(drives(killed))


def test_every_folder_with_a_proper_name_is_whole(killed: Path) -> None:
    for drive in drives(killed):
        found = [
            *drive.model_folder("exp_01").glob("checkpoints/*"),
            *drive.model_folder("exp_01").glob("final"),
        ]
        for folder in (folder for folder in found if not folder.name.startswith(".")):
            check_weights(folder)
            assert json.loads((folder / "metadata.json").read_bytes())["step"] in (2, 3)


def test_after_each_crash_the_experiment_can_be_begun_anew(
    killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unclaimed = 0
    for drive in drives(killed):
        local = drive.root.with_name("local")
        monkeypatch.setenv("HELIOGRAPH_STATE", str(local))
        trouble = bring_all(drive, local / "spool" / drive.read_id())
        assert trouble.drive_trouble == trouble.mlflow_trouble == []
        folder = drive.model_folder("exp_01")
        if folder.is_dir() and all(path.name.endswith(".tmp") for path in folder.iterdir()):
            unclaimed += 1  # killed between making the folder and saying whose it is: a person removes it
            continue
        run = train_tiny(drive, overwrite=True)
        assert run.signal is not None
        check_model(drive, run.signal)
    # after mkdir; before and after the fsync of the folder above; before and after the fsync, and before the
    # rename, of .run.json
    assert unclaimed == 6
