"""What a real Slurm can do to a watcher's jobs: hang, die, forget, lose nodes. All is done once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from heliograph.config import Resources, StageSettings, WatcherConfig
from heliograph.drive import Drive
from heliograph.names import utc_now
from heliograph.state import rebuild
from support.drives import publish_training
from support.fake_worker import make_stub, starts
from support.slurm_lab import SlurmLab
from support.watching import CONFIG, statuses, tick_until, tick_until_idle, watching

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("environ")]


@pytest.fixture(scope="module")
def lab() -> Iterator[SlurmLab]:
    with SlurmLab() as started:
        yield started


@pytest.fixture
def environ(lab: SlurmLab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in lab.environ.items():
        monkeypatch.setenv(name, value)


class Site:
    """A drive with one signal, and stand-in workers."""

    def __init__(self, drive: Drive, folder: Path) -> None:
        self.drive, self.state, self.fake = drive, folder / "state", folder / "fake"
        self.python = make_stub(self.fake)
        publish_training(drive, "e1")

    def watching(self, config: WatcherConfig) -> Any:
        return watching(self.drive, self.state, self.python, config)

    def check(self, starts_of_workers: int) -> None:
        """Each worker that started had a claim of its own, and the databases follow from the journal."""
        jobs = [line.split()[2] for line in starts(self.fake)]
        assert len(jobs) == starts_of_workers
        assert len(set(jobs)) == len(jobs) <= len(list((self.drive.locks / "claims").iterdir()))
        assert rebuild.check(self.drive, self.state) == []


@pytest.fixture
def site(drive: Drive, tmp_path: Path) -> Site:
    return Site(drive, tmp_path)


def settings(vanished_after_s: float = 300.0, **stage: Any) -> WatcherConfig:
    small = Resources(time="00:05:00", mem="100M", cpus_per_task=1)
    of_all = StageSettings(resources=small, most_mem="400M", **stage)
    return msgspec.structs.replace(
        CONFIG,
        executor="slurm",
        vanished_after_s=vanished_after_s,
        slurm=msgspec.structs.replace(CONFIG.slurm, poll_every_s=0.3, command_timeout_s=30),
        stages={"evaluation": of_all, "analysis": of_all},
    )


def test_a_watcher_that_ends_in_doubt_leaves_one_job(lab: SlurmLab, site: Site) -> None:
    """The controller hangs, sbatch times out, the watcher goes; the job is queued all the same."""
    with site.watching(settings()) as watcher:
        watcher.tick(utc_now())
        with lab.frozen():
            watcher.tick(utc_now())
    with site.watching(settings()) as watcher:
        assert watcher.store.rows("evaluation", "jobs")[0]["submitted_at"] is None
        tick_until_idle(watcher)
        assert statuses(watcher, "analysis") == ["completed"]
    site.check(starts_of_workers=2)


def test_a_job_that_the_controller_lost_is_done_by_the_next_attempt(lab: SlurmLab, site: Site) -> None:
    """Its id is another job's by now: that one is not ours, neither to wait for nor to cancel."""
    stranger = site.fake / "stranger.sh"
    stranger.write_text("#!/bin/bash\n#SBATCH --output=/dev/null\nsleep 1000\n")
    with site.watching(settings(vanished_after_s=1.0)) as watcher:
        with lab.forgotten():
            lab.run("scontrol", "update", "partitionname=main", "state=down")
            tick_until(watcher, lambda: watcher.store.rows("evaluation", "jobs")[:1] != [])
            tick_until(watcher, lambda: watcher.store.rows("evaluation", "jobs")[0]["submitted_at"])
        lab.run("scontrol", "update", "partitionname=main", "state=up")
        lost = watcher.store.rows("evaluation", "jobs")[0]["slurm_job_id"]
        other = lab.run("sbatch", "--parsable", "--mem=10", str(stranger)).strip()
        assert other == lost
        tick_until_idle(watcher)
        first, second = reversed(watcher.store.rows("evaluation", "jobs"))
    assert (first["status"], first["failure_class"]) == ("failed", "vanished")
    assert second["status"] == "completed"
    assert lab.state(other) == "RUNNING"
    lab.run("scancel", other)
    site.check(starts_of_workers=2)


def test_a_job_whose_slurmd_died_ends_all_the_same(lab: SlurmLab, site: Site) -> None:
    gate = site.fake / "gate"
    (site.fake / "e1-evaluation").write_text(f"await {gate}")
    with site.watching(settings()) as watcher:
        tick_until(watcher, lambda: len(starts(site.fake)) == 1)
        node = lab.run("squeue", "-h", "-t", "running", "-o", "%N").strip()
        with lab.killed(node):
            gate.touch()
            tick_until(watcher, lambda: statuses(watcher, "analysis") == ["completed"])
        tick_until_idle(watcher)
        assert statuses(watcher, "evaluation") == ["completed"]
    site.check(starts_of_workers=2)


def test_a_node_that_dies_while_no_watcher_looks_costs_one_attempt(lab: SlurmLab, site: Site) -> None:
    (site.fake / "e1-evaluation").write_text("once slow 600")
    config = settings(extra_directives=["--no-requeue"])
    with site.watching(config) as watcher:
        tick_until(watcher, lambda: len(starts(site.fake)) == 1)
    node = lab.run("squeue", "-h", "-t", "running", "-o", "%N").strip()
    with lab.down(node), site.watching(config) as watcher:
        tick_until_idle(watcher)
        first, second = reversed(watcher.store.rows("evaluation", "jobs"))
    assert (first["status"], first["failure_class"]) == ("failed", "node")
    assert (second["status"], node in str(second["resources"])) == ("completed", True), (
        "another node is asked"
    )
    site.check(starts_of_workers=3)


def test_what_ran_out_of_memory_is_done_with_more(lab: SlurmLab, site: Site) -> None:
    if not lab.limits_memory:
        pytest.skip("no writable cgroup v1 memory controller here, so Slurm cannot limit memory")
    (site.fake / "e1-evaluation").write_text("eat 140")
    with site.watching(settings()) as watcher:
        tick_until_idle(watcher)
        first, second = reversed(watcher.store.rows("evaluation", "jobs"))
    assert (first["status"], first["failure_class"]) == ("failed", "resources")
    assert second["status"] == "completed"
    assert msgspec.json.decode(second["resources"])["mem"] == "200M"
    site.check(starts_of_workers=3)
