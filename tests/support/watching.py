"""A watcher over a test's drive, with the real local executor and the fast stand-in for the workers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from heliograph.config import Detection, Retry, SlurmSettings, WatcherConfig
from heliograph.drive import Drive
from heliograph.errors import DriveBusy, DriveUnavailable
from heliograph.executors.base import Executor
from heliograph.executors.choose import choose_executor
from heliograph.names import utc_now
from heliograph.stages.builtin import STAGES
from heliograph.state import journal
from heliograph.state.lease import Owner
from heliograph.state.settle import live_folder
from heliograph.state.store import Store
from heliograph.watcher.bell import Bell
from heliograph.watcher.daemon import Setup, Watcher
from heliograph.watcher.guard import Guard
from heliograph.watcher.hands import Hands, HandsSetup

CONFIG = WatcherConfig(
    executor="local",
    publish_every_s=0.1,
    signal_grace_s=5.0,
    detection=Detection(inbox_every_s=0.05, sweep_every_s=0.2, settle_s=0.2),
    retry=Retry(first_delay_s=0.1, factor=1.0),
    slurm=SlurmSettings(poll_every_s=0.2, settle_s=2.0),
)


def make_hands(drive: Drive, config: WatcherConfig = CONFIG) -> Hands:
    """Return hands in this process: they do the same as those in a child, and a test can look at them."""
    setup = HandsSetup(
        root=str(drive.root),
        drive_id=drive.read_id(),
        stages=tuple(stage.name for stage in STAGES),
        settle_s=config.detection.settle_s,
        owner=Owner.here(),
        spool=str(drive.root.with_name("spool")),
    )
    return Hands(setup, STAGES)


def patiently(call: Callable[[], None]) -> None:
    """Repeat a call until hands in a child have answered."""
    for _ in range(100):
        with contextlib.suppress(DriveBusy):
            return call()
    raise AssertionError("the hands do not answer")


@contextmanager
def watching(
    drive: Drive,
    state_folder: Path,
    python: Path,
    config: WatcherConfig = CONFIG,
    executor: Callable[[str], Executor] | None = None,
    hands: Hands | Guard | None = None,
) -> Iterator[Watcher]:
    """Yield a started watcher; whoever wants it to do something calls its `tick`."""
    folder = state_folder / drive.read_id()
    chosen = choose_executor(config, folder)
    hands = hands or make_hands(drive, config)
    patiently(lambda: hands.take_lease(utc_now(), 0))
    bell = Bell(watching=False)
    try:
        with Store(live_folder(state_folder, drive)) as store:
            journal.catch_up(drive, store)
            watcher = Watcher(
                Setup(
                    drive=drive,
                    store=store,
                    hands=hands,
                    config=config,
                    stages=STAGES,
                    executor=executor or (lambda _: chosen),
                    executor_name=chosen.name,
                    state_folder=folder,
                    variables={"HELIOGRAPH_STATE": str(state_folder)},
                    bell=bell,
                    python=str(python),
                )
            )
            watcher.start(utc_now())
            yield watcher
            patiently(lambda: watcher.finish(utc_now()))
    finally:
        patiently(hands.release_lease)
        bell.close()


def tick_until(watcher: Watcher, condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Let the watcher make passes until the condition holds; fail with the jobs' rows if it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            rows = [row for stage in ("evaluation", "analysis") for row in watcher.store.rows(stage, "jobs")]
            raise AssertionError(f"it did not come to that: {rows}")
        with contextlib.suppress(DriveUnavailable):
            watcher.tick(utc_now())
        watcher.bell.sleep(0.05)


def tick_until_idle(watcher: Watcher, timeout_s: float = 60.0) -> None:
    """Let the watcher work until nothing is pending or in flight."""
    with contextlib.suppress(DriveBusy):
        watcher.tick(utc_now())
    tick_until(watcher, watcher.is_idle, timeout_s)


def statuses(watcher: Watcher, stage: str) -> list[str]:
    """Return the status of every attempt at a stage, in order."""
    return [row["status"] for row in reversed(watcher.store.rows(stage, "jobs"))]
