"""R as a child process: its lines as they come, its end, and what it tells of a failure."""

from __future__ import annotations

import re
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import msgspec
from msgspec import Struct

from heliograph.stages.attempt import Interrupted

TARGETS = (
    "load_evaluation_data",
    "compute_statistics",
    "generate_figures",
    "create_tables",
    "render_report",
    "finalize_outputs",
)
_TAIL_LINES = 60
_LONGEST_LINE = 500
# "dispatched target x" (targets < 1.9, the fallback), "+ x dispatched" (targets since then)
_BEGINS = re.compile(r"(?:dispatched|start) target (\w+)|\+ (\w+) dispatched")


class Killed(Interrupted):
    """R was ended by this signal of the operating system."""

    def __str__(self) -> str:
        return f"R was ended by signal {self.number} ({signal.strsignal(self.number)})"


class Failure(Struct):
    """What run.R tells of a failure: the target, if one failed, R's message and the call it came from."""

    message: str
    target: str | None = None
    call: str | None = None

    def __str__(self) -> str:
        return self.message if self.call is None else f"{self.message} (in the call: {self.call})"


class Ended(Struct, frozen=True):
    """How R ended: its exit status, the last lines of its output, and what it told of a failure."""

    exit_code: int
    tail: list[str]
    failure: Failure | None


def target_begun(line: str) -> str | None:
    """Return the target whose run a line of the log announces."""
    match = _BEGINS.search(line)
    return (match[1] or match[2]) if match else None


def run_r(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    failure_file: Path,
    on_line: Callable[[str], None],
    keep_open: int,
) -> Ended:
    """Run R in `folder`, hand on each line of its output, and return how it ended. Raises Killed.

    SIGTERM to this process is passed on to R. R keeps the file descriptor `keep_open`, so that a lock which
    it holds lasts as long as R does, also when this process is killed.
    """
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(keep_open,),
        encoding="utf-8",
        errors="replace",
    )
    with _passing_on_sigterm(process), _ending(process):
        for line in process.stdout or ():
            text = line.rstrip()[:_LONGEST_LINE]
            tail.append(text)
            on_line(text)
        code = process.wait()
    if code < 0:
        raise Killed(-code)
    return Ended(code, list(tail), _read_failure(failure_file))


@contextmanager
def _passing_on_sigterm(process: subprocess.Popen[str]) -> Iterator[None]:
    def pass_on(_number: int, _frame: FrameType | None) -> None:
        """Only send: the main thread notices R's end."""
        process.send_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _ending(process: subprocess.Popen[str]) -> Iterator[None]:
    """Leave no R behind when this process is interrupted."""
    try:
        yield
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        if process.stdout is not None:
            process.stdout.close()


def _read_failure(path: Path) -> Failure | None:
    """Read what run.R told; None where it told nothing, as when R itself could not start."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Failure)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
