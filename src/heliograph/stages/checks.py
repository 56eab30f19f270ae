"""What a stage checks before it is submitted and after it ended. Light: the watcher runs these.

Each check raises BadInput's kin (what is there is wrong) or OSError (it cannot be read now; look again).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from heliograph.drive import Drive
from heliograph.errors import BadModel, BadResults
from heliograph.files import LASTING, open_untrusted, read_untrusted, sha256_file
from heliograph.names import whole
from heliograph.problems import json_problem
from heliograph.protocol.fields import JobId, Name, Text
from heliograph.protocol.signals import Signal
from heliograph.stages.evaluation_config import check_evaluation_config
from heliograph.stages.safetensors_header import check_safetensors

_MOST_METADATA = 16 << 20
_MOST_INDEX = 32 << 20
_MOST_OUTPUT = 1 << 31  # figures, tables and reports; what is larger is not hashed
T = TypeVar("T")


def check_model(drive: Drive, signal: Signal) -> str:
    """Check that the checkpoint which `.training_complete` names is whole; return its path.

    Weights in one model.safetensors, or in the shards that model.safetensors.index.json lists.
    """
    experiment = signal.content.experiment
    folder = drive.inside(
        signal.content.checkpoint_path,
        drive.model_folder(experiment),
        field="checkpoint_path",
        file=signal.path,
    )
    if not folder.is_dir():
        raise BadModel(
            file=signal.path,
            field="checkpoint_path",
            problem="is no folder",
            value=signal.content.checkpoint_path,
            remedy="Save the model there, then publish the signal again.",
        )
    models = drive.model_folder(experiment)
    for weights in weight_files(folder):
        drive.inside(weights, models, field=weights.name, file=folder)
        check_safetensors(weights, inside=models)
    return str(folder)


def check_evaluation_input(drive: Drive, signal: Signal) -> str:
    """Check that the model is whole, and that the configuration says how to evaluate it; return its path."""
    path = check_model(drive, signal)
    check_evaluation_config(drive)
    return path


def model_changes(drive: Drive, signal: Signal) -> str | None:
    """Return what tells the state of weights that were written after their signal; None where none was.

    Whoever publishes a signal has written the weights before it. Weights that are younger may still be on
    their way (a copy that keeps no order, a second training into the same folder).
    """
    folder = drive.inside(
        signal.content.checkpoint_path,
        drive.model_folder(signal.content.experiment),
        field="checkpoint_path",
        file=signal.path,
    )
    published_ns = signal.path.stat().st_mtime_ns
    states = ((file.name, file.stat()) for file in weight_files(folder))
    late = [f"{name} {s.st_size} {s.st_mtime_ns}" for name, s in states if s.st_mtime_ns > published_ns]
    return "; ".join(late) or None


def weight_files(folder: Path) -> list[Path]:
    """List the safetensors files of a checkpoint folder. Raises BadModel where there are none."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    for path in (single, index):
        if os.path.lexists(path) and not path.is_file():
            raise BadModel(
                file=folder,
                field=path.name,
                problem="is no regular file",
                value=path.name,
                remedy="Save the model again.",
            )
    if single.is_file():
        return [single]
    if not index.is_file():
        present = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
        raise BadModel(
            file=folder,
            field="model.safetensors",
            problem="is missing",
            value=present,
            remedy="Save the weights as safetensors; pickled weights (.bin, .pt) are never loaded.",
        )
    shards = _shard_names(index)
    if missing := [name for name in shards if not (folder / name).is_file()]:
        raise BadModel(
            file=index,
            field="weight_map",
            problem="names a shard that is missing",
            value=missing[0],
            remedy="Save the model again.",
        )
    return [folder / name for name in shards]


def _shard_names(index: Path) -> list[str]:
    class Index(Struct):
        weight_map: dict[str, str]

    try:
        raw = read_untrusted(index, _MOST_INDEX, follow=True)
    except OSError as error:
        raise _bad_index(index, "(file)", "cannot be read", error.strerror) from None
    try:
        names = sorted(set(msgspec.json.decode(raw, type=Index).weight_map.values()))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        wrong = json_problem(raw, str(error), Index)
        raise _bad_index(index, wrong.field or "(file)", wrong.text, wrong.value) from None
    if not names:
        raise _bad_index(index, "weight_map", "names no file", {})
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise _bad_index(index, "weight_map", "names no safetensors file of this folder", name)
    return names


