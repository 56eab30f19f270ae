"""The Slurm executor keeps the contract on a real Slurm, with and without accounting."""

from __future__ import annotations

import pytest

from contract.executor_contract import Bench, ExecutorContract
from heliograph.executors.slurm import SlurmExecutor
from support.slurm_lab import SlurmLab

pytestmark = pytest.mark.slurm


class SlurmSite:
    """A cluster of its own."""

    construct = "SlurmExecutor(30)"

    def __init__(self, lab: SlurmLab, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lab = lab
        for name, value in lab.environ.items():
            monkeypatch.setenv(name, value)
        self.environ = lab.environ
        self.executor = SlurmExecutor(30)

    def keep_waiting(self) -> list[str]:
        return ["--begin=now+1hour"]

    def hasten_time_limit(self, job_id: str) -> None:
        self.lab.run("scontrol", "update", f"jobid={job_id}", "endtime=now+1")


class TestSlurm(ExecutorContract):
    @pytest.fixture
    def site(self, slurm_lab: SlurmLab, monkeypatch: pytest.MonkeyPatch) -> SlurmSite:
        return SlurmSite(slurm_lab, monkeypatch)

    test_the_time_limit = None  # type: ignore[assignment] # takes 30 s; squeue tells it as with accounting


class TestSlurmWithAccounting(ExecutorContract):
    @pytest.fixture
    def site(self, accounting_lab: SlurmLab, monkeypatch: pytest.MonkeyPatch) -> SlurmSite:
        return SlurmSite(accounting_lab, monkeypatch)

    @pytest.mark.slow
    def test_the_time_limit(self, bench: Bench) -> None:
        super().test_the_time_limit(bench)
