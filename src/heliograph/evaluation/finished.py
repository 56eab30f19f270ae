"""What need not be done again: one small file for each data set and checkpoint that is evaluated.

evaluation/E/finished/KEY.json is written last, after the Parquet files that it lists. KEY is a hash of all
that the numbers follow from: so a worker that was killed goes on with what is missing, and anything that
changes (model, data, settings, version, the training's signal) is new work.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from heliograph.drive import Drive
from heliograph.files import write_atomic


class Work(Struct, frozen=True, kw_only=True):
    """All that the numbers of one data set and checkpoint follow from."""

    experiment: str
    checkpoint: str
    step: int | None
    tokens_seen: int | None
    dataset: str
    signal_sha256: str | None
    model_sha256: str
    model_config_sha256: str
    tokenizer_sha256: str
    tokenizer_config_sha256: str | None
    data_sha256: str
    dataset_config_sha256: str
    dtype: str
    device: str
    batch_tokens: int
    version: str

    @property
    def key(self) -> str:
        raw = msgspec.json.encode(self, order="deterministic")
        return hashlib.sha256(raw).hexdigest()[:32]


class Finished(Struct, frozen=True, kw_only=True):
    """One data set evaluated at one checkpoint. Paths are relative to evaluation/E/."""

    work: Work
    token: str
    finished_at: datetime
    duration_s: float
    n_items: int
    n_skipped: int
    metrics: dict[str, float | None]
    """overall; None for what is not finite"""
    groups: dict[str, dict[str, float | None]]
    metric_files: list[str]
    prediction_files: list[str]

    @property
    def files(self) -> list[str]:
        return self.metric_files + self.prediction_files


def _path(drive: Drive, work: Work) -> Path:
    return drive.evaluation_folder(work.experiment) / "finished" / f"{work.key}.json"


def find_finished(drive: Drive, work: Work) -> Finished | None:
    """Return what is known of this work if all its files stand; None if it is to be done."""
    path = _path(drive, work)
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Finished)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # a file that cannot be understood proves nothing: do the work again
    folder = drive.evaluation_folder(work.experiment)
    whole = found.work == work and all((folder / name).is_file() for name in found.files)
    return found if whole else None


def write_finished(drive: Drive, finished: Finished) -> None:
    """Put down that this work is done; its Parquet files must stand already."""
    path = _path(drive, finished.work)
    drive.make_folder(path.parent)
    write_atomic(path, msgspec.json.format(msgspec.json.encode(finished), indent=2) + b"\n")
