"""Looking at the drive: which signals stand there, and what is to be made of each.

A look has one of these outcomes, and only the second and the last lead to anything:

- nothing there, or not readable now (OSError): look again;
- valid, and what it announces is there;
- broken, but not for long: it may be half replaced, or its files may still be on their way: look again;
- broken, and unchanged for `settle_s`: it is put aside, once.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from heliograph.drive import Drive
from heliograph.errors import BadInput, BadSignal
from heliograph.files import LASTING, read_untrusted
from heliograph.names import is_name
from heliograph.protocol.signals import ALL_KINDS, LARGEST_SIGNAL, Signal, SignalKind, parse_signal
from heliograph.stages.stage import Stage

log = logging.getLogger(__name__)


class Sighting(Struct, frozen=True):
    """A valid signal whose announced files are there too."""

    signal: Signal
    input_path: str
    """what the stage that it triggers works on; empty where it triggers none"""


class Broken(Struct, frozen=True):
    """A signal that says something wrong and has not changed for long enough to be put aside."""

    kind: SignalKind
    path: Path
    sha256: str
    raw: bytes
    reason: str


class Looker:
    """Looks at signals, with a memory of those that were broken."""

    def __init__(self, drive: Drive, stages: tuple[Stage, ...], settle_s: float) -> None:
        self.drive = drive
        self.settle_s = settle_s
        self._stage_by_trigger = {stage.trigger.file_name: stage for stage in stages}
        self._broken_since: dict[Path, tuple[str, datetime]] = {}

    def folders(self, experiment: str) -> list[Path]:
        """List the folders in which an experiment's signals appear."""
        return list(dict.fromkeys(kind.path(self.drive, experiment).parent for kind in ALL_KINDS))

    def broken_experiments(self) -> set[str]:
        """Return the experiments with a broken signal: a corrected one is to be taken up at once."""
        return {path.parent.name for path in self._broken_since}

    def is_settling(self, now: datetime) -> bool:
        """Tell whether a broken signal may still become a good one."""
        return any((now - since).total_seconds() < self.settle_s for _, since in self._broken_since.values())

    def experiments(self) -> list[str]:
        """List the experiments that have a folder, by one listing. Names that are none are left out; see
        `hostile_folders`. A link is looked at, so that it is told of when it leads out of the drive."""
        with os.scandir(self.drive.models) as entries:
            return sorted(e.name for e in entries if is_name(e.name) and (e.is_symlink() or e.is_dir()))

    def hostile_folders(self) -> list[Path]:
        """List folders below models/ whose names are no experiment's name, hidden ones aside."""
        return sorted(
            p for p in self.drive.models.iterdir() if not is_name(p.name) and not p.name.startswith(".")
        )

    def look(self, experiment: str, now: datetime) -> tuple[dict[str, Sighting], list[Broken]]:
        """Look at every signal of an experiment: the valid ones by file name, and those to put aside."""
        seen: dict[str, Sighting] = {}
        broken: list[Broken] = []
        for kind in ALL_KINDS:
            path = kind.path(self.drive, experiment)
            try:
                raw = read_untrusted(path, LARGEST_SIGNAL)
            except FileNotFoundError:
                self._broken_since.pop(path, None)
                continue
            except OSError as error:
                broken += self._unreadable(kind, path, error, now)
                continue
            try:
                seen[kind.file_name] = self._check(kind, path, raw, experiment)
                self._broken_since.pop(path, None)
            except BadInput as error:
                broken += self._settled(kind, path, raw, str(error), now)
            except OSError as error:
                if error.errno in LASTING:
                    broken += self._settled(kind, path, raw, str(_cannot_open(path, error)), now)
                else:
                    log.debug("%s announces files that cannot be read now: %s", path, error)
        return seen, broken

    def _check(self, kind: SignalKind, path: Path, raw: bytes, experiment: str) -> Sighting:
        signal = parse_signal(raw, kind, path, experiment)
        stage = self._stage_by_trigger.get(kind.file_name)
        if stage is None or getattr(signal.content, "status", "complete") == "failed":
            return Sighting(signal, "")
        return Sighting(signal, stage.check_input(self.drive, signal))

    def _unreadable(self, kind: SignalKind, path: Path, error: OSError, now: datetime) -> list[Broken]:
        """A FIFO, a link that leads away or a huge file will not get better; a stale handle will."""
        if path.is_symlink() or (path.exists() and not path.is_file()) or _is_too_large(path):
            reason = BadSignal(
                file=path,
                field="(file)",
                problem="is no plain file of at most 1 MiB",
                value=error.strerror,
                remedy="Write it as docs/schemas describes, whole, by a rename.",
            )
            return self._settled(kind, path, b"", str(reason), now)
        if isinstance(error, PermissionError):
            denied = BadSignal(
                file=path,
                field="(file)",
                problem="the watcher's user may not read it",
                value=error.strerror,
                remedy="Give its group read permission; it is then taken up at once.",
            )
            return self._settled(kind, path, b"", str(denied), now)
        log.debug("%s cannot be read now: %s", path, error)
        return []

    def _settled(self, kind: SignalKind, path: Path, raw: bytes, reason: str, now: datetime) -> list[Broken]:
        digest = hashlib.sha256(raw + reason.encode()).hexdigest()
        known = self._broken_since.get(path)
        if known is None or known[0] != digest:
            self._broken_since[path] = known = (digest, now)
        if (now - known[1]).total_seconds() < self.settle_s:
            return []
        return [Broken(kind, path, digest, raw, reason)]

    def evidence(
        self, stage: Stage, job_id: str | None, seen: dict[str, Sighting]
    ) -> tuple[bool, str | None]:
        """Tell whether this job's done signal stands and what it announces is valid; else what is wrong."""
        done, failed = seen.get(stage.done.file_name), seen.get(stage.failed.file_name)
        if failed is not None and failed.signal.content.job_id == job_id:
            return False, str(failed.signal.content.error_message)
        if done is None or done.signal.content.job_id != job_id:
            return False, None
        return self._check_output(stage.check_output, done.signal)

    def _check_output(self, check: Callable[[Drive, Signal], str], signal: Signal) -> tuple[bool, str | None]:
        try:
            check(self.drive, signal)
        except BadInput as error:
            return False, str(error)
        except OSError as error:
            return False, f"{signal.path}: its outputs cannot be read now: {error}"
        return True, None


def _cannot_open(path: Path, error: OSError) -> BadSignal:
    return BadSignal(
        file=path,
        field="(what it announces)",
        problem=f"is a path that nobody can open: {error.strerror}",
        value=Path(error.filename or "").name,
        remedy="Let it be a plain file or folder that the watcher's user may read.",
    )


def _is_too_large(path: Path) -> bool:
    try:
        return path.stat().st_size > LARGEST_SIGNAL
    except OSError:
        return False
