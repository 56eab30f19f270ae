"""One checkpoint at a time, as the tasks of a job array do it, comes to the same as all in one job."""

from __future__ import annotations

import shutil

import pytest

from heliograph.drive import Drive
from heliograph.errors import BadConfig
from heliograph.protocol.events import JobHeartbeat, ResultsAdded
from heliograph.protocol.signals import EVAL_COMPLETE, EVAL_FAILED
from heliograph.stages.checkpoints import list_parts
from unit.evaluation.builders import EXPERIMENT, pair_rows, write_dataset
from unit.evaluation.running import evaluate, events, in_job, metadata, rows, signal


@pytest.fixture
def drive(model_drive: Drive) -> Drive:
    write_dataset(model_drive, "pairs", pair_rows())
    model_drive.base_eval.write_text("checkpoints: all\n")
    return model_drive


def parts(drive: Drive) -> list[str]:
    return list_parts(drive, EXPERIMENT, str(drive.final_model(EXPERIMENT)))


def test_all_parts_and_then_the_conclusion(drive: Drive) -> None:
    whole = Drive(drive.root.parent / "whole")
    shutil.copytree(drive.root, whole.root)
    assert parts(drive) == ["checkpoint-50", "final"]
    for name in parts(drive):
        outcome = evaluate(drive, part=name)
        assert (outcome.exit_code, list(outcome.results["pairs"])) == (0, [name])
        assert not EVAL_COMPLETE.path(drive, EXPERIMENT).exists()
    told = [event.body for event in events(drive)]
    assert {body.checkpoint for body in told if isinstance(body, ResultsAdded)} == set(parts(drive))
    assert all(body.done is None for body in told if isinstance(body, JobHeartbeat))
    written = sorted(drive.evaluation.rglob("*.parquet"))
    assert len([path for path in written if path.is_file()]) == 4
    evaluate(drive)
    assert sorted(drive.evaluation.rglob("*.parquet")) == written, "nothing was evaluated a second time"
    evaluate(whole)
    names = metadata(whole).files.metrics + metadata(whole).files.predictions
    assert rows(drive, names) == rows(whole, names)
    assert signal(drive).content.metrics_summary == signal(whole).content.metrics_summary


def test_the_next_attempt_does_only_the_part_that_is_missing(drive: Drive) -> None:
    evaluate(drive, in_job(drive, "first-token"), part="final")
    files = [path for path in drive.evaluation.rglob("*.parquet") if path.is_file()]
    written = {path: path.stat().st_mtime_ns for path in files}
    for name in parts(drive):
        evaluate(drive, in_job(drive, "second-token"), part=name)
    evaluate(drive, in_job(drive, "second-token"))
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert signal(drive).content.status == "complete"


def test_a_part_that_cannot_be_evaluated_is_told_by_the_whole(drive: Drive) -> None:
    (drive.checkpoints(EXPERIMENT) / "checkpoint-50" / "config.json").write_text("{")
    assert evaluate(drive, part="checkpoint-50").exit_code == 3
    assert not EVAL_COMPLETE.path(drive, EXPERIMENT).exists()
    assert not EVAL_FAILED.path(drive, EXPERIMENT).exists(), "the others may have results"
    assert evaluate(drive, part="final").exit_code == 0
    assert evaluate(drive).exit_code == 3
    assert signal(drive).content.status == "failed"
    assert "checkpoint-50" in signal(drive).content.error_message


def test_a_part_that_is_no_longer_asked_for_has_nothing_to_do(drive: Drive) -> None:
    drive.base_eval.write_text("checkpoints: final\n")
    outcome = evaluate(drive, part="checkpoint-50")
    assert (outcome.exit_code, outcome.results) == (0, {})


def test_a_configuration_that_cannot_be_used_is_told_at_once(drive: Drive) -> None:
    drive.base_eval.write_text("checkpoints: [no-such]\n")
    with pytest.raises(BadConfig):
        evaluate(drive, part="final")
    assert EVAL_FAILED.path(drive, EXPERIMENT).exists()
