"""What the in-job runner does on a private real Slurm; only the workers are stand-ins."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from heliograph.config import Resources, StageSettings, WatcherConfig
from heliograph.drive import Drive
from heliograph.protocol.signals import EVAL_COMPLETE, TRAINING_COMPLETE, publish_signal, read_signal
from heliograph.watcher.daemon import Watcher
from support.drives import make_model, publish_training, training_signal
from support.fake_worker import make_stub, starts
from support.slurm_lab import SlurmLab
from support.watching import CONFIG, tick_until, tick_until_idle, watching
from unit.evaluation.builders import EXPERIMENT, pair_rows, save_checkpoint, write_dataset

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("environ")]
SMALL = Resources(time="00:05:00", mem="100M", cpus_per_task=1)


@pytest.fixture(scope="module")
def lab() -> Iterator[SlurmLab]:
    with SlurmLab() as started:
        yield started


@pytest.fixture
def environ(lab: SlurmLab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in lab.environ.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    make_stub(tmp_path / "fake")
    return tmp_path / "fake"


def settings(**evaluation: Any) -> WatcherConfig:
    stages = {name: StageSettings(resources=SMALL, most_mem="400M") for name in ("evaluation", "analysis")}
    stages["evaluation"] = msgspec.structs.replace(stages["evaluation"], **evaluation)
    slurm = msgspec.structs.replace(CONFIG.slurm, poll_every_s=0.3, command_timeout_s=30)
    return msgspec.structs.replace(CONFIG, executor="slurm", slurm=slurm, stages=stages)


def jobs(watcher: Watcher) -> list[dict[str, Any]]:
    return list(reversed(watcher.store.rows("evaluation", "jobs")))


def read(folder: Path, name: str) -> list[str]:
    return (folder / name).read_text().splitlines() if (folder / name).exists() else []


# The time limit --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_job_that_is_warned_saves_leaves_and_gets_more_time(
    lab: SlurmLab, drive: Drive, tmp_path: Path, fake: Path
) -> None:
    """Slurm looks at time limits every 30 s."""
    publish_training(drive, "e1")
    (fake / "e1-evaluation").write_text("once until-term")
    with watching(drive, tmp_path / "state", fake / "bin" / "python", settings()) as watcher:
        tick_until(watcher, (fake / "waiting").exists)
        lab.run("scontrol", "update", f"jobid={jobs(watcher)[0]['slurm_job_id']}", "endtime=now+100")
        tick_until_idle(watcher)
        first, second = jobs(watcher)
    assert (first["status"], first["failure_class"], first["exit_code"]) == ("failed", "resources", 152)
    assert first["error_message"].startswith("TIMEOUT: stopped shortly before the time limit")
    assert "FAILED" in first["error_message"], "that is what Slurm calls it"
    assert second["status"] == "completed"
    grown = msgspec.json.decode(second["resources"])
    assert (grown["time"], grown["mem"]) == ("00:10:00", "100M")


# Started again ---------------------------------------------------------------------------------------


def test_a_requeued_job_takes_its_attempt_up_again(
    lab: SlurmLab, drive: Drive, tmp_path: Path, fake: Path
) -> None:
    publish_training(drive, "e1")
    (fake / "e1-evaluation").write_text("once until-term")
    config = settings(extra_directives=["--requeue"])
    with watching(drive, tmp_path / "state", fake / "bin" / "python", config) as watcher:
        tick_until(
            watcher, lambda: (fake / "waiting").exists() and jobs(watcher)[0]["started_at"] is not None
        )
        before = jobs(watcher)[0]
        lab.run("scontrol", "requeue", before["slurm_job_id"])
        tick_until(watcher, lambda: jobs(watcher)[0]["scheduler_state"] == "PENDING")
        lab.run("scontrol", "update", f"jobid={before['slurm_job_id']}", "starttime=now+2")
        tick_until_idle(watcher)
        (job,) = jobs(watcher)
    assert (job["status"], job["restarts"], job["exit_code"], job["error_message"]) == (
        "completed",
        1,
        0,
        None,
    )
    assert job["started_at"] > before["started_at"]
    assert starts(fake)[:2] == [f"e1 evaluation {job['slurm_job_id']}"] * 2
    log = Path(job["log_path"]).with_suffix(".err").read_text()
    assert log.count("started") == 2, "the second start appended to the log of the first"


def test_a_job_whose_node_dies_runs_again_elsewhere_without_a_new_attempt(
    lab: SlurmLab, drive: Drive, tmp_path: Path, fake: Path
) -> None:
    publish_training(drive, "e1")
    (fake / "e1-evaluation").write_text("once until-term")
    config = settings(extra_directives=["--requeue"])
    with watching(drive, tmp_path / "state", fake / "bin" / "python", config) as watcher:
        tick_until(
            watcher, lambda: (fake / "waiting").exists() and jobs(watcher)[0]["started_at"] is not None
        )
        job_id = jobs(watcher)[0]["slurm_job_id"]
        node = lab.run("squeue", "-h", "-j", job_id, "-o", "%N").strip()
        with lab.down(node):
            tick_until(watcher, lambda: lab.state(job_id) == "PENDING")
            # in the very second of its end, its node refuses it: "Job credential revoked"
            lab.run("scontrol", "update", f"jobid={job_id}", "starttime=now+2")
            tick_until_idle(watcher)
        (job,) = jobs(watcher)
    assert (job["status"], job["restarts"]) == ("completed", 1)


# Logs ------------------------------------------------------------------------------------------------


def test_a_large_log_is_compressed_and_its_end_stays(drive: Drive, tmp_path: Path, fake: Path) -> None:
    publish_training(drive, "e1")
    (fake / "e1-evaluation").write_text("chatter 60000")
    config = settings(compress_logs_over_mb=1)
    with watching(drive, tmp_path / "state", fake / "bin" / "python", config) as watcher:
        tick_until_idle(watcher)
        (job,) = jobs(watcher)
    path = Path(job["log_path"])
    packed = path.with_name(f"{path.name}.gz")
    tick_until(watcher, packed.exists)
    whole = gzip.decompress(packed.read_bytes()).decode().splitlines()
    assert whole == [f"line {number} of what nobody reads" for number in range(60000)]
    first, *rest = path.read_text().splitlines()
    assert first == f"[heliograph: this is the end; the whole log is {packed.name} beside it]"
    assert rest == whole[-len(rest) :]
    assert 60_000 < path.stat().st_size < 66_000
    assert path.with_suffix(".err").stat().st_size > 0
    assert not path.with_suffix(".err.gz").exists()
    assert not list(path.parent.glob(".*"))


# Job arrays ------------------------------------------------------------------------------------------


def checkpoints(drive: Drive, count: int) -> None:
    for number in range(1, count + 1):
        make_model(drive, "e1", f"checkpoints/checkpoint-{number}")
    drive.base_eval.write_text("checkpoints: all\n")
    publish_training(drive, "e1")


def test_all_checkpoints_are_one_array_that_concludes_once(drive: Drive, tmp_path: Path, fake: Path) -> None:
    checkpoints(drive, 3)
    names = ["checkpoint-1", "checkpoint-2", "checkpoint-3", "final"]
    with watching(drive, tmp_path / "state", fake / "bin" / "python", settings(array=True)) as watcher:
        tick_until_idle(watcher)
        (job,) = jobs(watcher)
        (analysis,) = watcher.store.rows("analysis", "jobs")
    assert (job["status"], job["exit_code"], analysis["status"]) == ("completed", 0, "completed")
    array = job["slurm_job_id"]
    began = [line for line in starts(fake) if " evaluation " in line]
    assert sorted(began[:-1]) == [f"e1 evaluation {array} {name}" for name in names]
    assert began[-1] == f"e1 evaluation {array}", "the last one concludes"
    logs = sorted(os.listdir(drive.stage_logs("evaluation")))
    assert logs == sorted(f"{array}_{task}.{kind}" for task in range(4) for kind in ("log", "err"))
    assert job["log_path"].endswith(f"{array}_0.log")


@pytest.mark.parametrize("trouble", ["fail 1", "kill-runner"])
def test_what_one_task_did_not_do_the_next_attempt_does_and_nothing_else(
    drive: Drive, tmp_path: Path, fake: Path, trouble: str
) -> None:
    checkpoints(drive, 2)
    (fake / "e1-evaluation-checkpoint-2").write_text(f"once {trouble}")
    with watching(drive, tmp_path / "state", fake / "bin" / "python", settings(array=True)) as watcher:
        tick_until(watcher, lambda: len(jobs(watcher)) == 2)
        assert not (drive.evaluation_folder("e1") / ".eval_complete").exists()
        tick_until_idle(watcher)
        first, second = jobs(watcher)
        assert len(watcher.store.rows("analysis", "jobs")) == 1
    assert (first["status"], second["status"]) == ("failed", "completed")
    assert sorted(read(fake, "work")) == ["checkpoint-1", "checkpoint-2", "final"], "each once"
    if trouble == "fail 1":
        assert first["error_message"].startswith("checkpoint-2: heliograph: it is broken on purpose")
    began = [line for line in starts(fake) if line.startswith(f"e1 evaluation {second['slurm_job_id']}")]
    assert len(began) == 4, "three parts, which find what is finished, and the conclusion"


def test_dying_in_the_conclusion_leaves_only_the_conclusion_to_the_next_attempt(
    drive: Drive, tmp_path: Path, fake: Path
) -> None:
    checkpoints(drive, 1)
    (fake / "e1-evaluation").write_text("once kill-runner")
    with watching(drive, tmp_path / "state", fake / "bin" / "python", settings(array=True)) as watcher:
        tick_until_idle(watcher)
        first, second = jobs(watcher)
    assert (first["status"], second["status"]) == ("failed", "completed")
    assert sorted(read(fake, "work")) == ["checkpoint-1", "final"]


def test_an_array_is_cancelled_as_a_whole(drive: Drive, tmp_path: Path, fake: Path) -> None:
    checkpoints(drive, 2)
    for name in ("checkpoint-1", "checkpoint-2", "final"):
        (fake / f"e1-evaluation-{name}").write_text("until-term")
    config = settings(array=True, array_at_once=2)
    with watching(drive, tmp_path / "state", fake / "bin" / "python", config) as watcher:
        tick_until(watcher, lambda: len(read(fake, "waiting")) == 2)
        job = jobs(watcher)[0]
        watcher.submitter.executor("slurm").cancel(job["slurm_job_id"], f"eval_e1.{job['token']}")
        tick_until_idle(watcher)
        (job,) = jobs(watcher)
    assert (job["status"], job["failure_class"]) == ("failed", "cancelled")
    assert len(read(fake, "waiting")) == 2, "two at a time, and the third never began"


@pytest.mark.slow
def test_real_models_are_evaluated_side_by_side_by_the_real_program(drive: Drive, tmp_path: Path) -> None:
    for name, step in (("checkpoint-50", 50), ("final", 100)):
        save_checkpoint(drive, name, step=step, seed=step)
    write_dataset(drive, "pairs", pair_rows())
    drive.base_eval.write_text("checkpoints: all\n")
    publish_signal(drive, TRAINING_COMPLETE, training_signal(drive, EXPERIMENT))
    resources = Resources(time="00:05:00", mem="1500M", cpus_per_task=1)
    config = settings(array=True, resources=resources)
    config.stages["analysis"] = StageSettings(resources=Resources(partition="nope"))  # nothing of R here
    with watching(drive, tmp_path / "state", Path(sys.executable), config) as watcher:
        tick_until(watcher, lambda: bool(jobs(watcher)) and jobs(watcher)[0]["completed_at"], timeout_s=240)
        (job,) = jobs(watcher)
        results = watcher.store.rows("evaluation", "results_of_job", job_id=job["id"])
    assert (job["status"], job["exit_code"], job["attempt"]) == ("completed", 0, 1)
    assert {row["checkpoint"] for row in results} == {"checkpoint-50", "final"}
    done = read_signal(EVAL_COMPLETE.path(drive, EXPERIMENT), EVAL_COMPLETE, EXPERIMENT)
    assert (done.content.status, done.content.job_id) == ("complete", job["slurm_job_id"])
    assert sorted(os.listdir(drive.stage_logs("evaluation"))) == sorted(
        f"{job['slurm_job_id']}_{task}.{kind}" for task in range(2) for kind in ("log", "err")
    )
