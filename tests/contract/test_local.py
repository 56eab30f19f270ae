"""The local executor keeps the contract."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.executor_contract import RUNS_FOR_EVER, ExecutorContract
from heliograph.executors.local import LocalExecutor
from support.slurm_lab import wait_until


class LocalSite:
    """This machine, with two slots."""

    SLOTS = 2

    def __init__(self, folder: Path) -> None:
        self.executor = LocalExecutor(folder / "jobs", self.SLOTS, kill_wait_s=1)
        self.environ = dict(os.environ)
        self.construct = f"LocalExecutor(pathlib.Path({str(folder / 'jobs')!r}), {self.SLOTS}, kill_wait_s=1)"
        self.folder = folder
        self.occupants: dict[str, str] = {}

    def keep_waiting(self) -> list[str]:
        script = self.folder / "occupant.sh"
        script.write_text(f"#!/bin/sh\n#SBATCH --output=/dev/null\n{RUNS_FOR_EVER}\n")
        for _ in range(self.SLOTS):
            self.occupants[self.executor.submit(script, "occupant")] = "occupant"
        wait_until(self._all_slots_are_taken, "all slots are taken")
        return []

    def _all_slots_are_taken(self) -> bool:
        reports = self.executor.poll(self.occupants).values()
        return sum(report.started_at is not None for report in reports) == self.SLOTS

    def hasten_time_limit(self, job_id: str) -> None:
        """It is two seconds."""

    def clear(self) -> None:
        for job_id, name in self.occupants.items():
            self.executor.cancel(job_id, name)


class TestLocal(ExecutorContract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[LocalSite]:
        site = LocalSite(tmp_path)
        yield site
        site.clear()
