"""Examining an area in a child that may hang: it is listened to for so long, then ended and left behind.

A process that hangs on a dead FUSE or NFS mount cannot be ended even by SIGKILL (seen: state D, for as long
as the server was stopped), and waiting for it would hang us too: so it is killed and never waited for.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import msgspec

from heliograph.doctor.child import Begin, Found, Message
from heliograph.doctor.finding import Area, Context, Finding
from heliograph.doctor.mount import mount_again
from heliograph.mounts import mount_of

_CLEAN_UP_S = 2.0
"""how long a child that is told to stop may clean up"""
_KILLED_S = 0.2
"""how long a killed child is given to be gone; one that hangs on a dead drive never is"""


def examine_guarded(
    area: str, context: Context, silence_s: float, on_begin: Callable[[str], None] = lambda _check: None
) -> Iterator[Finding]:
    """Give each finding of an area as it comes; a step that is silent for `silence_s` is a finding itself."""
    with tempfile.TemporaryFile() as errors, _child(area, context, errors) as process:
        check, allowed_s = "start", silence_s
        for message in _messages(process, silence_s):
            if message is None:
                yield _hung(area, check, allowed_s, context)
                return
            if isinstance(message, Begin):
                check, allowed_s = message.check, message.silence_s or silence_s
                on_begin(message.progress or check)
            else:
                yield message.finding
        try:
            code = process.wait(_CLEAN_UP_S)
        except subprocess.TimeoutExpired:
            yield _hung(area, "end", _CLEAN_UP_S, context)
            return
        if code != 0:
            yield _broke(area, check, code, errors)


@contextlib.contextmanager
def _child(area: str, context: Context, errors: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Run the child in a session of its own: Ctrl-C comes to us, and we tell it to clean up."""
    process = subprocess.Popen(
        # -P: the working folder, which may be the dead drive, is not looked at for modules
        [sys.executable, "-P", "-m", "heliograph.doctor.child", area, msgspec.json.encode(context).decode()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Tell the child to stop; kill it when it does not; leave it behind when even that does not end it."""
    for number, wait_s in ((signal.SIGTERM, _CLEAN_UP_S), (signal.SIGKILL, _KILLED_S)):
        if process.poll() is not None:
            break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)
    if process.stdout is not None:
        process.stdout.close()
    if process.returncode is None:
        process.returncode = -signal.SIGKILL  # it is no longer ours to wait for


def _messages(process: subprocess.Popen[bytes], silence_s: float) -> Iterator[Message | None]:
    """Give the child's messages; None, as the last, when it has been silent for too long."""
    if process.stdout is None:
        return
    decoder = msgspec.json.Decoder(Begin | Found)
    waiting, allowed_s = b"", silence_s
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(allowed_s):
                yield None
                return
            chunk = os.read(process.stdout.fileno(), 1 << 16)
            if not chunk:
                return
            *lines, waiting = (waiting + chunk).split(b"\n")
            for line in lines:
                message = decoder.decode(line)
                if isinstance(message, Begin):
                    allowed_s = message.silence_s or silence_s
                yield message


def _hung(area: str, check: str, silence_s: float, context: Context) -> Finding:
    told = f"no answer within {silence_s:.0f} s: it hangs, and was given up"
    mount = mount_of(Path(context.drive))
    if mount.is_network:
        told += f". So does everything else that touches {mount.point} ({mount.type})"
        return Area(area).bad(check, told, mount_again(mount))
    return Area(area).bad(check, told, f"heliograph doctor {area}   # again, when the host has less to do")


def _broke(area: str, check: str, code: int, errors: IO[bytes]) -> Finding:
    """Tell that the child ended in an unforeseen way, with the last line that it said."""
    errors.seek(0)
    lines = errors.read().decode("utf-8", "replace").splitlines()
    said = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    told = f"the examination itself failed (exit code {code}): {said}"
    return Area(area).bad(check, told, f"heliograph doctor {area}   # again; if it stays, report it")
