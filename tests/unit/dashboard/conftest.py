from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from heliograph.dashboard import reader
from heliograph.dashboard.app import create_app
from heliograph.drive import Drive
from heliograph.state.views import Overview, Snapshots, read_overview
from support.drives import NOW
from unit.dashboard.scenes import publish_scene


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test depend on how busy this machine is; those about a drive that hangs set their own."""
    monkeypatch.setattr(reader, "PATIENCE_S", 60.0)


@pytest.fixture(scope="session")
def scene_drive(tmp_path_factory: pytest.TempPathFactory) -> Drive:
    """A drive on which something of everything has happened by NOW. Only to be read."""
    return publish_scene(tmp_path_factory.mktemp("scene") / "drive", NOW)


@pytest.fixture(scope="session")
def overview(scene_drive: Drive) -> Overview:
    """What the views tell of that drive."""
    with Snapshots(scene_drive) as snapshots:
        snapshots.refresh()
        return read_overview(snapshots)


@pytest.fixture
def client(scene_drive: Drive) -> Iterator[TestClient]:
    """Asks the dashboard of that drive, at NOW."""
    with TestClient(create_app(scene_drive, lambda: NOW)) as client:
        yield client


@pytest.fixture
def own_drive(tmp_path: Path) -> Drive:
    """The same drive for this test alone, to do things to."""
    return publish_scene(tmp_path / "drive", NOW)
