"""Logging: JSON lines for files, a readable line for people. Plain stdlib, so it is light in the watcher."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from heliograph.errors import plain
from heliograph.names import host_name, iso

CONTEXT = ("experiment", "stage", "token", "job_id")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (ISO 8601, UTC), level, event, what it is about, host, pid."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": iso(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.replace("WARNING", "WARN"),
            "event": _valid(record.getMessage()),
            "logger": record.name,
            "host": host_name(),
            "pid": record.process,
        }
        line |= {name: _valid(str(getattr(record, name))) for name in CONTEXT if hasattr(record, name)}
        if record.exc_info:
            line["traceback"] = _valid(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=True)


def _valid(text: str) -> str:
    """Escape halves of surrogate pairs, which come from names that are not UTF-8: not every reader of JSON
    takes them."""
    return text.encode("utf-8", "backslashreplace").decode()


class TerminalFormatter(logging.Formatter):
    """One line for people: time, level, what it is about, what happened. Control signs cannot pass."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        about = "/".join(
            str(getattr(record, name)) for name in ("experiment", "stage") if hasattr(record, name)
        )
        parts = [f"{moment:%H:%M:%S}", f"{record.levelname:7}", plain(about), plain(record.getMessage())]
        text = "  ".join(part for part in parts if part)
        traceback = self.formatException(record.exc_info).splitlines() if record.exc_info else []
        return "\n".join([text, *(plain(line) for line in traceback)])


class DriveLogHandler(logging.FileHandler):
    """Appends to a file on the drive, opened anew for each record.

    A file held open on a network drive stays broken for ever after a reconnect. A record that the drive
    does not take is dropped here; the terminal or the journal of systemd has it too.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, mode="a", encoding="utf-8", delay=True)

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            super().emit(record)
            self.close()


def set_up(level: str = "INFO", *, file: Path | None = None) -> None:
    """Send log records to standard error, for people on a terminal and as JSON else, and to `file`."""
    terminal = logging.StreamHandler(sys.stderr)
    as_json = os.environ.get("HELIOGRAPH_LOG_FORMAT", "text" if sys.stderr.isatty() else "json") == "json"
    terminal.setFormatter(JsonFormatter() if as_json else TerminalFormatter())
    handlers: list[logging.Handler] = [terminal]
    if file is not None:
        to_file = DriveLogHandler(file)
        to_file.setFormatter(JsonFormatter())
        handlers.append(to_file)
    logging.basicConfig(level=level, handlers=handlers, force=True)
