"""Takes one job and sees it through, on this machine: what sbatch, slurmctld and slurmd are on a cluster.

Started by file path in an interpreter without site packages (about 11 MB), as

    python -I -S local_supervisor.py FOLDER SLOTS KILL_WAIT_S JOB_NAME SCRIPT

it takes the job (id, copy of the script, record), prints the id like `sbatch --parsable` and returns, while a
process of its own session goes on: waits for a slot, runs the script, ends it at its time limit or when it is
told to, and records how it ended. From the record on, nothing that happens to whoever started it matters.

A supervisor ended by SIGTERM passes that on to its job. One that is killed leaves the job running without a
time limit; the job keeps its slot, because it inherited the lock, and how it ended is never known.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shlex
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import NoReturn

if __name__ == "__main__":  # -S leaves no other way to find the two modules below
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from heliograph.executors import directives as sbatch
from heliograph.executors import local_records as records

_SLOT_EVERY_S = 0.1  # only the first in the line looks
_LEFTOVER_EVERY_S = 0.1
_SAVE_AGAIN_S = 1.0
_OUTPUT_NOT_OPENED = 53  # as Slurm says it: signal 53
_NO_INTERPRETER = 2  # as Slurm says it: exit 2
_WATCHED = (signal.SIGTERM, signal.SIGCHLD)
_Planned = tuple[float, int, bool]
"""a signal to send: seconds after the start, its number, to the whole group or to the script alone"""


class _Refused(Exception):
    """The job was not taken, and why."""


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class _Job:
    """What one supervisor knows of its job."""

    def __init__(self, folder: Path, name: str, script: Path, kill_wait_s: float) -> None:
        self.name = name
        self.script_path = script
        self.kill_wait_s = kill_wait_s
        try:
            text = script.read_bytes()
        except OSError as error:
            raise _Refused(records.EX_TEMPFAIL, f"Unable to open file {script}: {error.strerror}") from None
        self.interpreter = _interpreter(text)
        self.directives = sbatch.parse_directives(text.decode("utf-8", "replace"))
        try:
            self.limit_s = sbatch.time_limit_s(self.directives)
        except ValueError as error:
            raise _Refused(records.EX_DATAERR, str(error)) from None
        self.number = records.allocate(folder)
        self.folder = records.jobs_folder(folder) / str(self.number)
        self.id = f"{records.ID_PREFIX}{self.number}"
        (self.folder / records.SCRIPT).write_bytes(text)

    def record(self) -> None:
        """Take the job: from here on it exists."""
        content = {
            "id": self.id,
            "name": self.name,
            "script": str(self.script_path),
            "submitted_at": records.seconds_now(),
            "supervisor": records.identity(os.getpid()),
        }
        records.write_record(self.folder / records.JOB, content)

    def is_cancelled(self) -> bool:
        return (self.folder / records.CANCEL).exists()

    def end(self, state: str, reason: str | None, exit_code: int | None, number: int | None) -> None:
        """Record how the job ended; where the disk is full, again until it is not."""
        content = {
            "state": state,
            "reason": reason,
            "exit_code": exit_code,
            "signal": number,
            "ended_at": records.seconds_now(),
        }
        is_recorded = False
        while not is_recorded and self.folder.is_dir():
            try:
                records.write_record(self.folder / records.END, content)
                is_recorded = True
            except OSError as error:
                _say(f"{self.id}: the end cannot be recorded yet: {error}")
                time.sleep(_SAVE_AGAIN_S)


def _interpreter(script: bytes) -> list[str]:
    """Return the words of a script's first line. Raises _Refused in sbatch's words."""
    first = script.split(b"\n", 1)[0]
    if first.endswith(b"\r"):
        raise _Refused(records.EX_DATAERR, "Batch script contains DOS line breaks (\\r\\n)")
    words = first[2:].decode("utf-8", "replace").split(maxsplit=1)
    if not first.startswith(b"#!") or not words:
        raise _Refused(records.EX_DATAERR, "This does not look like a batch script: no #! in its first line")
    return words


# Waiting for a slot ----------------------------------------------------------------------------------


def _take_slot(folder: Path, slots: int) -> int:
    """Wait for one of the slots and return its locked file. First come, first served, as the kernel queues.

    Nothing is caught here: SIGTERM ends a job that waits, and locks end with their process.
    """
    records.slots_folder(folder).mkdir(parents=True, exist_ok=True)
    turn = _open_lock(folder, "turn")
    fcntl.flock(turn, fcntl.LOCK_EX)
    files = [_open_lock(folder, str(number)) for number in range(slots)]
    while True:
        for file in files:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            for other in (turn, *files):
                if other != file:
                    os.close(other)
            return file
        time.sleep(_SLOT_EVERY_S)


def _open_lock(folder: Path, name: str) -> int:
    return os.open(records.slots_folder(folder) / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


# Running the script ----------------------------------------------------------------------------------


def _run(job: _Job, slot: int) -> None:
    """Run the script to its end and record that. SIGTERM and SIGCHLD are blocked and waited for."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    if job.is_cancelled():
        return job.end("CANCELLED", None, None, None)
    try:
        output, error = _open_outputs(job)
    except OSError:
        return job.end("FAILED", "JobLaunchFailure", None, _OUTPUT_NOT_OPENED)
    pid = os.fork()
    if pid == 0:
        _become_script(job, slot, output, error)
    with contextlib.suppress(PermissionError):  # it is the script already, and in its group
        os.setpgid(pid, pid)  # the child does it too: whoever comes first, no signal misses the group
    os.close(output)
    os.close(error)
    cause = _watch(job, pid)
    _end_leftovers(pid, job.kill_wait_s)
    _, status = os.waitpid(pid, 0)
    job.end(*cause, None, None) if cause else job.end(*_told_by(status))
    return None


