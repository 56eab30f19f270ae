"""The guard: runs the watcher's hands in a child process, and never waits for them longer than a moment.

A call that hangs on a dead network drive cannot be ended, not even by SIGKILL. So the child may hang; the
watcher asks, waits a little, goes on, and asks again. There is never more than one child: one that stays
silent for long is killed and, once it is really gone, replaced.

Parent and child speak over a socket: a length, then a pickle of this module's own making.
"""

from __future__ import annotations

import logging
import os
import pickle
import select
import socket
import struct
import subprocess
import sys
import time
from datetime import datetime
from typing import Any

from msgspec import Struct

from heliograph.drive import Drive
from heliograph.errors import DriveBusy, DriveUnavailable
from heliograph.watcher.hands import Hands, HandsSetup
from heliograph.watcher.orders import LookOrder, Seen, TellOrder, Told

log = logging.getLogger(__name__)
_LENGTH = struct.Struct("!Q")
_CHUNK = 1 << 18
_MAIN = "from heliograph.watcher.guard import main; main()"


class Record(Struct, frozen=True):
    """A log record of the child."""

    name: str
    level: int
    text: str


class Reply(Struct, frozen=True):
    """What the child answers: a value or an error, and what it logged meanwhile."""

    value: Any = None
    error: Exception | None = None
    records: list[Record] = []


class Asked(Struct):
    """A question that the child has not answered yet."""

    method: str
    at: float


class Guard:
    """Hands in a guarded child. Every call raises DriveBusy while the answer is not there after `wait_s`;
    the next call of the same method then waits for that same answer."""

    def __init__(
        self,
        setup: HandsSetup,
        *,
        wait_s: float = 0.8,
        ill_after_s: float = 5.0,
        give_up_after_s: float = 60.0,
        argv: tuple[str, ...] = (sys.executable, "-c", _MAIN),
    ) -> None:
        self._setup = setup
        self._argv = argv
        self._root = Drive(setup.root).root
        self._wait_s = wait_s
        self._ill_after_s = ill_after_s
        self._give_up_after_s = give_up_after_s
        self._child: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._asked: Asked | None = None
        self._received = bytearray()
        self._killed = False
        self._term = 0
        """of the lease, once it is taken: a child that replaces another goes on under it"""

    # what the hands can do

    def take_lease(self, now: datetime, wait_s: float) -> int:
        self._term = int(self._call("take_lease", now, wait_s))
        return self._term

    def release_lease(self) -> None:
        self._call("release_lease")

    def look(self, order: LookOrder) -> Seen:
        seen = self._call("look", order)
        assert isinstance(seen, Seen)  # noqa: S101 - for the type checker
        return seen

    def tell(self, order: TellOrder) -> Told:
        """Write down an order. After DriveBusy the same order has to be given again."""
        told = self._call("tell", order)
        assert isinstance(told, Told)  # noqa: S101 - for the type checker
        return told

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._child.pid if self._child else None

    # asking

    def _call(self, method: str, *args: Any) -> Any:
        deadline = time.monotonic() + self._wait_s
        try:
            if self._asked is None:
                self._start_child()
                self._send(pickle.dumps((method, args)), deadline)
                self._asked = Asked(method, time.monotonic())
            elif self._asked.method != method:
                raise self._unavailable(f"it still has to answer to an earlier call ({self._asked.method})")
            reply = self._receive(deadline)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            self._drop_child()
            raise self._unavailable(
                f"the process that reads and writes it has ended ({error!r}); another one is started"
            ) from None
        self._asked = None
        for record in reply.records:
            logging.getLogger(record.name).log(record.level, "%s", record.text)
        if reply.error is not None:
            raise reply.error
        return reply.value

    def _receive(self, deadline: float) -> Reply:
        """Return the reply. Raises DriveBusy when it is not there at the deadline."""
        while (content := self._whole_reply()) is None:
            left = deadline - time.monotonic()
            if left <= 0 or self._socket is None:
                raise self._overdue()
            readable, _, _ = select.select([self._socket], [], [], left)
            if readable:
                chunk = self._socket.recv(_CHUNK)
                if not chunk:
                    raise EOFError("end of file")
                self._received += chunk
        reply = pickle.loads(content)  # noqa: S301 - our own child's
        assert isinstance(reply, Reply)  # noqa: S101 - for the type checker
        return reply

    def _whole_reply(self) -> bytes | None:
        if len(self._received) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._received)
        if len(self._received) < _LENGTH.size + length:
            return None
        content = bytes(self._received[_LENGTH.size : _LENGTH.size + length])
        self._received.clear()
        return content

    def _overdue(self) -> DriveUnavailable:
        """Return what to say of an answer that is late; kill a child that is silent for long."""
        silent_s = time.monotonic() - (self._asked.at if self._asked else time.monotonic())
        if silent_s < self._ill_after_s:
            return DriveBusy(folder=self._root, reason=f"no answer for {silent_s:.1f} s")
        if silent_s > self._give_up_after_s:
            self._drop_child()
        return self._unavailable(f"no answer for more than {self._ill_after_s:.0f} s")

    def _unavailable(self, reason: str) -> DriveUnavailable:
        return DriveUnavailable(folder=self._root, reason=reason)

    def _send(self, content: bytes, deadline: float) -> None:
        if self._socket is None:
            raise EOFError("no child")
        self._socket.settimeout(max(0.05, deadline - time.monotonic()) + self._ill_after_s)
        self._socket.sendall(_LENGTH.pack(len(content)) + content)
        self._socket.settimeout(None)

    # the child

    def _start_child(self) -> None:
        """Start a child unless one lives. Raises DriveUnavailable while a killed one is not gone yet."""
        if self._child is not None and self._killed:
            try:
                self._child.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                told = f"process {self._child.pid} hangs in a call on it, even killed"
                raise self._unavailable(told) from None
        if self._child is not None and self._child.poll() is None:
            return
        if self._socket is not None:  # that of a child which has ended by itself
            self._socket.close()
        ours, theirs = socket.socketpair()
        with theirs:
            self._child = subprocess.Popen(
                self._argv,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the watcher, which tells the child when to go
            )
        self._socket, self._killed = ours, False
        self._received.clear()
        content = pickle.dumps((self._setup, logging.getLogger().level, self._term))
        ours.sendall(_LENGTH.pack(len(content)) + content)

    def _drop_child(self) -> None:
        """Kill the child, and never wait for it: in a hung call it does not even hear SIGKILL."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._asked = None
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._killed = True

    def close(self) -> None:
        """Let the child go: it ends when its socket does; one that hangs ends when the drive is back."""
        self._drop_child()
        if self._child is not None:
            try:
                self._child.wait(timeout=1.0)
            except subprocess.TimeoutExpired:
                self._child.returncode = -9  # nobody waits for it any more, at the interpreter's end either


# The child's side -----------------------------------------------------------------------------------------


class _Collector(logging.Handler):
    """Keeps log records until the next reply: the watcher's log is the parent's to write."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Record] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        self.records.append(Record(record.name, record.levelno, text))

    def take(self) -> list[Record]:
        taken, self.records = self.records, []
        return taken


