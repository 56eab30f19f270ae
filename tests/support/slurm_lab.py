"""A private real Slurm under one folder, for tests: nothing under /etc/slurm, clients need only SLURM_CONF.

    with SlurmLab() as lab:
        subprocess.run(["sinfo"], env=lab.environ)

Several labs can run at once: each has ports and node names of its own. A guard, a process that waits for the
test's process to end in whatever way, ends everything that carries this lab's SLURM_CONF and removes the
folder. Works as root, with real memory limits where the machine has cgroup v1, and as a user, without.
"""

from __future__ import annotations

import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import slurm_lab_files as files

INSTALL = "apt-get install slurm-wlm slurmctld slurmd munge"
INSTALL_ACCOUNTING = "apt-get install slurmdbd mariadb-server"
_SBIN = "/usr/sbin:/usr/bin:/sbin:/bin"
_CGROUPS = Path("/sys/fs/cgroup/memory")
_UP_S = 60.0
_EVERY_S = 0.05


def wait_until(is_so: Callable[[], bool], what: str, within_s: float = _UP_S) -> None:
    """Look again and again until it is so; fail the test with `what` when it never is."""
    give_up_at = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > give_up_at:
            pytest.fail(f"not within {within_s:.0f} s: {what}")
        time.sleep(_EVERY_S)


