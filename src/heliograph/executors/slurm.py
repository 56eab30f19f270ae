"""The executor that hands jobs to Slurm, with as few calls as possible."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from heliograph.errors import ExecutorError, PollFailed
from heliograph.executors import slurm_cli
from heliograph.executors.base import JobReport
from heliograph.executors.command import Answer, check_job_name, run_command
from heliograph.executors.environment import clean_environment
from heliograph.executors.etiquette import CallMeter, Pace

_JOB_ID = re.compile(r"[0-9]+")


class SlurmExecutor:
    """Runs jobs on the cluster that this host's Slurm commands speak to, with or without accounting.

    `meter` counts every command that is run.
    """

    name = "slurm"

    def __init__(
        self,
        command_timeout_s: float,
        *,
        poll_every_s: float = 60.0,
        settle_s: float = 10.0,
        environ: Mapping[str, str] = os.environ,
        meter: CallMeter | None = None,
    ) -> None:
        self.meter = meter or CallMeter()
        self.settle_s = settle_s
        self._pace = Pace(poll_every_s)
        self._last_found: dict[str, JobReport] = {}
        self._timeout_s = command_timeout_s
        self._environ = environ
        self._has_accounting = True  # until sacct says otherwise

    @property
    def calls_last_hour(self) -> int:
        """How many of Slurm's commands were run in the last hour."""
        return self.meter.last_hour()

    @property
    def poll_every_s(self) -> float:
        """How long to wait before the next poll; longer while nothing changes."""
        return self._pace.wait_s

    def submit(self, script: Path, job_name: str) -> str:
        """Hand in a script by sbatch; the contract tells the rest."""
        check_job_name(job_name)
        self._pace.note(news=True)
        # the job inherits the environment of sbatch: nothing is added that is not meant for it
        return slurm_cli.parse_sbatch(self._run(slurm_cli.build_sbatch(script, job_name)))

    def find(self, names: Collection[str]) -> dict[str, list[JobReport]]:
        return {name: self._find(name) for name in names}

    def _find(self, job_name: str) -> list[JobReport]:
        """Look a name up in squeue, and among the ended jobs of the last 30 days in sacct."""
        check_job_name(job_name)
        listed = slurm_cli.parse_squeue(self._ask(slurm_cli.build_squeue(job_name=job_name)))
        known = {report.job_id for report in listed}
        ended = self._accounted(slurm_cli.build_sacct(job_name=job_name))
        return listed + [report for report in ended if report.job_id not in known]

    def poll(self, jobs: Mapping[str, str]) -> dict[str, JobReport]:
        """Ask squeue for all jobs at once, and sacct for those that squeue no longer lists.

        When sacct should be asked and does not answer, nothing at all is told: to leave those jobs out would
        say that nobody knows them.
        """
        try:
            found = self._poll([job_id for job_id in jobs if _JOB_ID.fullmatch(job_id)], jobs)
        except PollFailed:
            self._pace.note(news=False)
            raise
        self._pace.note(news=found != self._last_found)
        self._last_found = found
        return found

    def _poll(self, ids: Sequence[str], jobs: Mapping[str, str]) -> dict[str, JobReport]:
        def ours(reports: Sequence[JobReport]) -> dict[str, JobReport]:
            return {report.job_id: report for report in reports if jobs.get(report.job_id) == report.name}

        if not ids:
            return {}
        found = ours(slurm_cli.parse_squeue(self._ask(slurm_cli.build_squeue(job_ids=ids))))
        if missing := [job_id for job_id in ids if job_id not in found]:
            found |= ours(self._accounted(slurm_cli.build_sacct(job_ids=missing)))
        return found

    def cancel(self, job_id: str, job_name: str) -> None:
        """Cancel by scancel, which itself compares the name."""
        check_job_name(job_name)
        if _JOB_ID.fullmatch(job_id):
            slurm_cli.parse_scancel(self._run(slurm_cli.build_scancel(job_id, job_name)))

    def _accounted(self, argv: Sequence[str]) -> list[JobReport]:
        if not self._has_accounting:
            return []
        ended = slurm_cli.parse_sacct(self._ask(argv))
        self._has_accounting = ended is not None
        return ended or []

    def _ask(self, argv: Sequence[str]) -> Answer:
        return self._run(argv, slurm_cli.TIME_FORMAT)

    def _run(self, argv: Sequence[str], more: Mapping[str, str] | None = None) -> Answer:
        self.meter.count()
        return run_command(argv, clean_environment(self._environ) | dict(more or {}), self._timeout_s)


def slurm_answers(timeout_s: float, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether Slurm is installed here and a controller answers.

    Raises ExecutorError on a cluster whose controller is away: its jobs do not belong on this host instead.
    """
    answer = run_command(slurm_cli.build_ping(), clean_environment(environ), timeout_s)
    if slurm_cli.tells_of_down_controller(answer):
        reason = (
            "this host belongs to a cluster whose controller does not answer (scontrol ping says DOWN). "
            "Wait for it, or say executor: slurm or executor: local in config/watcher.yaml"
        )
        raise ExecutorError(executor=SlurmExecutor.name, reason=reason)
    return slurm_cli.parse_ping(answer)
