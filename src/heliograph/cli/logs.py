"""heliograph logs: the log of a training or of a stage's job."""

from __future__ import annotations

import argparse

HELP = "Show the log of a training or of a stage's job, and follow it."
EXAMPLES = """\
  heliograph logs exp_01                        the last 200 lines of its newest job
  heliograph logs exp_01 evaluation -f          follow it, also into the next attempt
  heliograph logs exp_01 analysis --errors      only what went to the error output
  heliograph logs exp_01 evaluation --attempt 1 -n 50
  heliograph logs exp_01 training -n 1000 | grep loss

On a terminal, control signs are made harmless, passwords and tokens are masked, and JSON lines are shown as
people read them. Into a pipe or a file goes what stands in the log, byte for byte. Compressed logs are read
too.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", metavar="EXPERIMENT")
    parser.add_argument(
        "stage",
        nargs="?",
        metavar="STAGE",
        help="training, evaluation or analysis (default: the last that had a job)",
    )
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on as it grows, until the work is over"
    )
    parser.add_argument("--forever", action="store_true", help="with -f: go on even then, until Ctrl+C")
    parser.add_argument(
        "-n", "--lines", type=_count, default=200, metavar="LINES", help="how many (default: %(default)s)"
    )
    parser.add_argument("--attempt", type=_count, metavar="N", help="of this attempt (default: the last)")
    parser.add_argument("--errors", action="store_true", help="only the error output")
    parser.add_argument("--json", action="store_true", help="print JSON; with -f, one object a line")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 10_000_000:
        raise argparse.ArgumentTypeError(f"a whole number is meant, not {text!r}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    from heliograph.cli import command_here, tame_output
    from heliograph.config import choose_drive
    from heliograph.dashboard.explaining import gather
    from heliograph.dashboard.log_choice import choose_logs
    from heliograph.dashboard.log_show import choose_printer, follow, show
    from heliograph.dashboard.reader import reading
    from heliograph.names import utc_now
    from heliograph.state.views import Snapshots

    drive = choose_drive(args.drive)
    with Snapshots(drive) as snapshots:
        with reading(snapshots):
            facts = gather(snapshots, args.experiment, utc_now(), command=command_here(drive, args.drive))
            choice = choose_logs(facts, args.stage, attempt=args.attempt, errors=args.errors or None)
        tame_output()
        printer = choose_printer(as_json=args.json, following=args.follow)
        if args.follow:
            follow(snapshots, choice, printer, lines=args.lines, forever=args.forever)
        else:
            with reading(snapshots):
                show(drive, choice, printer, args.lines)
    return 0
