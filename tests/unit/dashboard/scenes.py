"""A drive on which something of everything has happened, published as the watcher does it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from heliograph.drive import Drive
from heliograph.names import iso
from heliograph.protocol import events as ev
from heliograph.state.lease import Holder
from heliograph.state.publish import Publisher
from heliograph.state.store import Store
from support.drives import make_drive

HOSTILE = '<script>alert("x")</script>\x1b[31m red \x00 \u202etxt.exe \N{HEAVY BLACK HEART}'
MLFLOW = "https://mlflow.example.org"
CHECKPOINTS = [
    "checkpoint-250",
    "checkpoint-500",
    "checkpoint-1000",
    "checkpoint-2000",
    "checkpoint-4000",
    "final",
]
ACCURACIES = {
    "subject-verb-agreement": [0.52, 0.58, 0.71, 0.83, 0.902, 0.917],
    "null-subjects": [0.5, 0.49, 0.55, 0.68, 0.774, 0.801],
    "expletives": [0.51, 0.56, 0.6, 0.64, 0.7, 0.698],
}
PERPLEXITIES = [310.2, 144.0, 71.5, 40.2, 28.9, 27.4]


class Scene:
    """Records what happened, minutes before `now`."""

    def __init__(self, drive: Drive, store: Store, now: datetime) -> None:
        self.drive = drive
        self.store = store
        self.now = now

    def at(self, minutes_ago: float, body: ev.Body) -> None:
        self.store.record(body, self.now - timedelta(minutes=minutes_ago))

    def train(self, experiment: str, started: float, ended: float | None = None, *, step: int = 4000) -> None:
        """Start a run of 5,000 steps; end it well if `ended` is given."""
        folder = self.drive.model_folder(experiment)
        common = {"experiment": experiment, "stage": "training", "run": f"run-{started:.0f}"}
        tracking = {"mlflow": {"tracking_uri": MLFLOW, "experiment_id": "1"}}
        begin = ev.TrainingStarted(
            **common, hostname="wild_west", user="tmorton", mlflow_run_id="abc123", metadata=tracking
        )
        self.at(started, begin)
        for name in CHECKPOINTS[:-1]:
            number = int(name.removeprefix("checkpoint-"))
            if number <= step:
                path = str(folder / "checkpoints" / name)
                self.at(
                    started - 2,
                    ev.CheckpointSaved(
                        **common,
                        checkpoint_path=path,
                        step=number,
                        epoch=number / 1000,
                        size_bytes=498_000_000,
                    ),
                )
        self.at(started - 2, ev.TrainingHeartbeat(**common, step=step, total_steps=5000))
        if ended is not None:
            self.at(ended, ev.TrainingCompleted(**common, checkpoint_path=str(folder / "final")))

    def queue(
        self, experiment: str, stage: str, minutes_ago: float, *, job_id: str = "4711", attempt: int = 1
    ) -> str:
        """Queue and submit an attempt; return its token."""
        token = f"{stage[:2]}{attempt}-{zlib.crc32(experiment.encode()):08x}"
        common = {"experiment": experiment, "stage": stage, "token": token}
        self.at(
            minutes_ago,
            ev.AttemptQueued(
                **common, attempt=attempt, signal_sha256="0" * 64, executor="slurm", resources={}
            ),
        )
        log = self.drive.stage_logs(stage) / f"{job_id}.log"
        self.at(
            minutes_ago,
            ev.AttemptSubmitted(**common, job_id=job_id, script_path="script.sh", log_path=str(log)),
        )
        return token

    def start(
        self, experiment: str, stage: str, minutes_ago: float, *, job_id: str = "4711", attempt: int = 1
    ) -> str:
        """Queue an attempt and let it run."""
        token = self.queue(experiment, stage, minutes_ago + 1, job_id=job_id, attempt=attempt)
        self.at(
            minutes_ago,
            ev.JobStarted(experiment=experiment, stage=stage, token=token, job_id=job_id, hostname="node07"),
        )
        return token

    def conclude(self, experiment: str, stage: str, token: str, minutes_ago: float, **told: object) -> None:
        fields = {"status": "completed"} | told
        self.at(minutes_ago, ev.AttemptConcluded(experiment=experiment, stage=stage, token=token, **fields))

    def evaluate(self, experiment: str, started: float, ended: float, *, job_id: str = "4711") -> None:
        """Run an evaluation to its good end, with results for every checkpoint."""
        token = self.start(experiment, "evaluation", started, job_id=job_id)
        common = {"experiment": experiment, "stage": "evaluation", "token": token}
        self.at(started, ev.RunLinked(**common, mlflow_run_id="def456"))
        for index, name in enumerate(CHECKPOINTS):
            for dataset, values in ACCURACIES.items():
                self.at(
                    ended,
                    ev.ResultsAdded(
                        **common, dataset=dataset, checkpoint=name, metrics={"accuracy": values[index]}
                    ),
                )
            self.at(
                ended,
                ev.ResultsAdded(
                    **common, dataset="childes", checkpoint=name, metrics={"perplexity": PERPLEXITIES[index]}
                ),
            )
        self.conclude(experiment, "evaluation", token, ended)

    def analyse(self, experiment: str, started: float, ended: float, *, job_id: str = "4712") -> None:
        """Run an analysis to its good end, with a file for each output."""
        token = self.start(experiment, "analysis", started, job_id=job_id)
        for kind, path, content in outputs(experiment):
            target = self.drive.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            self.at(
                ended,
                ev.OutputAdded(
                    experiment=experiment, stage="analysis", token=token, output_type=kind, output_path=path
                ),
            )
        self.conclude(experiment, "analysis", token, ended)


def outputs(experiment: str) -> list[tuple[str, str, bytes]]:
    """List (type, path, content) of what an analysis makes."""
    report = (
        b"<!doctype html><title>Report</title><h1>Report</h1><script>document.title = 'script ran'</script>"
    )
    files = [
        ("figure", f"figures/{experiment}/{name}.png", png_bytes())
        for name in ("learning_curve", "accuracy_by_group")
    ]
    files += [
        ("figure", f"figures/{experiment}/learning_curve.pdf", b"%PDF-1.4\n%%EOF\n"),
        ("table", f"tables/{experiment}/accuracy.csv", b"dataset,accuracy\nexpletives,0.698\n"),
        ("table", f"tables/{experiment}/accuracy.tex", b"\\begin{tabular}{lr}\\end{tabular}\n"),
        ("report", f"reports/{experiment}/report.html", report),
        ("report", f"reports/{experiment}/report.pdf", b"%PDF-1.4\n%%EOF\n"),
    ]
    return [(kind, f"analysis/{path}", content) for kind, path, content in files]


def png_bytes(width: int = 160, height: int = 100) -> bytes:
    """Return a plain blue PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\x33\x66\x99" * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def play_everything(scene: Scene) -> None:
    """Let experiments reach every state that there is."""
    scene.train("baseline", 600, 480)
    scene.evaluate("baseline", 470, 440, job_id="4711")
    scene.analyse("baseline", 430, 425, job_id="4712")
    scene.train("training-runs", 35, step=1700)
    scene.at(
        90,
        ev.TrainingStarted(
            experiment="training-failed", stage="training", run="run-90", hostname="wild_west", user="tmorton"
        ),
    )
    scene.at(
        80,
        ev.TrainingFailed(
            experiment="training-failed",
            stage="training",
            run="run-90",
            error_type="OutOfMemoryError",
            error_message="CUDA out of memory. Tried to allocate 2.00 GiB",
        ),
    )
    scene.train("evaluation-waits", 200, 3)
    scene.train("evaluation-queued", 300, 70)
    token = scene.queue("evaluation-queued", "evaluation", 69, job_id="4720")
    scene.at(
        68,
        ev.AttemptObserved(
            experiment="evaluation-queued",
            stage="evaluation",
            token=token,
            state="PENDING",
            reason="Resources",
        ),
    )
    scene.train("evaluation-runs", 280, 60)
    token = scene.start("evaluation-runs", "evaluation", 50, job_id="4721")
    scene.at(
        1, ev.JobHeartbeat(experiment="evaluation-runs", stage="evaluation", token=token, done=3, total=8)
    )
    scene.train("evaluation-retried", 400, 120)
    token = scene.start("evaluation-retried", "evaluation", 110, job_id="4722")
    scene.conclude(
        "evaluation-retried",
        "evaluation",
        token,
        10,
        status="failed",
        failure_class="resources",
        reason="OUT_OF_MEMORY: the job used more than its 32G",
        retry_at=scene.now + timedelta(minutes=4),
    )
    scene.train("hostile", 500, 400)
    token = scene.start("hostile", "evaluation", 390, job_id="4723")
    scene.conclude(
        "hostile",
        "evaluation",
        token,
        380,
        status="failed",
        failure_class="permanent",
        reason=HOSTILE,
        exit_code=1,
    )
    scene.train("analysis-runs", 700, 590)
    scene.evaluate("analysis-runs", 580, 560, job_id="4724")
    scene.start("analysis-runs", "analysis", 0.5, job_id="4725")
    quarantined = {"stage": "training", "sha256": "1" * 64}
    scene.at(
        30,
        ev.SignalQuarantined(
            experiment="evaluation-waits",
            path="models/evaluation-waits/.training_complete",
            reason="models/evaluation-waits/.training_complete: timestamp: not a time, found 'yesterday'. "
            "Publish the signal again.",
            **quarantined,
        ),
    )
    scene.at(
        20,
        ev.SignalQuarantined(
            experiment="nobody",
            path="models/nobody/.training_complete",
            reason=f"not JSON: {HOSTILE}",
            **quarantined,
        ),
    )


