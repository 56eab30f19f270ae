"""Starting and stopping the server of a drive."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from heliograph import mlflow_server
from heliograph.drive import Drive
from heliograph.errors import NotADrive, TrackingError
from heliograph.mlflow_server import build_command, build_environment, plan_server, running_server
from support.drives import make_drive
from unit.tracking.server import is_alive


@pytest.fixture
def drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drive:
    monkeypatch.setenv("HELIOGRAPH_STATE", str(tmp_path / "local"))
    return make_drive(tmp_path / "a drive 100%")


def test_the_database_of_a_network_drive_is_kept_here(
    drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plan_server(drive, "127.0.0.1", 5000).database == drive.mlflow_database
    monkeypatch.setattr(Drive, "is_network", lambda self: True)
    plan = plan_server(drive, "127.0.0.1", 5000)
    assert plan.database == tmp_path / "local" / "mlflow" / drive.read_id() / "mlflow.db"
    assert plan.artifacts == drive.mlflow_artifacts


def test_the_command_asks_for_one_worker_and_a_quiet_server(drive: Drive) -> None:
    command = build_command(plan_server(drive, "127.0.0.1", 5001))
    assert command[:4] == [sys.executable, "-m", "mlflow", "server"]
    assert "a%20drive%20100%25/state/mlflow.db" in command[command.index("--backend-store-uri") + 1]
    assert command[-6:] == ["--host", "127.0.0.1", "--port", "5001", "--workers", "1"]
    environment = build_environment({"PATH": "/bin"})
    assert environment == {
        "PATH": "/bin",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def test_no_server_without_a_drive(tmp_path: Path) -> None:
    with pytest.raises(NotADrive), running_server(Drive(tmp_path), 5000):
        pass


def test_a_taken_port_is_told_at_once(drive: Drive) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(TrackingError, match="choose another --port"), running_server(drive, port):
            pass


def test_a_server_that_ends_at_once_is_told_with_its_last_words(
    drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [sys.executable, "-c", "import sys; print('no such dialect'); sys.exit(3)"]
    monkeypatch.setattr(mlflow_server, "build_command", lambda plan: words)
    with (
        pytest.raises(TrackingError, match=r"ended at once with code 3.*no such dialect"),
        running_server(drive, mlflow_server.free_port()),
    ):
        pass


def test_a_server_that_never_answers_is_ended_with_all_its_children(
    drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"echo $$ > '{tmp_path}/pids'; sleep 600 & echo $! >> '{tmp_path}/pids'; wait"
    monkeypatch.setattr(mlflow_server, "build_command", lambda plan: ["sh", "-c", script])
    with (
        pytest.raises(TrackingError, match="does not answer"),
        running_server(drive, mlflow_server.free_port(), ready_within_s=0.5),
    ):
        pass
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    assert not any(is_alive(pid) for pid in pids)


def test_heliograph_mlflow_serves_until_sigterm(drive: Drive, tmp_path: Path) -> None:
    port = mlflow_server.free_port()
    program = (
        "import argparse; from heliograph.cli import mlflow as verb; p = argparse.ArgumentParser();"
        "p.add_argument('--drive'); verb.add_arguments(p); raise SystemExit(verb.run(p.parse_args()))"
    )
    command = [sys.executable, "-c", program, "--drive", str(drive.root), "--port", str(port)]
    with (tmp_path / "output").open("w") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=dict(os.environ))
    try:
        page = wait_for_page(f"http://127.0.0.1:{port}/", server)
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(20)
    assert b"<title>MLflow</title>" in page
    assert code in (0, -signal.SIGTERM)
    said = (tmp_path / "output").read_text()
    assert re.search(rf"database +{re.escape(str(drive.mlflow_database))}\n", said)
    assert f"export MLFLOW_TRACKING_URI=http://127.0.0.1:{port}\n" in said
    assert drive.mlflow_database.is_file()


def wait_for_page(address: str, server: subprocess.Popen[bytes]) -> bytes:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5) as page:
                return bytes(page.read())
        except OSError:
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
