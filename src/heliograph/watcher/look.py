"""Looking at the drive: which signals stand there, and what is to be made of each.

A look has one of these outcomes, and only the second and the last lead to anything:

- nothing there, or not readable now (OSError): look again;
- valid, and what it announces is there and is not being written any more;
- broken, but not for long: it may be half replaced, or its files may still be on their way: look again;
- broken, and unchanged for `settle_s`: it is put aside, once.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from heliograph.drive import Drive
from heliograph.errors import BadInput, BadSignal
from heliograph.files import LASTING, read_untrusted
from heliograph.names import is_name
from heliograph.protocol.signals import (
    ALL_KINDS,
    LARGEST_SIGNAL,
    Signal,
    SignalKind,
    content_sha256,
    parse_signal,
)
from heliograph.stages.stage import Stage

log = logging.getLogger(__name__)
K = TypeVar("K")
V = TypeVar("V")


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


# Some network drives remember for half a minute that a name was missing, and still list it: now and then the
# folder is listed before the name is opened.
LIST_EVERY_S = 5.0
LIST_IN_ANY_CASE = 20
_MOST_REMEMBERED = 2048
_ANYBODY = "A-name-that-stands-for-any-experiment"


class Looker:
    """Looks at signals, with a memory of those that were broken, and of what need not be checked again."""

    def __init__(self, drive: Drive, stages: tuple[Stage, ...], settle_s: float) -> None:
        self.drive = drive
        self.settle_s = settle_s
        self._stage_by_trigger = {stage.trigger.file_name: stage for stage in stages}
        self._anybodys_trigger = {
            stage.trigger.file_name: str(stage.trigger.path(drive, _ANYBODY)) for stage in stages
        }
        """paths as texts: a start looks at them by ten thousands"""
        self._broken_since: dict[Path, tuple[str, datetime]] = {}
        self._changing_since: dict[Path, tuple[str, datetime]] = {}
        self._listed_at: dict[str, datetime] = {}
        self._models_changed_ns = -1
        self._same_for = 0
        self._inputs: dict[Path, tuple[str, str]] = {}
        """triggers whose input was valid: content and input path"""
        self._outputs: dict[Path, str] = {}
        """done signals whose outputs were valid: content"""

    def folders(self, experiment: str) -> list[Path]:
        """List the folders in which an experiment's signals appear."""
        return list(dict.fromkeys(kind.path(self.drive, experiment).parent for kind in ALL_KINDS))

    def unsettled(self) -> set[str]:
        """Return the experiments with a signal that is broken or whose files still change: a corrected one is
        to be taken up at once."""
        return {path.parent.name for path in (*self._broken_since, *self._changing_since)}

    def is_settling(self, now: datetime) -> bool:
        """Tell whether a broken signal may still become a good one."""
        since = [at for _, at in (*self._broken_since.values(), *self._changing_since.values())]
        return any((now - at).total_seconds() < self.settle_s for at in since)

    def list_models(self) -> tuple[list[str], list[str]]:
        """List models/ once: the experiments that have a folder, and the paths of what has a name that is
        none, hidden ones aside."""
        experiments, hostile = [], []
        with os.scandir(self.drive.models) as entries:
            for entry in entries:
                if not is_name(entry.name):
                    if not entry.name.startswith("."):
                        hostile.append(entry.path)
                elif entry.is_symlink() or entry.is_dir():  # a link that leads out is told of
                    experiments.append(entry.name)
        return sorted(experiments), sorted(hostile)

    def may_have_changed(self) -> bool:
        """Tell whether models/ may hold other folders than when this was asked last.

        Its modification time tells, but not at once on every drive, and only as finely as its clock: after a
        change the answer is yes twice, and now and then it is yes in any case.
        """
        changed_ns = self.drive.models.stat().st_mtime_ns
        if changed_ns != self._models_changed_ns:
            self._models_changed_ns, self._same_for = changed_ns, 0
            return True
        self._same_for += 1
        return self._same_for == 1 or self._same_for % LIST_IN_ANY_CASE == 0

    def look(self, experiment: str, now: datetime) -> tuple[dict[str, Sighting], list[Broken]]:
        """Look at every signal of an experiment: the valid ones by file name, and those to put aside."""
        seen: dict[str, Sighting] = {}
        broken: list[Broken] = []
        self._list_now_and_then(experiment, now)
        for kind in ALL_KINDS:
            path = kind.path(self.drive, experiment)
            try:
                raw = read_untrusted(path, LARGEST_SIGNAL)
            except FileNotFoundError:
                self._broken_since.pop(path, None)
                self._changing_since.pop(path, None)
                continue
            except OSError as error:
                broken += self._unreadable(kind, path, error, now)
                continue
            try:
                sighting = self._check(kind, path, raw, experiment)
                self._broken_since.pop(path, None)
                if self._is_still(sighting, now):
                    seen[kind.file_name] = sighting
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
        known = self._inputs.get(path)
        if known is not None and known[0] == signal.sha256:
            return Sighting(signal, known[1])
        return Sighting(signal, stage.check_input(self.drive, signal))

    def _is_still(self, sighting: Sighting, now: datetime) -> bool:
        """Tell whether what a trigger announces has settled: it is older than its signal, or has not changed
        for `settle_s`. Both times are the drive's own, so no host's clock matters."""
        signal, path = sighting.signal, sighting.signal.path
        stage = self._stage_by_trigger.get(signal.kind.file_name)
        if stage is None or not sighting.input_path or path in self._inputs:
            return True
        state = stage.later_changes(self.drive, signal) if stage.later_changes else None
        known = self._changing_since.get(path)
        if state is not None and (known is None or known[0] != state):
            self._changing_since[path] = (state, now)
            return self.settle_s <= 0
        if state is not None and known and (now - known[1]).total_seconds() < self.settle_s:
            return False
        self._changing_since.pop(path, None)
        _remember(self._inputs, path, (signal.sha256, sighting.input_path))
        return True

    def _list_now_and_then(self, experiment: str, now: datetime) -> None:
        listed = self._listed_at.get(experiment)
        if listed is not None and abs((now - listed).total_seconds()) < LIST_EVERY_S:
            return
        _remember(self._listed_at, experiment, now)
        for folder in self.folders(experiment):
            with contextlib.suppress(OSError), os.scandir(folder) as entries:
                next(entries, None)

    def has_news(self, experiment: str, known: dict[str, str]) -> bool:
        """Tell whether a trigger of an experiment is another than the one that is known."""
        for file_name, anybodys in self._anybodys_trigger.items():
            try:
                parsed = json.loads(read_untrusted(anybodys.replace(_ANYBODY, experiment), LARGEST_SIGNAL))
                if content_sha256(parsed) != known.get(file_name):
                    return True
            except FileNotFoundError:
                continue
            except (OSError, ValueError, RecursionError):
                return True  # whoever looks closely will tell what is wrong
        return False

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
        if error.errno == errno.EACCES:  # sshfs says EPERM of every error that it has no word for
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
        if self._outputs.get(signal.path) == signal.sha256:
            return True, None
        try:
            check(self.drive, signal)
        except BadInput as error:
            return False, str(error)
        except OSError as error:
            return False, f"{signal.path}: its outputs cannot be read now: {error}"
        _remember(self._outputs, signal.path, signal.sha256)
        return True, None


def _remember(memory: dict[K, V], key: K, value: V) -> None:
    """Keep what was found last, and forget the oldest beyond some thousand."""
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > _MOST_REMEMBERED:
        del memory[next(iter(memory))]


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
