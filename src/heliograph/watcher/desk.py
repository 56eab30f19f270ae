"""Where signals are taken in: new valid ones are recorded, broken ones put aside with their reason."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from heliograph.names import iso
from heliograph.protocol.events import SignalAccepted, SignalQuarantined
from heliograph.protocol.quarantine import safe_label
from heliograph.state.store import Store
from heliograph.watcher.look import Broken, Sighting
from heliograph.watcher.orders import Aside

log = logging.getLogger(__name__)


class SignalDesk:
    """Records what became of each content of a signal, once."""

    def __init__(self, store: Store) -> None:
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

    def asides(self, experiment: str, broken: Iterable[Broken]) -> list[Aside]:
        """Return the broken signals that are to be put aside: each content once."""
        found = [
            Aside(
                stage=one.kind.stage,
                experiment=experiment,
                path=str(one.path),
                raw=one.raw,
                sha256=one.sha256,
                reason=one.reason,
            )
            for one in broken
        ]
        return [one for one in found if self._status(one.stage, one.path, one.sha256) is None]

    def folder_asides(self, folders: Iterable[str]) -> list[Aside]:
        """Return what is told of folders whose names are no names; nothing in them is looked at."""
        found = []
        for folder in folders:
            path = ascii(folder)[1:-1]
            reason = (
                f"{path}: experiment: the folder's name is not a name. Use 1 to 128 letters, digits, dots, "
                "dashes and underscores, the first a letter or digit; nothing in it is looked at."
            )
            digest = hashlib.sha256(reason.encode()).hexdigest()
            if self._status("training", path, digest) is None:
                label = safe_label(Path(folder).name)
                found.append(
                    Aside(
                        stage="training", experiment=label, path=path, raw=b"", sha256=digest, reason=reason
                    )
                )
        return found

    def put_aside(self, asides: Sequence[Aside], kept_as: Sequence[str], now: datetime) -> None:
        """Record what was put into the quarantine."""
        for one, entry in zip(asides, kept_as, strict=True):
            self.store.record(
                SignalQuarantined(
                    experiment=one.experiment,
                    stage=one.stage,
                    path=one.path,
                    sha256=one.sha256,
                    reason=one.reason,
                    kept_as=entry,
                ),
                now,
            )
            context = {"experiment": one.experiment, "stage": one.stage}
            log.error("quarantined: %s", one.reason, extra=context)
