"""How far what is shown can be trusted: how old it is, and whether somebody keeps it up to date."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from heliograph.dashboard.words import moment, one_line, rough
from heliograph.state.views import Overview, WatcherView, age_s

SILENT_AFTER_S = 60.0
"""A watcher beats every 5 s, and a network drive may show that half a minute late."""


class Freshness(Struct, frozen=True, kw_only=True):
    """What stands above everything that is shown."""

    level: str
    """`live`: a watcher keeps it up to date; `old`: nobody does; `alarm`: something is wrong"""
    headline: str
    details: list[str]


class Pulse(Struct):
    """Watches the watcher's beats by this host's clock: the hosts' clocks need not agree.

    Until the first change is seen there is only the holder's own time to go by.
    """

    seen_at: str | None = None
    changed_at: datetime | None = None
    has_beaten: bool = False

    def age_s(self, watcher: WatcherView | None, now: datetime) -> float | None:
        """Take in what the lease tells now; return how long ago the last beat was, in seconds."""
        if watcher is None:
            self.seen_at = None
            return None
        if watcher.seen_at != self.seen_at:
            self.has_beaten = self.seen_at is not None
            self.seen_at, self.changed_at = watcher.seen_at, now
        since_change_s = (now - (self.changed_at or now)).total_seconds()
        return since_change_s if self.has_beaten else max(age_s(watcher.seen_at, now), since_change_s)


def judge(
    overview: Overview,
    beat_age_s: float | None,
    now: datetime,
    *,
    trouble: str | None = None,
    read_at: datetime | None = None,
) -> Freshness:
    """Judge what was read at `read_at`; `trouble` tells why nothing newer could be read."""
    watcher = overview.watcher
    since_published = rough(age_s(overview.published_at, now))
    published = f"The last change was published {since_published} ago, {moment(overview.published_at, now)}."
    if trouble is not None:
        since_read = rough((now - (read_at or now)).total_seconds())
        level, headline = "alarm", f"The drive cannot be read. What is shown was read {since_read} ago."
        details = [trouble, published]
    elif watcher is None or beat_age_s is None:
        level, headline = "old", f"No watcher runs. What is shown was published {since_published} ago."
        details = ["Nothing new is taken up until somebody starts one: heliograph watch"]
    elif beat_age_s > SILENT_AFTER_S:
        level, headline = "alarm", f"The watcher has been silent for {rough(beat_age_s)}: nothing is newer."
        details = [f"It ran on {_place(watcher)}. Are that host, its drive and the watcher well?", published]
    else:
        level, headline = "live", f"Live. The watcher's last beat was {rough(beat_age_s)} ago."
        memory = "" if watcher.memory_mb is None else f", {watcher.memory_mb:.0f} MB"
        details = [f"It runs on {_place(watcher)}{memory}{_calls(watcher)}.", published]
    return Freshness(level=level, headline=headline, details=details)


def _calls(watcher: WatcherView) -> str:
    """Tell how often Slurm was asked, for those who keep the cluster; nothing where there is no Slurm."""
    count = watcher.slurm_calls_last_hour
    if count is None:
        return ""
    return f", {count} {'call' if count == 1 else 'calls'} of Slurm in the last hour"


def _place(watcher: WatcherView) -> str:
    return f"{one_line(watcher.host)} (pid {watcher.pid})"
