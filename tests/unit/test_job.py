import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from heliograph.drive import Drive
from heliograph.job import JobSpec, run_job
from heliograph.protocol import events as ev
from heliograph.protocol.outbox import Outbox
from heliograph.runner.claims import Claim

SPEC = JobSpec(
    experiment="e1", stage="evaluation", token="0123456789ab", signal_sha256="a" * 64, input_path="/in"
)


def bodies(drive: Drive) -> list[ev.Body]:
    return [ev.read_event(path).body for path in sorted(drive.inbox.iterdir())]


def run(drive: Drive, tmp_path: Path, program: str, **environ: str) -> int:
    outbox = Outbox(drive, tmp_path / "spool")
    command = [sys.executable, "-c", program]
    return run_job(drive, outbox, SPEC, command, dict(os.environ) | environ)


def test_a_job_tells_its_start_and_its_end_and_hands_the_names_on(drive: Drive, tmp_path: Path) -> None:
    names = ["SHARED_DRIVE", *(f"HELIOGRAPH_{name}" for name in ("EXPERIMENT", "STAGE", "TOKEN", "JOB_ID"))]
    seen = str(tmp_path / "seen")
    program = f"import os; open({seen!r}, 'w').write(' '.join(os.environ[n] for n in {names}))"
    assert run(drive, tmp_path, program, SLURM_JOB_ID="17") == 0
    assert (tmp_path / "seen").read_text() == f"{drive.root} e1 evaluation 0123456789ab 17"
    started, ended = bodies(drive)
    assert isinstance(started, ev.JobStarted)
    assert started.job_id == "17"
    assert isinstance(ended, ev.JobEnded)
    assert ended.exit_code == 0


def test_a_failure_brings_its_last_words(drive: Drive, tmp_path: Path) -> None:
    program = "import sys; print('some words', file=sys.stderr); sys.exit('heliograph: bad tokenizer')"
    assert run(drive, tmp_path, program) == 1
    ended = bodies(drive)[-1]
    assert isinstance(ended, ev.JobEnded)
    assert (ended.exit_code, ended.error_message) == (1, "heliograph: bad tokenizer")
    assert ended.error_tail == ["some words", "heliograph: bad tokenizer"]


def test_a_job_that_was_submitted_twice_runs_once(drive: Drive, tmp_path: Path) -> None:
    program = f"open({str(tmp_path / 'runs')!r}, 'a').write('x')"
    for job_id in ("17", "18", "19"):
        assert run(drive, tmp_path, program, SLURM_JOB_ID=job_id) == 0
    assert (tmp_path / "runs").read_text() == "x"
    assert len(bodies(drive)) == 2
    assert Claim(drive, SPEC.token, part=None, restarts=1).take("17"), "a restart of the same job goes on"
    assert not Claim(drive, SPEC.token, part=None, restarts=0).take("18")


def test_a_job_ended_by_a_signal_has_128_more(drive: Drive, tmp_path: Path) -> None:
    assert run(drive, tmp_path, "import os; os.kill(os.getpid(), 9)") == 137


def test_sigterm_is_passed_on_so_that_the_work_can_be_saved(drive: Drive, tmp_path: Path) -> None:
    worker = (
        "import signal, sys, time, pathlib\n"
        f"saved = pathlib.Path({str(tmp_path / 'saved')!r})\n"
        "def save(*_): saved.write_text('saved'); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\n"
        "time.sleep(60)\n"
    )
    words = ["job", "--stage", "evaluation", "--experiment", "e1", "--token", "0123456789ab"]
    words += ["--signal-sha256", "a", "--input", "/in", "--", sys.executable, "-c", worker]
    command = [sys.executable, "-m", "heliograph", "--drive", str(drive.root), *words]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    assert (tmp_path / "saved").read_text() == "saved"
    ended = bodies(drive)[-1]
    assert isinstance(ended, ev.JobEnded)
    assert ended.exit_code == 143


def test_a_drive_that_is_away_keeps_no_event_from_arriving_later(drive: Drive, tmp_path: Path) -> None:
    """The inbox vanishes while the job runs; its last word waits in the spool."""
    program = f"import shutil; shutil.rmtree({str(drive.inbox)!r})"
    assert run(drive, tmp_path, program) == 0
    outbox = Outbox(drive, tmp_path / "spool")
    assert len(outbox.waiting()) == 1
    drive.inbox.mkdir()
    assert outbox.deliver() == 1
    assert isinstance(bodies(drive)[0], ev.JobEnded)


@pytest.mark.parametrize("token", ["../../x", "a/b", ""])
def test_a_token_is_a_name(drive: Drive, token: str) -> None:
    words = ["--stage", "evaluation", "--experiment", "e1", "--token", token, "--signal-sha256", "a"]
    command = [
        sys.executable,
        "-m",
        "heliograph",
        "--drive",
        str(drive.root),
        "job",
        *words,
        "--input",
        "/in",
    ]
    done = subprocess.run([*command, "--", "true"], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "--token: not a name" in done.stderr
    assert "Traceback" not in done.stderr
