"""Running outside commands, and the environment that they get."""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from heliograph.config import SlurmSettings, WatcherConfig
from heliograph.errors import BadName
from heliograph.executors.choose import choose_executor, executor_by_name
from heliograph.executors.command import Answer, check_job_name, run_command
from heliograph.executors.environment import clean_environment
from heliograph.executors.etiquette import CallMeter, Pace
from heliograph.executors.local import LocalExecutor
from heliograph.executors.slurm import SlurmExecutor, slurm_answers


def python(code: str, timeout_s: float = 30) -> Answer:
    return run_command([sys.executable, "-c", code], os.environ, timeout_s)


class TestRunCommand:
    def test_what_it_says(self) -> None:
        answer = python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
        assert (answer.returncode, answer.stdout, answer.stderr) == (3, "out\n", "err\n")

    def test_text_that_is_no_utf_8(self) -> None:
        assert python("import os; os.write(1, b'a\\xff')").stdout == "a\ufffd"

    def test_one_that_takes_too_long_is_ended(self) -> None:
        answer = run_command(["sh", "-c", "echo $$; exec sleep 600"], os.environ, 3)
        assert answer.returncode is None
        assert "did not answer in time" in answer.said
        assert not Path(f"/proc/{int(answer.stdout)}").exists()

    def test_one_whose_output_stays_open_is_left_alone(self) -> None:
        """As with a command that hangs on a dead drive: not even being killed makes it let go of the pipe."""
        answer = run_command(["sh", "-c", "setsid sleep 600 & echo $!; wait"], os.environ, 3)
        holder = int(answer.stdout)
        assert answer.returncode is None
        assert Path(f"/proc/{holder}").exists()
        os.kill(holder, signal.SIGKILL)

    @pytest.mark.parametrize("program", ["/nowhere/sbatch", "/"])
    def test_one_that_cannot_be_run(self, program: str) -> None:
        answer = run_command([program], os.environ, 1)
        assert answer.returncode == 127
        assert program in answer.said

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            (Answer("squeue", 1, "", "a\n\n b \n"), "a; b"),
            (Answer("squeue", 1, "only out\n", ""), "only out"),
            (Answer("squeue", 2), "squeue ended with code 2, silent"),
            (Answer("squeue", None, "", "retrying\n"), "squeue did not answer in time; retrying"),
        ],
    )
    def test_its_words_on_one_line(self, answer: Answer, said: str) -> None:
        assert answer.said == said


@pytest.mark.parametrize("name", ["eval_a.0f3a", "A", "9" * 255])
def test_job_names(name: str) -> None:
    assert check_job_name(name) == name


@pytest.mark.parametrize("name", ["", "-J", "a,b", "a b", "a\nb", "a|b", "ä", "a" * 256])
def test_names_that_a_command_could_mistake(name: str) -> None:
    with pytest.raises(BadName):
        check_job_name(name)


def test_an_outer_jobs_variables_are_taken_out() -> None:
    outer = {
        "SLURM_JOB_ID": "1",
        "SBATCH_PARTITION": "p",
        "SQUEUE_FORMAT": "%i",
        "HELIOGRAPH_JOB_ID": "local-1",
    }
    kept = {"SLURM_CONF": "/etc/slurm.conf", "PATH": "/bin", "HELIOGRAPH_STATE": "/state", "SLURMY": "x"}
    assert clean_environment(outer | kept) == kept


class TestEtiquette:
    def test_the_meter_remembers_one_hour(self) -> None:
        times = [datetime(2026, 1, 31, 9, minute, tzinfo=UTC) for minute in (0, 10, 20)]
        now = times[0]
        meter = CallMeter(lambda: now)
        for now in times:  # noqa: B007 - the meter's clock
            meter.count()
        assert meter.last_hour() == 3
        now = times[0] + timedelta(hours=1)
        assert meter.last_hour() == 2
        now += timedelta(hours=1)
        assert meter.last_hour() == 0

    def test_without_news_polls_grow_rarer_up_to_three_times(self) -> None:
        pace = Pace(60, jitter=lambda low, high: (low + high) / 2)
        waits = []
        for _ in range(8):
            pace.note(news=False)
            waits.append(pace.wait_s)
        assert waits == sorted(waits)
        assert (waits[0], waits[-1]) == (75, 180)
        pace.note(news=True)
        assert pace.wait_s == 60

    def test_watchers_do_not_keep_step(self) -> None:
        pace, waits = Pace(60), set()
        for _ in range(20):
            pace.note(news=True)
            waits.add(pace.wait_s)
        assert len(waits) > 1
        assert all(54 <= wait <= 66 for wait in waits)


class TestChoose:
    def test_without_slurm_auto_is_this_machine(self, tmp_path: Path) -> None:
        nowhere = {"PATH": str(tmp_path)}
        assert not slurm_answers(5, nowhere)
        assert isinstance(choose_executor(WatcherConfig(), tmp_path, nowhere), LocalExecutor)

    def test_a_named_executor_is_not_asked_for(self, tmp_path: Path) -> None:
        nowhere = {"PATH": str(tmp_path)}
        config = WatcherConfig(executor="slurm", slurm=SlurmSettings(poll_every_s=30, settle_s=5))
        executor = choose_executor(config, tmp_path, nowhere)
        assert (executor.name, executor.poll_every_s, executor.settle_s) == ("slurm", 30, 5)
        assert executor_by_name("local", config, tmp_path, nowhere).name == "local"

    def test_without_slurm_its_executor_holds_what_it_is_given(self, tmp_path: Path) -> None:
        executor = SlurmExecutor(5, environ={"PATH": str(tmp_path)})
        assert executor.poll({}) == {}
        assert executor.meter.last_hour() == 0