def _open_outputs(job: _Job) -> tuple[int, int]:
    facts = {
        "j": job.id,
        "A": job.id,  # a job that is no array, or an array's first element, which is all there is here
        "a": "0",
        "x": job.name,
        "u": pwd.getpwuid(os.getuid()).pw_name,
        "N": socket.gethostname().split(".")[0],
    }
    paths = sbatch.output_paths(job.directives, facts)
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND
    flags |= 0 if job.directives.get("open-mode", "").startswith("a") else os.O_TRUNC
    output = os.open(paths[0], flags, 0o666)
    error = os.dup(output) if paths[1] == paths[0] else os.open(paths[1], flags, 0o666)
    return output, error


def _become_script(job: _Job, slot: int, output: int, error: int) -> NoReturn:
    """In the child: record who runs the script, then be it. In this order nothing ever runs unrecorded."""
    try:
        os.setpgid(0, 0)
        for file, number in ((os.open(os.devnull, os.O_RDONLY), 0), (output, 1), (error, 2)):
            os.dup2(file, number)
        content = {"started_at": records.seconds_now(), "process": records.identity(os.getpid())}
        records.write_record(job.folder / records.START, content)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)  # as Python found them, not as Python likes them
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
        os.set_inheritable(slot, True)
        environ = {**os.environ, "HELIOGRAPH_JOB_ID": job.id, "HELIOGRAPH_JOB_NAME": job.name}
        argv = [*job.interpreter, str(job.folder / records.SCRIPT)]
        os.execve(argv[0], argv, environ)  # noqa: S606 - the script's own first line says what to run
    except OSError as problem:
        os.write(2, f"{shlex.join(job.interpreter)}: cannot be run: {problem}\n".encode())
    finally:
        os._exit(_NO_INTERPRETER)


def _watch(job: _Job, pid: int) -> tuple[str, str] | None:
    """Wait for the script's end, and bring it about where it must be. Return (state, reason) if we did."""
    started = time.monotonic()
    cause: tuple[str, str] | None = None
    plan = _planned_signals(job)
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        passed = time.monotonic() - started
        while plan and plan[0][0] <= passed:
            _, number, to_all = plan.pop(0)
            _send(pid, number, to_all)
            cause = cause or (("TIMEOUT", "TimeLimit") if to_all else None)
        got = signal.sigtimedwait(_WATCHED, max(plan[0][0] - passed, 0) if plan else 3600)
        if got is not None and got.si_signo == signal.SIGTERM and cause is None:
            cause = (
                ("CANCELLED", "Cancelled") if job.is_cancelled() else ("NODE_FAIL", "SupervisorTerminated")
            )
            plan = _planned_end(time.monotonic() - started, job.kill_wait_s)
    return cause


