"""A job that is started again, dies anywhere, or cannot reach the drive; and the tasks of a job array."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from heliograph import job
from heliograph.drive import Drive
from heliograph.job import JobSpec, run_job
from heliograph.names import utc_now
from heliograph.protocol import events as ev
from heliograph.protocol.outbox import Outbox
from heliograph.runner.claims import Claim
from heliograph.state.store import Store
from support.crashing import kill_at_every_step
from support.slurm_lab import wait_until

TOKEN = "0123456789ab"
SPEC = JobSpec(experiment="e1", stage="evaluation", token=TOKEN, signal_sha256="a" * 64, input_path="/in")
ABOUT = {"experiment": "e1", "stage": "evaluation", "token": TOKEN}
QUEUED = ev.AttemptQueued(**ABOUT, attempt=1, signal_sha256="a" * 64, executor="slurm", resources={})


def outbox(drive: Drive) -> Outbox:
    return Outbox(drive, drive.root.parent / f"spool-{drive.root.name}")


def run(drive: Drive, program: str, *, spec: JobSpec = SPEC, **environ: str) -> int:
    return run_command(drive, [sys.executable, "-c", program], spec=spec, **environ)


def run_command(drive: Drive, command: list[str], *, spec: JobSpec = SPEC, **environ: str) -> int:
    outer = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    return run_job(drive, outbox(drive), spec, command, outer | environ)


def bodies(drive: Drive) -> list[ev.Body]:
    return [ev.read_event(path).body for path in sorted(drive.inbox.iterdir()) if path.suffix == ".json"]


def row(drive: Drive, *more: ev.Body) -> dict[str, Any]:
    """Return the attempt's row after all that was told."""
    folder = drive.root.parent / f"live-{drive.root.name}-{len(list(drive.root.parent.iterdir()))}"
    with Store(folder) as store:
        store.record(QUEUED, utc_now())
        events = [ev.read_event(path) for path in sorted(drive.inbox.iterdir()) if path.suffix == ".json"]
        store.apply([*events, *(ev.make_event(body) for body in more)])
        (found,) = store.rows("evaluation", "jobs")
    return found


# Started again ---------------------------------------------------------------------------------------


def test_a_second_start_tells_anew_and_forgets_how_the_first_ended(drive: Drive) -> None:
    assert run(drive, "import sys; sys.exit('killed')", SLURM_JOB_ID="17") == 1
    assert row(drive)["error_message"] == "killed"
    assert run(drive, "", SLURM_JOB_ID="17", SLURM_RESTART_COUNT="1") == 0
    found = row(drive)
    assert (found["status"], found["restarts"], found["exit_code"], found["error_message"]) == (
        *("running", 1, 0, None),
    )
    starts = [body for body in bodies(drive) if isinstance(body, ev.JobStarted)]
    assert [start.restarts for start in starts] == [0, 1]


def test_what_an_earlier_start_tells_late_does_not_count(drive: Drive) -> None:
    assert run(drive, "", SLURM_JOB_ID="17", SLURM_RESTART_COUNT="2") == 0
    late = (
        ev.JobStarted(**ABOUT, job_id="17", hostname="old", restarts=1),
        ev.JobEnded(**ABOUT, exit_code=143, error_message="killed", restarts=1),
    )
    found = row(drive, *late)
    assert (found["restarts"], found["exit_code"], found["error_message"]) == (2, 0, None)
    assert found["hostname"] != "old"


