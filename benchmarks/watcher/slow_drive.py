"""A made drive seen over a slow network: sshfs to sftp-server, through a proxy that holds back every byte.

No ssh is in between (sshfs' own option `directport`), so no keys and no server are needed; the file system
calls are the same. The proxy counts SFTP's requests and notes when each passed: that shows what a pass of the
watcher costs without looking into the watcher.
"""

from __future__ import annotations

import collections
import contextlib
import os
import queue
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from benchmarks.watcher.drives import MadeDrive

DELAY_S = 0.0013
"""in each direction: a round trip of 2.6 ms"""
_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server")
_OPTIONS = "dir_cache=no"  # as recommended for a drive that several hosts write
_KINDS = {
    3: "open", 4: "close", 5: "read", 6: "write", 7: "lstat", 8: "fstat", 9: "setstat", 11: "opendir",
    12: "readdir", 13: "remove", 14: "mkdir", 15: "rmdir", 16: "realpath", 17: "stat", 18: "rename",
    200: "extended",
}  # fmt: skip


def missing() -> str | None:
    """Tell what is missing for such a drive; None if nothing is."""
    for program in ("sshfs", "fusermount3"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if not os.access("/dev/fuse", os.W_OK):
        return "/dev/fuse cannot be used"
    return None if _server() else "OpenSSH's sftp-server is not installed"


def _server() -> str | None:
    return next((path for path in _SERVERS if Path(path).exists()), None)


class Request(Struct, frozen=True):
    """One request of the file system to the server."""

    at: float
    kind: str


class Burst(Struct):
    """Requests without a longer silence between them: one pass of the watcher."""

    started: float
    ended: float
    kinds: collections.Counter[str]

    @property
    def seconds(self) -> float:
        return self.ended - self.started

    @property
    def requests(self) -> int:
        return self.kinds.total()


class SlowProxy:
    """Accepts one connection, starts sftp-server behind it, and delays what passes in each direction."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.requests: list[Request] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._pending = b""
        self._server: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # closed before anybody came
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = client
        server = self._server = subprocess.Popen(
            [str(_server())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert server.stdin and server.stdout
        to_server, from_server = server.stdin.fileno(), server.stdout.fileno()
        self._pump(lambda: client.recv(1 << 18), lambda data: _write_all(to_server, data), self._note)
        self._pump(lambda: os.read(from_server, 1 << 18), client.sendall, lambda _: None)

    def _pump(
        self, read: Callable[[], bytes], write: Callable[[bytes], None], note: Callable[[bytes], None]
    ) -> None:
        held: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

        def take() -> None:
            with contextlib.suppress(OSError):
                while data := read():
                    held.put((time.monotonic() + self.delay_s, data))
                    note(data)
            held.put((0.0, b""))

        def give() -> None:
            with contextlib.suppress(OSError):
                while True:
                    moment, data = held.get()
                    if not data:
                        return
                    time.sleep(max(0.0, moment - time.monotonic()))
                    write(data)

        self._start(take)
        self._start(give)

    def _note(self, data: bytes) -> None:
        """Find the requests in the stream: each is its length in four bytes, its type, and the rest."""
        self._pending += data
        while len(self._pending) >= 5:
            length, kind = struct.unpack(">IB", self._pending[:5])
            if len(self._pending) < 4 + length:
                return
            self.requests.append(Request(time.monotonic(), _KINDS.get(kind, str(kind))))
            self._pending = self._pending[4 + length :]

    def bursts(self, since: float, silence_s: float = 0.25) -> list[Burst]:
        """Return what passed since a moment, cut where nothing passed for a while."""
        found: list[Burst] = []
        for request in [one for one in self.requests if one.at >= since]:
            end = request.at + 2 * self.delay_s
            if found and request.at - found[-1].ended < silence_s:
                found[-1].ended = end
                found[-1].kinds[request.kind] += 1
            else:
                found.append(Burst(request.at, end, collections.Counter([request.kind])))
        return found

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes whoever waits in accept
        self._listener.close()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            for thread in self._threads:
                thread.join(timeout=5)
            for pipe in (self._server.stdin, self._server.stdout):
                if pipe is not None:
                    pipe.close()


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def round_trip_s(folder: Path, tries: int = 30) -> float:
    """Measure the round trip of a mounted drive: the median of a look for names that nobody has."""
    times = []
    for number in range(tries):
        started = time.monotonic()
        (folder / f".nobody-{number}-{time.monotonic_ns()}").exists()
        times.append(time.monotonic() - started)
    return sorted(times)[tries // 2]


@contextlib.contextmanager
def slow(made: MadeDrive, delay_s: float = DELAY_S) -> Iterator[SlowProxy]:
    """Put a made drive behind a slow network, under the very path that it has."""
    root = made.drive.root
    stored = made.stored
    root.rename(stored)
    root.mkdir()
    proxy = SlowProxy(delay_s)
    try:
        command = ["sshfs", "-o", f"directport={proxy.port},{_OPTIONS}", f"localhost:{stored}", str(root)]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        yield proxy
    finally:
        proxy.close()
        made.put_back()
