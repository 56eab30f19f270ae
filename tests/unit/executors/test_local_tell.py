"""What is told of a local job, from its traces alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from heliograph.errors import SubmissionDoubtful, SubmissionRefused
from heliograph.executors.base import FailureClass, JobState
from heliograph.executors.command import Answer
from heliograph.executors.local import Traces, parse_taken, tell

WAITING = Traces(
    job={"id": "local-7", "name": "n", "submitted_at": 1000.0, "supervisor": "boot:1:2"},
    start=None,
    end=None,
    cancelled_at=None,
    supervisor_lives=True,
    script_lives=False,
)
START = {"started_at": 1001.0, "process": "boot:3:4"}
END = {"state": "FAILED", "reason": "NonZeroExitCode", "exit_code": 3, "signal": None, "ended_at": 1002.0}


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({}, JobState.PENDING, "Resources"),
        ({"cancelled_at": 1.0}, JobState.PENDING, "Resources"),
        ({"start": START, "script_lives": True}, JobState.RUNNING, None),
        ({"start": START}, JobState.RUNNING, None),  # the end is being recorded
        ({"start": START, "end": END}, JobState.FAILED, "NonZeroExitCode"),
        ({"start": START, "end": END, "supervisor_lives": False}, JobState.FAILED, "NonZeroExitCode"),
        ({"end": END | {"state": "CANCELLED", "reason": None}}, JobState.CANCELLED, None),
        # the supervisor was killed
        ({"supervisor_lives": False}, JobState.NODE_FAIL, "SupervisorDied"),
        ({"supervisor_lives": False, "start": START}, JobState.NODE_FAIL, "SupervisorDied"),
        (
            {"supervisor_lives": False, "start": START, "script_lives": True},
            JobState.RUNNING,
            "SupervisorDied",
        ),
        # it was cancelled while it waited, which ends a supervisor without a word
        ({"supervisor_lives": False, "cancelled_at": 1003.0}, JobState.CANCELLED, "Cancelled"),
        (
            {"supervisor_lives": False, "cancelled_at": 1003.0, "start": START, "script_lives": True},
            JobState.RUNNING,
            "SupervisorDied",
        ),
    ],
)
def test_states(changes: dict[str, Any], state: JobState, reason: str | None) -> None:
    report = tell(msgspec.structs.replace(WAITING, **changes))
    assert (report.state, report.reason) == (state, reason)


def test_every_fact_is_told() -> None:
    report = tell(msgspec.structs.replace(WAITING, start=START, end=END))
    assert (report.job_id, report.name, report.exit_code, report.signal) == ("local-7", "n", 3, None)
    times = [datetime.fromtimestamp(second, UTC) for second in (1000, 1001, 1002)]
    assert [report.submitted_at, report.started_at, report.ended_at] == times


def test_a_job_cancelled_while_it_waited_ended_then() -> None:
    report = tell(msgspec.structs.replace(WAITING, supervisor_lives=False, cancelled_at=1003.0))
    assert report.ended_at == datetime.fromtimestamp(1003, UTC)
    assert report.started_at is None


def test_the_id_that_a_supervisor_gives() -> None:
    assert parse_taken(Answer("python", 0, "local-17\n")) == "local-17"


@pytest.mark.parametrize(("code", "kind"), [(65, FailureClass.PERMANENT), (75, FailureClass.TRANSIENT)])
def test_refusals(code: int, kind: FailureClass) -> None:
    with pytest.raises(SubmissionRefused, match="why") as refusal:
        parse_taken(Answer("python", code, "", "why"))
    assert refusal.value.failure_class == kind


@pytest.mark.parametrize(
    "answer", [Answer("python", None), Answer("python", -9), Answer("python", 1), Answer("p", 0)]
)
def test_doubts(answer: Answer) -> None:
    with pytest.raises(SubmissionDoubtful):
        parse_taken(answer)
