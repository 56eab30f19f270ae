"""Slurm's own commands: for each, a function that builds the argument list beside a pure one that reads it.

Texts, not --json: with the controller down `squeue --json` ends well with no jobs, and `sacct --json` shows
failed jobs as successes. One squeue call tells everything: its -O knows the exit code, which -o does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import msgspec

from heliograph.errors import ExecutorError, PollFailed, SubmissionDoubtful, SubmissionRefused
from heliograph.executors.base import FailureClass, JobReport, JobState
from heliograph.executors.command import Answer
from heliograph.executors.slurm_words import DOUBTS, REFUSALS, STATES

TIME_FORMAT = {"SLURM_TIME_FORMAT": "%s"}
"""squeue and sacct then print seconds since 1970: no time zone to guess"""

_EXECUTOR = "slurm"
_BAD_OPTION = 255
_UNKNOWN_ID = "Invalid job id specified"
_NO_ACCOUNTING = "Slurm accounting storage is disabled"
_LOOK_BACK = "now-30days"
_OUT_OF_MEMORY = 125  # stands where the signal's number would
_SEPARATOR = "\x1f"
# in the same order; how often a job was restarted, only squeue tells
_SQUEUE_FIELDS = (
    *("RestartCnt", "ArrayJobID", "State", "Reason", "exit_code", "DerivedEC"),
    *("SubmitTime", "StartTime", "EndTime", "NodeList", "Name"),
)
_SACCT_FIELDS = (
    *("JobID", "State", "Reason", "ExitCode", "DerivedExitCode"),
    *("Submit", "Start", "End", "NodeList", "JobName"),
)
_LONGEST_LIST = 100_000  # letters; an argument of a command may have 128 KiB (seen: E2BIG)

# sbatch ---------------------------------------------------------------------------------------------


def build_sbatch(script: Path, job_name: str) -> list[str]:
    """Submit a script. The name on the command line outdoes the script's own."""
    return ["sbatch", "--parsable", f"--job-name={job_name}", str(script.absolute())]


_JOB_ID = re.compile(r"([0-9]+)(;\S+)?")  # "17", or "17;cluster"; sites' plugins may print before it


def parse_sbatch(answer: Answer) -> str:
    """Return the job's id. Raises SubmissionRefused (nothing was queued) or SubmissionDoubtful."""
    if answer.returncode != 0:
        raise _submission_error(answer)
    last_line = (answer.stdout.strip().splitlines() or [""])[-1]
    match = _JOB_ID.fullmatch(last_line.strip())
    if match is None:
        raise SubmissionDoubtful(executor=_EXECUTOR, reason=f"sbatch gave no job id: {answer.said}")
    return match[1]


def _submission_error(answer: Answer) -> ExecutorError:
    kind = None if answer.returncode is None else _refusal_class(answer)
    if kind is None:
        return SubmissionDoubtful(executor=_EXECUTOR, reason=answer.said)
    return SubmissionRefused(executor=_EXECUTOR, reason=answer.said, failure_class=kind.value)


def _refusal_class(answer: Answer) -> FailureClass | None:
    """Return the class of a refusal, None where the job may be queued all the same. A doubt outweighs all."""
    if any(text in answer.stderr for text in DOUBTS):
        return None
    known = (kind for text, kind in REFUSALS.items() if text in answer.stderr)
    return next(known, FailureClass.PERMANENT if answer.returncode == _BAD_OPTION else None)


# squeue ---------------------------------------------------------------------------------------------


def split_words(words: Iterable[str]) -> list[list[str]]:
    """Split ids or names into as few lists as fit, joined by commas, into one argument each."""
    lists: list[list[str]] = []
    length = _LONGEST_LIST
    for word in words:
        length += len(word) + 1
        if length > _LONGEST_LIST:
            lists.append([])
            length = len(word)
        lists[-1].append(word)
    return lists


def build_squeue(*, job_ids: Sequence[str] = (), job_names: Sequence[str] = ()) -> list[list[str]]:
    """Ask for our own jobs by id or by name, ended ones included; one command, unless they are thousands.

    --me, since nobody else may speak for our jobs. Every field is followed by a separator that cannot stand
    in it; the name, which might hold anything, is the last.
    """
    layout = ",".join(f"{field}:{_SEPARATOR}" for field in _SQUEUE_FIELDS)
    argv = ["squeue", "--noheader", "--states=all", "--array", "--me", f"--Format={layout}"]
    by_id = [[*argv, f"--jobs={','.join(some)}"] for some in split_words(job_ids)]
    return by_id + [[*argv, f"--name={','.join(some)}"] for some in split_words(job_names)]


