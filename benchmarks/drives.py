"""How soon another host sees what one host wrote, over sshfs as it comes and as we recommend it.

    sudo env PYTHONPATH=tests .venv/bin/python benchmarks/drives.py [ROUNDS]

Makes the hosts of tests/support/hosts.py on this machine, whose clocks agree. Each cell is the median of
ROUNDS (default 3), each measured right after the reader had looked for the last time: the worst case.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from statistics import median

from heliograph.files import write_atomic
from support.hosts import DEFAULT, TUNED, HostLab
from support.hosts_work import begin_training, end, lay_out, let, train, until_completed, until_told

_LOOKS = {
    "a new name in a listing": "'NAME' in os.listdir(folder)",
    "opening a name that was seen missing": "os.path.exists(path)",
    "a replaced file's mtime": "os.stat(path).st_mtime_ns != first",
    "a replaced file's content, opened anew": "open(path, 'rb').read() == b'second'",
}
_LOOK = """
import os, sys, time
folder = os.environ["SHARED_DRIVE"]
path = folder + "/NAME"
first = os.stat(path).st_mtime_ns if os.path.exists(path) else None
assert not (LOOK)
print("looked", flush=True)
while not (LOOK):
    time.sleep(0.001)
print(time.time(), flush=True)
"""


def look(lab: HostLab, what: str, number: int) -> Callable[[], float]:
    """Let monitoring begin to look for a change; return what makes it and tells the delay in seconds."""
    name = f"{what.replace(' ', '-')}-{number}"
    replaces = what.startswith("a replaced")
    if replaces:
        write_atomic(lab.store / name, b"first")
        os.utime(lab.store / name, (0, 0))  # SFTP tells times in whole seconds
    code = _LOOK.replace("LOOK", _LOOKS[what]).replace("NAME", name)
    reader = lab.monitoring.start(sys.executable, "-c", code, stdout=subprocess.PIPE)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "looked\n"

    def change() -> float:
        assert reader.stdout is not None
        write_atomic(lab.store / name, b"second")
        changed_at = time.time()
        return float(reader.stdout.readline()) - changed_at

    return change


def visibility(options: tuple[str, ...], rounds: int) -> dict[str, float]:
    """Return the median delay of each kind of look, in seconds."""
    delays: dict[str, list[float]] = {what: [] for what in _LOOKS}
    with HostLab(*options) as lab:
        for what in _LOOKS:
            for number in range(rounds):
                delays[what].append(look(lab, what, number)())
    return {what: median(found) for what, found in delays.items()}


def detection(options: tuple[str, ...]) -> dict[str, float]:
    """Return how long after its signal's time an experiment is accepted: a new one, and one seen running."""
    with HostLab(*options) as lab:
        lay_out(lab)
        with lab.ssrde.serving() as watch:
            until_told(lab.ssrde, "watching")
            train(lab.wild_west, "new")
            until_completed(lab, "new", within_s=120)
            begin_training(lab.wild_west, "known")
            lab.wait_until(lambda: '"known"' in _journal(lab), "the watcher knows of the run", within_s=120)
            for word in ("save", "complete"):
                let(lab.wild_west, word)
            until_completed(lab, "known", within_s=120)
            end(watch)
        return {
            "the watcher takes up a signal of a run that it had not heard of": _accepted_after(lab, "new"),
            "the watcher takes up a signal of a run that it knew": _accepted_after(lab, "known"),
        }


def _journal(lab: HostLab) -> str:
    return "".join(path.read_text() for path in lab.drive.journal.rglob("*.jsonl"))


def _accepted_after(lab: HostLab, experiment: str) -> float:
    signal = lab.drive.model_folder(experiment) / ".training_complete"
    (line,) = [
        line
        for line in lab.ssrde.log().read_text().splitlines()
        if ".training_complete accepted" in line and f'"{experiment}"' in line
    ]
    told_at = line.split('"time": "')[1].split('"')[0]
    return datetime.fromisoformat(told_at).timestamp() - signal.stat().st_mtime


def main(rounds: int) -> None:
    columns = {"sshfs default": DEFAULT, "sshfs as recommended": TUNED}
    found = {name: visibility(options, rounds) | detection(options) for name, options in columns.items()}
    print(f"| seconds until | {' | '.join(found)} |")
    print("|---" * (len(found) + 1) + "|")
    for what in next(iter(found.values())):
        print(f"| {what} | {' | '.join(f'{delays[what]:.4g}' for delays in found.values())} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
