"""Runs a stage's command inside a job, and passes on to it that it has to leave."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

from msgspec import Struct

from heliograph.executors.failures import OUT_OF_TIME

TAIL_LINES = 40
_LAST_WORDS_S = 10.0
_WARNING = signal.SIGUSR1  # as the batch script asks of Slurm: --signal=B:USR1@…
_HEARD = (signal.SIGTERM, signal.SIGINT, _WARNING)


class Warden:
    """Hears what comes from outside, and has the command leave: by SIGTERM, whatever the reason.

    A command that does not leave is not killed here: Slurm does that when its KillWait is over.
    """

    def __init__(self) -> None:
        self._received: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Warden:
        self._before = {number: signal.signal(number, self._hear) for number in _HEARD}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # as signal.signal gave it

    def _hear(self, number: int, _: FrameType | None) -> None:
        """Only note and send: everything else waits for the main thread, which may hold a lock now."""
        self._received.append(number)
        self.stop()

    def stop(self) -> None:
        """Ask the command, if there is one, to leave."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        """From now on this is the command; what was heard before is passed on."""
        self._process = process
        if self._received:
            self.stop()

    @property
    def was_warned(self) -> bool:
        """Whether the time limit was near."""
        return _WARNING in self._received


class Ended(Struct, frozen=True):
    """How a command ended: 128 + n after signal n, as shells say it."""

    exit_code: int
    tail: list[str]
    message: str | None


def run_command(
    command: Sequence[str],
    environ: Mapping[str, str],
    warden: Warden,
    beat: Callable[[threading.Event], None],
) -> Ended:
    """Run a command to its end, while `beat(ended)` runs beside it."""
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE)
    ended = threading.Event()
    threads = [
        threading.Thread(target=_copy_errors, args=(process, tail), daemon=True),
        threading.Thread(target=beat, args=(ended,), daemon=True),
    ]
    try:
        warden.watch(process)
        for thread in threads:
            thread.start()
        code = process.wait()
    finally:
        ended.set()
    threads[0].join(timeout=_LAST_WORDS_S)
    return _told(code if code >= 0 else 128 - code, list(tail), warden)


def _copy_errors(process: subprocess.Popen[bytes], tail: deque[str]) -> None:
    """Pass the command's error output on as it comes, and keep its last lines."""
    if process.stderr is None:
        return
    with process.stderr as errors:
        for line in errors:
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()
            tail.append(line.decode("utf-8", "replace").rstrip()[:500])


def _told(exit_code: int, tail: list[str], warden: Warden) -> Ended:
    """Say how it ended: with the last line of the error output, or that time was short.

    To Slurm a job that left in time has FAILED. TIMEOUT is the word by which the next attempt gets more time.
    """
    if exit_code == 0:
        return Ended(0, [], None)
    if warden.was_warned:
        message = "TIMEOUT: stopped shortly before the time limit; what is finished is kept"
        return Ended(OUT_OF_TIME, tail, message)
    said = next((line.strip() for line in reversed(tail) if line.strip()), "")
    return Ended(exit_code, tail, said or f"exit code {exit_code}")
