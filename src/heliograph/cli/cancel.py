"""heliograph cancel: have a stage's job ended, and none follow it."""

from __future__ import annotations

import argparse
import sys

HELP = "Have the open attempt at a stage ended, and no other follow it."
EXAMPLES = """\
  heliograph cancel exp_01                      what waits or runs; asks first on a terminal
  heliograph cancel exp_01 --stage analysis     of one stage
  heliograph cancel exp_01 --yes --json         from a script

A stage that failed and would be tried again is not tried again. What is cancelled may be tried again later:
heliograph retry exp_01. It may be called on any host that has the drive.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from heliograph.cli import add_waiting

    parser.add_argument("experiment", metavar="EXPERIMENT")
    parser.add_argument(
        "--stage", metavar="STAGE", help="evaluation or analysis (default: the one that waits or runs)"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask first")
    add_waiting(parser)
    parser.add_argument(
        "--json", action="store_true", help="print what was asked, and what came of it, as JSON"
    )


def run(args: argparse.Namespace) -> int:
    from heliograph.cli import command_here, print_json, tame_output
    from heliograph.config import choose_drive
    from heliograph.dashboard.asking import ask, print_asked
    from heliograph.dashboard.explaining import gather
    from heliograph.dashboard.reader import reading
    from heliograph.dashboard.terminal import make_console
    from heliograph.names import utc_now
    from heliograph.state.views import Snapshots
    from heliograph.watcher.requests import plan_cancel

    drive = choose_drive(args.drive)
    command = command_here(drive, args.drive)
    with Snapshots(drive) as snapshots:
        with reading(snapshots):
            facts = gather(snapshots, args.experiment, utc_now(), command=command)
        request = plan_cancel(facts, stage=args.stage)
        if not args.yes and sys.stdin.isatty() and sys.stdout.isatty() and not _is_sure(request.will):
            print("Nothing was asked.")
            return 1
        asked = ask(snapshots, request, wait_s=args.wait, command=command)
    if args.json:
        print_json(asked)
    else:
        tame_output()
        print_asked(make_console(), asked, command)
    return 0


def _is_sure(will: str) -> bool:
    """Ask on the terminal; anything but a plain yes is a no."""
    try:
        answer = input(f"{will[:1].upper()}{will[1:]} Cancel it? [y/N] ")
    except EOFError:
        print()
        return False
    return answer.strip().lower() in ("y", "yes")
