"""The analysis of one experiment, from the evaluation's signal to its own.

1. What must be there is checked before anything is started: the evaluation, the R project, the programs.
2. R runs the pipeline of DRIVE/analysis/_targets.R as a child process, one at a time for an experiment.
3. What R says it made is checked against the files, told by events, and logged to MLflow.
4. The signal comes last: `.analysis_complete`, or `.analysis_failed` with R's own words.

An analysis that was killed publishes nothing: that is no word of R.
"""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from heliograph.analysis.attempt import STAGE, Attempt
from heliograph.analysis.manifest import Manifest, read_manifest
from heliograph.analysis.process import TARGETS, Ended, Failure, run_r, target_begun
from heliograph.analysis.telling import Settings, beat, publish, publish_failure
from heliograph.analysis.tools import Tools, build_environment, find_tools
from heliograph.analysis.tracking import log_run
from heliograph.drive import Drive
from heliograph.errors import BadInput, BadResults, DriveError, HeliographError, MissingPart, StageFailed
from heliograph.files import make_folder, read_untrusted, remove_file
from heliograph.protocol.events import OutputAdded, RunLinked
from heliograph.protocol.signals import (
    ANALYSIS_COMPLETE,
    ANALYSIS_FAILED,
    EVAL_COMPLETE,
    AnalysisComplete,
    Signal,
    read_signal,
)
from heliograph.stages.attempt import telling_by_hand
from heliograph.stages.checks import check_evaluation

log = logging.getLogger(__name__)

Engine = Literal["auto", "targets", "fallback"]
_MOST_METADATA = 64 << 20


class AnalysisOutcome(Struct, frozen=True, kw_only=True):
    """What an analysis made. Paths are relative to the drive."""

    experiment: str
    engine: str
    duration_s: float
    manifest_path: str
    files: list[str]
    metrics: dict[str, float]
    warnings: list[str]
    mlflow_run_id: str | None
    signal_sha256: str


class Inputs(Struct, frozen=True):
    """What was found before R is started."""

    evaluation_token: str | None
    tools: Tools


class _EvaluationToken(Struct):
    token: str | None = None


def run_analysis(settings: Settings, attempt: Attempt, engine: Engine = "auto") -> AnalysisOutcome:
    """Analyse one experiment.

    Raises BadResults or BadSignal (no valid evaluation) and MissingPart, which a job publishes as
    `.analysis_failed` while a person reads them; StageFailed (R failed: published, or another analysis of it
    runs: not); Killed (R was ended by a signal of the operating system); DriveError.
    """
    with _drive_errors(settings.drive):
        settings.drive.read_id()  # an unmounted drive is an empty local folder: never write into it
        try:
            inputs = check_start(settings, attempt.experiment)
        except HeliographError as error:
            if not attempt.by_hand:
                publish_failure(settings, attempt, Failure(str(error)), [], type(error).__name__)
            raise
        works_on = str(settings.drive.evaluation_folder(attempt.experiment))
        with (
            _only_run(settings, attempt) as lock,
            telling_by_hand(settings.outbox, STAGE, attempt, works_on) as ending,
        ):
            began = time.monotonic()
            ended = _run_project(settings, attempt, inputs.tools, engine, lock)
            manifest = _check_end(settings, attempt, ended, inputs)
            outcome = _finish(settings, attempt, manifest, round(time.monotonic() - began, 3))
            ending.set(0)
            return outcome


def check_start(settings: Settings, experiment: str) -> Inputs:
    """Check that a valid evaluation, the R project and the programs are there.

    Raises BadResults, BadSignal or MissingPart.
    """
    drive = settings.drive
    check_evaluation(drive, _read_trigger(drive, experiment))
    if not (drive.analysis / "run.R").is_file():
        remedy = f"Copy it there: heliograph init {drive.root}"
        raise MissingPart(part=f"{drive.analysis}/run.R", needed_for="the analysis", remedy=remedy)
    raw = read_untrusted(drive.evaluation_metadata(experiment), _MOST_METADATA)
    return Inputs(msgspec.json.decode(raw, type=_EvaluationToken).token, find_tools(settings.environ))


def _read_trigger(drive: Drive, experiment: str) -> Signal:
    path = EVAL_COMPLETE.path(drive, experiment)
    try:
        return read_signal(path, EVAL_COMPLETE, experiment)
    except (FileNotFoundError, NotADirectoryError):
        raise BadResults(
            file=path,
            field="(file)",
            problem="is missing, so there is nothing to analyse",
            value=experiment,
            remedy=f"Evaluate it first: heliograph evaluate --experiment {experiment}",
        ) from None


