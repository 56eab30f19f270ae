"""What an experiment's page shows: its stages, results over checkpoints, checkpoints, figures and reports."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import datetime
from pathlib import PurePosixPath
from urllib.parse import quote

from msgspec import Struct

from heliograph.dashboard import words
from heliograph.dashboard.charts import Chart, checkpoint_order, draw_chart
from heliograph.dashboard.freshness import Freshness, judge
from heliograph.dashboard.overview import experiment_address
from heliograph.dashboard.reader import Reading
from heliograph.dashboard.stages import StageShown, show_stages
from heliograph.errors import UnknownExperiment
from heliograph.errors import quote as quoted
from heliograph.state.views import CheckpointView, ExperimentView, OutputView, Overview, ResultView


class ResultRow(Struct, frozen=True):
    """One metric of one data set: a number for each checkpoint, a dash where there is none."""

    dataset: str
    metric: str
    numbers: list[str]


class CheckpointRow(Struct, frozen=True):
    """One checkpoint of the training."""

    name: str
    step: str
    epoch: str
    size: str
    saved_at: str
    saved: str


class Output(Struct, frozen=True):
    """One file that the analysis made; the address serves exactly this file."""

    path: str
    href: str

    @property
    def file_name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.path).suffix.lstrip(".").lower()


class Work(Struct, frozen=True):
    """The same figure, table or report in each of its formats."""

    title: str
    files: list[Output]

    def in_format(self, suffix: str) -> Output | None:
        return next((output for output in self.files if output.suffix == suffix), None)


class ExperimentPage(Struct, frozen=True, kw_only=True):
    """What an experiment's page shows."""

    name: str
    href: str
    status: str
    sign: str
    freshness: Freshness
    stages: list[StageShown]
    quarantined: list[str]
    checkpoints_evaluated: list[str]
    results: list[ResultRow]
    charts: list[Chart]
    checkpoints: list[CheckpointRow]
    figures: list[Work]
    tables: list[Work]
    reports: list[Work]
    others: list[Work]


def build_experiment(reading: Reading, view: ExperimentView, now: datetime) -> ExperimentPage:
    """Build an experiment's page from what was read."""
    order = checkpoint_order(result.checkpoint for result in view.results)
    works = {kind: _works(view, kind) for kind in ("figure", "table", "report", None)}
    return ExperimentPage(
        name=view.experiment,
        href=experiment_address(view.experiment),
        status=view.status,
        sign=words.sign(view.status),
        freshness=judge(
            reading.overview, reading.beat_age_s, now, trouble=reading.trouble, read_at=reading.read_at
        ),
        stages=show_stages(view, now),
        quarantined=[words.one_line(reason) for reason in view.quarantined],
        checkpoints_evaluated=order,
        results=result_rows(view.results, order),
        charts=_charts(view.results, order),
        checkpoints=[_checkpoint_row(checkpoint, now) for checkpoint in view.checkpoints],
        figures=works["figure"],
        tables=works["table"],
        reports=works["report"],
        others=works[None],
    )


def find_experiment(overview: Overview, name: str) -> ExperimentView:
    """Return one experiment. Raises UnknownExperiment with the nearest names."""
    known = {view.experiment: view for view in overview.experiments}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3)
    remedy = f"Did you mean {', '.join(near)}?" if near else "The overview lists them: heliograph status."
    raise UnknownExperiment(name=quoted(name), remedy=remedy)


def by_metric(results: Sequence[ResultView]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Arrange results as {metric: {data set: {checkpoint: number}}}, metrics that are shares first."""
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for result in sorted(results, key=lambda one: not words.is_share(one.metric)):  # stable: else as given
        found.setdefault(result.metric, {}).setdefault(result.dataset, {})[result.checkpoint] = result.value
    return found


def result_rows(results: Sequence[ResultView], order: Sequence[str]) -> list[ResultRow]:
    """Return the table of results: a row for each metric of each data set, a number for each checkpoint."""
    return [
        ResultRow(dataset, metric, [words.number(metric, numbers.get(name)) for name in order])
        for metric, datasets in by_metric(results).items()
        for dataset, numbers in datasets.items()
    ]


def _charts(results: Sequence[ResultView], order: Sequence[str]) -> list[Chart]:
    drawn = [draw_chart(metric, order, datasets) for metric, datasets in by_metric(results).items()]
    return [chart for chart in drawn if chart is not None]


def _checkpoint_row(view: CheckpointView, now: datetime) -> CheckpointRow:
    return CheckpointRow(
        name=words.one_line(PurePosixPath(view.path).name or view.path),
        step="–" if view.step is None else f"{view.step:,}",
        epoch="–" if view.epoch is None else f"{view.epoch:g}",
        size=words.size(view.size_bytes),
        saved_at=view.created_at,
        saved=words.moment(view.created_at, now),
    )


def _works(view: ExperimentView, kind: str | None) -> list[Work]:
    """Group one kind of output by what it shows; None stands for every kind that is not known."""
    known = ("figure", "table", "report")
    outputs = [o for o in view.outputs if o.type == kind or (kind is None and o.type not in known)]
    works: dict[str, list[Output]] = {}
    for output in outputs:
        works.setdefault(str(PurePosixPath(output.path).with_suffix("")), []).append(_output(view, output))
    return [Work(_title(stem), files) for stem, files in works.items()]


def _title(stem: str) -> str:
    """Make a title of a file's name: learning_curve becomes Learning curve."""
    name = words.one_line(PurePosixPath(stem).name).replace("_", " ").replace("-", " – ")
    return name[:1].upper() + name[1:]


def _output(view: ExperimentView, output: OutputView) -> Output:
    """The time of the analysis stands in the address, so that a browser may keep what it has fetched."""
    address = f"{experiment_address(view.experiment)}/outputs/{quote(output.path)}"
    return Output(output.path, f"{address}?at={quote(view.analysis.completed_at or '')}")
