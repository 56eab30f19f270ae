"""One drive, one watcher at a time, and everything that may happen to them; time is a value.

The jobs are played: what `heliograph job` and a stage's program do is done here, step by step, so that the
test decides the order in which events arrive, jobs end and processes die.
"""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
import subprocess
import tempfile
from collections import Counter
from contextlib import ExitStack, closing, suppress
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from heliograph import durable
from heliograph.drive import Drive
from heliograph.errors import LeaseHeld, NotPublished
from heliograph.executors.base import JobState
from heliograph.files import write_atomic
from heliograph.job import JobSpec
from heliograph.names import host_name, utc_now
from heliograph.protocol import events as ev
from heliograph.protocol.outbox import Outbox
from heliograph.protocol.signals import TRAINING_COMPLETE
from heliograph.runner.claims import Claim
from heliograph.state import journal, rebuild
from heliograph.state.databases import DATABASES, open_snapshot
from heliograph.state.lease import read_holder
from heliograph.state.publish import fetch_snapshot
from heliograph.watcher.daemon import Watcher
from support.drives import NOW, make_drive, publish_analysis, publish_evaluation, publish_training
from support.played import PlayedExecutor, PlayedJob
from support.watching import CONFIG, watching

FINAL = ("completed", "failed")
STAGES = ("evaluation", "analysis")
CONFIGURATION = msgspec.structs.replace(CONFIG, publish_every_s=1.0)


class Crash(BaseException):
    """Stands for the end of the process: from then on, none of its durable steps happens."""


class Run(Struct):
    """One job that claimed its attempt and works."""

    job: PlayedJob
    spec: JobSpec


