from datetime import timedelta
from typing import Any

import pytest

from heliograph.dashboard.stages import StageShown, is_web_address, show_stages
from heliograph.names import iso
from heliograph.state.views import ExperimentView, StageView
from support.drives import NOW


def shown(before: str = "completed", **known: Any) -> StageShown:
    """Show an evaluation of which this is known, after a training with the status `before`."""
    view = ExperimentView(
        experiment="exp",
        status="running",
        training=StageView(stage="training", status=before),
        evaluation=StageView(stage="evaluation", **known),
        analysis=StageView(stage="analysis", status="waiting"),
    )
    return show_stages(view, NOW)[1]


def minutes_ago(count: float) -> str:
    return iso(NOW - timedelta(minutes=count))


def test_a_running_stage_says_since_when_how_long_and_how_far() -> None:
    stage = shown(status="running", started_at=minutes_ago(20), progress=0.379)
    assert stage.headline is not None
    assert (stage.headline.label, stage.headline.shown) == ("since", "31 Jan 08:45")
    assert (stage.took, stage.percent) == ("20 min", 37)


def test_a_stage_that_has_ended_says_when_and_how_long_it_took() -> None:
    stage = shown(
        status="completed", started_at=minutes_ago(9), completed_at=minutes_ago(5), duration_s=240.0
    )
    assert stage.headline is not None
    assert (stage.headline.label, stage.headline.shown) == ("", "31 Jan 09:00")
    assert (stage.took, stage.percent) == ("4 min 00 s", None)
    assert [moment.label for moment in stage.moments] == ["started", "ended"]


def test_progress_of_what_has_ended_is_not_shown() -> None:
    assert shown(status="failed", progress=0.5).percent is None


def test_a_failure_says_what_comes_next() -> None:
    stage = shown(status="failed", failure_class="resources", retry_at=iso(NOW + timedelta(minutes=4)))
    assert stage.again == "next attempt 31 Jan 09:09, in 4 min"
    assert stage.failure is not None and stage.failure.startswith("It ran out of memory or time")


def test_a_failure_of_an_unknown_class_is_shown_without_advice() -> None:
    assert shown(status="failed", failure_class="cosmic rays").failure is None


def test_a_status_that_is_not_known_is_shown_as_it_is() -> None:
    stage = shown(status="paused")
    assert (stage.status, stage.sign) == ("paused", "?")


@pytest.mark.parametrize(
    ("before", "message"), [("running", None), ("failed", None), ("completed", "the signal is not there")]
)
def test_that_a_stage_waits_for_the_one_before_is_not_said_again(before: str, message: str | None) -> None:
    assert shown(before, status="waiting", message="the signal is not there").message == message


@pytest.mark.parametrize(
    ("attempt", "said"), [(None, "slurm 4711"), (1, "slurm 4711"), (2, "attempt 2 · slurm 4711")]
)
def test_the_job_is_named_and_the_attempt_from_the_second_on(attempt: int | None, said: str) -> None:
    assert shown(status="running", attempt=attempt, executor="slurm", job_id="4711").job == said


def test_what_is_cancelled_or_held_is_said_so() -> None:
    cancelled = shown(status="failed", failure_class="cancelled", requested_by="tmorton@ssrde")
    assert (cancelled.status, cancelled.word, cancelled.asked) == (
        "failed",
        "cancelled",
        "cancelled by tmorton@ssrde",
    )
    held = shown(status="queued", scheduler_state="HOLD", message="quota", retry_at=minutes_ago(-50))
    assert (held.status, held.word, held.again) == ("queued", "held", "not before 31 Jan 09:55, in 50 min")
    assert shown(status="queued", scheduler_state="HOLD", job_id="17").word == "queued"


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (
            {"status": "running", "cancel_requested_at": minutes_ago(1), "requested_by": "a@b"},
            "cancel asked by a@b, 31 Jan 09:04",
        ),
        ({"status": "queued", "cancel_requested_at": minutes_ago(1)}, "cancel asked, 31 Jan 09:04"),
        ({"status": "failed", "retry_at": minutes_ago(0), "requested_by": "a@b"}, "retry asked by a@b"),
        ({"status": "failed", "retry_at": minutes_ago(0)}, None),
        ({"status": "completed", "requested_by": "a@b"}, None),
        (
            {"status": "failed", "retry_at": minutes_ago(0), "requested_by": "\x1b[31m"},
            "retry asked by \\x1b[31m",
        ),
    ],
)
def test_what_somebody_asked_for_is_said(known: dict[str, Any], said: str | None) -> None:
    assert shown(**known).asked == said


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"status": "running", "node": "node07"}, "on node07"),
        ({"status": "failed", "node": "\x1b[31m", "restarts": 2}, "on \\x1b[31m, put back 2 times"),
        ({"status": "queued", "node": "node07", "restarts": 1}, "put back once"),
        ({"status": "completed", "node": "node07"}, None),
        ({"status": "running"}, None),
    ],
)
def test_a_job_tells_its_node_and_how_often_it_was_put_back(known: dict[str, Any], said: str | None) -> None:
    assert shown(**known).place == said


def test_links_lead_to_log_errors_and_run() -> None:
    stage = shown(
        status="running", log_path="/drive/logs/evaluation/7.log", mlflow_url="https://mlflow/#/runs/1"
    )
    assert [(link.text, link.href, link.leads_away) for link in stage.links] == [
        ("log", "/experiments/exp/logs/evaluation", False),
        ("errors", "/experiments/exp/logs/evaluation/errors", False),
        ("MLflow", "https://mlflow/#/runs/1", True),
    ]


@pytest.mark.parametrize(
    "url",
    [
        *(
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "sqlite:///a.db",
        ),
        *(
            "//elsewhere/x",
            "https://",
            "http:/x",
            "https://[broken",
            "https://a/\x1b]8;;",
            "https://a/ b",
            "",
        ),
    ],
)
def test_no_link_leads_to_what_is_no_web_address(url: str) -> None:
    assert not is_web_address(url)
    assert shown(status="running", mlflow_url=url).links == []


def test_messages_keep_their_lines_and_lose_their_control_signs() -> None:
    assert shown(status="failed", message="one\n\ttwo\x1b[31m").message == "one\n\ttwo\\x1b[31m"
