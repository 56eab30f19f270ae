"""The whole stage: what one `heliograph evaluate` does, and how it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from heliograph.drive import Drive
from heliograph.errors import DriveError, HeliographError, StageFailed
from heliograph.evaluation.attempt import STAGE, Attempt
from heliograph.evaluation.conclusion import Conclusion, Outcome, failure_text, publish_failure
from heliograph.evaluation.plan import Options, Plan, make_plan
from heliograph.evaluation.progress import Display, Progress
from heliograph.evaluation.worker import Results, Tools, Worker
from heliograph.names import utc_now
from heliograph.protocol.events import JobHeartbeat
from heliograph.protocol.outbox import Outbox
from heliograph.stages.attempt import telling_by_hand

_MEMORY_WORDS = ("out of memory", "allocate memory")  # CUDA's and the CPU allocator's words


def make_tools(
    drive: Drive,
    outbox: Outbox,
    attempt: Attempt,
    display: Display,
    check_stop: Callable[[], None],
    part: str | None = None,
) -> Tools:
    """Put together what the worker acts with: heartbeats go out as events, times are the wall clock's.

    How far one part of a job array is, says nothing of the whole, and is not told.
    """

    def beat(done: int, total: int, doing: str) -> None:
        outbox.post(
            JobHeartbeat(
                experiment=attempt.experiment,
                stage=STAGE,
                token=attempt.token,
                done=None if part else done,
                total=None if part else total,
                doing=doing,
            )
        )

    progress = Progress(display, beat, time.monotonic)
    return Tools(drive=drive, outbox=outbox, progress=progress, clock=utc_now, check_stop=check_stop)


def run_evaluation(tools: Tools, attempt: Attempt, options: Options, mlflow_uri: str | None) -> Outcome:
    """Evaluate an experiment and publish how it ended.

    Raises what `make_plan` raises (published as .eval_failed in a job only: by hand, somebody reads it),
    DriveError where the drive fails, StageFailed where memory does not suffice, Stopped when asked to.
    """
    with _drive_errors(tools.drive, attempt):
        tools.drive.read_id()  # an unmounted drive is an empty local folder: never write into it
        try:
            plan = make_plan(tools.drive, options)
        except HeliographError as error:
            if not attempt.by_hand:
                publish_failure(tools, attempt, str(error), type(error).__name__, "plan")
            raise
        if options.part is not None:
            return _evaluate_part(tools, attempt, plan)
        with telling_by_hand(tools.outbox, STAGE, attempt, str(plan.checkpoints[-1])) as ending:
            outcome = _evaluate(tools, attempt, plan, mlflow_uri)
            ending.set(outcome.exit_code, failure_text(outcome.failures) or None)
            return outcome


def _evaluate_part(tools: Tools, attempt: Attempt, plan: Plan) -> Outcome:
    """Evaluate one checkpoint and publish nothing: that is for whoever finds all of them evaluated."""
    began, started_at = time.monotonic(), tools.clock()
    results = _work(tools, attempt, plan)
    duration_s = round(time.monotonic() - began, 3)
    tools.progress.finish()
    part = Conclusion(
        attempt=attempt, plan=plan, results=results, started_at=started_at, duration_s=duration_s
    )
    return part.outcome(None, None)


def _evaluate(tools: Tools, attempt: Attempt, plan: Plan, mlflow_uri: str | None) -> Outcome:
    began, started_at = time.monotonic(), tools.clock()
    results = _work(tools, attempt, plan)
    conclusion = Conclusion(
        attempt=attempt,
        plan=plan,
        results=results,
        started_at=started_at,
        duration_s=round(time.monotonic() - began, 3),
    )
    tools.progress.finish()
    return conclusion.publish(tools, mlflow_uri)


def _work(tools: Tools, attempt: Attempt, plan: Plan) -> Results:
    """Do the work; tell a lack of memory, which torch reports as a RuntimeError, from faults."""
    try:
        return Worker(tools, attempt, plan).run()
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in _MEMORY_WORDS):
            raise
        reason = f"out of memory ({str(error)[:200]}). Set a smaller batch_tokens, or give the job more"
        failed = StageFailed(stage=STAGE, experiment=attempt.experiment, reason=reason)
        publish_failure(tools, attempt, str(failed), "OutOfMemory", None)
        raise failed from error


@contextmanager
def _drive_errors(drive: Drive, attempt: Attempt) -> Iterator[None]:
    """Turn errors of the operating system into the drive's."""
    try:
        yield
    except OSError as error:
        raise DriveError(
            folder=error.filename or drive.root,
            reason=error.strerror or str(error),
            remedy=f"What is finished of {attempt.experiment} is kept; evaluate again to go on.",
        ) from error
