"""Where signals are taken in: new valid ones are recorded, broken ones put aside with their reason."""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from heliograph.drive import Drive
from heliograph.names import iso
from heliograph.protocol.events import SignalAccepted, SignalQuarantined
from heliograph.protocol.quarantine import keep_aside, safe_label
from heliograph.state.store import Store
from heliograph.watcher.look import Broken, Sighting

log = logging.getLogger(__name__)


class SignalDesk:
    """Records what became of each content of a signal, once."""

    def __init__(self, drive: Drive, store: Store) -> None:
        self.drive = drive
        self.store = store

    def _status(self, stage: str, path: str, sha256: str) -> str | None:
        row = self.store.row(stage, "signal_status", path=path, sha256=sha256)
        return None if row is None else str(row["status"])

    def accept(self, sighting: Sighting, now: datetime) -> bool:
        """Record a valid signal; tell whether it is new."""
        signal = sighting.signal
        stage, path = signal.kind.stage, str(signal.path)
        if self._status(stage, path, signal.sha256) == "accepted":
            return False
        content: dict[str, Any] = msgspec.to_builtins(signal.content)
        content["timestamp"] = iso(signal.content.timestamp)
        experiment = signal.content.experiment
        self.store.record(
            SignalAccepted(
                experiment=experiment, stage=stage, path=path, sha256=signal.sha256, content=content
            ),
            now,
        )
        context = {"experiment": experiment, "stage": stage}
        log.info("signal %s accepted", signal.kind.file_name, extra=context)
        return True

    def quarantine(self, broken: Broken, experiment: str, now: datetime) -> None:
        """Put a broken signal aside, unless the same content was put aside before."""
        stage, path = broken.kind.stage, str(broken.path)
        if self._status(stage, path, broken.sha256) is None:
            kept_as = keep_aside(self.drive, broken.path, broken.raw, broken.sha256, broken.reason, now)
            self._record(stage, experiment, path, broken.sha256, broken.reason, kept_as, now)

    def quarantine_folder(self, folder: Path, now: datetime) -> None:
        """Tell of a folder whose name is no name; nothing in it is looked at."""
        path = ascii(str(folder))[1:-1]
        reason = (
            f"{path}: experiment: the folder's name is not a name. Use 1 to 128 letters, digits, dots, "
            "dashes and underscores, the first a letter or digit; nothing in it is looked at."
        )
        digest = hashlib.sha256(reason.encode()).hexdigest()
        if self._status("training", path, digest) is None:
            kept_as = keep_aside(self.drive, Path(path), b"", digest, reason, now)
            self._record("training", safe_label(folder.name), path, digest, reason, kept_as, now)

    def _record(
        self, stage: str, experiment: str, path: str, sha256: str, reason: str, kept_as: str, now: datetime
    ) -> None:
        self.store.record(
            SignalQuarantined(
                experiment=experiment, stage=stage, path=path, sha256=sha256, reason=reason, kept_as=kept_as
            ),
            now,
        )
        log.error("quarantined: %s", reason, extra={"experiment": experiment, "stage": stage})
