"""What every tool is asked in the comparison, and the virtual environment that each gets of its own."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import socket
import subprocess
import time
import venv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from benchmarks.watcher import processes
from heliograph.drive import Drive

log = logging.getLogger(__name__)
_INSTALL_AT_MOST_S = 600


class CannotRun(Exception):
    """This tool cannot be measured here, and why."""


class Tool(Protocol):
    """One tool in one configuration, watching for the signals of some experiments."""

    name: str
    """the tool and the settings that matter"""
    sees: str
    """what it detects, and what was run"""
    spread_s: float
    """signals come at random moments of this length: as long as the tool's own interval"""
    starts_jobs: bool
    """whether it begins the work too, or only sees"""
    depends_on_finished: bool
    """whether the number of finished experiments can matter to it at all"""

    def prepare(self, work: Path) -> None:
        """Install it. Raises CannotRun."""

    def start(self, work: Path, drive: Drive, experiments: list[str]) -> None:
        """Start it and wait until it watches. Raises CannotRun."""

    def pids(self) -> list[int]:
        """Return its processes."""

    def seen(self) -> Mapping[str, float]:
        """Return when it saw each experiment's signal, by the wall clock; empty where it does not tell."""

    def started_jobs(self) -> Mapping[str, float]:
        """Return when the work for each experiment began, by the wall clock; empty where it starts none."""

    def stop(self) -> None:
        """End what `start` started."""


def environment(folder: Path, *packages: str) -> Path:
    """Make a virtual environment with these packages, once; return its folder. Raises CannotRun."""
    done = folder / "installed"
    if done.exists() and done.read_text().split() == list(packages):
        return folder
    log.info("installing %s", " ".join(packages))
    venv.create(folder, with_pip=True, clear=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_AT_MOST_S)
    except subprocess.TimeoutExpired:
        raise CannotRun(f"it was not installed within {_INSTALL_AT_MOST_S} s") from None
    except subprocess.CalledProcessError as error:
        raise CannotRun(f"pip install failed: {error.stderr.strip().splitlines()[-1]}") from None
    done.write_text(" ".join(packages))
    return folder


def version(folder: Path, package: str) -> str:
    """Return the version of a package in a virtual environment."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    told = subprocess.run(
        [str(folder / "bin" / "python"), "-c", code], check=True, capture_output=True, text=True
    )
    return told.stdout.strip()


class Launched:
    """A running tool with all of its processes, also those whose parents have ended: those come to us."""

    def __init__(self, command: list[str], environ: Mapping[str, str], log_file: Path) -> None:
        _take_orphans(True)
        self._others = set(processes.tree(os.getpid()))
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        with log_file.open("wb") as told:
            self._process = subprocess.Popen(
                command, env=kept | dict(environ), stdout=told, stderr=told, cwd=log_file.parent
            )
        self._log_file = log_file

    def pids(self) -> list[int]:
        return [pid for pid in processes.tree(os.getpid()) if pid not in self._others]

    def wait_ready(self, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until it watches. Raises CannotRun when it ends or takes too long."""
        where = f"see {self._log_file.name} in the work folder"
        try:
            processes.wait_for(
                lambda: self._process.poll() is not None or is_ready(), timeout_s, "ready", 0.5
            )
        except TimeoutError as error:
            raise CannotRun(f"{error}; {where}") from None
        if self._process.poll() is not None:
            raise CannotRun(f"it ended with exit code {self._process.returncode}; {where}")

    def stop(self) -> None:
        """End all of it: by SIGTERM, after a while by SIGKILL."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            deadline = time.monotonic() + 15
            while self.pids() and time.monotonic() < deadline:
                self._reap()
                time.sleep(0.2)
        _take_orphans(False)

    def _reap(self) -> None:
        self._process.poll()
        for pid in self.pids():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _take_orphans(wanted: bool) -> None:
    """Have processes of ours whose parents end become our children (prctl, PR_SET_CHILD_SUBREAPER)."""
    ctypes.CDLL(None, use_errno=True).prctl(36, int(wanted), 0, 0, 0)


def moments(file: Path) -> dict[str, float]:
    """Read lines of `TIME NAME`, the first of each name."""
    found: dict[str, float] = {}
    if file.exists():
        for line in file.read_text().splitlines():
            moment, _, name = line.partition(" ")
            found.setdefault(name, float(moment.replace(",", ".")))
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
