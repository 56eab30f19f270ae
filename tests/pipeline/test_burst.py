"""A thousand signals at once: every one is submitted exactly once, no faster than the rate limit allows."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from heliograph.config import SlurmSettings
from heliograph.drive import Drive
from heliograph.names import utc_now
from heliograph.state import rebuild
from heliograph.watcher.memory import resident_mb
from support.drives import publish_training
from support.played import PlayedExecutor
from support.watching import CONFIG, patiently, watching

SIGNALS = 1000
A_MINUTE = 250
MEMORY_MB = 30.0
"""what a burst may cost beside what the process had: far less than a signal's 1 MiB each"""


@pytest.mark.slow
def test_a_thousand_signals_are_submitted_once_each_within_the_limit(drive: Drive, tmp_path: Path) -> None:
    names = [f"e{number:04d}" for number in range(SIGNALS)]
    for name in names:
        publish_training(drive, name)
    executor = PlayedExecutor()
    slurm = msgspec.structs.replace(CONFIG.slurm, submissions_per_minute=A_MINUTE)
    config = msgspec.structs.replace(CONFIG, slurm=slurm, publish_every_s=3600.0)
    assert isinstance(slurm, SlurmSettings)
    with watching(drive, tmp_path / "state", Path("/no/python"), config, lambda _: executor) as watcher:
        watcher.tick(utc_now())
        before_mb, now, minutes = resident_mb(), utc_now(), []
        while len(executor.jobs) < SIGNALS and len(minutes) < 10:
            known, until = len(executor.jobs), now + timedelta(minutes=1)
            while now < until:
                patiently(lambda now=now: watcher.tick(now) and None)
                now += timedelta(seconds=2)
            minutes.append(len(executor.jobs) - known)
        assert max(minutes) <= A_MINUTE, "never more in a minute"
        assert sum(minutes) == SIGNALS
        assert resident_mb() - before_mb < MEMORY_MB
        submitted = Counter(job.name.split("_", 1)[1].split(".")[0] for job in executor.jobs)
        assert submitted == Counter(names), "each exactly once"
    assert rebuild.check(drive, tmp_path / "state") == []
