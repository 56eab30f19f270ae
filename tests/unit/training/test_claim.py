"""Exactly one run owns an experiment, and nothing of an earlier run is lost."""

from __future__ import annotations

import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from heliograph.drive import Drive
from heliograph.errors import UsageError
from heliograph.names import host_name
from heliograph.training.claim import (
    ClaimLost,
    Owner,
    Seen,
    check_startable,
    is_running,
    look,
    start_claim,
    this_process,
)
from unit.training.runs import make_run, save_tiny, train_tiny

OWNER = Owner("0123456789ab", "gpu-box", 4711, "boot-1", "2026-01-31T09:05:00Z")
FOLDER = Path("/drive/models/exp_01")


@pytest.mark.parametrize(
    ("seen", "overwrite", "refused"),
    [
        (Seen("", None), False, "remove that folder"),
        (Seen("", None), True, "remove that folder"),
        (Seen("x", OWNER, is_complete=True, is_alive=False), False, "is trained already"),
        (Seen("x", None, is_complete=True), False, "is trained already"),
        (Seen("x", OWNER, is_complete=True, is_alive=True), True, None),
        (Seen("x", OWNER, is_alive=True), False, "being trained by process 4711"),
        (Seen("x", OWNER, is_alive=True), True, "being trained by process 4711"),
        (Seen("x", OWNER, is_alive=None), False, "begun by run 0123456789ab on gpu-box"),
        (Seen("x", OWNER, is_alive=None), True, None),
        (Seen("x", None, has_models=True), False, "begun by somebody"),
        (Seen("x", OWNER, is_alive=False, has_models=True), False, "has checkpoints"),
        (Seen("x", OWNER, is_alive=False, has_models=True), True, None),
        (Seen("x", OWNER, is_alive=False), False, None),
    ],
)
def test_what_may_be_begun_anew(seen: Seen, overwrite: bool, refused: str | None) -> None:
    if refused is None:
        check_startable("exp_01", FOLDER, seen, overwrite=overwrite)
        return
    with pytest.raises(UsageError, match=refused):
        check_startable("exp_01", FOLDER, seen, overwrite=overwrite)


def _try_to_start(root: Path, number: int, overwrite: bool, barrier: Barrier) -> str | None:
    drive = Drive(root)
    owner = this_process(f"run-{number:04}", "2026-01-31T09:05:00Z")
    barrier.wait()
    try:
        claim, _ = start_claim(drive, "exp_01", owner, overwrite=overwrite)
    except UsageError:
        return None
    barrier.wait()  # the winner lives until all have tried
    return claim.owner.run


def _start_many(drive: Drive, overwrite: bool) -> list[str]:
    """Start the same experiment in six processes at once, the losers waiting too; return who won."""
    context = multiprocessing.get_context("fork")
    winners = context.Queue()
    barrier = context.Barrier(6)

    def body(number: int) -> None:
        winner = _try_to_start(drive.root, number, overwrite, barrier)
        if winner is None:
            barrier.wait()
        winners.put(winner)

    processes = [context.Process(target=body, args=(number,)) for number in range(6)]
    for process in processes:
        process.start()
    found = [winners.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return [winner for winner in found if winner is not None]


@pytest.mark.parametrize("turn", range(6))
def test_of_many_that_start_at_once_exactly_one_wins(drive: Drive, turn: int) -> None:
    (winner,) = _start_many(drive, overwrite=False)
    assert look(drive, "exp_01").owner.run == winner


@pytest.mark.parametrize("turn", range(6))
def test_of_many_that_overwrite_at_once_exactly_one_wins(drive: Drive, turn: int) -> None:
    old = train_tiny(drive).signal
    (winner,) = _start_many(drive, overwrite=True)
    assert look(drive, "exp_01").owner.run == winner
    (aside,) = drive.models.joinpath(".superseded").iterdir()
    assert (aside / ".training_complete").read_bytes().count(old.content.experiment.encode()) >= 1
    assert (aside / "final" / "model.safetensors").is_file()


def test_a_run_that_ended_badly_may_be_begun_anew_by_the_same_process(drive: Drive) -> None:
    with pytest.raises(ZeroDivisionError), make_run(drive):
        print(1 / 0)
    assert train_tiny(drive).signal is not None


def test_checkpoints_of_a_run_that_ended_badly_are_not_lost(drive: Drive) -> None:
    with pytest.raises(ZeroDivisionError), make_run(drive) as run:
        run.save_checkpoint(step=1, save=save_tiny)
        print(1 / 0)
    with pytest.raises(UsageError, match="has checkpoints"), make_run(drive):
        pass
    train_tiny(drive, overwrite=True)
    (aside,) = drive.models.joinpath(".superseded").iterdir()
    assert (aside / "checkpoints" / "checkpoint-1" / "model.safetensors").is_file()


def test_a_run_that_was_superseded_knows(drive: Drive) -> None:
    first = Owner("first-run", "another-host", 1, "boot-1", "2026-01-31T09:05:00Z")
    old, _ = start_claim(drive, "exp_01", first, overwrite=False)
    new, aside = start_claim(drive, "exp_01", this_process("second-run", "x"), overwrite=True)
    assert aside is not None and aside.is_dir()
    new.check()
    with pytest.raises(ClaimLost, match=f"another run now: second-run on {host_name()}"):
        old.check()


def test_a_superseded_run_saves_locally_and_publishes_nothing(
    drive: Drive, caplog: pytest.LogCaptureFixture
) -> None:
    with make_run(drive) as run:
        drive.model_folder("exp_01").rename(drive.models / "somewhere")
        start_claim(drive, "exp_01", this_process("second-run", "x"), overwrite=False)
        run.save_checkpoint(step=1, save=save_tiny)
        assert run.complete(save=save_tiny) is None
        assert (run.waits_in / "final" / "model.safetensors").is_file()
    assert [p.name for p in drive.model_folder("exp_01").iterdir()] == [".run.json"]
    assert "belongs to another run now" in caplog.text


def test_a_pid_that_is_used_again_is_not_the_same_process() -> None:
    me = this_process("run-0001", "x")
    assert is_running(me)
    assert not is_running(Owner(me.run, me.host, me.pid, "another boot", "x"))
    assert not is_running(Owner(me.run, me.host, 2**22 + 1, me.process, "x"))