class SlurmLab:
    """One cluster of `nodes` emulated nodes; with `accounting`, also MariaDB and slurmdbd."""

    def __init__(self, *, accounting: bool = False, nodes: int = 2) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-lab-"))
        self.folder.chmod(0o755)
        self.accounting = accounting
        self.limits_memory = os.geteuid() == 0 and os.access(_CGROUPS / "cgroup.procs", os.W_OK)
        self.node_names = [f"lab{secrets.token_hex(3)}n{number}" for number in range(1, nodes + 1)]
        self.host = socket.gethostname().split(".")[0]
        self.ports = _free_ports(2 + nodes)
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> SlurmLab:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # What tests need ---------------------------------------------------------------------------------

    @property
    def conf(self) -> Path:
        return self.folder / "etc" / "slurm.conf"

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which Slurm's commands speak to this lab, without what an outer job left."""
        outer = {
            name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH"))
        }
        path = f"{_SBIN}:{outer.get('PATH', '')}"
        return outer | {
            "PATH": path,
            "SLURM_CONF": str(self.conf),
            "MYSQL_UNIX_PORT": str(self.run_folder / "mysql"),
        }

    @property
    def run_folder(self) -> Path:
        return self.folder / "run"

    def run(self, *argv: str) -> str:
        """Run one of Slurm's commands, which must succeed; return what it prints."""
        result = subprocess.run(
            argv, env=self.environ, capture_output=True, text=True, check=False, timeout=60
        )
        assert result.returncode == 0, f"{argv}: {result.stdout}{result.stderr}{self.logs()}"
        return result.stdout

    def logs(self) -> str:
        """Return the last lines of every daemon's log, for a failing test to show."""
        texts = []
        for path in sorted((self.folder / "log").glob("*.log")):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
            texts.append("\n".join([f"--- {path.name}", *lines]))
        return "\n" + "\n".join(texts)

    def state(self, job_id: str) -> str:
        """Return the state of a job that the controller still knows."""
        return self.run("squeue", "-h", "-t", "all", "-j", job_id, "-o", "%T").strip()

    def accounted(self, job_id: str) -> str:
        """Return `state|name` of a job as accounting has it. The end may get there before the name does:
        until then the name is "allocation"."""
        return self.run("sacct", "-n", "-X", "-P", "-o", "State,JobName", "-j", job_id).strip()

    # Trouble -----------------------------------------------------------------------------------------

    @contextmanager
    def frozen(self, daemon: str = "slurmctld") -> Iterator[None]:
        """Let a daemon hang: connections are accepted and never answered."""
        pid = self.daemons[daemon].pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)
            if daemon == "slurmctld":
                wait_until(self.is_up, "slurmctld answers again")

    @contextmanager
    def killed(self, daemon: str = "slurmctld") -> Iterator[None]:
        """Kill a daemon as a crash would, and start it again afterwards."""
        self.kill(daemon)
        try:
            yield
        finally:
            self._start_daemon(daemon)
            wait_until(self.is_ready, f"{daemon} works again")

    @contextmanager
    def stopped(self, daemon: str = "slurmctld") -> Iterator[None]:
        """Stop a daemon properly, so that it saves what it knows, and start it again afterwards."""
        process = self.daemons.pop(daemon)
        process.terminate()
        process.wait()
        try:
            yield
        finally:
            self._start_daemon(daemon)
            wait_until(self.is_ready, f"{daemon} works again")

    @contextmanager
    def forgotten(self) -> Iterator[None]:
        """Let the controller crash afterwards, and forget every job since: it gives their ids out again."""
        saved, state = self.folder / "saved", self.folder / "state"
        with self.stopped():
            shutil.copytree(state, saved)
        try:
            yield
        finally:
            self.kill("slurmctld")
            shutil.rmtree(state)
            saved.rename(state)
            self._start_daemon("slurmctld")
            wait_until(self.is_ready, "slurmctld works again")

    @contextmanager
    def down(self, node: str) -> Iterator[None]:
        """Take a node down, as when it died: its jobs fail by NODE_FAIL, or are requeued."""
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        try:
            yield
        finally:
            # refused where the node came back by itself, as it does when its slurmd registers
            resume = ["scontrol", "update", f"nodename={node}", "state=resume"]
            subprocess.run(resume, env=self.environ, capture_output=True, check=False)
            wait_until(self.is_ready, f"node {node} is back")

    def kill(self, daemon: str) -> None:
        """Kill a daemon by SIGKILL and wait until it is gone."""
        process = self.daemons.pop(daemon)
        process.kill()
        process.wait()

    def is_up(self) -> bool:
        ping = subprocess.run(
            ["scontrol", "ping"], env=self.environ, capture_output=True, text=True, check=False
        )
        return "is UP" in ping.stdout

    def is_ready(self) -> bool:
        """Tell whether the controller answers and every node takes jobs."""
        if not self.is_up():
            return False
        nodes = self.run("sinfo", "-h", "-N", "-t", "idle,mixed,allocated", "-o", "%N").split()
        return set(nodes) == set(self.node_names)

    # Start and stop ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything, in the foreground as children of this process, and wait until jobs can run."""
        self._check_installed()
        for name in ("etc", "run", "log", "state", "spool"):
            (self.folder / name).mkdir(mode=0o755)
        guard = [sys.executable, "-I", files.__file__, str(self.folder), *self.node_names]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)
        files.write_configuration(self)
        self._start_daemon("munged")
        wait_until((self.run_folder / "munge").exists, "munged")
        if self.accounting:
            self._start_accounting()
        self._start_daemon("slurmctld")
        wait_until(self.is_up, "slurmctld")
        if self.accounting and self.user != "root":  # whom slurmdbd knows by itself
            self.run("sacctmgr", "-i", "add", "user", self.user, "account=root")
        for node in self.node_names:
            self._start_daemon(node)
        wait_until(self.is_ready, "the nodes")

    def stop(self) -> None:
        """End everything and remove the folder."""
        for process in self.daemons.values():
            process.kill()
            process.wait()
        self.daemons.clear()
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _check_installed(self) -> None:
        def lacks(*programs: str) -> list[str]:
            return [name for name in programs if shutil.which(name, path=self.environ["PATH"]) is None]

        if missing := lacks("munged", "slurmctld", "slurmd", "sbatch"):
            pytest.fail(f"these tests run a real Slurm, and {', '.join(missing)} is missing: {INSTALL}")
        if self.accounting and (missing := lacks("slurmdbd", "mariadbd", "mariadb-install-db")):
            pytest.fail(
                f"these tests need accounting, and {', '.join(missing)} is missing: {INSTALL_ACCOUNTING}"
            )

    def _start_accounting(self) -> None:
        install = files.mariadb_install_command(self)
        result = subprocess.run(install, env=self.environ, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr + self.logs()
        self._start_daemon("mariadbd")
        socket_path = self.run_folder / "mysql"
        wait_until(socket_path.exists, "mariadbd")
        self._start_daemon("slurmdbd")

        def answers() -> bool:
            clusters = ["sacctmgr", "-n", "show", "cluster"]
            return (
                subprocess.run(clusters, env=self.environ, capture_output=True, check=False).returncode == 0
            )

        wait_until(answers, "slurmdbd")

    def _start_daemon(self, name: str) -> None:
        with (self.folder / "log" / f"{name}.out.log").open("ab") as log:
            self.daemons[name] = subprocess.Popen(
                files.daemon_command(self, name),
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def _free_ports(count: int) -> list[int]:
    """Choose ports that nobody listens on, below those that the kernel gives to outgoing connections."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe:
            if port not in ports and probe.connect_ex(("127.0.0.1", port)) != 0:
                ports.append(port)
    return ports


def main() -> None:
    """Run a lab until standard input ends; print the name of its configuration when it takes jobs."""
    with SlurmLab() as lab:
        print(lab.conf, flush=True)
        sys.stdin.read()


@pytest.fixture(scope="session")
def slurm_lab() -> Iterator[SlurmLab]:
    """A real Slurm without accounting."""
    with SlurmLab() as lab:
        yield lab


@pytest.fixture(scope="session")
def accounting_lab() -> Iterator[SlurmLab]:
    """A real Slurm with accounting."""
    with SlurmLab(accounting=True) as lab:
        yield lab


if __name__ == "__main__":
    main()
