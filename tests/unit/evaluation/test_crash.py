"""Killed with SIGKILL at its durable steps and between batches, and run again: as if nothing had been."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from heliograph.drive import Drive
from unit.evaluation.builders import pair_rows, write_dataset

DRIVER = Path(__file__).with_name("crash_driver.py")


def kill_at_every(drive: Drive, scratch: Path, stride: int, checkpoints: str) -> Any:
    write_dataset(drive, "pairs", pair_rows())
    write_dataset(drive, "texts", [{"text": "The cat."}], task="perplexity", format="jsonl")
    drive.base_eval.write_text(f"batch_tokens: 128\ncheckpoints: {checkpoints}\n")
    scratch.mkdir()
    command = [sys.executable, str(DRIVER), str(drive.root), str(scratch), str(stride)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_killed_now_and_then(model_drive: Drive, tmp_path: Path) -> None:
    found = kill_at_every(model_drive, tmp_path / "scratch", 23, "all")
    assert found["problems"] == []
    assert found["points"] >= 5


@pytest.mark.slow
def test_killed_at_every_step(model_drive: Drive, tmp_path: Path) -> None:
    found = kill_at_every(model_drive, tmp_path / "scratch", 1, "final")
    assert found["problems"] == []
    assert found["points"] == found["moments"] >= 60