def main() -> None:
    """Serve the parent at the other end of standard input, until it is gone."""
    from heliograph.stages.builtin import STAGES

    with socket.socket(fileno=os.dup(0)) as parent:
        try:
            setup, level, term = pickle.loads(_read_message(parent))  # noqa: S301 - our own parent's
            collector = _Collector()
            logging.basicConfig(level=level, handlers=[collector], force=True)
            stages = tuple(stage for stage in STAGES if stage.name in setup.stages)
            hands = Hands(setup, stages)
            if term:
                hands.keep_lease(term)
            serve(parent, hands, collector)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return  # the watcher has ended


def serve(parent: socket.socket, hands: Hands, collector: _Collector) -> None:
    """Answer one question after the other. Raises EOFError when the parent is gone."""
    while True:
        method, args = pickle.loads(_read_message(parent))  # noqa: S301 - our own parent's
        value, error = None, None
        try:
            value = getattr(hands, method)(*args)
        except Exception as raised:  # noqa: BLE001 - told to the parent, which decides
            error = raised
        parent.sendall(_encode(Reply(value, error, collector.take())))


def _encode(reply: Reply) -> bytes:
    try:
        content = pickle.dumps(reply)
    except Exception:  # noqa: BLE001 - an error that cannot be pickled: its words will do
        content = pickle.dumps(Reply(None, RuntimeError(repr(reply.error)), reply.records))
    return _LENGTH.pack(len(content)) + content


def _read_message(sock: socket.socket) -> bytes:
    (length,) = _LENGTH.unpack(_read_exactly(sock, _LENGTH.size))
    return _read_exactly(sock, length)


def _read_exactly(sock: socket.socket, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        chunk = sock.recv(min(_CHUNK, size - len(content)))
        if not chunk:
            raise EOFError
        content += chunk
    return bytes(content)
