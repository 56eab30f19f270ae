"""The private Slurm leaves nothing behind, however its test ends."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.slurm_lab import SlurmLab, wait_until
from support.slurm_lab_files import carriers

pytestmark = pytest.mark.slurm

TESTS = Path(__file__).resolve().parents[1]
START_AND_WAIT = """
import pathlib, sys, time
sys.path.insert(0, sys.argv[1])
from support.slurm_lab import SlurmLab, wait_until

with SlurmLab() as lab:
    script = lab.folder / "script"
    script.write_text("#!/bin/bash\\n#SBATCH --output=/dev/null\\nsleep 1000\\n")
    job_id = lab.run("sbatch", "--parsable", str(script)).strip()
    wait_until(lambda: lab.state(job_id) == "RUNNING", "the job runs")
    print(lab.folder, flush=True)
    time.sleep(1000)
"""


def test_nothing_is_left_when_the_tests_process_is_killed() -> None:
    argv = [sys.executable, "-c", START_AND_WAIT, str(TESTS)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        folder = Path(child.stdout.readline().strip())
        assert len(carriers(folder)) >= 5  # munged, slurmctld, two slurmd, the job
        child.kill()
    wait_until(lambda: not folder.exists(), "the folder is gone")
    assert carriers(folder) == []


def test_without_slurm_the_tests_fail_and_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_none(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr(shutil, "which", find_none)
    with pytest.raises(pytest.fail.Exception, match="apt-get install slurm-wlm"), SlurmLab():
        pytest.fail("it started")
