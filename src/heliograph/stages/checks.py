"""What a stage checks before it is submitted and after it ended. Light: the watcher runs these.

Each check raises BadInput's kin (what is there is wrong) or OSError (it cannot be read now; look again).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from heliograph.drive import Drive
from heliograph.errors import BadModel, BadResults
from heliograph.files import read_untrusted, sha256_file
from heliograph.protocol.signals import Signal
from heliograph.stages.safetensors_header import check_safetensors

_MOST_METADATA = 64 << 20
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
    for weights in weight_files(folder):
        check_safetensors(weights)
    return str(folder)


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
        names = sorted(set(msgspec.json.decode(index.read_bytes(), type=Index).weight_map.values()))
    except msgspec.DecodeError as error:
        raise BadModel(
            file=index,
            field="(file)",
            problem=str(error)[:150],
            value=index.name,
            remedy="Save the model again.",
        ) from None
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise BadModel(
                file=index,
                field="weight_map",
                problem="names no safetensors file of this folder",
                value=name,
                remedy="Save the model again.",
            )
    return names


class _Files(Struct):
    metrics: list[str]
    predictions: list[str] = []


class EvaluationMetadata(Struct):
    """What the watcher and the analysis read of eval_metadata.json."""

    experiment: str
    job_id: str
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
    if not metadata.files.metrics:
        raise _missing(path, "files.metrics", "lists no file", metadata.files.metrics)
    for name in metadata.files.metrics + metadata.files.predictions:
        file = drive.inside(name, folder, field="files", file=path)
        _check_parquet(file, path)
    return str(folder)


def _check_parquet(file: Path, listed_in: Path) -> None:
    """Check both ends of a Parquet file: it begins and ends with PAR1 (the format's magic number)."""
    if not file.is_file():
        raise _missing(listed_in, "files", "names a file that is missing", file.name)
    with file.open("rb") as handle:
        head = handle.read(8)
        handle.seek(-min(4, len(head)), os.SEEK_END)
        if len(head) < 8 or head[:4] != b"PAR1" or handle.read(4) != b"PAR1":
            raise _missing(listed_in, "files", "names a file that is not whole Parquet", file.name)


class _Output(Struct):
    path: str
    sha256: str
    bytes: int


class Manifest(Struct):
    """What the watcher reads of the analysis' manifest.json."""

    experiment: str
    engine: str
    files: list[_Output]


def check_analysis(drive: Drive, signal: Signal) -> str:
    """Check that every output that the manifest lists is there and unchanged; return the manifest's path."""
    experiment = signal.content.experiment
    path = drive.analysis_manifest(experiment)
    manifest = _read_struct(path, Manifest)
    if not manifest.files:
        raise _missing(path, "files", "lists no output", [])
    for output in manifest.files:
        file = drive.inside(drive.root / output.path, drive.analysis, field="files", file=path)
        if not file.is_file() or sha256_file(file) != output.sha256:
            raise _missing(path, "files", "names an output that is missing or changed", output.path)
    return str(path)


def _read_struct(path: Path, kind: type[T]) -> T:
    try:
        raw = read_untrusted(path, _MOST_METADATA)
    except FileNotFoundError:
        raise _missing(path, "(file)", "is missing", path.name) from None
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError as error:
        problem, _, at = str(error).partition(" - at `$.")
        raise _missing(path, at.strip("`") or "(file)", problem[:150], path.name) from None


def _missing(path: Path, field: str, problem: str, value: object) -> BadResults:
    return BadResults(
        file=path,
        field=field,
        problem=problem,
        value=value,
        remedy="Run the stage again: heliograph evaluate or heliograph analyse.",
    )
