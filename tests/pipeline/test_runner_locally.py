"""What the in-job runner does under the local executor, which has no arrays and starts nothing again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from heliograph.config import ExperimentSettings, Resources, StageSettings, WatcherConfig
from heliograph.drive import Drive
from support.drives import make_model, publish_training
from support.fake_worker import make_stub, starts
from support.watching import CONFIG, tick_until_idle, watching


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    make_stub(tmp_path / "fake")
    return tmp_path / "fake"


def settings(**evaluation: Any) -> WatcherConfig:
    return msgspec.structs.replace(CONFIG, stages=CONFIG.stages | {"evaluation": StageSettings(**evaluation)})


def jobs(drive: Drive, tmp_path: Path, fake: Path, config: WatcherConfig) -> list[dict[str, Any]]:
    """Let the watcher work until nothing is left to do; return the attempts at the evaluation."""
    with watching(drive, tmp_path / "state", fake / "bin" / "python", config) as watcher:
        tick_until_idle(watcher)
        return list(reversed(watcher.store.rows("evaluation", "jobs")))


def test_a_job_that_is_warned_saves_leaves_and_gets_more_time(
    drive: Drive, tmp_path: Path, fake: Path
) -> None:
    publish_training(drive, "e1")
    (fake / "e1-evaluation").write_text("once until-term")
    first, second = jobs(drive, tmp_path, fake, settings(resources=Resources(time="00:00:12")))
    assert (first["status"], first["failure_class"], first["exit_code"]) == ("failed", "resources", 152)
    assert first["error_message"].startswith("TIMEOUT: stopped shortly before the time limit")
    assert (second["status"], msgspec.json.decode(second["resources"])["time"]) == ("completed", "00:00:24")


def test_where_there_are_no_arrays_one_job_does_all_checkpoints(
    drive: Drive, tmp_path: Path, fake: Path
) -> None:
    make_model(drive, "e1", "checkpoints/checkpoint-1")
    drive.base_eval.write_text("checkpoints: all\n")
    publish_training(drive, "e1")
    (job,) = jobs(drive, tmp_path, fake, settings(array=True))
    assert job["status"] == "completed"
    assert starts(fake)[0] == f"e1 evaluation {job['slurm_job_id']}"
    assert Path(job["log_path"]).exists()


def test_settings_of_some_experiments_reach_their_script(drive: Drive, tmp_path: Path, fake: Path) -> None:
    for name in ("big-1", "small-1"):
        publish_training(drive, name)
    changes = {"extra_directives": ["--nice=100"], "setup": ["true big"]}
    entry = ExperimentSettings("big-*", {"evaluation": changes})
    config = msgspec.structs.replace(settings(), experiments=[entry])
    assert [job["status"] for job in jobs(drive, tmp_path, fake, config)] == ["completed"] * 2
    scripts = {name: (drive.scripts / f"slurm_eval_{name}.sh").read_text() for name in ("big-1", "small-1")}
    assert {name: "--nice=100" in text and "true big" in text for name, text in scripts.items()} == {
        "big-1": True,
        "small-1": False,
    }
