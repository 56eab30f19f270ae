"""What the demo shows while it runs, and its summary."""

from __future__ import annotations

from datetime import datetime

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
    console.print(_accuracy_table(views))
    console.print(_places(drive, views))
    console.print(f"That took {total_s:.0f} s.")


def _times_table(views: list[ExperimentView]) -> Table:
    table = Table(title="Stages", title_justify="left")
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


def _accuracy_table(views: list[ExperimentView]) -> Table:
    """Return the metrics over the checkpoints, as the databases have them."""
    table = Table(title="Results over the checkpoints", title_justify="left")
    table.add_column("experiment")
    table.add_column("data set, metric")
    found: dict[tuple[str, str], dict[str, float | None]] = {}
    checkpoints: list[str] = []
    for view in views:
        for result in view.results:
            key = (view.experiment, f"{result.dataset}, {result.metric}")
            found.setdefault(key, {})[result.checkpoint] = result.value
            checkpoints.append(result.checkpoint)
    names = sorted(set(checkpoints), key=checkpoint_order)
    for name in names:
        table.add_column(name.removeprefix("checkpoint-"), justify="right")
    for (experiment, metric), values in found.items():
        if not metric.endswith(("accuracy", "perplexity")):
            continue
        cells = ["" if values.get(name) is None else f"{values[name]:.3f}" for name in names]
        table.add_row(experiment, metric, *cells)
    return table


def checkpoint_order(name: str) -> tuple[int, int]:
    """Sort checkpoint-100 before checkpoint-1000, and the final one last."""
    number = name.rpartition("-")[2]
    return (0, int(number)) if number.isdigit() else (1, 0)


def _places(drive: Drive, views: list[ExperimentView]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for view in views:
        for output in view.outputs:
            if output.type == "report":
                table.add_row(f"report, {view.experiment}", str(drive.root / output.path))
        table.add_row(f"figures, {view.experiment}", f"{drive.figures(view.experiment)}/")
    table.add_row("databases", f"{drive.state}/  training.db  evaluation.db  analysis.db  mlflow.db")
    table.add_row("every stage", f"heliograph --drive {drive.root} status")
    table.add_row("dashboard", f"heliograph --drive {drive.root} dashboard   then http://127.0.0.1:8000")
    table.add_row("MLflow", f"heliograph --drive {drive.root} mlflow   then http://127.0.0.1:5000")
    return table
