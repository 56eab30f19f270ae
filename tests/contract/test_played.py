"""The executor of the state machine keeps the contract, as far as it can without other processes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from contract.executor_contract import ExecutorContract
from support.played import PlayedExecutor
from support.scripts_run import ScriptsRun


class PlayedSite:
    """This process, which also runs the scripts."""

    construct = "None"  # nobody else can hand anything in

    def __init__(self) -> None:
        self.scripts = ScriptsRun()
        self.executor = self.scripts.executor = PlayedExecutor(self.scripts)
        self.environ = dict(os.environ)

    def keep_waiting(self) -> list[str]:
        self.scripts.is_full = True
        return []

    def hasten_time_limit(self, job_id: str) -> None:
        """It is two seconds."""


class TestPlayed(ExecutorContract):
    @pytest.fixture
    def site(self) -> Iterator[PlayedSite]:
        site = PlayedSite()
        yield site
        site.scripts.close()

    # its jobs are this process's: another one cannot submit, and none survives
    test_a_job_survives_whoever_submitted_it = None  # type: ignore[assignment]
    test_submitters_at_the_same_time_get_ids_of_their_own = None  # type: ignore[assignment]
