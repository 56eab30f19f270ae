"""What is known of a checkpoint, and whether it is fit to be loaded."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from heliograph.errors import BadModel
from heliograph.evaluation.settings_file import read_settings
from heliograph.files import read_untrusted
from heliograph.names import is_name
from heliograph.problems import json_problem
from heliograph.protocol.fields import Count
from heliograph.stages.checkpoints import STEP
from heliograph.stages.checks import weight_files
from heliograph.stages.safetensors_header import check_safetensors

_MOST_METADATA = 1 << 20
_LONGEST_NAME = 64  # a checkpoint's name becomes part of file names, which end at 255 bytes


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
    named = STEP.fullmatch(path.name)
    step = told.step if told.step is not None or named is None else int(named[1])
    return Checkpoint(path.name, path, step, told.tokens_seen)


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
