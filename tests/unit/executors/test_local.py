"""What is the local executor's own: supervisors that die, slots, warnings, records."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contract.executor_contract import RUNS_FOR_EVER, Bench, is_zombie
from contract.test_local import LocalSite
from heliograph.errors import PollFailed, SubmissionRefused
from heliograph.executors import local_records as records
from heliograph.executors.base import FailureClass, JobState
from heliograph.executors.local import LocalExecutor
from support.slurm_lab import wait_until


@pytest.fixture
def site(tmp_path: Path) -> Iterator[LocalSite]:
    site = LocalSite(tmp_path)
    yield site
    site.clear()


@pytest.fixture
def bench(site: LocalSite, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(site, tmp_path / "folder")
    yield bench
    bench.clear()


def job_folder(bench: Bench, job_id: str) -> Path:
    return bench.folder.parent / "jobs" / "jobs" / job_id.removeprefix("local-")


def record(bench: Bench, job_id: str, file: str) -> records.Record:
    path = job_folder(bench, job_id) / file
    wait_until(path.exists, f"{path}")
    return records.read_record(path) or {}


def supervisor(bench: Bench, job_id: str) -> int:
    return records.pid_of(record(bench, job_id, records.JOB)["supervisor"])


def script_pid(bench: Bench, job_id: str) -> int:
    return records.pid_of(record(bench, job_id, records.START)["process"])


def kill_supervisor(bench: Bench, job_id: str) -> None:
    pid = supervisor(bench, job_id)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: is_zombie(pid), "the supervisor is gone")


class TestSupervisorDies:
    def test_its_job_runs_on_and_then_nobody_knows_how_it_ended(self, bench: Bench) -> None:
        gate = bench.folder / "gate"
        job_id, name = bench.start(f"while [ ! -e '{gate}' ]; do sleep 0.05; done; echo done")
        script_pid(bench, job_id)
        kill_supervisor(bench, job_id)
        report = bench.report(job_id, name)
        assert (report.state, report.reason) == (JobState.RUNNING, "SupervisorDied")
        gate.touch()
        ended = bench.end_of(job_id, name)
        assert (ended.state, ended.reason, ended.exit_code) == (JobState.NODE_FAIL, "SupervisorDied", None)
        assert (bench.folder / f"{job_id}.log").read_text() == "done\n"

    def test_its_job_keeps_the_slot(self, site: LocalSite, bench: Bench) -> None:
        site.keep_waiting()
        for job_id in site.occupants:
            kill_supervisor(bench, job_id)
        waiting = bench.start("true")
        assert bench.report(*waiting).state is JobState.PENDING
        site.clear()
        assert bench.end_of(*waiting).state is JobState.COMPLETED

    def test_its_job_can_be_cancelled_and_if_need_be_killed(self, bench: Bench) -> None:
        job_id, name = bench.start("trap '' TERM; echo up; while true; do sleep 0.1; done")
        bench.wait_for_text(bench.folder / f"{job_id}.log", "up")
        kill_supervisor(bench, job_id)
        bench.executor.cancel(job_id, name)
        assert bench.report(job_id, name).state is JobState.RUNNING
        bench.executor.cancel(job_id, name)
        assert bench.end_of(job_id, name).state is JobState.CANCELLED

    def test_a_job_that_waited_never_ran(self, site: LocalSite, bench: Bench) -> None:
        site.keep_waiting()
        job_id, name = bench.start("echo ran")
        kill_supervisor(bench, job_id)
        ended = bench.report(job_id, name)
        assert (ended.state, ended.reason, ended.started_at) == (JobState.NODE_FAIL, "SupervisorDied", None)

    def test_one_that_is_asked_to_end_ends_its_job(self, bench: Bench) -> None:
        """As when the machine shuts down."""
        job_id, name = bench.start(RUNS_FOR_EVER)
        pid = script_pid(bench, job_id)
        os.kill(supervisor(bench, job_id), signal.SIGTERM)
        ended = bench.end_of(job_id, name)
        assert (ended.state, ended.reason) == (JobState.NODE_FAIL, "SupervisorTerminated")
        assert is_zombie(pid)

    def test_a_pid_that_another_process_has_now_is_not_the_job(self, bench: Bench) -> None:
        job_id, name = bench.start(RUNS_FOR_EVER)
        boot, pid, started = record(bench, job_id, records.START)["process"].split(":")
        assert records.is_alive(f"{boot}:{pid}:{started}")
        assert not records.is_alive(f"{boot}:{pid}:{int(started) + 1}")
        assert not records.is_alive(f"another-boot:{pid}:{started}")
        bench.executor.cancel(job_id, name)


class TestSlots:
    def test_no_more_jobs_run_than_there_are_slots(self, bench: Bench) -> None:
        """Each job notes who else is running."""
        body = f"cd '{bench.folder}'; mkdir at-$$; ls -d at-* 2>/dev/null | wc -l; sleep 0.3; rmdir at-$$"
        jobs = dict(bench.start(body) for _ in range(6))
        for job_id, name in jobs.items():
            bench.end_of(job_id, name)
        together = [int((bench.folder / f"{job_id}.log").read_text()) for job_id in jobs]
        assert max(together) == LocalSite.SLOTS

    def test_a_restarted_watcher_finds_everything_again(self, site: LocalSite, bench: Bench) -> None:
        job_id, name = bench.start(RUNS_FOR_EVER)
        script_pid(bench, job_id)
        another = LocalExecutor(site.folder / "jobs", 2)
        assert another.poll({job_id: name})[job_id].state is JobState.RUNNING
        another.cancel(job_id, name)
        assert bench.end_of(job_id, name).state is JobState.CANCELLED


class TestRunning:
    def test_a_warning_before_the_time_limit(self, bench: Bench) -> None:
        body = "trap 'echo warned; exit 6' USR1; while true; do sleep 0.1; done"
        ended = bench.end_of(*bench.start(body, "--time=00:01:00", "--signal=B:USR1@59"))
        assert (ended.state, ended.exit_code) == (JobState.FAILED, 6)

    def test_what_a_script_leaves_running_is_ended_with_it(self, bench: Bench) -> None:
        job_id, name = bench.start("trap '' TERM; (while true; do sleep 0.1; done) & echo $!")
        bench.end_of(job_id, name)
        assert is_zombie(int((bench.folder / f"{job_id}.log").read_text()))

    def test_a_log_is_appended_to_where_that_is_asked_for(self, bench: Bench) -> None:
        (bench.folder).mkdir()
        for name, mode in (("kept", ["--open-mode=append"]), ("lost", [])):
            log = bench.folder / f"{name}.log"
            log.write_text("before\n")
            bench.end_of(*bench.start("echo after", f"--output='{log}'", *mode))
        assert (bench.folder / "kept.log").read_text() == "before\nafter\n"
        assert (bench.folder / "lost.log").read_text() == "after\n"

    def test_an_array_is_one_job_here(self, bench: Bench) -> None:
        output = f"--output='{bench.folder}/%A_%a.log'"
        job_id, name = bench.start('echo "${SLURM_ARRAY_TASK_ID-none}"', "--array=0-3%2", output)
        bench.end_of(job_id, name)
        assert (bench.folder / f"{job_id}_0.log").read_text() == "none\n"

    def test_unknown_directives_are_left_alone(self, bench: Bench) -> None:
        directives = ["--partition=gpu", "--mem=32G", "--gres=gpu:1", "--no-requeue"]
        assert bench.end_of(*bench.start("true", *directives)).state is JobState.COMPLETED

    def test_a_time_that_is_none_is_refused(self, bench: Bench) -> None:
        with pytest.raises(SubmissionRefused, match="--time=soon: not a time") as refusal:
            bench.start("true", "--time=soon")
        assert refusal.value.failure_class == FailureClass.PERMANENT

    def test_a_script_that_is_ended_by_a_signal_that_python_ignores(self, bench: Bench) -> None:
        assert bench.end_of(*bench.start("kill -PIPE $$")).signal == signal.SIGPIPE

    def test_a_supervisor_stays_small(self, bench: Bench) -> None:
        job_id, _ = bench.start(RUNS_FOR_EVER)
        script_pid(bench, job_id)
        status = Path(f"/proc/{supervisor(bench, job_id)}/status").read_text()
        resident_kb = int(status.partition("VmRSS:")[2].split()[0])
        assert resident_kb < 16 * 1024


class TestRecords:
    def test_an_end_that_cannot_be_recorded_is_recorded_later(self, bench: Bench) -> None:
        """The full disk, played by a folder that stands in the way."""
        gate = bench.folder / "gate"
        job_id, name = bench.start(f"while [ ! -e '{gate}' ]; do sleep 0.05; done; exit 3")
        pid = script_pid(bench, job_id)
        folder = job_folder(bench, job_id)
        obstacle = folder / f".{records.END}.tmp"
        obstacle.mkdir()
        gate.touch()
        wait_until(lambda: is_zombie(pid), "the script has ended")
        bench.wait_for_text(folder / records.LOG, "cannot be recorded yet")
        assert bench.report(job_id, name).state is JobState.RUNNING
        obstacle.rmdir()
        assert bench.end_of(job_id, name).exit_code == 3

    def test_a_folder_that_takes_nothing(self, tmp_path: Path, bench: Bench) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(SubmissionRefused, match="Not a directory") as refusal:
            LocalExecutor(tmp_path / "file", 1).submit(bench.script("true"), "test.refused")
        assert refusal.value.failure_class == FailureClass.TRANSIENT

    def test_a_broken_record_concludes_nothing(self, bench: Bench) -> None:
        job_id, name = bench.start("true")
        bench.end_of(job_id, name)
        path = job_folder(bench, job_id) / records.END
        whole = path.read_bytes()
        path.write_bytes(whole[:-5])
        another = bench.start("true")
        told = bench.executor.poll(dict([(job_id, name), another]))
        assert told[job_id].state is JobState.UNKNOWN
        assert f"jobs/{job_id.removeprefix('local-')}" in str(told[job_id].reason)
        assert told[another[0]].state is not JobState.UNKNOWN
        with pytest.raises(PollFailed):
            bench.executor.find([name])
        path.write_bytes(whole)

    def test_old_jobs_are_forgotten_and_ids_are_never_used_again(self, site: LocalSite, bench: Bench) -> None:
        executor = site.executor
        assert executor.prune(datetime.now(UTC)) == 0
        ended = [bench.start("true") for _ in range(3)]
        running = bench.start(RUNS_FOR_EVER)
        last = bench.start("true")
        for job in (*ended, last):
            bench.end_of(*job)
        assert executor.prune(datetime.now(UTC) - timedelta(days=1)) == 0
        assert executor.prune(datetime.now(UTC) + timedelta(days=1)) == 3
        assert executor.poll(dict([*ended, running, last])).keys() == {running[0], last[0]}
        assert bench.found(ended[0][1]) == []
        newest, _ = bench.start("true")
        assert newest == "local-6"

    def test_a_folder_without_a_record_is_no_job(self, site: LocalSite, bench: Bench) -> None:
        """What a supervisor leaves that dies before it took the job."""
        executor = site.executor
        job_folder(bench, "local-1").mkdir(parents=True)
        assert executor.poll({"local-1": "test.none"}) == {}
        job_id, _ = bench.start("true")
        assert job_id == "local-2"
        assert executor.prune(datetime.now(UTC) + timedelta(days=1)) == 1
