"""wild_west cannot write to the drive when its training saves and ends: the training goes on, everything
waits on the local disk, and is brought when the drive is back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from support.hosts import HostLab
from support.hosts_work import begin_training, check_once, end, lay_out, let, until_completed, until_told

Trouble = Callable[[HostLab], AbstractContextManager[None]]
TROUBLES = [
    pytest.param(lambda lab: lab.wild_west.cut(), id="link cut"),
    pytest.param(lambda lab: lab.full(), id="disk full"),
    pytest.param(lambda lab: lab.read_only(), id="disk read-only"),
    pytest.param(lambda lab: lab.wild_west.read_only(), id="mount read-only"),
]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_a_training_saves_at_its_end_is_brought_by_sync(lab: HostLab, trouble: Trouble) -> None:
    lay_out(lab)
    with lab.ssrde.serving() as watch:
        until_told(lab.ssrde, "watching")
        training = begin_training(lab.wild_west, "e1")
        until_told(lab.wild_west, "begun", "e1")
        with trouble(lab):
            for word in ("save", "complete"):
                let(lab.wild_west, word)
            assert training.wait(60) == 0
            until_told(lab.wild_west, "waits in", "e1")
            assert not (lab.drive.model_folder("e1") / ".training_complete").exists()
        lab.wild_west.heliograph("sync")
        until_completed(lab, "e1")
        end(watch)
    spool = lab.wild_west.own / "state" / "spool"
    assert [path for path in spool.rglob("*") if path.is_file()] == []
    assert (lab.drive.checkpoints("e1") / "checkpoint-2" / "model.safetensors").exists()
    check_once(lab, ["e1"])


def test_a_checkpoint_is_brought_by_the_run_itself(lab: HostLab) -> None:
    lay_out(lab)
    with lab.ssrde.serving() as watch:
        until_told(lab.ssrde, "watching")
        begin_training(lab.wild_west, "e1")
        until_told(lab.wild_west, "begun", "e1")
        with lab.wild_west.cut():
            let(lab.wild_west, "save")
            until_told(lab.wild_west, "saved", "e1")
            assert not (lab.drive.checkpoints("e1") / "checkpoint-2").exists()
        let(lab.wild_west, "complete")
        until_told(lab.wild_west, "completed", "e1")
        until_completed(lab, "e1")
        end(watch)
    assert (lab.drive.checkpoints("e1") / "checkpoint-2" / "model.safetensors").exists()
    check_once(lab, ["e1"])
