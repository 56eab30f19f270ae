"""The executor that hands jobs to Slurm, with as few calls as possible."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from heliograph.errors import ExecutorError, PollFailed
from heliograph.executors import slurm_cli
from heliograph.executors.base import JobReport, JobState
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
        """Look names up in squeue, and among the ended jobs of the last 30 days in sacct.

        While accounting is away, only the names that squeue lists are told of.
        """
        found: dict[str, list[JobReport]] = {check_job_name(name): [] for name in names}
        listed = self._listed(job_names=list(found))
        try:
            ended = self._accounted(job_names=list(found))
        except PollFailed:
            found, ended = {report.name: [] for report in listed}, []
        known = {report.job_id for report in listed}
        for report in listed + [report for report in ended if report.job_id not in known]:
            if report.name in found:  # to MariaDB, and so to sacct, A and a are the same
                found[report.name].append(report)
        return found

    def poll(self, jobs: Mapping[str, str]) -> dict[str, JobReport]:
        """Ask squeue for all jobs at once, and sacct for those that squeue no longer lists.

        Where sacct does not answer, these are UNKNOWN: to leave them out would say that nobody knows them.
        """
        ids = [job_id for job_id in jobs if _JOB_ID.fullmatch(job_id)]
        try:
            found, unknown = self._poll(ids, jobs)
        except PollFailed:
            self._pace.note(news=False)
            raise
        self._pace.note(news=found != self._last_found and not unknown)
        self._last_found = found
        return found | unknown

    def _poll(
        self, ids: Sequence[str], jobs: Mapping[str, str]
    ) -> tuple[dict[str, JobReport], dict[str, JobReport]]:
        """Return what is known, and of the others why it is not."""

        def ours(reports: Sequence[JobReport]) -> dict[str, JobReport]:
            return {report.job_id: report for report in reports if jobs.get(report.job_id) == report.name}

        found = ours(self._listed(job_ids=ids))
        missing = [job_id for job_id in ids if job_id not in found]
        try:
            ended = self._accounted(job_ids=missing)
        except PollFailed as error:
            why = error.facts["reason"]
            told = {
                job_id: JobReport(job_id=job_id, name=jobs[job_id], state=JobState.UNKNOWN, reason=why)
                for job_id in missing
            }
            return found, told
        return found | ours(ended), {}

    def cancel(self, job_id: str, job_name: str) -> None:
        """Cancel by scancel, which itself compares the name."""
        check_job_name(job_name)
        if _JOB_ID.fullmatch(job_id):
            slurm_cli.parse_scancel(self._run(slurm_cli.build_scancel(job_id, job_name)))

    def _listed(self, **which: Sequence[str]) -> list[JobReport]:
        """Ask squeue by `job_ids` or `job_names`, in one call unless they are thousands."""
        calls = slurm_cli.build_squeue(**which)
        return [report for argv in calls for report in slurm_cli.parse_squeue(self._ask(argv))]

    def _accounted(self, **which: Sequence[str]) -> list[JobReport]:
        """Ask sacct in the same way, where there is accounting."""
        ended: list[JobReport] = []
        for argv in slurm_cli.build_sacct(**which) if self._has_accounting else ():
            told = slurm_cli.parse_sacct(self._ask(argv))
            if told is None:
                self._has_accounting = False
                return []
            ended += told
        return ended

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
