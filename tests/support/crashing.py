"""Kills a piece of work at each of its durable steps, by SIGKILL, in a process of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from heliograph.drive import Drive
from heliograph.durable import install_hook
from support.drives import make_drive


def kill_at_every_step(tmp_path: Path, work: Callable[[Drive], object]) -> Iterator[Drive]:
    """Yield a fresh drive for each step, before and after it, on which the work was killed there."""
    step = 0
    while True:
        drive = make_drive(tmp_path / f"killed-{step}")
        status = _in_child(drive, work, step)
        if status == 0:
            return  # it came to its end before that step
        assert status == signal.SIGKILL, f"step {step}: status {status}"
        yield drive
        step += 1


def _in_child(drive: Drive, work: Callable[[Drive], object], kill_at: int) -> int:
    pid = os.fork()
    if pid != 0:
        return os.waitpid(pid, 0)[1]
    count = 0

    def hook(*_: object) -> None:
        nonlocal count
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    code = 1
    try:
        install_hook(hook)
        work(drive)
        code = 0
    finally:
        os._exit(code)
