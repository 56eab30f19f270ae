"""What there is of a run between its start and its end: its claim, its threads, its way to the drive.

Everything here may raise OSError; `TrainingRun` sees to it that training does not hear of it.
"""

from __future__ import annotations

import operator
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from heliograph.config import load_watcher_config, local_state_folder
from heliograph.drive import Drive
from heliograph.errors import DriveError, HeliographError
from heliograph.names import host_name, iso, user_name, utc_now
from heliograph.protocol.events import TrainingFailed, TrainingHeartbeat, TrainingStarted
from heliograph.protocol.outbox import Outbox
from heliograph.protocol.signals import Signal, TrainingComplete
from heliograph.tracking import RunStatus
from heliograph.training import provenance
from heliograph.training.claim import start_claim, this_process
from heliograph.training.config import ExperimentConfig
from heliograph.training.folders import Write, write_folder
from heliograph.training.meter import Meter, describe, host_metrics
from heliograph.training.metrics import Spool
from heliograph.training.pulse import Pulse, RunLog
from heliograph.training.staging import Completion, Note, Staged, announce_checkpoint, publish_completion

Outcome = Literal["running", "completed", "staged", "failed"]

_PAUSES_S = (1.0, 3.0)
"""between the tries to publish the signal"""


class ActiveRun:
    """One run of an experiment, by the process that trains it."""

    def __init__(
        self, config: ExperimentConfig, drive: Drive, config_path: Path | None, *, overwrite: bool
    ) -> None:
        """Claim the experiment. Raises UsageError (it is there already) or DriveError."""
        self.config = config
        self.drive = drive
        self.config_path = None if config_path is None else str(config_path)
        self.run = uuid.uuid4().hex[:12]
        self.started_at = utc_now()
        self.outcome: Outcome = "running"
        self.total_steps = config.steps
        self._checkpoints: list[dict[str, Any]] = []
        owner = this_process(self.run, iso(self.started_at))
        try:
            self._local = local_state_folder(None) / "spool" / drive.read_id()
            self.claim, aside = start_claim(drive, config.name, owner, overwrite=overwrite)
        except OSError as error:
            reason = f"no training can be started there ({error})"
            remedy = f"Is it mounted, and yours to write? heliograph init {drive.root} makes its folders."
            raise DriveError(folder=drive.root, reason=reason, remedy=remedy) from None
        self._note = Note(config.name, owner)
        self.staged = Staged(self._local / "staged" / f"{config.name}-{self.run}")
        self.outbox = Outbox(drive, self._local)
        self.run_log = RunLog(drive.training_log(config.name), config.name, self.run)
        self.meter = Meter(self.run_log)
        self._pulse = Pulse(self.outbox, self.run_log, self._beat, config.hook.heartbeat_every_s)
        self._facts = provenance.collect()
        if aside is not None:
            self.run_log.tell("INFO", f"the earlier run was moved aside to {aside}")

    # Beginning and end

    def begin(self) -> None:
        """Start the threads, and tell that the run has begun. Raises OSError."""
        self.run_log.tell("INFO", "training started", config_path=self.config_path)
        self._pulse.start()
        self.outbox.post(
            TrainingStarted(
                experiment=self.config.name,
                stage="training",
                run=self.run,
                hostname=host_name(),
                user=user_name(),
                config_path=self.config_path,
                mlflow_run_id=self._begin_mlflow(),
                metadata={"config": msgspec.to_builtins(self.config), **self._facts},
            )
        )

    def _begin_mlflow(self) -> str | None:
        try:
            uri = os.environ.get("MLFLOW_TRACKING_URI") or load_watcher_config(self.drive).mlflow_tracking_uri
        except (OSError, HeliographError) as error:
            self.run_log.warn("mlflow", f"metrics go to the log only: {error}")
            return None
        if not uri:
            self.run_log.tell("INFO", "metrics go to the log only: MLFLOW_TRACKING_URI is not set")
            return None
        start_ms = int(self.started_at.timestamp() * 1000)
        note = describe(self.config, uri, self.run, start_ms, self._facts["git_commit"])
        return self.meter.begin(Spool(self._local / "metrics" / self.run), note)

    def fail(self, error_type: str, message: str, trace: list[str]) -> None:
        """Tell that the run ended badly. Raises OSError."""
        self.outcome = "failed"
        self.run_log.tell("ERROR", f"training failed: {error_type}: {message}", traceback=trace)
        self.outbox.post(
            TrainingFailed(
                experiment=self.config.name,
                stage="training",
                run=self.run,
                error_type=error_type,
                error_message=message,
            )
        )

    def close(self, status: RunStatus) -> None:
        """End the threads, waiting at most exit_wait_s, and release the claim."""
        deadline = time.monotonic() + self.config.hook.exit_wait_s
        self.meter.close(status, self.config.hook.exit_wait_s)
        self._pulse.close(max(0.0, deadline - time.monotonic()))
        try:
            self.claim.release(self.outcome)
        except OSError as error:  # without a drive; that the process has ended says as much
            self.run_log.tell("INFO", f"the claim is not released: {error}")

    def _beat(self) -> TrainingHeartbeat | None:
        if not self.meter.latest or self.outcome != "running":
            return None
        self.meter.put(host_metrics())
        return TrainingHeartbeat(
            experiment=self.config.name,
            stage="training",
            run=self.run,
            step=self.meter.step,
            total_steps=self.total_steps,
            metrics=dict(self.meter.latest),
        )

    # Models

    def metadata(
        self, step: int, metrics: Mapping[str, object], epoch: float | None, tokens_seen: float | None
    ) -> dict[str, Any]:
        """Return what metadata.json of a checkpoint says; what is not given is taken from the last log()."""
        latest = self.meter.latest
        tokens = latest.get("tokens_seen") if tokens_seen is None else tokens_seen
        return {
            "step": operator.index(step),
            "epoch": latest.get("epoch") if epoch is None else float(epoch),
            "tokens_seen": None if tokens is None else int(tokens),
            "metrics": self.meter.clean(metrics or latest),
            "saved_at": iso(utc_now()),
        }

    def save(self, relative: Path, write: Write) -> Path | None:
        """Save a folder below the model folder; where the drive does not take it, in the local one, and then
        return None. Raises OSError when that fails too, BadModel when what was written is no whole model."""
        target = self.claim.folder / relative
        try:
            self._deliver_staged()
            self.claim.check()
            size = write_folder(target, write)
        except OSError as error:
            where = self.staged.stage_folder(self._note, relative, write)
            self.run_log.warn("drive", f"the drive takes no models ({error}); heliograph sync brings {where}")
            return None
        self._checkpoints.append({"path": str(target), "size_bytes": size})
        self.meter.put({"checkpoint_mb": size / 1e6})
        self.run_log.tell("INFO", f"saved {relative}", path=str(target), size_bytes=size)
        return target

    def announce(self, checkpoint: Path) -> None:
        """Tell the watcher of the checkpoint that was saved last. Raises OSError."""
        size = self._checkpoints[-1]["size_bytes"]
        announce_checkpoint(self.outbox, self.claim, self.config.name, checkpoint, size)

    def _deliver_staged(self) -> None:
        if not self.staged.is_empty:
            self.staged.deliver(self.drive, self.outbox)
            self.run_log.tell("INFO", "what waited on the local disk has reached the drive")

    def publish(self, model: Path, *, is_on_drive: bool) -> Signal | None:
        """Publish the end of the run; where the drive does not take it, note it locally and return None.

        Raises OSError when that fails too, BadModel or BadSignal when what is to be published is wrong.
        """
        completion = self._completion(model)
        signal = self._try_to_publish(completion) if is_on_drive else None
        if signal is None:
            self.staged.stage_completion(self._note, completion)
            self.outcome = "staged"
            remedy = f"heliograph sync brings {self.staged.folder}"
            self.run_log.tell("WARN", f"training complete, but not on the drive yet; {remedy}")
            return None
        self.outcome = "completed"
        self.run_log.tell("INFO", f"training complete: {signal.path}")
        return signal

    def _try_to_publish(self, completion: Completion) -> Signal | None:
        for pause_s in (*_PAUSES_S, 0.0):
            try:
                return publish_completion(self.drive, self.outbox, self.claim, completion)
            except OSError as error:
                self.run_log.tell("INFO", f"the signal could not be published: {error}")
                time.sleep(pause_s)
        return None

    def _completion(self, model: Path) -> Completion:
        now, latest, mlflow = utc_now(), self.meter.latest, self.meter.mlflow
        content = TrainingComplete(
            timestamp=now,
            experiment=self.config.name,
            checkpoint_path=str(model),
            hostname=host_name(),
            user=user_name(),
            config_path=self.config_path,
            num_epochs=_whole(latest.get("epoch", self.config.epochs)),
            final_loss=latest.get("loss"),
            total_steps=self.meter.step,
            git_commit=self._facts["git_commit"],
        )
        metadata = {
            **self._facts,
            **msgspec.to_builtins(content),
            "run": self.run,
            "started_at": iso(self.started_at),
            "completed_at": iso(now),
            "final_metrics": dict(latest),
            "checkpoints": self._checkpoints,
            "config": msgspec.to_builtins(self.config),
            "mlflow": mlflow,
        }
        return Completion(content, metadata, mlflow["run_id"] if mlflow else None)


def _whole(number: float | None) -> float | None:
    """Write 10 epochs as 10, as the specification does, not as 10.0."""
    return int(number) if number is not None and number.is_integer() else number
