"""The manifest that R writes last, checked against the files that it lists."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from heliograph.drive import Drive
from heliograph.errors import BadResults
from heliograph.files import read_untrusted, sha256_file

_LARGEST = 16 << 20


class Output(Struct, frozen=True):
    """One file that the analysis made; the path is relative to the drive."""

    path: str
    type: Literal["figure", "table", "report"]
    sha256: str
    bytes: int


class Manifest(Struct, kw_only=True, frozen=True):
    """analysis/reports/EXPERIMENT/manifest.json"""

    experiment: str
    evaluation_token: str | None
    """the attempt that wrote the evaluation which was analysed"""
    engine: str
    r_version: str
    packages: dict[str, str]
    metrics: dict[str, float]
    """at the last checkpoint: overall_accuracy, accuracy/DATASET, METRIC/DATASET"""
    files: list[Output]
    warnings: list[str]
    created_at: str


def read_manifest(drive: Drive, experiment: str, evaluation_token: str | None) -> Manifest:
    """Read the manifest and check that it is about this evaluation and that its files are as it says.

    Raises BadResults, naming what is wrong.
    """
    path = drive.analysis_manifest(experiment)
    try:
        manifest = msgspec.json.decode(read_untrusted(path, _LARGEST), type=Manifest)
    except FileNotFoundError:
        raise _bad(path, "(file)", "is missing", path.name) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _bad(path, "(file)", str(error)[:150], path.name) from None
    if manifest.experiment != experiment:
        raise _bad(path, "experiment", "is another one", manifest.experiment)
    if manifest.evaluation_token != evaluation_token:
        raise _bad(path, "evaluation_token", "is of another evaluation", manifest.evaluation_token)
    for output in manifest.files:
        _check_output(drive, path, output)
    if not any(output.type == "report" for output in manifest.files):
        raise _bad(path, "files", "lists no report", len(manifest.files))
    return manifest


def _check_output(drive: Drive, manifest: Path, output: Output) -> None:
    file = drive.inside(drive.root / output.path, drive.analysis, field="files", file=manifest)
    if not file.is_file():
        raise _bad(manifest, "files", "lists a file that is missing", output.path)
    if file.stat().st_size != output.bytes or sha256_file(file) != output.sha256:
        raise _bad(manifest, "files", "lists a file that has changed since", output.path)


def _bad(path: Path, field: str, problem: str, value: object) -> BadResults:
    remedy = "Run the analysis again: heliograph analyse EXPERIMENT."
    return BadResults(file=path, field=field, problem=problem, value=value, remedy=remedy)