def test_an_earlier_start_that_still_runs_leaves_and_tells_nothing_more(
    drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its node was out of reach, so Slurm could not end it."""
    monkeypatch.setattr(job, "HEARTBEAT_S", 0.05)
    up = tmp_path / "up"
    takes_over = threading.Thread(
        target=lambda: (
            wait_until(up.exists, "the first start works"),
            Claim(drive, TOKEN, part=None, restarts=1).take("17"),
        )
    )
    takes_over.start()
    assert run(drive, f"open({str(up)!r}, 'w'); import time; time.sleep(60)", SLURM_JOB_ID="17") == 143
    takes_over.join()
    assert not any(isinstance(body, ev.JobEnded) for body in bodies(drive))


def test_killed_at_every_step_and_started_again_the_work_is_done_and_told(tmp_path: Path) -> None:
    done = tmp_path / "done"
    command = ["sh", "-c", f"printf x >> {done}"]
    points = 0
    for drive in kill_at_every_step(tmp_path, lambda drive: run_command(drive, command, SLURM_JOB_ID="17")):
        assert run_command(drive, command, SLURM_JOB_ID="17", SLURM_RESTART_COUNT="1") == 0
        assert run_command(drive, ["false"], SLURM_JOB_ID="18") == 0, "another job finds it claimed"
        found = row(drive)
        assert (found["status"], found["exit_code"], found["slurm_job_id"]) == ("running", 0, "17")
        points += 1
    assert points >= 14
    assert len(done.read_text()) > points, "the second start does the work, whatever the first did"


# The time limit --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "code", "told"),
    [
        ("sys.exit(143)", 152, "TIMEOUT: stopped shortly before the time limit; what is finished is kept"),
        ("sys.exit(0)", 0, None),  # it was ready in time
    ],
)
def test_a_warning_has_the_command_leave(drive: Drive, last: str, code: int, told: str | None) -> None:
    program = (
        "import os, signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: {last})\n"
        "os.kill(os.getppid(), signal.SIGUSR1)\n"
        "time.sleep(60)\n"
    )
    assert run(drive, program) == code
    ended = bodies(drive)[-1]
    assert isinstance(ended, ev.JobEnded)
    assert (ended.exit_code, ended.error_message) == (code, told)


def test_a_command_that_will_not_leave_is_left_to_slurm(drive: Drive, tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.kill(os.getppid(), signal.SIGTERM)\n"
        "time.sleep(1)\n"
        f"open({str(tmp_path / 'worked-on')!r}, 'w')\n"
    )
    assert run(drive, program) == 0
    assert (tmp_path / "worked-on").exists()


def test_what_comes_before_the_command_runs_is_passed_on(drive: Drive) -> None:
    """SIGTERM while the attempt is being claimed."""
    script = (
        "import os, signal, sys\n"
        "from heliograph import job\n"
        "from heliograph.drive import Drive\n"
        "from heliograph.protocol.outbox import Outbox\n"
        f"SPEC = job.JobSpec(**{msgspec.structs.asdict(SPEC)!r})\n"
        "job._Job.tell_start = lambda *_: os.kill(os.getpid(), signal.SIGTERM)\n"
        f"drive = Drive({str(drive.root)!r})\n"
        "command = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "sys.exit(job.run_job(drive, Outbox(drive, drive.root / 'spool'), SPEC, command, os.environ))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, timeout=60)
    assert done.returncode == 128 + signal.SIGTERM, done.stderr.decode()
    ended = bodies(drive)[-1]
    assert isinstance(ended, ev.JobEnded)
    assert ended.exit_code == 143


# Events that the drive does not take -----------------------------------------------------------------


def test_what_waits_on_the_node_is_brought_by_the_next_job_there(drive: Drive) -> None:
    box = outbox(drive)
    inbox = drive.inbox.rename(drive.inbox.with_name("away"))
    left = box.post(ev.JobEnded(**ABOUT | {"token": "of-another"}, exit_code=5))
    inbox.rename(drive.inbox)
    assert run(drive, "") == 0
    assert box.waiting() == []
    first = bodies(drive)[0]
    assert first == left.body


def test_what_waits_is_brought_with_the_next_heartbeat(
    drive: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inbox is away when the job starts, and comes back while it runs."""
    monkeypatch.setattr(job, "HEARTBEAT_S", 0.05)
    away, spool = drive.inbox.with_name("away"), outbox(drive).spool
    drive.inbox.rename(away)
    program = (
        "import os, pathlib, time\n"
        f"os.rename({str(away)!r}, {str(drive.inbox)!r})\n"
        f"spool = pathlib.Path({str(spool)!r})\n"
        "while list(spool.glob('[0-9]*.json')): time.sleep(0.02)\n"
    )
    assert run(drive, program) == 0
    assert isinstance(bodies(drive)[0], ev.JobStarted)


def test_where_neither_drive_nor_node_take_an_event_the_work_goes_on(
    drive: Drive, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outbox(drive).spool.write_text("a file stands in the way")
    drive.inbox.rmdir()
    assert run(drive, f"open({str(tmp_path / 'done')!r}, 'w')") == 0
    assert (tmp_path / "done").exists()
    assert "an event is lost" in caplog.text


def test_an_event_that_another_process_brings_at_the_same_time_is_no_fault(drive: Drive) -> None:
    box = outbox(drive)
    inbox = drive.inbox.rename(drive.inbox.with_name("away"))
    for _ in range(2):
        box.post(ev.JobHeartbeat(**ABOUT))
    inbox.rename(drive.inbox)
    waiting = box.waiting()
    box.waiting = lambda: waiting  # type: ignore[method-assign] # listed before the other one took the first
    waiting[0].unlink()
    box.deliver()
    assert [path.name for path in drive.inbox.iterdir()] == [waiting[1].name]
    assert not waiting[1].exists()


# Job arrays ------------------------------------------------------------------------------------------


def count_in(file: Path) -> list[str]:
    """Return a command that writes an x when it is to do the whole, not a part."""
    return ["sh", "-c", f'[ "${{1-}}" = --part ] || printf x >> {file}', "sh"]


def run_task(drive: Drive, name: str, command: list[str], task_id: str, **environ: str) -> int:
    spec = msgspec.structs.replace(SPEC, part=name, parts=2)
    names = {"SLURM_ARRAY_JOB_ID": "17", "SLURM_JOB_ID": task_id}
    return run_command(drive, command, spec=spec, **names | environ)


def test_the_tasks_of_an_array_are_one_attempt(drive: Drive, tmp_path: Path) -> None:
    command = count_in(tmp_path / "concluded")
    assert run_task(drive, "a", command, "18") == 0
    found = row(drive)
    assert (found["status"], found["slurm_job_id"], found["exit_code"]) == ("running", "17", None)
    assert run_task(drive, "b", command, "17") == 0
    assert (tmp_path / "concluded").read_text() == "x"
    assert row(drive)["exit_code"] == 0
    assert run_task(drive, "a", command, "31", SLURM_ARRAY_JOB_ID="30") == 0
    assert (tmp_path / "concluded").read_text() == "x", "an array that was submitted twice runs once"
    ends = [(body.part, body.exit_code) for body in bodies(drive) if isinstance(body, ev.JobEnded)]
    assert ends == [("a", 0), ("b", 0), (None, 0)]


def test_a_part_that_failed_leaves_the_conclusion_to_the_next_attempt(drive: Drive, tmp_path: Path) -> None:
    assert run_task(drive, "a", ["sh", "-c", "echo out of disk >&2; exit 1"], "18") == 1
    assert run_task(drive, "b", count_in(tmp_path / "concluded"), "17") == 0
    assert not (tmp_path / "concluded").exists()
    found = row(drive)
    assert (found["status"], found["exit_code"]) == ("running", None)
    assert found["error_message"] == "a: out of disk"


def test_what_fails_for_good_is_told_by_the_conclusion(drive: Drive) -> None:
    """As without an array: what succeeded is published, and the failure with it."""
    assert run_task(drive, "a", ["sh", "-c", "exit 3"], "18") == 3
    assert run_task(drive, "b", ["sh", "-c", '[ "${1-}" = --part ] || exit 3', "sh"], "17") == 3
    assert row(drive)["exit_code"] == 3


def test_a_task_killed_at_every_step_is_started_again_and_the_array_concludes(tmp_path: Path) -> None:
    def command(drive: Drive) -> list[str]:
        return count_in(drive.root / "concluded")

    def work(drive: Drive) -> None:
        run_task(drive, "b", command(drive), "17")
        run_task(drive, "a", command(drive), "18")

    points = 0
    for drive in kill_at_every_step(tmp_path, work):
        for name, task_id in (("b", "17"), ("a", "18")):
            assert run_task(drive, name, command(drive), task_id, SLURM_RESTART_COUNT="1") == 0
        assert (drive.root / "concluded").exists()
        assert row(drive)["exit_code"] == 0
        points += 1
    assert points >= 30
