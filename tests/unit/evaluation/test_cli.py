"""heliograph evaluate as people call it: output, exit codes, SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from heliograph.cli.main import main
from heliograph.drive import Drive
from unit.evaluation.builders import EXPERIMENT, pair_rows, write_dataset


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")  # the command sets it: monkeypatch takes that back
    for name in ("TOKEN", "STAGE", "EXPERIMENT", "JOB_ID", "SIGNAL_SHA256"):
        monkeypatch.delenv(f"HELIOGRAPH_{name}", raising=False)


def evaluate(drive: Drive, *arguments: str) -> int:
    return main(["--drive", str(drive.root), "evaluate", "--experiment", EXPERIMENT, *arguments])


def test_results_for_people(model_drive: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(model_drive, "pairs", pair_rows())
    assert evaluate(model_drive, "--checkpoints", "all") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("exp: complete in ")
    assert [line.split()[:3] for line in lines[1:]] == [
        ["pairs", "checkpoint-50", "accuracy"],
        ["pairs", "final", "accuracy"],
    ]


def test_results_as_json(model_drive: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(model_drive, "pairs", pair_rows())
    assert evaluate(model_drive, "--json", "--checkpoint", "checkpoints/checkpoint-50") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["experiment"], told["failures"]) == ("complete", "exp", [])
    assert 0 <= told["results"]["pairs"]["checkpoint-50"]["accuracy"] <= 1


def test_failures_are_told_without_traceback(model_drive: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(model_drive, "pairs", pair_rows())
    write_dataset(model_drive, "broken", []).write_text("{")
    assert evaluate(model_drive) == 3
    told = capsys.readouterr()
    assert "exp: failed" in told.out
    last = told.err.splitlines()[-1]
    assert last.startswith("heliograph: broken: ")
    assert "broken.jsonl:1: (line): is not JSON" in last
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--datasets", "pears"], 3, "Did you mean pairs?"),
        (["--datasets", ""], 3, "--datasets: not a name"),
        (["--checkpoints", "checkpoint-9"], 3, "does not exist"),
        (["--checkpoints", "../../x"], 3, "--checkpoints: not a name"),
        (["--checkpoint", "/etc"], 3, "--checkpoint: not inside"),
        (["--experiment", "../x"], 3, "--experiment: not a name"),
        (["--experiment", "other"], 3, "No experiment is called other"),
        (["--config", "/does/not/exist.yaml"], 3, "/does/not/exist.yaml: (file): does not exist"),
        (["--drive", "/does/not/exist"], 4, "is not a heliograph drive"),
    ],
    ids=str,
)
def test_mistakes(
    model_drive: Drive, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    write_dataset(model_drive, "pairs", pair_rows())
    assert evaluate(model_drive, *arguments) == code
    told = capsys.readouterr().err
    assert said in told.splitlines()[-1]
    assert "Traceback" not in told


def test_sigterm_keeps_what_is_finished(model_drive: Drive, tmp_path: Path) -> None:
    write_dataset(model_drive, "a", pair_rows())
    rows = [row | {"item_id": f"{n}-{row['item_id']}"} for n in range(400) for row in pair_rows()]
    for number, row in enumerate(rows):
        row["alternatives"] = [f"{number} {text}" for text in row["alternatives"]]
    write_dataset(model_drive, "b", rows)
    model_drive.base_eval.write_text("batch_tokens: 1\n")  # one text a batch: thousands of them
    process = subprocess.Popen(
        [sys.executable, "-m", "heliograph", "evaluate", "--experiment", EXPERIMENT],
        env=os.environ | {"SHARED_DRIVE": str(model_drive.root), "HELIOGRAPH_LOG_FORMAT": "text"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "b at final" in line:
            process.send_signal(signal.SIGTERM)
    out = process.communicate()[0]
    assert process.returncode == 143, "".join(said)
    assert "stopped; what is finished is kept" in said[-1]
    assert out == ""
    notes = [json.loads(path.read_bytes()) for path in model_drive.evaluation.rglob("finished/*.json")]
    assert [note["work"]["dataset"] for note in notes] == ["a"]
    assert list(model_drive.evaluation.rglob(".*.tmp")) == []
    assert not (model_drive.evaluation_folder(EXPERIMENT) / ".eval_complete").exists()
