"""The served process itself: requests that no browser sends, and its end."""

from __future__ import annotations

import signal

import pytest

from browser.conftest import Site
from unit.dashboard.scenes import everything_on

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "path",
    [
        "/experiments/baseline/outputs/../../../../../../etc/passwd",
        "/experiments/baseline/outputs/analysis/../.drive_id",
        "/experiments/baseline/outputs//etc/passwd",
        "/experiments/baseline/outputs/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/experiments/../../etc/passwd",
        "/experiments/baseline/logs/../../../../etc/passwd",
        "/static/../../../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/app.py",
        "/static//etc/passwd",
        "//etc/passwd",
        "/..",
    ],
)
def test_paths_as_they_are_sent_lead_nowhere(site: Site, path: str) -> None:
    status, body = site.ask(path)
    assert status == 404
    assert b"root:" not in body and b"def " not in body and site.drive.read_id().encode() not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "PROPFIND"])
def test_nothing_but_looking_is_possible(site: Site, method: str) -> None:
    for path in ("/", "/experiments/baseline", "/api/v1/overview"):
        assert site.ask(path, method)[0] == 405


def test_serving_writes_nothing_to_the_drive_and_ends_at_once(own_site: Site) -> None:
    before = everything_on(own_site.drive)
    for path in ("/", "/experiments/baseline", "/experiments/baseline/logs/evaluation", "/api/v1/overview"):
        assert own_site.ask(path)[0] == 200
    own_site.process.send_signal(signal.SIGINT)
    assert own_site.process.wait(30) == 130
    assert everything_on(own_site.drive) == before