def parse_squeue(answer: Answer) -> list[JobReport]:
    """Return what squeue knows; ids that it does not know are simply not there. Raises PollFailed."""
    if answer.returncode == 1 and _UNKNOWN_ID in answer.stderr:
        return []  # said where one id was asked for; of several, unknown ones are left out without a word
    if answer.returncode != 0:
        raise PollFailed(executor=_EXECUTOR, reason=answer.said)
    lines = answer.stdout.split(f"{_SEPARATOR}\n")
    return _combine(_squeue_report(line) for line in lines if line.strip())


def _squeue_report(line: str) -> JobReport:
    restarts, _, rest = line.partition(_SEPARATOR)
    report = _report(rest, _SEPARATOR)
    return msgspec.structs.replace(report, restarts=int(restarts)) if restarts.isdigit() else report


# sacct ----------------------------------------------------------------------------------------------


def build_sacct(*, job_ids: Sequence[str] = (), job_names: Sequence[str] = ()) -> list[list[str]]:
    """Ask accounting for jobs by id or by name; one command, unless they are thousands."""
    layout = f"--format={','.join(_SACCT_FIELDS)}"
    argv = ["sacct", "--noheader", "--parsable2", "--allocations", layout]
    by_id = [[*argv, f"--jobs={','.join(some)}"] for some in split_words(job_ids)]
    since = f"--starttime={_LOOK_BACK}"
    return by_id + [[*argv, f"--name={','.join(some)}", since] for some in split_words(job_names)]


def parse_sacct(answer: Answer) -> list[JobReport] | None:
    """Return the *ended* jobs that accounting knows, or None where there is no accounting. Raises PollFailed.

    That a job is PENDING or RUNNING is for squeue to say: sacct goes on showing jobs as PENDING which a
    controller lost when it was killed, and RUNNING ones until the end has reached it. A job whose end came
    there before its beginning is called "allocation" (seen around a crash): not ours by name, so not told.
    """
    if answer.returncode == 1 and _NO_ACCOUNTING in answer.stderr:
        return None
    if answer.returncode != 0:
        raise PollFailed(executor=_EXECUTOR, reason=answer.said)
    # a shorter line is the rest of somebody's job name with a line's end in it
    lines = [line for line in answer.stdout.splitlines() if line.count("|") >= len(_SACCT_FIELDS) - 1]
    return [report for report in _combine(_report(line, "|") for line in lines) if report.state.is_over]


# scancel, scontrol ping -----------------------------------------------------------------------------


def build_scancel(job_id: str, job_name: str) -> list[str]:
    """Cancel a job if it has this name: scancel's filters hold together, so there is nothing to race with."""
    return ["scancel", f"--name={job_name}", job_id]


def parse_scancel(answer: Answer) -> None:
    """Accept what scancel says; it is silent about a job of another name, and complains about an ended or
    unknown one. Raises PollFailed where it did not reach the controller."""
    if answer.returncode != 0 and _UNKNOWN_ID not in answer.stderr:
        raise PollFailed(executor=_EXECUTOR, reason=answer.said)


def build_ping() -> list[str]:
    """Ask whether a controller answers; unlike the other commands this one never blocks for long."""
    return ["scontrol", "ping"]


def parse_ping(answer: Answer) -> bool:
    """Tell whether any controller is up: `Slurmctld(primary) at host is UP`."""
    return any(line.rstrip().endswith("is UP") for line in answer.stdout.splitlines())


def tells_of_down_controller(answer: Answer) -> bool:
    """Tell whether Slurm is configured here, and its controller is away: `… at host is DOWN`."""
    lines = answer.stdout.splitlines()
    return not parse_ping(answer) and any(line.rstrip().endswith("is DOWN") for line in lines)


# What squeue and sacct have in common ----------------------------------------------------------------