def publish_scene(root: Path, now: datetime, play: Callable[[Scene], None] = play_everything) -> Drive:
    """Make a drive at `root`, let `play` happen on it, publish it, and let a watcher beat."""
    drive = make_drive(root)
    with Store(root.parent / f"{root.name}-live") as store:
        play(Scene(drive, store, now))
        Publisher(drive, store, host="ssrde").publish(now - timedelta(seconds=40))
    write_beat(drive, now - timedelta(seconds=3))
    logs = drive.stage_logs("evaluation")
    (logs / "4711.log").write_bytes(b"\x1b[32mevaluating\x1b[0m baseline\r\n10 %\r20 %\nbell \x07 <b>\n")
    (logs / "4711.err").write_bytes(b"a warning\n")
    return drive


def write_beat(drive: Drive, at: datetime, beat: int = 7) -> None:
    """Let a watcher on another host hold the lease and beat."""
    drive.lease.mkdir(exist_ok=True)
    holder = Holder(host="ssrde", pid=4242, process_started=1, beat=beat, at=iso(at), memory_mb=31.4)
    (drive.lease / "holder.json").write_bytes(msgspec.json.encode(holder))


def everything_on(drive: Drive) -> dict[str, tuple[bytes, int]]:
    """Return content and time of change of every file below a drive, to compare before and after."""
    files = [path for path in drive.root.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
