"""The verbs, one file each, and what more than one of them takes."""

from __future__ import annotations

import argparse
import io
import os
import shlex
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heliograph.drive import Drive


def add_address(parser: argparse.ArgumentParser, *, port: int) -> None:
    """Add --host and --port of a server; it listens on this machine only unless told otherwise."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=port, help="port to listen on (default: %(default)s)")


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to 65535, not {text!r}")
    return int(text)


def print_json(value: object) -> None:
    """Print a struct, or plain values, as JSON that people can read too."""
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def tame_output() -> None:
    """Let a terminal that is not UTF-8 lose signs, and not the rest."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def command_here(drive: Drive, given: str | None) -> str:
    """Return how this command is called, for commands that people copy: with --drive where it was needed."""
    if given is None or os.environ.get("SHARED_DRIVE") == str(drive.root):
        return "heliograph"
    return f"heliograph --drive {shlex.quote(str(drive.root))}"


def add_waiting(parser: argparse.ArgumentParser) -> None:
    """Add --wait and --no-wait: how long to wait for what the watcher makes of a request."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--wait",
        type=_seconds,
        metavar="SECONDS",
        help="how long to wait until the watcher has done it (default: 15 where one is alive)",
    )
    how.add_argument("--no-wait", dest="wait", action="store_const", const=0.0, help="do not wait at all")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"a number of seconds is meant, not {text!r}")
    return seconds
