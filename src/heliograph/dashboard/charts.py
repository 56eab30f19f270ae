"""Line charts as plain geometry, drawn by the templates as SVG: no script, no style, sharp at every size.

Horizontal places are percentages of the width, vertical ones pixels: so a chart fills a phone and a wall
screen, and its lines and letters keep their size.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from heliograph.dashboard import words

HEIGHT = 220.0
_TOP, _BOTTOM = 10.0, 28.0
_LEFT, _RIGHT = 2.0, 98.0
_MOST_X_LABELS = 6
_COLOURS = 8
_SPARK_WIDTH, _SPARK_HEIGHT, _SPARK_EDGE = 96.0, 26.0, 4.0

Values = Mapping[str, float | None]


class Spark(Struct, frozen=True):
    """A line as small as a word: each of `lines` is the `points` of an SVG polyline, `ends` are (x, y)."""

    width: float
    height: float
    lines: list[str]
    ends: list[tuple[float, float]]


class Tick(Struct, frozen=True):
    """A mark on an axis: where (pixels from the top, or per cent from the left), and what it says."""

    at: float
    text: str
    anchor: str = "middle"


class Point(Struct, frozen=True):
    """One number: x in per cent, y in pixels, and what it says when pointed at."""

    x: float
    y: float
    text: str


class Series(Struct, frozen=True):
    """One line: its name, its colour's number (1 to 8), its points and the stretches between them."""

    name: str
    colour: int
    points: list[Point]
    stretches: list[tuple[Point, Point]]
    last: str


class Chart(Struct, frozen=True, kw_only=True):
    """One metric over the checkpoints, a line for each data set."""

    metric: str
    summary: str
    """what there is to see, in a sentence, for those who cannot see it"""
    height: float
    baseline: float
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    series: list[Series]


def checkpoint_order(names: Iterable[str]) -> list[str]:
    """Return each checkpoint's name once, in the order of training: by number, the final model last."""
    return sorted(set(names), key=lambda name: (name == "final", words.natural(name)))


def draw_spark(lines: Sequence[Sequence[float | None]]) -> Spark:
    """Draw lines that share one scale and their checkpoints' order; a missing number is passed over."""
    values = [value for line in lines for value in line if value is not None]
    low, high = min(values), max(values)
    drawn, ends = [], []
    for line in lines:
        points = [
            (
                _between(_SPARK_EDGE, _SPARK_WIDTH - _SPARK_EDGE, _share_of(index, 0, len(line) - 1)),
                _between(_SPARK_HEIGHT - _SPARK_EDGE, _SPARK_EDGE, _share_of(value, low, high)),
            )
            for index, value in enumerate(line)
            if value is not None
        ]
        if points:
            drawn.append(" ".join(f"{x:.1f},{y:.1f}" for x, y in points))
            ends.append((round(points[-1][0], 1), round(points[-1][1], 1)))
    return Spark(_SPARK_WIDTH, _SPARK_HEIGHT, drawn, ends)


def draw_chart(metric: str, order: Sequence[str], lines: Mapping[str, Values]) -> Chart | None:
    """Draw one metric; None where no data set has a number.

    `order` names the checkpoints; `lines` holds for each data set its number at each of them.
    """
    values = [v for line in lines.values() for v in line.values() if v is not None]
    if not values:
        return None
    scale = _Scale(metric, min(values), max(values))
    series = [_series(metric, name, n, order, line, scale) for n, (name, line) in enumerate(lines.items())]
    series = [one for one in series if one.points]
    ends = ", ".join(f"{one.name} {one.last}" for one in series)
    return Chart(
        metric=metric,
        summary=f"{metric} of {len(series)} data sets over {len(order)} checkpoints; at the last: {ends}",
        height=HEIGHT,
        baseline=HEIGHT - _BOTTOM,
        x_ticks=_x_ticks(order),
        y_ticks=[Tick(scale.y(value), words.tick(metric, value), "end") for value in scale.ticks],
        series=series,
    )


class _Scale:
    """The vertical axis: linear, or logarithmic where numbers differ more than tenfold (perplexities do)."""

    def __init__(self, metric: str, low: float, high: float) -> None:
        self.is_log = low > 0 and high / low > 10
        if self.is_log:
            self.ticks = _log_ticks(low, high)
        elif words.is_share(metric):
            self.ticks = _linear_ticks(max(0.0, low - 0.02), min(1.0, high + 0.02))
        else:
            self.ticks = _linear_ticks(low, high)

    def y(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        if self.is_log:
            value, low, high = math.log10(value), math.log10(low), math.log10(high)
        return round(_between(HEIGHT - _BOTTOM, _TOP, _share_of(value, low, high)), 1)


def _linear_ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers that enclose the range."""
    span = high - low or abs(high) or 1.0
    step = 10.0 ** math.floor(math.log10(span))
    step = next(s for s in (step / 5, step / 2, step, 2 * step, 5 * step) if span / s <= 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 12) for n in range(first, max(last, first + 1) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten, or 1-2-5 steps within a short range, that enclose the range."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first > 2:
        return [10.0**n for n in range(first, last + 1)]
    steps = [m * 10.0**n for n in range(first, last + 1) for m in (1, 2, 5)]
    begin = max(i for i, s in enumerate(steps) if s <= low * (1 + 1e-9))
    end = min(i for i, s in enumerate(steps) if s >= high * (1 - 1e-9))
    return steps[begin : end + 1]


def _series(metric: str, name: str, number: int, order: Sequence[str], line: Values, scale: _Scale) -> Series:
    points = []
    for index, checkpoint in enumerate(order):
        value = line.get(checkpoint)
        if value is not None:
            told = f"{name}, {checkpoint}: {words.number(metric, value)}"
            points.append(Point(_x(index, len(order)), scale.y(value), told))
    present = [value for checkpoint in order if (value := line.get(checkpoint)) is not None]
    return Series(
        name=name,
        colour=number % _COLOURS + 1,
        points=points,
        stretches=list(itertools.pairwise(points)),
        last=words.number(metric, present[-1] if present else None),
    )


def _x(index: int, count: int) -> float:
    """Return the place of a checkpoint: equal distances, because checkpoints often stand at 1, 2, 4, 8 …"""
    return 50.0 if count == 1 else round(_between(_LEFT, _RIGHT, index / (count - 1)), 2)


def _x_ticks(order: Sequence[str]) -> list[Tick]:
    """Name at most six checkpoints, the first and the last among them."""
    count = len(order)
    most = min(count, _MOST_X_LABELS)
    chosen = [round(k * (count - 1) / (most - 1)) for k in range(most)] if most > 1 else [0]
    ticks = []
    for index in chosen:
        anchor = "middle"
        if count > 1:
            anchor = {0: "start", count - 1: "end"}.get(index, "middle")
        ticks.append(Tick(_x(index, count), words.short_checkpoint(order[index]), anchor))
    return ticks


def _share_of(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _between(start: float, end: float, share: float) -> float:
    return start + (end - start) * share
