"""Configuration: what the shipped files say; every mistake is told with file, field, value and remedy."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from heliograph.drive import Drive
from heliograph.errors import BadConfig, BadModel, BadName, BadSignal, UnknownExperiment
from heliograph.evaluation.checkpoints import read_checkpoint
from heliograph.evaluation.plan import Options, make_plan
from heliograph.evaluation.tasks import load_dataset_config, open_dataset
from heliograph.stages.checkpoints import choose_checkpoints
from heliograph.stages.evaluation_config import (
    EvaluationConfig,
    choose_datasets,
    config_sha256,
    dataset_names,
    load_evaluation_config,
)
from unit.evaluation.builders import EXPERIMENT, pair_rows, write_dataset

SHIPPED = Path(str(files("heliograph"))) / "defaults" / "config" / "evaluation"


def copy_shipped(drive: Drive) -> None:
    for path in SHIPPED.rglob("*"):
        if path.is_file():
            target = drive.evaluation_configs / path.relative_to(SHIPPED)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())


def test_the_shipped_configuration_says_what_holds_without_it(drive: Drive) -> None:
    assert load_evaluation_config(drive, None) == EvaluationConfig()
    copy_shipped(drive)
    assert load_evaluation_config(drive, None) == EvaluationConfig()


def test_the_values_in_comments_are_the_defaults(drive: Drive) -> None:
    copy_shipped(drive)
    text = drive.base_eval.read_text()
    for key in ("device", "dtype", "batch_tokens"):
        assert f"# {key}: {getattr(EvaluationConfig(), key)}\n" in text


def test_shipped_examples_are_ignored_until_they_are_copied(drive: Drive) -> None:
    copy_shipped(drive)
    assert dataset_names(drive) == []
    with pytest.raises(BadConfig, match=r"describes no data set.*Copy example_minimal_pairs\.yaml\.example"):
        choose_datasets(drive, "all", file="f")
    examples = sorted(drive.dataset_configs.glob("*.yaml.example"))
    assert examples
    for path in examples:
        path.rename(path.with_suffix(""))
        assert open_dataset(drive, path.with_suffix("").stem).n_items >= 2


def refused(drive: Drive, name: str, text: str) -> BadConfig:
    drive.evaluation_configs.mkdir(parents=True, exist_ok=True)
    path = drive.evaluation_configs / name
    path.write_text(text)
    with pytest.raises(BadConfig) as caught:
        load_evaluation_config(drive, path) if name == "base.yaml" else load_dataset_config(path)
    assert caught.value.facts["file"] == str(path)
    assert caught.value.facts["remedy"]
    return caught.value


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("dataset: all", "dataset", "'dataset'"),
        ("datasets: some", "datasets", "'some'"),
        ("datasets: []", "datasets", "[]"),
        ("datasets: [../x]", "datasets[0]", "'../x'"),
        ("checkpoints: last", "checkpoints", "'last'"),
        ("checkpoints: [a, '']", "checkpoints[1]", "''"),
        ("dtype: float64", "dtype", "'float64'"),
        ("device: tpu", "device", "'tpu'"),
        ("batch_tokens: 0", "batch_tokens", "0"),
        ("batch_tokens: many", "batch_tokens", "'many'"),
        ("- datasets", "(top level)", "['datasets']"),
        ("dtype: [", "line 2", "''"),
    ],
)
def test_mistakes_in_base_eval(drive: Drive, text: str, field: str, value: str) -> None:
    error = refused(drive, "base.yaml", text + "\n")
    assert (error.facts["field"], error.facts["value"]) == (field, value)


def test_the_nearest_key_is_named(drive: Drive) -> None:
    assert "Did you mean batch_tokens?" in str(refused(drive, "base.yaml", "batch_token: 5"))


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"task": None}, "task", "None"),
        ({"task": "guessing"}, "task", "'guessing'"),
        ({"task": ["minimal_pairs"]}, "task", "['minimal_pairs']"),
        ({"format": "csv"}, "format", "'csv'"),
        ({"ties": "half"}, "ties", "'half'"),
        ({"bos": True}, "bos", "True"),
        ({"data": ""}, "data", "''"),
        ({"name": "other"}, "name", "'other'"),
        ({"name": "../../x"}, "name", "'../../x'"),
        ({"fields": {"goood": "x"}}, "fields.goood", "'goood'"),
        ({"window": 5}, "window", "'window'"),
    ],
    ids=str,
)
def test_mistakes_in_a_data_set(drive: Drive, change: dict[str, Any], field: str, value: str) -> None:
    settings = {"name": "d", "task": "minimal_pairs", "format": "items", "data": "data/d.jsonl"} | change
    error = refused(drive, "d.yaml", json.dumps(settings))
    assert (error.facts["field"], error.facts["value"]) == (field, value)


def test_a_name_that_ends_in_a_line_end(drive: Drive) -> None:
    path = drive.dataset_configs / "d\n.yaml"
    path.write_text('{"name": "d\\n", "task": "minimal_pairs", "format": "items", "data": "x"}')
    with pytest.raises(BadConfig, match=r"name: has to be .*, found 'd\\n'"):
        load_dataset_config(path)


def test_a_data_set_that_nobody_describes(drive: Drive) -> None:
    write_dataset(drive, "blimp", pair_rows())
    with pytest.raises(BadConfig, match=r"command line: datasets: .*'blim'\. Did you mean blimp\?"):
        choose_datasets(drive, ["blim"], file="command line")
    assert choose_datasets(drive, ["blimp", "blimp"], file="f") == ["blimp"]


def test_the_hash_is_of_what_is_meant(drive: Drive) -> None:
    assert config_sha256(EvaluationConfig()) == config_sha256(EvaluationConfig(batch_tokens=2048))
    assert config_sha256(EvaluationConfig()) != config_sha256(EvaluationConfig(batch_tokens=2047))


# Checkpoints ----------------------------------------------------------------------------------------


@pytest.fixture
def trained(drive: Drive) -> Drive:
    """A drive with folders of checkpoints; what is in them does not matter here."""
    for name in ("checkpoint-1000", "checkpoint-200", ".checkpoint-300.tmp"):
        (drive.checkpoints(EXPERIMENT) / name).mkdir(parents=True)
    (drive.checkpoints(EXPERIMENT) / "notes.txt").write_text("no folder")
    drive.final_model(EXPERIMENT).mkdir()
    return drive


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("final", ["final"]),
        ("all", ["checkpoint-200", "checkpoint-1000", "final"]),
        (["checkpoint-1000"], ["checkpoint-1000", "final"]),
        (["final", "checkpoint-200"], ["checkpoint-200", "final"]),
        ([], ["final"]),
    ],
    ids=str,
)
def test_which_checkpoints(trained: Drive, wanted: Any, expected: list[str]) -> None:
    found = choose_checkpoints(trained, EXPERIMENT, trained.final_model(EXPERIMENT), wanted)
    assert [path.name for path in found] == expected


def test_a_checkpoint_named_by_hand_comes_last(trained: Drive) -> None:
    main = trained.checkpoints(EXPERIMENT) / "checkpoint-200"
    found = choose_checkpoints(trained, EXPERIMENT, main, "all")
    assert [path.name for path in found] == ["checkpoint-1000", "final", "checkpoint-200"]


def test_a_checkpoint_that_does_not_exist(trained: Drive) -> None:
    with pytest.raises(
        BadConfig, match=r"checkpoints: does not exist, found '.*/checkpoint-5'\. List folders"
    ):
        choose_checkpoints(trained, EXPERIMENT, trained.final_model(EXPERIMENT), ["checkpoint-5"])


def test_two_checkpoints_of_one_name(trained: Drive) -> None:
    other = trained.model_folder(EXPERIMENT) / "other" / "checkpoint-200"
    other.mkdir(parents=True)
    with pytest.raises(BadConfig, match="has the name of another"):
        choose_checkpoints(trained, EXPERIMENT, other, "all")


@pytest.mark.parametrize(
    ("metadata", "step", "tokens_seen"),
    [
        (None, 200, None),
        ({"step": 7, "tokens_seen": 70, "epoch": None, "more": []}, 7, 70),
        ({"step": None}, 200, None),
    ],
    ids=str,
)
def test_what_is_known_of_a_checkpoint(
    trained: Drive, metadata: Any, step: int, tokens_seen: int | None
) -> None:
    path = trained.checkpoints(EXPERIMENT) / "checkpoint-200"
    if metadata is not None:
        (path / "metadata.json").write_text(json.dumps(metadata))
    found = read_checkpoint(path)
    assert (found.name, found.step, found.tokens_seen) == ("checkpoint-200", step, tokens_seen)


@pytest.mark.parametrize(
    ("content", "field"), [(b"{", "(file)"), (b'{"step": "ten"}', "step"), (b"\xff", "(file)")]
)
def test_broken_metadata_of_a_checkpoint(trained: Drive, content: bytes, field: str) -> None:
    path = trained.final_model(EXPERIMENT)
    (path / "metadata.json").write_bytes(content)
    with pytest.raises(BadModel) as caught:
        read_checkpoint(path)
    assert caught.value.facts["field"] == field


@pytest.mark.parametrize("name", ["check point", "ü", "x" * 65])
def test_a_checkpoint_without_a_proper_name(trained: Drive, name: str) -> None:
    with pytest.raises(BadModel, match="is no name"):
        read_checkpoint(trained.model_folder(EXPERIMENT) / name)


# Plans ----------------------------------------------------------------------------------------------


def test_arguments_go_before_the_configuration(trained: Drive) -> None:
    write_dataset(trained, "a", pair_rows())
    write_dataset(trained, "b", pair_rows())
    trained.base_eval.write_text("datasets: [a]\ncheckpoints: all\nbatch_tokens: 64\n")
    plan = make_plan(trained, Options(experiment=EXPERIMENT))
    assert (plan.datasets, len(plan.checkpoints), plan.config.batch_tokens) == (["a"], 3, 64)
    plan = make_plan(trained, Options(experiment=EXPERIMENT, datasets=["b"], checkpoints="final"))
    assert (plan.datasets, len(plan.checkpoints), plan.config.batch_tokens) == (["b"], 1, 64)


@pytest.mark.parametrize("path", ["../other/final", "/etc", "final/../../other", "link", "a\0b"])
def test_a_checkpoint_outside_the_experiment_is_refused(trained: Drive, path: str) -> None:
    (trained.models / "other" / "final").mkdir(parents=True)
    (trained.model_folder(EXPERIMENT) / "link").symlink_to(trained.models / "other")
    with pytest.raises(BadSignal, match=r"--checkpoint: (not inside|is no path)"):
        make_plan(trained, Options(experiment=EXPERIMENT, checkpoint=path))


@pytest.mark.parametrize("name", ["; rm -rf ~", "../../x", "", "-x", "a" * 200])
def test_hostile_names_of_experiments(trained: Drive, name: str) -> None:
    with pytest.raises(BadName, match="--experiment: not a name"):
        make_plan(trained, Options(experiment=name))


def test_an_experiment_that_nobody_trained(trained: Drive) -> None:
    with pytest.raises(UnknownExperiment, match="No experiment is called other"):
        make_plan(trained, Options(experiment="other"))


def test_a_tokenizer_outside_the_drive_is_refused(trained: Drive) -> None:
    write_dataset(trained, "a", pair_rows())
    trained.base_eval.write_text("tokenizer: ../elsewhere\n")
    with pytest.raises(BadConfig, match=r"base_eval\.yaml: tokenizer: leads out of the drive"):
        make_plan(trained, Options(experiment=EXPERIMENT))


def test_a_configuration_file_that_is_not_there(trained: Drive, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="does not exist"):
        make_plan(trained, Options(experiment=EXPERIMENT, config=tmp_path / "none.yaml"))
