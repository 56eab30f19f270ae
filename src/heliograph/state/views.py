"""What people look at: each experiment as three stages, read from verified copies of what is published.

These structs are the contract of `heliograph status --json`, of the dashboard and of its API.
"""

from __future__ import annotations

import sqlite3
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from heliograph.drive import Drive
from heliograph.errors import UnknownExperiment
from heliograph.files import remove_file
from heliograph.names import parse_iso
from heliograph.state.databases import ANALYSIS, DATABASES, EVALUATION, TRAINING, open_snapshot
from heliograph.state.lease import Holder, read_holder
from heliograph.state.publish import Pointer, fetch_snapshot

STAGES = tuple(DATABASES)


class StageView(Struct, kw_only=True):
    """One stage of one experiment. `status` is waiting, queued, running, completed or failed."""

    stage: str
    status: str
    queued_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    duration_s: float | None = None
    attempt: int | None = None
    job_id: str | None = None
    executor: str | None = None
    progress: float | None = None
    """share of the work that is done, 0 to 1"""
    message: str | None = None
    """why it waits or failed, in the words of whoever knows"""
    failure_class: str | None = None
    retry_at: str | None = None
    scheduler_state: str | None = None
    """the scheduler's last word; HOLD where the cluster does not take the job now"""
    node: str | None = None
    restarts: int = 0
    """how often the scheduler has put the job back into its queue"""
    cancel_requested_at: str | None = None
    requested_by: str | None = None
    """who asked last for a retry or a cancellation"""
    log_path: str | None = None
    mlflow_url: str | None = None


class ResultView(Struct, kw_only=True):
    """One number of the newest evaluation."""

    dataset: str
    checkpoint: str
    metric: str
    value: float | None


class CheckpointView(Struct, kw_only=True):
    """One checkpoint of the training."""

    path: str
    step: int | None
    epoch: float | None
    size_bytes: int | None
    created_at: str


class OutputView(Struct, kw_only=True):
    """One figure, table or report; the path is relative to the drive."""

    type: str
    path: str


class ExperimentView(Struct, kw_only=True):
    """One experiment as three stages."""

    experiment: str
    status: str
    """failed, running, queued, waiting or completed: the first of these that a stage has"""
    training: StageView
    evaluation: StageView
    analysis: StageView
    results: list[ResultView] = []
    checkpoints: list[CheckpointView] = []
    outputs: list[OutputView] = []
    quarantined: list[str] = []

    def stages(self) -> list[StageView]:
        return [self.training, self.evaluation, self.analysis]


class WatcherView(Struct, kw_only=True):
    """The watcher, as its lease tells."""

    host: str
    pid: int
    seen_at: str
    memory_mb: float | None
    slurm_calls_last_hour: int | None


class Overview(Struct, kw_only=True):
    """Everything that a person asks first."""

    drive: str
    published_at: str
    watcher: WatcherView | None
    experiments: list[ExperimentView]
    quarantined: list[str]
    """signals that were put aside and belong to no experiment that is known"""


Rows = list[dict[str, Any]]


class Snapshots:
    """Reads the published databases through verified copies in a local folder."""

    def __init__(self, drive: Drive, cache: Path | None = None) -> None:
        self.drive = drive
        self._owned = tempfile.TemporaryDirectory(prefix="heliograph-") if cache is None else None
        self.cache = Path(self._owned.name) if self._owned else Path(cache or "")
        self._open: dict[str, tuple[Pointer, sqlite3.Connection]] = {}

    def __enter__(self) -> Snapshots:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for _, connection in self._open.values():
            connection.close()
        self._open.clear()
        if self._owned:
            self._owned.cleanup()

    def refresh(self) -> None:
        """Take the newest generation of each database. Raises NotPublished or StateError."""
        for stage in DATABASES:
            copy, pointer = fetch_snapshot(self.drive, stage, self.cache)
            held = self._open.get(stage)
            if held and held[0].sha256 == pointer.sha256:
                continue
            if held:
                held[1].close()
            self._open[stage] = (pointer, open_snapshot(copy))
            for old in self.cache.glob(f"*.{stage}.*.db"):
                if old != copy:
                    remove_file(old)

    def rows(self, stage: str, query: str, **values: Any) -> Rows:
        """Run a named query on one of the copies."""
        cursor = self._open[stage][1].execute(DATABASES[stage].sql()[query], values)
        return [dict(row) for row in cursor]

    def published_at(self) -> str:
        """Return when the newest of the three was published."""
        return max(pointer.published_at for pointer, _ in self._open.values())


