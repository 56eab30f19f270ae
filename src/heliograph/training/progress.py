"""How far a training is: a bar on a terminal, a few log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from heliograph.training.trainer import Progress, Report

log = logging.getLogger(__name__)

_LINE_EVERY_S = 10.0


def choose_progress(name: str) -> Progress:
    """Return the kind of progress that fits what standard error is."""
    return (lambda total: bar(name, total)) if sys.stderr.isatty() else (lambda total: lines(name, total))


@contextmanager
def bar(name: str, total: int) -> Iterator[Report]:
    """Draw a bar with the loss, the step and the time that is left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=total, loss=float("nan"))
        yield lambda step, loss: progress.update(task, completed=step, loss=loss)


@contextmanager
def lines(name: str, total: int) -> Iterator[Report]:
    """Log a line every ten seconds, and one at the end."""
    began = last = time.monotonic()

    def report(step: int, loss: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _LINE_EVERY_S or step == total:
            last = now
            left_s = (now - began) / step * (total - step)
            log.info("%s: step %d of %d, loss %.3f, %.0f s left", name, step, total, loss, left_s)

    yield report
