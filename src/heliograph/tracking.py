"""A small MLflow client: REST over http.client, with timeouts, without retries.

Importing mlflow costs 76–163 MB, and its own client blocks for minutes when the server is down. This one
asks once, waits `timeout_s` for an answer and raises TrackingError with what the server said. Whoever calls
decides what that means; a stage never fails because MLflow does.

Proxies from the environment are not used: the tracking server of a lab is reached directly.
"""

from __future__ import annotations

import base64
import http.client
import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any, Literal
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from heliograph.errors import TrackingError
from heliograph.errors import quote as show_value
from heliograph.names import user_name

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]

# What one log-batch request takes (mlflow/utils/validation.py): 1000 metrics, 100 params, 100 tags, and
# 1000 of all together; longer values are refused, with the whole request.
_METRICS_A_CALL = 800
_TEXTS_A_CALL = 100
_LONGEST_PARAM = 6000
_LONGEST_TAG = 8000
_LARGEST_ANSWER = 16 << 20
_PARENT_TAG = "mlflow.parentRunId"
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+-]{0,40}")


class Metric(Struct, frozen=True):
    """One point of one curve. Logged twice with the same four values, it is stored once."""

    key: str
    value: float
    timestamp_ms: int
    step: int = 0


def run_url(uri: str, experiment_id: str, run_id: str) -> str:
    """Return the address of a run's page in MLflow's own web pages."""
    return f"{_without_credentials(uri)}/#/experiments/{experiment_id}/runs/{run_id}"


