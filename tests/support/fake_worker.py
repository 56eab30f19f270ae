"""Stands in for the stages' own programs, so that a test of the watcher takes no minutes.

It is started in place of the Python interpreter: `python -m heliograph … job …` goes to the real in-job
runner, `evaluate` and `analyse` write, in milliseconds, what the real ones leave behind. A file
`FAKE_WORKER/EXPERIMENT-STAGE`, or of a part of a job array `…-PART`, tells what it does (fail CODE, slow
SECONDS, await FILE, silent, and more: `Worker.obey`; `once` before it: only the first time). Every start is
counted in `FAKE_WORKER/starts`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import heliograph

STUB = """#!/bin/bash
export PYTHONPATH={source}:{tests}:"${{PYTHONPATH:-}}"
for word in "$@"; do
    case "$word" in
        --) break ;;
        job) exec {python} "$@" ;;
    esac
done
export FAKE_WORKER={folder}
exec {python} -m support.fake_worker "$@"
"""


def make_stub(folder: Path) -> Path:
    """Write the stand-in for the interpreter; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    stub = folder / "bin" / "python"
    stub.parent.mkdir(exist_ok=True)
    tests = Path(__file__).parents[1]
    source = Path(heliograph.__file__).parents[1]  # jobs run the code that is tested, wherever it stands
    stub.write_text(STUB.format(python=sys.executable, folder=folder, tests=tests, source=source))
    stub.chmod(0o755)
    return stub


def starts(folder: Path) -> list[str]:
    """Return every start of a worker, `EXPERIMENT STAGE JOB`, in order."""
    file = folder / "starts"
    return file.read_text().splitlines() if file.exists() else []


class Worker:
    """One start of a worker: what it is asked to do, and where it counts what it did."""

    def __init__(self) -> None:
        self.folder = Path(os.environ["FAKE_WORKER"])
        self.experiment, self.stage = os.environ["HELIOGRAPH_EXPERIMENT"], os.environ["HELIOGRAPH_STAGE"]
        self.part = sys.argv[sys.argv.index("--part") + 1] if "--part" in sys.argv else None

    @property
    def name(self) -> str:
        return "-".join(filter(None, (self.experiment, self.stage, self.part)))

    def asked(self) -> list[str]:
        """Read what to do. `once …` is forgotten by being read."""
        file = self.folder / self.name
        words = file.read_text().split() if file.exists() else []
        if words[:1] == ["once"]:
            file.unlink()
            words = words[1:]
        return words

    def note(self, file: str, text: str) -> None:
        with (self.folder / file).open("a") as handle:
            handle.write(f"{text}\n")

    def obey(self) -> int | None:
        """Do as asked; return an exit code where that is the end."""
        word, *more = self.asked() or ["work"]
        if word == "fail":
            print("heliograph: it is broken on purpose", file=sys.stderr)
            return int(more[0])
        if word == "slow":
            time.sleep(float(more[0]))
        if word == "eat":  # so many MB
            bytearray(int(more[0]) << 20)
        while word == "await" and not Path(more[0]).exists():
            time.sleep(0.05)
        if word == "chatter":
            for number in range(int(more[0])):
                print(f"line {number} of what nobody reads")
        if word == "kill-runner":
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        if word == "until-term":  # works for ever, and saves what it has when it is asked to leave
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
            self.note("waiting", self.name)
            time.sleep(600)
        return 0 if word == "silent" else None


def main() -> int:
    from heliograph.drive import Drive
    from support.drives import publish_analysis, publish_evaluation

    worker, job_id = Worker(), os.environ["HELIOGRAPH_JOB_ID"]
    drive = Drive(os.environ["SHARED_DRIVE"])
    worker.note("starts", " ".join(filter(None, (worker.experiment, worker.stage, job_id, worker.part))))
    done = worker.folder / f"done-{worker.name}"
    if worker.part and done.exists():
        return 0
    code = worker.obey()
    if code is not None:
        return code
    if worker.part:
        worker.note("work", worker.part)
        done.touch()
        return 0
    publish = publish_evaluation if worker.stage == "evaluation" else publish_analysis
    publish(drive, worker.experiment, job_id)
    return 0


if __name__ == "__main__":
    sys.exit(main())
