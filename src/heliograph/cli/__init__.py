"""The verbs, one file each, and what more than one of them takes."""

from __future__ import annotations

import argparse


def add_address(parser: argparse.ArgumentParser, *, port: int) -> None:
    """Add --host and --port of a server; it listens on this machine only unless told otherwise."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=port, help="port to listen on (default: %(default)s)")


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to 65535, not {text!r}")
    return int(text)
