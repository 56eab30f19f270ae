"""heliograph db"""

from __future__ import annotations

import argparse

HELP = "The databases: rebuild them from the journal, check them."
EXAMPLES = """\
  heliograph db rebuild     keep the old files aside and apply the journal anew (no watcher may run)
  heliograph db check       integrity of the live databases, and whether they equal the journal
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=["rebuild", "check"])


def run(args: argparse.Namespace) -> int:
    from heliograph import logs
    from heliograph.config import choose_drive, load_watcher_config, local_state_folder
    from heliograph.names import utc_now
    from heliograph.state import rebuild

    logs.set_up(args.log_level)
    drive = choose_drive(args.drive)
    state_folder = local_state_folder(load_watcher_config(drive).state_folder)
    if args.what == "rebuild":
        for line in rebuild.rebuild(drive, state_folder, utc_now()):
            print(line)
        return 0
    problems = rebuild.check(drive, state_folder)
    for line in problems or ["the databases are sound and equal the journal"]:
        print(line)
    return 5 if problems else 0
