"""The client against a real MLflow server, and against servers that do not serve."""

from __future__ import annotations

import base64
import json
import math
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from heliograph.errors import TrackingError
from heliograph.tracking import Metric, Mlflow, run_url


def ask(uri: str, call: str, body: dict[str, Any] | None = None) -> Any:
    """Ask the server by another way than the code under test."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{uri}/api/2.0/mlflow/{call}", data, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def history(uri: str, run_id: str, key: str) -> list[tuple[int, float]]:
    """Read one curve of a run: (step, value)."""
    query = f"metrics/get-history?run_id={run_id}&metric_key={key}&max_results=25000"
    return [(m.get("step", 0), float(m["value"])) for m in ask(uri, query).get("metrics", [])]


@contextmanager
def scripted_server(
    status: int, content: bytes, tls: ssl.SSLContext | None = None
) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that gives every request the same answer and keeps the requests' headers."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({"path": self.path, **{k.lower(): v for k, v in self.headers.items()}})
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# A server that lives --------------------------------------------------------------------------------


def test_an_experiment_made_by_many_at_once_is_one(mlflow_uri: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: Mlflow(mlflow_uri, timeout_s=30).experiment_id("contested"), range(8)))
    assert len(set(ids)) == 1


def test_a_deleted_experiment_is_told_with_the_remedy(mlflow_uri: str) -> None:
    client = Mlflow(mlflow_uri, timeout_s=30)
    deleted = client.experiment_id("deleted")
    ask(mlflow_uri, "experiments/delete", {"experiment_id": deleted})
    with pytest.raises(TrackingError, match=f"mlflow experiments restore -x {deleted}"):
        client.experiment_id("deleted")


def test_runs_nest_and_end(mlflow_uri: str) -> None:
    client = Mlflow(mlflow_uri, timeout_s=30)
    experiment = client.experiment_id("nested")
    parent = client.start_run(experiment, name="E", tags={"colour": "blue"}, start_time_ms=1000)
    child = client.start_run(experiment, name="E-evaluation", parent_run_id=parent)
    client.end_run(child, "FAILED", end_time_ms=3000)
    told = ask(mlflow_uri, f"runs/get?run_id={child}")["run"]
    tags = {tag["key"]: tag["value"] for tag in told["data"]["tags"]}
    assert tags["mlflow.parentRunId"] == parent
    assert (told["info"]["run_name"], told["info"]["status"]) == ("E-evaluation", "FAILED")
    assert told["info"]["end_time"] == 3000
    assert client.find_run(experiment, tag="colour", value="blue") == parent
    assert client.find_run(experiment, tag="colour", value="red") is None
    filtered = ask(
        mlflow_uri,
        "runs/search",
        {"experiment_ids": [experiment], "filter": f"tags.mlflow.parentRunId = '{parent}'"},
    )
    assert [run["info"]["run_id"] for run in filtered["runs"]] == [child]


def test_more_than_a_call_takes_is_split(mlflow_uri: str) -> None:
    client = Mlflow(mlflow_uri, timeout_s=60)
    run = client.start_run(client.experiment_id("many"), name="many")
    points = [Metric("loss", step / 10, 1_700_000_000_000 + step, step) for step in range(1701)]
    client.log(
        run,
        metrics=points,
        params={f"p{i}": str(i) for i in range(205)} | {"long": "x" * 9000},
        tags={f"t{i}": str(i) for i in range(150)},
    )
    data = ask(mlflow_uri, f"runs/get?run_id={run}")["run"]["data"]
    assert history(mlflow_uri, run, "loss") == [(step, step / 10) for step in range(1701)]
    params = {p["key"]: p["value"] for p in data["params"]}
    assert len(params) == 206 and params["p204"] == "204" and len(params["long"]) == 6000
    assert {t["key"] for t in data["tags"]} >= {f"t{i}" for i in range(150)}


def test_numbers_that_json_lacks_and_points_sent_twice(mlflow_uri: str) -> None:
    client = Mlflow(mlflow_uri, timeout_s=30)
    run = client.start_run(client.experiment_id("numbers"), name="numbers")
    points = [
        Metric("loss", math.nan, 1, 1),
        Metric("loss", math.inf, 2, 2),
        Metric("loss", -math.inf, 3, 3),
        Metric("loss", 0.5, 4, 4),
    ]
    client.log(run, metrics=points)
    client.log(run, metrics=points)
    steps, values = zip(*history(mlflow_uri, run, "loss"), strict=True)
    assert steps == (1, 2, 3, 4)
    # MLflow itself keeps the largest float in place of an infinity
    assert math.isnan(values[0]) and values[1] > 1e308 and values[2] < -1e308 and values[3] == 0.5


def test_an_artifact_goes_through_the_server(mlflow_uri: str, tmp_path: Path) -> None:
    client = Mlflow(mlflow_uri, timeout_s=30)
    run = client.start_run(client.experiment_id("artifacts"), name="artifacts")
    file = tmp_path / "a report.html"
    file.write_bytes(b"x" * 100_000)
    client.log_artifact(run, file, "reports/E")
    found = ask(mlflow_uri, f"artifacts/list?run_id={run}&path=reports/E")["files"]
    assert [(f["path"], f["file_size"]) for f in found] == [("reports/E/a report.html", 100_000)]


def test_what_the_server_refuses_is_told_in_its_words(mlflow_uri: str) -> None:
    client = Mlflow(mlflow_uri, timeout_s=30)
    run = client.start_run(client.experiment_id("refusals"), name="refusals")
    client.log(run, params={"batch": "8"})
    with pytest.raises(TrackingError, match=r"answered 400: .* already logged=.*batch"):
        client.log(run, params={"batch": "16"})
    with pytest.raises(TrackingError, match="no-such-run") as unknown:
        client.log("no-such-run", tags={"a": "b"})
    assert unknown.value.facts["status"] == 404
    assert unknown.value.facts["error_code"] == "RESOURCE_DOES_NOT_EXIST"


def test_the_address_of_a_run_names_no_password(mlflow_uri: str) -> None:
    secret = mlflow_uri.replace("http://", "http://me:hunter2@")
    address = run_url(secret + "/", "7", "abc")
    assert address == f"{mlflow_uri}/#/experiments/7/runs/abc"
    with urllib.request.urlopen(address.partition("#")[0], timeout=10) as page:
        assert b"<title>MLflow</title>" in page.read()


# Servers that do not serve --------------------------------------------------------------------------


def test_the_server_tells_its_version(mlflow_uri: str, dead_uri: str) -> None:
    assert Mlflow(mlflow_uri).version() == metadata.version("mlflow")
    with pytest.raises(TrackingError, match="no connection"):
        Mlflow(dead_uri).version()


def test_a_dead_port_is_one_error(dead_uri: str) -> None:
    client = Mlflow(dead_uri)
    assert not client.is_healthy()
    with pytest.raises(TrackingError, match=r"no connection: .*refused"):
        client.experiment_id("x")


def test_a_server_that_hangs_is_given_up(hanging_uri: str) -> None:
    client = Mlflow(hanging_uri, timeout_s=0.2)
    assert not client.is_healthy()
    with pytest.raises(TrackingError, match=r"no answer within 0\.2 s"):
        client.start_run("1", name="x")


@pytest.mark.parametrize(
    ("status", "content", "told"),
    [
        (500, b'{"error_code": "INTERNAL_ERROR", "message": "database\\n is locked"}', "database is lock"),
        (502, b"<html>bad gateway</html>", "answered 502: <html>bad gateway"),
        (401, b"", "answered 401: no content"),
        (302, b"", "answered 302"),
        (200, b"<html>a login page</html>", "answered 200: <html>a login"),
        (200, b"[1, 2]", r"answered 200: \[1, 2\]"),
        (400, b'{"error_code": "BAD_REQUEST", "message": "no"}', "answered 400: no"),
    ],
)
def test_an_answer_that_is_none(status: int, content: bytes, told: str) -> None:
    with scripted_server(status, content) as (uri, _), pytest.raises(TrackingError, match=told):
        Mlflow(uri).log("run", tags={"a": "b"})


@pytest.mark.parametrize(
    "uri",
    ["", "mlruns", "file:///tmp/mlruns", "sqlite:///x.db", "http://", "http://[", "http://me:secret@h:x"],
)
def test_an_address_that_is_none(uri: str) -> None:
    with pytest.raises(TrackingError, match="not the address of a tracking server") as error:
        Mlflow(uri)
    assert "secret" not in str(error.value)


def test_credentials_and_prefix_are_used_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "env-user")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "env-secret")
    with scripted_server(200, b'{"experiment": {"experiment_id": "3"}}') as (uri, seen):
        Mlflow(f"{uri}/mlflow/").experiment_id("x")
        Mlflow(uri.replace("http://", "http://url-user:url-secret@")).experiment_id("x")
        Mlflow(uri, username="arg-user", password="arg-secret").experiment_id("x")
        assert "url-secret" not in Mlflow(uri.replace("http://", "http://u:url-secret@")).uri
    assert seen[0]["path"] == "/mlflow/api/2.0/mlflow/experiments/get-by-name?experiment_name=x"
    pairs = [base64.b64decode(s["authorization"].removeprefix("Basic ")).decode() for s in seen]
    assert pairs == ["env-user:env-secret", "url-user:url-secret", "arg-user:arg-secret"]


def test_artifacts_that_the_server_does_not_pass_on(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("x")
    content = b'{"run": {"info": {"artifact_uri": "/srv/mlruns/1/abc/artifacts"}}}'
    with (
        scripted_server(200, content) as (uri, _),
        pytest.raises(TrackingError, match="does not pass artifacts on"),
    ):
        Mlflow(uri).log_artifact("abc", file)


def test_https_is_spoken_and_a_certificate_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=lab -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *words.split(), *files], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with scripted_server(200, b'{"experiment": {"experiment_id": "3"}}', tls) as (uri, _):
        with pytest.raises(TrackingError, match="certificate"):
            Mlflow(uri).experiment_id("x")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert Mlflow(uri).experiment_id("x") == "3"
