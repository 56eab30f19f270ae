"""Histories: the events of an experiment's life, for tests of the databases and of what shows them."""

from __future__ import annotations

from datetime import timedelta

from heliograph.drive import Drive
from heliograph.protocol import events as ev
from support.drives import NOW


def whole_life(drive: Drive, experiment: str = "e1", ending: str = "completed") -> list[ev.Event]:
    """Return the events of an experiment from the first step of training to the verdict on its analysis."""
    training = {"experiment": experiment, "stage": "training", "run": f"run-{experiment.lower()}"}
    final = str(drive.final_model(experiment))
    bodies: list[ev.Body] = [
        ev.TrainingStarted(
            **training,
            hostname="wild_west",
            user="tmorton",
            config_path="config/experiments/e1.yaml",
            mlflow_run_id="abc",
            metadata={"mlflow": {"tracking_uri": "http://monitoring:5000", "experiment_id": "1"}},
        ),
        ev.TrainingHeartbeat(**training, step=10, total_steps=20, metrics={"loss": 3.5}),
        ev.CheckpointSaved(**training, checkpoint_path=f"{final}/../10", step=10, epoch=0.5, size_bytes=99),
        ev.TrainingCompleted(**training, checkpoint_path=final, metadata={"final_loss": 2.34}),
        ev.SignalAccepted(
            experiment=experiment,
            stage="training",
            path=str(drive.model_folder(experiment) / ".training_complete"),
            sha256="5" * 64,
            content={
                "timestamp": "2026-01-31T09:05:05.000Z",
                "experiment": experiment,
                "checkpoint_path": final,
                "hostname": "wild_west",
                "user": "tmorton",
            },
        ),
    ]
    for number, stage in enumerate(("evaluation", "analysis"), start=1):
        bodies += _job(experiment, stage, number, ending)
    return [ev.make_event(body, NOW + timedelta(seconds=n)) for n, body in enumerate(bodies)]


def told_by_others(drive: Drive, experiment: str = "e1") -> list[ev.Event]:
    """Return what training and jobs tell of such a life: all but the watcher's own decisions."""
    return [event for event in whole_life(drive, experiment) if not isinstance(event.body, ev.DECISIONS)]


def _job(experiment: str, stage: str, number: int, ending: str) -> list[ev.Body]:
    about = {"experiment": experiment, "stage": stage, "token": f"{stage[:4]}-{experiment.lower()}"}
    job_id = str(100 + number)
    told: list[ev.Body]
    if stage == "evaluation":
        told = [
            ev.ResultsAdded(
                **about, dataset="pairs", checkpoint="final", metrics={"accuracy": 0.75, "loss": None}
            )
        ]
    else:
        told = [
            ev.OutputAdded(**about, output_type="figure", output_path=f"analysis/figures/{experiment}/a.png")
        ]
    return [
        ev.AttemptQueued(
            **about,
            attempt=1,
            signal_sha256="5" * 64,
            executor="local",
            resources={"mem": "1G"},
            parent_id=1,
            input_path="/in",
            metadata={"input_path": "/in"},
        ),
        ev.AttemptSubmitted(**about, job_id=job_id, script_path="/s.sh", log_path=f"/logs/{job_id}.log"),
        ev.JobStarted(**about, job_id=job_id, hostname="node1"),
        ev.JobHeartbeat(**about, done=1, total=2),
        *told,
        ev.RunLinked(**about, mlflow_run_id="def"),
        ev.JobEnded(**about, exit_code=0 if ending == "completed" else 3, error_tail=["line"]),
        ev.AttemptConcluded(
            **about,
            status=ending,
            failure_class=None if ending == "completed" else "permanent",
            reason=None if ending == "completed" else "vocabulary too small",
        ),
    ]
