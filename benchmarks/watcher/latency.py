"""How soon a signal is taken up: from its rename to the committed intent, and to the start of the job."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from benchmarks.watcher.drives import NEW, MadeDrive
from benchmarks.watcher.figures import Figure
from benchmarks.watcher.lives import Writer, training_signal
from benchmarks.watcher.watching import Ledger, Settings, Watch, read_starts, watching
from heliograph.drive import Drive
from heliograph.protocol import signals
from heliograph.protocol.events import SignalPublished
from heliograph.protocol.outbox import Outbox

PART = "latency"
_LOOK_EVERY_S = 0.002
_CLOCK_MAY_SLIP_S = 0.001


class Way(Struct, frozen=True):
    """One way in which a signal comes to be seen."""

    case: str
    detection: Mapping[str, Any]
    folder_exists: bool
    """the experiment's folder has stood there for a while, as during a training"""
    announced: bool
    """an event is posted right after the signal, as the training hook does"""
    spread_s: float = 0.0
    """signals are published at random moments of this length, not one after the other"""


WAYS = (
    Way("local drive, inotify, folder exists", {}, True, False),
    Way("local drive, inotify, new folder", {}, False, False),
    Way("no inotify, announced by an event, new folder", {"inotify": "off"}, False, True),
    Way("no inotify, not announced, folder exists", {"inotify": "off"}, True, False),
    Way("no inotify, not announced, new folder (sweep every 30 s)", {"inotify": "off"}, False, False, 90.0),
)


class Published(Struct):
    """When a signal got its name, by both clocks."""

    experiment: str
    monotonic: float
    wall: float


class Witness:
    """Notes when each intent becomes visible to another process; it looks every 2 ms."""

    def __init__(self, settings: Settings) -> None:
        self.seen: dict[str, float] = {}
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        ledger = Ledger(self._settings)
        while not self._stop.wait(_LOOK_EVERY_S):
            if ledger.changed():
                now = time.monotonic()
                for experiment in ledger.intents():
                    self.seen.setdefault(experiment, now)
        ledger.close()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def publish(drive: Drive, outbox: Outbox | None, experiment: str) -> Published:
    """Publish a training signal as the hook does, and note the moment of the rename."""
    content = training_signal(drive, experiment, datetime.now(UTC))
    path = signals.TRAINING_COMPLETE.path(drive, experiment)
    temporary = path.with_name(f".{path.name}.benchmark.tmp")
    with temporary.open("wb") as file:
        file.write(signals.encode_signal(content))
        file.flush()
        os.fsync(file.fileno())
    moment = Published(experiment, time.monotonic(), time.time())
    temporary.rename(path)
    if outbox is not None:
        signal = signals.read_signal(path, signals.TRAINING_COMPLETE, experiment)
        about = SignalPublished(experiment=experiment, stage="training", path=str(path), sha256=signal.sha256)
        outbox.post(about)
    return moment


def measure(work: Path, count: int, samples: int, ways: tuple[Way, ...] = WAYS) -> list[Figure]:
    """Measure every way with this many signals each, on a drive with `count` finished experiments."""
    made = MadeDrive(work, count)
    return [figure for way in ways for figure in _measure_way(made, work, way, samples)]


def _measure_way(made: MadeDrive, work: Path, way: Way, samples: int) -> list[Figure]:
    made.restore()
    settings = Settings(work / "run", made.drive, made.copy_state(work / "run-state"))
    settings.write(detection=way.detection, slots=2, submissions_per_minute=100_000)
    writer = Writer(made.drive, made.folder / "samples")
    names = [f"{NEW}{number:03d}" for number in range(samples)]
    if way.folder_exists:
        for name in names:
            writer.model(name)
    with watching(settings) as watch:
        watch.wait_ready()
        witness = Witness(settings)
        try:
            published = _publish_all(made.drive, work, way, writer, names)
            _wait_all_started(watch, settings, names)
        finally:
            witness.close()
    return _figures(way, made.count, published, witness.seen, settings)


def _publish_all(drive: Drive, work: Path, way: Way, writer: Writer, names: list[str]) -> list[Published]:
    """Publish one signal after the other, at moments that do not follow the watcher's rhythm."""
    outbox = Outbox(drive, work / "spool") if way.announced else None
    chance = random.Random(4)
    length = way.spread_s or 1.7 * len(names)
    moments = sorted(chance.uniform(0, length) for _ in names)
    begin = time.monotonic()
    published = []
    for name, moment in zip(names, moments, strict=True):
        time.sleep(max(0.0, begin + moment - time.monotonic()))
        if not way.folder_exists:
            writer.model(name)
        published.append(publish(drive, outbox, name))
    return published


def _wait_all_started(watch: Watch, settings: Settings, names: list[str], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while set(names) - read_starts(settings).keys():
        if time.monotonic() > deadline or not watch.lives():
            missing = sorted(set(names) - read_starts(settings).keys())
            raise TimeoutError(f"no job for {missing}; see {settings.log}")
        time.sleep(0.2)


def _figures(
    way: Way, count: int, published: list[Published], seen: Mapping[str, float], settings: Settings
) -> list[Figure]:
    starts = read_starts(settings)
    slips = [one.wall - one.monotonic for one in published]
    if max(slips) - min(slips) > _CLOCK_MAY_SLIP_S:
        raise RuntimeError("the wall clock was set while it was measured; measure again")
    case = f"{way.case}; {count:,} finished experiments"
    to_intent = [seen[one.experiment] - one.monotonic for one in published]
    to_start = [starts[one.experiment][0] - one.wall for one in published]
    return [
        Figure(part=PART, case=case, what="rename to committed intent", unit="s", values=to_intent),
        Figure(part=PART, case=case, what="rename to start of the job", unit="s", values=to_start),
    ]
