"""What goes wrong: before R, in R, and to R."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import threading
import time
from pathlib import Path

import msgspec
import pytest

from heliograph.analysis.attempt import STAGE
from heliograph.analysis.pipeline import Engine, run_analysis
from heliograph.analysis.process import Killed
from heliograph.drive import Drive
from heliograph.errors import BadResults, MissingPart, NotADrive, StageFailed
from heliograph.protocol.events import JobEnded, JobStarted, read_event
from heliograph.protocol.signals import (
    ANALYSIS_COMPLETE,
    ANALYSIS_FAILED,
    EVAL_COMPLETE,
    EvalComplete,
    StageFailure,
    publish_signal,
    read_signal,
)
from unit.analysis.conftest import make_attempt, make_settings, needs_targets
from unit.analysis.evaluations import EXPERIMENT, NOW, rewrite, write_evaluation
from unit.analysis.test_analysis import targets_made


def failure(drive: Drive) -> StageFailure:
    content = read_signal(ANALYSIS_FAILED.path(drive, EXPERIMENT), ANALYSIS_FAILED, EXPERIMENT).content
    assert isinstance(content, StageFailure)
    return content


def add_function(drive: Drive, code: str) -> Path:
    """Put a function over one of the project, as a user's own script would."""
    path = drive.analysis / "R" / "zzz_test.R"
    path.write_text(code)
    return path


def test_an_error_in_r_is_told_with_target_message_and_call(
    quick_drive: Drive, caplog: pytest.LogCaptureFixture
) -> None:
    broken = add_function(quick_drive, 'write_tables <- function(s, paths) stop("no <tables> today: ü")\n')
    with pytest.raises(StageFailed, match="target create_tables: no <tables> today: ü") as error:
        run_analysis(make_settings(quick_drive), make_attempt(), "fallback")
    assert error.value.exit_code == 9
    told = failure(quick_drive)
    assert told.failing_part == "create_tables"
    assert told.error_message == "no <tables> today: ü (in the call: write_tables(compute_statistics, paths))"
    assert told.job_id == "815"
    assert any("no <tables> today" in line for line in told.log_tail or [])
    assert not ANALYSIS_COMPLETE.path(quick_drive, EXPERIMENT).exists()
    assert (quick_drive.figures(EXPERIMENT) / "a.png").exists()

    broken.unlink()
    caplog.set_level(logging.INFO)
    run_analysis(make_settings(quick_drive), make_attempt("tok-b"), "fallback")
    assert "generate_figures" not in targets_made(caplog)
    assert not ANALYSIS_FAILED.path(quick_drive, EXPERIMENT).exists()


def test_an_error_in_targets_r_itself_is_told(quick_drive: Drive) -> None:
    rewrite(quick_drive.analysis / "_targets.R", "list(\n", "list(((\n")
    with pytest.raises(StageFailed, match="unexpected"):
        run_analysis(make_settings(quick_drive), make_attempt(), "fallback")
    assert failure(quick_drive).failing_part is None


def test_a_pdf_that_fails_leaves_the_html(quick_drive: Drive, tmp_path: Path) -> None:
    (quick_drive.analysis / "R" / "zz_quick.R").unlink()
    add_function(
        quick_drive,
        "draw_figures <- function(statistics, paths) character()\n"
        "html_figures <- function(figures, label) character()\n",
    )
    program = tmp_path / "weasyprint"
    program.write_text("#!/bin/sh\necho libharfbuzz is missing >&2\nexit 1\n")
    program.chmod(0o755)
    settings = make_settings(quick_drive)
    settings = msgspec.structs.replace(
        settings, environ={**os.environ, "HELIOGRAPH_WEASYPRINT": str(program)}
    )
    with pytest.raises(StageFailed, match="libharfbuzz is missing"):
        run_analysis(settings, make_attempt(), "fallback")
    assert failure(quick_drive).failing_part == "render_report"
    assert (quick_drive.reports(EXPERIMENT) / "report.html").exists()
    assert not (quick_drive.reports(EXPERIMENT) / "report.pdf").exists()


def test_outputs_that_are_not_what_the_manifest_says_fail_the_stage(quick_drive: Drive) -> None:
    settings = make_settings(quick_drive)
    run_analysis(settings, make_attempt(), "fallback")
    add_function(
        quick_drive,
        'describe_files <- function(files, type, paths) list(list(path = "analysis/x.png",\n'
        '  type = "report", sha256 = "00", bytes = 1L))\n',
    )
    with pytest.raises(StageFailed, match="lists a file that is missing"):
        run_analysis(settings, make_attempt("tok-b"), "fallback")
    assert failure(quick_drive).error_type == "BadResults"


def test_without_an_evaluation_nothing_starts(project_drive: Drive) -> None:
    with pytest.raises(BadResults, match=r"\.eval_complete.*is missing.*heliograph evaluate"):
        run_analysis(make_settings(project_drive), make_attempt(by_hand=True))
    assert not project_drive.reports(EXPERIMENT).exists()
    assert not list(project_drive.inbox.iterdir())


