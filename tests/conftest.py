"""Fixtures that every test may use."""

from __future__ import annotations

import logging
from collections.abc import Iterator
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


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Take back what a command run inside the test's process set up: its handlers hold captured streams."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
        handler.close()
    for handler in [handler for handler in handlers if handler not in root.handlers]:
        root.addHandler(handler)
    root.setLevel(level)


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    """A drive with nothing on it."""
    return make_drive(tmp_path / "drive")
