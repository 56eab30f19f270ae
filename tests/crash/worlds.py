"""The worlds that processes die in: a drive, a watcher's local state and stand-in workers in one folder."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

import heliograph
from heliograph.config import WatcherConfig
from heliograph.drive import Drive
from heliograph.errors import LeaseHeld
from heliograph.names import utc_now
from heliograph.protocol import events as ev
from heliograph.protocol.outbox import Outbox
from heliograph.state.lease import held, read_holder
from heliograph.watcher.daemon import Watcher
from support.drives import make_drive, publish_training
from support.watching import CONFIG, watching

CONFIGURATION = msgspec.structs.replace(CONFIG, publish_every_s=1.0)
MOST_PASSES = 3000

_STUB = """#!/bin/bash
[ "$1" = -m ] || exec '{python}' "$@"  # what is no job: the hands and supervisors of a watcher
kind=worker module=support.fake_worker
for word in "$@"; do
    case "$word" in
        --) break ;;
        job) kind=job module=heliograph ;;
    esac
done
export FAKE_WORKER='{fake}'
while [ $kind = job ] && [ -e '{fake}/hold' ]; do sleep 0.02; done
if mv "{fake}/die-$kind" "{fake}/died-$kind" 2>/dev/null; then
    [ $kind = job ] && shift 2
    export PYTHONPATH='{source}:{tests}'
    exec '{python}' '{launcher}' "$(cat "{fake}/died-$kind")" '{fake}/reached' $module "$@"
fi
exec '{python}' -I -S '{nursery}' '{socket}' $kind "$@"
"""


class World:
    """One drive and all that works on it."""

    def __init__(self, root: Path, config: WatcherConfig = CONFIGURATION) -> None:
        self.root = root
        self.config = config
        self.drive = Drive(root / "drive")
        self.state = root / "state"
        self.fake = root / "fake"
        self.python = self.fake / "bin" / "python"
        self.log = root / "log"

    def make(self) -> None:
        """Make it: a drive, workers, and one signal that nobody can use."""
        make_drive(self.drive.root)
        self._make_stub()
        bad = publish_training(self.drive, "bad").path
        bad.write_text('{"timestamp": "2026-01-31T09:05:00Z"}')

    def _make_stub(self) -> None:
        """Write the stand-in for the interpreter. Jobs wait while a file `hold` is there; the next one dies
        as a file `die-job` or `die-worker` says, if there is one."""
        here = Path(__file__).parent
        facts = {
            "fake": self.fake,
            "python": sys.executable,
            "nursery": here / "nursery.py",
            "launcher": here / "launch.py",
            "tests": here.parent,
            "source": Path(heliograph.__file__).parents[1],
            "socket": self.root.parent / "nursery",
        }
        self.python.parent.mkdir(parents=True)
        self.python.write_text(_STUB.format(**facts))
        self.python.chmod(0o755)

    def hold(self) -> None:
        """From now on, jobs that start wait."""
        (self.fake / "hold").touch()

    def let_go(self) -> None:
        (self.fake / "hold").unlink(missing_ok=True)

    def post(self, body: ev.Body) -> None:
        Outbox(self.drive, self.root / "spool").post(body)

    def wait_for_event(self, kind: str) -> None:
        """Wait until an event of this kind lies in the inbox."""
        for _ in range(1000):
            if any(f'"kind":"{kind}"' in path.read_text() for path in self.drive.inbox.glob("[0-9]*")):
                return
            time.sleep(0.02)
        raise AssertionError(f"no {kind} came")

    def save(self, kept: Path) -> None:
        shutil.copytree(self.root, kept, symlinks=True)

    def restore(self, kept: Path) -> None:
        """Go back to what was saved, under the same path: paths stand in signals, rows and scripts."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(kept, self.root, symlinks=True)

    @contextmanager
    def watched(self) -> Iterator[Passes]:
        """Watch the drive with a watcher of this process."""
        if self.drive.lease.exists() and read_holder(self.drive) is None:
            self._wait_for_lease()
        with watching(self.drive, self.state, self.python, self.config) as watcher:
            yield Passes(watcher)

    def _wait_for_lease(self) -> None:
        """Whoever died between taking the lease and writing its name down is believed dead after a while: in
        production after 30 s."""
        with contextlib.suppress(LeaseHeld), held(self.drive, utc_now(), wait_s=0.05):
            pass


class Passes:
    """A watcher and its passes: each a second after the last, however short that really took."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.now: datetime = utc_now()

    def tick(self) -> None:
        self.now += timedelta(seconds=1)
        self.watcher.tick(self.now)

    def until(self, condition: Callable[[], bool], most: int = MOST_PASSES) -> None:
        """Make passes until it is so, each when an event came or a moment has passed."""
        for _ in range(most):
            if condition():
                return
            self.tick()
            for _ in range(10):
                if condition() or any(self.watcher.drive.inbox.glob("[0-9]*")):
                    break
                time.sleep(0.005)
        raise AssertionError(f"not after {most} passes: {self.rows('evaluation') + self.rows('analysis')}")

    def until_idle(self) -> None:
        self.tick()
        self.until(self.watcher.is_idle)

    def rows(self, stage: str) -> list[dict[str, object]]:
        """Return every attempt at a stage, in order."""
        return self.watcher.store.rows(stage, "jobs")[::-1]

    def submitted(self, stage: str) -> int:
        """Return how many attempts at a stage were handed in, as far as is known."""
        return sum(row["submitted_at"] is not None for row in self.rows(stage))

    def is_quiet(self, stage: str) -> bool:
        """Tell whether every attempt at a stage is over."""
        return all(row["status"] in ("completed", "failed") for row in self.rows(stage))
