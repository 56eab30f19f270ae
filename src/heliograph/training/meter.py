"""The numbers of a run: what log() takes, what a heartbeat tells, what goes to MLflow."""

from __future__ import annotations

import operator
import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, SupportsIndex

import msgspec

from heliograph.errors import TrackingError
from heliograph.tracking import Mlflow, RunStatus
from heliograph.training.config import ExperimentConfig
from heliograph.training.metrics import End, Point, RunNote, Spool
from heliograph.training.pulse import RunLog
from heliograph.training.shipper import Shipper

MLFLOW_EXPERIMENT = "heliograph"
_METRIC_NAME = re.compile(r"[A-Za-z0-9_./ -]{1,250}")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_./ -]")
_WAIT_FOR_RUN_S = 2.0


class Meter:
    """The latest numbers of a run, and their way to MLflow where a server is named."""

    def __init__(self, run_log: RunLog) -> None:
        self._log = run_log
        self._shipper: Shipper | None = None
        self._uri = ""
        self.step = 0
        self.latest: Mapping[str, float] = {}
        """the last value of each name"""

    def begin(self, spool: Spool, note: RunNote) -> str | None:
        """Start shipping to the server that `note` names; return the id of the MLflow run.

        Waits for the id, once, 2 s at the most: None means that the server has not answered by then. An
        address that is none, or a local disk that takes no spool, is a warning.
        """
        try:
            client = Mlflow(note.uri)
            self._uri = client.uri  # without credentials
            spool.begin(msgspec.structs.replace(note, uri=client.uri))
        except (TrackingError, OSError) as error:
            self._log.warn("mlflow", f"metrics go to the log only: {error}")
            return None
        self._shipper = Shipper(spool, client, self._log.warn)
        self._shipper.start()
        sent = self._shipper.wait_for_run(_WAIT_FOR_RUN_S)
        return sent.run_id if sent else None

    def close(self, status: RunStatus, timeout_s: float) -> None:
        """Ship what is left, waiting at most `timeout_s`."""
        if self._shipper:
            self._shipper.close(End(status, _now_ms()), timeout_s)
            if not self._shipper.is_done:
                self._log.warn("mlflow", "some metrics wait on the local disk; heliograph sync sends them")

    @property
    def mlflow(self) -> dict[str, str] | None:
        """Where the run stands in MLflow, as training_metadata.json says it."""
        sent = self._shipper.sent if self._shipper else None
        if sent is None:
            return None
        return {"tracking_uri": self._uri, "experiment_id": sent.experiment_id, "run_id": sent.run_id}

    def log(self, step: SupportsIndex, values: Mapping[str, object]) -> None:
        """Take the values of one step; leave out, with one warning, what is no number."""
        clean = self.clean(values)
        try:
            self.step = operator.index(step)
        except TypeError:
            self._log.warn("step", f"values without a whole step are left out: step={step!r:.80}")
            return
        self.latest = {**self.latest, **clean}  # anew each time: the heartbeat's thread may read the old one
        self.put(clean)

    def clean(self, values: Mapping[str, object]) -> dict[str, float]:
        """Return the values as plain numbers, without those that are none."""
        numbers = {key: self._number(key, value) for key, value in values.items()}
        return {key: number for key, number in numbers.items() if number is not None}

    def put(self, values: Mapping[str, float]) -> None:
        """Send numbers of our own, which are not the training's."""
        if self._shipper:
            self._shipper.put(Point(_now_ms(), self.step, values))

    def _number(self, key: str, value: Any) -> float | None:
        try:
            if _METRIC_NAME.fullmatch(key):
                return float(value)  # a number, or a tensor that holds one
        except (TypeError, ValueError, RuntimeError):
            pass
        self._log.warn(f"value {key}", f"{key!r} is left out: no metric's name, or no number: {value!r:.80}")
        return None


def describe(config: ExperimentConfig, uri: str, run: str, start_ms: int, commit: str | None) -> RunNote:
    """Describe a run to MLflow: every setting as a parameter, and where it comes from."""
    tags = {"heliograph.experiment": config.name, "mlflow.source.name": sys.argv[0] or "python"}
    if commit:
        tags["mlflow.source.git.commit"] = commit
    params = flatten(msgspec.to_builtins(config))
    return RunNote(uri, MLFLOW_EXPERIMENT, config.name, run, start_ms, params, tags)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Turn nested settings into MLflow's parameters: {"model": {"width": 8}} → {"model.width": "8"}."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        name = prefix + _NOT_IN_A_NAME.sub("_", str(key))
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{name}.")
        elif value not in (None, "", [], {}):
            flat[name[:250]] = str(value)
    return flat


def host_metrics() -> dict[str, float]:
    """Return the load of this host, and this process's resident memory in MB (proc(5), statm: in pages)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    resident_mb = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return {"system/load_1m": os.getloadavg()[0], "system/process_resident_mb": resident_mb}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
