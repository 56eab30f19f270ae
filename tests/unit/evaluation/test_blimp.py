"""BLiMP as its authors publish it (CC BY 4.0), where HELIOGRAPH_TEST_DATA names a folder that has blimp/."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from heliograph.drive import Drive
from heliograph.evaluation.attempt import read_attempt
from heliograph.evaluation.plan import Options
from heliograph.evaluation.service import make_tools, run_evaluation
from heliograph.protocol.outbox import Outbox
from unit.evaluation.builders import EXPERIMENT


@pytest.fixture
def blimp() -> Path:
    folder = Path(os.environ.get("HELIOGRAPH_TEST_DATA", "")) / "blimp"
    if "HELIOGRAPH_TEST_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("HELIOGRAPH_TEST_DATA names no folder that holds blimp/")
    return folder


def test_paradigms_as_published_and_their_ties(blimp: Path, model_drive: Drive) -> None:
    for name in ("adjunct_island", "passive_1"):
        (model_drive.root / "data" / "blimp").mkdir(parents=True, exist_ok=True)
        shutil.copy(blimp / f"{name}.jsonl", model_drive.root / "data" / "blimp")
    for ties in ("wrong", "right"):
        data = "data/blimp" if ties == "wrong" else "data/blimp/passive_1.jsonl"
        config = {"name": ties, "task": "minimal_pairs", "format": "blimp", "data": data, "ties": ties}
        (model_drive.dataset_configs / f"{ties}.yaml").write_text(json.dumps(config))
    attempt = read_attempt(model_drive, EXPERIMENT, {})
    outbox = Outbox(model_drive, model_drive.root.parent)
    tools = make_tools(model_drive, outbox, attempt, lambda *_: None, lambda: None)
    outcome = run_evaluation(tools, attempt, Options(experiment=EXPERIMENT), None)
    assert outcome.failures == []
    notes = [json.loads(path.read_bytes()) for path in model_drive.evaluation.rglob("finished/*.json")]
    groups = {note["work"]["dataset"]: note["groups"] for note in notes}
    assert {note["n_items"] for note in notes} == {1000, 2000}
    assert set(groups["wrong"]) == {"adjunct_island", "passive_1"}
    assert 0.2 < groups["wrong"]["adjunct_island"]["accuracy"] < 0.8
    gained = groups["right"]["passive_1"]["accuracy"] - groups["wrong"]["passive_1"]["accuracy"]
    assert gained == pytest.approx(2 / 1000)  # two of its pairs are the same text twice
