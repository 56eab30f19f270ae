"""The in-job runner: `heliograph job … -- COMMAND` inside a batch job.

1. It claims the attempt by mkdir, which has one winner: a job that was submitted twice runs once.
2. It tells that it started, that it lives, and how it ended, by events.
3. It passes SIGTERM on, so that the command can save what it has.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from types import FrameType

from msgspec import Struct

from heliograph.drive import Drive
from heliograph.files import make_folder_once, write_atomic
from heliograph.names import host_name
from heliograph.protocol.events import JobEnded, JobHeartbeat, JobStarted, Outbox

log = logging.getLogger(__name__)
HEARTBEAT_S = 60.0
TAIL_LINES = 40


class JobSpec(Struct, frozen=True, kw_only=True):
    """Which attempt this job is."""

    experiment: str
    stage: str
    token: str
    signal_sha256: str
    input_path: str


def job_id_from(environ: Mapping[str, str], token: str) -> str:
    """Return the scheduler's id of this job; the token outside any scheduler."""
    return environ.get("SLURM_JOB_ID") or environ.get("HELIOGRAPH_JOB_ID") or token


def claim(drive: Drive, spec: JobSpec, job_id: str) -> bool:
    """Claim the attempt for this job; tell whether it may run. The same job may claim again (a restart)."""
    folder = drive.claim(spec.token)
    if make_folder_once(folder):
        write_atomic(folder / "job_id", job_id.encode())
        return True
    try:
        return (folder / "job_id").read_text(encoding="utf-8") == job_id
    except FileNotFoundError:
        return False


def run_job(
    drive: Drive, outbox: Outbox, spec: JobSpec, command: Sequence[str], environ: Mapping[str, str]
) -> int:
    """Run the command as this attempt; return its exit code (128 + n after signal n), 0 if it is claimed."""
    job_id = job_id_from(environ, spec.token)
    context = {"experiment": spec.experiment, "stage": spec.stage, "token": spec.token, "job_id": job_id}
    if not claim(drive, spec, job_id):
        log.warning("this attempt runs already in another job; nothing is done here", extra=context)
        return 0
    outbox.post(
        JobStarted(
            experiment=spec.experiment,
            stage=spec.stage,
            token=spec.token,
            job_id=job_id,
            hostname=host_name(),
            signal_sha256=spec.signal_sha256,
            input_path=spec.input_path,
        )
    )
    log.info("started", extra=context)
    exit_code, tail = _run_command(command, child_environment(drive, spec, job_id, environ), outbox, spec)
    message = _message(exit_code, tail)
    outbox.post(
        JobEnded(
            experiment=spec.experiment,
            stage=spec.stage,
            token=spec.token,
            exit_code=exit_code,
            error_message=message,
            error_tail=tail if exit_code else [],
        )
    )
    log.log(logging.ERROR if exit_code else logging.INFO, "ended with exit code %d", exit_code, extra=context)
    return exit_code


def child_environment(drive: Drive, spec: JobSpec, job_id: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that the stage's command sees."""
    return dict(environ) | {
        "SHARED_DRIVE": str(drive.root),
        "HELIOGRAPH_EXPERIMENT": spec.experiment,
        "HELIOGRAPH_STAGE": spec.stage,
        "HELIOGRAPH_TOKEN": spec.token,
        "HELIOGRAPH_JOB_ID": job_id,
        "HELIOGRAPH_SIGNAL_SHA256": spec.signal_sha256,
    }


def _run_command(
    command: Sequence[str], environ: dict[str, str], outbox: Outbox, spec: JobSpec
) -> tuple[int, list[str]]:
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE)
    received: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        """Only send: everything else waits for the main thread, which may hold a lock now."""
        received.append(number)
        process.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    ended = threading.Event()
    threads = [
        threading.Thread(target=_copy_errors, args=(process, tail), daemon=True),
        threading.Thread(target=_beat, args=(outbox, spec, ended), daemon=True),
    ]
    try:
        for thread in threads:
            thread.start()
        code = process.wait()
    finally:
        ended.set()
        for number, handler in before.items():
            signal.signal(number, handler)
    threads[0].join(timeout=10)
    return (code if code >= 0 else 128 - code), list(tail)


def _copy_errors(process: subprocess.Popen[bytes], tail: deque[str]) -> None:
    """Pass the command's error output on as it comes, and keep its last lines."""
    if process.stderr is None:
        return
    with process.stderr as errors:
        for line in errors:
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()
            tail.append(line.decode("utf-8", "replace").rstrip()[:500])


def _beat(outbox: Outbox, spec: JobSpec, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_S):
        outbox.post(JobHeartbeat(experiment=spec.experiment, stage=spec.stage, token=spec.token))


def _message(exit_code: int, tail: Sequence[str]) -> str | None:
    """Return what is said of a failure: the last line that the command wrote on its error output."""
    if exit_code == 0:
        return None
    said = next((line.strip() for line in reversed(tail) if line.strip()), "")
    return said or f"exit code {exit_code}"
