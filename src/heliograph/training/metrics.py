"""The metrics of one run on their way: a folder on the local disk, from which MLflow is served.

    spool/DRIVE-ID/metrics/RUN/
        run.json      which server, which run, its parameters and tags; written at the start
        points.jsonl  one line a call of log(): [milliseconds, step, {"loss": 2.1, …}]
        sent.json     the MLflow run and how much of points.jsonl it has; replaced after each batch
        end.json      how and when the run ended; written at the end
        lock          held by whoever ships (the run itself, or heliograph sync)

The folder goes away when the run has ended and all of it is shipped. A batch that was sent but not noted in
sent.json is sent again, which changes nothing: MLflow stores an equal point once.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from heliograph.durable import durable
from heliograph.files import make_folder, write_atomic
from heliograph.tracking import Metric, RunStatus

_LINES_A_BATCH = 500
T = TypeVar("T", bound=Struct)


class RunNote(Struct, frozen=True):
    """What MLflow is told of a run besides its points."""

    uri: str
    experiment: str
    """MLflow's experiment, not ours"""
    name: str
    run: str
    start_ms: int
    params: dict[str, str] = {}
    tags: dict[str, str] = {}


class Sent(Struct, frozen=True):
    """What MLflow has."""

    experiment_id: str
    run_id: str
    offset: int = 0
    """bytes of points.jsonl"""


class End(Struct, frozen=True):
    """How a run ended."""

    status: RunStatus
    end_ms: int


class Point(Struct, frozen=True):
    """The values of one call of log()."""

    timestamp_ms: int
    step: int
    values: Mapping[str, float]

    def metrics(self) -> list[Metric]:
        return [Metric(key, value, self.timestamp_ms, self.step) for key, value in self.values.items()]


class Spool:
    """The folder of one run's metrics."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._points = folder / "points.jsonl"

    def begin(self, note: RunNote) -> None:
        """Make the folder. Raises OSError."""
        make_folder(self.folder)
        self._write("run.json", note)

    def append(self, points: Sequence[Point]) -> None:
        """Append points, in one write. Raises OSError."""
        lines = [json.dumps([p.timestamp_ms, p.step, dict(p.values)]) + "\n" for p in points]
        with self._points.open("a", encoding="ascii") as file:  # json, not msgspec: NaN must survive
            file.write("".join(lines))

    def batches(self, offset: int) -> Iterator[tuple[list[Point], int]]:
        """Yield the points from byte `offset` on, with the offset after them. A last line that was cut off
        by a crash is left out."""
        if not self._points.exists():
            return
        with self._points.open("rb") as file:
            file.seek(min(offset, os.fstat(file.fileno()).st_size))
            while lines := _whole_lines(file.readlines(_LINES_A_BATCH * 100)):
                yield [Point(*json.loads(line)) for line in lines], file.tell()

    def read_note(self) -> RunNote:
        """Raises OSError or msgspec.DecodeError."""
        return msgspec.json.decode((self.folder / "run.json").read_bytes(), type=RunNote)

    def read_sent(self) -> Sent | None:
        return self._read("sent.json", Sent)

    def note_sent(self, sent: Sent) -> None:
        self._write("sent.json", sent)

    def read_end(self) -> End | None:
        return self._read("end.json", End)

    def note_end(self, end: End) -> None:
        self._write("end.json", end)

    def remove(self) -> None:
        with durable("rmtree", self.folder):
            shutil.rmtree(self.folder)

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Hold the right to ship; gives False where another process has it. A process that dies lets go."""
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def _write(self, name: str, content: Struct) -> None:
        write_atomic(self.folder / name, msgspec.json.encode(content))

    def _read(self, name: str, kind: type[T]) -> T | None:
        try:
            return msgspec.json.decode((self.folder / name).read_bytes(), type=kind)
        except (FileNotFoundError, msgspec.DecodeError):
            return None


def _whole_lines(lines: list[bytes]) -> list[bytes]:
    return lines if not lines or lines[-1].endswith(b"\n") else lines[:-1]


def spools(folder: Path) -> list[Spool]:
    """List the spools below `folder`, the oldest run first."""
    if not folder.is_dir():
        return []
    return [Spool(path) for path in sorted(folder.iterdir()) if (path / "run.json").exists()]
