"""The hosts' clocks differ by hours, and neither detection nor order nor what readers are promised does."""

from __future__ import annotations

import json

from support.hosts import HostLab
from support.hosts_work import (
    check_once,
    clock_off_by,
    end,
    lay_out,
    train,
    until_completed,
    until_told,
    views,
)


def test_clocks_that_are_hours_off_do_no_harm(lab: HostLab) -> None:
    """The evaluation begins eight hours before the training, by what the hosts tell."""
    wild_west, ssrde = 3, -5
    lay_out(lab)
    with lab.ssrde.serving(env=clock_off_by(ssrde)) as watch:
        until_told(lab.ssrde, "watching")
        for name in ("e1", "e2"):
            assert train(lab.wild_west, name, env=clock_off_by(wild_west)) == "completed"
            until_completed(lab, name)
        status = json.loads(lab.monitoring.heliograph("status", "--json").stdout)
        assert {one["status"] for one in status["experiments"]} == {"completed"}
        end(watch)
    check_once(lab, ["e1", "e2"])
    view = views(lab)["e1"]
    assert view.training.started_at is not None
    assert view.evaluation.started_at is not None
    assert view.evaluation.started_at < view.training.started_at, "the clocks were right"


def test_a_clock_that_is_ahead_does_not_take_generations_from_readers(lab: HostLab) -> None:
    """A superseded generation is kept for ten minutes: a reader may just be copying it."""
    lay_out(lab)
    with lab.ssrde.serving(env=clock_off_by(5)) as watch:
        until_told(lab.ssrde, "watching")
        train(lab.wild_west, "e1")
        until_completed(lab, "e1")
        end(watch)
    kept = sorted(path.name for path in lab.drive.published.glob("evaluation.*.db"))
    assert kept[0] == "evaluation.000001.db", "that of heliograph init, superseded a moment ago"
    assert len(kept) >= 2
