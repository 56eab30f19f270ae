"""heliograph retry: have a stage tried again."""

from __future__ import annotations

import argparse

HELP = "Have a stage of an experiment tried again, with more memory or time where it needs them."
EXAMPLES = """\
  heliograph retry exp_01                              the stage that failed, at once, without waiting
  heliograph retry exp_01 --mem 64G --time 08:00:00    with more, up to the configured most
  heliograph retry exp_01 --stage analysis --force     again, though it is complete

It may be called on any host that has the drive: the request goes to the watcher through the drive's inbox.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from heliograph.cli import add_waiting

    parser.add_argument("experiment", metavar="EXPERIMENT")
    parser.add_argument(
        "--stage", metavar="STAGE", help="evaluation or analysis (default: the last that failed)"
    )
    parser.add_argument("--mem", metavar="MEMORY", help="memory of this attempt, for instance 64G")
    parser.add_argument("--time", metavar="TIME", help="time limit of this attempt, for instance 08:00:00")
    parser.add_argument("--force", action="store_true", help="also where the stage is complete")
    add_waiting(parser)
    parser.add_argument(
        "--json", action="store_true", help="print what was asked, and what came of it, as JSON"
    )


def run(args: argparse.Namespace) -> int:
    from heliograph.cli import command_here, print_json, tame_output
    from heliograph.config import choose_drive, load_watcher_config
    from heliograph.dashboard.asking import ask, print_asked
    from heliograph.dashboard.explaining import gather
    from heliograph.dashboard.reader import reading
    from heliograph.dashboard.terminal import make_console
    from heliograph.names import utc_now
    from heliograph.stage_settings import stage_settings
    from heliograph.state.views import Snapshots
    from heliograph.watcher.requests import plan_retry

    drive = choose_drive(args.drive)
    command = command_here(drive, args.drive)
    with Snapshots(drive) as snapshots:
        with reading(snapshots):
            facts = gather(snapshots, args.experiment, utc_now(), command=command)
        config = load_watcher_config(drive)
        settings = {stage: stage_settings(config, stage, args.experiment) for stage in config.stages}
        request = plan_retry(
            facts, settings, stage=args.stage, mem=args.mem, time=args.time, force=args.force
        )
        asked = ask(snapshots, request, wait_s=args.wait, command=command)
    if args.json:
        print_json(asked)
    else:
        tame_output()
        print_asked(make_console(), asked, command)
    return 0