class Play:
    """The drive and all that is on stage."""

    def __init__(self) -> None:
        fast = Path("/dev/shm")
        self.root = Path(tempfile.mkdtemp(dir=fast if os.access(fast, os.W_OK) else None))
        self.drive: Drive = make_drive(self.root / "drive")
        self.state = self.root / "state"
        self.limbo = self.root / "limbo"
        self.limbo.mkdir()
        self.now: datetime = utc_now()
        self.latest = self.now
        self.executor = PlayedExecutor(clock=lambda: self.now)
        self.outbox = Outbox(self.drive, self.root / "spool")
        self.contents: dict[str, int] = {}
        self.kept: dict[str, bytes] = {}
        self.runs: dict[str, Run] = {}
        self.succeeded: Counter[tuple[str, str, str]] = Counter()
        self.finals: dict[str, str] = {}
        self.looked_at: dict[str, str] = {}
        self.watcher: Watcher
        self._stack = ExitStack()
        self.start_watcher()

    def close(self) -> None:
        self._leave()
        shutil.rmtree(self.root)

    # the watcher

    def start_watcher(self) -> None:
        """Start one. That takes longer than a job may take to show."""
        for job in self.executor.jobs:
            job.shows_at = None
        context = watching(
            self.drive, self.state, self.root / "bin" / "python", CONFIGURATION, lambda _: self.executor
        )
        self.watcher = self._stack.enter_context(context)

    def _leave(self) -> None:
        self._stack.close()
        self._stack = ExitStack()

    def restart_watcher(self) -> None:
        self._leave()
        self.start_watcher()

    def tick(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.latest = max(self.latest, self.now)
        try:
            self.watcher.tick(self.now)
        finally:  # a job that was cancelled works no more
            self.runs = {name: run for name, run in self.runs.items() if not run.job.state.is_over}

    def ticks(self, times: int, seconds: float = 1.0) -> None:
        for _ in range(times):
            self.tick(seconds)

    def die_in_tick(self, seconds: float, step: int) -> None:
        """Let the watcher's process end before one of the steps of a pass, and another one start."""
        left = [step]

        def die(moment: str, kind: str, what: str) -> None:
            if left[0] <= 0:
                raise Crash
            left[0] -= moment == "before"

        durable.install_hook(die)
        try:
            self.tick(seconds)
            left[0] = 0
            self._leave()
        except Crash:
            left[0] = 0
            self._die()
        finally:
            durable.install_hook(None)
        self._bury()
        self.start_watcher()

    def _die(self) -> None:
        with suppress(Crash):
            self._stack.__exit__(Crash, Crash(), None)
        self._stack = ExitStack()

    def _bury(self) -> None:
        """The lease names this process, which lives: let it name one that does not."""
        if not self.drive.lease.exists():
            return
        holder = read_holder(self.drive)
        if holder is None:  # it died before it wrote its name: believed dead after 30 s
            shutil.rmtree(self.drive.lease)
            return
        gone = subprocess.Popen(["true"])
        gone.wait()
        named = msgspec.structs.replace(holder, pid=gone.pid)
        write_atomic(self.drive.lease / "holder.json", msgspec.json.encode(named))

    def second_watcher_is_refused(self) -> None:
        try:
            with watching(self.drive, self.state, self.root, CONFIGURATION, lambda _: self.executor):
                raise AssertionError("two watchers serve one drive")
        except LeaseHeld:
            return

    # training

    def publish(self, experiment: str, *, anew: bool) -> None:
        """Publish the training signal: the same content again, or that of a new training."""
        if anew or experiment not in self.contents:
            self.contents[experiment] = self.contents.get(experiment, 0) + 1
        self.kept.pop(experiment, None)
        publish_training(self.drive, experiment, timestamp=NOW + timedelta(hours=self.contents[experiment]))

    def signal_path(self, experiment: str) -> Path:
        return TRAINING_COMPLETE.path(self.drive, experiment)

    def cut(self, experiment: str, length: int) -> None:
        """Show a part of the signal only, as a network drive may."""
        path = self.signal_path(experiment)
        self.kept.setdefault(experiment, path.read_bytes())
        path.write_bytes(self.kept[experiment][:length])

    def mend(self, experiment: str) -> None:
        if experiment in self.kept:
            self.signal_path(experiment).write_bytes(self.kept.pop(experiment))

    # events

    def post(self, body: ev.Body, *, late: bool) -> None:
        """Post an event; a late one waits in limbo, where its order is lost."""
        event = self.outbox.post(body)
        if late:
            path = ev.event_path(self.drive, event.id)
            path.rename(self.limbo / path.name)

    def late_events(self) -> list[Path]:
        return sorted(self.limbo.iterdir())

    def arrive(self, number: int) -> None:
        """Let one of the late events arrive."""
        if waiting := self.late_events():
            path = waiting[number % len(waiting)]
            path.rename(self.drive.inbox / path.name)

    # jobs

    def jobs_in(self, state: JobState) -> list[PlayedJob]:
        return [job for job in self.executor.jobs if job.state is state]

    def open_jobs(self) -> list[PlayedJob]:
        return [job for job in self.executor.jobs if not job.state.is_over]

    def start_job(self, job: PlayedJob, *, late: bool) -> None:
        """What `heliograph job` does at first: it claims, and leaves when the attempt is another job's."""
        spec = _spec_of(job)
        self.executor.start(job)
        if not Claim(self.drive, spec.token, part=None, restarts=0).take(job.id):
            self.executor.end(job, JobState.COMPLETED, exit_code=0)
            return
        key = (spec.experiment, spec.stage, spec.signal_sha256)
        twins = [run.job.id for run in self.runs.values() if _key(run.spec) == key]
        assert twins == [], f"{job.id} works on {key}, and so does {twins}"
        assert not self.succeeded[key], f"{job.id} works on {key}, which is done"
        self.runs[job.id] = Run(job, spec)
        about = {"experiment": spec.experiment, "stage": spec.stage, "token": spec.token}
        told = ev.JobStarted(**about, job_id=job.id, hostname=host_name(), signal_sha256=spec.signal_sha256)
        self.post(told, late=late)

    def end_job(self, run: Run, exit_code: int, *, late: bool) -> None:
        """What a stage's program and `heliograph job` do at last."""
        spec, job = run.spec, run.job
        if exit_code == 0:
            write = publish_evaluation if spec.stage == "evaluation" else publish_analysis
            write(self.drive, spec.experiment, job.id)
            self.succeeded[_key(spec)] += 1
        about = {"experiment": spec.experiment, "stage": spec.stage, "token": spec.token}
        self.post(ev.JobEnded(**about, exit_code=exit_code), late=late)
        state = JobState.FAILED if exit_code else JobState.COMPLETED
        self.executor.end(job, state, exit_code=exit_code)
        del self.runs[job.id]

    def lose_job(self, job: PlayedJob, state: JobState | None, *, reuse_id: bool = False) -> None:
        """End a job from outside; with no state, the scheduler forgets that there was one."""
        self.runs.pop(job.id, None)
        if state is None:
            self.executor.forget(job, reuse_id=reuse_id)
        else:
            self.executor.end(job, state)

    # what holds

    def rows(self, stage: str) -> list[dict[str, object]]:
        return self.watcher.store.rows(stage, "jobs")

    def check_finals(self) -> None:
        """Final states never leave, and no content of a trigger has two attempts that are completed."""
        for stage in STAGES:
            rows = {str(row["token"]): row for row in self.rows(stage)}
            for token, row in rows.items():
                old = self.finals.get(token)
                assert old in (None, row["status"]), f"{token} was {old} and is {row['status']}"
                if row["status"] in FINAL:
                    self.finals[token] = str(row["status"])
            done = Counter(
                (row["experiment_name"], row["signal_sha256"])
                for row in rows.values()
                if row["status"] == "completed"
            )
            assert all(count == 1 for count in done.values()), f"{stage}: {done}"
        assert all(count == 1 for count in self.succeeded.values()), self.succeeded

    def check_snapshots(self) -> None:
        """What is published can be verified, and is never ahead of the journal."""
        for stage in DATABASES:
            try:
                copy, pointer = fetch_snapshot(self.drive, stage, self.root / "copies")
            except NotPublished:
                continue
            if self.looked_at.get(stage) == pointer.sha256:
                continue
            self.looked_at[stage] = pointer.sha256
            with closing(open_snapshot(copy)) as snapshot:
                told = snapshot.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
            held = max((batch.last for batch in journal.batches(self.drive, stage)), default=0)
            assert told <= held, f"{stage}: the snapshot tells of event {told}, the journal holds {held}"
            copy.unlink()

    def check_rebuild(self) -> None:
        assert rebuild.check(self.drive, self.state) == []

    def drain(self) -> None:
        """Set the clock right, and let all that is under way end, with nothing in the way any more."""
        self.now = self.latest
        self.executor.is_silent = False
        self.executor.next_submissions.clear()
        for experiment in list(self.kept):
            self.mend(experiment)
        searched_at = self.now + timedelta(seconds=CONFIGURATION.detection.full_sweep_every_s + 60)
        for _ in range(400):
            while self.late_events():
                self.arrive(0)
            for run in list(self.runs.values()):
                self.end_job(run, 0, late=False)
            for job in self.jobs_in(JobState.PENDING):
                self.start_job(job, late=False)
            self.tick(60)
            self.check_finals()
            if self.is_quiet() and self.now >= searched_at:
                return
            if self.is_quiet():  # what nobody announced is found by the search
                self.tick((searched_at - self.now).total_seconds())
        raise AssertionError(f"it does not come to an end: {[self.rows(stage) for stage in STAGES]}")

    def is_quiet(self) -> bool:
        busy = self.runs or self.open_jobs() or self.late_events()
        return not busy and self.watcher.is_idle()

    def check_nothing_is_lost(self) -> None:
        """The newest content of every signal was worked on, and each end of the one stage by the next."""
        for experiment in self.contents:
            evaluations = [row for row in self.rows("evaluation") if row["experiment_name"] == experiment]
            assert evaluations, f"{experiment}: its signal was never worked on"
            assert all(row["status"] in FINAL for row in evaluations), evaluations
            wanted = self.newest_sha256(experiment)
            assert evaluations[0]["signal_sha256"] == wanted, f"{experiment}: not its newest content"
            analyses = [row for row in self.rows("analysis") if row["experiment_name"] == experiment]
            if any(row["status"] == "completed" for row in evaluations):
                assert analyses, f"{experiment}: its evaluation was completed, and is not analysed"

    def newest_sha256(self, experiment: str) -> str:
        from heliograph.protocol.signals import read_signal

        return read_signal(self.signal_path(experiment), TRAINING_COMPLETE, experiment).sha256


def _spec_of(job: PlayedJob) -> JobSpec:
    """Read from a job's script what `heliograph job` is told there."""
    line = next(line for line in job.script.decode().splitlines() if " job --stage " in line)
    words = shlex.split(line.removesuffix("\\"))
    told = dict(itertools.pairwise(words))
    return JobSpec(
        experiment=told["--experiment"],
        stage=told["--stage"],
        token=told["--token"],
        signal_sha256=told["--signal-sha256"],
        input_path=told["--input"],
    )


def _key(spec: JobSpec) -> tuple[str, str, str]:
    return spec.experiment, spec.stage, spec.signal_sha256
