"""What only a real Slurm can do to us: refuse, hang, die, forget, lose nodes, run out of memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.executor_contract import RUNS_FOR_EVER, Bench
from contract.test_slurm import SlurmSite
from heliograph.errors import ExecutorError, PollFailed, SubmissionDoubtful, SubmissionRefused
from heliograph.executors.base import FailureClass, JobState
from heliograph.executors.failures import classify
from heliograph.executors.slurm import SlurmExecutor, slurm_answers
from support.slurm_lab import SlurmLab, wait_until

pytestmark = pytest.mark.slurm


@pytest.fixture
def bench(slurm_lab: SlurmLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(SlurmSite(slurm_lab, monkeypatch), tmp_path / "folder")
    yield bench
    bench.clear()


@pytest.fixture
def accounted(accounting_lab: SlurmLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(SlurmSite(accounting_lab, monkeypatch), tmp_path / "folder")
    yield bench
    bench.clear()


# Submission ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("directive", "words", "kind"),
    [
        ("--partition=nope", "Invalid partition name specified", FailureClass.PERMANENT),
        ("--account=nope", "Invalid account or account/partition combination", FailureClass.PERMANENT),
        ("--qos=nope", "Invalid qos specification", FailureClass.PERMANENT),
        ("--mem=999G", "Requested node configuration is not available", FailureClass.PERMANENT),
        ("--nosuchoption", "unrecognized option", FailureClass.PERMANENT),
        ("--partition=closed", "Required partition not available", FailureClass.HOLD),
    ],
)
def test_refusals(accounted: Bench, directive: str, words: str, kind: FailureClass) -> None:
    with pytest.raises(SubmissionRefused, match=words) as refusal:
        accounted.start("true", directive)
    assert refusal.value.failure_class == kind


def test_a_hung_controller_queues_the_job_all_the_same(bench: Bench, slurm_lab: SlurmLab) -> None:
    script = bench.script("exit 3")
    with slurm_lab.frozen(), pytest.raises(SubmissionDoubtful, match="Socket timed out"):
        bench.executor.submit(script, "test.doubt")
    wait_until(lambda: bench.found("test.doubt") != [], "the job is found by its name")
    [found] = bench.found("test.doubt")
    assert bench.end_of(found.job_id, "test.doubt").exit_code == 3


def test_our_own_timeout_leaves_the_same_doubt(bench: Bench, slurm_lab: SlurmLab) -> None:
    impatient = SlurmExecutor(1)
    with slurm_lab.frozen(), pytest.raises(SubmissionDoubtful, match="did not answer in time"):
        impatient.submit(bench.script("true"), "test.impatient")
    wait_until(lambda: bench.found("test.impatient") != [], "the job is found by its name")


@pytest.mark.slow
def test_a_dead_controller(bench: Bench, slurm_lab: SlurmLab) -> None:
    """Nothing is taken, nothing is told, nothing is concluded; a job goes on meanwhile."""
    gate = bench.folder / "gate"
    job_id, name = bench.start(f"while [ ! -e '{gate}' ]; do sleep 0.05; done; exit 4")
    bench.running(job_id, name)
    with slurm_lab.stopped():
        with pytest.raises(ExecutorError, match="controller does not answer"):
            slurm_answers(10)  # its jobs do not belong on this machine instead
        with pytest.raises(SubmissionRefused, match="Unable to contact slurm controller") as refusal:
            bench.start("true")
        assert refusal.value.failure_class == FailureClass.TRANSIENT
        with pytest.raises(PollFailed, match="Unable to contact slurm controller"):
            bench.executor.poll({job_id: name})
        gate.touch()
    assert slurm_answers(10)
    assert bench.end_of(job_id, name).exit_code == 4


# Jobs that fail through no fault of their own --------------------------------------------------------


def test_a_node_goes_down(bench: Bench, slurm_lab: SlurmLab) -> None:
    job_id, name = bench.start(RUNS_FOR_EVER, "--no-requeue")
    node = bench.running(job_id, name).nodes
    assert node is not None
    with slurm_lab.down(node):
        ended = bench.end_of(job_id, name)
    assert (ended.state, ended.reason, ended.nodes) == (JobState.NODE_FAIL, "NodeDown", node)
    assert classify(ended) == FailureClass.NODE


def test_a_requeued_job_waits_and_runs_again(bench: Bench, slurm_lab: SlurmLab) -> None:
    job_id, name = bench.start("echo run; sleep 1000", "--requeue", "--open-mode=append")
    report = bench.running(job_id, name)
    node = report.nodes
    assert node is not None
    assert report.restarts == 0
    with slurm_lab.down(node):
        waiting = (JobState.PENDING, "BeginTime")
        bench.wait_for(job_id, name, lambda told: (told.state, told.reason) == waiting, "the job waits again")
    slurm_lab.run("scontrol", "update", f"jobid={job_id}", "starttime=now")
    assert bench.running(job_id, name).restarts == 1
    wait_until(lambda: (bench.folder / f"{job_id}.log").read_text().count("run\n") == 2, "it ran again")


def test_out_of_memory(bench: Bench, slurm_lab: SlurmLab) -> None:
    if not slurm_lab.limits_memory:
        pytest.skip("no writable cgroup v1 memory controller here, so Slurm cannot limit memory")
    ended = bench.end_of(*bench.start("python3 -c 'x = bytearray(80 << 20)'; exit 0", "--mem=20"))
    assert (ended.state, ended.reason) == (JobState.OUT_OF_MEMORY, "OutOfMemory")
    assert (ended.exit_code, ended.signal) == (None, None)
    assert classify(ended) == FailureClass.RESOURCES


def test_an_array_is_one_job(accounted: Bench) -> None:
    job_id, name = accounted.start("exit $SLURM_ARRAY_TASK_ID", "--array=0-2")
    ended = accounted.end_of(job_id, name)
    assert (ended.state, ended.job_id) == (JobState.FAILED, job_id)
    assert [found.job_id for found in accounted.found(name)] == [job_id]


# Memory of Slurm -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_squeue_forgot_sacct_tells(accounted: Bench, accounting_lab: SlurmLab) -> None:
    there, its_name = accounted.start(RUNS_FOR_EVER)
    accounted.running(there, its_name)
    with accounting_lab.forgotten():
        job_id, name = accounted.start("exit 3")
        accounted.end_of(job_id, name)
        wait_until(lambda: accounting_lab.accounted(job_id) == f"FAILED|{name}", "accounting knows the end")
    report = accounted.report(job_id, name)
    assert (report.state, report.exit_code) == (JobState.FAILED, 3)
    wait_until(lambda: accounted.found(name) == [report], "accounting finds the name")
    # while accounting is down, nothing follows for that job, and the others are told all the same
    with accounting_lab.stopped("slurmdbd"):
        told = accounted.executor.poll({job_id: name, there: its_name})
        assert (told[job_id].state, told[there].state) == (JobState.UNKNOWN, JobState.RUNNING)
        assert "Connection refused" in str(told[job_id].reason)
        found = accounted.executor.find([name, its_name, "test.nobody"])
        assert {key: [one.job_id for one in value] for key, value in found.items()} == {its_name: [there]}
    wait_until(lambda: accounted.report(job_id, name) == report, "accounting answers again")


@pytest.mark.slow
def test_accounting_and_controller_away(accounted: Bench, accounting_lab: SlurmLab) -> None:
    """Half an answer is one of squeue's; without it, nothing is told."""
    job_id, name = accounted.start(RUNS_FOR_EVER)
    accounted.running(job_id, name)
    with accounting_lab.stopped(), pytest.raises(PollFailed, match="Unable to contact slurm controller"):
        accounted.executor.poll({job_id: name})


