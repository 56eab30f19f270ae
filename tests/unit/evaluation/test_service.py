"""The stage from plan to signal: what is written, and what is not done twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import msgspec
import pytest

from heliograph.drive import Drive
from heliograph.evaluation.attempt import read_attempt
from heliograph.files import sha256_file
from heliograph.stages.checks import check_evaluation
from support.drives import training_signal
from unit.evaluation.builders import EXPERIMENT, pair_rows, write_dataset
from unit.evaluation.running import (
    JOB,
    evaluate,
    events,
    in_job,
    kinds,
    metadata,
    rows,
    signal,
)


def test_everything_that_a_complete_evaluation_leaves(model_drive: Drive) -> None:
    write_dataset(model_drive, "pairs", pair_rows())
    data = write_dataset(model_drive, "texts", [{"text": "The cat."}], task="perplexity", format="jsonl")
    outcome = evaluate(model_drive, checkpoints="all")
    assert (outcome.status, outcome.exit_code, outcome.failures) == ("complete", 0, [])

    done = signal(model_drive)
    assert (done.content.status, done.content.job_id) == ("complete", "4711")
    assert done.content.datasets_evaluated == ["pairs", "texts"]
    assert done.content.metrics_summary["pairs"] == outcome.results["pairs"]["final"]
    assert set(done.content.metrics_summary["texts"]) == {
        *("perplexity", "word_perplexity", "byte_perplexity", "loss"),
    }
    assert check_evaluation(model_drive, done) == str(model_drive.evaluation_folder(EXPERIMENT))

    told = metadata(model_drive)
    assert (told.token, told.job_id, told.signal_sha256) == ("abc123def456", "4711", "5" * 64)
    assert [(one.name, one.step, one.tokens_seen) for one in told.checkpoints] == [
        ("checkpoint-50", 50, 500),
        ("final", 100, 1000),
    ]
    assert [(one.name, one.task, one.n_items, one.n_skipped) for one in told.datasets] == [
        ("pairs", "minimal_pairs", 12, 0),
        ("texts", "perplexity", 1, 0),
    ]
    assert told.datasets[1].sha256 == sha256_file(data)
    weights = model_drive.final_model(EXPERIMENT) / "model.safetensors"
    assert told.provenance.model_sha256["final"] == sha256_file(weights)
    assert told.provenance.model_sha256["checkpoint-50"] != told.provenance.model_sha256["final"]
    assert told.provenance.versions["torch"] != "missing"
    assert len(told.files.metrics) == 2 * (1 + 4)
    assert len(told.files.predictions) == 2 * 2
    assert {"total", "final/load", "final/pairs", "checkpoint-50/texts"} <= set(told.durations_s)

    predictions = rows(model_drive, [told.files.predictions[0]])
    right = sum(row["correct"] for row in predictions)
    assert outcome.results["pairs"]["checkpoint-50"]["accuracy"] == right / 12
    cells = rows(model_drive, [told.files.metrics[0]])
    assert [(row["item_group"], row["form"], row["n"], row["field"]) for row in cells] == [
        (group, form, 3, "syntax") for group in ("g0", "g1") for form in ("f0", "f1")
    ]
    assert sum(row["accuracy"] * row["n"] for row in cells) == pytest.approx(right)


def test_the_events_of_a_job(model_drive: Drive) -> None:
    write_dataset(model_drive, "pairs", pair_rows())
    evaluate(model_drive)
    assert kinds(model_drive) == ["JobHeartbeat", "ResultsAdded", "JobHeartbeat", "SignalPublished"]
    first, results, last, published = (event.body for event in events(model_drive))
    assert [(beat.done, beat.total) for beat in (first, last)] == [(0, 12), (12, 12)]
    assert (results.dataset, results.checkpoint, results.token) == ("pairs", "final", "abc123def456")
    assert results.metrics == signal(model_drive).content.metrics_summary["pairs"]
    assert published.sha256 == signal(model_drive).sha256


def test_a_run_by_hand_tells_of_begin_and_end_itself(model_drive: Drive) -> None:
    write_dataset(model_drive, "pairs", pair_rows())
    attempt = read_attempt(model_drive, EXPERIMENT, {})
    evaluate(model_drive, attempt)
    assert attempt.token.startswith("manual-")
    assert kinds(model_drive) == [
        *("JobStarted", "JobHeartbeat", "ResultsAdded", "JobHeartbeat", "SignalPublished", "JobEnded")
    ]
    assert {event.body.token for event in events(model_drive) if hasattr(event.body, "token")} == {
        attempt.token
    }
    assert events(model_drive)[-1].body.exit_code == 0
    assert signal(model_drive).content.job_id == attempt.token


def test_a_run_by_hand_is_about_the_signal_that_stands(model_drive: Drive) -> None:
    from heliograph.protocol.signals import TRAINING_COMPLETE, publish_signal

    published = publish_signal(model_drive, TRAINING_COMPLETE, training_signal(model_drive, EXPERIMENT))
    assert read_attempt(model_drive, EXPERIMENT, {}).signal_sha256 == published.sha256
    published.path.write_text("{")
    assert read_attempt(model_drive, EXPERIMENT, {}).signal_sha256 is None


def test_the_environment_of_another_job_is_not_ours(model_drive: Drive) -> None:
    for change in ({"HELIOGRAPH_STAGE": "analysis"}, {"HELIOGRAPH_EXPERIMENT": "other"}):
        assert read_attempt(model_drive, EXPERIMENT, JOB | change).by_hand


def test_what_is_finished_is_not_evaluated_again(model_drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(model_drive, "pairs", pair_rows())
    first = evaluate(model_drive, in_job(model_drive, "first"))
    files = metadata(model_drive).files

    def never(*_: object) -> None:
        raise AssertionError("a model was loaded for nothing")

    monkeypatch.setattr("heliograph.evaluation.candidate.Candidate.load", never)
    again = evaluate(model_drive, in_job(model_drive, "second"))
    assert again.results == first.results
    assert metadata(model_drive).files == files
    assert metadata(model_drive).token == "second"
    told = [event.body.token for event in events(model_drive) if type(event.body).__name__ == "ResultsAdded"]
    assert told == ["first", "second"]


def change_data(drive: Drive) -> None:
    write_dataset(drive, "pairs", pair_rows(11))


def change_dataset_config(drive: Drive) -> None:
    write_dataset(drive, "pairs", pair_rows(), ties="right")


def change_model(drive: Drive) -> None:
    shutil.copy(
        drive.checkpoints(EXPERIMENT) / "checkpoint-50" / "model.safetensors", drive.final_model(EXPERIMENT)
    )


def change_settings(drive: Drive) -> None:
    drive.base_eval.write_text("dtype: bfloat16\n")


def change_bos_token(drive: Drive) -> None:
    (drive.final_model(EXPERIMENT) / "tokenizer_config.json").write_text('{"bos_token": "a"}')


@pytest.mark.parametrize(
    "change", [change_data, change_dataset_config, change_model, change_settings, change_bos_token]
)
def test_what_changed_is_new_work_and_adds_files(model_drive: Drive, change: Callable[[Drive], None]) -> None:
    write_dataset(model_drive, "pairs", pair_rows())
    evaluate(model_drive, in_job(model_drive, "first"))
    before = metadata(model_drive).files
    change(model_drive)
    evaluate(model_drive, in_job(model_drive, "second"))
    after = metadata(model_drive).files
    assert not set(before.metrics + before.predictions) & set(after.metrics + after.predictions)
    folder = model_drive.evaluation_folder(EXPERIMENT)
    assert all((folder / name).is_file() for name in before.metrics + before.predictions)


def test_a_new_signal_is_new_work(model_drive: Drive) -> None:
    write_dataset(model_drive, "pairs", pair_rows())
    evaluate(model_drive)
    before = metadata(model_drive).files
    new = msgspec.structs.replace(in_job(model_drive, "next"), signal_sha256="6" * 64)
    evaluate(model_drive, new)
    assert not set(before.metrics) & set(metadata(model_drive).files.metrics)
