"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from heliograph.drive import Drive
from support.drives import make_drive


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test's local state, and the environment that users set, away from the machine's."""
    monkeypatch.setenv("HELIOGRAPH_STATE", str(tmp_path / "local-state"))
    for name in ("SHARED_DRIVE", "WATCHER_CONFIG", "MLFLOW_TRACKING_URI", "SLURM_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    """A drive with nothing on it."""
    return make_drive(tmp_path / "drive")
