"""heliograph watch"""

from __future__ import annotations

import argparse

HELP = "Watch the drive: see signals, submit the next stage exactly once, keep the databases."
EXAMPLES = """\
  heliograph watch                 run until SIGTERM (systemd, supervisor or tmux keep it)
  heliograph watch --once          make one pass and leave
  heliograph watch --until-idle    leave when nothing is pending or in flight
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="make one pass and leave")
    how.add_argument("--until-idle", action="store_true", help="leave when nothing is pending or in flight")


def run(args: argparse.Namespace) -> int:
    from heliograph.config import choose_drive
    from heliograph.watcher.service import serve

    serve(choose_drive(args.drive), level=args.log_level, once=args.once, until_idle=args.until_idle)
    return 0
