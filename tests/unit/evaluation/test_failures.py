"""What goes on after a failure, what is told of it, and what is kept."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from heliograph.drive import Drive
from heliograph.errors import BadConfig, DriveError, NotADrive, StageFailed
from heliograph.evaluation.attempt import read_attempt
from heliograph.evaluation.models import CausalModel
from heliograph.evaluation.plan import Options
from heliograph.evaluation.service import make_tools, run_evaluation
from heliograph.evaluation.worker import Stopped, Tools
from heliograph.protocol.outbox import Outbox
from heliograph.protocol.signals import EVAL_COMPLETE, EVAL_FAILED
from support.drives import NOW
from unit.evaluation.builders import EXPERIMENT, pair_rows, write_dataset
from unit.evaluation.running import (
    evaluate,
    events,
    in_job,
    kinds,
    metadata,
    nothing_stops,
    rows,
    signal,
)


def test_a_data_set_that_fails_does_not_stop_the_others(model_drive: Drive) -> None:
    write_dataset(model_drive, "good", pair_rows())
    broken = write_dataset(model_drive, "broken", pair_rows())
    broken.write_bytes(broken.read_bytes() + b"{\n")
    write_dataset(model_drive, "absent", []).unlink()
    (model_drive.dataset_configs / "wrong.yaml").write_text("name: wrong\ntask: none\n")
    write_dataset(model_drive, "wide", [{"text": "a"}], task="perplexity", format="jsonl", window=4096)
    outcome = evaluate(model_drive)
    assert (outcome.status, outcome.exit_code) == ("failed", 3)
    assert [failure.dataset for failure in outcome.failures] == ["absent", "broken", "wrong", "wide"]
    done = signal(model_drive).content
    assert (done.status, done.datasets_evaluated) == ("failed", ["good"])
    assert done.error_message.startswith("absent: ")
    assert done.error_message.endswith("(and 3 more)")
    assert [one.name for one in metadata(model_drive).datasets] == ["good"]
    assert f"{broken}:13" in metadata(model_drive).failures[1].message
    assert not EVAL_FAILED.path(model_drive, EXPERIMENT).exists()


def test_a_checkpoint_that_fails_does_not_stop_the_others(model_drive: Drive) -> None:
    write_dataset(model_drive, "pairs", pair_rows())
    weights = model_drive.checkpoints(EXPERIMENT) / "checkpoint-50" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    outcome = evaluate(model_drive, checkpoints="all")
    assert [(one.dataset, one.checkpoint) for one in outcome.failures] == [(None, "checkpoint-50")]
    assert list(outcome.results["pairs"]) == ["final"]
    assert [one.name for one in metadata(model_drive).checkpoints] == ["final"]


def test_without_any_result_the_failure_is_told(model_drive: Drive) -> None:
    write_dataset(model_drive, "pairs", pair_rows())
    (model_drive.final_model(EXPERIMENT) / "model.safetensors").unlink()
    outcome = evaluate(model_drive)
    assert outcome.exit_code == 3
    failed = signal(model_drive, EVAL_FAILED).content
    assert (failed.job_id, failed.error_type, failed.failing_part) == ("4711", "BadModel", "final")
    assert "model.safetensors: is missing" in failed.error_message
    assert not EVAL_COMPLETE.path(model_drive, EXPERIMENT).exists()
    assert not model_drive.evaluation_metadata(EXPERIMENT).exists()
    assert kinds(model_drive)[-1] == "SignalPublished"


def test_a_wrong_plan_is_published_by_a_job_and_only_told_by_hand(model_drive: Drive) -> None:
    with pytest.raises(BadConfig, match="describes no data set"):
        evaluate(model_drive, read_attempt(model_drive, EXPERIMENT, {}))
    assert not EVAL_FAILED.path(model_drive, EXPERIMENT).exists()
    with pytest.raises(BadConfig, match="describes no data set"):
        evaluate(model_drive)
    failed = signal(model_drive, EVAL_FAILED).content
    assert (failed.error_type, failed.failing_part) == ("BadConfig", "plan")


def test_items_that_do_not_fit_are_left_out_and_counted(model_drive: Drive) -> None:
    long = {"item_id": "long", "alternatives": ["The cat. " * 50, "x"]}
    write_dataset(model_drive, "pairs", [*pair_rows(), long])
    outcome = evaluate(model_drive)
    assert outcome.n_skipped == {"pairs": 1}
    assert (metadata(model_drive).datasets[0].n_items, metadata(model_drive).datasets[0].n_skipped) == (13, 1)
    assert len(rows(model_drive, metadata(model_drive).files.predictions)) == 12


def test_a_data_set_of_which_nothing_fits_fails(model_drive: Drive) -> None:
    write_dataset(model_drive, "pairs", [{"item_id": "long", "alternatives": ["The cat. " * 50, "x"]}])
    outcome = evaluate(model_drive)
    assert "can score none of its 1 items, the last because: " in outcome.failures[0].message
    assert [path for path in model_drive.evaluation.rglob("*.parquet") if path.is_file()] == []


def test_a_checkpoint_without_tokenizer_takes_another(model_drive: Drive) -> None:
    write_dataset(model_drive, "pairs", pair_rows())
    final = model_drive.final_model(EXPERIMENT)
    (model_drive.root / "shared").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.move(final / name, model_drive.root / "shared")
    assert "tokenizer.json: is missing" in evaluate(model_drive).failures[0].message
    model_drive.base_eval.write_text("tokenizer: shared\n")
    assert evaluate(model_drive).status == "complete"


def test_a_vocabulary_that_is_too_small(model_drive: Drive) -> None:
    from unit.evaluation.builders import byte_tokenizer, save_tokenizer

    write_dataset(model_drive, "pairs", pair_rows())
    save_tokenizer(model_drive.final_model(EXPERIMENT), byte_tokenizer(vocab_size=310))
    (failure,) = evaluate(model_drive).failures
    assert failure.error_type == "BadModel"
    assert "300 tokens only" in failure.message


def test_stopping_keeps_what_is_finished(model_drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        write_dataset(model_drive, name, pair_rows())
    model_drive.base_eval.write_text("batch_tokens: 64\n")
    batches = 0
    real = CausalModel.log_probs

    def counted(self: CausalModel, queries: Any) -> Any:
        nonlocal batches
        batches += 1
        return real(self, queries)

    monkeypatch.setattr(CausalModel, "log_probs", counted)
    evaluate(model_drive, in_job(model_drive, "count"), datasets=["a"])
    needed, batches = batches, 0
    assert needed >= 4

    def stop_in_b() -> None:
        if batches == needed // 2:
            raise Stopped(15)

    attempt = msgspec.structs.replace(read_attempt(model_drive, EXPERIMENT, {}), signal_sha256="5" * 64)
    with pytest.raises(Stopped):
        evaluate(model_drive, attempt, stop_in_b, datasets=["a", "b", "c"])
    assert events(model_drive)[-1].body.exit_code == 143
    leftovers = {path.name for path in model_drive.predictions(EXPERIMENT).rglob("*") if path.is_file()}
    assert leftovers == {"final-count.parquet"}
    assert not EVAL_FAILED.path(model_drive, EXPERIMENT).exists()


def test_a_lack_of_memory_is_told(model_drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    write_dataset(model_drive, "pairs", pair_rows())
    monkeypatch.setattr(CausalModel, "log_probs", no_memory)
    with pytest.raises(StageFailed, match=r"out of memory.*smaller batch_tokens"):
        evaluate(model_drive)
    assert signal(model_drive, EVAL_FAILED).content.error_type == "OutOfMemory"


def test_a_fault_is_not_mistaken_for_a_lack_of_memory(
    model_drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object) -> None:
        raise RuntimeError("shapes do not match")

    write_dataset(model_drive, "pairs", pair_rows())
    monkeypatch.setattr(CausalModel, "log_probs", fault)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        evaluate(model_drive, read_attempt(model_drive, EXPERIMENT, {}))
    assert events(model_drive)[-1].body.exit_code == 1


def test_an_unmounted_drive_is_not_written_to(model_drive: Drive) -> None:
    model_drive.id_file.unlink()
    with pytest.raises(NotADrive):
        evaluate(model_drive)
    assert list(model_drive.evaluation.iterdir()) == []


def test_a_full_drive_is_told(model_drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "/drive/x")

    write_dataset(model_drive, "pairs", pair_rows())
    monkeypatch.setattr("heliograph.evaluation.worker.write_metrics", full)
    with pytest.raises(
        DriveError, match=r"/drive/x: No space left on device\. What is finished of exp is kept"
    ):
        evaluate(model_drive)


def test_training_metadata_gives_commit_and_may_be_broken(model_drive: Drive) -> None:
    write_dataset(model_drive, "pairs", pair_rows())
    path = model_drive.training_metadata(EXPERIMENT)
    path.write_text(json.dumps({"git_commit": "a94429c", "mlflow": {"run_id": "r1"}, "more": 1}))
    evaluate(model_drive)
    assert metadata(model_drive).provenance.git_commit == "a94429c"
    path.write_text("{")
    evaluate(model_drive)
    assert metadata(model_drive).provenance.git_commit is None


def test_times_are_the_clocks(model_drive: Drive) -> None:
    write_dataset(model_drive, "pairs", pair_rows())
    attempt, ticks = in_job(model_drive), iter(range(1000))
    tools = make_tools(
        model_drive, Outbox(model_drive, model_drive.root.parent), attempt, lambda *_: None, nothing_stops
    )

    def clock() -> datetime:
        return NOW + timedelta(seconds=next(ticks))

    timed = Tools(tools.drive, tools.outbox, tools.progress, clock, nothing_stops)
    run_evaluation(timed, attempt, Options(experiment=EXPERIMENT), None)
    told = metadata(model_drive)
    assert told.started_at == "2026-01-31T09:05:00.000Z"
    table = pq.read_table(Path(model_drive.evaluation_folder(EXPERIMENT)) / told.files.predictions[0])
    assert set(table["timestamp"].to_pylist()) == {datetime(2026, 1, 31, 9, 5, 1, tzinfo=UTC)}
