from datetime import timedelta

from heliograph.watcher.every import Every
from heliograph.watcher.submit import RateLimit
from support.drives import NOW

HOUR = timedelta(hours=1)


def test_something_is_done_every_so_often() -> None:
    every = Every(30)
    assert every.is_due(NOW)
    every.done(NOW)
    assert not every.is_due(NOW + timedelta(seconds=29))
    assert every.is_due(NOW + timedelta(seconds=30))
    every.soon()
    assert every.is_wanted_soon
    assert every.is_due(NOW)
    assert not Every(30, first_at=NOW).is_due(NOW)


def test_a_clock_that_is_set_stops_nothing() -> None:
    every = Every(30)
    every.done(NOW)
    assert every.is_due(NOW - HOUR)
    every.done(NOW - HOUR)
    assert not every.is_due(NOW - HOUR + timedelta(seconds=1))
    assert every.is_due(NOW + HOUR)


def test_the_rate_limit_survives_a_clock_that_is_set_back() -> None:
    rate = RateLimit(2)
    assert [rate.allows(NOW) for _ in range(3)] == [True, True, False]
    assert rate.allows(NOW - HOUR)
    assert rate.allows(NOW - HOUR)
    assert not rate.allows(NOW - HOUR + timedelta(seconds=59))
    assert rate.allows(NOW - HOUR + timedelta(seconds=60))
