"""Every address: what it answers, with which headers, and what it never does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.routing import Mount

from heliograph.dashboard import app as dashboard
from heliograph.dashboard.app import create_app
from heliograph.drive import Drive
from heliograph.state.views import ExperimentView, Overview, Snapshots, read_experiment, read_overview
from support.drives import NOW
from unit.dashboard.scenes import everything_on, outputs

FIGURE = "/experiments/baseline/outputs/analysis/figures/baseline/learning_curve.png"
REPORT = "/experiments/baseline/outputs/analysis/reports/baseline/report.html"
ADDRESSES = [
    *("/", "/?q=base&status=failed", "/experiments/baseline", "/experiments/hostile", FIGURE, REPORT),
    *("/experiments/baseline/logs/evaluation", "/experiments/baseline/logs/evaluation/errors"),
    *(
        "/api/v1/overview",
        "/api/v1/experiments/baseline",
        "/healthz",
        "/static/style.css",
        "/static/htmx.min.js",
    ),
]
MISSING = [
    *("/nothing", "/experiments/nobody", "/experiments/", "/api/v1/experiments/nobody", "/static/nothing.js"),
    *("/experiments/baseline/logs/training", "/experiments/baseline/logs/nonsense", "/docs", "/openapi.json"),
    "/experiments/baseline/outputs/analysis/figures/baseline/other.png",
]
ESCAPES = [
    "/experiments/baseline/outputs/../../../../etc/passwd",
    "/experiments/baseline/outputs/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/experiments/baseline/outputs//etc/passwd",
    "/experiments/baseline/outputs/%2Fetc%2Fpasswd",
    "/experiments/baseline/outputs/analysis/%2e%2e/.drive_id",
    "/experiments/baseline/outputs/analysis%00/x",
    "/experiments/..%2f..%2fetc/logs/evaluation",
    "/experiments/%2e%2e/logs/evaluation",
    "/experiments/baseline/logs/..%2f..%2fetc%2fpasswd",
    "/static/../app.py",
    "/static/%2e%2e/app.py",
    "/static/..%2fapp.py",
    "/static//etc/passwd",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_address_answers_with_headers_that_protect(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 200
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'" if address == REPORT else "default-src 'self'")
    assert "unsafe-eval" not in policy and "script-src" not in policy


@pytest.mark.parametrize("address", ADDRESSES)
def test_head_answers_as_get_does_without_a_body(client: TestClient, address: str) -> None:
    head, get = client.head(address), client.get(address)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


@pytest.mark.parametrize("address", MISSING)
def test_what_is_not_there_is_said_in_a_sentence(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 404
    assert "Traceback" not in answer.text
    assert "Content-Security-Policy" in answer.headers


@pytest.mark.parametrize("address", ESCAPES)
def test_no_address_leads_out(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 404
    assert "root:" not in answer.text and "def create_app" not in answer.text


def test_only_get_and_head_exist(scene_drive: Drive) -> None:
    app = create_app(scene_drive, lambda: NOW)
    for route in app.routes:
        assert isinstance(route, APIRoute | Mount)
        if isinstance(route, APIRoute):
            assert route.methods == {"GET", "HEAD"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_other_methods_are_refused(client: TestClient, method: str, address: str) -> None:
    answer = client.request(method, address)
    assert answer.status_code == 405
    assert "Content-Security-Policy" in answer.headers


def test_looking_writes_nothing_to_the_drive(own_drive: Drive) -> None:
    before = everything_on(own_drive)
    with TestClient(create_app(own_drive, lambda: NOW)) as client:
        for address in ADDRESSES + MISSING + ESCAPES:
            client.get(address)
            client.post(address, content=b"x")
    assert everything_on(own_drive) == before


def test_the_api_tells_what_the_views_tell(client: TestClient, scene_drive: Drive) -> None:
    with Snapshots(scene_drive) as snapshots:
        snapshots.refresh()
        overview, one = read_overview(snapshots), read_experiment(snapshots, "baseline")
    assert msgspec.json.decode(client.get("/api/v1/overview").content, type=Overview) == overview
    assert msgspec.json.decode(client.get("/api/v1/experiments/baseline").content, type=ExperimentView) == one


def test_the_api_says_in_json_what_is_wrong(client: TestClient) -> None:
    answer = client.get("/api/v1/experiments/basline")
    assert answer.json() == {"error": "No experiment is called 'basline'. Did you mean baseline?"}


def test_htmx_gets_only_the_part_that_changes(client: TestClient) -> None:
    for address in ("/", "/experiments/baseline"):
        whole, part = client.get(address), client.get(address, headers={"HX-Request": "true"})
        assert part.text in whole.text and len(part.text) < len(whole.text)
        assert "<html" not in part.text
        assert whole.headers["Vary"] == part.headers["Vary"] == "HX-Request"
        assert whole.headers["Cache-Control"] == "no-store"


def test_the_address_filters(client: TestClient) -> None:
    text = client.get("/?q=evaluation&status=failed").text
    assert 'id="row-evaluation-retried"' in text
    assert text.count('id="row-') == 1
    assert "None of the 9 experiments fits." in client.get("/?q=no+such").text


@pytest.mark.parametrize(
    "query", ["?status=nonsense", "?q=%00%1b", "?q=" + "x" * 5000, "?q=a&q=b", "?unknown=1", "?q=%ff"]
)
def test_a_strange_query_does_no_harm(client: TestClient, query: str) -> None:
    assert client.get(f"/{query}").status_code == 200


def test_outputs_are_handed_out_as_what_they_are(client: TestClient) -> None:
    for _, path, content in outputs("baseline"):
        answer = client.get(f"/experiments/baseline/outputs/{path}")
        assert answer.content == content
        assert ("attachment" in answer.headers.get("Content-Disposition", "")) == path.endswith(".csv")
    assert client.get(FIGURE).headers["Content-Type"] == "image/png"


def test_every_link_of_an_experiments_page_leads_somewhere(client: TestClient, scene_drive: Drive) -> None:
    import re

    for name in ("baseline", "hostile", "evaluation-runs"):
        html = client.get(f"/experiments/{name}").text
        for address in {*re.findall(r'(?:href|src)="(/[^"#]*)', html)}:
            status = client.get(address).status_code
            is_log = "/logs/" in address  # a log that a job has not begun to write is said to be missing
            assert status == 200 or (is_log and status == 404), address


def test_a_report_belongs_to_no_origin_and_runs_nothing(client: TestClient) -> None:
    policy = client.get(REPORT).headers["Content-Security-Policy"]
    assert {part.strip() for part in policy.split(";")} >= {"default-src 'none'", "sandbox"}


def test_a_log_is_plain_text(client: TestClient) -> None:
    answer = client.get("/experiments/baseline/logs/evaluation")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.text == "\\x1b[32mevaluating\\x1b[0m baseline\n10 %\n20 %\nbell \\x07 <b>\n"
    assert client.get("/experiments/baseline/logs/evaluation/errors").text == "a warning\n"


@pytest.mark.parametrize("address", ["/", "/experiments/baseline", "/api/v1/overview", "/healthz"])
def test_without_a_drive_or_anything_published_it_says_so(tmp_path: Path, drive: Drive, address: str) -> None:
    for root, said in (
        (drive, "nothing is published"),
        (Drive(tmp_path / "nowhere"), "not a heliograph drive"),
    ):
        with TestClient(create_app(root, lambda: NOW)) as client:
            answer = client.get(address)
        assert answer.status_code == 503
        assert "Traceback" not in answer.text
        if address != "/healthz":
            assert said in answer.text


def test_health_tells_nothing_but_health(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"ok": True}


def test_htmx_is_told_of_trouble_in_a_part(drive: Drive) -> None:
    with TestClient(create_app(drive, lambda: NOW)) as client:
        answer = client.get("/", headers={"HX-Request": "true"})
    assert answer.status_code == 503
    assert "nothing is published" in answer.text and "<html" not in answer.text


def test_a_file_that_the_drive_does_not_deliver_is_given_up(
    scene_drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: object, timeout: float) -> None:
        raise TimeoutError

    def break_down(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with TestClient(create_app(scene_drive, lambda: NOW)) as client:
        client.get("/")
        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "wait_for", never)
            assert "slow or hangs" in client.get(FIGURE).text
        monkeypatch.setattr(dashboard, "read_output", break_down)
        answer = client.get(FIGURE)
    assert answer.status_code == 503
    assert "Input/output error" in answer.text


def test_static_files_may_be_kept_and_name_their_version(client: TestClient) -> None:
    assert client.get("/static/style.css").headers["Cache-Control"] == "public, max-age=604800"
    assert "/static/style.css?v=" in client.get("/").text


def test_nothing_is_fetched_from_elsewhere(client: TestClient) -> None:
    import re

    for address in ("/", "/experiments/baseline"):
        text = client.get(address).text
        assert not re.findall(r'(?:src|srcset|action|poster)="(?!/)[^"]*"', text)
        assert all("mlflow.example.org" in link for link in re.findall(r'href="(https?:[^"]*)"', text))
