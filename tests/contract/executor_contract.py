"""What every executor promises, run over each of them.

A subclass has a fixture `site`: the executor, and what a test must be able to bring about there.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from heliograph.errors import BadName, SubmissionRefused
from heliograph.executors.base import Executor, FailureClass, JobReport, JobState
from support.slurm_lab import wait_until

RUNS_FOR_EVER = "sleep 1000"


class Site(Protocol):
    """One executor at work."""

    @property
    def executor(self) -> Executor: ...

    @property
    def environ(self) -> dict[str, str]:
        """What another process must have to submit there."""
        ...

    @property
    def construct(self) -> str:
        """The expression by which another process makes the same executor."""
        ...

    def keep_waiting(self) -> list[str]:
        """Bring about that the next job waits; return the directives that it needs for that."""
        ...

    def hasten_time_limit(self, job_id: str) -> None:
        """Let the running job's time limit come within seconds."""
        ...


class Bench:
    """A site, with the short words of the tests."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.executor = site.executor
        self.folder = folder
        self.started: dict[str, str] = {}

    def script(self, body: str, *directives: str, name: str = "script.sh") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"#SBATCH {text}" for text in (f"--output='{self.folder}/%j.log'", *directives)]
        path.write_text("\n".join(["#!/bin/bash", *lines, body, ""]))
        return path

    def start(self, body: str, *directives: str) -> tuple[str, str]:
        """Submit a job; return its id and name."""
        name = f"test.{uuid.uuid4().hex[:12]}"
        job_id = self.executor.submit(self.script(body, *directives), name)
        self.started[job_id] = name
        return job_id, name

    def report(self, job_id: str, name: str) -> JobReport:
        return self.executor.poll({job_id: name})[job_id]

    def found(self, name: str) -> list[JobReport]:
        return self.executor.find([name])[name]

    def wait_for(self, job_id: str, name: str, is_so: Callable[[JobReport], bool], what: str) -> JobReport:
        wait_until(lambda: is_so(self.report(job_id, name)), f"{what}: {self.report(job_id, name)}")
        return self.report(job_id, name)

    def end_of(self, job_id: str, name: str) -> JobReport:
        return self.wait_for(job_id, name, lambda report: report.state.is_over, "the job is over")

    def running(self, job_id: str, name: str) -> JobReport:
        return self.wait_for(job_id, name, lambda report: report.state is JobState.RUNNING, "the job runs")

    def wait_for_text(self, path: Path, text: str) -> None:
        wait_until(lambda: path.exists() and text in path.read_text(), f"{text!r} in {path}")

    def clear(self) -> None:
        """End what a test left running, so that the next one finds room."""
        for job_id, report in self.executor.poll(self.started).items():
            if not report.state.is_over:
                self.executor.cancel(job_id, self.started[job_id])
        wait_until(self._is_clear, "all jobs are over")

    def _is_clear(self) -> bool:
        return all(report.state.is_over for report in self.executor.poll(self.started).values())


class ExecutorContract:
    """The tests. `site` comes from the subclass."""

    @pytest.fixture
    def bench(self, site: Site, tmp_path: Path) -> Iterator[Bench]:
        bench = Bench(site, tmp_path / "folder with spaces")
        yield bench
        bench.clear()

    # Ways to end ---------------------------------------------------------------------------------------

    def test_a_job_runs_and_is_told_of(self, bench: Bench) -> None:
        gate = bench.folder / "gate"
        job_id, name = bench.start(f"while [ ! -e '{gate}' ]; do sleep 0.05; done")
        running = bench.running(job_id, name)
        assert (running.job_id, running.name, running.ended_at) == (job_id, name, None)
        gate.touch()
        ended = bench.end_of(job_id, name)
        assert (ended.state, ended.exit_code, ended.signal) == (JobState.COMPLETED, 0, None)
        assert ended.submitted_at and ended.started_at and ended.ended_at and ended.nodes
        assert ended.submitted_at <= ended.started_at <= ended.ended_at

    def test_an_exit_code(self, bench: Bench) -> None:
        ended = bench.end_of(*bench.start("exit 3"))
        assert (ended.state, ended.exit_code, ended.signal) == (JobState.FAILED, 3, None)
        assert ended.reason == "NonZeroExitCode"

    def test_a_script_killed_by_a_signal(self, bench: Bench) -> None:
        ended = bench.end_of(*bench.start("kill -KILL $$"))
        assert (ended.state, ended.exit_code, ended.signal) == (JobState.FAILED, None, 9)

    def test_an_output_that_cannot_be_opened(self, bench: Bench) -> None:
        ended = bench.end_of(*bench.start("true", "--output=/nonexistent/%j.log"))
        assert (ended.state, ended.signal, ended.reason) == (JobState.FAILED, 53, "JobLaunchFailure")

    def test_an_interpreter_that_is_not_there(self, bench: Bench) -> None:
        script = bench.script("true")
        script.write_text(script.read_text().replace("/bin/bash", "/nonexistent/bash"))
        job_id = bench.executor.submit(script, "test.interpreter")
        ended = bench.end_of(job_id, "test.interpreter")
        assert (ended.state, ended.exit_code) == (JobState.FAILED, 2)
        assert "/nonexistent/bash" in (bench.folder / f"{job_id}.log").read_text()

    def test_the_time_limit(self, bench: Bench) -> None:
        """The slowest test: Slurm looks at limits every 30 s."""
        body = "trap 'echo told' TERM; while true; do sleep 0.1; done"
        job_id, name = bench.start(body, "--time=00:00:02")
        bench.running(job_id, name)
        bench.site.hasten_time_limit(job_id)
        ended = bench.end_of(job_id, name)
        assert (ended.state, ended.reason) == (JobState.TIMEOUT, "TimeLimit")
        assert (ended.exit_code, ended.signal) == (None, None)
        assert "told" in (bench.folder / f"{job_id}.log").read_text()

    # Scripts -------------------------------------------------------------------------------------------

    def test_outputs_named_by_id_and_name(self, bench: Bench) -> None:
        error = f"--error='{bench.folder}'/%x-%j.err"
        job_id, name = bench.start("echo out; echo err >&2", error)
        bench.end_of(job_id, name)
        assert (bench.folder / f"{job_id}.log").read_text() == "out\n"
        assert (bench.folder / f"{name}-{job_id}.err").read_text() == "err\n"

    def test_the_script_is_copied_when_it_is_submitted(self, bench: Bench) -> None:
        job_id, name = bench.start("sleep 0.5; echo first")
        bench.script("echo second")
        bench.end_of(job_id, name)
        assert (bench.folder / f"{job_id}.log").read_text() == "first\n"

    def test_the_environment(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ours reaches the job; an outer job's does not."""
        monkeypatch.setenv("OWN_VARIABLE", "own value")
        monkeypatch.setenv("SLURM_JOB_ID", "999999")
        monkeypatch.setenv("HELIOGRAPH_JOB_ID", "local-999999")
        monkeypatch.setenv("SBATCH_PARTITION", "nope")
        monkeypatch.setenv("SQUEUE_FORMAT", "%i")
        job_id, name = bench.start(
            'echo "$OWN_VARIABLE/${SLURM_JOB_ID:-$HELIOGRAPH_JOB_ID}/$SBATCH_PARTITION"'
        )
        bench.end_of(job_id, name)
        assert (bench.folder / f"{job_id}.log").read_text() == f"own value/{job_id}/\n"

    @pytest.mark.parametrize("text", ["echo no first line\n", "", "#!/bin/bash\r\necho dos\r\n"])
    def test_what_is_no_script_is_refused_for_good(self, bench: Bench, text: str) -> None:
        script = bench.script("")
        script.write_text(text)
        with pytest.raises(SubmissionRefused) as refusal:
            bench.executor.submit(script, "test.refused")
        assert refusal.value.failure_class == FailureClass.PERMANENT
        assert bench.found("test.refused") == []

    def test_a_script_that_cannot_be_read_may_be_there_later(self, bench: Bench) -> None:
        with pytest.raises(SubmissionRefused, match="Unable to open file") as refusal:
            bench.executor.submit(bench.folder / "nowhere.sh", "test.refused")
        assert refusal.value.failure_class == FailureClass.TRANSIENT

    def test_a_name_that_could_be_mistaken_is_a_bug_of_ours(self, bench: Bench) -> None:
        with pytest.raises(BadName):
            bench.executor.submit(bench.script("true"), "a,b")

    # Names and ids -------------------------------------------------------------------------------------

    def test_a_job_is_found_by_its_name(self, bench: Bench) -> None:
        job_id, name = bench.start(RUNS_FOR_EVER)
        bench.running(job_id, name)
        assert [found.job_id for found in bench.found(name)] == [job_id]
        assert bench.found(f"{name}.other") == []

    def test_an_ended_job_is_found_by_its_name(self, bench: Bench) -> None:
        job_id, name = bench.start("exit 3")
        bench.end_of(job_id, name)
        [found] = bench.found(name)
        assert (found.job_id, found.state, found.exit_code) == (job_id, JobState.FAILED, 3)

    def test_two_jobs_of_one_name_are_both_found(self, bench: Bench) -> None:
        script = bench.script("true")
        ids = {bench.executor.submit(script, "test.twice") for _ in range(2)}
        assert {found.job_id for found in bench.found("test.twice")} >= ids
        assert len(ids) == 2

    def test_many_names_are_looked_up_in_one_answer(self, bench: Bench) -> None:
        jobs = dict(bench.start(f"exit {number}") for number in range(3))
        for job_id, name in jobs.items():
            bench.end_of(job_id, name)
        others = [f"test.of-a-job-that-was-never-submitted-{number:04d}" for number in range(400)]
        found = bench.executor.find([*others, *jobs.values()])
        assert set(found) == {*others, *jobs.values()}
        assert {name: [one.job_id for one in found[name]] for name in jobs.values()} == {
            name: [job_id] for job_id, name in jobs.items()
        }
        assert not any(found[name] for name in others)
        assert bench.executor.find([]) == {}

    @pytest.mark.parametrize("job_id", ["local-9999", "9999", "", "nonsense", "local-x", "../1"])
    def test_a_job_that_nobody_knows_is_left_out(self, bench: Bench, job_id: str) -> None:
        known, name = bench.start("true")
        assert set(bench.executor.poll({known: name, job_id: "test.unknown"})) == {known}
        assert bench.executor.poll({job_id: "test.unknown"}) == {}
        bench.executor.cancel(job_id, "test.unknown")

    def test_a_job_of_another_name_is_another_job(self, bench: Bench) -> None:
        job_id, name = bench.start(RUNS_FOR_EVER)
        bench.running(job_id, name)
        assert bench.executor.poll({job_id: "test.another"}) == {}
        bench.executor.cancel(job_id, "test.another")
        assert bench.report(job_id, name).state is JobState.RUNNING

    def test_all_jobs_in_one_answer(self, bench: Bench) -> None:
        jobs = dict(bench.start(f"exit {number}") for number in range(4))
        for job_id, name in jobs.items():
            bench.end_of(job_id, name)
        codes = [bench.executor.poll(jobs)[job_id].exit_code for job_id in jobs]
        assert codes == [0, 1, 2, 3]
        assert bench.executor.poll({}) == {}

    # Cancelling ----------------------------------------------------------------------------------------

    def test_a_running_job_is_cancelled(self, bench: Bench) -> None:
        job_id, name = bench.start(f"echo up; {RUNS_FOR_EVER}")
        bench.wait_for_text(bench.folder / f"{job_id}.log", "up")
        bench.executor.cancel(job_id, name)
        ended = bench.end_of(job_id, name)
        assert (ended.state, ended.exit_code, ended.signal) == (JobState.CANCELLED, None, None)
        bench.executor.cancel(job_id, name)
        assert bench.report(job_id, name).state is JobState.CANCELLED

    def test_a_cancelled_job_may_save_what_it_has(self, bench: Bench) -> None:
        child = "trap 'echo saved; exit' TERM; echo up; while true; do sleep 0.1; done"
        job_id, name = bench.start(f'bash -c "{child}"')
        log = bench.folder / f"{job_id}.log"
        bench.wait_for_text(log, "up")
        bench.executor.cancel(job_id, name)
        assert bench.end_of(job_id, name).state is JobState.CANCELLED
        bench.wait_for_text(log, "saved")

    def test_a_job_that_will_not_end_is_killed(self, bench: Bench) -> None:
        job_id, name = bench.start("trap '' TERM; echo $$; while true; do sleep 0.1; done")
        log = bench.folder / f"{job_id}.log"
        bench.wait_for_text(log, "\n")
        bench.executor.cancel(job_id, name)
        assert bench.end_of(job_id, name).state is JobState.CANCELLED
        pid = int(log.read_text().split()[0])
        wait_until(lambda: not Path(f"/proc/{pid}").exists() or is_zombie(pid), "the script is ended")

    def test_a_waiting_job_is_cancelled(self, bench: Bench) -> None:
        job_id, name = bench.start("echo ran", *bench.site.keep_waiting())
        waiting = bench.report(job_id, name)
        assert (waiting.state, waiting.started_at, waiting.nodes) == (JobState.PENDING, None, None)
        assert waiting.reason
        bench.executor.cancel(job_id, name)
        ended = bench.end_of(job_id, name)
        assert (ended.state, ended.started_at) == (JobState.CANCELLED, None)
        assert ended.ended_at is not None
        assert not (bench.folder / f"{job_id}.log").exists()

    # Other processes -----------------------------------------------------------------------------------

    def submitter(self, bench: Bench, script: Path, name: str, after: str = "") -> subprocess.Popen[str]:
        code = (
            "import os, pathlib, sys, time\n"
            "from heliograph.executors.local import LocalExecutor\n"
            "from heliograph.executors.slurm import SlurmExecutor\n"
            f"executor = {bench.site.construct}\n"
            "print(executor.submit(pathlib.Path(sys.argv[1]), sys.argv[2]), flush=True)\n" + after
        )
        argv = [sys.executable, "-c", code, str(script), name]
        return subprocess.Popen(argv, env=bench.site.environ, stdout=subprocess.PIPE, text=True)

    def test_a_job_survives_whoever_submitted_it(self, bench: Bench) -> None:
        gate = bench.folder / "gate"
        script = bench.script(f"while [ ! -e '{gate}' ]; do sleep 0.05; done; exit 5")
        with self.submitter(bench, script, "test.orphan", "time.sleep(1000)") as child:
            assert child.stdout is not None
            job_id = child.stdout.readline().strip()
            bench.running(job_id, "test.orphan")
            child.send_signal(signal.SIGKILL)
        gate.touch()
        assert bench.end_of(job_id, "test.orphan").exit_code == 5

    def test_submitters_at_the_same_time_get_ids_of_their_own(self, bench: Bench) -> None:
        script = bench.script("true")
        children = [self.submitter(bench, script, f"test.at-once-{number}") for number in range(4)]
        ids = {
            f"test.at-once-{number}": child.communicate()[0].strip() for number, child in enumerate(children)
        }
        assert len(set(ids.values())) == 4
        for name, job_id in ids.items():
            assert bench.end_of(job_id, name).state is JobState.COMPLETED


def is_zombie(pid: int) -> bool:
    """Tell whether a process has ended and only waits to be reaped, by whoever adopted it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
