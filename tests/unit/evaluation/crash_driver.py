"""Kills an evaluation at its durable steps and lets another one go on. Run as a program of its own.

    python crash_driver.py TEMPLATE SCRATCH STRIDE        prints one JSON object

It forks for each run, so that torch is imported once; nothing is computed before the forks.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from transformers import AutoModelForCausalLM, GPT2LMHeadModel

from heliograph.drive import Drive
from heliograph.durable import install_hook
from heliograph.evaluation import models
from heliograph.evaluation.attempt import read_attempt
from heliograph.evaluation.plan import Options
from heliograph.evaluation.service import make_tools, run_evaluation
from heliograph.protocol.outbox import Outbox

EXPERIMENT = "exp"


class Countdown:
    """Kills this very process, with SIGKILL, at the given moment; counts moments otherwise."""

    def __init__(self, kill_at: int | None) -> None:
        self.kill_at = kill_at
        self.count = 0

    def __call__(self, *_: object) -> None:
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1


def evaluate(drive: Drive, token: str, countdown: Countdown) -> None:
    install_hook(countdown)
    real = models.CausalModel.log_probs

    def log_probs(self: models.CausalModel, queries: Any) -> Any:
        countdown()  # in the middle of a data set
        return real(self, queries)

    models.CausalModel.log_probs = log_probs  # type: ignore[method-assign]
    names = {"HELIOGRAPH_TOKEN": token, "HELIOGRAPH_STAGE": "evaluation", "HELIOGRAPH_EXPERIMENT": EXPERIMENT}
    attempt = read_attempt(drive, EXPERIMENT, names | {"HELIOGRAPH_SIGNAL_SHA256": "5" * 64})
    tools = make_tools(drive, Outbox(drive, drive.root / "spool"), attempt, lambda *_: None, lambda: None)
    run_evaluation(tools, attempt, Options(experiment=EXPERIMENT), None)


def in_child(drive: Drive, token: str, kill_at: int | None) -> tuple[int, int]:
    """Evaluate in a forked process; return how it ended (waitpid's status) and how many moments it had."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        countdown = Countdown(kill_at)
        evaluate(drive, token, countdown)
        os.write(writing, str(countdown.count).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        count = pipe.read()
    return os.waitpid(pid, 0)[1], int(count or -1)


def outcome(drive: Drive) -> dict[str, Any]:
    """Everything that the evaluation tells, without what may differ between two runs of the same work."""
    folder = drive.evaluation_folder(EXPERIMENT)
    metadata = json.loads(drive.evaluation_metadata(EXPERIMENT).read_bytes())
    rows = {}
    for name in metadata["files"]["metrics"] + metadata["files"]["predictions"]:
        table = pq.read_table(folder / name, partitioning=None).drop_columns(["token", "timestamp"])
        rows[str(Path(name).parent)] = table.to_pylist()
    signal_content = json.loads((folder / ".eval_complete").read_bytes())
    told = {name: signal_content[name] for name in ("status", "datasets_evaluated", "metrics_summary")}
    return {"rows": rows, "signal": told, "datasets": metadata["datasets"]}


def evaluated_twice(drive: Drive) -> list[str]:
    """List the notes of the first run whose work the second did again."""
    folder = drive.evaluation_folder(EXPERIMENT) / "finished"
    files = json.loads(drive.evaluation_metadata(EXPERIMENT).read_bytes())["files"]
    listed = set(files["metrics"] + files["predictions"])
    return [note.name for note in folder.iterdir() if note.suffix == ".json" and not _is_used(note, listed)]


def _is_used(note: Path, listed: set[str]) -> bool:
    content = json.loads(note.read_bytes())
    return set(content["metric_files"] + content["prediction_files"]) <= listed


def main(template: Path, scratch: Path, stride: int) -> None:
    torch.set_num_threads(1)
    assert AutoModelForCausalLM, GPT2LMHeadModel  # imported before the forks: that takes seconds
    undisturbed = Drive(scratch / "undisturbed")
    shutil.copytree(template, undisturbed.root)
    status, moments = in_child(undisturbed, "first", None)
    assert status == 0, status
    expected, problems = outcome(undisturbed), []
    points = range(0, moments, stride)
    for point in points:
        drive = Drive(scratch / f"killed-{point}")
        shutil.copytree(template, drive.root)
        killed, _ = in_child(drive, "first", point)
        for path in drive.evaluation.rglob("*.parquet"):
            if path.is_file() and not path.name.startswith("."):
                pq.read_table(path, partitioning=None)  # raises if it is not whole
        again, _ = in_child(drive, "second", None)
        if killed != signal.SIGKILL or again != 0 or outcome(drive) != expected or evaluated_twice(drive):
            problems.append({"point": point, "killed": killed, "again": again})
        shutil.rmtree(drive.root)
    print(json.dumps({"moments": moments, "points": len(points), "problems": problems}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
