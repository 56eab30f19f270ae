"""heliograph sync"""

from __future__ import annotations

import argparse

HELP = "Bring what waits on this machine to the drive and to MLflow."
EXAMPLES = """\
  heliograph sync                    after the drive or MLflow was away during a training

Models, signals, events and metrics that could not be delivered wait in the local state folder. What a running
training still holds, it delivers itself. Exit code 4: something waits for the drive; 8: for MLflow.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print what was brought as JSON")


def run(args: argparse.Namespace) -> int:
    import sys

    import msgspec

    from heliograph.config import choose_drive, local_state_folder
    from heliograph.errors import DriveError, TrackingError
    from heliograph.training.sync import bring_all

    drive = choose_drive(args.drive)
    brought = bring_all(drive, local_state_folder(None) / "spool" / drive.read_id())
    if args.json:
        print(msgspec.json.encode(brought).decode())
    elif brought.models or brought.events or brought.points:
        models = f"models of {', '.join(brought.models)}; " if brought.models else ""
        print(f"Brought: {models}{brought.events} events; {brought.points} metrics.")
    elif not brought.drive_trouble and not brought.mlflow_trouble:
        print("Nothing waits.")
    for sentence in brought.drive_trouble + brought.mlflow_trouble:
        print(f"heliograph: {sentence}", file=sys.stderr)
    if brought.drive_trouble:
        return DriveError.exit_code
    return TrackingError.exit_code if brought.mlflow_trouble else 0
