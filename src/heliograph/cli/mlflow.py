"""heliograph mlflow"""

from __future__ import annotations

import argparse
import os
import sys

from heliograph.cli import add_address

HELP = "Run the MLflow server of this drive."
EXAMPLES = """\
  heliograph --drive /mnt/shared/subject-drop mlflow
  heliograph mlflow --port 5001

Artifacts are kept on the drive. The database is state/mlflow.db on a drive that is local to this machine; on
a network drive it is kept in the local state folder. There is no login: the server listens on this machine
only, unless --host says otherwise. Reach it from elsewhere with: ssh -L 5000:127.0.0.1:5000 THIS-MACHINE
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_address(parser, port=5000)


def run(args: argparse.Namespace) -> int:
    from heliograph.config import choose_drive
    from heliograph.mlflow_server import build_command, build_environment, check_startable, plan_server

    drive = choose_drive(args.drive)
    plan = plan_server(drive, args.host, args.port)
    check_startable(plan)
    print(f"MLflow comes up at {plan.uri} in a few seconds; Ctrl+C ends it.")
    print(f"  database   {plan.database}")
    print(f"  artifacts  {plan.artifacts}")
    if drive.is_network():
        print(
            f"  {drive.root} is a network drive, so the database is kept on this machine, not on the drive."
        )
    if args.host not in ("127.0.0.1", "localhost", "::1"):
        print("  There is no login: whoever reaches this address can read, change and delete runs.")
    print(f"For training and evaluation: export MLFLOW_TRACKING_URI={plan.uri}", flush=True)
    # this process becomes the server: signals and the exit code need nobody in between
    os.execve(sys.executable, build_command(plan), build_environment(os.environ))  # noqa: S606 - no shell wanted