@contextmanager
def _drive_errors(drive: Drive) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DriveError(
            folder=error.filename or drive.root,
            reason=error.strerror or str(error),
            remedy="What is finished is kept; analyse again to go on.",
        ) from error


@contextmanager
def _only_run(settings: Settings, attempt: Attempt) -> Iterator[int]:
    """Hold the lock of this experiment on this host; give its file descriptor. Raises StageFailed.

    R inherits it: the lock ends with the last of the two processes.
    """
    folder = settings.state_folder / "locks"
    make_folder(folder)
    path = folder / f"{STAGE}-{settings.drive.read_id()}-{attempt.experiment}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            reason = f"another analysis of it runs on this host (it holds {path}); wait for its end"
            raise StageFailed(stage=STAGE, experiment=attempt.experiment, reason=reason) from None
        yield handle
    finally:
        os.close(handle)


def _run_project(settings: Settings, attempt: Attempt, tools: Tools, engine: Engine, lock: int) -> Ended:
    context = {"experiment": attempt.experiment, "stage": STAGE, "token": attempt.token}

    def on_line(line: str) -> None:
        log.info("R: %s", line, extra=context)
        if (target := target_begun(line)) in TARGETS:
            beat(settings, attempt, target)

    with tempfile.TemporaryDirectory(prefix="heliograph-analysis-") as folder:
        failure = Path(folder) / "failure.json"
        return run_r(
            [tools.rscript, "run.R", "--engine", engine, "--failure", str(failure)],
            folder=settings.drive.analysis,
            environment=build_environment(settings.environ, tools, settings.drive, attempt),
            failure_file=failure,
            on_line=on_line,
            keep_open=lock,
        )


def _check_end(settings: Settings, attempt: Attempt, ended: Ended, inputs: Inputs) -> Manifest:
    """Return the manifest of an analysis that went well; publish the failure of one that did not."""
    if ended.exit_code == 0:
        try:
            return read_manifest(settings.drive, attempt.experiment, inputs.evaluation_token)
        except BadInput as error:
            told, error_type = Failure(str(error), target=TARGETS[-1]), type(error).__name__
    else:
        last = next((line for line in reversed(ended.tail) if line.strip()), "it said nothing")
        told = ended.failure or Failure(f"R ended with status {ended.exit_code}: {last}")
        error_type = "RError"
    publish_failure(settings, attempt, told, ended.tail, error_type)
    if ended.exit_code == MissingPart.exit_code:
        raise MissingPart(part="Something that R needs", needed_for="the analysis", remedy=told.message)
    where = f"target {told.target}: " if told.target else ""
    raise StageFailed(stage=STAGE, experiment=attempt.experiment, reason=where + str(told))


def _finish(settings: Settings, attempt: Attempt, manifest: Manifest, duration_s: float) -> AnalysisOutcome:
    """Tell of everything that was made; the signal last."""
    drive, experiment, token = settings.drive, attempt.experiment, attempt.token
    for output in manifest.files:
        settings.outbox.post(
            OutputAdded(
                experiment=experiment,
                stage=STAGE,
                token=token,
                output_type=output.type,
                output_path=output.path,
            )
        )
    run_id = log_run(settings.tracking_uri, drive, attempt, manifest, duration_s)
    if run_id is not None:
        settings.outbox.post(RunLinked(experiment=experiment, stage=STAGE, token=token, mlflow_run_id=run_id))
    manifest_path = str(drive.analysis_manifest(experiment).relative_to(drive.root))
    content = AnalysisComplete(
        timestamp=settings.now(),
        experiment=experiment,
        job_id=attempt.job_id,
        engine=manifest.engine,
        manifest_path=manifest_path,
        duration_seconds=duration_s,
    )
    remove_file(ANALYSIS_FAILED.path(drive, experiment))  # of an earlier attempt
    return AnalysisOutcome(
        experiment=experiment,
        engine=manifest.engine,
        duration_s=duration_s,
        manifest_path=manifest_path,
        files=[output.path for output in manifest.files],
        metrics=manifest.metrics,
        warnings=manifest.warnings,
        mlflow_run_id=run_id,
        signal_sha256=publish(settings, ANALYSIS_COMPLETE, content),
    )
