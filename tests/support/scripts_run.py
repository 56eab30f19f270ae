"""A player that really runs the scripts of a PlayedExecutor, as processes of this one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from heliograph.executors.base import JobState
from heliograph.executors.directives import output_paths, parse_directives, time_limit_s
from heliograph.executors.environment import clean_environment
from support.played import PlayedJob

if TYPE_CHECKING:
    from support.played import PlayedExecutor

_OUTPUT_NOT_OPENED = 53
_NO_INTERPRETER = 2


class ScriptsRun:
    """Runs each job at once, or, while `is_full`, lets it wait."""

    def __init__(self, kill_wait_s: float = 1.0) -> None:
        self.executor: PlayedExecutor
        self.is_full = False
        self._kill_wait_s = kill_wait_s
        self._folder = Path(tempfile.mkdtemp())
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._end_at: dict[str, float] = {}
        self._cause: dict[str, tuple[JobState, str]] = {}

    def close(self) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        shutil.rmtree(self._folder)

    def taken(self, job: PlayedJob) -> None:
        if self.is_full:
            return
        script = self._folder / job.id
        script.write_bytes(job.script)
        script.chmod(0o755)
        directives = parse_directives(job.script.decode())
        output, error = output_paths(directives, {"j": job.id, "x": job.name})
        self.executor.start(job)
        try:
            with Path(output).open("wb") as out, Path(error).open("ab") as err:
                self._run(job, script, out.fileno(), err.fileno())
        except OSError:
            self.executor.end(job, JobState.FAILED, signal=_OUTPUT_NOT_OPENED, reason="JobLaunchFailure")
        if (limit_s := time_limit_s(directives)) is not None:
            self._end_at[job.id] = time.monotonic() + limit_s

    def _run(self, job: PlayedJob, script: Path, out: int, err: int) -> None:
        environ = clean_environment(os.environ) | {"HELIOGRAPH_JOB_ID": job.id}
        argv = [*job.script.split(b"\n", 1)[0][2:].decode().split(), str(script)]
        try:
            self._processes[job.id] = subprocess.Popen(
                argv, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )
        except FileNotFoundError as error:
            os.write(err, f"{argv[0]}: {error.strerror}\n".encode())
            self.executor.end(job, JobState.FAILED, exit_code=_NO_INTERPRETER, reason="NonZeroExitCode")

    def look(self, job: PlayedJob) -> None:
        process = self._processes.get(job.id)
        if job.state.is_over or process is None:
            return
        now = time.monotonic()
        if process.poll() is None:
            if now >= self._end_at.get(job.id, now + 1):
                self._ask_to_end(job, JobState.TIMEOUT, "TimeLimit")
            return
        _end_group(process.pid)
        if cause := self._cause.get(job.id):
            self.executor.end(job, cause[0], reason=cause[1])
        elif process.returncode < 0:
            self.executor.end(job, JobState.FAILED, signal=-process.returncode, reason="JobLaunchFailure")
        elif process.returncode:
            self.executor.end(job, JobState.FAILED, exit_code=process.returncode, reason="NonZeroExitCode")
        else:
            self.executor.end(job, JobState.COMPLETED, exit_code=0)

    def cancelled(self, job: PlayedJob) -> None:
        if job.id in self._processes:
            self._ask_to_end(job, JobState.CANCELLED, "Cancelled")
        else:
            self.executor.end(job, JobState.CANCELLED, reason="Cancelled")

    def _ask_to_end(self, job: PlayedJob, state: JobState, reason: str) -> None:
        """End the job's processes: by SIGTERM, and by SIGKILL when that was long ago."""
        pid, now = self._processes[job.id].pid, time.monotonic()
        is_first = job.id not in self._cause
        self._cause.setdefault(job.id, (state, reason))
        os.killpg(pid, signal.SIGTERM if is_first else signal.SIGKILL)
        self._end_at[job.id] = now + self._kill_wait_s


def _end_group(pid: int) -> None:
    """End what a script left running."""
    try:
        os.killpg(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
