"""A run's signs of life on the drive: heartbeats in the inbox, lines in logs/training/EXPERIMENT.log.

A thread writes both, so that a drive that answers slowly holds up nobody but the thread.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from heliograph.names import host_name, iso, utc_now
from heliograph.protocol.events import TrainingHeartbeat
from heliograph.protocol.outbox import Outbox

log = logging.getLogger("heliograph.training")

_FIRST_LOOK_S = 1.0
_MOST_LINES = 10_000


class RunLog:
    """What a run has to say: in Python's logging at once, and as JSON lines on the drive in time."""

    def __init__(self, path: Path, experiment: str, run: str) -> None:
        self._path = path
        self._experiment = experiment
        self._context = {"experiment": experiment, "run": run, "host": host_name(), "pid": os.getpid()}
        self._waiting: deque[bytes] = deque(maxlen=_MOST_LINES)
        self._writing = threading.Lock()
        self._warned: set[str] = set()

    def note(self, level: str, message: str, **facts: Any) -> None:
        """Take a line for the drive; `flush` writes it."""
        line = {"time": iso(utc_now()), "level": level, "event": message, **self._context, **facts}
        self._waiting.append(msgspec.json.encode(line) + b"\n")

    def tell(self, level: str, message: str, **facts: Any) -> None:
        """Take a line, and say it in Python's logging too."""
        self.note(level, message, **facts)
        log.log(logging.getLevelNamesMapping()[level], message, extra={"experiment": self._experiment})

    def warn(self, kind: str, message: str) -> None:
        """Warn once of each kind of trouble."""
        if kind not in self._warned:
            self._warned.add(kind)
            self.tell("WARN", message)

    def flush(self) -> None:
        """Append what waits. Raises OSError; then the lines go on waiting."""
        with self._writing:
            lines = list(self._waiting)
            if lines:
                with self._path.open("ab") as file:
                    file.write(b"".join(lines))
            for _ in lines:
                self._waiting.popleft()


class Pulse:
    """Posts a heartbeat and writes the log, every `every_s`, from a thread of its own.

    `beat()` tells how far the run is, or None before its first step.
    """

    def __init__(
        self, outbox: Outbox, run_log: RunLog, beat: Callable[[], TrainingHeartbeat | None], every_s: float
    ) -> None:
        self._outbox = outbox
        self._log = run_log
        self._beat = beat
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heliograph-pulse", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """Write what the log still holds, waiting at most `timeout_s`."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        wait_s = min(_FIRST_LOOK_S, self._every_s)  # the first step is told soon, the rest in its own time
        while not self._stop.wait(wait_s):
            body = self._beat()
            if body is not None:
                self._log.note("INFO", "alive", step=body.step, **body.metrics)
                wait_s = self._every_s
            self._write(body)
        self._write(None)

    def _write(self, body: TrainingHeartbeat | None) -> None:
        try:
            self._log.flush()
            if body is not None:
                self._outbox.post(body)
        except OSError as error:  # the lines wait, and the next heartbeat says all that this one would have
            log.info("no sign of life could be written: %s", error)