@pytest.mark.slow
def test_a_job_that_was_lost_is_unknown_and_its_id_is_another_jobs(
    accounted: Bench, accounting_lab: SlurmLab
) -> None:
    """sacct goes on showing it as PENDING: that is no evidence."""
    with accounting_lab.forgotten():
        lost = accounted.executor.submit(accounted.script("true", "--hold"), "test.lost")
        wait_until(lambda: accounting_lab.accounted(lost) == "PENDING|test.lost", "accounting knows the job")
    assert accounting_lab.accounted(lost) == "PENDING|test.lost"
    assert accounted.executor.poll({lost: "test.lost"}) == {}
    assert accounted.found("test.lost") == []
    job_id, name = accounted.start(RUNS_FOR_EVER)
    assert job_id == lost
    assert accounted.executor.poll({lost: "test.lost"}) == {}
    accounted.executor.cancel(lost, "test.lost")
    assert accounted.running(job_id, name).state is JobState.RUNNING


def test_without_accounting_a_forgotten_job_is_unknown(bench: Bench, slurm_lab: SlurmLab) -> None:
    with slurm_lab.forgotten():
        job_id = bench.executor.submit(bench.script("exit 3"), "test.forgotten")
        bench.end_of(job_id, "test.forgotten")
    assert bench.executor.poll({job_id: "test.forgotten"}) == {}
    assert bench.found("test.forgotten") == []


# Etiquette -------------------------------------------------------------------------------------------


def test_many_jobs_cost_one_call(bench: Bench) -> None:
    jobs = dict(bench.start("true") for _ in range(20))
    executor = SlurmExecutor(30)
    assert len(executor.poll(jobs)) == 20
    assert executor.poll({"local-1": "test.elsewhere"}) == {}
    assert executor.meter.last_hour() == 1
    assert len(executor.find(list(jobs.values()))) == 20
    assert executor.meter.last_hour() == 3  # squeue, and sacct once: there is no accounting


def test_sacct_is_asked_once_where_there_is_no_accounting(bench: Bench) -> None:
    executor = SlurmExecutor(30)
    for _ in range(3):
        assert executor.poll({"99999": "test.unknown"}) == {}
    assert executor.meter.last_hour() == 3 + 1
    assert executor.find(["test.unknown", "test.another"]) == {"test.unknown": [], "test.another": []}
    assert executor.meter.last_hour() == 3 + 1 + 1
