"""An experiment's config: what is wrong in it is told with file, field, value and remedy."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest
import yaml

from heliograph.drive import Drive
from heliograph.errors import BadConfig
from heliograph.training.config import ExperimentConfig, data_files, find_config, load_experiment


def write(folder: Path, text: str) -> Path:
    path = folder / "exp.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", ["name: is missing"]),
        ("name: '; rm -rf ~'", ["name", "; rm -rf ~"]),
        ("name: ../../x", ["name", "../../x"]),
        ("name: e\noptimizer: {}", ["optimizer", "unknown key", "Did you mean optimiser?"]),
        ("name: e\nmodel: {widht: 8}", ["model.widht", "Did you mean width?"]),
        ("name: e\nmodel: {width: 100, heads: 3}", ["model.heads", "3 does not divide the width 100"]),
        ("name: e\nsteps: 5\nepochs: 1", ["steps and epochs exclude each other"]),
        ("name: e\nsteps: 0", ["steps", "found 0"]),
        ("name: e\nsteps: ten", ["steps", "'ten'"]),
        ("name: e\noptimiser: {learning_rate: -1}", ["optimiser.learning_rate", "-1"]),
        ("name: e\ntokenizer: {kind: pickle}", ["tokenizer.kind", "'pickle'"]),
        ("name: e\ndata: {train: [no.txt]}", ["data.train", "does not exist", "no.txt"]),
        ("name: e\nname: f", ["line 2", "stands here twice"]),
        ("- name", ["Expected `object`, got `array`"]),
    ],
)
def test_mistakes_are_told(tmp_path: Path, text: str, words: list[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(BadConfig) as error:
        load_experiment(path)
    for word in [str(path), *words]:
        assert word in str(error.value)


def test_data_files_are_relative_to_the_config(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "text" / name).write_text("x\n")
    path = write(tmp_path, f"name: e\ndata: {{train: [text/a.txt], held_out: ['{tmp_path}/text/b.txt']}}")
    train, held_out = data_files(load_experiment(path), path)
    assert (train, held_out) == ([tmp_path / "text/a.txt"], [tmp_path / "text/b.txt"])


def test_a_config_is_found_as_named_or_on_the_drive(
    drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    on_drive = drive.experiment_configs / "exp.yaml"
    assert find_config("exp.yaml", drive) == Path("exp.yaml")
    on_drive.write_text("name: e\n")
    assert find_config("exp.yaml", drive) == on_drive
    write(tmp_path, "name: e\n")
    assert find_config("exp.yaml", drive) == Path("exp.yaml")


def test_the_example_shows_every_setting_with_its_default() -> None:
    text = (
        files("heliograph").joinpath("defaults/config/experiments/example.yaml").read_text(encoding="utf-8")
    )
    shown = yaml.safe_load(re.sub(r"^# (\w+: ?\S*)", r"\1", text, flags=re.MULTILINE))
    assert set(shown) == {field.name for field in msgspec.structs.fields(ExperimentConfig)}
    own = {"steps": 1000, "checkpoint_every": 200}
    assert shown == msgspec.to_builtins(ExperimentConfig(name="example")) | own
    assert load_as_shipped(text) == ExperimentConfig(name="example", **own)


def load_as_shipped(text: str) -> ExperimentConfig:
    return msgspec.convert(yaml.safe_load(text), ExperimentConfig)
