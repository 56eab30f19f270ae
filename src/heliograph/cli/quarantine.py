"""heliograph quarantine"""

from __future__ import annotations

import argparse
import sys

HELP = "Show what was put aside because it could not be used, and why."
EXAMPLES = """\
  heliograph quarantine                  list what was put aside
  heliograph quarantine --json           the same for a script
  heliograph quarantine --show NAME      the content of one entry, as it was found
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--show", metavar="NAME", help="print the content of one entry")


def run(args: argparse.Namespace) -> int:
    import msgspec

    from heliograph.config import choose_drive
    from heliograph.errors import UsageError
    from heliograph.names import check_name
    from heliograph.protocol.quarantine import list_quarantine

    drive = choose_drive(args.drive)
    drive.read_id()
    if args.show:
        path = drive.quarantine / check_name(args.show, field="--show") / "content"
        if not path.is_file():
            raise UsageError(
                reason=f"nothing is kept as {args.show}", remedy="heliograph quarantine lists what is"
            )
        sys.stdout.buffer.write(path.read_bytes())
        return 0
    kept = list_quarantine(drive)
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(kept), indent=2).decode())
        return 0
    for one in kept:
        print(f"{one.name}\n    {one.reason.reason}")
    if not kept:
        print("Nothing was put aside.")
    return 0
