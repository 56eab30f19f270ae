"""heliograph quarantine: what was put aside, why, and how it is taken up again."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heliograph.drive import Drive

HELP = "Show what was put aside because it could not be used, and why; have it looked at again."
EXAMPLES = """\
  heliograph quarantine                     list what was put aside
  heliograph quarantine show exp_01         one entry; a part of its name that no other has will do
  heliograph quarantine show NAME --raw     its content, byte for byte
  heliograph quarantine release NAME        have it looked at again, as if it had never been seen
  heliograph quarantine --json              any of these for a script

A corrected signal needs no release: it is taken up as soon as it is published. Release what was right after
all, for instance when the model that a signal announces came later than the signal. What is released is kept
in state/quarantine/released/.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="?",
        default="list",
        choices=["list", "show", "release"],
        help="what to do (default: %(default)s)",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="an entry's name, or a unique part of it")
    parser.add_argument("--raw", action="store_true", help="with show: the content alone, byte for byte")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    from heliograph.cli import tame_output
    from heliograph.config import choose_drive
    from heliograph.errors import UsageError

    drive = choose_drive(args.drive)
    drive.read_id()
    tame_output()
    if args.what == "list":
        if args.name is not None:
            raise UsageError(
                reason="list takes no name", remedy=f"To see one: heliograph quarantine show {args.name}"
            )
        return _list(drive, as_json=args.json)
    if args.name is None:
        raise UsageError(
            reason=f"name the entry that is to be {'shown' if args.what == 'show' else 'released'}",
            remedy="heliograph quarantine lists them",
        )
    if args.what == "show":
        return _show(drive, args.name, raw=args.raw, as_json=args.json)
    return _release(drive, args.name, as_json=args.json)


def _list(drive: Drive, *, as_json: bool) -> int:
    from heliograph.cli import print_json
    from heliograph.dashboard.terminal import make_console
    from heliograph.dashboard.terminal_quarantine import print_list
    from heliograph.names import utc_now
    from heliograph.protocol.quarantine import list_quarantine

    kept = list_quarantine(drive)
    if as_json:
        print_json(kept)
    else:
        print_list(make_console(), kept, utc_now())
    return 0


def _show(drive: Drive, name: str, *, raw: bool, as_json: bool) -> int:
    from heliograph.cli import print_json
    from heliograph.dashboard.terminal import make_console
    from heliograph.dashboard.terminal_quarantine import print_entry, read_content, view_entry
    from heliograph.names import utc_now
    from heliograph.protocol.release import find_entry

    entry = find_entry(drive, name)
    if raw:
        sys.stdout.buffer.write(read_content(entry))
    elif as_json:
        print_json(view_entry(drive, entry))
    else:
        print_entry(make_console(), view_entry(drive, entry), utc_now())
    return 0


def _release(drive: Drive, name: str, *, as_json: bool) -> int:
    from heliograph.cli import print_json
    from heliograph.dashboard.terminal import make_console
    from heliograph.dashboard.terminal_quarantine import print_released
    from heliograph.errors import DriveUnavailable
    from heliograph.protocol.release import find_entry, release
    from heliograph.watcher.requests import post_request

    entry = find_entry(drive, name)
    try:
        released = release(drive, entry, lambda body: post_request(drive, body))
    except OSError as error:
        reason = f"{error.strerror or error}. The release can be repeated"
        raise DriveUnavailable(folder=error.filename or drive.quarantine, reason=reason) from None
    if as_json:
        print_json(released)
    else:
        print_released(make_console(), released)
    return 0
