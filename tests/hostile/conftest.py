"""A place for cases: a drive under a short path that every user may reach."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.drive import Drive
from support.drives import make_drive


@pytest.fixture
def spot() -> Iterator[Path]:
    """A folder. Errors cut long values, and a case is also read as a user without rights: so not tmp_path."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def drive(spot: Path) -> Drive:
    return make_drive(spot / "drive")
