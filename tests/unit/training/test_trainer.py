"""The reference trainer, with a real model that is as small as can be."""

from __future__ import annotations

import itertools
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, GPT2LMHeadModel

from heliograph.cli.main import main
from heliograph.demo.grammar import training_text
from heliograph.drive import Drive
from heliograph.files import sha256_file
from heliograph.protocol.signals import TRAINING_COMPLETE
from heliograph.training.config import Schedule
from heliograph.training.progress import bar, lines
from heliograph.training.run import TrainingRun
from heliograph.training.trainer import draw_batches, learning_rate
from unit.training.runs import make_run

CONFIG = {
    "model": {"layers": 1, "width": 16, "heads": 2, "context": 16},
    "tokenizer": {"vocab_size": 300},
    "data": {"train": ["text.txt"], "held_out": ["held_out.txt"]},
    "optimiser": {"learning_rate": 0.01},
    "schedule": {"warmup_steps": 2},
    "batch_size": 4,
    "steps": 12,
    "checkpoint_every": 5,
    "threads": 1,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with text to train on, and without a config."""
    (tmp_path / "text.txt").write_text("\n".join(training_text(1, 150, False)))
    (tmp_path / "held_out.txt").write_text("\n".join(training_text(2, 30, False)))
    return tmp_path


def write_config(folder: Path, name: str, **changes: Any) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({"name": name, **CONFIG, **changes}))  # JSON is YAML
    return path


def train(drive: Drive, folder: Path, name: str = "exp_01", **changes: Any) -> Path:
    """Train by the command; return the model folder."""
    config = write_config(folder, name, **changes)
    assert main(["--drive", str(drive.root), "train", "--config", str(config)]) == 0
    return drive.model_folder(name)


def test_a_training_by_the_command(drive: Drive, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(folder, "exp_01")
    assert main(["--drive", str(drive.root), "train", "--config", str(config), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["signal"] == str(TRAINING_COMPLETE.path(drive, "exp_01"))
    assert result["steps"] == 12 and result["waits_in"] is None
    folders = [drive.checkpoints("exp_01") / "checkpoint-5", drive.checkpoints("exp_01") / "checkpoint-10"]
    assert sorted(drive.checkpoints("exp_01").iterdir()) == sorted(folders)
    for saved in folders:
        names = {"model.safetensors", "config.json", "optimizer.pt", "metadata.json", "tokenizer.json"}
        assert names <= {path.name for path in saved.iterdir()}
        told = json.loads((saved / "metadata.json").read_bytes())
        assert told["tokens_seen"] == told["step"] * 4 * 16
        assert told["metrics"].keys() == {"loss", "held_out_loss"}
    assert len(torch.load(folders[0] / "optimizer.pt", weights_only=True)["param_groups"]) == 2
    final = json.loads(drive.training_metadata("exp_01").read_bytes())["final_metrics"]
    logged = {"loss", "learning_rate", "gradient_norm", "tokens_per_s", "epoch", "tokens_seen"}
    assert final.keys() == logged | {"held_out_loss"}
    assert result["held_out_loss"] == final["held_out_loss"]


def test_the_final_model_is_a_model_that_has_learnt(drive: Drive, folder: Path) -> None:
    final = train(drive, folder, steps=60) / "final"
    tokenizer, model = AutoTokenizer.from_pretrained(final), GPT2LMHeadModel.from_pretrained(final)
    assert tokenizer.decode(tokenizer(" The girl sleeps.").input_ids) == " The girl sleeps."
    assert tokenizer.bos_token_id == model.config.bos_token_id == 0
    first = json.loads((final.parent / "checkpoints/checkpoint-5/metadata.json").read_bytes())["metrics"]
    last = json.loads((final.parent / "checkpoints/checkpoint-60/metadata.json").read_bytes())["metrics"]
    assert last["loss"] < first["loss"] and last["held_out_loss"] < first["held_out_loss"]


def test_the_same_seed_gives_the_same_weights_whatever_mlflow_does(
    drive: Drive, folder: Path, monkeypatch: pytest.MonkeyPatch, dead_uri: str
) -> None:
    one = train(drive, folder, "one")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead_uri)
    two = train(drive, folder, "two")
    other = train(drive, folder, "other", seed=2)
    weights = [sha256_file(path / "final" / "model.safetensors") for path in (one, two, other)]
    assert weights[0] == weights[1] != weights[2]


def test_words_and_epochs(drive: Drive, folder: Path) -> None:
    final = (
        train(drive, folder, steps=None, epochs=1.5, tokenizer={"kind": "words", "vocab_size": 270}) / "final"
    )
    tokenizer = AutoTokenizer.from_pretrained(final)
    ids = tokenizer("The girl xylophones.").input_ids
    assert tokenizer.unk_token_id in ids and len(ids) == 4
    told = json.loads((final.parent / "training_metadata.json").read_bytes())
    assert told["num_epochs"] == pytest.approx(1.5, abs=0.1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {}}, ["data.train", "less than one sequence of 16 tokens"]),
        ({"steps": None}, ["neither steps nor epochs"]),
        ({"data": {"train": ["latin.txt"]}}, ["latin.txt", "not UTF-8 at byte 3", "iconv"]),
        ({"stpes": 3}, ["stpes", "Did you mean steps?"]),
    ],
)
def test_mistakes_are_told_before_anything_is_made(
    drive: Drive,
    folder: Path,
    changes: dict[str, Any],
    words: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "latin.txt").write_bytes(b"caf\xe9\n")
    config = write_config(folder, "exp_01", **changes)
    assert main(["--drive", str(drive.root), "train", "--config", str(config)]) == 3
    told = capsys.readouterr().err
    assert "Traceback" not in told and all(word in told for word in words)
    assert list(drive.models.iterdir()) == [] and list(drive.inbox.iterdir()) == []


def test_an_experiment_that_is_there_is_refused_and_overwritten_on_demand(
    drive: Drive, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(drive, folder)
    command = ["--drive", str(drive.root), "train", "--config", str(folder / "exp_01.yaml")]
    assert main(command) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0


def test_a_training_that_could_not_be_published_is_exit_code_4(
    drive: Drive, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(TrainingRun, "complete", lambda self, **_: None)
    config = write_config(folder, "exp_01")
    assert main(["--drive", str(drive.root), "train", "--config", str(config)]) == 4


def test_a_plain_torch_module_is_saved_too(drive: Drive) -> None:
    model = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Linear(3, 5, bias=False))
    model[1].weight = model[0].weight  # tied, as language models tie them
    with make_run(drive) as run:
        run.log(step=1, loss=torch.tensor(0.25))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        metrics = {"loss": torch.tensor(0.5), "note": "good"}
        run.save_checkpoint(step=torch.tensor(1), model=model, optimizer=optimizer, metrics=metrics)
        run.complete(model=model)
    assert run.signal is not None and run.signal.content.final_loss == 0.25
    told = json.loads((drive.checkpoints("exp_01") / "checkpoint-1" / "metadata.json").read_bytes())
    assert (told["step"], told["metrics"]) == (1, {"loss": 0.5})
    saved = load_file(drive.final_model("exp_01") / "model.safetensors")
    assert any(torch.equal(tensor, model[0].weight) for tensor in saved.values())


# Parts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "rates"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 1.0, 0.7, 0.4, 0.1]),
        ("cosine", [0.5, 1.0, 0.775, 0.325, 0.1]),
    ],
)
def test_the_learning_rate_rises_and_falls(kind: str, rates: list[float]) -> None:
    schedule = Schedule(kind=kind, warmup_steps=2, final_fraction=0.1)  # type: ignore[arg-type]
    assert [learning_rate(step, 5, 1.0, schedule) for step in range(1, 6)] == pytest.approx(rates)


def test_each_pass_has_every_sequence_once_in_another_order() -> None:
    batches = draw_batches(torch.arange(10).view(10, 1), 4, seed=1)
    first, second = (torch.cat(list(itertools.islice(batches, 3))).flatten().tolist() for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(10)) and first != second


def test_progress_on_a_terminal_and_elsewhere(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for progress in (bar, lines):
        with progress("exp_01", 2) as report:
            report(1, 3.25)
            report(2, 2.125)
    assert "2/2" in capsys.readouterr().err
    assert caplog.messages == ["exp_01: step 2 of 2, loss 2.125, 0 s left"]
