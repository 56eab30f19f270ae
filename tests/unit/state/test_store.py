import random
import sqlite3
from pathlib import Path

import pytest

from heliograph.drive import Drive
from heliograph.errors import StateError
from heliograph.protocol import events as ev
from heliograph.state.databases import DATABASES
from heliograph.state.rebuild import contents
from heliograph.state.store import Store
from support.drives import NOW
from support.histories import whole_life

SPECIFIED = {
    "training": {
        "training_runs": "id experiment_name status started_at completed_at checkpoint_path config_path "
        "hostname user mlflow_run_id metadata",
        "checkpoints": "id training_run_id checkpoint_path step epoch created_at metrics",
    },
    "evaluation": {
        "evaluation_jobs": "id experiment_name training_run_id status slurm_job_id submitted_at started_at "
        "completed_at checkpoint_path mlflow_run_id error_message metadata",
        "evaluation_results": "id evaluation_job_id dataset_name metric_name metric_value evaluated_at",
    },
    "analysis": {
        "analysis_jobs": "id experiment_name evaluation_job_id status slurm_job_id submitted_at started_at "
        "completed_at targets_manifest_path error_message",
        "analysis_outputs": "id analysis_job_id output_type output_path created_at",
    },
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    with Store(tmp_path / "live") as opened:
        yield opened


@pytest.mark.parametrize("stage", SPECIFIED)
def test_every_specified_column_is_there(store: Store, stage: str) -> None:
    for table, columns in SPECIFIED[stage].items():
        found = [row["name"] for row in store.connection(stage).execute(f"PRAGMA table_info({table})")]
        assert set(columns.split()) <= set(found)
        assert found[: len(columns.split())] == columns.split()


@pytest.mark.parametrize("stage", DATABASES)
def test_the_live_databases_are_safe_and_versioned(store: Store, stage: str) -> None:
    def pragma(name: str) -> object:
        return store.connection(stage).execute(f"PRAGMA {name}").fetchone()[0]

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2
    assert pragma("foreign_keys") == 1
    assert pragma("user_version") == (1 if stage == "training" else 2)


def test_a_life_becomes_rows(store: Store, drive: Drive) -> None:
    store.apply(whole_life(drive))
    run = store.row("training", "training_run", experiment="e1")
    assert run is not None
    assert (run["status"], run["step"], run["hostname"]) == ("completed", 20, "wild_west")
    (checkpoint,) = store.rows("training", "checkpoints", experiment="e1")
    assert (checkpoint["step"], checkpoint["size_bytes"]) == (10, 99)
    (job,) = store.rows("evaluation", "jobs")
    assert (job["status"], job["slurm_job_id"], job["training_run_id"], job["checkpoint_path"]) == (
        "completed",
        "101",
        1,
        "/in",
    )
    results = store.rows("evaluation", "results_of_job", job_id=job["id"])
    assert {r["metric_name"]: r["metric_value"] for r in results} == {"accuracy": 0.75, "loss": None}
    (analysis,) = store.rows("analysis", "jobs")
    assert analysis["evaluation_job_id"] == 1
    (output,) = store.rows("analysis", "outputs_of_job", job_id=analysis["id"])
    assert output["output_type"] == "figure"


def test_events_apply_once_however_often_they_come(store: Store, drive: Drive) -> None:
    events = whole_life(drive)
    assert store.apply(events) == sorted(events, key=lambda e: list(DATABASES).index(e.body.stage))
    before = {stage: contents(store, stage) for stage in DATABASES}
    again = events * 3
    random.Random(7).shuffle(again)
    assert store.apply(again) == []
    assert {stage: contents(store, stage) for stage in DATABASES} == before


def test_final_states_never_leave(store: Store, drive: Drive) -> None:
    store.apply(whole_life(drive, ending="failed"))
    about = {"experiment": "e1", "stage": "evaluation", "token": "eval-e1"}
    store.record(ev.AttemptConcluded(**about, status="completed"), NOW)
    store.record(ev.JobStarted(**about, job_id="999", hostname="late"), NOW)
    store.record(ev.JobEnded(**about, exit_code=0), NOW)
    store.record(ev.JobHeartbeat(**about, done=9, total=9), NOW)
    (job,) = store.rows("evaluation", "jobs")
    assert (job["status"], job["error_message"]) == ("failed", "vocabulary too small")
    assert (job["slurm_job_id"], job["exit_code"]) == ("101", 3)


def test_the_job_that_claimed_is_the_one_that_counts(store: Store, drive: Drive) -> None:
    """A submission in doubt may be repeated; the attempt then follows the job that runs."""
    queued, submitted = whole_life(drive)[5:7]
    store.apply([queued, submitted])
    about = {"experiment": "e1", "stage": "evaluation", "token": "eval-e1"}
    store.record(ev.JobStarted(**about, job_id="777", hostname="n"), NOW)
    store.record(ev.AttemptSubmitted(**about, job_id="888", script_path="s", log_path="l"), NOW)
    (job,) = store.rows("evaluation", "jobs")
    assert (job["slurm_job_id"], job["status"]) == ("777", "running")


def test_starting_again_takes_over_the_row_and_late_words_of_the_old_run_change_nothing(
    store: Store, drive: Drive
) -> None:
    store.apply(whole_life(drive))
    new = {"experiment": "e1", "stage": "training", "run": "run-2222"}
    store.record(ev.TrainingStarted(**new, hostname="h", user="u"), NOW)
    old = {"experiment": "e1", "stage": "training", "run": "run-e1"}
    store.record(ev.TrainingFailed(**old, error_type="ValueError", error_message="late"), NOW)
    run = store.row("training", "training_run", experiment="e1")
    assert run is not None
    assert (run["id"], run["run"], run["status"], run["completed_at"]) == (1, "run-2222", "started", None)


def test_a_signal_alone_makes_a_completed_run(store: Store, drive: Drive) -> None:
    (accepted,) = [e for e in whole_life(drive) if isinstance(e.body, ev.SignalAccepted)]
    store.apply([accepted])
    run = store.row("training", "training_run", experiment="e1")
    assert run is not None
    assert (run["status"], run["user"], run["checkpoint_path"]) == (
        "completed",
        "tmorton",
        str(drive.final_model("e1")),
    )


def test_signal_and_last_word_of_a_training_may_come_in_either_order(drive: Drive, tmp_path: Path) -> None:
    life = whole_life(drive)[:5]
    rows = []
    for number, order in enumerate((life, [*life[:3], life[4], life[3]])):
        with Store(tmp_path / str(number)) as store:
            store.apply(order)
            rows.append(store.row("training", "training_run", experiment="e1"))
    assert rows[0] == rows[1]
    assert rows[0] is not None
    assert "final_loss" in rows[0]["metadata"]


def test_a_job_run_by_hand_makes_its_own_row(store: Store) -> None:
    about = {"experiment": "e1", "stage": "evaluation", "token": "manual-0123456789ab"}
    store.record(ev.JobStarted(**about, job_id="manual-0123456789ab", hostname="laptop"), NOW)
    store.record(ev.JobEnded(**about, exit_code=0), NOW)
    (job,) = store.rows("evaluation", "jobs")
    assert (job["executor"], job["status"]) == ("by hand", "completed")
    assert store.rows("evaluation", "open_attempts") == []


def test_a_transaction_that_fails_changes_nothing(store: Store, drive: Drive) -> None:
    good = whole_life(drive)[0]
    (bad,) = [
        ev.make_event(ev.AttemptConcluded(experiment="e", stage="evaluation", token="tttt", status="odd"))
    ]
    queued = whole_life(drive)[5]
    broken = ev.make_event(
        ev.AttemptConcluded(experiment="e1", stage="evaluation", token="eval-e1", status="no such status")
    )
    assert store.apply([good, bad])
    with pytest.raises(sqlite3.IntegrityError):
        store.apply([queued, broken])
    assert store.rows("evaluation", "jobs") == []


def test_another_file_and_a_newer_version_are_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "training.db").write_text("this is no database, only a text that is long enough" * 9)
    with pytest.raises(StateError, match=r"training\.db.*not a database.*heliograph db rebuild"):
        Store(tmp_path / "a")
    with Store(tmp_path / "b") as store:
        store.connection("analysis").execute("PRAGMA user_version = 99")
    with pytest.raises(StateError, match="its version is 99"):
        Store(tmp_path / "b")
