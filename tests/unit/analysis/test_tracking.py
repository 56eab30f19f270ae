"""The analysis' run in MLflow, on a real server."""

from __future__ import annotations

import json
from typing import Any
from urllib.request import urlopen

import pytest

from heliograph.analysis.pipeline import run_analysis
from heliograph.drive import Drive
from heliograph.protocol.events import RunLinked, read_event
from heliograph.tracking import Mlflow
from unit.analysis.conftest import make_attempt, make_settings
from unit.analysis.evaluations import EXPERIMENT


def get(uri: str, call: str) -> Any:
    with urlopen(f"{uri}/api/2.0/mlflow/{call}", timeout=30) as answer:
        return json.load(answer)


def linked_runs(drive: Drive) -> list[str]:
    bodies = [read_event(path).body for path in sorted(drive.inbox.iterdir())]
    return [body.mlflow_run_id for body in bodies if isinstance(body, RunLinked)]


def test_the_run_is_nested_below_the_training_and_made_once(quick_drive: Drive, mlflow_uri: str) -> None:
    mlflow = Mlflow(mlflow_uri, timeout_s=30)
    experiment_id = mlflow.experiment_id("heliograph")
    parent = mlflow.start_run(experiment_id, name=EXPERIMENT)
    quick_drive.training_metadata(EXPERIMENT).parent.mkdir(parents=True)
    quick_drive.training_metadata(EXPERIMENT).write_text(json.dumps({"mlflow": {"run_id": parent}}))
    outcome = run_analysis(make_settings(quick_drive, mlflow_uri), make_attempt(), "fallback")
    run_id = outcome.mlflow_run_id
    assert linked_runs(quick_drive) == [run_id]
    assert mlflow.find_run(experiment_id, tag="mlflow.parentRunId", value=parent) == run_id

    run = get(mlflow_uri, f"runs/get?run_id={run_id}")["run"]
    assert run["info"]["run_name"] == "exp_1-analysis"
    assert run["info"]["status"] == "FINISHED"
    metrics = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
    assert metrics["accuracy/pairs"] == pytest.approx(0.75)
    assert metrics["duration_s"] > 0
    for folder, name in (("figures", "a.png"), ("report", "report.html")):
        files = get(mlflow_uri, f"artifacts/list?run_id={run_id}&path={folder}")["files"]
        assert [file["path"] for file in files] == [f"{folder}/{name}"]

    again = run_analysis(make_settings(quick_drive, mlflow_uri), make_attempt("tok-b"), "fallback")
    assert again.mlflow_run_id == run_id


def test_a_dead_server_costs_a_warning(
    quick_drive: Drive, dead_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = run_analysis(make_settings(quick_drive, dead_uri), make_attempt(), "fallback")
    assert outcome.mlflow_run_id is None
    assert linked_runs(quick_drive) == []
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "the analysis is not in MLflow" in warnings[0]
