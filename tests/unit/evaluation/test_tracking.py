"""The run in MLflow: what is logged where, once, and that a server which fails costs a warning only."""

from __future__ import annotations

import http.client
import json
import logging
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from heliograph.drive import Drive
from heliograph.evaluation.attempt import Attempt
from heliograph.evaluation.finished import Finished
from heliograph.evaluation.plan import Options
from heliograph.evaluation.service import make_tools, run_evaluation
from heliograph.evaluation.tracking import RunReport, build_metrics, key_part, log_run
from heliograph.protocol.events import read_event
from heliograph.protocol.outbox import Outbox
from heliograph.tracking import Mlflow
from unit.evaluation.builders import EXPERIMENT, WORK, pair_rows, write_dataset
from unit.tracking.server import dead_uri, mlflow_uri

__all__ = ["dead_uri", "mlflow_uri"]

NOW = datetime(2026, 1, 31, 9, 5, tzinfo=UTC)
ATTEMPT = Attempt(experiment="exp", token="t0k3n", job_id="4711", signal_sha256=None, by_hand=False)


def finished(**changes: Any) -> Finished:
    one = Finished(
        work=WORK,
        token="t",
        finished_at=NOW,
        duration_s=2.5,
        n_items=8,
        n_skipped=2,
        metrics={"accuracy": 0.5, "other": None},
        groups={"b1/number": {"accuracy": 0.25}, "plain": {"accuracy": 0.75}},
        metric_files=[],
        prediction_files=[],
    )
    return msgspec.structs.replace(one, **changes)


def report(*results: Finished, parent: str | None = None) -> RunReport:
    return RunReport(
        attempt=ATTEMPT,
        parent_run_id=parent,
        started_at=NOW,
        duration_s=9.0,
        finished=results,
        status="FINISHED",
    )


def test_every_number_has_a_key_and_the_step_of_the_checkpoint() -> None:
    points = build_metrics(report(finished()))
    assert {point.key: point.value for point in points} == {
        "accuracy/d": 0.5,
        f"accuracy/d/{key_part('b1/number')}": 0.25,
        "accuracy/d/plain": 0.75,
        "coverage/d": 0.75,
        "duration_s/d": 2.5,
        "duration_s": 9.0,
    }
    assert {point.step for point in points[:-1]} == {1}
    assert {point.timestamp_ms for point in points} == {int(NOW.timestamp() * 1000)}


def test_a_data_set_without_groups_has_no_keys_for_them() -> None:
    (first, *_) = build_metrics(report(finished(groups={"d": {"accuracy": 0.5}})))
    assert first.key == "accuracy/d"
    keys = [point.key for point in build_metrics(report(finished(groups={"d": {"accuracy": 0.5}})))]
    assert keys == ["accuracy/d", "coverage/d", "duration_s/d", "duration_s"]


@pytest.mark.parametrize("group", ["", "../..", "a/b", "ü", "x" * 300, ".", "a\nb", "%"])
def test_any_group_becomes_a_part_of_a_key(group: str) -> None:
    part = key_part(group)
    assert 0 < len(part) <= 90
    assert all(c.isascii() and (c.isalnum() or c in "_. :-") for c in part)
    assert part.strip(".") == part


def test_groups_that_look_alike_stay_apart() -> None:
    assert len({key_part(group) for group in ("a/b", "a_b", "a?b", "a%b")}) == 4


def ask(uri: str, run_id: str) -> Any:
    connection = http.client.HTTPConnection(urlsplit(uri).netloc, timeout=10)
    connection.request("GET", f"/api/2.0/mlflow/runs/get?run_id={run_id}")
    answer = json.loads(connection.getresponse().read())["run"]
    connection.close()
    return answer


def test_the_run_is_linked_and_made_once(
    model_drive: Drive, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Mlflow(mlflow_uri)
    parent = client.start_run(client.experiment_id("heliograph"), name=EXPERIMENT)
    model_drive.training_metadata(EXPERIMENT).write_text(json.dumps({"mlflow": {"run_id": parent}}))
    write_dataset(model_drive, "pairs", pair_rows())
    outcomes = []
    for token in ("first", "second"):  # the second finds all the work done: a restart after the very end
        attempt = msgspec.structs.replace(ATTEMPT, experiment=EXPERIMENT, token=token)
        outbox = Outbox(model_drive, model_drive.root.parent)
        tools = make_tools(model_drive, outbox, attempt, lambda *_: None, lambda: None)
        outcomes.append(run_evaluation(tools, attempt, Options(experiment=EXPERIMENT), mlflow_uri))
    link = outcomes[0].mlflow
    assert link is not None
    assert outcomes[1].mlflow == link
    told = json.loads(model_drive.evaluation_metadata(EXPERIMENT).read_bytes())
    assert told["mlflow"] == {"run_id": link.run_id, "experiment_id": link.experiment_id}
    linked = [read_event(path).body for path in sorted(model_drive.inbox.iterdir())]
    assert [body.mlflow_run_id for body in linked if type(body).__name__ == "RunLinked"] == [link.run_id] * 2
    run = ask(mlflow_uri, link.run_id)
    assert (run["info"]["run_name"], run["info"]["status"]) == ("exp-evaluation", "FINISHED")
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    assert (tags["mlflow.parentRunId"], tags["heliograph.token"]) == (parent, "first")
    values = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
    assert values["accuracy/pairs"] == outcomes[0].results["pairs"]["final"]["accuracy"]
    assert {"accuracy/pairs/g0", "accuracy/pairs/g1", "coverage/pairs", "duration_s/pairs"} <= set(values)
    steps = {metric["key"]: int(metric["step"]) for metric in run["data"]["metrics"]}
    assert steps["accuracy/pairs"] == 100


@pytest.mark.parametrize("uri", [None, ""])
def test_no_server_is_configured(uri: str | None, caplog: pytest.LogCaptureFixture) -> None:
    assert log_run(uri, report(finished())) is None
    assert caplog.records == []


def test_a_server_that_is_down_costs_one_warning(dead_uri: str, caplog: pytest.LogCaptureFixture) -> None:
    assert log_run(dead_uri, report(finished())) is None
    assert [(record.levelno, record.getMessage()[:33]) for record in caplog.records] == [
        (logging.WARNING, "the results are not in MLflow: ML")
    ]


def test_an_address_that_is_none_costs_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert log_run("file:///tmp/mlruns", report(finished())) is None
    assert len(caplog.records) == 1