def read_overview(snapshots: Snapshots) -> Overview:
    """Return every experiment, the one that changed last first."""
    views = {name: _experiment_view(snapshots, name) for name in experiment_names(snapshots)}
    orphans = []
    for experiment, reason in _quarantined(snapshots):
        if experiment in views:
            views[experiment].quarantined.append(reason)
        else:
            orphans.append(reason)
    return Overview(
        drive=str(snapshots.drive.root),
        published_at=snapshots.published_at(),
        watcher=_watcher_view(read_holder(snapshots.drive)),
        experiments=list(views.values()),
        quarantined=orphans,
    )


def read_experiment(snapshots: Snapshots, name: str) -> ExperimentView:
    """Return one experiment. Raises UnknownExperiment with the nearest names."""
    known = experiment_names(snapshots)
    if name not in known:
        import difflib

        near = difflib.get_close_matches(name, known, n=3)
        remedy = f"Did you mean {', '.join(near)}?" if near else "heliograph status lists them."
        raise UnknownExperiment(name=ascii(name), remedy=remedy)
    view = _experiment_view(snapshots, name)
    view.quarantined = [reason for experiment, reason in _quarantined(snapshots) if experiment == name]
    return view


def experiment_names(snapshots: Snapshots) -> list[str]:
    """Return every experiment that has a run or a job, the one that changed last first."""
    names = [row["experiment_name"] for row in snapshots.rows("training", "training_runs")]
    for stage in ("evaluation", "analysis"):
        names += [row["experiment_name"] for row in snapshots.rows(stage, "jobs")]
    return list(dict.fromkeys(names))


def _quarantined(snapshots: Snapshots) -> list[tuple[str, str]]:
    found = [row for stage in STAGES for row in snapshots.rows(stage, "quarantined_signals")]
    return [(row["experiment"], row["reason"]) for row in found]


def _watcher_view(holder: Holder | None) -> WatcherView | None:
    if holder is None:
        return None
    return WatcherView(
        host=holder.host,
        pid=holder.pid,
        seen_at=holder.at,
        memory_mb=holder.memory_mb,
        slurm_calls_last_hour=holder.slurm_calls_last_hour,
    )


def _experiment_view(snapshots: Snapshots, name: str) -> ExperimentView:
    runs = snapshots.rows("training", "training_run", experiment=name)
    run = runs[0] if runs else None
    link = _MlflowLink(run)
    evaluations = snapshots.rows("evaluation", "jobs_of", experiment=name)
    analyses = snapshots.rows("analysis", "jobs_of", experiment=name)
    training = _training_view(run, link)
    evaluation = _job_view(EVALUATION.stage, evaluations, link, training)
    analysis = _job_view(ANALYSIS.stage, analyses, link, evaluation)
    return ExperimentView(
        experiment=name,
        status=overall_status([training, evaluation, analysis]),
        training=training,
        evaluation=evaluation,
        analysis=analysis,
        results=_results(snapshots, evaluations),
        checkpoints=_checkpoints(snapshots, name),
        outputs=_outputs(snapshots, analyses),
    )


def overall_status(stages: list[StageView]) -> str:
    """Reduce the stages to one word: what asks for attention comes first."""
    found = {stage.status for stage in stages}
    return next(s for s in ("failed", "running", "queued", "waiting", "completed") if s in found)


