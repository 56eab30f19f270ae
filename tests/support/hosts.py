"""Three hosts and a file server on one machine, for tests: real network namespaces, a real sshd, real sshfs.

    with HostLab(TUNED) as lab:
        lab.wild_west.heliograph("train", "--config", "e1.yaml")
        with lab.ssrde.cut():
            …

Each host has a network, a name and mounts of its own; a switch joins them. What a host has for itself stands
below `lab.here` on that host, and below `host.own` as the test sees it:

    here/drive    where the shared drive is mounted; without the mount an empty local folder
    here/state    HELIOGRAPH_STATE
    here/store    on the file server: the disk (a tmpfs) behind the drive

A guard waits for the test's process to end in whatever way, then ends every process of the lab. Mounts are
seen by their host only and go with it. The test itself never touches a mount that may hang.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from heliograph.drive import Drive
from support import hosts_files as files

INSTALL = "apt-get install sshfs fuse3 openssh-server openssh-client iproute2"
_PROGRAMS = ("ip", "nsenter", "unshare", "sshfs", "sshd", "ssh", "ssh-keygen", "mount", "umount")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_STORE_MB = 256

DEFAULT: tuple[str, ...] = ()
"""sshfs as it comes: listings are cached for 20 s, and a dead server hangs whoever asks it"""
TUNED = (
    *("reconnect", "dir_cache=no"),
    *("ServerAliveInterval=5", "ServerAliveCountMax=2", "ConnectTimeout=5"),
)
"""the options that we recommend"""
HANGING = ("dir_cache=no",)
"""listings are fresh, and a dead server hangs whoever asks it"""
BRISK = (
    *("reconnect", "dir_cache=no"),
    *("ServerAliveInterval=1", "ServerAliveCountMax=2", "ConnectTimeout=2"),
)
"""the same, but a dead server is given up after 3 s, so that a test of that does not take half a minute"""


class Host:
    """One host of a lab: a process that holds its namespaces, and everything that is started in them."""

    def __init__(self, lab: HostLab, name: str, address: str) -> None:
        self.lab, self.name, self.address = lab, name, address
        self.own = lab.folder / name
        self.options: tuple[str, ...] = ()
        self._started: list[subprocess.Popen[str]] = []
        (self.own / "drive").mkdir(parents=True)
        (self.own / "state").mkdir()
        argv = ["unshare", "--net", "--uts", "--mount", "--propagation", "private"]
        argv += ["sh", "-c", files.HOLDER, "sh", name, str(lab.folder)]
        self.holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environ())
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == b"ready\n", f"host {name} could not be made"

    @property
    def pid(self) -> int:
        """The process that holds the namespaces (unshare becomes what it runs)."""
        return self.holder.pid

    @property
    def environ(self) -> dict[str, str]:
        """The environment of whoever works on this host."""
        here = self.lab.here
        return _environ() | {"SHARED_DRIVE": str(here / "drive"), "HELIOGRAPH_STATE": str(here / "state")}

    def reap(self) -> None:
        """Take leave of every process that was started here; the guard has ended them."""
        self.holder.kill()
        for process in (self.holder, *self._started):
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
            process.wait(timeout=30)

    # Commands ----------------------------------------------------------------------------------------

    def start(
        self, *argv: str | Path, env: Mapping[str, str] | None = None, **how: Any
    ) -> subprocess.Popen[str]:
        """Start a command on this host. The pid is the command's own."""
        enter = ["nsenter", "--target", str(self.pid), "--net", "--uts", "--mount", "--"]
        words = [*enter, *map(str, argv)]
        how = {"stdin": subprocess.DEVNULL, "cwd": "/"} | how
        process = subprocess.Popen(words, env=self.environ | dict(env or {}), text=True, **how)
        self._started.append(process)
        return process

    def run(
        self,
        *argv: str | Path,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout_s: float = 100,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on this host to its end."""
        process = self.start(*argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            output, errors = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()  # not waited for: it may hang in the drive
            pytest.fail(f"{self.name}: not within {timeout_s:.0f} s: {argv}{self.lab.logs()}")
        if check and process.returncode != 0:
            pytest.fail(
                f"{self.name}: {argv} ended with {process.returncode}\n{output}\n{errors}{self.lab.logs()}"
            )
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def heliograph(self, *words: str, **how: Any) -> subprocess.CompletedProcess[str]:
        """Run a command of heliograph on this host."""
        return self.run(sys.executable, "-m", "heliograph", *words, **how)

    def python(self, code: str, *words: str, **how: Any) -> subprocess.CompletedProcess[str]:
        """Run Python code on this host; what the tests support is importable."""
        return self.run(sys.executable, "-c", code, *words, **how)

    @contextmanager
    def serving(self, log: str = "watch", **how: Any) -> Iterator[subprocess.Popen[str]]:
        """Run `heliograph watch` on this host; what it says goes to `own/LOG.log`."""
        with self.log(log).open("a") as file:
            watch = self.start(sys.executable, "-m", "heliograph", "watch", stderr=file, stdout=file, **how)
        try:
            yield watch
        finally:
            watch.kill()

    def log(self, name: str = "watch") -> Path:
        return self.own / f"{name}.log"

    # The drive ---------------------------------------------------------------------------------------

    def mount(self, *options: str) -> None:
        """Mount the shared drive, by default with the options that it had before."""
        self.options = options or self.options
        source = f"nas:{self.lab.here}/store"
        argv = [
            "sshfs",
            "-f",
            source,
            str(self.lab.here / "drive"),
            "-F",
            str(self.lab.folder / "ssh_config"),
        ]
        for option in self.options:
            argv += ["-o", option]
        with self.log("sshfs").open("a") as file:
            self.start(*argv, stdout=file, stderr=file)
        self.lab.wait_until(self.is_mounted, f"the drive is mounted on {self.name}")

    def is_mounted(self) -> bool:
        """Look into this host's mount table, which never touches the drive."""
        table = Path(f"/proc/{self.pid}/mountinfo").read_text()
        return any(f" {self.lab.here}/drive " in line and "fuse.sshfs" in line for line in table.splitlines())

    def unmount(self) -> None:
        """Take the mount away, as when sshfs ended: an empty local folder is left."""
        self.run("umount", "--lazy", self.lab.here / "drive")

    @contextmanager
    def unmounted(self) -> Iterator[None]:
        self.unmount()
        try:
            yield
        finally:
            self.mount()

    @contextmanager
    def read_only(self, name: str = "drive") -> Iterator[None]:
        """Let this host's mount be read-only for a while, once nobody has a file open there to write."""
        remount = ["mount", "-o", "remount,bind,ro", f"{self.lab.here}/{name}"]
        self.lab.wait_until(lambda: self.run(*remount, check=False).returncode == 0, "nobody writes there")
        try:
            yield
        finally:
            self.run("mount", "-o", "remount,bind,rw", f"{self.lab.here}/{name}")

    # The link ----------------------------------------------------------------------------------------

    def pull(self) -> None:
        """Pull the cable."""
        self.lab.switch.run("ip", "link", "set", self.port, "down")

    def plug(self) -> None:
        """Plug the cable in again."""
        self.lab.switch.run("ip", "link", "set", self.port, "up")

    @contextmanager
    def cut(self) -> Iterator[None]:
        self.pull()
        try:
            yield
        finally:
            self.plug()

    def delay(self, milliseconds: float) -> bool:
        """Let everything get here that much later; tell whether this kernel can do so."""
        netem = ["tc", "qdisc", "replace", "dev", self.port, "root", "netem", "delay", f"{milliseconds}ms"]
        return self.lab.switch.run(*netem, check=False).returncode == 0

    @property
    def port(self) -> str:
        """The switch's end of this host's cable; an interface's name has at most 15 letters."""
        return f"to-{self.name}"[:15]

    # Processes ---------------------------------------------------------------------------------------

    def pids(self) -> list[int]:
        """List the processes of this host, without the one that holds it."""
        namespace = files.namespace_of(self.pid)
        assert namespace is not None
        return [pid for pid in files.members({namespace}) if pid != self.pid]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let all that runs here hang: connections stay, and nothing is answered."""
        pids = self.pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


class HostLab:
    """wild_west, SSRDE and monitoring, with one drive of a file server between them."""

    def __init__(self, *options: str) -> None:
        self.options = options
        self.folder = Path(tempfile.mkdtemp(prefix="host-lab-"))
        self.here = self.folder / "here"
        self._guard: subprocess.Popen[bytes] | None = None
        self._hosts: list[Host] = []

    def __enter__(self) -> HostLab:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Make the hosts, join them, start the file server, mount its drive everywhere."""
        if reason := why_not():
            pytest.skip(reason)
        if lacking := [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]:
            pytest.fail(f"these tests make hosts, and {', '.join(lacking)} is missing: {INSTALL}")
        self.here.mkdir()
        names = ("switch", "nas", "wild_west", "SSRDE", "monitoring")
        for number, name in enumerate(names):
            self._hosts.append(Host(self, name, f"{files.NETWORK}.{number}"))
        self.switch, self.nas, self.wild_west, self.ssrde, self.monitoring = self._hosts
        self._start_guard()
        self._join()
        files.write_ssh_configuration(self.folder, self.nas.address)
        self._serve()
        for host in self.hosts:
            host.mount(*self.options)

    def stop(self) -> None:
        """End everything and remove the folder."""
        if self._guard is not None:
            self._guard.communicate()
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        for host in self._hosts:
            host.reap()
        self._hosts.clear()

    @property
    def hosts(self) -> tuple[Host, Host, Host]:
        """The three hosts that use the drive."""
        return self.wild_west, self.ssrde, self.monitoring

    @property
    def store(self) -> Path:
        """The drive's files as the server's own disk has them: the truth, which no mount can hide."""
        return Path(f"/proc/{self.nas.pid}/root{self.here}/store")

    @property
    def drive(self) -> Drive:
        """The drive as it stands on the server."""
        return Drive(self.store)

    @contextmanager
    def full(self) -> Iterator[None]:
        """Let the server's disk be full."""
        filler = self.store / ".filler"
        with filler.open("wb") as file:
            offset, size = 0, _STORE_MB << 20
            while size >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), offset, size)
                    offset += size
                except OSError:
                    size //= 2
        try:
            yield
        finally:
            filler.unlink()

    def read_only(self) -> AbstractContextManager[None]:
        """Let the server's disk be read-only, as Linux makes it after an error of the disk."""
        return self.nas.read_only("store")

    def wait_until(
        self, is_so: Callable[[], bool], what: str, within_s: float = 60, every_s: float = 0.05
    ) -> None:
        """Look again and again until it is so; fail the test with `what` and all logs when it never is."""
        give_up_at = time.monotonic() + within_s
        while not is_so():
            if time.monotonic() > give_up_at:
                pytest.fail(f"not within {within_s:.0f} s: {what}{self.logs()}")
            time.sleep(every_s)

    def logs(self) -> str:
        """Return the last lines of every log, for a failing test to show."""
        texts = []
        for path in sorted(self.folder.glob("*/*.log")):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
            texts.append("\n".join([f"--- {path.parent.name} {path.name}", *lines]))
        return "\n" + "\n".join(texts)

    def _start_guard(self) -> None:
        argv = [sys.executable, "-I", files.__file__, str(self.folder), *(str(h.pid) for h in self._hosts)]
        guard = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        self._guard = guard
        assert guard.stdout is not None
        with guard.stdout:
            assert guard.stdout.readline() == b"ready\n", "the guard does not run"

    def _join(self) -> None:
        """Plug every host into the switch."""
        self.switch.run("ip", "link", "add", "br0", "type", "bridge")
        self.switch.run("ip", "link", "set", "br0", "up")
        for host in self._hosts[1:]:
            peer = ["peer", "name", "eth0", "netns", str(host.pid)]
            self.switch.run("ip", "link", "add", host.port, "type", "veth", *peer)
            self.switch.run("ip", "link", "set", host.port, "master", "br0", "up")
            host.run("ip", "address", "add", f"{host.address}/24", "dev", "eth0")
            host.run("ip", "link", "set", "eth0", "up")

    def _serve(self) -> None:
        (self.nas.own / "store").mkdir()
        store = self.here / "store"
        self.nas.run("mount", "-t", "tmpfs", "-o", f"size={_STORE_MB}m,mode=755", "tmpfs", store)
        sshd = shutil.which("sshd", path=_PATH)
        assert sshd is not None
        with self.nas.log("sshd").open("w") as file:
            self.nas.start("sh", "-c", files.SERVE, sshd, self.folder / "sshd_config", stderr=file)
        self.wait_until(lambda: "Server listening" in self.nas.log("sshd").read_text(), "sshd listens")


def _environ() -> dict[str, str]:
    """The test's own environment, without what it says of drives, with the tests' support to import."""
    own = ("SHARED_DRIVE", "WATCHER_CONFIG", "MLFLOW_TRACKING_URI", "HELIOGRAPH_STATE")
    outer = {name: value for name, value in os.environ.items() if name not in own}
    modules = f"{Path(__file__).parents[1]}:{outer.get('PYTHONPATH', '')}".rstrip(":")
    return outer | {"PATH": f"{_PATH}:{outer.get('PATH', '')}", "PYTHONPATH": modules}


def why_not() -> str | None:
    """Return what keeps hosts from being made here and cannot be installed; None if nothing does."""
    if os.geteuid() != 0:
        return "hosts are network namespaces and mounts, which only root can make"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"sshfs needs FUSE: {error}"
    probe = (
        "ip link add br0 type bridge && ip link add p0 type veth peer name p1 && mount -t tmpfs tmpfs /mnt"
    )
    argv = ["unshare", "--net", "--uts", "--mount", "sh", "-c", probe]
    done = subprocess.run(argv, env=_environ(), capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"no namespaces, bridges or mounts here: {done.stderr.strip()}"
