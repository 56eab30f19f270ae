"""The demo's drive: a real one, with small settings and with texts that the demo's own grammar makes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from datetime import datetime
from importlib.resources import as_file, files
from pathlib import Path

from heliograph.demo import grammar
from heliograph.drive import Drive
from heliograph.drive_setup import copy_missing, set_up_drive
from heliograph.files import write_new

EXPERIMENTS = ("demo_subjects", "demo_drop")
_SEED = 20260131
_TRAINING_SENTENCES = 60_000
_HELD_OUT_SENTENCES = 600
_PAIRS_PER_CELL = 100


def prepare_drive(folder: Path, now: datetime) -> Drive:
    """Make the demo's drive in `folder`, or complete it; what is there stays."""
    drive = Drive(folder)
    drive.root.mkdir(parents=True, exist_ok=True)
    with as_file(files("heliograph.demo").joinpath("files")) as source:
        copy_missing(Path(source), drive.root)
    set_up_drive(drive, now)
    data = drive.root / "data" / "demo"
    data.mkdir(parents=True, exist_ok=True)
    for name, drops in zip(EXPERIMENTS, (False, True), strict=True):
        _write_lines(data / f"{name}.txt", grammar.training_text(_SEED, _TRAINING_SENTENCES, drops))
    _write_lines(data / "held_out.txt", grammar.held_out_text(_SEED, _HELD_OUT_SENTENCES, False))
    items = grammar.minimal_pairs(_SEED, _PAIRS_PER_CELL)
    _write_lines(data / "minimal_pairs.jsonl", (json.dumps(item) for item in items))
    return drive


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    if not path.exists():
        write_new(path, "".join(f"{line}\n" for line in lines).encode())


def missing_parts(needed: Iterable[tuple[str, str]]) -> list[str]:
    """Return a sentence for each command that is not on PATH, given (command, what does not work without)."""
    return [
        f"{command} is missing, so {lost}. To install it: docs/install.md"
        for command, lost in needed
        if shutil.which(command) is None
    ]
