import os
from datetime import timedelta
from pathlib import Path

import pytest

from heliograph.drive import Drive
from heliograph.protocol import signals
from heliograph.stages.builtin import STAGES
from heliograph.watcher.look import LIST_IN_ANY_CASE, Looker
from support.drives import NOW, make_model, publish_evaluation, publish_training

TRAINING = ".training_complete"


@pytest.fixture
def looker(drive: Drive) -> Looker:
    return Looker(drive, STAGES, settle_s=2)


def test_a_whole_model_and_a_valid_signal_are_seen(drive: Drive, looker: Looker) -> None:
    signal = publish_training(drive, "e1")
    seen, broken = looker.look("e1", NOW)
    assert broken == []
    assert (seen[TRAINING].signal.sha256, seen[TRAINING].input_path) == (
        signal.sha256,
        str(drive.final_model("e1")),
    )


def test_nothing_there_is_nothing(looker: Looker) -> None:
    assert looker.look("e1", NOW) == ({}, [])


def look_twice(looker: Looker, experiment: str = "e1") -> str:
    """Look, look again a little later, and return the reason for which the signal is put aside."""
    assert looker.look(experiment, NOW)[1] == [], "what is broken now may be half replaced: not yet"
    assert looker.is_settling(NOW)
    (broken,) = looker.look(experiment, NOW + timedelta(seconds=2))[1]
    return broken.reason


def test_a_half_written_signal_becomes_good_when_it_is_whole(drive: Drive, looker: Looker) -> None:
    signal = publish_training(drive, "e1")
    whole = signal.path.read_bytes()
    signal.path.write_bytes(whole[:40])
    assert looker.look("e1", NOW) == ({}, [])
    signal.path.write_bytes(whole)
    seen, broken = looker.look("e1", NOW + timedelta(seconds=60))
    assert list(seen) == [TRAINING]
    assert broken == []
    assert looker.unsettled() == set()


def test_a_signal_that_goes_on_changing_is_never_put_aside(drive: Drive, looker: Looker) -> None:
    path = publish_training(drive, "e1").path
    for second in range(20):
        path.write_text("{" + " " * second)
        assert looker.look("e1", NOW + timedelta(seconds=second)) == ({}, [])


def test_a_truncated_model_is_told_by_file(drive: Drive, looker: Looker) -> None:
    publish_training(drive, "e1")
    weights = drive.final_model("e1") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])
    reason = look_twice(looker)
    assert "final/model.safetensors: (data): is cut off: 16 bytes expected, found 13" in reason


def test_a_missing_model_is_told(drive: Drive, looker: Looker) -> None:
    publish_training(drive, "e1")
    (drive.final_model("e1") / "model.safetensors").unlink()
    (drive.final_model("e1") / "pytorch_model.bin").write_bytes(b"pickle")
    reason = look_twice(looker)
    assert "model.safetensors: is missing" in reason
    assert "pickled weights" in reason


@pytest.mark.parametrize("path", ["/etc", "../e2/final", "/", "final/../../e2/final", "~/x"])
def test_a_checkpoint_elsewhere_is_refused(drive: Drive, looker: Looker, path: str) -> None:
    make_model(drive, "e2")
    publish_training(drive, "e1", checkpoint_path=path)
    reason = look_twice(looker)
    assert "checkpoint_path" in reason
    assert reason.isprintable()


def test_a_path_that_nobody_can_open_is_told(drive: Drive, looker: Looker) -> None:
    publish_training(drive, "e1", checkpoint_path="x" * 3000)
    assert "nobody can open" in look_twice(looker)


def test_a_link_out_of_the_experiment_is_refused(drive: Drive, looker: Looker, tmp_path: Path) -> None:
    publish_training(drive, "e1", checkpoint_path=str(drive.model_folder("e1") / "link"))
    (drive.model_folder("e1") / "link").symlink_to(tmp_path)
    assert "not inside" in look_twice(looker)


def test_a_checkpoint_of_another_experiment_is_refused(drive: Drive, looker: Looker) -> None:
    make_model(drive, "e2")
    publish_training(drive, "e1", checkpoint_path=str(drive.final_model("e2")))
    assert "not inside" in look_twice(looker)


def test_a_fifo_in_place_of_a_signal_does_not_hang(drive: Drive, looker: Looker) -> None:
    drive.model_folder("e1").mkdir()
    os.mkfifo(drive.model_folder("e1") / TRAINING)
    assert "no plain file" in look_twice(looker)


def test_a_failed_evaluation_triggers_nothing(drive: Drive, looker: Looker) -> None:
    publish_evaluation(drive, "e1", "17", status="failed", error_message="dataset pairs: line 3")
    seen, broken = looker.look("e1", NOW)
    assert seen[".eval_complete"].input_path == ""
    assert broken == []


