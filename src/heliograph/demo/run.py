"""`heliograph demo`: the main job on this machine, with real parts, and nothing faked.

Two experiments are trained one after the other by `heliograph train`; `heliograph watch` runs beside them and
does the rest. What is shown is read from the published databases, as the dashboard reads them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct
from rich.console import Console
from rich.live import Live

from heliograph.demo.prepare import EXPERIMENTS, missing_parts, prepare_drive
from heliograph.demo.show import print_summary, progress_table
from heliograph.drive import Drive
from heliograph.errors import MissingPart, StateError, TrackingError, UnknownExperiment
from heliograph.mlflow_server import DEFAULT_PORT, free_port, running_server
from heliograph.names import utc_now
from heliograph.state.views import ExperimentView, Snapshots, StageView, read_experiment

LONGEST_S = 1200.0
_NEEDED = (
    ("Rscript", "the analysis cannot run, and the demo ends with exit code 9"),
    ("pandoc", "no report can be rendered"),
)


class _Running(Struct):
    """The processes that the demo has started."""

    watcher: subprocess.Popen[bytes]
    waiting: deque[str]
    training: subprocess.Popen[bytes] | None = None
    failed: bool = False


def run_demo(folder: Path, console: Console, *, fresh: bool = False) -> int:
    """Run the demo in `folder`; return 0 only if all three stages of both experiments completed."""
    started = time.monotonic()
    for sentence in missing_parts(_NEEDED):
        console.print(f"[yellow]note[/]  {sentence}")
    if fresh and folder.exists():
        _remove_demo(folder)
    os.environ["HELIOGRAPH_STATE"] = str(folder / "local")  # nothing of the demo stays in the home folder
    drive = prepare_drive(folder / "drive", utc_now())
    console.print(f"[bold]1.[/] a drive in {drive.root}, with text and minimal pairs from a small grammar")
    environ = {**os.environ, "SHARED_DRIVE": str(drive.root)}
    with ExitStack() as stack:
        stack.enter_context(_mlflow(drive, environ, console))
        watcher = stack.enter_context(_process(["watch"], environ, folder / "watch.log"))
        console.print("[bold]3.[/] the watcher runs: heliograph watch")
        todo = deque(name for name in EXPERIMENTS if not _is_trained(drive, name))
        console.print(f"[bold]4.[/] training {len(todo)} experiments, everything else happens by itself")
        running = _Running(watcher=watcher, waiting=todo)
        snapshots = stack.enter_context(Snapshots(drive))
        views = _follow(running, snapshots, console, environ, folder)
    console.print()
    print_summary(console, drive, views, time.monotonic() - started)
    done = all(stage.status == "completed" for view in views for stage in view.stages())
    return 0 if done else 9


def _remove_demo(folder: Path) -> None:
    """Remove what an earlier demo made, and only that: other things in the folder stay."""
    for name in ("drive", "local"):
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)


def _is_trained(drive: Drive, experiment: str) -> bool:
    return (drive.model_folder(experiment) / ".training_complete").exists()


@contextmanager
def _mlflow(drive: Drive, environ: dict[str, str], console: Console) -> Iterator[None]:
    """Run MLflow beside the demo where it is installed; without it the rest goes on."""
    try:
        server = running_server(drive, free_port(DEFAULT_PORT))
        uri = server.__enter__()
    except (MissingPart, TrackingError) as error:
        console.print(f"[yellow]2.[/] no MLflow: {error}")
        yield
        return
    environ["MLFLOW_TRACKING_URI"] = uri
    console.print(f"[bold]2.[/] MLflow answers on {uri}")
    try:
        yield
    finally:
        server.__exit__(None, None, None)


@contextmanager
def _process(words: list[str], environ: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a heliograph command beside this one; end it with SIGTERM."""
    process = _start(words, environ, log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start(words: list[str], environ: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        command = [sys.executable, "-m", "heliograph", *words]
        return subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=file, stderr=file)


def _follow(
    running: _Running, snapshots: Snapshots, console: Console, environ: Mapping[str, str], folder: Path
) -> list[ExperimentView]:
    """Train one experiment after the other and show what happens, until everything has ended."""
    deadline = time.monotonic() + LONGEST_S
    told: dict[tuple[str, str], str] = {}
    views: list[ExperimentView] = []
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            _next_training(running, environ, folder, console)
            views = _read(snapshots) or views
            _tell_changes(views, told, console)
            if console.is_terminal:
                live.update(progress_table(views, utc_now()), refresh=True)
            if _is_over(running, views):
                return views
            if running.watcher.poll() is not None or time.monotonic() > deadline:
                console.print(f"[red]The watcher ended or this takes too long; see {folder / 'watch.log'}[/]")
                return views
            time.sleep(0.5)


def _next_training(running: _Running, environ: Mapping[str, str], folder: Path, console: Console) -> None:
    if running.training is not None and running.training.poll() is None:
        return
    if running.training is not None and running.training.returncode != 0:
        console.print(f"[red]The training failed; see {folder / 'train.log'}[/]")
        running.failed = True
        running.waiting.clear()
    running.training = None
    if running.waiting:
        config = (
            Path(environ["SHARED_DRIVE"]) / "config" / "experiments" / f"{running.waiting.popleft()}.yaml"
        )
        running.training = _start(["train", "--config", str(config)], environ, folder / "train.log")


def _read(snapshots: Snapshots) -> list[ExperimentView]:
    """Return the demo's experiments as published; those that are not known yet are shown as waiting."""
    try:
        snapshots.refresh()
    except StateError:
        return []
    return [_read_one(snapshots, name) for name in EXPERIMENTS]


def _read_one(snapshots: Snapshots, name: str) -> ExperimentView:
    try:
        return read_experiment(snapshots, name)
    except UnknownExperiment:
        training, evaluation, analysis = (
            StageView(stage=stage, status="waiting") for stage in ("training", "evaluation", "analysis")
        )
        return ExperimentView(
            experiment=name, status="waiting", training=training, evaluation=evaluation, analysis=analysis
        )


def _tell_changes(views: list[ExperimentView], told: dict[tuple[str, str], str], console: Console) -> None:
    """Print a line whenever a stage changes, on a terminal above the table."""
    for view in views:
        for stage in view.stages():
            key = (view.experiment, stage.stage)
            if stage.status == told.get(key, "waiting"):
                continue
            told[key] = stage.status
            more = f" ({stage.duration_s:.0f} s)" if stage.status == "completed" and stage.duration_s else ""
            more = f": {stage.message}" if stage.status == "failed" else more
            job = f", job {stage.job_id}" if stage.job_id and stage.status in ("queued", "running") else ""
            line = f"   {utc_now():%H:%M:%S}  {view.experiment}  {stage.stage} {stage.status}{job}{more}"
            console.print(line, highlight=False, markup=False)


def _is_over(running: _Running, views: list[ExperimentView]) -> bool:
    """Tell whether nothing will happen any more: all is completed, or what failed is not tried again."""
    if running.training is not None or running.waiting:
        return False
    if running.failed:
        busy = ("queued", "running")
        return not any(stage.status in busy for view in views for stage in view.stages())
    return bool(views) and all(_has_ended(view) for view in views)


def _has_ended(view: ExperimentView) -> bool:
    for stage in view.stages():
        if stage.status == "failed":
            return stage.retry_at is None
        if stage.status != "completed":
            return False
    return True
