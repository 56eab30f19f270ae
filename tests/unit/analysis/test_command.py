"""heliograph analyse, as a person and as a job call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from heliograph.drive import Drive
from heliograph.protocol.events import JobEnded, JobStarted, read_event
from heliograph.protocol.signals import ANALYSIS_COMPLETE, read_signal
from unit.analysis.evaluations import EXPERIMENT


def analyse(drive: Drive, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "heliograph", "--drive", str(drive.root), "analyse", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_by_hand_it_tells_what_was_made_and_posts_begin_and_end(quick_drive: Drive) -> None:
    result = analyse(quick_drive, EXPERIMENT, "--engine", "fallback")
    assert result.returncode == 0, result.stderr
    assert "analysed exp_1 with fallback in " in result.stdout
    assert str(quick_drive.reports(EXPERIMENT) / "report.html") in result.stdout


def test_in_a_job_it_takes_token_and_job_id_from_the_environment(quick_drive: Drive) -> None:
    job = {
        "HELIOGRAPH_TOKEN": "tok-9",
        "HELIOGRAPH_STAGE": "analysis",
        "HELIOGRAPH_EXPERIMENT": EXPERIMENT,
        "HELIOGRAPH_JOB_ID": "99",
    }
    result = analyse(quick_drive, EXPERIMENT, "--engine", "fallback", "--json", **job)
    assert result.returncode == 0, result.stderr
    outcome = json.loads(result.stdout)
    assert outcome["metrics"]["accuracy/pairs"] == 0.75
    path = ANALYSIS_COMPLETE.path(quick_drive, EXPERIMENT)
    assert read_signal(path, ANALYSIS_COMPLETE, EXPERIMENT).content.job_id == "99"
    bodies = [read_event(path).body for path in quick_drive.inbox.iterdir()]
    assert not [body for body in bodies if isinstance(body, JobStarted | JobEnded)]


def test_a_mistake_gives_a_sentence_and_no_traceback(project_drive: Drive) -> None:
    missing = analyse(project_drive, "nothing")
    assert missing.returncode == 3
    assert "heliograph evaluate --experiment nothing" in missing.stderr
    odd = analyse(project_drive, "../x")
    assert odd.returncode == 3
    assert "not a name" in odd.stderr
    assert "Traceback" not in missing.stderr + odd.stderr
