"""The corpus of hostile and broken files (corpus/*.yaml): reading it, and putting a case on a drive."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from msgspec import Struct

from heliograph.drive import Drive
from heliograph.protocol.signals import ALL_KINDS, SignalKind
from hostile import makers, model_makers
from hostile.place import Place
from support.drives import make_model, write_evaluation

CORPUS = Path(__file__).parent / "corpus"
KINDS = {kind.file_name.lstrip("."): kind for kind in ALL_KINDS}
CONFIG_NAMES = {
    "watcher": "watcher.yaml",
    "experiment": "e1.yaml",
    "base_eval": "base_eval.yaml",
    "minimal_pairs": "d.yaml",
    "perplexity": "d.yaml",
}


class Case(Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """One case; the head of each file of the corpus says what its keys mean."""

    name: str
    told: str | None = None
    waits: bool = False
    """nothing is told, because it may still get well: it is looked at again"""
    kind: str | None = None
    file: str | None = None
    experiment: str | None = None
    change: dict[str, Any] = {}
    envelope: dict[str, Any] = {}
    drop: list[str] = []
    members: str | None = None
    after: list[dict[str, Any]] = []
    set: dict[str, Any] = {}
    text: str | None = None
    raw: str | None = None
    hex: str | None = None
    make: str | None = None
    header: Any = msgspec.UNSET
    length: int | None = None
    data: int = 16
    index: Any = msgspec.UNSET
    index_raw: str | None = None

    def whole_file(self) -> bytes | None:
        """Return the file's bytes where the case gives all of them."""
        if self.hex is not None:
            return bytes.fromhex(self.hex)
        text = self.raw if self.raw is not None else self.text
        return None if text is None else text.encode("utf-8", "surrogatepass")

    def expected(self, place: Place) -> str | None:
        """Return the error that is to be told of this case there."""
        return None if self.told is None else place.fill(self.told)


@cache
def read_corpus(name: str) -> list[Case]:
    values = yaml.safe_load((CORPUS / f"{name}.yaml").read_text(encoding="utf-8"))
    return msgspec.convert(values, list[Case])


@cache
def valid(name: str) -> Any:
    return yaml.safe_load((CORPUS / "valid.yaml").read_text(encoding="utf-8"))[name]


def params(name: str) -> list[Any]:
    """Return the cases as parameters of a test, each under its name."""
    return [pytest.param(case, id=case.name) for case in read_corpus(name)]


def make(name: str, place: Place) -> None:
    """Call one of the makers."""
    (getattr(makers, name, None) or getattr(model_makers, name))(place)


# Signals --------------------------------------------------------------------------------------------


def put_signal(case: Case, drive: Drive, experiment: str) -> Place:
    """Put a case's signal on the drive, with all that a good one of its kind announces."""
    experiment = case.experiment or experiment
    kind: SignalKind = KINDS[case.kind or "training_complete"]
    path = kind.path(drive, experiment)
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind.stage == "training":
        make_model(drive, experiment)
    elif kind.stage == "evaluation":
        write_evaluation(drive, experiment, "17")
    place = Place(drive, path, experiment)
    values = valid("signals")[kind.file_name.lstrip(".")] | case.change
    for name in case.drop:
        del values[name]
    _write(case, place, place.fill(values))
    return place


def _write(case: Case, place: Place, values: dict[str, Any]) -> None:
    raw = case.whole_file()
    if raw is None:
        raw = encode(values, case.members)
    place.path.write_bytes(raw)
    if case.make is not None:
        make(case.make, place)


def encode(values: dict[str, Any], members: str | None = None) -> bytes:
    """Write an object as JSON, with more members as they stand."""
    text = json.dumps(values, ensure_ascii=False)
    if members is not None:
        text = f"{text[:-1]}, {members}}}"
    return text.encode()


# Events ---------------------------------------------------------------------------------------------


def event_id(number: int) -> str:
    return f"{1769850300000000000 + number:020d}-h-1-{number:06d}"


