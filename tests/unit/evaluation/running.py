"""Running the stage in this process, and reading what it left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow.parquet as pq

from heliograph.drive import Drive
from heliograph.evaluation.attempt import Attempt, read_attempt
from heliograph.evaluation.conclusion import Outcome
from heliograph.evaluation.metadata import EvaluationMetadata
from heliograph.evaluation.plan import Options
from heliograph.evaluation.service import make_tools, run_evaluation
from heliograph.evaluation.worker import Tools
from heliograph.protocol.events import Event, read_event
from heliograph.protocol.outbox import Outbox
from heliograph.protocol.signals import EVAL_COMPLETE, SignalKind, read_signal
from unit.evaluation.builders import EXPERIMENT

JOB = {
    "HELIOGRAPH_TOKEN": "abc123def456",
    "HELIOGRAPH_STAGE": "evaluation",
    "HELIOGRAPH_EXPERIMENT": EXPERIMENT,
    "HELIOGRAPH_JOB_ID": "4711",
    "HELIOGRAPH_SIGNAL_SHA256": "5" * 64,
}


def in_job(drive: Drive, token: str = "abc123def456") -> Attempt:
    return read_attempt(drive, EXPERIMENT, JOB | {"HELIOGRAPH_TOKEN": token})


def nothing_stops() -> None:
    """Never raises."""


def evaluate(
    drive: Drive,
    attempt: Attempt | None = None,
    check_stop: Callable[[], None] = nothing_stops,
    **options: Any,
) -> Outcome:
    attempt = attempt or in_job(drive)
    outbox = Outbox(drive, drive.root.parent / "spool")
    tools: Tools = make_tools(drive, outbox, attempt, lambda *_: None, check_stop, options.get("part"))
    return run_evaluation(tools, attempt, Options(experiment=EXPERIMENT, **options), None)


def events(drive: Drive) -> list[Event]:
    return [read_event(path) for path in sorted(drive.inbox.iterdir())]


def kinds(drive: Drive) -> list[str]:
    return [type(event.body).__name__ for event in events(drive)]


def metadata(drive: Drive) -> EvaluationMetadata:
    raw = drive.evaluation_metadata(EXPERIMENT).read_bytes()
    return msgspec.json.decode(raw, type=EvaluationMetadata)


def signal(drive: Drive, kind: SignalKind = EVAL_COMPLETE) -> Any:
    return read_signal(kind.path(drive, EXPERIMENT), kind, EXPERIMENT)


def rows(drive: Drive, names: list[str]) -> list[dict[str, Any]]:
    """Read result files, without what differs between two runs of the same work."""
    folder = drive.evaluation_folder(EXPERIMENT)
    found = []
    for name in names:
        table = pq.read_table(folder / name, partitioning=None).drop_columns(["token", "timestamp"])
        found += table.to_pylist()
    return found