class Mlflow:
    """The tracking server at `uri` (http or https, a path prefix is kept). Every method may raise
    TrackingError; its facts hold the HTTP `status` and MLflow's `error_code` where there were any."""

    def __init__(
        self, uri: str, *, timeout_s: float = 3.0, username: str | None = None, password: str | None = None
    ) -> None:
        self.uri = _without_credentials(uri)
        self.timeout_s = timeout_s
        self._parts = _split(uri)
        username = username or self._parts.username or os.environ.get("MLFLOW_TRACKING_USERNAME")
        password = password or self._parts.password or os.environ.get("MLFLOW_TRACKING_PASSWORD")
        self._headers = {"User-Agent": "heliograph"}
        if username and password:
            pair = base64.b64encode(f"{username}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {pair}"

    def is_healthy(self) -> bool:
        """Tell whether the server answers; the one method that never raises."""
        connection = self._connect()
        try:
            connection.request("GET", self._parts.path.rstrip("/") + "/health", headers=self._headers)
            with connection.getresponse() as answer:
                return answer.status == 200
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()

    def version(self) -> str:
        """Return the server's version."""
        status, raw = self._exchange("GET", "/version", None, {})
        text = raw.decode("utf-8", "replace").strip()
        if status != 200 or not _VERSION.fullmatch(text):
            raise TrackingError(uri=self.uri, reason=f"it answered {status} to /version: {text[:100]!a}")
        return text

    def experiment_id(self, name: str) -> str:
        """Return the id of the experiment `name`, made if missing; several may make it at once."""
        try:
            return self._find_experiment(name)
        except TrackingError as missing:
            if missing.facts.get("error_code") != "RESOURCE_DOES_NOT_EXIST":
                raise
        try:
            return str(self._post("experiments/create", {"name": name})["experiment_id"])
        except TrackingError as taken:
            if taken.facts.get("error_code") != "RESOURCE_ALREADY_EXISTS":
                raise
        return self._find_experiment(name)

    def _find_experiment(self, name: str) -> str:
        found = self._get("experiments/get-by-name", {"experiment_name": name})["experiment"]
        if found.get("lifecycle_stage") == "deleted":
            remedy = f"restore it with: mlflow experiments restore -x {found['experiment_id']}"
            raise TrackingError(uri=self.uri, reason=f"the experiment {name} was deleted; {remedy}")
        return str(found["experiment_id"])

    def start_run(
        self,
        experiment_id: str,
        *,
        name: str,
        tags: Mapping[str, str] = {},
        parent_run_id: str | None = None,
        start_time_ms: int | None = None,
    ) -> str:
        """Make a run and return its id; `parent_run_id` nests it below another run on MLflow's pages."""
        all_tags = {"mlflow.user": user_name(), **tags}
        if parent_run_id is not None:
            all_tags[_PARENT_TAG] = parent_run_id
        body = {
            "experiment_id": experiment_id,
            "run_name": name,
            "start_time": _now_ms() if start_time_ms is None else start_time_ms,
            "tags": _pairs(all_tags, _LONGEST_TAG),
        }
        return str(self._post("runs/create", body)["run"]["info"]["run_id"])

    def find_run(self, experiment_id: str, *, tag: str, value: str) -> str | None:
        """Return the id of the newest run that carries `tag` with `value` (no quotes in either)."""
        body = {
            "experiment_ids": [experiment_id],
            "filter": f"tags.`{tag}` = '{value}'",
            "max_results": 1,
        }
        runs = self._post("runs/search", body).get("runs") or []
        return str(runs[0]["info"]["run_id"]) if runs else None

    def log(
        self,
        run_id: str,
        *,
        metrics: Sequence[Metric] = (),
        params: Mapping[str, str] = {},
        tags: Mapping[str, str] = {},
    ) -> None:
        """Log any number of points, parameters and tags. A parameter is never changed once it is logged."""
        columns = {
            "metrics": _chunks([_metric(m) for m in metrics], _METRICS_A_CALL),
            "params": _chunks(_pairs(params, _LONGEST_PARAM), _TEXTS_A_CALL),
            "tags": _chunks(_pairs(tags, _LONGEST_TAG), _TEXTS_A_CALL),
        }
        for batch in zip_longest(*columns.values(), fillvalue=()):
            self._post("runs/log-batch", {"run_id": run_id, **dict(zip(columns, batch, strict=True))})

    def end_run(self, run_id: str, status: RunStatus, *, end_time_ms: int | None = None) -> None:
        """Mark a run as ended, now or at `end_time_ms`."""
        end = _now_ms() if end_time_ms is None else end_time_ms
        self._post("runs/update", {"run_id": run_id, "status": status, "end_time": end})

    def log_artifact(self, run_id: str, path: Path, folder: str = "") -> None:
        """Store a file with the run, below `folder`, through the server. Raises OSError if `path` cannot
        be read."""
        info = self._get("runs/get", {"run_id": run_id})["run"]["info"]
        root = urlsplit(str(info["artifact_uri"]))
        if root.scheme != "mlflow-artifacts":
            reason = (
                f"it does not pass artifacts on ({info['artifact_uri']}); start it with heliograph mlflow"
            )
            raise TrackingError(uri=self.uri, reason=reason)
        place = "/".join(part.strip("/") for part in (root.path, folder, path.name) if part.strip("/"))
        with path.open("rb") as file:
            headers = {"Content-Length": str(path.stat().st_size), "Content-Type": "application/octet-stream"}
            self._request("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{quote(place)}", file, headers)

    def _get(self, call: str, query: Mapping[str, str]) -> Any:
        return self._request("GET", f"/api/2.0/mlflow/{call}?{urlencode(query)}", None, {})

    def _post(self, call: str, body: Mapping[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        return self._request("POST", f"/api/2.0/mlflow/{call}", msgspec.json.encode(body), headers)

    def _request(
        self, method: str, path: str, body: bytes | IO[bytes] | None, headers: Mapping[str, str]
    ) -> Any:
        return _parse_answer(self.uri, *self._exchange(method, path, body, headers))

    def _exchange(
        self, method: str, path: str, body: bytes | IO[bytes] | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """Ask, and return the answer's status and content."""
        connection = self._connect()
        try:
            address = self._parts.path.rstrip("/") + path
            connection.request(method, address, body, {**self._headers, **headers})
            with connection.getresponse() as answer:
                return answer.status, answer.read(_LARGEST_ANSWER)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise TrackingError(uri=self.uri, reason=_reason(error, self.timeout_s)) from None
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        return kind(self._parts.hostname or "", self._parts.port, timeout=self.timeout_s)


def _parse_answer(uri: str, status: int, raw: bytes) -> Any:
    """Return the JSON of a good answer; raise TrackingError with the server's own words for a bad one."""
    try:
        content = msgspec.json.decode(raw) if raw else {}
    except msgspec.DecodeError:
        content = None
    if status == 200 and isinstance(content, dict):
        return content
    told = content if isinstance(content, dict) else {}
    words = told.get("message") or raw[:200].decode("utf-8", "replace") or "no content"
    reason = f"it answered {status}: {' '.join(str(words).split())[:300]}"
    raise TrackingError(uri=uri, reason=reason, status=status, error_code=told.get("error_code"))


def _reason(error: Exception, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    return f"no connection: {error or type(error).__name__}"


def _split(uri: str) -> SplitResult:
    try:
        parts = urlsplit(uri)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    except ValueError:  # "http://[", "http://host:port"
        pass
    shown = show_value(uri.rpartition("@")[2])  # whatever stands before may be a password
    reason = "not the address of a tracking server; write http://host:port or https://host"
    raise TrackingError(uri=shown, reason=reason)


def _without_credentials(uri: str) -> str:
    parts = _split(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")


def _metric(metric: Metric) -> dict[str, Any]:
    value: float | str = metric.value
    if math.isnan(metric.value):
        value = "NaN"  # JSON has no such numbers; MLflow reads these words
    elif math.isinf(metric.value):
        value = "Infinity" if metric.value > 0 else "-Infinity"
    return {"key": metric.key, "value": value, "timestamp": metric.timestamp_ms, "step": metric.step}


def _pairs(values: Mapping[str, str], longest: int) -> list[dict[str, str]]:
    return [{"key": key, "value": _shorten(value, longest)} for key, value in values.items()]


def _shorten(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _chunks(items: list[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