def _report(line: str, separator: str) -> JobReport:
    """Read the fields that both have. Raises PollFailed when there are fewer."""
    fields = line.split(separator, len(_SACCT_FIELDS) - 1)
    if len(fields) != len(_SACCT_FIELDS):
        raise PollFailed(executor=_EXECUTOR, reason=f"a line that cannot be read: {line[:200]!r}")
    job_id, words, reason, exit_text, derived, submitted, started, ended, nodes, name = fields
    word = words.partition(" ")[0]  # "CANCELLED by 1000"
    # a word from a Slurm to come is no evidence of an end
    state = STATES.get(word, JobState.RUNNING)
    if state is JobState.FAILED and _exit(derived)[1] == _OUT_OF_MEMORY:
        state = JobState.OUT_OF_MEMORY  # in a step that the script waited for; the job itself says FAILED 7:0
    exit_code, signal = _own_exit(state, exit_text)
    placed = nodes not in ("", "None assigned")
    return JobReport(
        job_id=re.split(r"[_+]", job_id)[0],  # sacct: 17_3 for an array's element, 17+1 for a part
        name=name,
        state=state,
        reason=_reason(words, reason),
        exit_code=exit_code,
        signal=signal,
        submitted_at=_time(submitted),
        started_at=_time(started) if placed else None,  # of a waiting job it is a guess
        ended_at=_time(ended) if state.is_over else None,  # of a running job it is the limit
        nodes=nodes if placed else None,
    )


def _reason(words: str, reason: str) -> str | None:
    """Keep Slurm's exact words: of the state where they say more than we keep, else the reason."""
    if words not in JobState.__members__:
        return words
    return None if reason in ("", "None") else reason


def _own_exit(state: JobState, text: str) -> tuple[int | None, int | None]:
    """Return how the script itself ended; where Slurm ended it, its 0:15, 0:0 or 0:125 is none."""
    if state not in (JobState.COMPLETED, JobState.FAILED, JobState.OUT_OF_MEMORY):
        return None, None
    code, signal = _exit(text)
    if signal == _OUT_OF_MEMORY:
        return None, None
    return (None, signal) if signal else (code, None)


def _exit(text: str) -> tuple[int, int]:
    """Read an exit code and signal: `3:0`, or up to squeue 22.05 the raw wait status, `768`."""
    code, colon, signal = text.partition(":")
    try:
        if colon:
            return int(code), int(signal)
        status = int(code or "0")
    except ValueError:
        raise PollFailed(executor=_EXECUTOR, reason=f"an exit code that cannot be read: {text!r}") from None
    return status >> 8 & 0xFF, status & 0x7F


def _time(text: str) -> datetime | None:
    """Read seconds since 1970; N/A, None and Unknown are no time."""
    return datetime.fromtimestamp(int(text), UTC) if text.isdigit() and int(text) > 0 else None


_WORST_FIRST = [
    JobState.OUT_OF_MEMORY,
    JobState.TIMEOUT,
    JobState.NODE_FAIL,
    JobState.PREEMPTED,
    JobState.FAILED,
    JobState.CANCELLED,
    JobState.COMPLETED,
]


def _combine(reports: Iterable[JobReport]) -> list[JobReport]:
    """Make one report of an array's elements: it runs until the last has ended, then it is as its worst.

    An element that ended long before the others squeue has forgotten (MinJobAge): it is not heard then.
    """
    by_job = sorted(reports, key=lambda report: (report.job_id, report.name))
    groups = [list(group) for _, group in groupby(by_job, key=lambda report: (report.job_id, report.name))]
    return [_combined(group) for group in groups]


def _combined(elements: list[JobReport]) -> JobReport:
    starts = [element.started_at for element in elements if element.started_at is not None]
    restarts = [element.restarts for element in elements if element.restarts is not None]
    ends = [element.ended_at for element in elements if element.ended_at is not None]
    told = _telling(elements)
    return msgspec.structs.replace(
        told,
        started_at=min(starts, default=None),
        ended_at=max(ends, default=None) if told.state.is_over else None,
        restarts=max(restarts, default=None),
    )


def _telling(elements: list[JobReport]) -> JobReport:
    """Choose the element whose state is that of all."""
    if all(element.state.is_over for element in elements):
        return min(elements, key=lambda element: _WORST_FIRST.index(element.state))
    running = [element for element in elements if element.state is JobState.RUNNING]
    if running:
        return running[0]
    waiting = next(element for element in elements if not element.state.is_over)
    begun = len(elements) > 1 and any(element.state.is_over for element in elements)
    return msgspec.structs.replace(waiting, state=JobState.RUNNING) if begun else waiting
