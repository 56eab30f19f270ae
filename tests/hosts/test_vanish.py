"""The mount vanishes and leaves an empty local folder. That is no empty drive: nothing is concluded from it,
and nothing is written into it (`check_once` looks)."""

from __future__ import annotations

import sys

from support.hosts import HostLab
from support.hosts_work import (
    begin_training,
    check_once,
    end,
    fake_folder,
    lay_out,
    let,
    starts,
    train,
    until_completed,
    until_told,
    views,
)


def test_under_the_watcher(lab: HostLab) -> None:
    lay_out(lab)
    with lab.ssrde.serving() as watch:
        until_told(lab.ssrde, "watching")
        train(lab.wild_west, "e1")
        until_completed(lab, "e1")
        with lab.ssrde.unmounted():
            until_told(lab.ssrde, "it is tried again")
            assert train(lab.wild_west, "e2") == "completed"
            assert watch.poll() is None
        until_completed(lab, "e1", "e2")
        until_told(lab.ssrde, "the drive answers again")
        end(watch)
    check_once(lab, ["e1", "e2"])


def test_under_a_job(lab: HostLab) -> None:
    """The job cannot write its results; that costs an attempt, and the next one does the work."""
    lay_out(lab)
    asked = fake_folder(lab) / "e1-evaluation"
    asked.write_text(f"await {lab.here}/state/go")
    with lab.ssrde.serving() as watch:
        until_told(lab.ssrde, "watching")
        train(lab.wild_west, "e1")
        lab.wait_until(lambda: starts(lab) == ["e1 evaluation"], "the evaluation has begun")
        with lab.ssrde.unmounted():
            let(lab.ssrde, "go")
            until_told(lab.ssrde, "it is tried again")
            spool = lab.ssrde.own / "state" / "spool"
            lab.wait_until(lambda: [*spool.rglob("*.json")] != [], "the job's end waits in the spool")
            assert [*(lab.ssrde.own / "drive").iterdir()] == []
        until_completed(lab, "e1")
        end(watch)
    assert starts(lab) == ["e1 evaluation", "e1 evaluation", "e1 analysis"]
    found = views(lab)["e1"]
    assert (found.evaluation.attempt, found.analysis.attempt) == (2, 1)
    lab.ssrde.heliograph("sync")
    assert [path for path in spool.rglob("*") if path.is_file()] == []


def test_under_a_training(lab: HostLab) -> None:
    lay_out(lab)
    training = begin_training(lab.wild_west, "e1")
    until_told(lab.wild_west, "begun", "e1")
    with lab.wild_west.unmounted():
        let(lab.wild_west, "save")
        until_told(lab.wild_west, "saved", "e1")
        let(lab.wild_west, "complete")
        assert training.wait(60) == 0
        until_told(lab.wild_west, "waits in", "e1")
        assert [*(lab.wild_west.own / "drive").iterdir()] == []
    lab.wild_west.heliograph("sync")
    with lab.ssrde.serving() as watch:
        until_completed(lab, "e1")
        end(watch)
    check_once(lab, ["e1"])


def test_no_command_takes_an_unmounted_drive_for_an_empty_one(lab: HostLab) -> None:
    lay_out(lab)
    with lab.monitoring.unmounted():
        for words in ("heliograph watch", "heliograph status", "heliograph sync", "support.hook_run e1"):
            done = lab.monitoring.run(sys.executable, "-m", *words.split(), check=False)
            assert done.returncode != 0, words
            assert "is not a heliograph drive" in done.stderr, words
            assert "Is the network drive mounted?" in done.stderr, words
        assert [*(lab.monitoring.own / "drive").iterdir()] == []
