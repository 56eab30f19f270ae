"""Dealing with the executor: submit, look up what may have been submitted before, adopt, cancel."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct

from heliograph.config import WatcherConfig
from heliograph.drive import Drive
from heliograph.durable import durable
from heliograph.errors import PollFailed, SubmissionDoubtful, SubmissionRefused
from heliograph.executors.base import Executor, FailureClass, JobReport
from heliograph.files import make_folder, write_atomic
from heliograph.protocol.events import AttemptConcluded, AttemptObserved, AttemptSubmitted
from heliograph.stage_settings import stage_settings
from heliograph.stages.render import ScriptValues, build_script, log_path
from heliograph.stages.stage import Stage
from heliograph.state.store import Store
from heliograph.watcher.plan import Adopt, Cancel, LookUp, Submit
from heliograph.watcher.policy import one_line, retry_delay

log = logging.getLogger(__name__)
CANCEL_AGAIN_S = 30.0
ExecutorByName = Callable[[str], Executor]


class Doubt(Struct):
    """It is not known whether an attempt was handed in."""

    look_up_at: datetime
    until: datetime


class RateLimit:
    """At most `most` submissions in any minute."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._times: deque[datetime] = deque()

    def allows(self, now: datetime) -> bool:
        """Tell whether one more may go out now, and count it if so."""
        # a time to come was told by a clock that has been set back since
        while self._times and not timedelta(0) <= now - self._times[0] < timedelta(minutes=1):
            self._times.popleft()
        if len(self._times) >= self._most:
            return False
        self._times.append(now)
        return True


