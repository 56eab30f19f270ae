"""Every way in which an experiment can stand, told by real events, with the sentence that explains it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from heliograph.protocol import events as ev
from support.drives import NOW
from support.lives import E1, Life

OOM = "OUT_OF_MEMORY, exit code 137"


def in_minutes(count: float) -> object:
    return NOW + timedelta(minutes=count)


def training_runs(life: Life) -> None:
    life.trains(35, beat=0.5)


def training_is_silent(life: Life) -> None:
    life.trains(300, beat=120, config_path="config/experiments/exp_01.yaml")


def training_failed(life: Life) -> None:
    life.trains(90, config_path="config/experiments/exp_01.yaml")
    life.training_fails(80)


def signal_is_missing(life: Life) -> None:
    life.trained(90, 10, signal=False)


def signal_was_put_aside(life: Life) -> None:
    life.trained(90, 10, signal=False)
    life.quarantines(9)


def evaluation_starts_soon(life: Life) -> None:
    life.trained(90, 0.2)


def evaluation_is_late(life: Life) -> None:
    life.trained(90, 20)


def evaluation_is_new_work(life: Life) -> None:
    life.trained(300, 250)
    life.ends(life.runs(240), 200)
    life.accepts("training", 0.1, sha256="6" * 64)


def is_queued(life: Life) -> None:
    life.trained(90, 1)
    life.queues(0.1)


def is_queued_for_long(life: Life) -> None:
    life.trained(90, 20)
    life.queues(18)


def waits_for_its_second_attempt(life: Life) -> None:
    life.trained(300, 120)
    life.fails(life.runs(110), 10, "transient", "NonZeroExitCode, exit code 1")
    life.queues(10, 2, not_before=in_minutes(4))


def is_held(life: Life) -> None:
    life.trained(300, 120)
    about = life.queues(110)
    reason = "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy"
    life.observes(about, 10, "HOLD", reason=reason, not_before=in_minutes(50))


def is_refused_for_now(life: Life) -> None:
    life.trained(300, 120)
    about = life.queues(110)
    life.observes(about, 1, "TRANSIENT", reason="MaxJobCount limit reached", not_before=in_minutes(2))


def is_pending(life: Life, reason: str | None = "Resources", executor: str = "slurm") -> None:
    life.trained(300, 120)
    about = life.queues(69, executor=executor)
    life.submits(about, 68)
    life.observes(about, 67, "PENDING", reason=reason)


def runs(life: Life) -> None:
    life.trained(300, 120)
    about = life.runs(50)
    life.beats(about, 0.5, done=3, total=8)


def runs_and_is_silent(life: Life) -> None:
    life.trained(300, 120)
    life.beats(life.runs(110), 40)


def was_put_back(life: Life) -> None:
    life.trained(300, 120)
    about = life.runs(50)
    life.observes(about, 2, "PENDING", reason="BeginTime", restarts=1)


def has_ended_well(life: Life) -> None:
    life.trained(300, 120)
    life.at(0.25, ev.JobEnded(**life.runs(50), exit_code=0))


def is_being_cancelled(life: Life) -> None:
    runs(life)
    life.asks(1, ev.CancelRequested)


def is_tried_again(life: Life) -> None:
    life.trained(300, 120)
    life.fails(life.runs(110), 10, "resources", OOM, retry_at=in_minutes(4))


def retry_was_asked(life: Life) -> None:
    life.trained(300, 120)
    life.fails(life.runs(110), 10, "permanent", "no such data set")
    life.asks(1, ev.RetryRequested, mem="48G")


def failed_three_times(life: Life) -> None:
    life.trained(900, 820)
    life.fails(life.runs(800, 1), 700, "node", "NODE_FAIL, NodeDown")
    life.fails(life.runs(600, 2), 500, "resources", OOM)
    more = {"time": "02:00:00", "mem": "64G", "cpus_per_task": 8}
    life.fails(life.runs(400, 3, resources=more), 300, "resources", OOM)


def failed_with_all_that_it_may_have(life: Life) -> None:
    life.trained(900, 820)
    most = {"time": "02:00:00", "mem": "256G", "cpus_per_task": 8}
    life.fails(life.runs(400, 3, resources=most), 300, "resources", OOM)


def failed_for_good(life: Life) -> None:
    life.trained(300, 120)
    life.at(
        11, ev.JobEnded(**(about := life.runs(110)), exit_code=3, error_message="no such data set: blimp")
    )
    life.fails(about, 10, "permanent", "no such data set: blimp | FAILED, exit code 3")


def was_run_by_hand(life: Life) -> None:
    life.trained(300, 120)
    about = {"experiment": E1, "stage": "evaluation", "token": "by-hand-1"}
    life.at(20, ev.JobStarted(**about, job_id="by-hand-1", hostname="ssrde"))
    life.at(10, ev.JobEnded(**about, exit_code=3, error_message="no such data set"))


def was_cancelled(life: Life) -> None:
    life.trained(300, 120)
    about = life.runs(50)
    life.asks(11, ev.CancelRequested)
    life.fails(about, 10, "cancelled", "CANCELLED by 1000")


def evaluation_signal_was_put_aside(life: Life) -> None:
    life.trained(300, 120)
    life.ends(life.runs(110), 10)
    life.quarantines(9, stage="evaluation")


def all_is_complete(life: Life) -> None:
    life.trained(300, 120)
    life.ends(life.runs(110), 60)
    life.accepts("evaluation", 60)
    life.ends(life.runs(50, stage="analysis"), 45)


CASES: list[tuple[Callable[[Life], None], str, str]] = [
    (
        training_runs,
        "training_running",
        "Its training runs on wild_west (tmorton) for 35 min. Step 1,700 of 5,000, 34 %.",
    ),
    (
        training_is_silent,
        "training_silent",
        "Its training is recorded as running, but has given no sign of life for 2 h.",
    ),
    (training_failed, "training_failed", "Its training failed 1 h ago."),
    (
        signal_is_missing,
        "signal_missing",
        "Training is complete (31 Jan 08:55 UTC), but its signal .training_complete is not on the drive.",
    ),
    (
        signal_was_put_aside,
        "signal_quarantined",
        "Its signal .training_complete was put aside, because it cannot be used.",
    ),
    (
        evaluation_starts_soon,
        "to_queue",
        "Evaluation starts soon: training is complete, and the watcher queues it in its next pass.",
    ),
    (evaluation_is_late, "to_queue", "Evaluation should have been queued 20 min ago: training is complete."),
    (
        evaluation_is_new_work,
        "to_queue",
        "Evaluation starts soon: the signal .training_complete has new content, and the watcher "
        "queues it in its next pass.",
    ),
    (is_queued, "to_submit", "Evaluation is queued: the watcher's next pass hands it to Slurm."),
    (is_queued_for_long, "to_submit", "Evaluation has waited 18 min for being handed to Slurm."),
    (
        waits_for_its_second_attempt,
        "backoff",
        "Evaluation waits for its attempt 2 of 3: 31 Jan 09:09, in 4 min.",
    ),
    (is_held, "held", "Evaluation is held: Slurm does not take it now."),
    (is_refused_for_now, "refused", "Evaluation waits: Slurm does not take it now."),
    (is_pending, "pending", "Evaluation waits in Slurm's queue, for 1 h 08 min so far: Resources."),
    (runs, "running", "Evaluation runs on node07, for 50 min so far: 3 of 8 done, 37 %."),
    (
        runs_and_is_silent,
        "running_silent",
        "Evaluation runs on node07, and has given no sign of life for 40 min.",
    ),
    (was_put_back, "requeued", "Evaluation ran, and was put back into Slurm's queue: BeginTime."),
    (has_ended_well, "ending", "Evaluation has ended with exit code 0, 15 s ago."),
    (is_being_cancelled, "running", "Evaluation runs on node07, for 50 min so far: 3 of 8 done, 37 %."),
    (is_tried_again, "retry_due", "Evaluation failed, and is tried again 31 Jan 09:09, in 4 min."),
    (
        retry_was_asked,
        "retry_due",
        "Evaluation failed, and is tried again 31 Jan 09:04, due now. tmorton@monitoring asked for it.",
    ),
    (failed_three_times, "failed", "Evaluation failed 5 h ago, and all 3 attempts are spent."),
    (failed_for_good, "failed", "Evaluation failed 10 min ago, and no other attempt follows by itself."),
    (was_run_by_hand, "failed", "Evaluation was run by hand, and failed 10 min ago."),
    (was_cancelled, "cancelled", "Evaluation was cancelled by tmorton@monitoring 10 min ago."),
    (
        evaluation_signal_was_put_aside,
        "signal_quarantined",
        "Its signal .eval_complete was put aside, because it cannot be used.",
    ),
    (all_is_complete, "completed", "All its stages are complete."),
]
