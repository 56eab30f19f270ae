"""A real network drive for tests: a private sshd on the loopback device, and sshfs mounts of one folder.

    with SshfsLab(tmp_path) as lab:
        here, there = lab.mount("here"), lab.mount("there", options="reconnect")

Every mount is a host of its own as far as caches go: its sshfs, ssh and sftp-server are its own. Needs root
(sshd separates privileges), /dev/fuse, and the packages of docs/install.md.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

TUNED = "reconnect,dir_cache=no,ServerAliveInterval=5,ServerAliveCountMax=2,ConnectTimeout=5"
_SSHD = "/usr/sbin/sshd"
_SFTP_SERVER = Path("/usr/lib/openssh/sftp-server")
_UP_S = 20.0
_EVERY_S = 0.05
_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/user_key.pub
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp {sftp_server}
"""


def why_not() -> str | None:
    """Return why no such drive can be made on this machine, None where one can."""
    if os.geteuid() != 0:
        return "a private sshd and FUSE mounts need root"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse to mount with"
    return None


class SshfsLab:
    """A private sshd whose folder `export` is mounted as often as one likes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.export = folder / "export"
        self.port = 0
        self._sshd: subprocess.Popen[bytes] | None = None
        self._mounts: dict[Path, subprocess.Popen[bytes]] = {}
        self._servers_of: dict[Path, set[int]] = {}

    def __enter__(self) -> SshfsLab:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for point in list(self._mounts):
            self.unmount(point)
        if self._sshd is not None:
            self._sshd.kill()
            self._sshd.wait()

    def _start(self) -> None:
        for program in ("sshfs", "ssh", "ssh-keygen", "fusermount3", _SSHD):
            if shutil.which(program) is None:
                pytest.fail(f"these tests mount a real network drive, and {program} is missing")
        self.export.mkdir(parents=True)
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd, not told otherwise, locks itself up
        for name in ("host_key", "user_key"):
            make_key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
            subprocess.run(make_key, check=True)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        config = self.folder / "sshd_config"
        config.write_text(_CONFIG.format(port=self.port, folder=self.folder, sftp_server=_SFTP_SERVER))
        with (self.folder / "sshd.log").open("wb") as log:
            self._sshd = subprocess.Popen([_SSHD, "-f", str(config), "-D", "-e"], stderr=log)
        _wait(self._listens, "sshd listens")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def mount(self, name: str, options: str = TUNED) -> Path:
        """Mount the folder once more; return where."""
        point = self.folder / name
        point.mkdir()
        key = f"port={self.port},IdentityFile={self.folder}/user_key"
        trust = "StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null"
        words = ",".join(word for word in (key, trust, options) if word)
        source, before = f"root@127.0.0.1:{self.export}", self._servers()
        self._mounts[point] = subprocess.Popen(
            ["sshfs", "-f", source, str(point), "-o", words], stderr=subprocess.DEVNULL
        )
        _wait(lambda: os.path.ismount(point), f"{point} is mounted")
        self._servers_of[point] = self._servers() - before
        return point

    def unmount(self, point: Path) -> None:
        """Unmount, whatever hangs on it: the connection is ended first, so that nothing waits for it."""
        process = self._mounts.pop(point)
        for pid in self._servers_of.pop(point, set()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()
        subprocess.run(["umount", "-l", str(point)], capture_output=True, check=False)

    @contextmanager
    def frozen(self, point: Path) -> Iterator[None]:
        """Let the server of a mount hang: it is connected, and answers nothing."""
        pids = self._servers_of[point]
        assert pids, "no sftp-server of this mount was found"
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def _servers(self) -> set[int]:
        """Return every sftp-server of our sshd: told by what sshd puts into its environment."""
        found = set()
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:  # it has ended
                continue
            ours = any(w.startswith(b"SSH_CONNECTION=") and w.endswith(b" %d" % self.port) for w in words)
            if ours:
                found.add(int(path.parent.name))
        return found


def _wait(is_so: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + _UP_S
    while not is_so():
        if time.monotonic() > give_up_at:
            pytest.fail(f"not within {_UP_S:.0f} s: {what}")
        time.sleep(_EVERY_S)


@pytest.fixture
def sshfs_lab(tmp_path: Path) -> Iterator[SshfsLab]:
    """A private sshd to mount from. Skipped, visibly, where root or FUSE is missing."""
    if reason := why_not():
        pytest.skip(reason)
    with SshfsLab(tmp_path / "sshfs") as lab:
        yield lab