class Submitter:
    """Carries out Submit and LookUp. Every attempt that an earlier watcher left is in doubt at first."""

    def __init__(
        self,
        drive: Drive,
        store: Store,
        stages: Mapping[str, Stage],
        config: WatcherConfig,
        executor: ExecutorByName,
        *,
        scripts: Path,
        variables: Mapping[str, str],
        python: str,
    ) -> None:
        self.drive = drive
        self.store = store
        self.stages = stages
        self.config = config
        self.python = python
        self.executor = executor
        self.scripts = scripts
        self.variables = variables
        self.doubts: dict[str, Doubt] = {}
        self.to_show: dict[str, bytes] = {}
        """batch scripts of which people get a copy on the drive: {file name: content}"""
        self._cancelled_at: dict[str, datetime] = {}
        self._refusals: dict[str, int] = {}
        self._rate = RateLimit(config.slurm.submissions_per_minute)

    def doubt(self, token: str, executor: str, now: datetime) -> None:
        """From now on the attempt's name is looked up before anything else is done with it."""
        settle = timedelta(seconds=self.executor(executor).settle_s)
        self.doubts[token] = Doubt(look_up_at=now, until=now + settle)

    def submit(self, action: Submit, now: datetime, parts: Sequence[str] = ()) -> None:
        """Hand an attempt in; with `parts`, as a job array with a task for each.

        1. The intent is committed already (`attempt.queued`).
        2. The script is written on the local disk, under the token's name.
        3. The executor takes it, or refuses it, or leaves it in doubt.
        4. The id is recorded. Dying between 3 and 4 leaves a doubt, which the next start resolves.
        """
        if not self._rate.allows(now):
            return
        attempt, stage = action.attempt, self.stages[action.stage]
        script = self._write_script(action, stage, parts)
        job_name = stage.job_name(action.experiment, attempt.token)
        try:
            with durable("submit", job_name):
                job_id = self.executor(attempt.executor).submit(script, job_name)
        except SubmissionDoubtful as error:
            log.warning("%s", error, extra=_context(action))
            self.doubt(attempt.token, attempt.executor, now)
            return
        except SubmissionRefused as error:
            self._refused(action, error, now)
            return
        self._refusals.pop(attempt.token, None)
        self._record_submitted(action, job_id, now, adopted=False)

    def _write_script(self, action: Submit, stage: Stage, parts: Sequence[str]) -> Path:
        attempt = action.attempt
        settings = stage_settings(self.config, stage.name, action.experiment)
        values = ScriptValues(
            experiment=action.experiment,
            token=attempt.token,
            attempt=attempt.number,
            signal_sha256=attempt.signal_sha256,
            input_path=attempt.input_path,
            resources=attempt.resources,
            variables=self.variables,
            parts=list(parts),
        )
        text = build_script(stage, settings, self.drive, values, self.python).encode()
        make_folder(self.scripts)
        script = self.scripts / f"{attempt.token}.sh"
        write_atomic(script, text, mode=0o755)
        self.to_show[stage.script_name(action.experiment)] = text
        return script

    def adopt(self, action: Adopt, now: datetime) -> None:
        """Take over a job that claimed the attempt."""
        self._record_submitted(action, action.job_id, now, adopted=True)

    def cancel(self, action: Cancel, now: datetime) -> None:
        """Ask the scheduler to end the job; again when it has not ended half a minute later."""
        attempt = action.attempt
        asked = self._cancelled_at.get(attempt.token)
        if attempt.job_id is None or (asked and abs((now - asked).total_seconds()) < CANCEL_AGAIN_S):
            return
        job_name = self.stages[action.stage].job_name(action.experiment, attempt.token)
        try:
            with durable("cancel", job_name):
                self.executor(attempt.executor).cancel(attempt.job_id, job_name)
        except PollFailed as error:
            log.warning("%s", error, extra=_context(action))
            return
        self._cancelled_at[attempt.token] = now
        who = attempt.requested_by
        log.info("cancelled, as %s asked", who, extra=_context(action) | {"job_id": attempt.job_id})

    def _record_submitted(
        self, action: Submit | LookUp | Adopt, job_id: str, now: datetime, adopted: bool
    ) -> None:
        stage = self.stages[action.stage]
        script = self.scripts / f"{action.attempt.token}.sh"
        text = script.read_text(encoding="utf-8") if script.exists() else ""
        log_file = (
            log_path(text, job_id) if text else str(self.drive.stage_logs(stage.name) / f"{job_id}.log")
        )
        self.doubts.pop(action.attempt.token, None)
        self.store.record(
            AttemptSubmitted(
                experiment=action.experiment,
                stage=action.stage,
                token=action.attempt.token,
                job_id=job_id,
                script_path=str(self.drive.scripts / stage.script_name(action.experiment)),
                log_path=log_file,
                adopted=adopted,
            ),
            now,
        )
        log.info("%s", "adopted" if adopted else "submitted", extra=_context(action) | {"job_id": job_id})

    def _refused(self, action: Submit, error: SubmissionRefused, now: datetime) -> None:
        """Permanent: told at once. Otherwise the attempt waits, and nothing was spent."""
        attempt = action.attempt
        reason = one_line(error.facts["reason"])
        log.error("%s", error, extra=_context(action))
        if error.failure_class == FailureClass.PERMANENT:
            self.store.record(
                AttemptConcluded(
                    experiment=action.experiment,
                    stage=action.stage,
                    token=attempt.token,
                    status="failed",
                    failure_class=FailureClass.PERMANENT,
                    reason=reason,
                ),
                now,
            )
            return
        tries = self._refusals[attempt.token] = self._refusals.get(attempt.token, 0) + 1
        delay = retry_delay(self.config.retry, tries, attempt.token)
        if error.failure_class == FailureClass.HOLD:
            delay = timedelta(seconds=self.config.retry.longest_delay_s)
        self.store.record(
            AttemptObserved(
                experiment=action.experiment,
                stage=action.stage,
                token=attempt.token,
                state=error.failure_class.upper(),
                reason=reason,
                not_before=now + delay,
            ),
            now,
        )

    def look_up(self, actions: Sequence[LookUp], now: datetime) -> None:
        """Adopt the jobs of these names, asked for in one call an executor; with none after the settle time,
        the doubt ends."""
        by_executor: dict[str, dict[str, LookUp]] = {}
        for action in actions:
            job_name = self.stages[action.stage].job_name(action.experiment, action.attempt.token)
            by_executor.setdefault(action.attempt.executor, {})[job_name] = action
        for name, asked in by_executor.items():
            try:
                with durable("find", name):
                    found = self.executor(name).find(list(asked))
            except PollFailed as error:
                log.warning("%s", error)
                later = now + timedelta(seconds=self.executor(name).poll_every_s)
                self.doubts |= {one.attempt.token: Doubt(later, later) for one in asked.values()}
                continue
            for job_name, action in asked.items():
                self._looked_up(action, found.get(job_name), now)

    def _looked_up(self, action: LookUp, found: Sequence[JobReport] | None, now: datetime) -> None:
        token = action.attempt.token
        if found is None:  # who could tell did not
            later = now + timedelta(seconds=self.executor(action.attempt.executor).poll_every_s)
            self.doubts[token] = Doubt(later, later)
        elif found:
            self._record_submitted(action, found[0].job_id, now, adopted=True)
        elif action.is_last:
            self.doubts.pop(token, None)
        else:
            until = self.doubts[token].until
            self.doubts[token] = Doubt(look_up_at=until, until=until)


def _context(action: Submit | LookUp | Adopt | Cancel) -> dict[str, str]:
    return {"experiment": action.experiment, "stage": action.stage, "token": action.attempt.token}
