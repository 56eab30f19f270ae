"""Which checkpoints of an experiment are evaluated. Light: the watcher asks for them to make a job array."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from msgspec import Struct

from heliograph.config import Name, load_config
from heliograph.drive import Drive
from heliograph.errors import BadConfig

STEP = re.compile(r"checkpoint-([0-9]{1,15})")


class CheckpointChoice(Struct, frozen=True, kw_only=True):
    """What base_eval.yaml says of checkpoints, without the rest."""

    checkpoints: Literal["final", "all"] | list[Name] = "final"
    """which of models/EXPERIMENT/checkpoints/ are evaluated besides the one that the training ended with"""


def list_parts(drive: Drive, experiment: str, input_path: str) -> list[str]:
    """List the names of the checkpoints that base_eval.yaml asks for. Raises BadInput's kin, or OSError."""
    choice = CheckpointChoice()
    if drive.base_eval.exists():
        choice = load_config(drive.base_eval, CheckpointChoice)
    main = drive.inside(input_path, drive.model_folder(experiment), field="--checkpoint", file="the signal")
    return [path.name for path in choose_checkpoints(drive, experiment, main, choice.checkpoints)]


def choose_checkpoints(
    drive: Drive, experiment: str, main: Path, wanted: Literal["final", "all"] | list[str]
) -> list[Path]:
    """Return the folders to evaluate: those that are wanted, by step, and `main` last in any case.

    `main` is the checkpoint that the training ended with, or the one named by hand. Of a list, `final`
    stands for models/EXPERIMENT/final, every other name for a folder in checkpoints/. Raises BadConfig for
    one that does not exist, or that has the name of another.
    """
    saved, final = drive.checkpoints(experiment), drive.final_model(experiment)
    if wanted == "final":
        others: list[Path] = []
    elif wanted == "all":
        others = [path for path in saved.iterdir() if path.is_dir()] if saved.is_dir() else []
        others = [path for path in others if not path.name.startswith(".")]  # one that is being saved
        others += [final] if final.is_dir() else []
    else:
        others = [final if name == "final" else saved / name for name in wanted]
    chosen = {path.resolve(): path for path in sorted(others, key=_by_step)}
    chosen.pop(main.resolve(), None)
    paths = [*chosen.values(), main]
    for path in paths[:-1]:
        if not path.is_dir() or [other.name for other in paths].count(path.name) > 1:
            problem = "has the name of another" if path.is_dir() else "does not exist"
            remedy = "List folders of models/EXPERIMENT/checkpoints/, each with a name of its own."
            raise BadConfig(
                file="base_eval.yaml or --checkpoints",
                field="checkpoints",
                problem=problem,
                value=str(path),
                remedy=remedy,
            )
    return paths


def _by_step(path: Path) -> tuple[float, str]:
    """Sort by the step that the name tells; what tells none comes last."""
    named = STEP.fullmatch(path.name)
    return (float(named[1]) if named else float("inf"), path.name)
