"""What Slurm's answers mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from heliograph.config import Resources, SlurmSettings, StageSettings
from heliograph.doctor import job, slurm
from heliograph.doctor.finding import Area, Role
from heliograph.drive import Drive
from heliograph.executors.base import JobReport, JobState
from heliograph.executors.command import Answer

UP = Answer("scontrol", 0, "Slurmctld(primary) at ctl is UP\n")
DOWN = Answer("scontrol", 1, "Slurmctld(primary) at ctl is DOWN\n")
NO_CONF = Answer("scontrol", 1, "", "scontrol: fatal: Could not establish a configuration source")
CONFIG = """\
Configuration data as of 2026-01-31T09:05:00
AccountingStorageType   = accounting_storage/none
ClusterName             = lab
JobRequeue              = 1
KillWait                = 30 sec
MaxArraySize            = 1001
MaxJobCount             = 10000
MinJobAge               = 300 sec
SLURM_VERSION           = 22.05.8
SlurmctldParameters     = (null)

Cgroup Support Configuration:
"""


@pytest.mark.parametrize(
    ("here", "executor", "role", "verdict"),
    [
        (slurm.COMMANDS, "auto", "ssrde", "ok"),
        (slurm.COMMANDS[:2], "auto", "all", "bad"),
        ((), "auto", "all", "skipped"),
        ((), "auto", "ssrde", "bad"),
        ((), "slurm", "all", "bad"),
        ((), "local", "ssrde", "skipped"),
    ],
)
def test_commands_are_needed_where_jobs_go_to_slurm(
    here: tuple[str, ...], executor: str, role: Role, verdict: str
) -> None:
    assert slurm.judge_commands(here, executor, role).verdict == verdict


@pytest.mark.parametrize(
    ("answer", "executor", "role", "verdict"),
    [
        (UP, "auto", "all", "ok"),
        (DOWN, "auto", "all", "bad"),
        (NO_CONF, "auto", "all", "skipped"),
        (NO_CONF, "auto", "ssrde", "bad"),
        (NO_CONF, "slurm", "all", "bad"),
        (Answer("scontrol", None), "auto", "ssrde", "bad"),
    ],
)
def test_the_controller_answers(answer: Answer, executor: str, role: Role, verdict: str) -> None:
    assert slurm.judge_controller(answer, executor, role).verdict == verdict


def test_the_settings_are_read_and_judged() -> None:
    values = slurm.parse_config(CONFIG)
    assert (values["SlurmctldParameters"], slurm.seconds_of(values, "MinJobAge")) == ("(null)", 300)
    findings = slurm.judge_settings(values, SlurmSettings(), None)
    assert [f.verdict for f in findings] == ["ok"] * 4
    assert findings[0].told == "lab, Slurm 22.05.8, MaxJobCount 10000, MaxArraySize 1001"


@pytest.mark.parametrize(
    ("age_s", "poll_s", "verdict"),
    [(300, 60.0, "ok"), (180, 60.0, "ok"), (179, 60.0, "warn"), (0, 60.0, "ok"), (None, 60.0, "ok")],
)
def test_without_accounting_a_job_must_be_remembered_for_three_polls(
    age_s: int | None, poll_s: float, verdict: str
) -> None:
    assert slurm.judge_accounting(age_s, poll_s, None).verdict == verdict


def test_accounting_makes_the_age_of_jobs_matter_no_more() -> None:
    assert slurm.judge_accounting(2, 60.0, Answer("sacct", 0)).verdict == "ok"
    silent = slurm.judge_accounting(300, 60.0, Answer("sacct", 1, "", "sacct: error: slurmdbd: refused"))
    assert silent.verdict == "warn" and "refused" in silent.told


@pytest.mark.parametrize(
    ("parameters", "settings", "verdict", "told"),
    [
        ("(null)", SlurmSettings(), "ok", "limits nobody"),
        ("enable_configless,rl_enable", SlurmSettings(), "ok", "30 calls at once and 120 a minute"),
        ("rl_enable,rl_refill_rate=1,rl_refill_period=2", SlurmSettings(), "warn", "30 a minute"),
        ("rl_enable,rl_bucket_size=50", SlurmSettings(submissions_per_minute=500), "warn", "50 calls"),
        ("(null)", SlurmSettings(poll_every_s=10.0), "warn", "30 s or more"),
    ],
)
def test_etiquette(parameters: str, settings: SlurmSettings, verdict: str, told: str) -> None:
    finding = slurm.judge_etiquette(parameters, settings)
    assert finding.verdict == verdict
    assert told in finding.told


@pytest.mark.parametrize(("kill_wait_s", "verdict"), [(30, "ok"), (5, "ok"), (1, "warn"), (None, "ok")])
def test_a_job_needs_time_to_say_that_it_was_ended(kill_wait_s: int | None, verdict: str) -> None:
    assert slurm.judge_end(kill_wait_s, "1").verdict == verdict


PARTITIONS = slurm.parse_partitions("main*|up|1/1/0/2\nclosed|drain|0/2/0/2\nempty|up|0/0/4/4\n")


def test_partitions_are_read() -> None:
    assert [
        slurm.Partition("main", True, 2, 2, True),
        slurm.Partition("closed", False, 2, 2, False),
        slurm.Partition("empty", True, 4, 0, False),
    ] == PARTITIONS


@pytest.mark.parametrize(
    ("wanted", "verdict", "told"),
    [
        (None, "ok", "main 2/2 nodes, closed 2/2 nodes (not up), empty 0/4 nodes"),
        ("main", "ok", ""),
        ("closed,main", "ok", ""),
        ("gpu,main", "ok", ""),
        ("gpu", "bad", "gpu, which is not there"),
        ("closed", "warn", "closed takes no jobs now"),
        ("empty", "warn", "empty takes no jobs now"),
    ],
)
def test_each_stage_has_a_partition_that_takes_jobs(wanted: str | None, verdict: str, told: str) -> None:
    finding = slurm.judge_partitions(PARTITIONS, {"evaluation": wanted})
    assert finding.verdict == verdict
    assert told in finding.told


def test_without_a_default_partition_one_has_to_be_named() -> None:
    others = [partition for partition in PARTITIONS if not partition.is_default]
    assert slurm.judge_partitions(others, {"evaluation": None}).verdict == "bad"


@pytest.mark.parametrize(
    ("code", "stderr", "verdict", "told"),
    [
        (
            0,
            "sbatch: Job 7 to start at 2026-01-31T09:05:00 using 8 processors on nodes n1 in partition main",
            "ok",
            "using 8 processors on nodes n1 in partition main",
        ),
        (1, "allocation failure: Invalid partition name specified", "bad", "refused: Invalid partition"),
        (1, "allocation failure: Required partition not available (inactive or drain)", "warn", "held back"),
        (1, "sbatch: error: something new", "bad", "something new"),
        (None, "", "bad", "did not answer in time"),
    ],
)
def test_a_refusal_is_seen_before_the_first_signal(
    code: int | None, stderr: str, verdict: str, told: str
) -> None:
    asked = Resources(partition="main")
    finding = slurm.judge_submission("evaluation", Answer("sbatch", code, "", stderr), asked)
    assert finding.verdict == verdict
    assert told in finding.told
    assert verdict == "ok" or "mem 32G" in finding.told


# The job --------------------------------------------------------------------------------------------


def ended(state: JobState, code: int | None = None, reason: str | None = None) -> JobReport:
    return JobReport(job_id="7", name="x", state=state, exit_code=code, reason=reason, nodes="n1")


@pytest.mark.parametrize(
    ("report", "verdict", "told"),
    [
        (None, "warn", "neither ran nor could be found"),
        (ended(JobState.PENDING, reason="Resources"), "warn", "PENDING on n1, Resources; it was cancelled"),
        (ended(JobState.FAILED, job.NO_DRIVE), "bad", "the drive is not there on n1"),
        (ended(JobState.FAILED, job.NO_PYTHON), "bad", "is not there on n1"),
        (ended(JobState.OUT_OF_MEMORY, None, "OutOfMemory"), "bad", "OUT_OF_MEMORY on n1"),
        (ended(JobState.COMPLETED, 0), "bad", "its report cannot be seen here"),
    ],
)
def test_a_job_without_a_report_is_told_by_its_end(report: JobReport | None, verdict: str, told: str) -> None:
    finding = job.judge_silence(report)
    assert finding.verdict == verdict
    assert told in finding.told
    assert finding.remedy


def test_what_a_node_found_is_told_with_its_name() -> None:
    drive, python = Area("drive"), Area("python")
    findings = [
        drive.ok("mount", "nfs4"),
        drive.bad("access", "no", "chmod"),
        drive.bad("local state", "on NFS", "no matter on a node"),
        python.ok("python", "3.11"),
    ]
    told = job.judge_report(job.Report("n1", findings))
    assert [(f.area, f.check, f.verdict) for f in told] == [("job", "n1", "ok"), ("job", "n1 access", "bad")]
    assert "nfs4" in told[0].told and "2 checks are ok" in told[0].told


def test_the_jobs_script_asks_for_what_the_evaluation_asks_for(tmp_path: Path) -> None:
    settings = StageSettings(resources=Resources(partition="gpu", qos="low"), modules=["python/3.11"])
    drive = Drive(tmp_path / "with space")
    script = job.build_script("name", drive, settings, tmp_path / "report.json", "/opt/python")
    assert "#SBATCH --partition=gpu\n#SBATCH --qos=low\n" in script
    assert "--account" not in script
    assert "module load python/3.11\n" in script
    assert f"test -r '{drive.root}'/.drive_id || exit 76\n" in script
