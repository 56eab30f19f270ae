"""A model goes from host to host, over mounts as we recommend them and over mounts as sshfs makes them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.hosts import DEFAULT, TUNED, Host, HostLab
from support.hosts_work import (
    check_once,
    end,
    fake_folder,
    lay_out,
    let,
    starts,
    train,
    until_completed,
    until_told,
    views,
)
from support.tiny_experiment import write_experiment

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


@contextmanager
def slurm_on(host: Host) -> Iterator[dict[str, str]]:
    """Run a private Slurm on a host, controller and nodes; yield the environment of those who use it."""
    module = [sys.executable, "-m", "support.slurm_lab"]
    with host.log("slurm").open("w") as errors:
        own = {"TMPDIR": str(host.lab.folder)}
        lab = host.start(*module, env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
    assert lab.stdin is not None
    assert lab.stdout is not None
    try:
        conf = lab.stdout.readline().strip()
        assert conf, host.lab.logs()
        yield {"SLURM_CONF": conf}
    finally:
        lab.stdin.close()
        lab.wait(60)


@pytest.mark.slow
@pytest.mark.slurm
@pytest.mark.parametrize("lab", [TUNED], ids=["tuned"], indirect=True)
def test_slurm_runs_the_jobs_on_ssrde(lab: HostLab) -> None:
    """The job waits for a word while it runs, so that Slurm is asked about it in between."""
    lay_out(lab, executor="auto")
    (fake_folder(lab) / "e1-evaluation").write_text(f"await {lab.here}/state/go")
    with slurm_on(lab.ssrde) as slurm, lab.ssrde.serving(env=slurm) as watch:
        until_told(lab.ssrde, "with slurm")
        train(lab.wild_west, "e1")
        lab.wait_until(lambda: starts(lab) == ["e1 evaluation"], "Slurm runs the evaluation")
        let(lab.ssrde, "go")
        until_completed(lab, "e1")
        assert views(lab)["e1"].analysis.executor == "slurm"
        end(watch)
    check_once(lab, ["e1"])


@pytest.mark.slow
@pytest.mark.parametrize("lab", [TUNED], ids=["tuned"], indirect=True)
def test_a_real_model_goes_from_host_to_host(lab: HostLab) -> None:
    """Nothing is played: a tiny model is trained, evaluated and analysed in R, over the network."""
    lay_out(lab, fake=False)
    write_experiment(lab.drive)
    with lab.ssrde.serving() as watch:
        lab.wild_west.heliograph("train", "--config", "tiny_01.yaml")
        until_completed(lab, "tiny_01", within_s=200)
        end(watch)
    lab.ssrde.heliograph("db", "check")
    shown = json.loads(lab.monitoring.heliograph("status", "tiny_01", "--json").stdout)
    assert {one["metric"] for one in shown["results"]} >= {"accuracy", "perplexity"}
    assert {one["type"] for one in shown["outputs"]} == {"figure", "table", "report"}
    (report,) = [one["path"] for one in shown["outputs"] if one["path"].endswith("report.pdf")]
    head = lab.monitoring.run("head", "-c", "4", lab.here / "drive" / report).stdout
    assert head == "%PDF"
