"""Following logs as they grow, on any drive: each look opens the files anew, and reads only what is new."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from heliograph.drive import Drive
from heliograph.state.log_files import open_log

_MOST_AT_ONCE = 1 << 20


class Piece(Struct, frozen=True):
    """Something new in one of the logs."""

    path: Path
    content: bytes
    note: str | None = None
    """what happened to the file, where it did not just grow"""


class Follower:
    """Reads on in logs. `look` tells what is new; whoever calls it sleeps in between."""

    def __init__(self, drive: Drive) -> None:
        self.drive = drive
        self._offsets: dict[Path, int] = {}

    def begin_at(self, path: Path, offset: int) -> None:
        """Take a log up from `offset`: what stands before it has been shown."""
        self._offsets[_plain(path)] = offset

    def look(self, paths: Iterable[Path]) -> Iterator[Piece]:
        """Return what is new in these logs, in their order. One that cannot be read now is left for later."""
        for path in paths:
            try:
                yield from self._look_at(path)
            except OSError:
                continue  # absent yet, or the drive is away for a moment: the next look tells

    def _look_at(self, path: Path) -> Iterator[Piece]:
        name = _plain(path)
        while True:
            offset = self._offsets.get(name, 0)
            with open_log(self.drive, path) as file:
                is_shorter = not isinstance(file, gzip.GzipFile) and os.fstat(file.fileno()).st_size < offset
                file.seek(0 if is_shorter else offset)
                content = file.read(_MOST_AT_ONCE)
            self._offsets[name] = (0 if is_shorter else offset) + len(content)
            if is_shorter:
                yield Piece(path, b"", "it became shorter, and is read from its beginning")
            if not content:
                return
            yield Piece(path, content)


def _plain(path: Path) -> Path:
    """Return the name that a log had before it was compressed: it is the same log."""
    return path.with_suffix("") if path.suffix == ".gz" else path
