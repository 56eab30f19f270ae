"""A real MLflow server for the tests of one process, and servers that do not serve."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from heliograph.drive import Drive
from heliograph.mlflow_server import free_port, running_server
from heliograph.state.lease import process_start


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real server with SQLite, on a random port of the loopback."""
    root = tmp_path_factory.mktemp("mlflow")
    drive = Drive(root / "drive")
    drive.state.mkdir(parents=True)
    drive.make_id()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HELIOGRAPH_STATE", str(root / "local"))
        with running_server(drive, free_port(), ready_within_s=180) as uri:
            yield uri


@pytest.fixture
def dead_uri() -> str:
    """The address of a port that nobody listens on."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def hanging_uri() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with hanging_server() as uri:
        yield uri


@contextmanager
def hanging_server() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def is_alive(pid: int) -> bool:
    """Tell whether a process lives; one that only waits to be reaped does not."""
    return process_start(pid) is not None
