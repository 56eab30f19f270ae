"""The evaluation's run in MLflow, nested below the training's. It never makes an evaluation fail."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from heliograph.errors import TrackingError
from heliograph.evaluation.attempt import STAGE, Attempt
from heliograph.evaluation.finished import Finished
from heliograph.evaluation.metadata import MlflowLink
from heliograph.tracking import Metric, Mlflow, RunStatus

log = logging.getLogger(__name__)

MLFLOW_EXPERIMENT = "heliograph"
_WORK_TAG = "heliograph.work"
_LONGEST_PART = 80  # MLflow refuses metric names of more than 250 signs; three such parts fit
_ODD = re.compile(r"[^A-Za-z0-9_. :-]")


class RunReport(Struct, frozen=True, kw_only=True):
    """What is told to MLflow."""

    attempt: Attempt
    parent_run_id: str | None
    started_at: datetime
    duration_s: float
    finished: Sequence[Finished]
    status: RunStatus


def log_run(uri: str | None, report: RunReport) -> MlflowLink | None:
    """Log results to MLflow at `uri`; return the run, None where there is no server or it fails.

    The run of the same work is found by a tag and logged to again, with the times at which the results
    were made: so an evaluation that was killed at its very end leaves no second run and no second points.
    """
    if not uri:
        return None
    try:
        return _log_run(Mlflow(uri), report)
    except TrackingError as error:
        log.warning("the results are not in MLflow: %s", error)
        return None


def _log_run(mlflow: Mlflow, report: RunReport) -> MlflowLink:
    attempt = report.attempt
    experiment_id = mlflow.experiment_id(MLFLOW_EXPERIMENT)
    keys = sorted(one.work.key for one in report.finished)
    work = hashlib.sha256("\n".join([attempt.experiment, *keys]).encode()).hexdigest()[:32]
    run_id = mlflow.find_run(experiment_id, tag=_WORK_TAG, value=work)
    if run_id is None:
        run_id = mlflow.start_run(
            experiment_id,
            name=f"{attempt.experiment}-{STAGE}",
            tags={
                _WORK_TAG: work,
                "heliograph.experiment": attempt.experiment,
                "heliograph.stage": STAGE,
                "heliograph.token": attempt.token,
                "heliograph.job_id": attempt.job_id,
            },
            parent_run_id=report.parent_run_id,
            start_time_ms=_ms(report.started_at),
        )
    mlflow.log(run_id, metrics=build_metrics(report))
    mlflow.end_run(run_id, report.status)
    return MlflowLink(run_id=run_id, experiment_id=experiment_id)


def build_metrics(report: RunReport) -> list[Metric]:
    """Return every point: METRIC/DATASET, METRIC/DATASET/GROUP, coverage and duration, by training step."""
    points = [point for one in report.finished for point in _points(one)]
    return [*points, Metric("duration_s", report.duration_s, _ms(report.started_at))]


def _points(one: Finished) -> Iterator[Metric]:
    moment, step, dataset = _ms(one.finished_at), one.work.step or 0, one.work.dataset
    values: dict[str, float | None] = {f"{name}/{dataset}": value for name, value in one.metrics.items()}
    if set(one.groups) != {dataset}:
        for group, metrics in one.groups.items():
            values |= {f"{name}/{dataset}/{key_part(group)}": value for name, value in metrics.items()}
    values[f"coverage/{dataset}"] = (one.n_items - one.n_skipped) / one.n_items
    values[f"duration_s/{dataset}"] = one.duration_s
    for key, value in values.items():
        if value is not None:
            yield Metric(key, value, moment, step)


def key_part(group: str) -> str:
    """Turn any text into a part of a metric's name; different texts give different parts."""
    plain = _ODD.sub("_", group)[:_LONGEST_PART].strip(". ")
    if plain and plain == group:
        return plain
    return f"{plain or 'group'}-{hashlib.sha256(group.encode()).hexdigest()[:8]}"


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
