"""What the overview shows: every experiment as a row of three stages, what needs attention first."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote, urlencode

from msgspec import Struct

from heliograph.dashboard import words
from heliograph.dashboard.charts import Spark, checkpoint_order, draw_spark
from heliograph.dashboard.freshness import Freshness, judge
from heliograph.dashboard.reader import Reading
from heliograph.dashboard.stages import StageShown, show_stages
from heliograph.state.views import ExperimentView, Overview


class Filter(Struct, frozen=True):
    """What the address asks for: a part of the experiments' names (case does not count), and one status."""

    text: str = ""
    status: str = ""

    def keeps(self, view: ExperimentView) -> bool:
        return self.keeps_name(view) and self.status in ("", view.status)

    def keeps_name(self, view: ExperimentView) -> bool:
        return self.text.strip().lower() in view.experiment.lower()

    def address(self) -> str:
        """Return the overview's address with this filter."""
        given = {"q": self.text, "status": self.status}
        query = urlencode({name: value for name, value in given.items() if value})
        return f"/?{query}" if query else "/"


class Counter(Struct, frozen=True):
    """How many experiments have a status, and the address that shows only those."""

    status: str
    """empty for all of them"""
    sign: str
    count: int
    href: str
    is_chosen: bool


class Accuracy(Struct, frozen=True):
    """The shares of the newest evaluation: a small line over its checkpoints, and the last numbers."""

    metric: str
    spark: Spark
    shown: str
    """one number, or the range over the data sets"""
    datasets: int


class Row(Struct, frozen=True):
    """One experiment."""

    name: str
    href: str
    status: str
    sign: str
    stages: list[StageShown]
    accuracy: Accuracy | None
    quarantined: int


class Aside(Struct, frozen=True):
    """A signal that was put aside. `name` is empty where no experiment is known to which it belongs."""

    name: str
    href: str
    reason: str


class OverviewPage(Struct, frozen=True, kw_only=True):
    """What the overview shows."""

    drive: str
    freshness: Freshness
    filter: Filter
    counters: list[Counter]
    rows: list[Row]
    total: int
    asides: list[Aside]


def build_overview(reading: Reading, chosen: Filter, now: datetime) -> OverviewPage:
    """Build the overview from what was read."""
    overview = reading.overview
    kept = [view for view in overview.experiments if chosen.keeps(view)]
    kept.sort(key=lambda view: words.attention(view.status))  # stable: the latest first within a status
    return OverviewPage(
        drive=words.one_line(overview.drive),
        freshness=judge(overview, reading.beat_age_s, now, trouble=reading.trouble, read_at=reading.read_at),
        filter=chosen,
        counters=_counters(overview, chosen),
        rows=[_row(view, now) for view in kept],
        total=len(overview.experiments),
        asides=_asides(overview),
    )


def _counters(overview: Overview, chosen: Filter) -> list[Counter]:
    """Count by status what the search leaves, whichever status is chosen."""
    found = [view.status for view in overview.experiments if chosen.keeps_name(view)]
    counts = {"": len(found)} | {status: found.count(status) for status in words.ATTENTION}
    return [
        Counter(
            status=status,
            sign=words.sign(status) if status else "",
            count=count,
            href=Filter(chosen.text, status).address(),
            is_chosen=status == chosen.status,
        )
        for status, count in counts.items()
    ]


def _row(view: ExperimentView, now: datetime) -> Row:
    return Row(
        name=view.experiment,
        href=experiment_address(view.experiment),
        status=view.status,
        sign=words.sign(view.status),
        stages=show_stages(view, now),
        accuracy=_accuracy(view),
        quarantined=len(view.quarantined),
    )


def _accuracy(view: ExperimentView) -> Accuracy | None:
    shares = [result for result in view.results if words.is_share(result.metric) and result.value is not None]
    if not shares:
        return None
    metric = shares[0].metric
    order = checkpoint_order(result.checkpoint for result in shares)
    lines: dict[str, dict[str, float]] = {}
    for result in shares:
        if result.metric == metric and result.value is not None:
            lines.setdefault(result.dataset, {})[result.checkpoint] = result.value
    last = [next(values[c] for c in reversed(order) if c in values) for values in lines.values()]
    low, high = words.number(metric, min(last)), words.number(metric, max(last))
    return Accuracy(
        metric=metric,
        spark=draw_spark([[values.get(c) for c in order] for values in lines.values()]),
        shown=low if low == high else f"{low.removesuffix(' %')} – {high}",
        datasets=len(lines),
    )


def _asides(overview: Overview) -> list[Aside]:
    orphans = [Aside("", "", words.one_line(reason)) for reason in overview.quarantined]
    return orphans + [
        Aside(view.experiment, experiment_address(view.experiment), words.one_line(reason))
        for view in overview.experiments
        for reason in view.quarantined
    ]


def experiment_address(name: str) -> str:
    return f"/experiments/{quote(name)}"
