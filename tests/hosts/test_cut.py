"""SSRDE's link is cut, or the server hangs, at every point of the way; nothing is lost, nothing doubled."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support.hosts import HANGING, HostLab
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

OVER_A_MOUNT_THAT_HANGS = pytest.mark.parametrize("lab", [HANGING], ids=["hanging"], indirect=True)
DOES_NOT_ANSWER = "does not answer"
TRIED_AGAIN = "it is tried again"
"""what every word of a drive that is ill ends with"""
ANSWERS_AGAIN = "the drive answers again"


def test_before_the_signal(lab: HostLab) -> None:
    """The training ends while SSRDE is away; the watcher lives, says so, and goes on when it is back."""
    lay_out(lab)
    with lab.ssrde.serving() as watch:
        until_told(lab.ssrde, "watching")
        with lab.ssrde.cut():
            assert train(lab.wild_west, "e1") == "completed"
            until_told(lab.ssrde, TRIED_AGAIN)
            assert watch.poll() is None
        until_completed(lab, "e1")
        until_told(lab.ssrde, ANSWERS_AGAIN)
        end(watch)
    check_once(lab, ["e1"])


def test_between_submission_and_done_signal(lab: HostLab) -> None:
    """The job runs on, on SSRDE's own processor, while the drive is away; nobody takes it for vanished."""
    lay_out(lab)
    (fake_folder(lab) / "e1-evaluation").write_text(f"await {lab.here}/state/go")
    with lab.ssrde.serving() as watch:
        until_told(lab.ssrde, "watching")
        train(lab.wild_west, "e1")
        lab.wait_until(lambda: starts(lab) == ["e1 evaluation"], "the evaluation has begun")
        with lab.ssrde.cut():
            until_told(lab.ssrde, TRIED_AGAIN)
        let(lab.ssrde, "go")
        until_completed(lab, "e1")
        end(watch)
    check_once(lab, ["e1"])


def test_while_publishing(lab: HostLab) -> None:
    """Cut in the middle of a publication, twice: readers always find a whole database."""
    lay_out(lab)
    names = [f"e{number}" for number in range(2)]
    with lab.ssrde.serving() as watch:
        until_told(lab.ssrde, "watching")
        for number, name in enumerate(names, start=1):
            lab.wild_west.start(sys.executable, "-m", "support.hook_run", name, stdout=subprocess.DEVNULL)
            lab.wait_until(
                lambda: [*lab.drive.published.glob(".*.tmp")] != [], "a publication is under way", every_s=0
            )
            with lab.ssrde.cut():
                until_told(lab.ssrde, TRIED_AGAIN, times=number)
                lab.monitoring.heliograph("status")
            until_completed(lab, name)
        end(watch)
    check_once(lab, names)


@OVER_A_MOUNT_THAT_HANGS
def test_a_server_that_hangs_keeps_nobody_from_ending_the_watcher(lab: HostLab) -> None:
    """Over a mount without ServerAliveInterval a call hangs as long as the server does."""
    lay_out(lab)
    with lab.ssrde.serving() as watch:
        until_told(lab.ssrde, "watching")
        with lab.nas.frozen():
            until_told(lab.ssrde, DOES_NOT_ANSWER, within_s=15)
            end(watch)
        with lab.ssrde.serving("second") as second:
            train(lab.wild_west, "e1")
            until_completed(lab, "e1", within_s=120)
            end(second)
    check_once(lab, ["e1"])


@OVER_A_MOUNT_THAT_HANGS
def test_a_server_that_hangs_for_a_while_is_told_and_costs_nothing(lab: HostLab) -> None:
    lay_out(lab)
    (fake_folder(lab) / "e1-evaluation").write_text(f"await {lab.here}/state/go")
    with lab.ssrde.serving() as watch:
        until_told(lab.ssrde, "watching")
        train(lab.wild_west, "e1")
        lab.wait_until(lambda: starts(lab) == ["e1 evaluation"], "the evaluation has begun")
        with lab.nas.frozen():
            until_told(lab.ssrde, DOES_NOT_ANSWER, within_s=15)
        let(lab.ssrde, "go")
        until_completed(lab, "e1", within_s=120)
        until_told(lab.ssrde, ANSWERS_AGAIN)
        end(watch)
    check_once(lab, ["e1"])
