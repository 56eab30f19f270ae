"""A model goes from host to host, over mounts as we recommend them and over mounts as sshfs makes them."""

from __future__ import annotations

import json

import pytest

from support.hosts import DEFAULT, TUNED, HostLab
from support.hosts_work import check_once, end, lay_out, train, until_completed, until_told

EITHER = pytest.mark.parametrize("lab", [TUNED, DEFAULT], ids=["tuned", "default"], indirect=True)


@EITHER
def test_a_model_goes_from_host_to_host(lab: HostLab) -> None:
    """wild_west trains, SSRDE sees, evaluates and analyses, monitoring shows."""
    lay_out(lab)
    with lab.ssrde.serving() as watch:
        until_told(lab.ssrde, "watching")
        for name in ("e1", "e2"):
            assert train(lab.wild_west, name) == "completed"
        until_completed(lab, "e1", "e2", within_s=120)
        status = json.loads(lab.monitoring.heliograph("status", "--json").stdout)
        assert {one["experiment"]: one["status"] for one in status["experiments"]} == dict.fromkeys(
            ("e1", "e2"), "completed"
        )
        assert status["watcher"]["host"] == "SSRDE"
        end(watch)
    check_once(lab, ["e1", "e2"])
