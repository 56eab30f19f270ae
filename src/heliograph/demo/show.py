"""What the demo shows while it runs, and its summary."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from shutil import which

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from heliograph.drive import Drive
from heliograph.state.views import ExperimentView, StageView, age_s

SIGNS = {
    "waiting": ("·", "dim"),
    "queued": ("…", "yellow"),
    "running": ("▶", "yellow"),
    "completed": ("✓", "green"),
    "failed": ("✗", "red"),
}

SHOWN_METRICS = {
    "accuracy": "Accuracy on minimal pairs, over the checkpoints",
    "perplexity": "Perplexity of held-out text, over the checkpoints",
}


def status_text(stage: StageView) -> Text:
    """Return sign and word of a stage in its colour."""
    sign, style = SIGNS[stage.status]
    return Text(f"{sign} {stage.status}", style=style)


def elapsed_s(stage: StageView, now: datetime) -> float | None:
    """Return how long a stage has taken so far."""
    if stage.duration_s is not None or stage.started_at is None:
        return stage.duration_s
    return age_s(stage.started_at, now)


def progress_table(views: list[ExperimentView], now: datetime) -> RenderableType:
    """Return the table that is drawn anew while the demo runs: a row a stage, and a bar for the whole."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("experiment", "stage", "status", "", "time"):
        table.add_column(name, style="bold" if name == "experiment" else "")
    for view in views:
        for number, stage in enumerate(view.stages()):
            seconds = elapsed_s(stage, now)
            table.add_row(
                view.experiment if number == 0 else "",
                stage.stage,
                status_text(stage),
                ProgressBar(total=1.0, completed=stage_share(stage), width=24),
                "" if seconds is None else f"{seconds:.0f} s",
            )
    stages = [stage for view in views for stage in view.stages()]
    share = sum(stage_share(stage) for stage in stages) / max(1, len(stages))
    whole = Table.grid(padding=(0, 2, 0, 0))
    whole.add_row(
        Text("the whole demo", style="bold"),
        ProgressBar(total=1.0, completed=share, width=50),
        f"{share:.0%}",
    )
    return Group(table, Text(), whole)


def stage_share(stage: StageView) -> float:
    """Return how much of a stage is done, 0 to 1."""
    return 1.0 if stage.status == "completed" else stage.progress or 0.0


def print_summary(console: Console, drive: Drive, views: list[ExperimentView], total_s: float) -> None:
    """Print what came out: times, accuracies, and where everything lies."""
    console.print(_times_table(views))
    for metric, title in SHOWN_METRICS.items():
        console.print(_metric_table(views, metric, title))
    for what, where in _places(drive, views):
        console.print(f"{what:24}{where}", highlight=False, markup=False)
    console.print(f"\nThat took {total_s:.0f} s.")


def _times_table(views: list[ExperimentView]) -> Table:
    table = Table(title="Stages", title_justify="left", box=SIMPLE_HEAD)
    for name in ("experiment", "training", "evaluation", "analysis"):
        table.add_column(name)
    for view in views:
        cells = []
        for stage in view.stages():
            text = status_text(stage)
            if stage.duration_s is not None:
                text.append(f"  {stage.duration_s:.0f} s")
            if stage.status == "failed":
                text.append(f"\n{stage.message}")
            cells.append(text)
        table.add_row(view.experiment, *cells)
    return table


def _metric_table(views: list[ExperimentView], metric: str, title: str) -> Table:
    """Return one metric over the checkpoints of every experiment, as the databases have it."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("step")
    shown = {view.experiment: [r for r in view.results if r.metric == metric] for view in views}
    names = {result.checkpoint for results in shown.values() for result in results}
    columns = sorted(names, key=checkpoint_order)
    for name in columns:
        table.add_column(name.removeprefix("checkpoint-"), justify="right")
    for experiment, results in shown.items():
        values = {result.checkpoint: result.value for result in results}
        cells = ["" if values.get(name) is None else f"{values[name]:.3f}" for name in columns]
        table.add_row(experiment, *cells)
    return table


def checkpoint_order(name: str) -> tuple[int, int]:
    """Sort checkpoint-100 before checkpoint-1000, and the final one last."""
    number = name.rpartition("-")[2]
    return (0, int(number)) if number.isdigit() else (1, 0)


def _places(drive: Drive, views: list[ExperimentView]) -> Iterator[tuple[str, str]]:
    """Yield what lies where, and how to open it."""
    for view in views:
        reports = [output for output in view.outputs if output.type == "report"]
        for output in reports:
            yield f"report {view.experiment}", str(drive.root / output.path)
        if view.outputs:
            yield f"figures {view.experiment}", f"{drive.figures(view.experiment)}/"
    for name in ("training.db", "evaluation.db", "analysis.db", "mlflow.db"):
        if (drive.state / name).exists():
            yield "database", str(drive.state / name)
    here = Path(sys.executable).parent / "heliograph"
    program = "heliograph" if which("heliograph") else str(here)
    command = f"{shlex.quote(program)} --drive {shlex.quote(str(drive.root))}"
    yield "status", f"{command} status"
    yield "dashboard", f"{command} dashboard"
    yield "", "    then http://127.0.0.1:8000"
    yield "MLflow", f"{command} mlflow"
    yield "", "    then http://127.0.0.1:5000"
