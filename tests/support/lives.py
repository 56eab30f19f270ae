"""Lives of one experiment, told by real events and published as the watcher does it, to be explained."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from heliograph.drive import Drive
from heliograph.names import iso
from heliograph.protocol import events as ev
from heliograph.state.lease import Holder
from heliograph.state.publish import Publisher
from heliograph.state.store import Store
from heliograph.state.views import Snapshots
from support.drives import NOW, make_drive

E1 = "exp_01"
Told = dict[str, Any]


class Life:
    """Records what happened to exp_01, minutes before now."""

    def __init__(self, drive: Drive, store: Store) -> None:
        self.drive = drive
        self.store = store

    def at(self, minutes_ago: float, body: ev.Body) -> None:
        self.store.record(body, NOW - timedelta(minutes=minutes_ago))

    # training

    def trains(self, started: float, beat: float | None = None, step: int = 1700, **told: Any) -> None:
        """Let a run begin, and beat for the last time `beat` minutes ago."""
        fields: Told = {"hostname": "wild_west", "user": "tmorton"} | told
        common = {"experiment": E1, "stage": "training", "run": "run-1"}
        self.at(started, ev.TrainingStarted(**common, **fields))
        if beat is not None:
            self.at(beat, ev.TrainingHeartbeat(**common, step=step, total_steps=5000))

    def training_fails(self, minutes_ago: float) -> None:
        self.at(
            minutes_ago,
            ev.TrainingFailed(
                experiment=E1,
                stage="training",
                run="run-1",
                error_type="OutOfMemoryError",
                error_message="CUDA out of memory. Tried to allocate 2.00 GiB",
            ),
        )

    def trained(self, started: float, ended: float, *, signal: bool = True, sha256: str = "5" * 64) -> None:
        """Let a run end well, and its signal be accepted."""
        self.trains(started)
        final = str(self.drive.final_model(E1))
        told = ev.TrainingCompleted(experiment=E1, stage="training", run="run-1", checkpoint_path=final)
        self.at(ended, told)
        if signal:
            self.accepts("training", ended, sha256)

    def accepts(self, stage: str, minutes_ago: float, sha256: str = "5" * 64) -> None:
        name = {
            "training": "models/exp_01/.training_complete",
            "evaluation": "evaluation/exp_01/.eval_complete",
        }
        content: Told = {"timestamp": iso(NOW - timedelta(minutes=minutes_ago)), "experiment": E1}
        if stage == "training":
            content |= {"checkpoint_path": "final", "hostname": "wild_west", "user": "tmorton"}
        path = str(self.drive.root / name[stage])
        told = ev.SignalAccepted(experiment=E1, stage=stage, path=path, sha256=sha256, content=content)
        self.at(minutes_ago, told)

    def quarantines(self, minutes_ago: float, stage: str = "training") -> None:
        name = {
            "training": "models/exp_01/.training_complete",
            "evaluation": "evaluation/exp_01/.eval_complete",
        }
        self.at(
            minutes_ago,
            ev.SignalQuarantined(
                experiment=E1,
                stage=stage,
                path=str(self.drive.root / name[stage]),
                sha256="1" * 64,
                reason="timestamp: not a time, found 'yesterday'. Publish the signal again.",
                kept_as="20260131T080500000Z-exp_01-x",
            ),
        )

    # attempts

    def queues(self, minutes_ago: float, number: int = 1, stage: str = "evaluation", **told: Any) -> Told:
        """Commit an intent; return what names the attempt."""
        about = {"experiment": E1, "stage": stage, "token": f"{stage[:4]}-{number}"}
        fields: Told = {
            "signal_sha256": "5" * 64,
            "executor": "slurm",
            "resources": {"time": "02:00:00", "mem": "32G", "cpus_per_task": 8},
        } | told
        self.at(minutes_ago, ev.AttemptQueued(**about, attempt=number, **fields))
        return about

    def submits(self, about: Told, minutes_ago: float, job_id: str = "4711") -> None:
        log = str(self.drive.stage_logs(about["stage"]) / f"{job_id}.log")
        told = ev.AttemptSubmitted(**about, job_id=job_id, script_path="script.sh", log_path=log)
        self.at(minutes_ago, told)

    def observes(self, about: Told, minutes_ago: float, state: str, **told: Any) -> None:
        self.at(minutes_ago, ev.AttemptObserved(**about, state=state, **told))

    def starts(self, about: Told, minutes_ago: float, job_id: str = "4711") -> None:
        self.at(minutes_ago, ev.JobStarted(**about, job_id=job_id, hostname="node07"))

    def beats(self, about: Told, minutes_ago: float, **told: Any) -> None:
        self.at(minutes_ago, ev.JobHeartbeat(**about, **told))

    def runs(self, minutes_ago: float, number: int = 1, stage: str = "evaluation", **told: Any) -> Told:
        """Queue, submit and start an attempt."""
        about = self.queues(minutes_ago + 1, number, stage, **told)
        self.submits(about, minutes_ago + 1, job_id=f"471{number}")
        self.starts(about, minutes_ago, job_id=f"471{number}")
        return about

    def ends(self, about: Told, minutes_ago: float, status: str = "completed", **told: Any) -> None:
        self.at(minutes_ago, ev.AttemptConcluded(**about, status=status, **told))

    def fails(self, about: Told, minutes_ago: float, failure: str, reason: str, **told: Any) -> None:
        self.ends(about, minutes_ago, "failed", failure_class=failure, reason=reason, **told)

    def asks(self, minutes_ago: float, kind: type[Any], stage: str = "evaluation", **told: Any) -> None:
        """Let tmorton on monitoring ask for a retry or a cancellation."""
        body = kind(experiment=E1, stage=stage, **told)
        event = ev.make_event(body, NOW - timedelta(minutes=minutes_ago))
        told_by = msgspec.structs.replace(event, user="tmorton", host="monitoring")
        self.store.apply([told_by])


Play = Callable[[Life], None]


def watcher_beats(drive: Drive, seconds_ago: float, host: str = "ssrde") -> None:
    """Let a watcher on another host hold the lease."""
    drive.lease.mkdir(exist_ok=True)
    at = iso(NOW - timedelta(seconds=seconds_ago))
    holder = Holder(host=host, pid=4242, process_started=1, beat=7, at=at, slurm_calls_last_hour=14)
    (drive.lease / "holder.json").write_bytes(msgspec.json.encode(holder))


@contextlib.contextmanager
def live(root: Path, play: Play, *, beat: float | None = 3) -> Iterator[Snapshots]:
    """Let `play` happen on a new drive and publish it 40 s ago; give what one can read of it."""
    drive = make_drive(root / "drive")
    with Store(root / "live") as store:
        play(Life(drive, store))
        Publisher(drive, store, host="ssrde").publish(NOW - timedelta(seconds=40))
    if beat is not None:
        watcher_beats(drive, beat)
    with Snapshots(drive, root / "cache") as snapshots:
        snapshots.refresh()
        yield snapshots
