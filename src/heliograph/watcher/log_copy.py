"""The watcher's log: written on the local disk, which always answers, and copied to the drive from there."""

from __future__ import annotations

from pathlib import Path

from heliograph.durable import durable

_MOST_AT_ONCE = 1 << 18
_MOST_LOCAL = 4 << 20


class LogCopy:
    """Knows which lines of the local log the drive has already, also after a restart."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset_file = file.with_name(f"{file.name}.offset")
        self._offset = self._read_offset()

    def _read_offset(self) -> int:
        try:
            offset = int(self._offset_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0
        return offset if offset <= self._file.stat().st_size else 0

    def lines(self) -> bytes:
        """Return whole lines that the drive does not have yet, the oldest first."""
        with self._file.open("rb") as file:
            file.seek(self._offset)
            lines = file.read(_MOST_AT_ONCE)
        return lines[: lines.rfind(b"\n") + 1]

    def taken(self, count: int) -> None:
        """Note how many bytes the drive took; a large local log that it has whole is emptied."""
        self._offset += count
        with durable("log", self._file):
            if self._offset >= _MOST_LOCAL and self._file.stat().st_size == self._offset:
                with self._file.open("rb+") as file:  # no other thread logs
                    file.truncate(0)
                self._offset = 0
            self._offset_file.write_text(str(self._offset), encoding="ascii")