def _bad_index(index: Path, field: str, problem: str, value: object) -> BadModel:
    return BadModel(file=index, field=field, problem=problem, value=value, remedy="Save the model again.")


_Paths = Annotated[list[Text], Meta(max_length=100_000)]


class _Files(Struct):
    metrics: _Paths
    predictions: _Paths = []


class EvaluationMetadata(Struct):
    """What the watcher and the analysis read of eval_metadata.json."""

    experiment: Name
    job_id: JobId
    files: _Files


def check_evaluation(drive: Drive, signal: Signal) -> str:
    """Check that the results which `.eval_complete` announces are there; return their folder."""
    experiment = signal.content.experiment
    if signal.content.status == "failed":
        raise BadResults(
            file=signal.path,
            field="status",
            problem="the evaluation failed",
            value=signal.content.error_message or "no message",
            remedy="Mend what it says, then evaluate again: heliograph evaluate --experiment NAME.",
        )
    path = drive.evaluation_metadata(experiment)
    metadata = _read_struct(path, EvaluationMetadata)
    folder = drive.evaluation_folder(experiment)
    _check_experiment(path, metadata.experiment, experiment)
    if not metadata.files.metrics:
        raise _missing(path, "files.metrics", "lists no file", metadata.files.metrics)
    for field in ("metrics", "predictions"):
        for name in getattr(metadata.files, field):
            file = drive.inside(name, folder, field=f"files.{field}", file=path)
            if not _is_parquet(file, folder):
                problem = "names a file that is missing or not whole Parquet"
                raise _missing(path, f"files.{field}", problem, name)
    return str(folder)


def _check_experiment(path: Path, named: str, experiment: str) -> None:
    if named != experiment:
        raise _missing(path, "experiment", f"is another one than {experiment}", named)


def _is_parquet(file: Path, folder: Path) -> bool:
    """Check both ends of a Parquet file: it begins and ends with PAR1 (the format's magic number)."""
    if not file.is_file():
        return False
    with os.fdopen(open_untrusted(file, inside=folder), "rb") as handle:
        head = handle.read(8)
        handle.seek(-min(4, len(head)), os.SEEK_END)
        return len(head) == 8 and head[:4] == b"PAR1" and handle.read(4) == b"PAR1"


class _Output(Struct):
    path: Text
    sha256: Annotated[str, Meta(pattern=whole("[0-9a-f]{64}", "64 hexadecimal digits"))]
    bytes: Annotated[int, Meta(ge=0, le=_MOST_OUTPUT)]


class Manifest(Struct):
    """What the watcher reads of the analysis' manifest.json."""

    experiment: Name
    engine: Text
    files: Annotated[list[_Output], Meta(max_length=100_000)]


def check_analysis(drive: Drive, signal: Signal) -> str:
    """Check that every output that the manifest lists is there and unchanged; return the manifest's path."""
    experiment = signal.content.experiment
    path = drive.analysis_manifest(experiment)
    manifest = _read_struct(path, Manifest)
    _check_experiment(path, manifest.experiment, experiment)
    if not manifest.files:
        raise _missing(path, "files", "lists no output", [])
    for output in manifest.files:
        file = drive.inside(drive.root / output.path, drive.analysis, field="files.path", file=path)
        if not _is_unchanged(file, output, drive.analysis):
            raise _missing(path, "files", "names an output that is missing or changed", output.path)
    return str(path)


def _is_unchanged(file: Path, output: _Output, folder: Path) -> bool:
    return (
        file.is_file()
        and file.stat().st_size == output.bytes
        and sha256_file(file, inside=folder) == output.sha256
    )


def _read_struct(path: Path, kind: type[T]) -> T:
    try:
        raw = read_untrusted(path, _MOST_METADATA)
    except FileNotFoundError:
        raise _missing(path, "(file)", "is missing", path.name) from None
    except OSError as error:
        if error.errno not in LASTING:
            raise
        raise _missing(path, "(file)", "cannot be read", error.strerror) from None
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        wrong = json_problem(raw, str(error), kind)
        raise _missing(path, wrong.field or "(file)", wrong.text, wrong.value) from None


def _missing(path: Path, field: str, problem: str, value: object) -> BadResults:
    return BadResults(
        file=path,
        field=field,
        problem=problem,
        value=value,
        remedy="Run the stage again: heliograph evaluate or heliograph analyse.",
    )
