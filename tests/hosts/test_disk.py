"""The server's disk is full or read-only, or SSRDE's mount is: the watcher says so, waits, and goes on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from support.hosts import HostLab
from support.hosts_work import (
    check_once,
    end,
    fake_folder,
    lay_out,
    let,
    starts,
    train,
    until_completed,
    until_told,
)

Trouble = Callable[[HostLab], AbstractContextManager[None]]


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(lambda lab: lab.full(), id="disk full"),
        pytest.param(lambda lab: lab.read_only(), id="disk read-only"),
        pytest.param(lambda lab: lab.ssrde.read_only(), id="mount read-only"),
    ],
)
def test_a_disk_that_takes_nothing_is_told_and_costs_nothing(lab: HostLab, trouble: Trouble) -> None:
    lay_out(lab)
    with lab.ssrde.serving() as watch:
        until_told(lab.ssrde, "watching")
        train(lab.wild_west, "e1")
        until_completed(lab, "e1")
        with trouble(lab):
            until_told(lab.ssrde, "it is tried again")
            assert watch.poll() is None
        train(lab.wild_west, "e2")
        until_completed(lab, "e1", "e2")
        until_told(lab.ssrde, "the drive answers again")
        end(watch)
    check_once(lab, ["e1", "e2"])


def test_a_job_outlives_a_full_disk(lab: HostLab) -> None:
    """What runs while nothing can be written down is still known, and not begun a second time."""
    lay_out(lab)
    (fake_folder(lab) / "e1-evaluation").write_text(f"await {lab.here}/state/go")
    with lab.ssrde.serving() as watch:
        until_told(lab.ssrde, "watching")
        train(lab.wild_west, "e1")
        lab.wait_until(lambda: starts(lab) == ["e1 evaluation"], "the evaluation has begun")
        with lab.full():
            until_told(lab.ssrde, "it is tried again")
        let(lab.ssrde, "go")
        until_completed(lab, "e1")
        end(watch)
    check_once(lab, ["e1"])
