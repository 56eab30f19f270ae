"""The doctor on a real Slurm, with and without accounting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from heliograph.drive import Drive
from support.doctoring import GIVE_UP_S, Told, doctor
from support.slurm_lab import SlurmLab

pytestmark = pytest.mark.slurm

SMALL = """\
stages:
  evaluation: {resources: {time: "00:05:00", mem: 200M, cpus_per_task: 1}}
  analysis: {resources: {time: "00:05:00", mem: 200M, cpus_per_task: 1}}
"""


def ask(lab: SlurmLab, drive: Drive, config: str, *arguments: str) -> Told:
    drive.watcher_config.write_text(config)
    environ = lab.environ | {"HELIOGRAPH_STATE": os.environ["HELIOGRAPH_STATE"]}
    return doctor(drive.root, *arguments, environ=environ)


def test_a_cluster_without_accounting(slurm_lab: SlurmLab, drive: Drive) -> None:
    told = ask(slurm_lab, drive, SMALL, "slurm").of("slurm")
    well = ("commands", "controller", "cluster", "accounting", "partitions", "evaluation job", "analysis job")
    assert {check: told[check].verdict for check in well} == dict.fromkeys(well, "ok")
    assert "none; the controller forgets a job 300 s" in told["accounting"].told
    assert "in partition main" in told["evaluation job"].told
    assert told["end of jobs"].verdict == "warn", "the lab's KillWait is 1 s"
    assert told["nodes"].remedy == "heliograph doctor --job"
    assert slurm_lab.run("squeue", "-h", "-t", "all", "-o", "%j").strip() == "", "nothing was submitted"


def test_a_poll_that_is_slower_than_the_controller_forgets(slurm_lab: SlurmLab, drive: Drive) -> None:
    told = ask(slurm_lab, drive, f"{SMALL}slurm: {{poll_every_s: 200}}\n", "slurm").of("slurm")
    assert told["accounting"].verdict == "warn"
    assert told["accounting"].remedy == "In config/watcher.yaml: slurm.poll_every_s: 100"


def test_a_cluster_with_accounting_refuses_an_unknown_account(accounting_lab: SlurmLab, drive: Drive) -> None:
    config = SMALL.replace("mem: 200M", "mem: 200M, account: nobody", 1)
    told = ask(accounting_lab, drive, config, "slurm")
    assert told.of("slurm")["accounting"].told.startswith("sacct answers")
    refused = told.of("slurm")["evaluation job"]
    assert refused.verdict == "bad" and "account nobody" in refused.told
    assert told.verdicts("slurm")["analysis job"] == "ok"
    assert told.exit_code == 10


def test_an_unknown_partition_and_too_much_memory_are_refused(slurm_lab: SlurmLab, drive: Drive) -> None:
    config = SMALL.replace("mem: 200M", "mem: 200M, partition: gpu", 1).replace("200M, cpus", "900G, cpus")
    told = ask(slurm_lab, drive, config, "slurm").of("slurm")
    assert told["partitions"].verdict == "bad" and "gpu, which is not there" in told["partitions"].told
    assert "Invalid partition name specified" in told["evaluation job"].told
    assert told["analysis job"].verdict == "bad" and "mem 900G" in told["analysis job"].told


def test_a_closed_partition_holds_jobs_back(slurm_lab: SlurmLab, drive: Drive) -> None:
    config = SMALL.replace("mem: 200M", "mem: 200M, partition: closed", 1)
    told = ask(slurm_lab, drive, config, "slurm").of("slurm")
    assert told["partitions"].verdict == "warn"
    assert told["evaluation job"].verdict == "warn" and "held back" in told["evaluation job"].told


def test_a_controller_that_hangs_is_told(slurm_lab: SlurmLab, drive: Drive) -> None:
    with slurm_lab.frozen():
        told = ask(slurm_lab, drive, SMALL, "slurm")
    assert told.verdicts("slurm") == {"commands": "ok", "controller": "bad"}


def test_a_job_looks_at_the_drive_from_a_node(slurm_lab: SlurmLab, drive: Drive) -> None:
    told = ask(slurm_lab, drive, SMALL, "--job", "--seconds", "60")
    node, *others = told.of("job").values()
    assert node.verdict == "ok" and "this node sees the drive" in node.told, told.of("job")
    assert [finding for finding in others if finding.verdict == "bad"] == []
    assert not drive.doctor.exists()


def test_a_job_that_cannot_start_is_cancelled(slurm_lab: SlurmLab, drive: Drive) -> None:
    config = SMALL.replace("1}}", "1}, extra_directives: [--hold]}", 1)
    finding = ask(slurm_lab, drive, config, "--job", "--seconds", "4").of("job")["job"]
    assert finding.verdict == "warn" and "PENDING" in finding.told
    assert slurm_lab.run("squeue", "-h", "-t", "pending,running", "-o", "%j").strip() == ""


def test_a_drive_that_nodes_do_not_see_is_bad(slurm_lab: SlurmLab, drive: Drive, tmp_path: Path) -> None:
    """The drive is mounted in a namespace of the doctor's own, as if on the login host only."""
    if os.geteuid() != 0:
        pytest.skip("a mount of one's own needs root")
    drive.watcher_config.write_text(SMALL)
    here = tmp_path / "only-here"
    here.mkdir()
    script = 'mount --bind "$1" "$2" && exec "$3" -m heliograph --drive "$2" doctor --job --seconds 60'
    result = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", drive.root, here, sys.executable],
        env=slurm_lab.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=GIVE_UP_S,
    )
    assert result.returncode == 10, result.stderr
    assert "the drive is not there on" in result.stdout
    assert "→ Mount the drive on the compute nodes under the same path." in result.stdout
