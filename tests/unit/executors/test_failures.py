"""Which class a failed job has."""

from __future__ import annotations

import pytest

from heliograph import errors
from heliograph.executors.base import FailureClass, JobReport, JobState
from heliograph.executors.failures import classify


def ended(
    state: JobState = JobState.FAILED,
    *,
    exit_code: int | None = None,
    signal: int | None = None,
    reason: str | None = None,
) -> JobReport:
    return JobReport(job_id="1", name="n", state=state, exit_code=exit_code, signal=signal, reason=reason)


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (JobState.OUT_OF_MEMORY, FailureClass.RESOURCES),
        (JobState.TIMEOUT, FailureClass.RESOURCES),
        (JobState.NODE_FAIL, FailureClass.NODE),
        (JobState.PREEMPTED, FailureClass.NODE),
        (JobState.CANCELLED, FailureClass.CANCELLED),
    ],
)
def test_the_state_decides_whatever_the_job_said(state: JobState, kind: FailureClass) -> None:
    assert classify(ended(state)) == classify(ended(state, exit_code=3)) == classify(ended(state), 3) == kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, FailureClass.TRANSIENT),
        (errors.UsageError.exit_code, FailureClass.PERMANENT),
        (errors.BadModel.exit_code, FailureClass.PERMANENT),
        (errors.DriveUnavailable.exit_code, FailureClass.NODE),
        (errors.StateError.exit_code, FailureClass.TRANSIENT),
        (errors.MissingPart.exit_code, FailureClass.PERMANENT),
        (errors.StageFailed.exit_code, FailureClass.TRANSIENT),
        (75, FailureClass.TRANSIENT),
        (126, FailureClass.PERMANENT),
        (127, FailureClass.PERMANENT),
        (128 + 9, FailureClass.RESOURCES),
        (128 + 15, FailureClass.TRANSIENT),
        (128 + 4, FailureClass.NODE),
        (255, FailureClass.TRANSIENT),
    ],
)
def test_exit_codes(code: int, kind: FailureClass) -> None:
    assert classify(ended(exit_code=code)) == kind


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (9, FailureClass.RESOURCES),
        (15, FailureClass.TRANSIENT),
        (11, FailureClass.TRANSIENT),
        (7, FailureClass.NODE),
        (53, FailureClass.NODE),
    ],
)
def test_signals(number: int, kind: FailureClass) -> None:
    assert classify(ended(signal=number, reason="JobLaunchFailure")) == kind


def test_the_jobs_own_exit_code_outdoes_the_schedulers() -> None:
    assert classify(ended(exit_code=9), 137) == FailureClass.RESOURCES
    assert classify(ended(signal=15), 3) == FailureClass.PERMANENT


@pytest.mark.parametrize(
    "line",
    [
        "slurmstepd: error: Job 7 exceeded memory limit (9000 > 8000), being killed",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        "MemoryError",
        "Error: cannot allocate vector of size 7.5 Gb",
    ],
)
def test_last_words_about_memory(line: str) -> None:
    assert classify(ended(exit_code=1), last_lines=["before", line]) == FailureClass.RESOURCES
    assert classify(ended(exit_code=3), last_lines=[line]) == FailureClass.PERMANENT


def test_a_deadline_is_not_worth_another_attempt() -> None:
    assert classify(ended(reason="DEADLINE")) == FailureClass.PERMANENT


def test_a_completed_job_without_results_is_tried_again() -> None:
    assert classify(ended(JobState.COMPLETED, exit_code=0)) == FailureClass.TRANSIENT


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.RUNNING])
def test_a_job_that_is_not_over_has_no_class(state: JobState) -> None:
    with pytest.raises(ValueError, match="not over"):
        classify(ended(state))
