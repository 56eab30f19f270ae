"""heliograph evaluate"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from heliograph.evaluation.conclusion import Outcome
    from heliograph.evaluation.plan import Options
    from heliograph.evaluation.progress import Display

HELP = "Evaluate an experiment's checkpoints on the drive's data sets."
EXAMPLES = """\
  heliograph evaluate --experiment exp_01                             what config/evaluation/ says
  heliograph evaluate --experiment exp_01 --checkpoints all           a learning curve
  heliograph evaluate --experiment exp_01 --checkpoint checkpoints/checkpoint-1000
  heliograph evaluate --experiment exp_01 --datasets blimp,wikitext --json

What is finished is not evaluated again: after a kill, the same command goes on with what is missing. The
result that the analysis reads is what the last command evaluated. SIGTERM and Ctrl+C stop it between two
batches (exit codes 143 and 130). Batch jobs of the watcher run this very command.
"""

log = logging.getLogger(__name__)
_LOG_EVERY_S = 15.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--experiment", required=True, metavar="NAME")
    parser.add_argument(
        "--checkpoint",
        metavar="PATH",
        help="what the training ended with: a folder in models/NAME/, or relative to it (default: final)",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="default: the drive's config/evaluation/base_eval.yaml"
    )
    parser.add_argument(
        "--checkpoints", metavar="WHICH", help="final, all, or names with commas, instead of the configured"
    )
    parser.add_argument("--datasets", metavar="A,B", help="names with commas, instead of the configured")
    parser.add_argument(
        "--part", metavar="NAME", help="evaluate this checkpoint alone and publish nothing (job arrays)"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(args: argparse.Namespace) -> int:
    from heliograph import logs
    from heliograph.config import choose_drive, load_watcher_config, local_state_folder
    from heliograph.evaluation.attempt import read_attempt
    from heliograph.evaluation.service import make_tools, run_evaluation
    from heliograph.evaluation.worker import Stopped
    from heliograph.protocol.outbox import Outbox
    from heliograph.state.settle import settle_here

    logs.set_up(args.log_level)
    os.environ["HF_HUB_OFFLINE"] = "1"  # a checkpoint is local: nothing in it may make us ask the network
    drive = choose_drive(args.drive)
    options = _options(args)
    attempt = read_attempt(drive, options.experiment)
    outbox = Outbox(drive, local_state_folder(None) / "spool" / drive.read_id())
    mlflow_uri = os.environ.get("MLFLOW_TRACKING_URI") or load_watcher_config(drive).mlflow_tracking_uri
    try:
        with _stop_check() as check_stop, _display() as display:
            tools = make_tools(drive, outbox, attempt, display, check_stop, options.part)
            outcome = run_evaluation(tools, attempt, options, mlflow_uri)
    except Stopped as stopped:
        log.warning("stopped; what is finished is kept, and the same command goes on with the rest")
        return stopped.exit_code
    finally:
        if attempt.by_hand:
            settle_here(drive)
    _tell(outcome, as_json=args.json)
    return outcome.exit_code


def _options(args: argparse.Namespace) -> Options:
    """Read the arguments. Raises BadName."""
    from heliograph.evaluation.plan import Options
    from heliograph.names import check_name

    def names(text: str, option: str) -> list[str]:
        return [check_name(name.strip(), field=option) for name in text.split(",")]

    checkpoints: Literal["final", "all"] | list[str] | None = None
    if args.checkpoints in ("final", "all"):
        checkpoints = args.checkpoints
    elif args.checkpoints is not None:
        checkpoints = names(args.checkpoints, "--checkpoints")
    return Options(
        experiment=check_name(args.experiment, field="--experiment"),
        checkpoint=args.checkpoint,
        config=args.config,
        checkpoints=checkpoints,
        part=None if args.part is None else check_name(args.part, field="--part"),
        datasets=None if args.datasets is None else names(args.datasets, "--datasets"),
    )


@contextmanager
def _stop_check() -> Iterator[Callable[[], None]]:
    """Give a function that raises Stopped once SIGTERM or SIGINT has come."""
    from heliograph.evaluation.worker import Stopped

    received: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        """Only note it: a handler runs between any two instructions, also in the middle of a write."""
        received.append(number)

    def check() -> None:
        if received:
            raise Stopped(received[0])

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _display() -> Iterator[Display]:
    """Give what shows progress: a bar on a terminal, a log line now and then otherwise."""
    if not sys.stderr.isatty():
        yield _log_lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(done: int, total: int, doing: str) -> None:
            bar.update(task, completed=done, total=total or None, description=doing.replace("[", r"\["))

        yield show


def _log_lines() -> Display:
    told_doing, told_at = "", 0.0

    def show(done: int, total: int, doing: str) -> None:
        nonlocal told_doing, told_at
        now = time.monotonic()
        if doing != told_doing or now - told_at >= _LOG_EVERY_S:
            told_doing, told_at = doing, now
            log.info("%s (%d of %d items)", doing, done, total)

    return show


def _tell(outcome: Outcome, *, as_json: bool) -> None:
    """Print the results, and on the error output what failed: its last line is what a job's event says."""
    import msgspec

    if as_json:
        print(msgspec.json.format(msgspec.json.encode(outcome), indent=2).decode())
    else:
        print(f"{outcome.experiment}: {outcome.status} in {outcome.duration_s:.1f} s")
        for dataset, checkpoints in outcome.results.items():
            for checkpoint, metrics in checkpoints.items():
                shown = "  ".join(f"{name} {_number(value)}" for name, value in metrics.items())
                print(f"  {dataset}  {checkpoint}  {shown}")
        for dataset, skipped in outcome.n_skipped.items():
            if skipped:
                print(f"  {dataset}: {skipped} items could not be scored and are left out")
    for failure in reversed(outcome.failures):
        print(f"heliograph: {failure}", file=sys.stderr)


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4f}"
