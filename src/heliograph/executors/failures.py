"""What a failed job asks for: the class of its end, told from its state, exit code, signal and last words.

The classes decide what follows; the number of attempts bounds it. So in doubt the class is the one whose
retry may help: TRANSIENT.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence

from msgspec.structs import replace

from heliograph import errors
from heliograph.executors.base import FailureClass, JobReport, JobState

OUT_OF_TIME = 128 + signal.SIGXCPU
"""exit code of a job that was warned of its time limit, saved what it had and left"""

_BY_STATE = {
    JobState.OUT_OF_MEMORY: FailureClass.RESOURCES,
    JobState.TIMEOUT: FailureClass.RESOURCES,
    JobState.NODE_FAIL: FailureClass.NODE,
    JobState.PREEMPTED: FailureClass.NODE,
    JobState.CANCELLED: FailureClass.CANCELLED,
}

_BY_REASON = {
    "DEADLINE": FailureClass.PERMANENT,  # somebody's --deadline: another attempt comes later still
}

# Slurm says "JobLaunchFailure" of every script that a signal ended; the signal tells more.
_BY_SIGNAL = {
    signal.SIGKILL: FailureClass.RESOURCES,  # nearly always memory: OverMemoryKill, the kernel's OOM killer
    signal.SIGXCPU: FailureClass.RESOURCES,
    signal.SIGILL: FailureClass.NODE,  # a processor older than the one the programs were built for
    signal.SIGBUS: FailureClass.NODE,  # a mapped file went away, or memory is broken
    53: FailureClass.NODE,  # seen: the output's folder is not there; mostly a drive not mounted on that node
}

_BY_EXIT_CODE = {
    errors.UsageError.exit_code: FailureClass.PERMANENT,
    errors.BadInput.exit_code: FailureClass.PERMANENT,
    errors.DriveError.exit_code: FailureClass.NODE,  # else a node without the drive eats job after job
    errors.MissingPart.exit_code: FailureClass.PERMANENT,
    126: FailureClass.PERMANENT,  # the shell: not executable
    127: FailureClass.PERMANENT,  # the shell: command not found; modules or set-up lines are wrong
}
_SHELL_SIGNAL = 128  # a shell exits with 128 + n when signal n ended what it ran

# Words that tell of memory where the exit code does not: of Slurm, the kernel, PyTorch, Python, C++, R.
_MEMORY_WORDS = (
    "exceeded memory limit",
    "oom-kill",
    "oom_kill",
    "out of memory",
    "outofmemoryerror",
    "memoryerror",
    "std::bad_alloc",
    "cannot allocate vector of size",
    "cannot allocate memory",
)


def classify(report: JobReport, exit_code: int | None = None, last_lines: Sequence[str] = ()) -> FailureClass:
    """Return the class of an ended job that did not do its work.

    `exit_code` is the one that the job told itself, if it could; it outdoes the scheduler's (sacct shows 137
    as 9). `last_lines` is the end of its log. A COMPLETED job whose results are missing is TRANSIENT.
    Raises ValueError for a job that is not over.
    """
    if not report.state.is_over:
        raise ValueError(f"job {report.job_id} is {report.state}, not over")
    if report.state in _BY_STATE:
        return _BY_STATE[report.state]
    if report.reason in _BY_REASON:
        return _BY_REASON[report.reason]
    by_code = _class_of_exit(
        report if exit_code is None else replace(report, exit_code=exit_code, signal=None)
    )
    # a permanent verdict stands; words may only sharpen a doubtful one
    if by_code is FailureClass.TRANSIENT and _tells_of_memory(last_lines):
        return FailureClass.RESOURCES
    return by_code


def _class_of_exit(report: JobReport) -> FailureClass:
    code, number = report.exit_code, report.signal
    if code is not None and code > _SHELL_SIGNAL and code not in _BY_EXIT_CODE:
        number = code - _SHELL_SIGNAL
    if number is not None:
        return _BY_SIGNAL.get(number, FailureClass.TRANSIENT)
    return _BY_EXIT_CODE.get(code or 0, FailureClass.TRANSIENT)


def _tells_of_memory(lines: Sequence[str]) -> bool:
    text = "\n".join(lines).lower()
    return any(words in text for words in _MEMORY_WORDS)
