"""heliograph analyse EXPERIMENT"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heliograph.analysis.pipeline import AnalysisOutcome
    from heliograph.drive import Drive

HELP = "Analyse an evaluation with R: statistics, figures, tables, a report in HTML and PDF."
EXAMPLES = """\
  heliograph analyse experiment_01                      figures, tables and report of its evaluation
  heliograph analyse experiment_01 --engine targets     fail where the R package targets is missing
  heliograph analyse experiment_01 --json               tell what was made as JSON

What is up to date already is not made again. The R project is DRIVE/analysis; it may be changed there.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", metavar="EXPERIMENT")
    parser.add_argument(
        "--engine",
        choices=["auto", "targets", "fallback"],
        default="auto",
        help="what runs the pipeline: the R package targets, or the runner that heliograph brings "
        "for where it is missing (default: targets if it is installed)",
    )
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def run(args: argparse.Namespace) -> int:
    from heliograph import logs
    from heliograph.analysis.attempt import read_attempt
    from heliograph.analysis.pipeline import run_analysis
    from heliograph.analysis.process import Killed
    from heliograph.analysis.telling import Settings
    from heliograph.config import choose_drive, load_watcher_config, local_state_folder
    from heliograph.names import utc_now
    from heliograph.protocol.outbox import Outbox
    from heliograph.state.settle import settle_here

    logs.set_up(args.log_level)
    drive = choose_drive(args.drive)
    attempt = read_attempt(args.experiment, os.environ)
    config = load_watcher_config(drive)
    local = local_state_folder(None)
    settings = Settings(
        drive=drive,
        outbox=Outbox(drive, local / "spool" / drive.read_id()),
        state_folder=local,
        environ=os.environ,
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or config.mlflow_tracking_uri,
        now=utc_now,
    )
    try:
        outcome = run_analysis(settings, attempt, args.engine)
    except Killed as end:
        print(f"heliograph: {end}; what is finished is kept, analyse again to go on", file=sys.stderr)
        return end.exit_code
    finally:
        if attempt.by_hand:
            settle_here(drive)
    _show(outcome, drive, as_json=args.json)
    return 0


def _show(outcome: AnalysisOutcome, drive: Drive, *, as_json: bool) -> None:
    import msgspec

    if as_json:
        print(msgspec.json.format(msgspec.json.encode(outcome), indent=2).decode())
        return
    print(f"analysed {outcome.experiment} with {outcome.engine} in {outcome.duration_s:.1f} s")
    for name, value in outcome.metrics.items():
        print(f"  {name:32} {value:.4g}")
    for path in outcome.files:
        print(f"  {drive.root / path}")
    for warning in outcome.warnings:
        print(f"  note: {warning}")
