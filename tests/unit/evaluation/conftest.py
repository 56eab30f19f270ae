"""Models are made once a test process; what a test changes it copies first."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from heliograph.drive import Drive
from support.drives import make_drive
from unit.evaluation.builders import save_checkpoint


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny models gain nothing from threads, and lose much where tests run in parallel."""
    torch.set_num_threads(1)


def make_bare_drive(root: Path) -> Drive:
    """Make a drive without any data set."""
    drive = make_drive(root)
    for file in drive.dataset_configs.iterdir():
        file.unlink()
    return drive


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    """A drive with nothing on it, not even a data set."""
    return make_bare_drive(tmp_path / "drive")


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drive with one experiment of two checkpoints."""
    drive = make_bare_drive(tmp_path_factory.mktemp("template") / "drive")
    save_checkpoint(drive, "checkpoint-50", step=50, seed=1)
    save_checkpoint(drive, "final", step=100, seed=0)
    return drive.root


@pytest.fixture
def model_drive(_template: Path, tmp_path: Path) -> Drive:
    """A drive of the test's own with an experiment `exp`: checkpoint-50 and final; no data set yet."""
    root = tmp_path / "model-drive"
    shutil.copytree(_template, root)
    return Drive(root)