def test_in_a_job_a_missing_evaluation_is_published_as_a_failure(project_drive: Drive) -> None:
    with pytest.raises(BadResults):
        run_analysis(make_settings(project_drive), make_attempt())
    assert failure(project_drive).error_type == "BadResults"


def test_a_failed_evaluation_is_not_analysed(project_drive: Drive) -> None:
    content = EvalComplete(
        timestamp=NOW, experiment=EXPERIMENT, job_id="4711", status="failed", error_message="out of memory"
    )
    publish_signal(project_drive, EVAL_COMPLETE, content)
    with pytest.raises(BadResults, match="out of memory"):
        run_analysis(make_settings(project_drive), make_attempt(by_hand=True))


def test_results_that_are_listed_and_missing_are_named(project_drive: Drive) -> None:
    write_evaluation(project_drive)
    next(project_drive.metrics(EXPERIMENT).rglob("*.parquet")).unlink()
    with pytest.raises(BadResults, match="names a file that is missing"):
        run_analysis(make_settings(project_drive), make_attempt(by_hand=True))


def test_a_drive_without_the_project_says_how_to_get_it(drive: Drive) -> None:
    write_evaluation(drive)
    with pytest.raises(MissingPart, match="heliograph init"):
        run_analysis(make_settings(drive), make_attempt(by_hand=True))


def test_an_unmounted_drive_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(NotADrive):
        run_analysis(make_settings(Drive(tmp_path / "empty")), make_attempt())
    assert not (tmp_path / "empty").exists()


def test_something_that_r_misses_is_a_missing_part(quick_drive: Drive, tmp_path: Path) -> None:
    """pandoc is off the PATH, which run.R notices before anything else."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("Rscript", "sh", "sed", "uname", "rm", "dirname"):
        (programs / name).symlink_to(
            next(p / name for p in map(Path, ("/usr/bin", "/bin")) if (p / name).exists())
        )
    settings = msgspec.structs.replace(make_settings(quick_drive), environ={"PATH": str(programs)})
    with pytest.raises(MissingPart, match="apt install pandoc"):
        run_analysis(settings, make_attempt(), "fallback")
    assert "apt install pandoc" in failure(quick_drive).error_message


def test_one_analysis_of_an_experiment_at_a_time(quick_drive: Drive) -> None:
    settings = make_settings(quick_drive)
    lock = settings.state_folder / "locks" / f"{STAGE}-{quick_drive.read_id()}-{EXPERIMENT}.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(StageFailed, match="another analysis of it runs on this host"):
            run_analysis(settings, make_attempt(), "fallback")
    assert not ANALYSIS_FAILED.path(quick_drive, EXPERIMENT).exists()
    assert run_analysis(settings, make_attempt(), "fallback").engine == "fallback"


WAIT = """
draw_figures <- function(statistics, paths) {
  path <- write_whole(file.path(paths$figures, "half.png"), function(path) writeLines("x", path))
  writeLines(as.character(Sys.getpid()), file.path(paths$drive, "r.pid"))
  Sys.sleep(600)
  path
}
"""


def kill_in_the_figures(drive: Drive, engine: Engine, number: signal.Signals) -> Killed:
    """Analyse until R draws figures, and end it there: SIGTERM goes to this process, as from a scheduler,
    and is passed on; SIGKILL goes to R."""
    waiting = add_function(drive, WAIT)
    pid_file = drive.root / "r.pid"

    def kill() -> None:
        while not (pid_file.exists() and pid_file.read_text().endswith("\n")):
            time.sleep(0.05)
        os.kill(int(pid_file.read_text()) if number == signal.SIGKILL else os.getpid(), number)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(Killed) as end:
        run_analysis(make_settings(drive), make_attempt(by_hand=True), engine)
    killer.join()
    waiting.unlink()
    return end.value


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("engine", ["fallback", pytest.param("targets", marks=needs_targets)])
def test_r_that_is_killed_goes_on_where_it_was(
    quick_drive: Drive, caplog: pytest.LogCaptureFixture, engine: Engine, number: signal.Signals
) -> None:
    end = kill_in_the_figures(quick_drive, engine, number)
    assert end.exit_code == 128 + number
    assert not ANALYSIS_FAILED.path(quick_drive, EXPERIMENT).exists()
    bodies = [read_event(path).body for path in sorted(quick_drive.inbox.iterdir())]
    assert isinstance(bodies[0], JobStarted)
    assert isinstance(bodies[-1], JobEnded)
    assert bodies[-1].exit_code == 128 + number

    caplog.set_level(logging.INFO)
    run_analysis(make_settings(quick_drive), make_attempt("tok-b"), engine)
    made = targets_made(caplog)
    assert "compute_statistics" not in made
    assert "generate_figures" in made
    assert "dead run left behind" in caplog.text