def event_values(kind: str, experiment: str, number: int, changes: dict[str, Any]) -> dict[str, Any]:
    """Return a valid event as plain values, some of its body's changed."""
    body = {"kind": kind, "experiment": experiment} | valid("events")[kind] | changes
    at = "2026-01-31T09:05:00Z"
    return {"id": event_id(number), "at": at, "host": "h", "pid": 1, "user": "u", "body": body}


def put_event(case: Case, drive: Drive, number: int) -> tuple[Place, list[dict[str, Any]]]:
    """Put a case's event into the inbox; return its place, and the events that are to be applied before."""
    experiment = f"event-{number:03d}"
    values = event_values(case.kind or "training.heartbeat", experiment, number, case.change)
    for name in case.drop:
        del values["body"][name]
    values |= case.envelope
    place = Place(drive, drive.inbox / (case.file or f"{event_id(number)}.json"), experiment, values)
    raw = case.whole_file()
    if raw is None:
        raw = json.dumps(values, ensure_ascii=False).encode("utf-8", "surrogatepass")
        if case.members is not None:
            raw = raw[:-2] + f", {case.members}}}}}".encode()
    place.path.write_bytes(raw)
    if case.make is not None:
        make(case.make, place)
    before = [event_values(one["kind"], experiment, 100_000 + number, one) for one in case.after]
    return place, before


# Configuration --------------------------------------------------------------------------------------


def put_config(case: Case, drive: Drive) -> Place:
    """Put a case's configuration file on the drive."""
    name = case.file or ""
    folder = drive.dataset_configs if name in ("minimal_pairs", "perplexity") else drive.config
    place = Place(drive, folder / CONFIG_NAMES[name], "e1")
    raw = case.whole_file()
    if raw is None:
        values = json.loads(json.dumps(valid("configs")[name]))
        for at, value in case.set.items():
            put_at(values, at, value)
        raw = yaml.safe_dump(values, allow_unicode=True).encode()
    place.path.write_bytes(raw)
    if case.make is not None:
        make(case.make, place)
    return place


def put_at(values: Any, at: str, value: Any) -> None:
    """Set one key, written as a.b.0.c."""
    *steps, last = at.split(".")
    for step in steps:
        values = values[int(step)] if isinstance(values, list) else values.setdefault(step, {})
    values[last] = value


# Models and results ---------------------------------------------------------------------------------


def put_model(case: Case, drive: Drive) -> Place:
    """Put a case's model on the drive, as the checkpoint of experiment e1."""
    folder = make_model(drive, "e1")
    place = Place(drive, folder / "model.safetensors", "e1")
    header = case.whole_file()
    if header is None and case.header is not msgspec.UNSET:
        header = json.dumps(case.header).encode()
    if header is not None:
        length = len(header) if case.length is None else case.length
        place.path.write_bytes(struct.pack("<Q", length) + header + bytes(case.data))
    index = json.dumps(case.index) if case.index is not msgspec.UNSET else case.index_raw
    if index is not None:
        place.path.unlink()
        (folder / "model.safetensors.index.json").write_text(index)
    if case.make is not None:
        make(case.make, place)
    return place


def put_results(case: Case, drive: Drive) -> Place:
    """Put a case's eval_metadata.json or manifest.json on the drive, with the files that it lists."""
    if case.file == "eval_metadata":
        write_evaluation(drive, "e1", "17")
        place = Place(drive, drive.evaluation_metadata("e1"), "e1")
    else:
        place = Place(drive, drive.analysis_manifest("e1"), "e1")
        place.path.parent.mkdir(parents=True)
        drive.figures("e1").mkdir(parents=True)
        (drive.figures("e1") / "a.png").write_bytes(b"a figure")
    values = place.fill(valid(case.file or ""))
    for at, value in case.set.items():
        put_at(values, at, value)
    _write(case, place, values)
    return place


# Who looks ------------------------------------------------------------------------------------------


@contextmanager
def as_nobody(when: bool) -> Iterator[None]:
    """Look as a user without rights, where the tests run as root, who may read everything."""
    if not when or os.geteuid() != 0:
        yield
        return
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
