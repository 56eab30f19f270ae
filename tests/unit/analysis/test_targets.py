"""The same project under the real targets; skipped, visibly, where R does not have it."""

from __future__ import annotations

import logging
import os
import subprocess

import pytest

from heliograph.analysis.pipeline import run_analysis
from heliograph.analysis.tools import build_environment, find_tools
from heliograph.drive import Drive
from heliograph.errors import MissingPart, StageFailed
from heliograph.protocol.signals import ANALYSIS_FAILED, read_signal
from unit.analysis.conftest import HAS_TARGETS, make_attempt, make_settings, needs_targets
from unit.analysis.evaluations import EXPERIMENT, Shape, write_evaluation
from unit.analysis.test_analysis import EXPECTED, targets_made


def by_hand(drive: Drive, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Rscript in the project, as a person does: the experiment is set, the drive is not."""
    environ = build_environment(os.environ, find_tools(os.environ), drive, make_attempt())
    del environ["SHARED_DRIVE"]
    return subprocess.run(
        ["Rscript", *arguments], cwd=drive.analysis, env=environ, capture_output=True, text=True, check=False
    )


@needs_targets
def test_the_project_runs_under_targets_and_again_makes_nothing_new(
    project_drive: Drive, caplog: pytest.LogCaptureFixture
) -> None:
    write_evaluation(project_drive)
    outcome = run_analysis(make_settings(project_drive), make_attempt(), "auto")
    assert outcome.engine.startswith("targets ")
    assert set(outcome.files) == EXPECTED
    caplog.set_level(logging.INFO)
    run_analysis(make_settings(project_drive), make_attempt("tok-b"), "targets")
    assert set(targets_made(caplog)) == {"input_files", "result_files"}
    assert {path.name for path in (project_drive.analysis / "_targets").iterdir()} == {EXPERIMENT}
    assert not (project_drive.analysis / "_targets_fallback").exists()


@needs_targets
def test_an_error_under_targets_names_target_and_message(quick_drive: Drive) -> None:
    broken = quick_drive.analysis / "R" / "zzz_test.R"
    broken.write_text('write_tables <- function(s, paths) stop("no tables today")\n')
    with pytest.raises(StageFailed, match="target create_tables: no tables today"):
        run_analysis(make_settings(quick_drive), make_attempt(), "targets")
    signal = read_signal(ANALYSIS_FAILED.path(quick_drive, EXPERIMENT), ANALYSIS_FAILED, EXPERIMENT)
    assert signal.content.failing_part == "create_tables"
    broken.unlink()
    (quick_drive.analysis / "_targets.R").write_text("stop('no pipeline')\n")
    with pytest.raises(StageFailed, match=r"analysis of exp_1 failed: (?s:.*)no pipeline"):
        run_analysis(make_settings(quick_drive), make_attempt("tok-b"), "targets")


@needs_targets
def test_tar_make_by_hand_keeps_a_store_for_each_experiment(quick_drive: Drive) -> None:
    result = by_hand(quick_drive, "-e", "targets::tar_make()")
    assert result.returncode == 0, result.stderr
    assert (quick_drive.analysis / "_targets" / EXPERIMENT / "meta" / "meta").exists()
    assert (quick_drive.reports(EXPERIMENT) / "manifest.json").exists()
    again = by_hand(quick_drive, "-e", "targets::tar_make()")
    assert "skipped target finalize_outputs" in again.stdout + again.stderr


@needs_targets
def test_both_engines_compute_the_same(quick_drive: Drive) -> None:
    write_evaluation(quick_drive, Shape(right=17))
    run_analysis(make_settings(quick_drive), make_attempt(), "fallback")
    tables = {path.name: path.read_bytes() for path in quick_drive.tables(EXPERIMENT).iterdir()}
    run_analysis(make_settings(quick_drive), make_attempt("tok-b"), "targets")
    assert {path.name: path.read_bytes() for path in quick_drive.tables(EXPERIMENT).iterdir()} == tables


@pytest.mark.skipif(HAS_TARGETS, reason="targets is installed, so it cannot be missed")
def test_asked_for_targets_where_it_is_missing_is_told(quick_drive: Drive) -> None:
    with pytest.raises(MissingPart, match=r"install\.packages\(.targets.\)"):
        run_analysis(make_settings(quick_drive), make_attempt(), "targets")
    run_analysis(make_settings(quick_drive), make_attempt("tok-b"), "auto")


def test_by_hand_the_fallback_needs_only_the_experiment(quick_drive: Drive) -> None:
    result = by_hand(quick_drive, "run.R", "--engine", "fallback")
    assert result.returncode == 0, result.stderr
    assert (quick_drive.reports(EXPERIMENT) / "manifest.json").exists()
