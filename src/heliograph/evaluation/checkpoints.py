"""Which checkpoints of an experiment are evaluated, and what is known of each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from heliograph.drive import Drive
from heliograph.errors import BadConfig, BadModel
from heliograph.evaluation.settings_file import read_settings
from heliograph.files import read_untrusted
from heliograph.names import is_name
from heliograph.problems import json_problem
from heliograph.protocol.fields import Count
from heliograph.stages.checks import weight_files
from heliograph.stages.safetensors_header import check_safetensors

_MOST_METADATA = 1 << 20
_LONGEST_NAME = 64  # a checkpoint's name becomes part of file names, which end at 255 bytes
_STEP = re.compile(r"checkpoint-([0-9]{1,15})")


class Checkpoint(Struct, frozen=True):
    """A checkpoint folder. `step` and `tokens_seen` are None where nobody wrote them down."""

    name: str
    path: Path
    step: int | None = None
    tokens_seen: int | None = None


class _Metadata(Struct):
    step: Count | None = None
    tokens_seen: Count | None = None


def read_checkpoint(path: Path) -> Checkpoint:
    """Describe a checkpoint folder from its name and metadata.json. Raises BadModel."""
    if not is_name(path.name) or len(path.name) > _LONGEST_NAME:
        remedy = f"Use at most {_LONGEST_NAME} letters, digits, dots, dashes and underscores."
        raise BadModel(
            file=path.parent, field="checkpoint", problem="is no name", value=path.name, remedy=remedy
        )
    file = path / "metadata.json"
    try:
        raw = read_untrusted(file, _MOST_METADATA, follow=True)
    except (FileNotFoundError, NotADirectoryError):
        raw = b"{}"
    try:
        told = msgspec.json.decode(raw, type=_Metadata)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        wrong = json_problem(raw, str(error), _Metadata)
        raise BadModel(
            file=file,
            field=wrong.field or "(file)",
            problem=wrong.text,
            value=wrong.value,
            remedy="step and tokens_seen are whole numbers or null; mend the file or remove it.",
        ) from None
    named = _STEP.fullmatch(path.name)
    step = told.step if told.step is not None or named is None else int(named[1])
    return Checkpoint(path.name, path, step, told.tokens_seen)


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
    named = _STEP.fullmatch(path.name)
    return (float(named[1]) if named else float("inf"), path.name)


def check_checkpoint(folder: Path) -> list[Path]:
    """Check that a checkpoint folder is whole, without reading weights; return its weight files.

    Raises BadModel: also where there are only pickled weights, which are never loaded.
    """
    if not folder.is_dir():
        raise _bad(folder, "(folder)", "does not exist", "Save the model there.")
    files = weight_files(folder)
    for file in files:
        check_safetensors(file)
    if not (folder / "config.json").is_file():
        raise _bad(folder, "config.json", "is missing", "Save the model with model.save_pretrained(FOLDER).")
    read_settings(folder / "config.json")
    return files


def _bad(folder: Path, field: str, problem: str, remedy: str) -> BadModel:
    return BadModel(file=folder, field=field, problem=problem, value=folder.name, remedy=remedy)