def test_evidence_is_this_jobs_signal_with_valid_outputs(drive: Drive, looker: Looker) -> None:
    evaluation = STAGES[0]
    publish_evaluation(drive, "e1", "17")
    seen, _ = looker.look("e1", NOW)
    assert looker.evidence(evaluation, "17", seen) == (True, None)
    assert looker.evidence(evaluation, "18", seen) == (False, None)
    (drive.metrics("e1") / "dataset=pairs" / "metric=accuracy" / "final.parquet").write_bytes(b"PAR1 cut")
    assert looker.evidence(evaluation, "17", seen) == (True, None), "what was valid is not checked again"
    has_done, problem = Looker(drive, STAGES, settle_s=2).evidence(evaluation, "17", seen)
    assert not has_done
    assert "not whole Parquet" in str(problem)


def test_a_failed_signal_tells_why(drive: Drive, looker: Looker) -> None:
    failure = signals.StageFailure(timestamp=NOW, experiment="e1", job_id="17", error_message="no tokenizer")
    signals.publish_signal(drive, signals.EVAL_FAILED, failure)
    seen, _ = looker.look("e1", NOW)
    assert looker.evidence(STAGES[0], "17", seen) == (False, "no tokenizer")


def test_folders_that_are_no_experiments_are_told_apart(drive: Drive, looker: Looker) -> None:
    for name in ("good-1", "; rm -rf ~", "$(reboot)", "ünicode", ".superseded"):
        (drive.models / name).mkdir()
    experiments, hostile = looker.list_models()
    assert experiments == ["good-1"]
    assert {Path(path).name for path in hostile} == {"; rm -rf ~", "$(reboot)", "ünicode"}


def test_the_experiments_are_listed_again_only_when_there_may_be_others(drive: Drive, looker: Looker) -> None:
    asked = [looker.may_have_changed() for _ in range(4)]
    assert asked == [True, True, False, False], "a change in the same moment may not show in the time yet"
    (drive.models / "new").mkdir()
    os.utime(drive.models, ns=(0, drive.models.stat().st_mtime_ns + 1))
    assert [looker.may_have_changed() for _ in range(3)] == [True, True, False]
    assert any(looker.may_have_changed() for _ in range(LIST_IN_ANY_CASE)), "now and then in any case"


def test_sharded_models_need_every_shard(drive: Drive, looker: Looker) -> None:
    import json

    publish_training(drive, "e1")
    folder = drive.final_model("e1")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "names a shard that is missing" in look_twice(looker)
    other = {"weight_map": {"a": "../../../../etc/passwd"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(other))
    later = Looker(drive, STAGES, settle_s=0)
    (broken,) = later.look("e1", NOW)[1]
    assert "names no safetensors file" in broken.reason


def test_weights_that_are_younger_than_their_signal_have_to_settle(drive: Drive, looker: Looker) -> None:
    """By the drive's own times: no host's clock matters."""
    path = publish_training(drive, "e1").path
    weights = drive.final_model("e1") / "model.safetensors"
    published = path.stat().st_mtime_ns

    def write_weights(after_s: float) -> None:
        moment = published + int(after_s * 1e9)
        os.utime(weights, ns=(moment, moment))

    write_weights(after_s=0)
    assert list(looker.look("e1", NOW)[0]) == [TRAINING]
    fresh = Looker(drive, STAGES, settle_s=2)
    for second in range(5):
        write_weights(after_s=10 + second)
        assert fresh.look("e1", NOW + timedelta(seconds=second)) == ({}, [])
        assert fresh.is_settling(NOW + timedelta(seconds=second))
        assert fresh.unsettled() == {"e1"}
    assert fresh.look("e1", NOW + timedelta(seconds=5.9)) == ({}, [])
    assert list(fresh.look("e1", NOW + timedelta(seconds=6))[0]) == [TRAINING]
    assert fresh.unsettled() == set()


def test_news_of_a_finished_experiment_are_told_from_what_is_known(drive: Drive, looker: Looker) -> None:
    sha256 = publish_training(drive, "e1").sha256
    known = {TRAINING: sha256}
    assert not looker.has_news("e1", known)
    os.utime(drive.model_folder("e1") / TRAINING)
    assert not looker.has_news("e1", known)
    assert looker.has_news("e1", {})
    publish_training(drive, "e1", user="another")
    assert looker.has_news("e1", known)
    (drive.model_folder("e1") / TRAINING).write_text("{")
    assert looker.has_news("e1", known), "what is broken is looked at closely"
    (drive.model_folder("e1") / TRAINING).unlink()
    assert not looker.has_news("e1", known)
