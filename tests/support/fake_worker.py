"""Stands in for the stages' own programs, so that a test of the watcher takes no minutes.

It is started in place of the Python interpreter: `python -m heliograph … job …` goes to the real in-job
runner, `evaluate` and `analyse` write, in milliseconds, what the real ones leave behind. A file
`FAKE_WORKER/EXPERIMENT-STAGE` tells what it does (fail CODE, slow SECONDS, await FILE, silent); every start
is counted in `FAKE_WORKER/starts`.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

STUB = """#!/bin/bash
for word in "$@"; do
    case "$word" in
        --) break ;;
        job) exec {python} "$@" ;;
    esac
done
export FAKE_WORKER={folder}
PYTHONPATH={tests}:"${{PYTHONPATH:-}}" exec {python} -m support.fake_worker "$@"
"""


def make_stub(folder: Path) -> Path:
    """Write the stand-in for the interpreter; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    stub = folder / "bin" / "python"
    stub.parent.mkdir(exist_ok=True)
    tests = Path(__file__).parents[1]
    stub.write_text(STUB.format(python=sys.executable, folder=folder, tests=tests))
    stub.chmod(0o755)
    return stub


def starts(folder: Path) -> list[str]:
    """Return every start of a worker, `EXPERIMENT STAGE JOB`, in order."""
    file = folder / "starts"
    return file.read_text().splitlines() if file.exists() else []


def main() -> int:
    from heliograph.drive import Drive
    from support.drives import publish_analysis, publish_evaluation

    folder = Path(os.environ["FAKE_WORKER"])
    drive = Drive(os.environ["SHARED_DRIVE"])
    experiment, stage = os.environ["HELIOGRAPH_EXPERIMENT"], os.environ["HELIOGRAPH_STAGE"]
    job_id = os.environ["HELIOGRAPH_JOB_ID"]
    with (folder / "starts").open("a") as file:
        file.write(f"{experiment} {stage} {job_id}\n")
    asked = folder / f"{experiment}-{stage}"
    todo = asked.read_text().strip() if asked.exists() else ""
    if todo.startswith("fail"):
        print("heliograph: it is broken on purpose", file=sys.stderr)
        return int(todo.split()[1])
    if todo.startswith("slow"):
        time.sleep(float(todo.split()[1]))
    while todo.startswith("await") and not Path(todo.split()[1]).exists():
        time.sleep(0.05)
    if todo != "silent":
        (publish_evaluation if stage == "evaluation" else publish_analysis)(drive, experiment, job_id)
    return 0


if __name__ == "__main__":
    sys.exit(main())
