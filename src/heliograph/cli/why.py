"""heliograph why: why an experiment waits, runs, failed or is complete."""

from __future__ import annotations

import argparse

HELP = "Tell in plain words why an experiment waits, runs or failed, and what one can do."
EXAMPLES = """\
  heliograph why exp_01                      where it is, why, and what comes next
  heliograph why exp_01 --stage analysis     about one stage
  heliograph why exp_01 --json | jq -r .code the same for a script: pending, running, failed, …
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", metavar="EXPERIMENT")
    parser.add_argument("--stage", metavar="STAGE", help="training, evaluation or analysis")
    parser.add_argument("--json", action="store_true", help="print the explanation as JSON")


def run(args: argparse.Namespace) -> int:
    from heliograph.cli import command_here, print_json, tame_output
    from heliograph.config import choose_drive
    from heliograph.dashboard.explaining import explain_experiment
    from heliograph.dashboard.reader import reading
    from heliograph.names import utc_now
    from heliograph.state.views import Snapshots

    drive = choose_drive(args.drive)
    with Snapshots(drive) as snapshots, reading(snapshots):
        answer = explain_experiment(
            snapshots, args.experiment, utc_now(), stage=args.stage, command=command_here(drive, args.drive)
        )
    if args.json:
        print_json(answer)
        return 0
    from heliograph.dashboard.terminal import make_console
    from heliograph.dashboard.terminal_why import print_explanation

    tame_output()
    print_explanation(make_console(), answer)
    return 0
