"""The watcher over a private real Slurm; only the workers are stand-ins, so that it takes seconds."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from heliograph.config import Resources, StageSettings, WatcherConfig
from heliograph.drive import Drive
from heliograph.names import utc_now
from heliograph.state import rebuild
from support.drives import publish_training
from support.fake_worker import make_stub, starts
from support.slurm_lab import SlurmLab
from support.watching import CONFIG, statuses, tick_until, tick_until_idle, watching

pytestmark = pytest.mark.slurm


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


@pytest.fixture
def config() -> WatcherConfig:
    small = Resources(time="00:05:00", mem="200M", cpus_per_task=1)
    stages = {name: StageSettings(resources=small, most_mem="400M") for name in ("evaluation", "analysis")}
    slurm = msgspec.structs.replace(CONFIG.slurm, poll_every_s=0.3, command_timeout_s=30)
    return msgspec.structs.replace(CONFIG, executor="slurm", slurm=slurm, stages=stages)


@pytest.mark.usefixtures("environ")
def test_one_signal_leads_through_both_stages_once(
    drive: Drive, tmp_path: Path, fake: Path, config: WatcherConfig
) -> None:
    for number in range(3):
        publish_training(drive, f"e{number}")
    with watching(drive, tmp_path / "state", fake / "bin" / "python", config) as watcher:
        tick_until_idle(watcher)
        assert statuses(watcher, "analysis") == ["completed"] * 3
        jobs = watcher.store.rows("evaluation", "jobs")
    assert len(starts(fake)) == 6
    for job in jobs:
        assert job["executor"] == "slurm"
        assert job["slurm_job_id"].isdigit()
        assert (drive.logs / "evaluation" / f"{job['slurm_job_id']}.log").exists()
    assert rebuild.check(drive, tmp_path / "state") == []


@pytest.mark.usefixtures("environ")
def test_auto_takes_slurm_where_a_controller_answers(
    drive: Drive, tmp_path: Path, fake: Path, config: WatcherConfig
) -> None:
    auto = msgspec.structs.replace(config, executor="auto")
    with watching(drive, tmp_path / "state", fake / "bin" / "python", auto) as watcher:
        assert watcher.executor_name == "slurm"


@pytest.mark.usefixtures("environ")
def test_a_partition_that_is_not_there_is_told_at_once_in_slurms_words(
    drive: Drive, tmp_path: Path, fake: Path, config: WatcherConfig
) -> None:
    wrong = StageSettings(resources=Resources(time="00:05:00", mem="100M", cpus_per_task=1, partition="nope"))
    config = msgspec.structs.replace(config, stages=config.stages | {"evaluation": wrong})
    publish_training(drive, "e1")
    with watching(drive, tmp_path / "state", fake / "bin" / "python", config) as watcher:
        tick_until_idle(watcher)
        (job,) = watcher.store.rows("evaluation", "jobs")
    assert (job["status"], job["failure_class"]) == ("failed", "permanent")
    assert "invalid partition" in job["error_message"].lower()
    assert starts(fake) == []


@pytest.mark.usefixtures("environ")
def test_a_controller_that_hangs_leaves_one_job(
    lab: SlurmLab, drive: Drive, tmp_path: Path, fake: Path, config: WatcherConfig
) -> None:
    """sbatch times out, the job is queued all the same, and it is adopted."""
    publish_training(drive, "e1")
    with watching(drive, tmp_path / "state", fake / "bin" / "python", config) as watcher:
        tick_until(watcher, lambda: statuses(watcher, "evaluation") == ["queued"])
        with lab.frozen():
            watcher.tick(utc_now())
            assert len(watcher.submitter.doubts) == 1
        tick_until_idle(watcher)
        assert statuses(watcher, "analysis") == ["completed"]
    assert len(starts(fake)) == 2


@pytest.mark.usefixtures("environ")
def test_what_a_user_cancels_is_told_and_not_tried_again(
    lab: SlurmLab, drive: Drive, tmp_path: Path, fake: Path, config: WatcherConfig
) -> None:
    publish_training(drive, "e1")
    (fake / "e1-evaluation").write_text("slow 60")
    with watching(drive, tmp_path / "state", fake / "bin" / "python", config) as watcher:
        tick_until(watcher, lambda: len(starts(fake)) == 1)
        lab.run("scancel", watcher.store.rows("evaluation", "jobs")[0]["slurm_job_id"])
        tick_until_idle(watcher)
        (job,) = watcher.store.rows("evaluation", "jobs")
    assert (job["status"], job["failure_class"]) == ("failed", "cancelled")
    assert "CANCELLED" in job["error_message"]
    assert os.listdir(drive.locks / "claims") == [job["token"]]