def _planned_signals(job: _Job) -> list[_Planned]:
    """List what the time limit brings: the warning to the script alone, then an end for all of its group."""
    if job.limit_s is None:
        return []
    plan = _planned_end(job.limit_s, job.kill_wait_s)
    if (told := sbatch.warning(job.directives)) is not None:
        plan.insert(0, (max(job.limit_s - told[1], 0.0), told[0], False))
    return plan


def _planned_end(at_s: float, kill_wait_s: float) -> list[_Planned]:
    """List how a job is ended, as Slurm does it: a stopped process must go on to notice SIGTERM."""
    return [
        (at_s, signal.SIGTERM, True),
        (at_s, signal.SIGCONT, True),
        (at_s + kill_wait_s, signal.SIGKILL, True),
    ]


def _send(pid: int, number: int, to_all: bool) -> None:
    """Signal the script, or its group. It is not reaped yet, so nobody else can have that number."""
    try:
        if to_all:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except ProcessLookupError:
        pass  # it has just ended: what follows finds out


def _end_leftovers(pid: int, kill_wait_s: float) -> None:
    """End what the script left in its group by SIGTERM, then SIGKILL, as a Slurm with cgroups does."""
    waited_until = time.monotonic() + kill_wait_s
    if records.group_members(pid):
        _send(pid, signal.SIGTERM, to_all=True)
        _send(pid, signal.SIGCONT, to_all=True)
    while records.group_members(pid):
        if time.monotonic() >= waited_until:
            _send(pid, signal.SIGKILL, to_all=True)
        time.sleep(_LEFTOVER_EVERY_S)


def _told_by(status: int) -> tuple[str, str | None, int | None, int | None]:
    """Return state, reason, exit code and signal for a wait status, in Slurm's words."""
    if os.WIFSIGNALED(status):
        return "FAILED", "JobLaunchFailure", None, os.WTERMSIG(status)
    code = os.WEXITSTATUS(status)
    return ("FAILED", "NonZeroExitCode", code, None) if code else ("COMPLETED", None, 0, None)


# Starting --------------------------------------------------------------------------------------------


def _supervise(job: _Job, folder: Path, slots: int, ready: int) -> NoReturn:
    """In a session of its own, with nothing left of whoever started us but the environment."""
    code = 1
    try:
        os.setsid()
        log = os.open(job.folder / records.LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for file, number in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
            os.dup2(file, number)
        job.record()
        os.write(ready, b"1")
        os.close(ready)
        slot = _take_slot(folder, slots)
        _run(job, slot)
        fcntl.flock(slot, fcntl.LOCK_UN)  # for all who inherited it, should anything have got away
        code = 0
    except BaseException:  # noqa: BLE001 - this is the process's main: leave the reason for people to read
        traceback.print_exc()
    finally:
        os._exit(code)


def main(arguments: list[str]) -> int:
    """Take a job, print its id; what goes wrong goes to standard error, with the exit codes of `records`."""
    folder, slots, kill_wait_s, name, script = arguments
    try:
        job = _Job(Path(folder), name, Path(script), float(kill_wait_s))
        listen, ready = os.pipe()
        if os.fork() == 0:
            os.close(listen)
            _supervise(job, Path(folder), int(slots), ready)
        os.close(ready)
        if os.read(listen, 1) != b"1":
            raise _Refused(
                records.EX_TEMPFAIL, f"the job could not be recorded; see {job.folder / records.LOG}"
            )
    except _Refused as refusal:
        code, text = refusal.args
        _say(text)
        return int(code)
    except OSError as error:
        _say(f"{error.filename or folder}: {error.strerror}")
        return records.EX_TEMPFAIL
    sys.stdout.write(f"{job.id}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
