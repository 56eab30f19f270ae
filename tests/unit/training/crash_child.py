"""A training that is killed at every durable step in turn. Run as a script: crash_child.py FOLDER

Each step is tried in a process of its own, forked before anything is done, with a drive of its own in
FOLDER/NUMBER-MOMENT. `steps.json` lists the steps of a training that nobody killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from heliograph.durable import Hook, Moment, install_hook
from support.drives import make_drive
from unit.training.runs import train_tiny


def is_main_thread() -> bool:
    """Leave heartbeats out: when they come is a matter of chance."""
    return threading.current_thread() is threading.main_thread()


def train(root: Path, hook: Hook) -> None:
    os.environ["HELIOGRAPH_STATE"] = str(root / "local")
    drive = make_drive(root / "drive")
    install_hook(hook)
    train_tiny(drive)
    install_hook(None)


def record_steps(root: Path) -> list[str]:
    """Train to the end; return every durable step."""
    steps: list[str] = []

    def note(moment: Moment, kind: str, what: str) -> None:
        if moment == "before" and is_main_thread():
            steps.append(f"{kind} {what}")

    train(root, note)
    return steps


def train_until(root: Path, number: int, moment: Moment) -> None:
    """Train, and end this process with SIGKILL before or after the step with this number."""
    count = 0

    def kill(now: Moment, _kind: str, _what: str) -> None:
        nonlocal count
        if not is_main_thread():
            return
        count += now == "before"
        if count == number and now == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    train(root, kill)


def main(folder: Path) -> None:
    steps = record_steps(folder / "unharmed")
    (folder / "steps.json").write_text(json.dumps(steps))
    moments: tuple[Moment, ...] = ("before", "after")
    for number in range(1, len(steps) + 1):
        for moment in moments:
            child = os.fork()
            if child == 0:
                train_until(folder / f"{number:03}-{moment}", number, moment)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            assert os.WIFSIGNALED(status), f"step {number} was never reached"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
