"""`heliograph dashboard`, up to the moment when it serves; what it serves is tested with a browser."""

import socket
import subprocess
import sys

import pytest

from heliograph.cli.main import main
from heliograph.drive import Drive

IMPORT_WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None
from heliograph.cli.main import main
sys.exit(main(["--drive", "/tmp", "dashboard"]))
"""


def test_a_port_that_is_taken_gets_a_sentence(drive: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["--drive", str(drive.root), "dashboard", "--port", port]) == 2
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use" in capsys.readouterr().err


def test_a_host_that_does_not_exist_gets_a_sentence(drive: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--drive", str(drive.root), "dashboard", "--host", "no.such.host.invalid"]) == 2
    assert "cannot listen on no.such.host.invalid" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http", "8 000", "٨"])
def test_what_is_no_port_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--drive", "/tmp", "dashboard", f"--port={port}"])
    assert ended.value.code == 2
    assert "a port is a number from 1 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["fastapi", "uvicorn"])
def test_a_missing_part_is_named_with_the_command_that_installs_it(part: str) -> None:
    command = [sys.executable, "-c", IMPORT_WITHOUT, part]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 7
    assert result.stderr.startswith(f"heliograph: {part} is not installed, and the dashboard needs it.")
    assert "pip install 'heliograph[web]'" in result.stderr


def test_without_a_drive_it_says_what_to_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard"]) == 4
    assert "Give --drive FOLDER" in capsys.readouterr().err
