"""The in-job runner: `heliograph job … -- COMMAND` inside a batch job.

1. It claims the attempt, which has one winner: a job that was submitted twice runs once (runner/claims.py).
2. It tells that it started, that it lives, and how it ended, by events. What the drive does not take waits on
   the node, and is delivered by this job or by the next one there.
3. It passes SIGTERM on, and has the command leave when the time limit is near (runner/command.py).
4. As one part of a job array it does that part, and if it ends last, what is left to do in the end.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence

from msgspec import Struct

from heliograph.drive import Drive
from heliograph.errors import BadInput, DriveError
from heliograph.names import host_name
from heliograph.protocol.events import Body, JobEnded, JobHeartbeat, JobStarted
from heliograph.protocol.outbox import Outbox
from heliograph.runner.claims import Claim
from heliograph.runner.command import Ended, Warden, run_command

log = logging.getLogger(__name__)
HEARTBEAT_S = 60.0
_HAS_ENDED = (0, BadInput.exit_code)  # what failed for good fails again: the end is to tell of it


class JobSpec(Struct, frozen=True, kw_only=True):
    """Which attempt this job is."""

    experiment: str
    stage: str
    token: str
    signal_sha256: str
    input_path: str
    part: str | None = None
    """of a job array: the part that this task does"""
    parts: int = 0
    """of a job array: how many parts there are"""


def job_id_from(environ: Mapping[str, str], token: str) -> str:
    """Return the scheduler's id of this job, of a task the array's; the token outside any scheduler."""
    names = ("SLURM_ARRAY_JOB_ID", "SLURM_JOB_ID", "HELIOGRAPH_JOB_ID")
    return next((environ[name] for name in names if environ.get(name)), token)


def restarts_from(environ: Mapping[str, str]) -> int:
    """Return how often Slurm has started this very job again: somebody requeued it, or its node died."""
    count = environ.get("SLURM_RESTART_COUNT", "")
    return int(count) if count.isdecimal() else 0


def run_job(
    drive: Drive, outbox: Outbox, spec: JobSpec, command: Sequence[str], environ: Mapping[str, str]
) -> int:
    """Run the command as this attempt; return its exit code (128 + n after signal n), 0 if it is claimed.

    Raises DriveError where it cannot be told whether the attempt is claimed.
    """
    job_id, restarts = job_id_from(environ, spec.token), restarts_from(environ)
    about = {"experiment": spec.experiment, "stage": spec.stage, "token": spec.token, "job_id": job_id}
    claim = Claim(drive, spec.token, part=spec.part, restarts=restarts)
    if not claim.take(job_id):
        log.warning("this attempt runs already in another job; nothing is done here", extra=about)
        return 0
    with Warden() as warden:
        job = _Job(outbox, spec, claim, warden)
        job.tell_start(job_id)
        log.info("started", extra=about)
        seen = child_environment(drive, spec, job_id, environ)
        code = job.run(command, seen) if spec.part is None else job.run_part(command, seen)
    job.deliver()
    log.log(logging.ERROR if code else logging.INFO, "ended with exit code %d", code, extra=about)
    return code


def child_environment(drive: Drive, spec: JobSpec, job_id: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that the stage's command sees."""
    return dict(environ) | {
        "SHARED_DRIVE": str(drive.root),
        "HELIOGRAPH_EXPERIMENT": spec.experiment,
        "HELIOGRAPH_STAGE": spec.stage,
        "HELIOGRAPH_TOKEN": spec.token,
        "HELIOGRAPH_JOB_ID": job_id,
        "HELIOGRAPH_SIGNAL_SHA256": spec.signal_sha256,
    }


class _Job:
    """One start of a job that has claimed its attempt."""

    def __init__(self, outbox: Outbox, spec: JobSpec, claim: Claim, warden: Warden) -> None:
        self.outbox = outbox
        self.spec = spec
        self.claim = claim
        self.warden = warden
        self._about = {"experiment": spec.experiment, "stage": spec.stage, "token": spec.token}
        self._is_superseded = False

    def run(self, command: Sequence[str], environ: Mapping[str, str]) -> int:
        """Run the whole of the work and tell how it ended."""
        return self._tell_end(run_command(command, environ, self.warden, self._beat), part=None)

    def run_part(self, command: Sequence[str], environ: Mapping[str, str]) -> int:
        """Do this part. Whoever ends it last runs the whole: that finds all parts done, and concludes."""
        words = [*command, "--part", str(self.spec.part)]
        code = self._tell_end(run_command(words, environ, self.warden, self._beat), part=self.spec.part)
        if code not in _HAS_ENDED or self._is_superseded:
            return code
        try:
            if not self.claim.has_ended_last(self.spec.parts):
                return code
        except OSError as error:
            raise DriveError(
                folder=self.claim.folder,
                reason=f"the end of part {self.spec.part} cannot be put down: {error.strerror or error}",
                remedy="The next attempt finds what is finished, and goes on.",
            ) from error
        log.info("all %d parts have ended; concluding", self.spec.parts, extra=self._about)
        return self.run(command, environ)

    def tell_start(self, job_id: str) -> None:
        self.deliver()
        self._tell(
            JobStarted(
                experiment=self.spec.experiment,
                stage=self.spec.stage,
                token=self.spec.token,
                job_id=job_id,
                hostname=host_name(),
                signal_sha256=self.spec.signal_sha256,
                input_path=self.spec.input_path,
                restarts=self.claim.restarts,
                part=self.spec.part,
            )
        )

    def _tell_end(self, ended: Ended, part: str | None) -> int:
        """Tell how the work ended, unless it goes on elsewhere; return the exit code."""
        self._look_whether_superseded()
        if not self._is_superseded:
            self._tell(
                JobEnded(
                    experiment=self.spec.experiment,
                    stage=self.spec.stage,
                    token=self.spec.token,
                    restarts=self.claim.restarts,
                    part=part,
                    exit_code=ended.exit_code,
                    error_message=ended.message,
                    error_tail=ended.tail,
                )
            )
        return ended.exit_code

    def _beat(self, ended: threading.Event) -> None:
        """Tell every minute that the job lives; leave where it was started again meanwhile."""
        while not ended.wait(HEARTBEAT_S):
            self._look_whether_superseded()
            if self._is_superseded:
                self.warden.stop()
                continue
            spec = self.spec
            self._tell(JobHeartbeat(experiment=spec.experiment, stage=spec.stage, token=spec.token))
            self.deliver()

    def _look_whether_superseded(self) -> None:
        if not self._is_superseded and self.claim.is_superseded():
            self._is_superseded = True
            log.warning("this job was started again elsewhere; nothing more is told here", extra=self._about)

    def _tell(self, body: Body) -> None:
        """Post an event. Where neither drive nor node take it, the work goes on all the same."""
        try:
            self.outbox.post(body)
        except OSError as error:
            log.warning("an event is lost (%s): %s", error, body, extra=self._about)

    def deliver(self) -> None:
        """Bring to the drive what waits on this node, of this job or an earlier one."""
        try:
            self.outbox.deliver()
        except (OSError, DriveError) as error:
            log.info("events go on waiting in %s: %s", self.outbox.spool, error, extra=self._about)
