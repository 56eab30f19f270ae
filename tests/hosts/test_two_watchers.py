"""Watchers on two hosts: exactly one serves, and another takes over after the lease's time."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from heliograph.errors import LeaseHeld
from heliograph.state.databases import DATABASES
from heliograph.state.publish import read_pointer
from support.hosts import HostLab
from support.hosts_work import (
    check_once,
    clock_off_by,
    end,
    impatient,
    lay_out,
    stopping_before,
    train,
    until_completed,
    until_told,
)


def stopped_child(pid: int) -> int | None:
    """Return the process below `pid` that has stopped itself: the one that writes the drive."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            return int(child)
    return None


@pytest.mark.slow
def test_one_serves_at_a_time_and_the_next_takes_over(lab: HostLab) -> None:
    """The first is killed, the second freezes and thaws too late; their hosts' clocks are hours apart."""
    lay_out(lab)
    ahead = clock_off_by(5) | impatient()
    with lab.ssrde.serving("first") as first:
        until_told(lab.ssrde, "watching", "first")
        with lab.monitoring.serving("refused", env=ahead) as refused:
            train(lab.wild_west, "e1")
            until_completed(lab, "e1")
            assert refused.wait(60) == LeaseHeld.exit_code
        until_told(lab.monitoring, "Another watcher serves this drive: host SSRDE", "refused")
        first.kill()
        assert first.wait(60) == -signal.SIGKILL
    with lab.monitoring.serving("second", env=ahead) as second:
        train(lab.wild_west, "e2")
        until_completed(lab, "e1", "e2")
        assert read_pointer(lab.drive, "analysis").host == "monitoring"
        second.send_signal(signal.SIGSTOP)
        with lab.ssrde.serving("third", env=impatient()) as third:
            train(lab.wild_west, "e3")
            until_completed(lab, "e1", "e2", "e3")
            second.send_signal(signal.SIGCONT)
            assert second.wait(60) == LeaseHeld.exit_code
            until_told(lab.monitoring, "Another watcher serves this drive: host SSRDE", "second")
            end(third)
    assert {read_pointer(lab.drive, stage).host for stage in ("evaluation", "analysis")} == {"SSRDE"}
    assert [*lab.drive.state.rglob("*.tmp")] == []
    check_once(lab, ["e1", "e2", "e3"])


@pytest.mark.slow
@pytest.mark.parametrize("part", ["/state/events/", "/state/published/"])
def test_a_watcher_that_froze_in_a_write_and_thaws_after_the_takeover(lab: HostLab, part: str) -> None:
    """It had looked whether the lease was its own, and then froze right before it renamed a file."""
    lay_out(lab)
    with lab.monitoring.serving("frozen", env=stopping_before("rename", part)) as frozen:
        until_told(lab.monitoring, "watching", "frozen")
        train(lab.wild_west, "e1")
        lab.wait_until(lambda: stopped_child(frozen.pid) is not None, "the watcher's child has frozen")
        frozen.send_signal(signal.SIGSTOP)
        with lab.ssrde.serving(env=impatient()) as watch:
            until_completed(lab, "e1")
            os.kill(stopped_child(frozen.pid) or 0, signal.SIGCONT)
            frozen.send_signal(signal.SIGCONT)
            assert frozen.wait(60) == LeaseHeld.exit_code
            assert {read_pointer(lab.drive, stage).host for stage in DATABASES} == {"SSRDE"}
            train(lab.wild_west, "e2")
            until_completed(lab, "e1", "e2")
            end(watch)
    check_once(lab, ["e1", "e2"])
