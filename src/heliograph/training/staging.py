"""Bringing a run's model to the drive: at once or, where the drive did not take it, later.

What the drive did not take waits on the local disk:

    spool/DRIVE-ID/staged/EXPERIMENT-RUN/
        note.json                             whose it is
        checkpoints/checkpoint-N/  final/     laid out as below models/EXPERIMENT/
        completion.json                       written when the run ended well

`Staged.deliver` is repeatable: what has arrived is not brought again, and the signal comes last.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from heliograph.drive import Drive
from heliograph.durable import durable
from heliograph.files import make_folder, write_atomic
from heliograph.protocol.events import CheckpointSaved, SignalPublished, TrainingCompleted
from heliograph.protocol.outbox import Outbox
from heliograph.protocol.signals import TRAINING_COMPLETE, Signal, TrainingComplete, publish_signal
from heliograph.training.claim import Claim, Owner
from heliograph.training.folders import Write, check_weights, write_folder

_NOTE = "note.json"
_COMPLETION = "completion.json"


class Note(Struct, frozen=True):
    """Whose the staged folders are."""

    experiment: str
    owner: Owner


class CheckpointMetadata(Struct, frozen=True):
    """metadata.json of a checkpoint folder."""

    step: int
    epoch: float | None
    tokens_seen: int | None
    metrics: dict[str, float | None]
    saved_at: str


class Completion(Struct, frozen=True):
    """Everything that is published of a run that ended well, once its model stands on the drive."""

    content: TrainingComplete
    metadata: dict[str, Any]
    """training_metadata.json"""
    mlflow_run_id: str | None = None


def announce_checkpoint(outbox: Outbox, claim: Claim, experiment: str, folder: Path, size: int) -> None:
    """Post the event of a checkpoint that stands whole on the drive. Raises OSError."""
    told = msgspec.json.decode((folder / "metadata.json").read_bytes(), type=CheckpointMetadata)
    outbox.post(
        CheckpointSaved(
            experiment=experiment,
            stage="training",
            run=claim.owner.run,
            checkpoint_path=str(folder),
            step=told.step,
            epoch=told.epoch,
            size_bytes=size,
            metrics=told.metrics,
        )
    )


def publish_completion(drive: Drive, outbox: Outbox, claim: Claim, completion: Completion) -> Signal:
    """Publish the metadata, then the signal, then tell the watcher of both.

    Raises OSError when the drive does not take it, BadModel when the model is not whole. Repeatable.
    """
    content = completion.content
    claim.check()
    check_weights(Path(content.checkpoint_path))
    metadata = msgspec.json.format(msgspec.json.encode(completion.metadata), indent=2) + b"\n"
    write_atomic(drive.training_metadata(content.experiment), metadata)
    signal = publish_signal(drive, TRAINING_COMPLETE, content)
    outbox.post(
        TrainingCompleted(
            experiment=content.experiment,
            stage="training",
            run=claim.owner.run,
            checkpoint_path=content.checkpoint_path,
            mlflow_run_id=completion.mlflow_run_id,
            metadata=completion.metadata,
        )
    )
    outbox.post(
        SignalPublished(
            experiment=content.experiment, stage="training", path=str(signal.path), sha256=signal.sha256
        )
    )
    return signal


class Staged:
    """The local folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def is_empty(self) -> bool:
        return not (self.folder / _NOTE).exists()

    def note(self) -> Note:
        """Tell whose this is. Raises OSError or msgspec.DecodeError."""
        return msgspec.json.decode((self.folder / _NOTE).read_bytes(), type=Note)

    def stage_folder(self, note: Note, relative: Path, write: Write) -> Path:
        """Save a folder here instead of below models/EXPERIMENT/; return where. Raises OSError."""
        self._begin(note)
        write_folder(self.folder / relative, write)
        return self.folder / relative

    def stage_completion(self, note: Note, completion: Completion) -> None:
        """Note that the run ended well. Raises OSError."""
        self._begin(note)
        write_atomic(self.folder / _COMPLETION, msgspec.json.encode(completion))

    def _begin(self, note: Note) -> None:
        make_folder(self.folder)
        write_atomic(self.folder / _NOTE, msgspec.json.encode(note))

    def deliver(self, drive: Drive, outbox: Outbox) -> Signal | None:
        """Bring everything to the drive; return the signal, if the run has ended.

        Raises OSError when the drive does not take it, or (ClaimLost) its folder is another run's now.
        """
        note = self.note()
        claim = Claim(drive.model_folder(note.experiment), note.owner)
        for source in sorted(self.folder.glob("checkpoints/*")) + sorted(self.folder.glob("final")):
            target = claim.folder / source.relative_to(self.folder)
            claim.check()
            if not target.exists():
                size = write_folder(target, partial(_copy, source))
                if target.parent != claim.folder:
                    announce_checkpoint(outbox, claim, note.experiment, target, size)
            with durable("rmtree", source):
                shutil.rmtree(source)
        signal = None
        if (self.folder / _COMPLETION).exists():
            completion = msgspec.json.decode((self.folder / _COMPLETION).read_bytes(), type=Completion)
            signal = publish_completion(drive, outbox, claim, completion)
        with durable("rmtree", self.folder):
            shutil.rmtree(self.folder)
        return signal


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True)


def staged_below(folder: Path) -> list[Staged]:
    """List what waits below `folder`, by name."""
    if not folder.is_dir():
        return []
    return [staged for path in sorted(folder.iterdir()) if not (staged := Staged(path)).is_empty]
