"""The executor that runs jobs on this machine: the same batch scripts, with the same contract as Slurm.

Every job has a supervisor, a small process that outlives the watcher (see local_supervisor). What is known of
a job stands in its records, and what they say is told here.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from heliograph.durable import durable
from heliograph.errors import PollFailed, SubmissionDoubtful, SubmissionRefused
from heliograph.executors import local_records as records
from heliograph.executors import local_supervisor
from heliograph.executors.base import FailureClass, JobReport, JobState
from heliograph.executors.command import Answer, check_job_name, run_command
from heliograph.executors.environment import clean_environment
from heliograph.files import remove_file
from heliograph.names import host_name

_EXECUTOR = "local"
_KILL_WAIT_S = 30.0  # Slurm's default
_TAKE_S = 60.0


class Traces(Struct, frozen=True):
    """What is left of a job to see: its records, and which of its processes live."""

    job: records.Record
    start: records.Record | None
    end: records.Record | None
    cancelled_at: float | None
    supervisor_lives: bool
    script_lives: bool


def tell(traces: Traces) -> JobReport:
    """Report on a job from its traces.

    With its supervisor gone (killed, or the machine restarted), the job is RUNNING while its script runs.
    Then nobody knows how it ended, or it never began: NODE_FAIL, since the machine failed it, not it itself.
    Where somebody wanted it ended, it is CANCELLED.
    """
    state, reason, ended_at = _state(traces)
    end = traces.end or {}
    return JobReport(
        job_id=traces.job["id"],
        name=traces.job["name"],
        state=state,
        reason=reason,
        exit_code=end.get("exit_code"),
        signal=end.get("signal"),
        submitted_at=_time(traces.job["submitted_at"]),
        started_at=_time(traces.start["started_at"]) if traces.start else None,
        ended_at=_time(ended_at),
        nodes=host_name() if traces.start else None,
    )


def _state(traces: Traces) -> tuple[JobState, str | None, float | None]:
    """Return state, reason and time of the end."""
    if traces.end is not None:
        return JobState(traces.end["state"]), traces.end["reason"], traces.end["ended_at"]
    if traces.supervisor_lives:
        return (JobState.RUNNING, None, None) if traces.start else (JobState.PENDING, "Resources", None)
    if traces.script_lives:
        return JobState.RUNNING, "SupervisorDied", None
    if traces.cancelled_at is not None:
        return JobState.CANCELLED, "Cancelled", traces.cancelled_at
    return JobState.NODE_FAIL, "SupervisorDied", None


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def parse_taken(answer: Answer) -> str:
    """Read what a supervisor says like sbatch. Raises SubmissionRefused or SubmissionDoubtful."""
    if answer.returncode == 0 and answer.stdout.startswith(records.ID_PREFIX):
        return answer.stdout.strip()
    kinds = {records.EX_DATAERR: FailureClass.PERMANENT, records.EX_TEMPFAIL: FailureClass.TRANSIENT}
    kind = None if answer.returncode is None else kinds.get(answer.returncode)
    if kind is None:
        raise SubmissionDoubtful(executor=_EXECUTOR, reason=answer.said)
    raise SubmissionRefused(executor=_EXECUTOR, reason=answer.said, failure_class=kind.value)


class LocalExecutor:
    """Runs at most `slots` jobs at a time on this machine; the others wait their turn.

    `folder` holds everything, on a local disk. A job that is told to end has `kill_wait_s` to do so.
    """

    name = _EXECUTOR
    poll_every_s = 1.0
    calls_last_hour = None  # nobody else is asked
    settle_s = 2.0  # a supervisor takes a job within 0.1 s, and goes on when whoever started it is gone

    def __init__(
        self,
        folder: Path,
        slots: int,
        *,
        environ: Mapping[str, str] = os.environ,
        kill_wait_s: float = _KILL_WAIT_S,
    ) -> None:
        self._folder = folder.absolute()
        self._slots = slots
        self._environ = environ
        self._kill_wait_s = kill_wait_s

    def submit(self, script: Path, job_name: str) -> str:
        """Start a supervisor for a script; the contract tells the rest."""
        check_job_name(job_name)
        argv = [sys.executable, "-I", "-S", local_supervisor.__file__, str(self._folder), str(self._slots)]
        argv += [str(self._kill_wait_s), job_name, str(script.absolute())]
        return parse_taken(run_command(argv, clean_environment(self._environ), _TAKE_S))

    def find(self, names: Collection[str]) -> dict[str, list[JobReport]]:
        """Look names up in all records that are kept."""
        found: dict[str, list[JobReport]] = {check_job_name(name): [] for name in names}
        for number in self._numbers():
            report = self._report(number)
            if report is not None and report.name in found:
                found[report.name].append(report)
        return found

    def poll(self, jobs: Mapping[str, str]) -> dict[str, JobReport]:
        """Read the records of these jobs. One whose records cannot be read is UNKNOWN."""
        found = {}
        for job_id, name in jobs.items():
            try:
                report = self._report(_number(job_id))
            except PollFailed as error:
                why = error.facts["reason"]
                report = JobReport(job_id=job_id, name=name, state=JobState.UNKNOWN, reason=why)
            if report is not None and report.name == name:
                found[job_id] = report
        return found

    def cancel(self, job_id: str, job_name: str) -> None:
        """Have the supervisor end the job. Without one we do: by SIGTERM, and if asked again by SIGKILL."""
        traces = self._traces(_number(job_id))
        if traces is None or traces.job["name"] != job_name or tell(traces).state.is_over:
            return
        mark = records.jobs_folder(self._folder) / str(_number(job_id)) / records.CANCEL
        is_first = not mark.exists()
        with durable("touch", mark):
            mark.touch()
        if traces.supervisor_lives:
            _signal(traces.job["supervisor"], signal.SIGTERM, to_group=False)
        elif traces.start is not None:
            _signal(traces.start["process"], signal.SIGTERM if is_first else signal.SIGKILL, to_group=True)

    def prune(self, before: datetime) -> int:
        """Forget the jobs that ended before a time, but never the last one: ids are not used again."""
        pruned = 0
        for number in self._numbers()[:-1]:
            report = self._report(number)
            folder = records.jobs_folder(self._folder) / str(number)
            if report is None:
                is_old = (
                    folder.stat().st_mtime < before.timestamp()
                )  # a supervisor that took no job after all
            else:
                ended_at = report.ended_at or report.started_at or report.submitted_at
                is_old = report.state.is_over and ended_at is not None and ended_at < before
            if is_old:
                remove_file(folder / records.JOB)  # first: a job is there whole or not at all
                with durable("rmtree", folder):
                    shutil.rmtree(folder)
                pruned += 1
        return pruned

    def _numbers(self) -> list[int]:
        try:
            return records.numbers(self._folder)
        except OSError as error:
            raise PollFailed(executor=_EXECUTOR, reason=str(error)) from error

    def _report(self, number: int | None) -> JobReport | None:
        traces = self._traces(number)
        return None if traces is None else tell(traces)

    def _traces(self, number: int | None) -> Traces | None:
        """Collect a job's traces. Who lives is looked at first: who then ends, ended with a record."""
        if number is None:
            return None
        folder = records.jobs_folder(self._folder) / str(number)
        try:
            job = records.read_record(folder / records.JOB)
            if job is None:
                return None
            supervisor_lives = records.is_alive(job["supervisor"])
            start = records.read_record(folder / records.START)
            mark = folder / records.CANCEL
            return Traces(
                job=job,
                start=start,
                end=records.read_record(folder / records.END),
                cancelled_at=mark.stat().st_mtime if mark.exists() else None,
                supervisor_lives=supervisor_lives,
                script_lives=start is not None and records.is_alive(start["process"]),
            )
        except (OSError, ValueError, KeyError) as error:
            raise PollFailed(executor=_EXECUTOR, reason=f"{folder}: {error}") from error


def _number(job_id: str) -> int | None:
    """Return 17 for local-17, None for an id that is not ours."""
    digits = job_id.removeprefix(records.ID_PREFIX)
    return int(digits) if job_id.startswith(records.ID_PREFIX) and digits.isdecimal() else None


def _signal(who: str, number: signal.Signals, *, to_group: bool) -> None:
    if not records.is_alive(who):
        return
    try:
        if to_group:
            os.killpg(records.pid_of(who), number)
        else:
            os.kill(records.pid_of(who), number)
    except ProcessLookupError:
        return  # it has just ended
