from datetime import datetime, timedelta

import pytest

from heliograph.dashboard.freshness import Pulse, judge
from heliograph.names import iso
from heliograph.state.views import Overview, WatcherView
from support.drives import NOW


def watcher(seen_at: datetime) -> WatcherView:
    return WatcherView(
        host="ssrde", pid=4242, seen_at=iso(seen_at), memory_mb=31.4, slurm_calls_last_hour=None
    )


def overview(seen_at: datetime | None = NOW) -> Overview:
    return Overview(
        drive="/mnt/shared",
        published_at=iso(NOW - timedelta(hours=2)),
        watcher=watcher(seen_at) if seen_at else None,
        experiments=[],
        quarantined=[],
    )


def test_while_the_watcher_beats_old_data_is_no_alarm() -> None:
    fresh = judge(overview(), 3.0, NOW)
    assert fresh.level == "live"
    assert fresh.headline == "Live. The watcher's last beat was 3 s ago."
    assert "The last change was published 2 h ago, 31 Jan 07:05." in fresh.details


def test_a_silent_watcher_is_an_alarm() -> None:
    fresh = judge(overview(), 720.0, NOW)
    assert (fresh.level, fresh.headline) == (
        "alarm",
        "The watcher has been silent for 12 min: nothing is newer.",
    )


def test_without_a_watcher_the_age_stands_in_front() -> None:
    fresh = judge(overview(None), None, NOW)
    assert (fresh.level, fresh.headline) == ("old", "No watcher runs. What is shown was published 2 h ago.")


def test_trouble_with_the_drive_outweighs_the_rest() -> None:
    fresh = judge(overview(), 3.0, NOW, trouble="it hangs", read_at=NOW - timedelta(minutes=5))
    assert fresh.level == "alarm"
    assert fresh.headline == "The drive cannot be read. What is shown was read 5 min ago."
    assert "it hangs" in fresh.details


def test_a_hostile_host_name_cannot_act() -> None:
    hostile = overview()
    assert hostile.watcher is not None
    hostile.watcher.host = "\x1b[31mssrde"
    assert judge(hostile, 3.0, NOW).details[0] == "It runs on \\x1b[31mssrde (pid 4242), 31 MB."


@pytest.mark.parametrize(
    ("calls", "said"),
    [(None, ""), (0, ", 0 calls of Slurm in the last hour"), (1, ", 1 call of Slurm in the last hour")],
)
def test_slurms_administrator_sees_how_often_it_is_asked(calls: int | None, said: str) -> None:
    seen = overview()
    assert seen.watcher is not None
    seen.watcher.slurm_calls_last_hour = calls
    assert judge(seen, 3.0, NOW).details[0] == f"It runs on ssrde (pid 4242), 31 MB{said}."


def test_the_first_look_goes_by_the_holders_clock() -> None:
    assert Pulse().age_s(watcher(NOW - timedelta(seconds=40)), NOW) == 40.0


@pytest.mark.parametrize("ahead_s", [-600, 0, 600])
def test_after_a_beat_was_seen_the_hosts_clocks_do_not_matter(ahead_s: int) -> None:
    pulse, ahead = Pulse(), timedelta(seconds=ahead_s)
    pulse.age_s(watcher(NOW + ahead), NOW)
    later = NOW + timedelta(seconds=5)
    assert pulse.age_s(watcher(later + ahead), later) == 0.0
    assert pulse.age_s(watcher(later + ahead), later + timedelta(seconds=90)) == 90.0


def test_a_clock_that_is_ahead_does_not_hide_silence() -> None:
    pulse, same = Pulse(), watcher(NOW + timedelta(hours=1))
    pulse.age_s(same, NOW)
    assert pulse.age_s(same, NOW + timedelta(minutes=3)) == 180.0


def test_a_lease_that_was_given_back_has_no_age() -> None:
    pulse = Pulse()
    pulse.age_s(watcher(NOW), NOW)
    assert pulse.age_s(None, NOW) is None
