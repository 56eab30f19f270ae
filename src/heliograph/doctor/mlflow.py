"""MLflow: is an address configured, and does a server answer there?"""

from __future__ import annotations

import os

from heliograph.config import load_watcher_config
from heliograph.doctor.finding import Area, Context, Finding, Step
from heliograph.drive import Drive
from heliograph.errors import TrackingError
from heliograph.tracking import Mlflow

AREA = Area("mlflow")
_TIMEOUT_S = 5.0
_VARIABLE = "MLFLOW_TRACKING_URI"


def steps(context: Context) -> list[Step]:
    return [Step("server", lambda: _look_at_server(Drive(context.drive)))]


def _look_at_server(drive: Drive) -> list[Finding]:
    """Ask the address that holds on this host: training takes the environment's, the watcher its file's."""
    configured = load_watcher_config(drive, {}).mlflow_tracking_uri
    uri = os.environ.get(_VARIABLE) or configured
    if uri is None:
        return [judge_unset()]
    found = judge_addresses(os.environ.get(_VARIABLE), configured)
    try:
        client = Mlflow(uri, timeout_s=_TIMEOUT_S)
        return [*found, judge_server(client.uri, client.version(), None)]
    except TrackingError as error:
        return [*found, judge_server(str(error.facts["uri"]), None, str(error.facts["reason"]))]


def judge_unset() -> Finding:
    told = "no address is configured, so no run is tracked"
    return AREA.skipped("server", told, f"export {_VARIABLE}=http://monitoring-server:5000")


def judge_addresses(environment: str | None, configured: str | None) -> list[Finding]:
    """Two addresses mean two places to look for the runs of one experiment."""
    if environment and configured and environment.rstrip("/") != configured.rstrip("/"):
        told = f"config/watcher.yaml names another server than {_VARIABLE}: runs would be told to both, apart"
        return [AREA.warn("address", told, f"unset {_VARIABLE}   # or set it to the same address")]
    return []


def judge_server(uri: str, version: str | None, reason: str | None) -> Finding:
    if version is not None:
        return AREA.ok("server", f"{uri} answers, version {version}")
    told = f"{uri}: {reason}; stages go on without it, and their runs are told later or not at all"
    return AREA.warn("server", told, "heliograph mlflow   # on the monitoring server")
