"""The main job with nothing faked: a model is trained, evaluated, analysed in R, tracked and shown.

Everything runs as users run it, by commands, once with the local executor and once with a real Slurm.
"""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest

from heliograph.drive import Drive
from heliograph.mlflow_server import free_port, running_server
from heliograph.state.rebuild import check
from support.slurm_lab import SlurmLab
from support.tiny_experiment import EXPERIMENT, write_experiment

WATCHER = """\
executor: {executor}
publish_every_s: 0.2
detection: {{inbox_every_s: 0.2, settle_s: 0.5}}
slurm: {{poll_every_s: 0.5, settle_s: 2}}
retry: {{first_delay_s: 1}}
stages:
  evaluation: {{resources: {{time: "00:10:00", mem: 2500M, cpus_per_task: 1}}, max_attempts: 1}}
  analysis: {{resources: {{time: "00:10:00", mem: 2500M, cpus_per_task: 1}}, max_attempts: 1}}
"""


@pytest.fixture(params=["local", pytest.param("slurm", marks=[pytest.mark.slurm])])
def executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of an executor that is there; for Slurm a private cluster is started."""
    if request.param == "local":
        yield "local"
        return
    with SlurmLab() as lab:
        for name, value in lab.environ.items():
            monkeypatch.setenv(name, value)
        yield "slurm"


def heliograph(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of heliograph, which must succeed."""
    command = [sys.executable, "-m", "heliograph", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    return done


def lay_out(drive: Drive, executor: str) -> Path:
    """Write the configuration, the texts and the pairs; return the experiment's config."""
    drive.watcher_config.write_text(WATCHER.format(executor=executor))
    return write_experiment(drive)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_model_goes_all_the_way(tmp_path: Path, executor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drive = Drive(tmp_path / "subject-drop")
    monkeypatch.setenv("SHARED_DRIVE", str(drive.root))
    heliograph("init")
    config = lay_out(drive, executor)
    with running_server(drive, free_port()) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        heliograph("train", "--config", str(config))
        heliograph("watch", "--until-idle")
        check_tracking(uri)
    view = json.loads(heliograph("status", EXPERIMENT, "--json").stdout)
    stages = {stage: view[stage] for stage in ("training", "evaluation", "analysis")}
    assert {name: stage["status"] for name, stage in stages.items()} == dict.fromkeys(stages, "completed"), (
        view
    )
    assert stages["evaluation"]["executor"] == executor
    check_training(drive)
    check_evaluation(drive, stages["evaluation"]["job_id"])
    check_analysis(drive, stages["analysis"]["job_id"])
    check_databases(drive)
    assert check(drive, Path(os.environ["HELIOGRAPH_STATE"])) == []


def check_training(drive: Drive) -> None:
    folder = drive.model_folder(EXPERIMENT)
    signal = json.loads((folder / ".training_complete").read_text())
    required = {"timestamp", "experiment", "checkpoint_path", "hostname", "user"}
    optional = {"config_path", "num_epochs", "final_loss", "total_steps"}
    assert required | optional <= signal.keys()
    assert (signal["experiment"], signal["total_steps"]) == (EXPERIMENT, 40)
    for name in ("checkpoint-20", "checkpoint-40"):
        files = {path.name for path in (folder / "checkpoints" / name).iterdir()}
        assert {"model.safetensors", "optimizer.pt", "metadata.json"} <= files
    assert (folder / "final" / "model.safetensors").exists()
    assert json.loads((folder / "training_metadata.json").read_text())["mlflow"]["run_id"]


def check_evaluation(drive: Drive, job_id: str) -> None:
    signal = json.loads((drive.evaluation_folder(EXPERIMENT) / ".eval_complete").read_text())
    assert (signal["status"], signal["job_id"]) == ("complete", job_id)
    assert sorted(signal["datasets_evaluated"]) == ["pairs", "text"]
    table = pyarrow.dataset.dataset(drive.metrics(EXPERIMENT), partitioning="hive").to_table()
    wanted = {
        "experiment",
        "checkpoint",
        "dataset",
        "metric",
        "item_group",
        "form",
        "timestamp",
        "n",
        "value",
    }
    assert wanted <= set(table.column_names)
    assert {"checkpoint-20", "checkpoint-40"} <= set(table["checkpoint"].to_pylist())
    assert {"pairs", "text"} == set(table["dataset"].to_pylist())
    pairs = drive.metrics(EXPERIMENT) / "dataset=pairs" / "metric=accuracy"
    accuracy = pyarrow.dataset.dataset(pairs).to_table()
    assert all(0 <= value <= 1 for value in accuracy["accuracy"].to_pylist())
    assert {"b1_number"} < set(accuracy["item_group"].to_pylist())
    items = pyarrow.dataset.dataset(drive.predictions(EXPERIMENT) / "pairs.parquet").to_table()
    assert {"item_id", "scores", "correct"} <= set(items.column_names)
    log = drive.logs / "evaluation" / f"{job_id}.err"
    assert log.exists()
    script = (drive.scripts / f"slurm_eval_{EXPERIMENT}.sh").read_text()
    assert f"#SBATCH --output={drive.logs}/evaluation/%j.log" in script


def check_analysis(drive: Drive, job_id: str) -> None:
    reports, figures, tables = drive.reports(EXPERIMENT), drive.figures(EXPERIMENT), drive.tables(EXPERIMENT)
    assert json.loads((reports / ".analysis_complete").read_text())["job_id"] == job_id
    assert (reports / "report.pdf").read_bytes().startswith(b"%PDF")
    assert "<html" in (reports / "report.html").read_text()
    for folder, kinds in ((figures, (".png", ".pdf")), (tables, (".csv", ".tex"))):
        for kind in kinds:
            assert list(folder.glob(f"*{kind}")), f"no {kind} in {folder}"
    manifest = json.loads(drive.analysis_manifest(EXPERIMENT).read_text())
    assert manifest["engine"] == "fallback" or manifest["engine"].startswith("targets ")


def check_databases(drive: Drive) -> None:
    def rows(name: str, sql: str) -> list[Any]:
        connection = sqlite3.connect(f"file:{drive.state / name}?mode=ro", uri=True)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    assert rows("training.db", "SELECT experiment_name, status FROM training_runs") == [
        (EXPERIMENT, "completed")
    ]
    assert len(rows("training.db", "SELECT step FROM checkpoints")) >= 2
    assert rows("evaluation.db", "SELECT status, training_run_id, attempt FROM evaluation_jobs") == [
        ("completed", 1, 1)
    ]
    results = rows("evaluation.db", "SELECT DISTINCT dataset_name, metric_name FROM evaluation_results")
    assert {("pairs", "accuracy"), ("text", "perplexity")} <= set(results)
    assert rows("analysis.db", "SELECT status, evaluation_job_id FROM analysis_jobs") == [("completed", 1)]
    kinds = rows("analysis.db", "SELECT DISTINCT output_type FROM analysis_outputs ORDER BY 1")
    assert kinds == [("figure",), ("report",), ("table",)]


def check_tracking(uri: str) -> None:
    """The runs of evaluation and analysis hang below the training's, as MLflow's own client sees them."""
    import urllib.request

    def ask(path: str, **body: Any) -> Any:
        request = urllib.request.Request(
            f"{uri}/api/2.0/mlflow/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    experiments = ask("experiments/search", max_results=50)["experiments"]
    (ours,) = [e["experiment_id"] for e in experiments if e["name"] == "heliograph"]
    runs = ask("runs/search", experiment_ids=[ours])["runs"]
    by_name = {run["info"]["run_name"]: run for run in runs}
    assert set(by_name) == {EXPERIMENT, f"{EXPERIMENT}-evaluation", f"{EXPERIMENT}-analysis"}
    parent = by_name[EXPERIMENT]["info"]["run_id"]
    for name in (f"{EXPERIMENT}-evaluation", f"{EXPERIMENT}-analysis"):
        tags = {tag["key"]: tag["value"] for tag in by_name[name]["data"]["tags"]}
        assert tags["mlflow.parentRunId"] == parent
        assert by_name[name]["info"]["status"] == "FINISHED"
    logged = {metric["key"] for metric in by_name[EXPERIMENT]["data"]["metrics"]}
    assert {"loss", "learning_rate"} <= logged
