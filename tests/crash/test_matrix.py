"""Whatever dies, and at whichever durable step: no signal is lost, nothing is done twice, nothing is damaged.

Every fsync, rename, mkdir, unlink, commit, migration, submission, look-up and poll is a step that the hook of
`durable.py` knows. For each of them a process dies right before and right after it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crash.segments import SEGMENTS
from support.slurm_lab import SlurmLab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FILES = {"fsync", "rename"}
WATCHER = FILES | {"commit", "backup", "rmdir", "unlink"}
KINDS = {
    # what each segment must have died at, at the least
    "publish": FILES,
    "first": WATCHER | {"mkdir", "migrate", "submit"},
    "doubt": WATCHER | {"find"},
    "evaluated": WATCHER | {"submit"},
    "analysed": WATCHER,
    "again": WATCHER | {"submit"},
    "failed": WATCHER | {"submit"},
    "retry": WATCHER | {"submit"},
    "cancel": WATCHER | {"poll", "cancel"},
    "settle": WATCHER,
    "rebuild": WATCHER | {"migrate"},
    "job": FILES | {"mkdir"},
    "worker": FILES,
    "slurm": FILES | {"commit", "submit"},
}


@pytest.fixture(scope="module")
def lab() -> Iterator[SlurmLab]:
    with SlurmLab() as started:
        yield started


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: processes die here, not machines, and both tell the same."""
    fast = Path("/dev/shm")
    made = tempfile.mkdtemp(prefix="heliograph-", dir=fast if os.access(fast, os.W_OK) else None)
    yield Path(made)
    shutil.rmtree(made, ignore_errors=True)


def start(name: str, moment: str, folder: Path) -> subprocess.Popen[str]:
    scratch = folder / moment
    scratch.mkdir()
    argv = [sys.executable, "-m", "crash.driver", name, moment, str(scratch)]
    paths = [str(Path(__file__).parents[1]), *(path for path in sys.path if path)]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate()
    assert process.returncode == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.parametrize("name", [*SEGMENTS, "job", "worker"])
def test_dying_at_every_step_loses_and_doubles_nothing(name: str, folder: Path) -> None:
    both = [start(name, moment, folder) for moment in ("before", "after")]
    before, after = (result_of(process) for process in both)
    assert before["problems"] + after["problems"] == []
    for found in (before, after):
        assert {step.split()[0] for step in found["steps"]} >= KINDS[name]


@pytest.mark.slurm
def test_dying_around_a_submission_to_slurm_leaves_one_job(
    lab: SlurmLab, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in lab.environ.items():
        monkeypatch.setenv(name, value)
    test_dying_at_every_step_loses_and_doubles_nothing("slurm", folder)
