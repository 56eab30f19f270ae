"""Copying the R project to a drive, and bringing it up to date."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from heliograph.analysis import install
from heliograph.analysis.install import RECORD, install_project, shipped_files
from heliograph.drive import Drive

Ship = Callable[[dict[str, bytes]], None]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def ship(monkeypatch: pytest.MonkeyPatch) -> Ship:
    """A function that decides what the installed version of heliograph ships."""

    def decide(files: dict[str, bytes]) -> None:
        monkeypatch.setattr(install, "shipped_files", lambda: files)

    return decide


def test_the_whole_project_is_copied_once(drive: Drive) -> None:
    done = install_project(drive)
    shipped = shipped_files()
    assert done == [f"wrote  analysis/{name}" for name in shipped]
    assert {name: raw for name, raw in contents(drive.analysis).items() if name != RECORD} == shipped
    before = contents(drive.analysis)
    assert install_project(drive) == []
    assert contents(drive.analysis) == before


def test_what_is_shipped_is_what_the_project_needs() -> None:
    names = set(shipped_files())
    needed = {"_targets.R", "run.R", "report.Rmd", "report.css", ".Rprofile", "engine/main.R", "R/paths.R"}
    assert needed <= names
    assert {name.rpartition(".")[2] for name in names} == {"R", "Rmd", "css", "Rprofile"}


def test_a_newer_version_replaces_what_nobody_changed(drive: Drive, ship: Ship) -> None:
    ship({"a.R": b"1", "R/b.R": b"1"})
    install_project(drive)
    ship({"a.R": b"2", "R/b.R": b"1"})
    assert install_project(drive) == ["updated analysis/a.R"]
    assert (drive.analysis / "a.R").read_bytes() == b"2"


def test_what_a_user_changed_stays_and_the_newer_one_comes_beside(drive: Drive, ship: Ship) -> None:
    ship({"a.R": b"1"})
    install_project(drive)
    (drive.analysis / "a.R").write_bytes(b"mine")
    assert install_project(drive) == [
        "kept   analysis/a.R, which was changed here; the newer one is a.R.new beside it"
    ]
    ship({"a.R": b"2"})
    install_project(drive)
    assert (drive.analysis / "a.R").read_bytes() == b"mine"
    assert (drive.analysis / "a.R.new").read_bytes() == b"2"
    assert install_project(drive) == []


def test_a_file_that_was_there_before_counts_as_the_users(drive: Drive, ship: Ship) -> None:
    (drive.analysis / "_targets.R").write_bytes(b"an own pipeline")
    ship({"_targets.R": b"ours"})
    install_project(drive)
    assert (drive.analysis / "_targets.R").read_bytes() == b"an own pipeline"
    assert (drive.analysis / "_targets.R.new").read_bytes() == b"ours"


def test_a_file_that_is_no_longer_shipped_goes_unless_it_was_changed(drive: Drive, ship: Ship) -> None:
    ship({"R/old.R": b"1", "R/mine.R": b"1", "R/gone.R": b"1", "a.R": b"1"})
    install_project(drive)
    (drive.analysis / "R" / "mine.R").write_bytes(b"changed")
    (drive.analysis / "R" / "gone.R").unlink()
    ship({"a.R": b"1"})
    assert install_project(drive) == [
        "kept   analysis/R/mine.R, which was changed here and is no longer part of the project",
        "removed analysis/R/old.R, which is no longer part of the project",
    ]
    assert install_project(drive) == []


def test_a_damaged_record_costs_no_file_of_the_user(drive: Drive, ship: Ship) -> None:
    ship({"a.R": b"1"})
    install_project(drive)
    (drive.analysis / RECORD).write_text("{")
    ship({"a.R": b"2"})
    install_project(drive)
    assert (drive.analysis / "a.R").read_bytes() == b"1"
    assert (drive.analysis / "a.R.new").read_bytes() == b"2"
