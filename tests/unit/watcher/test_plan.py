"""The decisions, without a disk, a clock or a cluster."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from heliograph.config import Resources, WatcherConfig
from heliograph.executors.base import FailureClass, JobReport, JobState
from heliograph.watcher.facts import Attempt, Evidence, StageFacts, Trigger
from heliograph.watcher.plan import (
    Adopt,
    Conclude,
    LookUp,
    Observe,
    Queue,
    Submit,
    plan_stage,
)
from heliograph.watcher.policy import make_token
from support.drives import NOW

CONFIG = WatcherConfig()
SHA, OTHER_SHA = "a" * 64, "b" * 64


def attempt(**changes: Any) -> Attempt:
    fields: dict[str, Any] = {
        "token": make_token("e1", "evaluation", SHA, 1),
        "number": 1,
        "status": "queued",
        "signal_sha256": SHA,
        "executor": "slurm",
        "resources": Resources(),
        "input_path": "/in",
        "queued_at": NOW,
    }
    return Attempt(**(fields | changes))


def in_flight(**changes: Any) -> Attempt:
    return attempt(
        **({"status": "running", "job_id": "17", "script_path": "s.sh", "submitted_at": NOW} | changes)
    )


def facts(**changes: Any) -> StageFacts:
    fields: dict[str, Any] = {"experiment": "e1", "stage": "evaluation", "trigger": Trigger(SHA, "/in", 0, 4)}
    return StageFacts(**(fields | changes))


def report(state: JobState, **more: Any) -> JobReport:
    return JobReport(job_id="17", name="eval_e1.x", state=state, **more)


def decide(after_s: float = 0.0, **changes: Any) -> Any:
    actions = plan_stage(facts(**changes), CONFIG, NOW + timedelta(seconds=after_s))
    assert len(actions) <= 1
    return actions[0] if actions else None


# new work ---------------------------------------------------------------------------------------------


def test_a_new_trigger_is_queued_first_and_nothing_else() -> None:
    action = decide()
    assert isinstance(action, Queue)
    assert (action.number, action.signal_sha256, action.parent_id) == (1, SHA, 4)
    assert action.token == make_token("e1", "evaluation", SHA, 1)


def test_no_trigger_no_work() -> None:
    assert decide(trigger=None) is None


def test_the_same_content_is_one_attempt_whatever_became_of_it() -> None:
    for status in ("queued", "running", "completed"):
        action = decide(attempt=in_flight(status=status))
        assert not isinstance(action, Queue)
    assert decide(attempt=in_flight(status="failed", failure_class="permanent")) is None


def test_new_content_is_new_work_once_the_old_attempt_is_over() -> None:
    new = Trigger(OTHER_SHA, "/in", 0)
    assert not isinstance(decide(trigger=new, attempt=in_flight()), Queue)
    action = decide(trigger=new, attempt=in_flight(status="completed"))
    assert isinstance(action, Queue)
    assert (action.number, action.signal_sha256) == (1, OTHER_SHA)


def test_content_that_comes_back_is_no_new_work() -> None:
    """A network drive may show what was there before for a moment; who wants it again asks for it."""
    back = Trigger(SHA, "/in", attempts_so_far=1)
    assert decide(trigger=back, attempt=in_flight(status="completed", signal_sha256=OTHER_SHA)) is None


# submission -------------------------------------------------------------------------------------------


def test_what_is_queued_is_submitted_when_its_time_has_come() -> None:
    assert isinstance(decide(attempt=attempt()), Submit)
    later = attempt(not_before=NOW + timedelta(seconds=60))
    assert decide(attempt=later) is None
    assert isinstance(decide(after_s=60, attempt=later), Submit)


def test_what_is_in_doubt_is_looked_up_and_never_submitted_before_that() -> None:
    doubt = {"attempt": attempt(), "look_up_at": NOW, "look_up_until": NOW + timedelta(seconds=10)}
    first = decide(**doubt)
    assert isinstance(first, LookUp)
    assert not first.is_last
    doubt["look_up_at"] = doubt["look_up_until"]
    assert decide(after_s=5, **doubt) is None
    last = decide(after_s=10, **doubt)
    assert isinstance(last, LookUp)
    assert last.is_last


def test_a_job_that_claimed_the_attempt_is_adopted() -> None:
    """The record of its submission is lost."""
    action = decide(attempt=attempt(), claimed_by="17", look_up_at=NOW)
    assert isinstance(action, Adopt)
    assert action.job_id == "17"
    closed = decide(attempt=attempt(), claimed_by="nobody")
    assert (closed.status, closed.retry_at) == ("failed", NOW)


# in flight --------------------------------------------------------------------------------------------


def test_success_is_exit_code_and_signal_and_outputs() -> None:
    done = Evidence(has_done_signal=True)
    assert decide(attempt=in_flight(exit_code=0), evidence=done).status == "completed"
    by_scheduler = msgspec.structs.replace(done, report=report(JobState.COMPLETED))
    assert decide(attempt=in_flight(), evidence=by_scheduler).status == "completed"
    assert decide(attempt=in_flight(), evidence=done) is None, "nobody said yet that it ended"
    assert decide(attempt=in_flight(exit_code=0), evidence=Evidence(over_since=NOW)) is None


@pytest.mark.parametrize("state", [JobState.NODE_FAIL, JobState.TIMEOUT, JobState.CANCELLED])
def test_a_job_that_was_ended_after_its_signal_has_done_its_work(state: JobState) -> None:
    """Else the stage would run again, and with its new signal the next stage a second time."""
    done = Evidence(has_done_signal=True, report=report(state))
    assert decide(attempt=in_flight(), evidence=done).status == "completed"
    assert decide(attempt=in_flight(exit_code=1), evidence=done).status == "failed"


def test_exit_code_zero_without_its_signal_fails_after_a_grace() -> None:
    evidence = Evidence(over_since=NOW, report=report(JobState.COMPLETED))
    assert (
        decide(after_s=CONFIG.signal_grace_s - 1, attempt=in_flight(exit_code=0), evidence=evidence) is None
    )
    action = decide(after_s=CONFIG.signal_grace_s, attempt=in_flight(exit_code=0), evidence=evidence)
    assert isinstance(action, Conclude)
    assert "its signal is missing" in str(action.reason)
    assert action.retry_at is not None


@pytest.mark.parametrize(
    ("state", "failure_class", "retried"),
    [
        (JobState.OUT_OF_MEMORY, FailureClass.RESOURCES, True),
        (JobState.TIMEOUT, FailureClass.RESOURCES, True),
        (JobState.NODE_FAIL, FailureClass.NODE, True),
        (JobState.CANCELLED, FailureClass.CANCELLED, False),
    ],
)
def test_the_schedulers_verdict_gives_the_class(
    state: JobState, failure_class: FailureClass, retried: bool
) -> None:
    action = decide(attempt=in_flight(), evidence=Evidence(report=report(state, reason="Why")))
    assert (action.status, action.failure_class) == ("failed", failure_class)
    assert action.reason == f"{state}, Why"
    assert (action.retry_at is not None) == retried


def test_bad_input_is_told_at_once_and_not_tried_again() -> None:
    attempt_ = in_flight(exit_code=3, error_message="heliograph: model.safetensors: is cut off")
    action = decide(attempt=attempt_, evidence=Evidence(report=report(JobState.FAILED, exit_code=3)))
    assert (action.failure_class, action.retry_at) == (FailureClass.PERMANENT, None)
    assert "is cut off" in action.reason


def test_the_last_attempt_is_not_followed_by_another() -> None:
    evidence = Evidence(report=report(JobState.NODE_FAIL))
    assert decide(attempt=in_flight(number=3), evidence=evidence).retry_at is None


def test_a_job_that_is_not_listed_is_unknown_until_long_after() -> None:
    missing = Evidence(missing_since=NOW)
    limit = CONFIG.vanished_after_s
    assert decide(after_s=limit - 1, attempt=in_flight(), evidence=missing) is None
    action = decide(after_s=limit, attempt=in_flight(), evidence=missing)
    assert (action.status, action.failure_class) == ("failed", FailureClass.VANISHED)
    assert "no longer listed" in action.reason


def test_a_job_that_left_its_own_word_has_not_vanished() -> None:
    action = decide(
        after_s=CONFIG.vanished_after_s,
        attempt=in_flight(exit_code=3, error_message="bad tokenizer"),
        evidence=Evidence(missing_since=NOW),
    )
    assert action.failure_class is FailureClass.PERMANENT
    assert "bad tokenizer" in action.reason


def test_what_the_scheduler_tells_anew_is_recorded_once() -> None:
    pending = Evidence(report=report(JobState.PENDING, reason="Resources"))
    assert decide(attempt=in_flight(), evidence=pending) == Observe(
        "e1", "evaluation", in_flight().token, "PENDING", "Resources", None, 0
    )
    known = in_flight(scheduler_state="PENDING", pending_reason="Resources")
    assert decide(attempt=known, evidence=pending) is None


# the next attempt -------------------------------------------------------------------------------------


def test_a_failed_attempt_is_followed_with_what_it_lacked() -> None:
    at = NOW + timedelta(seconds=60)
    out_of_memory = in_flight(
        status="failed", retry_at=at, failure_class="resources", error_message="OUT_OF_MEMORY, OutOfMemory"
    )
    action = decide(attempt=out_of_memory)
    assert isinstance(action, Queue)
    assert (action.number, action.not_before) == (2, at)
    assert (action.resources.mem, action.resources.time) == ("65536M", "02:00:00")
    timed_out = msgspec.structs.replace(out_of_memory, error_message="TIMEOUT, TimeLimit")
    assert decide(attempt=timed_out).resources.time == "04:00:00"


def test_a_retry_waits_until_its_trigger_can_be_seen() -> None:
    failed = in_flight(status="failed", retry_at=NOW, failure_class="transient")
    assert decide(trigger=None, attempt=failed) is None
