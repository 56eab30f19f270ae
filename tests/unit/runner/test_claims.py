"""One winner, whoever dies in the middle."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from heliograph import files
from heliograph.drive import Drive
from heliograph.errors import DriveError
from heliograph.runner.claims import Claim
from support.crashing import kill_at_every_step

TOKEN = "0123456789ab"


def claim(drive: Drive, restarts: int = 0, part: str | None = None) -> Claim:
    return Claim(drive, TOKEN, part=part, restarts=restarts)


def test_a_claim_has_one_winner_and_its_job_may_claim_again(drive: Drive) -> None:
    assert claim(drive).take("17")
    assert not claim(drive).take("18")
    assert claim(drive, restarts=1).take("17")
    assert (drive.claim(TOKEN) / "job_id").read_text() == "17"
    assert os.listdir(drive.locks / "claims") == [TOKEN], "losers leave nothing behind"


def test_many_at_once_and_one_winner(drive: Drive) -> None:
    start = threading.Barrier(8)
    won: list[str] = []

    def try_it(job_id: str) -> None:
        start.wait()
        if claim(drive).take(job_id):
            won.append(job_id)

    threads = [threading.Thread(target=try_it, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert (drive.claim(TOKEN) / "job_id").read_text() == won[0]
    assert os.listdir(drive.locks / "claims") == [TOKEN]


def test_many_processes_at_once_and_one_winner(drive: Drive) -> None:
    code = (
        "import sys\n"
        "from heliograph.drive import Drive\n"
        "from heliograph.runner.claims import Claim\n"
        "sys.stdin.read()\n"
        f"print(Claim(Drive({str(drive.root)!r}), {TOKEN!r}, part=None, restarts=0).take(sys.argv[1]))\n"
    )
    argv = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    children = [subprocess.Popen([*argv, str(n)], stdin=pipe, stdout=pipe, text=True) for n in range(4)]
    for child in children:
        assert child.stdin is not None
        child.stdin.close()
        child.stdin = None
    assert sorted(child.communicate()[0].strip() for child in children) == ["False", "False", "False", "True"]


def test_killed_at_any_step_of_claiming_the_work_can_still_be_done(tmp_path: Path) -> None:
    """Nobody has it, or the job that died has it: never nobody who could."""
    before, after = 0, 0
    for drive in kill_at_every_step(tmp_path, lambda drive: claim(drive).take("17")):
        is_taken = (drive.claim(TOKEN) / "job_id").exists()
        assert claim(drive).take("18") is not is_taken
        assert claim(drive, restarts=1).take("17") is is_taken
        before, after = before + (not is_taken), after + is_taken
    assert before >= 5
    assert after >= 1


def test_a_claim_that_an_earlier_version_left_half_done_is_taken(drive: Drive) -> None:
    drive.claim(TOKEN).mkdir()
    assert claim(drive).take("17")


def test_on_sshfs_losers_see_another_error(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    """SFTP knows no reason why a rename was refused: EPERM."""

    def rename(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    assert claim(drive).take("17")
    monkeypatch.setattr(files, "_owner", forget_once(files._owner))
    monkeypatch.setattr(os, "rename", rename)
    assert not claim(drive).take("18")
    assert os.listdir(drive.locks / "claims") == [TOKEN]


def forget_once(real):  # type: ignore[no-untyped-def]
    """Play the cache that believes for a while that a name is missing."""
    calls = []

    def owner(path: Path) -> str:
        calls.append(path)
        if len(calls) == 1:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        return str(real(path))

    return owner


def test_an_answer_that_was_lost_counts_as_it_stands_on_the_drive(
    drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.rename

    def rename(source: Path, target: Path) -> None:
        real(source, target)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "rename", rename)
    assert claim(drive).take("17")
    assert not claim(drive).take("18")


def test_where_nothing_can_be_told_the_job_fails_instead_of_leaving_quietly(drive: Drive) -> None:
    drive.claim(TOKEN).parent.rmdir()
    with pytest.raises(DriveError, match="cannot be claimed: No such file"):
        claim(drive).take("17")


def test_an_earlier_start_learns_that_it_is_superseded(drive: Drive) -> None:
    first, second = claim(drive), claim(drive, restarts=1)
    first.take("17")
    assert not first.is_superseded()
    second.take("17")
    assert first.is_superseded()
    assert not second.is_superseded()
    assert not claim(drive, part="a").is_superseded(), "a part of that name is another job"


def test_a_part_that_is_started_again_supersedes_no_other(drive: Drive) -> None:
    parts = {name: claim(drive, part=name) for name in ("a", "a.restart-9")}
    for part in parts.values():
        part.take("17")
    claim(drive, restarts=10, part="a").take("17")
    assert parts["a"].is_superseded()
    assert not parts["a.restart-9"].is_superseded()


def test_the_last_part_to_end_knows_it_also_when_it_is_started_again(drive: Drive) -> None:
    parts = [claim(drive, part=name) for name in ("a", "b", "c")]
    parts[0].take("17")
    assert [part.has_ended_last(3) for part in (parts[2], parts[0], parts[1])] == [False, False, True]
    assert [part.has_ended_last(3) for part in parts] == [False, True, False]


def test_parts_that_end_at_once_have_one_last(drive: Drive) -> None:
    parts = [claim(drive, part=f"p{number}") for number in range(8)]
    parts[0].take("17")
    start, last = threading.Barrier(8), []

    def end(part: Claim) -> None:
        start.wait()
        last.append(part.has_ended_last(8))

    threads = [threading.Thread(target=end, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(last) == [False] * 7 + [True]
