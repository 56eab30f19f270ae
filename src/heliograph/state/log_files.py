"""Where a stage's logs stand, and their ends: read without loading a whole file, never outside the drive.

    logs/training/EXPERIMENT.log
    logs/evaluation/4711.log  4711.err      what the job wrote; 4711_0.log … of the parts of an array
    logs/evaluation/4711.log.gz             the same, compressed when the job had ended

Each read opens the file anew: one that is held open on a network drive stays stale for ever.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import re
import stat
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from heliograph.drive import Drive
from heliograph.errors import BadSignal
from heliograph.state.log_text import harmless, readable

_CHUNK = 1 << 16
_MOST_END = 16 << 20
"""at most so much of a file is held at once, however many lines are asked for"""
_MOST_UNPACKED = 4 << 30
_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SUFFIXES = (".log", ".err")


OpenLog = io.BufferedReader | gzip.GzipFile


class LogEnd(Struct, frozen=True, kw_only=True):
    """The end of one log."""

    path: str
    """below the drive"""
    lines: list[str]
    left_out: int
    """bytes that stand before these lines; of a compressed file, unpacked ones"""


def job_logs(drive: Drive, stage: str, job_id: str | None, *, errors: bool | None = None) -> list[Path]:
    """List the log files that a job has, its error output last; of an array, part by part.

    `errors` asks for those of the error output only, or (False) for the others only. A folder that is not
    there holds none. Raises OSError where the drive does not answer.
    """
    if not job_id or _JOB_ID.fullmatch(job_id) is None:
        return []
    name = re.compile(rf"{re.escape(job_id)}(?:_([0-9]+))?(\.log|\.err)(?:\.gz)?")
    found: dict[tuple[int, int], Path] = {}
    try:
        with os.scandir(drive.stage_logs(stage)) as entries:
            for entry in entries:
                if match := name.fullmatch(entry.name):
                    part = -1 if match[1] is None else int(match[1])
                    key = (part, _SUFFIXES.index(match[2]))
                    if key not in found or not entry.name.endswith(".gz"):
                        found[key] = Path(entry.path)
    except FileNotFoundError:
        return []
    keep = [key for key in sorted(found) if errors is None or (key[1] == 1) == errors]
    return [found[key] for key in keep]


def training_logs(drive: Drive, experiment: str) -> list[Path]:
    """List the log of a training, if there is one."""
    path = drive.training_log(experiment)
    return [path] if path.exists() else []


@contextmanager
def open_log(drive: Drive, path: Path) -> Iterator[OpenLog]:
    """Open a log anew, unpacked where it is compressed. A log that was compressed meanwhile is found.

    Raises OSError: absent, not a plain file, not readable, or (EPERM) outside the drive's logs.
    """
    if not path.exists() and path.suffix != ".gz" and (packed := path.with_name(f"{path.name}.gz")).exists():
        path = packed
    try:
        inside = drive.inside(path, drive.logs, field="path", file="a log")
    except BadSignal:
        raise OSError(errno.EPERM, "leads out of the drive's logs", str(path)) from None
    handle = os.open(inside, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with os.fdopen(handle, "rb") as file:
        if path.suffix != ".gz":
            yield file
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            try:
                yield unpacked
            except (EOFError, zlib.error) as error:
                raise OSError(errno.EIO, f"compressed, and damaged: {error}", str(path)) from None


def read_end(drive: Drive, path: Path, most_lines: int) -> LogEnd:
    """Read the last lines of a log, as they are. Raises OSError."""
    lines, left_out = read_end_bytes(drive, path, most_lines)
    texts = [line.decode("utf-8", "backslashreplace").rstrip("\r\n") for line in lines]
    return LogEnd(path=shown_path(drive, path), lines=texts, left_out=left_out)


def read_end_bytes(drive: Drive, path: Path, most_lines: int) -> tuple[list[bytes], int]:
    """Read the last lines as bytes, and how many bytes stand before them. Raises OSError."""
    with open_log(drive, path) as file:
        if isinstance(file, gzip.GzipFile):
            return _end_of_stream(file, most_lines)
        return _end_of_file(file, os.fstat(file.fileno()).st_size, most_lines)


def _end_of_file(file: io.BufferedReader, size: int, most_lines: int) -> tuple[list[bytes], int]:
    """Read backwards, piece by piece, until there are enough lines."""
    end, start = b"", size
    while start > 0 and end.count(b"\n") <= most_lines and len(end) < _MOST_END:
        step = min(_CHUNK, start)
        start -= step
        file.seek(start)
        end = file.read(step) + end
    lines = _split(end)
    if start > 0 and len(lines) > 1:
        lines = lines[1:]  # the first is a piece of a line
    kept = lines[-most_lines:] if most_lines else []
    return kept, size - sum(map(len, kept))


def _split(text: bytes) -> list[bytes]:
    """Split at line feeds only: a progress bar writes over its line with carriage returns."""
    lines = [line + b"\n" for line in text.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return [line for line in lines if line]


def _end_of_stream(file: gzip.GzipFile, most_lines: int) -> tuple[list[bytes], int]:
    """Read a compressed file from its beginning, keeping only the end."""
    kept: deque[bytes] = deque()
    size = held = 0
    while size < _MOST_UNPACKED and (line := file.readline(_MOST_END)):
        kept.append(line)
        size += len(line)
        held += len(line)
        while len(kept) > most_lines or (held > _MOST_END and len(kept) > 1):
            held -= len(kept.popleft())
    return list(kept), size - held


def harmless_ends(drive: Drive, paths: list[Path], most_lines: int) -> list[LogEnd]:
    """Read the ends of logs for an explanation: harmless, secrets masked; what cannot be read says so."""
    ends = []
    for path in paths:
        try:
            end = read_end(drive, path, most_lines)
        except OSError as error:
            told = f"(it cannot be read: {error.strerror or error})"
            ends.append(LogEnd(path=shown_path(drive, path), lines=[told], left_out=0))
            continue
        lines = [shown for line in end.lines for shown in readable(line)[1].split("\n")]
        if any(line.strip() for line in lines):
            ends.append(LogEnd(path=end.path, lines=lines, left_out=end.left_out))
    return ends


def shown_path(drive: Drive, path: Path) -> str:
    """Write a path as people know it: below the drive."""
    return harmless(str(path.relative_to(drive.root)) if path.is_relative_to(drive.root) else path.name)
