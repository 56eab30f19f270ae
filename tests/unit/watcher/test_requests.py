"""What may be asked of the watcher, and what is answered instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from heliograph.config import StageSettings, WatcherConfig
from heliograph.dashboard.explaining import gather
from heliograph.errors import DriveUnavailable, NotADrive, UsageError
from heliograph.protocol.events import CancelRequested, RetryRequested, read_event
from heliograph.state.explain_facts import Facts
from heliograph.watcher.requests import plan_cancel, plan_retry, post_request
from support.drives import NOW, make_drive
from support.lives import E1, Life, live
from unit.dashboard import states

SETTINGS = WatcherConfig().stages


def facts_of(root: Path, play: Callable[[Life], None]) -> Facts:
    with live(root, play) as snapshots:
        return gather(snapshots, E1, NOW)


@pytest.mark.parametrize(
    ("play", "will"),
    [
        (states.failed_for_good, "evaluation of exp_01: attempt 2, at once."),
        (states.failed_three_times, "evaluation of exp_01: attempt 4, at once."),
        (states.is_tried_again, "evaluation of exp_01: attempt 2, at once."),
        (states.was_cancelled, "evaluation of exp_01: attempt 2, at once."),
        (states.waits_for_its_second_attempt, "evaluation of exp_01: attempt 2, at once."),
        (states.is_held, "evaluation of exp_01: attempt 1, at once."),
    ],
)
def test_what_failed_or_waits_may_be_tried_at_once(
    tmp_path: Path, play: Callable[[Life], None], will: str
) -> None:
    request = plan_retry(facts_of(tmp_path, play), SETTINGS)
    assert request.will == will
    assert request.body == RetryRequested(experiment=E1, stage="evaluation")


def test_memory_and_time_are_said_as_people_read_them(tmp_path: Path) -> None:
    request = plan_retry(facts_of(tmp_path, states.failed_for_good), SETTINGS, mem="64G", time="08:00:00")
    assert request.will.endswith("attempt 2, at once, with memory 64G and time limit 08:00:00 (8 h 00 min).")
    assert isinstance(request.body, RetryRequested)
    assert (request.body.mem, request.body.time) == ("64G", "08:00:00")
    assert request.notes == [
        "It could not succeed as it was: another attempt helps only if that has been mended."
    ]


def test_what_is_complete_needs_force(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, states.all_is_complete)
    request = plan_retry(facts, SETTINGS, stage="evaluation", force=True)
    assert request.body == RetryRequested(experiment=E1, stage="evaluation", force=True)
    assert request.notes == ["It is complete; what follows it is done again too, with its new result."]


@pytest.mark.parametrize(
    ("play", "told", "said"),
    [
        (states.runs, {}, "evaluation of exp_01 runs now (slurm 4711 on node07). Cancel it first: heliograph "
                          "cancel exp_01 --stage evaluation"),
        (states.is_pending, {}, "evaluation of exp_01 waits in the scheduler's queue already (slurm 4711). "
                                "Cancel it first"),
        (states.all_is_complete, {}, "nothing of exp_01 failed. Where it stands: heliograph why exp_01"),
        (states.all_is_complete, {"force": True}, "Name the stage: --stage evaluation or --stage analysis"),
        (states.all_is_complete, {"stage": "analysis"}, "analysis of exp_01 is complete. To have it done "
         "again: heliograph retry exp_01 --stage analysis --force"),
        (states.runs, {"stage": "analysis"}, "analysis of exp_01 has not been tried yet"),
        (states.was_run_by_hand, {"stage": "evaluation"}, "evaluation of exp_01 was only run by hand"),
        (states.training_failed, {}, "a training is started and ended where its script runs"),
        (states.runs, {"stage": "training"}, "a training is started and ended where its script runs"),
        (states.runs, {"stage": "eval"}, "no stage is called 'eval'. The watcher runs evaluation and"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_what_does(
    tmp_path: Path, play: Callable[[Life], None], told: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError) as refused:
        plan_retry(facts_of(tmp_path, play), SETTINGS, **told)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"mem": "300G"}, "--mem 300G is more than the 256G that evaluation may have. The ceiling is "
                          "stages.evaluation.most_mem in config/watcher.yaml"),
        ({"time": "2-00"}, "--time 2-00 is more than the 24:00:00 that evaluation may have"),
        ({"mem": "0"}, "--mem '0' is not what Slurm takes. Write it as 64G"),
        ({"time": "0"}, "--time '0' is not what Slurm takes. Write it as 08:00:00"),
        ({"time": "00:00:00"}, "is not what Slurm takes"),
        ({"mem": "64 GB"}, "--mem '64 GB' is not what Slurm takes"),
        ({"mem": "64G; rm -rf /"}, "is not what Slurm takes"),
        ({"time": "soon"}, "--time 'soon' is not what Slurm takes"),
    ],
)  # fmt: skip
def test_the_ceilings_hold_for_people_too(tmp_path: Path, told: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        plan_retry(facts_of(tmp_path, states.failed_for_good), SETTINGS, **told)
    assert said in str(refused.value)


def test_exactly_the_most_is_allowed(tmp_path: Path) -> None:
    settings = {"evaluation": StageSettings(most_mem="64G", most_time="02:00:00")}
    facts = facts_of(tmp_path, states.failed_for_good)
    assert plan_retry(facts, settings, mem="65536M", time="120").attempt.number == 1


@pytest.mark.parametrize(
    ("play", "will"),
    [
        (states.runs, "evaluation of exp_01: attempt 1 (slurm 4711 on node07) ends, and no other follows."),
        (states.is_pending, "evaluation of exp_01: attempt 1 (slurm 4711) ends, and no other follows."),
        (states.is_queued, "evaluation of exp_01: attempt 1 ends, and no other follows."),
        (
            states.is_tried_again,
            "evaluation of exp_01: attempt 1 failed, and the one that would follow is not made.",
        ),
    ],
)
def test_what_waits_runs_or_would_follow_may_be_cancelled(
    tmp_path: Path, play: Callable[[Life], None], will: str
) -> None:
    request = plan_cancel(facts_of(tmp_path, play))
    assert request.will == will
    assert request.body == CancelRequested(experiment=E1, stage="evaluation")


@pytest.mark.parametrize(
    ("play", "stage", "said"),
    [
        (states.all_is_complete, None, "nothing of exp_01 waits or runs"),
        (states.all_is_complete, "evaluation", "evaluation of exp_01 is complete, so there is nothing to"),
        (states.was_cancelled, "evaluation", "evaluation of exp_01 is cancelled already"),
        (states.failed_for_good, "evaluation", "is over: it failed, and nothing follows"),
        (states.training_runs, None, "a training is started and ended where its script runs"),
    ],
)
def test_what_is_over_cannot_be_cancelled(
    tmp_path: Path, play: Callable[[Life], None], stage: str | None, said: str
) -> None:
    with pytest.raises(UsageError) as refused:
        plan_cancel(facts_of(tmp_path, play), stage=stage)
    assert said in str(refused.value)


def test_who_asked_before_is_told(tmp_path: Path) -> None:
    request = plan_cancel(facts_of(tmp_path, states.is_being_cancelled))
    assert request.notes == ["tmorton@monitoring asked for that before."]


def test_a_request_goes_to_the_inbox_or_is_no_request(tmp_path: Path) -> None:
    drive = make_drive(tmp_path / "drive")
    body = CancelRequested(experiment=E1, stage="evaluation")
    event = post_request(drive, body)
    assert read_event(drive.inbox / f"{event.id}.json") == event
    (drive.inbox / f"{event.id}.json").unlink()
    drive.inbox.rmdir()
    with pytest.raises(DriveUnavailable, match="Nothing was asked"):
        post_request(drive, body)
    drive.id_file.unlink()
    with pytest.raises(NotADrive):
        post_request(drive, body)
