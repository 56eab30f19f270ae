"""Drives with the R project on them, and one that was analysed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from heliograph.analysis.attempt import Attempt
from heliograph.analysis.install import install_project
from heliograph.analysis.pipeline import AnalysisOutcome, run_analysis
from heliograph.analysis.telling import Settings
from heliograph.drive import Drive
from heliograph.protocol.outbox import Outbox
from support.drives import NOW, make_drive
from unit.analysis.evaluations import EXPERIMENT, write_evaluation
from unit.tracking.server import dead_uri, mlflow_uri

__all__ = ["dead_uri", "mlflow_uri"]

HAS_TARGETS = (
    subprocess.run(
        ["Rscript", "-e", "quit(status = !requireNamespace('targets', quietly = TRUE))"],
        capture_output=True,
        check=False,
    ).returncode
    == 0
)
needs_targets = pytest.mark.skipif(
    not HAS_TARGETS, reason="the R package targets is not installed (CRAN has it, Debian does not)"
)

HOSTILE_FOLDER = "a drive's [100%] & 'more'"


def make_settings(drive: Drive, tracking_uri: str | None = None) -> Settings:
    state = drive.root.parent / "state"
    return Settings(
        drive=drive,
        outbox=Outbox(drive, state / "spool"),
        state_folder=state,
        environ=os.environ,
        tracking_uri=tracking_uri,
        now=lambda: NOW,
    )


def make_attempt(token: str = "tok-a", *, by_hand: bool = False) -> Attempt:
    return Attempt(experiment=EXPERIMENT, token=token, job_id="815", signal_sha256="ef" * 32, by_hand=by_hand)


def make_project_drive(root: Path) -> Drive:
    drive = make_drive(root)
    install_project(drive)
    return drive


@pytest.fixture
def project_drive(tmp_path: Path) -> Drive:
    """A drive with the R project and no evaluation, in a folder whose name needs quoting everywhere."""
    return make_project_drive(tmp_path / HOSTILE_FOLDER)


@pytest.fixture(scope="session")
def _analysed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Drive, AnalysisOutcome]:
    drive = make_project_drive(tmp_path_factory.mktemp("analysed") / HOSTILE_FOLDER)
    write_evaluation(drive)
    drive.training_metadata(EXPERIMENT).parent.mkdir()
    drive.training_metadata(EXPERIMENT).write_text('{"git_commit": "a94429c", "total_steps": 20}')
    return drive, run_analysis(make_settings(drive), make_attempt(), "fallback")


@pytest.fixture
def outcome(_analysed: tuple[Drive, AnalysisOutcome]) -> AnalysisOutcome:
    return _analysed[1]


@pytest.fixture(scope="session")
def analysed(_analysed: tuple[Drive, AnalysisOutcome]) -> Drive:
    """A drive whose evaluation was analysed with the fallback. Only to be read."""
    return _analysed[0]


@pytest.fixture
def own_analysed(analysed: Drive, tmp_path: Path) -> Drive:
    """The same, to be changed. It stands elsewhere, as a drive that another host mounts elsewhere does."""
    return Drive(shutil.copytree(analysed.root, tmp_path / HOSTILE_FOLDER))


@pytest.fixture
def quick_drive(project_drive: Drive) -> Drive:
    """An evaluated drive whose R project draws nothing and renders nothing, to be fast."""
    write_evaluation(project_drive)
    (project_drive.analysis / "R" / "zz_quick.R").write_text(
        "draw_figures <- function(statistics, paths) {\n"
        '  write_whole(file.path(paths$figures, "a.png"), function(path) writeLines("a", path))\n'
        "}\n"
        "write_report <- function(report_files, statistics, figures, tables, paths) {\n"
        '  write_whole(file.path(paths$reports, "report.html"), function(path) writeLines("r", path))\n'
        "}\n"
    )
    return project_drive
