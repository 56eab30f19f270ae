"""heliograph init DRIVE"""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "Make a shared folder a drive: folders, databases, commented configuration, the R project."
EXAMPLES = """\
  heliograph init /mnt/shared/subject-drop     make a drive, or add what an older one lacks
  heliograph --drive DRIVE init                the same for the drive that is set
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", metavar="DRIVE", help="the folder; it is made if it is missing")


def run(args: argparse.Namespace) -> int:
    from heliograph.config import choose_drive
    from heliograph.drive_setup import set_up_drive
    from heliograph.names import utc_now

    drive = choose_drive(args.folder or args.drive)
    done = set_up_drive(drive, utc_now())
    for what in done:
        print(what)
    if not done:
        print(f"{drive.root} is a drive already, and lacks nothing.")
        return 0
    print(f"\n{drive.root} is ready. Next:")
    print(f"  export SHARED_DRIVE={Path(drive.root)}")
    print("  heliograph watch            on the host that submits jobs")
    print("  heliograph status           anywhere")
    return 0
