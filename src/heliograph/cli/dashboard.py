"""heliograph dashboard: show what is published on a drive, to people with a browser."""

from __future__ import annotations

import argparse
import socket

from heliograph.cli import add_address

HELP = "Serve the dashboard: every experiment's stages, results, figures and reports. It only reads."
EXAMPLES = """\
  heliograph dashboard                 http://127.0.0.1:8000, for this machine
  heliograph dashboard --port 8001
  ssh -L 8000:127.0.0.1:8000 HOST      to look at it from elsewhere
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_address(parser, port=8000)


def run(args: argparse.Namespace) -> int:
    from heliograph import logs
    from heliograph.config import choose_drive
    from heliograph.errors import MissingPart

    drive = choose_drive(args.drive)
    logs.set_up(args.log_level)
    try:
        import uvicorn

        from heliograph.dashboard.app import create_app
    except ModuleNotFoundError as error:
        raise MissingPart(
            part=error.name,
            needed_for="the dashboard",
            remedy="To install it: pip install 'heliograph[web]'",
        ) from None
    with _listen(args.host, args.port) as listener:
        shown_host = f"[{args.host}]" if ":" in args.host else args.host
        print(f"The dashboard of {drive.root}: http://{shown_host}:{args.port}  (Ctrl+C ends it)")
        if args.host not in ("127.0.0.1", "localhost", "::1"):
            print("There is no login: whoever reaches this address can read what is shown.")
        print(end="", flush=True)
        config = uvicorn.Config(
            create_app(drive), log_config=None, access_log=False, server_header=False, log_level="warning"
        )
        uvicorn.Server(config).run(sockets=[listener])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    """Take the port, or say in a sentence why not."""
    from heliograph.errors import UsageError

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise UsageError(
            reason=f"The dashboard cannot listen on {host}, port {port}: {error.strerror or error}",
            remedy="Choose another with --host and --port",
        ) from None
