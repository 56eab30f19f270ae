"""A state machine tells stories about one drive, and looks for one in which something goes wrong."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from heliograph.executors.base import JobState
from heliograph.protocol import events as ev
from property.stage_play import STAGES, Play

experiments = st.sampled_from(["a", "b"])
steps_of_time = st.sampled_from([0.1, 1.0, 3.0, 35.0, 301.0, 3600.0, -5.0, -3600.0])
rarely = st.integers(0, 4).map(lambda number: number == 0)
ended_from_outside = st.sampled_from([JobState.NODE_FAIL, JobState.CANCELLED, JobState.TIMEOUT, None])


class Pipeline(RuleBasedStateMachine):
    """Everything that may happen, in any order."""

    play: Play

    @initialize()
    def begin(self) -> None:
        self.play = Play()
        self.steps = 0

    def teardown(self) -> None:
        if not hasattr(self, "play"):
            return
        try:
            self.play.drain()
            self.play.check_nothing_is_lost()
            self.play.check_rebuild()
        finally:
            self.play.close()

    # signals

    @rule(experiment=experiments)
    def a_training_ends(self, experiment: str) -> None:
        self.play.publish(experiment, anew=True)

    @precondition(lambda self: self.play.contents)
    @rule(data=st.data())
    def a_signal_is_published_again(self, data: st.DataObject) -> None:
        self.play.publish(self._some_experiment(data), anew=False)

    @precondition(lambda self: self.play.contents)
    @rule(data=st.data())
    def a_signal_is_touched(self, data: st.DataObject) -> None:
        os.utime(self.play.signal_path(self._some_experiment(data)))

    @precondition(lambda self: self.play.contents)
    @rule(data=st.data(), length=st.sampled_from([0, 1, 40]))
    def a_signal_is_cut(self, data: st.DataObject, length: int) -> None:
        self.play.cut(self._some_experiment(data), length)

    @precondition(lambda self: self.play.kept)
    @rule()
    def cut_signals_are_whole_again(self) -> None:
        for experiment in list(self.play.kept):
            self.play.mend(experiment)

    @rule(experiment=experiments, late=rarely)
    def the_doorbell_rings(self, experiment: str, late: bool) -> None:
        told = ev.SignalPublished(experiment=experiment, stage="training", path="/somewhere", sha256="5" * 64)
        self.play.post(told, late=late)

    @rule(number=st.integers(0, 20))
    def a_late_event_arrives(self, number: int) -> None:
        self.play.arrive(number)

    # the watcher

    @rule(seconds=steps_of_time)
    def a_pass(self, seconds: float) -> None:
        self.play.tick(seconds)

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0]), times=st.integers(2, 5))
    def some_passes(self, seconds: float, times: int) -> None:
        for _ in range(times):
            self.play.tick(seconds)

    @rule()
    def the_watcher_is_restarted(self) -> None:
        self.play.restart_watcher()
        self.play.check_rebuild()

    @rule(seconds=st.sampled_from([0.1, 3.0]), step=st.integers(0, 40))
    def the_watcher_dies(self, seconds: float, step: int) -> None:
        self.play.die_in_tick(seconds, step)
        self.play.check_finals()

    @rule()
    def a_second_watcher_tries(self) -> None:
        self.play.second_watcher_is_refused()

    # jobs

    @precondition(lambda self: self.play.jobs_in(JobState.PENDING))
    @rule(data=st.data(), late=rarely)
    def a_job_starts(self, data: st.DataObject, late: bool) -> None:
        job = data.draw(st.sampled_from(self.play.jobs_in(JobState.PENDING)), label="job")
        self.play.start_job(job, late=late)

    @precondition(lambda self: self.play.runs)
    @rule(data=st.data(), exit_code=st.sampled_from([0, 0, 0, 1, 3]), late=rarely)
    def a_job_ends(self, data: st.DataObject, exit_code: int, late: bool) -> None:
        run = self.play.runs[data.draw(st.sampled_from(sorted(self.play.runs)), label="job")]
        self.play.end_job(run, exit_code, late=late)

    @precondition(lambda self: any(not job.state.is_over for job in self.play.executor.jobs))
    @rule(data=st.data(), state=ended_from_outside, reuse_id=st.booleans())
    def a_job_is_ended_from_outside(
        self, data: st.DataObject, state: JobState | None, reuse_id: bool
    ) -> None:
        jobs = [job for job in self.play.executor.jobs if not job.state.is_over]
        self.play.lose_job(data.draw(st.sampled_from(jobs), label="job"), state, reuse_id=reuse_id)

    @rule(what=st.sampled_from(["taken", "lost", "late", "transient", "hold"]))
    def the_next_submission_goes_wrong(self, what: str) -> None:
        self.play.executor.next_submissions.append(what)

    @rule(silent=st.booleans())
    def polls_fail_or_work_again(self, silent: bool) -> None:
        self.play.executor.is_silent = silent

    # requests

    @rule(experiment=experiments, stage=st.sampled_from(STAGES))
    def somebody_asks_for_a_retry(self, experiment: str, stage: str) -> None:
        self.play.post(ev.RetryRequested(experiment=experiment, stage=stage), late=False)

    @rule(experiment=experiments, stage=st.sampled_from(STAGES))
    def somebody_cancels(self, experiment: str, stage: str) -> None:
        self.play.post(ev.CancelRequested(experiment=experiment, stage=stage), late=False)

    # what holds

    @invariant()
    def what_is_final_stays(self) -> None:
        if hasattr(self, "play"):
            self.play.check_finals()

    def _some_experiment(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.play.contents)), label="experiment")


TestPipeline = Pipeline.TestCase
TestPipeline.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
