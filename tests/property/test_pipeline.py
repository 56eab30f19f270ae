"""A state machine tells stories about one drive, and looks for one in which something goes wrong."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from heliograph.executors.base import JobState
from heliograph.protocol import events as ev
from property.stage_play import STAGES, Play
from support.played import PlayedJob

experiments = st.sampled_from(["a", "b"])
moments = st.sampled_from([0.1, 1.0, 3.0])
jumps = st.sampled_from([35.0, 301.0, 3600.0, -5.0, -3600.0])
rarely = st.integers(0, 4).map(lambda number: number == 0)
exit_codes = st.sampled_from([0, 0, 0, 1, 3])
ends_from_outside = st.sampled_from([JobState.NODE_FAIL, JobState.CANCELLED, JobState.TIMEOUT, None])
troubles = st.sampled_from(["taken", "lost", "late", "transient", "hold"])


class Pipeline(RuleBasedStateMachine):
    """Everything that may happen, in any order."""

    play: Play

    @initialize(both=st.booleans(), trouble=st.none() | troubles)
    def begin(self, both: bool, trouble: str | None) -> None:
        self.play = Play()
        for experiment in ("a", "b")[: 1 + both]:
            self.play.publish(experiment, anew=True)
        if trouble:
            self.play.executor.next_submissions.append(trouble)
        self.play.ticks(3)

    def teardown(self) -> None:
        if not hasattr(self, "play"):
            return
        try:
            self.play.drain()
            self.play.check_nothing_is_lost()
            self.play.check_rebuild()
        finally:
            self.play.close()

    # the watcher

    @rule(seconds=moments, times=st.integers(1, 4))
    def passes(self, seconds: float, times: int) -> None:
        self.play.ticks(times, seconds)

    @rule(seconds=jumps, times=st.integers(1, 2))
    def the_clock_jumps(self, seconds: float, times: int) -> None:
        self.play.ticks(times, seconds)

    @rule(seconds=moments, step=st.integers(0, 40), then=st.integers(0, 3))
    def the_watcher_dies(self, seconds: float, step: int, then: int) -> None:
        self.play.die_in_tick(seconds, step)
        self.play.ticks(then)

    @rule(then_another_tries=rarely)
    def the_watcher_is_restarted(self, then_another_tries: bool) -> None:
        self.play.restart_watcher()
        self.play.check_rebuild()
        if then_another_tries:
            self.play.second_watcher_is_refused()

    # jobs

    @precondition(lambda self: self.play.jobs_in(JobState.PENDING))
    @rule(data=st.data(), late=rarely, then=st.integers(0, 2))
    def a_job_starts(self, data: st.DataObject, late: bool, then: int) -> None:
        self.play.start_job(_one_of(data, self.play.jobs_in(JobState.PENDING)), late=late)
        self.play.ticks(then)

    @precondition(lambda self: self.play.runs)
    @rule(data=st.data(), exit_code=exit_codes, late=rarely, then=st.integers(0, 3))
    def a_job_ends(self, data: st.DataObject, exit_code: int, late: bool, then: int) -> None:
        run = self.play.runs[_one_of(data, [run.job for run in self.play.runs.values()]).id]
        self.play.end_job(run, exit_code, late=late)
        self.play.ticks(then)

    @precondition(lambda self: self.play.open_jobs())
    @rule(data=st.data(), exit_code=exit_codes)
    def a_job_goes_its_way(self, data: st.DataObject, exit_code: int) -> None:
        """It starts and ends while nobody looks, and then somebody does."""
        job = _one_of(data, self.play.open_jobs())
        if job.state is JobState.PENDING:
            self.play.start_job(job, late=False)
        if job.id in self.play.runs:
            self.play.end_job(self.play.runs[job.id], exit_code, late=False)
        self.play.ticks(4)

    @precondition(lambda self: self.play.open_jobs())
    @rule(data=st.data(), state=ends_from_outside, reuse_id=st.booleans(), then=st.integers(0, 3))
    def a_job_is_ended_from_outside(
        self, data: st.DataObject, state: JobState | None, reuse_id: bool, then: int
    ) -> None:
        self.play.lose_job(_one_of(data, self.play.open_jobs()), state, reuse_id=reuse_id)
        self.play.ticks(then)

    @precondition(lambda self: self.play.runs)
    @rule(data=st.data())
    def somebody_submits_a_script_again_by_hand(self, data: st.DataObject) -> None:
        """While its job works. (Of one that only waits: see test_twins.)"""
        self.play.executor.take_again(_one_of(data, [run.job for run in self.play.runs.values()]))

    @rule(what=troubles, and_polls=st.booleans())
    def the_scheduler_has_trouble(self, what: str, and_polls: bool) -> None:
        self.play.executor.next_submissions.append(what)
        self.play.executor.is_silent = and_polls

    @precondition(lambda self: self.play.executor.is_silent)
    @rule()
    def the_scheduler_answers_again(self) -> None:
        self.play.executor.is_silent = False

    # signals and events

    @rule(experiment=experiments, anew=st.booleans(), then=st.integers(0, 3))
    def a_signal_is_published(self, experiment: str, anew: bool, then: int) -> None:
        self.play.publish(experiment, anew=anew)
        os.utime(self.play.signal_path(experiment))
        self.play.ticks(then)

    @precondition(lambda self: self.play.contents)
    @rule(data=st.data(), length=st.sampled_from([0, 1, 40]))
    def a_signal_is_cut(self, data: st.DataObject, length: int) -> None:
        self.play.cut(data.draw(st.sampled_from(sorted(self.play.contents))), length)

    @precondition(lambda self: self.play.kept)
    @rule()
    def cut_signals_are_whole_again(self) -> None:
        for experiment in list(self.play.kept):
            self.play.mend(experiment)

    @rule(experiment=experiments, late=rarely)
    def the_doorbell_rings(self, experiment: str, late: bool) -> None:
        told = ev.SignalPublished(experiment=experiment, stage="training", path="/somewhere", sha256="5" * 64)
        self.play.post(told, late=late)

    @precondition(lambda self: self.play.late_events())
    @rule(number=st.integers(0, 5))
    def a_late_event_arrives(self, number: int) -> None:
        self.play.arrive(number)

    @rule(experiment=experiments, stage=st.sampled_from(STAGES), is_retry=st.booleans())
    def somebody_asks(self, experiment: str, stage: str, is_retry: bool) -> None:
        kind = ev.RetryRequested if is_retry else ev.CancelRequested
        self.play.post(kind(experiment=experiment, stage=stage), late=False)

    # what holds

    @invariant()
    def what_is_final_stays(self) -> None:
        if hasattr(self, "play"):
            self.play.check_finals()
            self.play.check_snapshots()


def _one_of(data: st.DataObject, jobs: list[PlayedJob]) -> PlayedJob:
    """Draw a job, by its id: that can be read in the story."""
    by_id = {job.id: job for job in jobs}
    return by_id[data.draw(st.sampled_from(list(by_id)), label="job")]


TestPipeline = pytest.mark.slow(Pipeline.TestCase)
TestPipeline.settings = settings(
    max_examples=int(os.environ.get("HELIOGRAPH_EXAMPLES", "60")),
    stateful_step_count=40,
    deadline=None,
    derandomize="HELIOGRAPH_EXAMPLES" not in os.environ,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of passes say thousands of lines, and nobody reads them."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
