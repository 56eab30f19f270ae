"""`heliograph watch` itself dies, as a whole or only its hands, at steps drawn by a fixed seed.

The matrix dies everywhere, within one process; here are the real processes: the command, the guarded child
that does all work on the drive, supervisors and jobs, in real time.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import yaml

import heliograph
from crash import invariants
from crash.dying import DIED
from crash.worlds import World
from support.drives import publish_training
from support.watching import CONFIG

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SEED = 20260131
SAMPLE = 8  # deaths of each kind
LEASE_STEPS = 6  # who dies before it has named itself there is believed dead after 30 s: see the matrix
HERE = Path(__file__).parent
LONGEST_S = 120


class Command:
    """A world of its own, and `heliograph watch` over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.world = World(folder / "world")
        self.world.make()
        publish_training(self.world.drive, "e1")
        config = msgspec.structs.replace(
            CONFIG, detection=msgspec.structs.replace(CONFIG.detection, inotify="off")
        )
        self.world.drive.watcher_config.parent.mkdir(parents=True, exist_ok=True)
        self.world.drive.watcher_config.write_text(yaml.safe_dump(msgspec.to_builtins(config)))
        self.hands = folder / "hands.asked"

    def watch(self, where: str = "count") -> int:
        """Run it until nothing is left to do; return its exit code."""
        paths = (HERE / "site", HERE.parent, Path(heliograph.__file__).parents[1])
        environ = os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "HELIOGRAPH_STATE": str(self.world.state),
            "CRASH_PYTHON": str(self.world.python),
            "CRASH_HANDS": str(self.hands),
        }
        argv = [sys.executable, str(HERE / "launch.py"), where, str(self.folder / "reached"), "heliograph"]
        argv += ["--drive", str(self.world.drive.root), "watch", "--until-idle"]
        with (self.folder / "log").open("ab") as log:
            return subprocess.run(
                argv, env=environ, stdout=log, stderr=log, timeout=LONGEST_S, check=False
            ).returncode

    def wrong(self, expected: dict[str, object]) -> list[str]:
        """Tell what is wrong when nothing is left to do, and another watcher has cleared up."""
        code = self.watch()
        problems = invariants.wrong_at_the_end(self.world, {}, expected)
        if code:
            problems.append(f"it ended with {code}: {self.log()}")
        return problems

    def log(self) -> str:
        return (self.folder / "log").read_text()[-3000:]

    def steps(self, file: str) -> int:
        return len((self.folder / file).read_text().splitlines())


@contextmanager
def nursery(folder: Path) -> Iterator[None]:
    argv = [sys.executable, "-m", "crash.nursery", str(folder / "nursery"), "serve"]
    paths = (HERE.parent, Path(heliograph.__file__).parents[1])
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    with subprocess.Popen(argv, env=environ, cwd="/") as process:
        try:
            yield
        finally:
            process.kill()


@pytest.fixture
def folder() -> Iterator[Path]:
    fast = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="heliograph-", dir=fast if os.access(fast, os.W_OK) else None))
    yield made
    shutil.rmtree(made, ignore_errors=True)


class Sample:
    """An undisturbed run, and deaths at steps of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        undisturbed = Command(folder / "undisturbed")
        undisturbed.hands.write_text("count")
        assert undisturbed.watch() == 0, undisturbed.log()
        self.steps = {"whole": undisturbed.steps("reached"), "hands": undisturbed.steps("hands.reached")}
        self.expected = invariants.outcome(undisturbed.world)

    def numbers(self, who: str) -> list[int]:
        first = LEASE_STEPS if who == "hands" else 0
        return random.Random(f"{SEED} {who}").sample(range(first, self.steps[who]), SAMPLE)

    def die(self, who: str, number: int) -> list[str]:
        """Die before a step (of an even number) or after it, and see what becomes of it."""
        where = f"{'after' if number % 2 else 'before'} step {number}"
        command = Command(self.folder / f"{who}-{number}")
        if who == "hands":
            command.hands.write_text(where)
            code = command.watch()
            reached, is_right = command.hands.with_suffix(".reached"), code == 0
        else:
            code = command.watch(where)
            reached, is_right = command.folder / "reached", code == DIED
        problems = command.wrong(self.expected)
        if not is_right:
            problems.append(f"it ended with {code}: {command.log()}")
        told = reached.read_text() if reached.exists() else "no step"
        return [f"{who}, {where} ({told}): {problem}" for problem in problems]


@pytest.mark.parametrize("who", ["whole", "hands"])
def test_the_command_dies_and_everything_is_done_once(who: str, folder: Path) -> None:
    with nursery(folder):
        sample = Sample(folder)
        with ThreadPoolExecutor(2) as two:
            found = list(two.map(lambda number: sample.die(who, number), sample.numbers(who)))
    assert [problem for problems in found for problem in problems] == []
