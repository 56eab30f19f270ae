"""The example script, run as a person runs it."""

from __future__ import annotations

import subprocess
import sys

from heliograph.drive import Drive
from heliograph.protocol.signals import TRAINING_COMPLETE, read_signal
from heliograph.stages.checks import check_model
from meta.project import ROOT


def run_example(drive: Drive) -> subprocess.CompletedProcess[str]:
    examples = ROOT / "examples"
    command = [sys.executable, examples / "train.py", "--config", examples / "experiment_01.yaml"]
    return subprocess.run(
        [*command, "--drive", drive.root], capture_output=True, text=True, check=False, cwd=drive.root.parent
    )


def test_the_example_trains_and_publishes_and_refuses_a_second_time(drive: Drive) -> None:
    done = run_example(drive)
    assert done.returncode == 0, done.stderr
    path = TRAINING_COMPLETE.path(drive, "experiment_01")
    assert done.stdout == f"published {path}\n"
    check_model(drive, read_signal(path, TRAINING_COMPLETE, "experiment_01"))
    assert (drive.checkpoints("experiment_01") / "checkpoint-40" / "tokenizer.json").is_file()
    again = run_example(drive)
    assert again.returncode == 1
    assert "is trained already" in again.stderr and "Traceback" not in again.stderr
