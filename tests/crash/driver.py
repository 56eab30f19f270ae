"""Dies at every durable step of one segment. Run as a program of its own: it forks, and imports only once.

python -m crash.driver SEGMENT MOMENT FOLDER         prints one JSON object

or, in place of a segment, `job` or `worker`: then the first job of the pipeline dies; or `slurm`.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import msgspec

from crash import invariants
from crash.dying import Noting, Where, in_child
from crash.nursery import serve
from crash.segments import SEGMENTS, Segment
from crash.worlds import CONFIGURATION, World
from heliograph.config import Resources, SlurmSettings, StageSettings
from heliograph.drive import Drive
from heliograph.durable import install_hook
from heliograph.stages.builtin import STAGES
from heliograph.stages.render import ScriptValues, build_script
from support.drives import NOW, publish_training

AROUND = 7  # steps before and after the submission
ON_SLURM = msgspec.structs.replace(
    CONFIGURATION,
    executor="slurm",
    slurm=SlurmSettings(poll_every_s=0.3, settle_s=2.0, command_timeout_s=30),
    stages={
        name: StageSettings(resources=Resources(time="00:05:00", mem="100M", cpus_per_task=1))
        for name in ("evaluation", "analysis")
    },
)
SEED = 20260131
ENOUGH = 3  # numbers in a row that are not reached: one may be missed, where a job was quicker than before
TWICE = 0.12  # of the steps are died at a second time, by whoever takes over


class Driver:
    """One segment, and the moment at which somebody dies: before or after each step."""

    def __init__(self, name: str, moment: str, folder: Path) -> None:
        self.segment: Segment = SEGMENTS[name]
        self.moment = moment
        self.world = World(folder / "world")
        self.kept = folder / "kept"
        self.chance = random.Random(f"{SEED} {name} {moment}")
        self.expected: dict[str, object] = {}

    def prepare(self) -> None:
        """Make the world that the segment begins with, and see what becomes of it when nobody dies."""
        _begin(self.world, self.segment)
        self.world.save(self.kept)
        self.segment.each(self.world)
        look = partial(invariants.wrong_now, self.world)
        in_child(lambda: self.segment.act(self.world), self.world.log, what_is_wrong=look)
        self._go_on()
        self.expected = invariants.outcome(self.world)
        problems = invariants.wrong_at_the_end(self.world, {}, self.expected)
        assert problems == [], problems

    def die_at(self, number: int) -> tuple[str | None, list[str]]:
        """Die at one step, and go on; return which step it was (None: there are not so many) and what is
        wrong then."""
        world, where = self.world, Where(self.moment, number)
        world.restore(self.kept)
        self.segment.each(world)
        step = in_child(lambda: self.segment.act(world), world.log, where).step
        problems = invariants.wrong_now(world)
        seen = invariants.finals(world)
        if step and self.chance.random() < TWICE:
            in_child(lambda: self.segment.act(world), world.log, where)
            problems += invariants.wrong_now(world)
            seen |= invariants.finals(world)
            step = f"{step}, twice"
        self._go_on()
        problems += invariants.wrong_at_the_end(world, seen, self.expected)
        return step, problems

    def _go_on(self) -> None:
        """Let the world go on without deaths, until nothing is left to do."""
        in_child(lambda: self.segment.on(self.world), self.world.log)
        self.watch_until_idle()

    def watch_until_idle(self) -> None:
        """Have a watcher work until nothing is left to do, and then another one start."""
        for _ in range(2):
            in_child(lambda: _until_idle(self.world), self.world.log)


class SlurmDriver(Driver):
    """The watcher dies at the steps around its submission to the Slurm that SLURM_CONF names."""

    def __init__(self, _: str, moment: str, folder: Path) -> None:
        super().__init__("first", moment, folder)
        self.segment = msgspec.structs.replace(self.segment, each=self._train_anew)
        self.world.config = ON_SLURM
        self.trainings = 0
        self.steps: list[int] = []

    def prepare(self) -> None:
        super().prepare()
        kinds = self.kinds_of_steps()
        middle = kinds.index("submit")
        self.steps = list(range(middle - AROUND, middle + AROUND + 1))

    def _train_anew(self, world: World) -> None:
        """Slurm remembers the jobs of the world before: let the next ones have other names."""
        self.trainings += 1
        publish_training(world.drive, "e1", timestamp=NOW + timedelta(minutes=self.trainings))

    def kinds_of_steps(self) -> list[str]:
        """Go through the segment once more and return what kind each of its steps is."""
        self.world.restore(self.kept)
        self.segment.each(self.world)
        noted = self.world.root / "kinds"

        def act() -> None:
            install_hook(Noting(noted))
            self.segment.act(self.world)

        in_child(act, self.world.log)
        self._go_on()
        return [line.split()[0] for line in noted.read_text().splitlines()]

    def die_at(self, number: int) -> tuple[str | None, list[str]]:
        return super().die_at(self.steps[number]) if number < len(self.steps) else (None, [])


class JobDriver(Driver):
    """The first job that starts, or its worker, dies; the watcher does what follows, and nobody helps."""

    def __init__(self, who: str, moment: str, folder: Path) -> None:
        super().__init__("first", moment, folder)
        self.who = who

    def prepare(self) -> None:
        _begin(self.world, self.segment)
        self.world.let_go()
        self.world.save(self.kept)

    def die_at(self, number: int) -> tuple[str | None, list[str]]:
        world = self.world
        world.restore(self.kept)
        (world.fake / f"die-{self.who}").write_text(str(Where(self.moment, number)))
        self.watch_until_idle()
        reached = world.fake / "reached"
        step = reached.read_text() if reached.exists() else None
        return step, invariants.wrong_after_a_job_died(world)


def _until_idle(world: World) -> None:
    with world.watched() as passes:
        passes.until_idle()


def _begin(world: World, segment: Segment) -> None:
    if segment.after is not None:
        before = SEGMENTS[segment.after]
        _begin(world, before)
        before.each(world)
        in_child(lambda: before.act(world), world.log)
    segment.before(world)


@contextmanager
def nursery(folder: Path) -> Iterator[None]:
    """Keep a process from which jobs and workers are forked."""
    socket = folder / "nursery"
    pid = os.fork()
    if pid == 0:
        try:
            serve(str(socket))
        finally:
            os._exit(1)
    try:
        while not socket.exists():
            time.sleep(0.01)
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def import_late_modules() -> None:
    """Import what a watcher imports when it renders its first script, so that no child has to."""
    values = ScriptValues(
        experiment="e", token="t", attempt=1, signal_sha256="", input_path="", resources=Resources()
    )
    build_script(STAGES[0], StageSettings(), Drive("/drive"), values)


def main(name: str, moment: str, folder: Path) -> None:
    tempfile.tempdir = str(folder)
    import_late_modules()
    with nursery(folder):
        _die_everywhere(name, moment, folder)


def _die_everywhere(name: str, moment: str, folder: Path) -> None:
    kinds = {"job": JobDriver, "worker": JobDriver, "slurm": SlurmDriver}
    driver = kinds.get(name, Driver)(name, moment, folder)
    driver.prepare()
    began = time.monotonic()
    steps, problems, survived = [], [], 0
    for number in itertools.count():
        try:
            step, wrong = driver.die_at(number)
        except AssertionError as error:
            step, wrong = "?", [str(error)]
        problems += [f"{name}: {moment} step {number} ({step}): {what}" for what in wrong]
        survived = 0 if step else survived + 1
        if survived == ENOUGH or len(problems) > 60:
            break
        if step:
            steps.append(step.replace(f"{driver.world.root}/", ""))
    took = time.monotonic() - began
    print(json.dumps({"steps": steps, "problems": problems, "seconds": round(took, 1)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
