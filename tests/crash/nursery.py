"""Where jobs and workers are forked from a process that has imported everything: 10 ms instead of 200 a job.

The stand-in for the interpreter runs this file without site packages, as the client:

    python -I -S nursery.py SOCKET job|worker ARGUMENTS …

It hands its arguments, environment, folder and standard files over, waits, and ends with the same exit code.
"""

from __future__ import annotations

import array
import json
import os
import signal
import socket
import sys
from collections.abc import Callable

DIED = 70  # what a client says of a child that sent no exit code
_MOST = 1 << 20


def be_client(path: str, kind: str, arguments: list[str]) -> int:
    """Have a child of the nursery do it; SIGTERM is passed on to that child."""
    asked = json.dumps({"kind": kind, "argv": arguments, "env": dict(os.environ), "cwd": os.getcwd()})  # noqa: PTH109
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST)
        connection.connect(path)
        files = array.array("i", [0, 1, 2])
        connection.sendmsg([asked.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
        pid = int(connection.recv(32))
        signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
        try:
            said = connection.recv(32)
        except ConnectionResetError:
            said = b""
    return int(said) if said else DIED


def serve(path: str) -> None:
    """Listen, and fork a child for each client."""
    from heliograph import job, logs  # noqa: F401 - so that no child has to
    from heliograph.cli import job as _  # noqa: F401
    from heliograph.cli.main import main
    from support import drives, fake_worker  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children: their clients do
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(path)
        listening.listen(64)
        while True:
            connection, _address = listening.accept()
            if os.fork() == 0:
                listening.close()
                _be_child(
                    connection, lambda kind, argv: main(argv[2:]) if kind == "job" else fake_worker.main()
                )
            connection.close()


def _be_child(connection: socket.socket, run: Callable[[str, list[str]], int]) -> None:
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        raw, files, *_ = socket.recv_fds(connection, _MOST, 3)
        asked = json.loads(raw)
        connection.send(str(os.getpid()).encode())
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        os.environ.clear()
        os.environ.update(asked["env"])
        os.chdir(asked["cwd"])
        sys.argv[1:] = asked["argv"]
        code = run(asked["kind"], asked["argv"])
        sys.stdout.flush()
        sys.stderr.flush()
        connection.send(str(code).encode())
    finally:
        os._exit(code)


if __name__ == "__main__":
    if sys.argv[2:] == ["serve"]:
        serve(sys.argv[1])
    sys.exit(be_client(sys.argv[1], sys.argv[2], sys.argv[3:]))