class _MlflowLink:
    """Makes links to MLflow runs; the experiment that a training run logs to holds the others too."""

    def __init__(self, run: dict[str, Any] | None) -> None:
        told = msgspec.json.decode(run["metadata"]).get("mlflow") if run else None
        self._base = told if isinstance(told, dict) else {}

    def url(self, run_id: str | None) -> str | None:
        uri, experiment_id = self._base.get("tracking_uri"), self._base.get("experiment_id")
        if not (uri and experiment_id and run_id):
            return None
        return f"{str(uri).rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"


def _training_view(run: dict[str, Any] | None, link: _MlflowLink) -> StageView:
    if run is None:
        return StageView(stage=TRAINING.stage, status="waiting", message="no training run is known")
    status = "running" if run["status"] == "started" else run["status"]
    return StageView(
        stage=TRAINING.stage,
        status=status,
        started_at=run["started_at"],
        completed_at=run["completed_at"],
        duration_s=seconds_between(run["started_at"], run["completed_at"]),
        progress=_share(run["step"], run["total_steps"]),
        message=run["error_message"],
        mlflow_url=link.url(run["mlflow_run_id"]),
    )


def _why_it_waits(before: StageView) -> str:
    if before.status == "completed":
        return f"{before.stage} is complete; this is queued as soon as its signal is seen and is valid"
    return f"{before.stage} is {before.status}"


def _job_view(stage: str, jobs: Rows, link: _MlflowLink, before: StageView) -> StageView:
    if not jobs:
        return StageView(stage=stage, status="waiting", message=_why_it_waits(before))
    job = jobs[-1]
    waits = job["status"] == "queued"
    return StageView(
        stage=stage,
        status=job["status"],
        queued_at=job["queued_at"],
        started_at=job["started_at"],
        completed_at=job["completed_at"],
        duration_s=seconds_between(job["started_at"], job["completed_at"]),
        attempt=job["attempt"],
        job_id=job["slurm_job_id"],
        executor=job["executor"],
        progress=_share(job["progress_done"], job["progress_total"]),
        message=job["pending_reason"] if waits else job["error_message"],
        failure_class=job["failure_class"],
        retry_at=job["not_before"] if waits else job["retry_at"],
        scheduler_state=job["scheduler_state"],
        node=job.get("nodes") or job["hostname"],
        restarts=job.get("restarts") or 0,
        cancel_requested_at=job.get("cancel_requested_at"),
        requested_by=job.get("requested_by"),
        log_path=job["log_path"],
        mlflow_url=link.url(job["mlflow_run_id"]),
    )


def _results(snapshots: Snapshots, jobs: Rows) -> list[ResultView]:
    """Return the numbers of the newest attempt that has any."""
    for job in reversed(jobs):
        rows = snapshots.rows("evaluation", "results_of_job", job_id=job["id"])
        if rows:
            return [
                ResultView(
                    dataset=row["dataset_name"],
                    checkpoint=row["checkpoint"],
                    metric=row["metric_name"],
                    value=row["metric_value"],
                )
                for row in rows
            ]
    return []


def _checkpoints(snapshots: Snapshots, name: str) -> list[CheckpointView]:
    rows = snapshots.rows("training", "checkpoints", experiment=name)
    return [
        CheckpointView(
            path=row["checkpoint_path"],
            step=row["step"],
            epoch=row["epoch"],
            size_bytes=row["size_bytes"],
            created_at=row["created_at"],
        )
        for row in rows
    ]


def _outputs(snapshots: Snapshots, jobs: Rows) -> list[OutputView]:
    for job in reversed(jobs):
        if rows := snapshots.rows("analysis", "outputs_of_job", job_id=job["id"]):
            return [OutputView(type=row["output_type"], path=row["output_path"]) for row in rows]
    return []


def seconds_between(start: str | None, end: str | None) -> float | None:
    """Return end minus start in seconds; None while one of them is missing."""
    return (parse_iso(end) - parse_iso(start)).total_seconds() if start and end else None


def age_s(moment: str, now: datetime) -> float:
    """Return how long ago `moment` was, in seconds, never negative."""
    return max(0.0, (now - parse_iso(moment)).total_seconds())


def _share(done: int | None, total: int | None) -> float | None:
    return min(1.0, done / total) if done is not None and total else None
