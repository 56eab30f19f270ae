"""The MLflow server of a drive: what it is started with, and starting it for a while.

MLflow's own defaults would run 14 processes with 3.2 GB; one worker and no job runner make it two with half
a GB. Its database is `state/mlflow.db` on a drive that is local. On a network drive it stands in the local
state folder instead, because MLflow's locks do not keep a second host's server out of a shared file; then
`state/mlflow.db` does not exist on the drive. Artifacts are always on the drive and always go through the
server, so that a client needs nothing but its address.

There is no login: the server listens on 127.0.0.1 unless told otherwise.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from heliograph.config import local_state_folder
from heliograph.drive import Drive
from heliograph.errors import MissingPart, TrackingError
from heliograph.tracking import Mlflow

DEFAULT_PORT = 5000
_LOOK_EVERY_S = 0.1
_STOP_WITHIN_S = 10.0


class ServerPlan(Struct, frozen=True):
    """Where one server keeps its things and where it listens."""

    database: Path
    artifacts: Path
    log: Path
    host: str
    port: int

    @property
    def uri(self) -> str:
        """The address for a client on this machine."""
        return f"http://{'127.0.0.1' if self.host == '0.0.0.0' else self.host}:{self.port}"  # noqa: S104


def plan_server(drive: Drive, host: str, port: int) -> ServerPlan:
    """Choose where the server of a drive keeps its database and log. Raises NotADrive."""
    home = local_state_folder(None) / "mlflow" / drive.read_id()
    database = home / "mlflow.db" if drive.is_network() else drive.mlflow_database
    return ServerPlan(database, drive.mlflow_artifacts, home / "server.log", host, port)


def build_command(plan: ServerPlan) -> list[str]:
    """Build the argument list that starts the server. MLflow decodes percent signs in both addresses."""
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", f"sqlite:///{quote(str(plan.database))}"),
        *("--serve-artifacts", "--artifacts-destination", plan.artifacts.as_uri()),
        *("--host", plan.host, "--port", str(plan.port), "--workers", "1"),
    ]


def build_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that the server is started with."""
    off = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {**environ, **off}


def check_startable(plan: ServerPlan) -> None:
    """Make the folders. Raises MissingPart without MLflow, TrackingError where the port is taken."""
    try:
        metadata.version("mlflow")
    except metadata.PackageNotFoundError:
        remedy = "Install it: pip install 'heliograph[mlflow]'"
        raise MissingPart(part="MLflow", needed_for="its server", remedy=remedy) from None
    try:
        with socket.create_server((plan.host, plan.port)):
            pass
    except OSError as error:
        reason = f"it cannot be started there ({error.strerror}); choose another --port or --host"
        raise TrackingError(uri=plan.uri, reason=reason) from None
    for folder in (plan.database.parent, plan.log.parent, plan.artifacts):
        folder.mkdir(parents=True, exist_ok=True)


def free_port(wanted: int = 0) -> int:
    """Return a port of 127.0.0.1 that nobody used a moment ago: the wanted one, where it is free."""
    try:
        with socket.create_server(("127.0.0.1", wanted)) as listener:
            return int(listener.getsockname()[1])
    except OSError:
        return free_port()


@contextmanager
def running_server(drive: Drive, port: int, *, ready_within_s: float = 60.0) -> Iterator[str]:
    """Run the drive's server on 127.0.0.1 as long as the body runs; gives its address once it answers.

    Raises TrackingError, with the end of its log, when it ends or does not answer in time.
    """
    plan = plan_server(drive, "127.0.0.1", port)
    check_startable(plan)
    with plan.log.open("wb") as log:
        process = subprocess.Popen(
            build_command(plan),
            env=build_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a process group of its own: it is ended as a whole, and nothing else is
        )
    try:
        _wait_until_ready(plan, process, time.monotonic() + ready_within_s)
        yield plan.uri
    finally:
        _stop(process)


def _wait_until_ready(plan: ServerPlan, process: subprocess.Popen[bytes], deadline: float) -> None:
    client = Mlflow(plan.uri, timeout_s=1.0)
    while not client.is_healthy():
        code = process.poll()
        if code is not None or time.monotonic() > deadline:
            how = "does not answer" if code is None else f"ended at once with code {code}"
            raise TrackingError(uri=plan.uri, reason=f"it {how}; {plan.log} ends with: {_tail(plan.log)}")
        time.sleep(_LOOK_EVERY_S)


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return " | ".join(line.strip() for line in lines[-3:]) or "(nothing)"


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(_STOP_WITHIN_S)
        except ProcessLookupError:  # the whole group has ended
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()
