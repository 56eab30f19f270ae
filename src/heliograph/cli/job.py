"""heliograph job"""

from __future__ import annotations

import argparse
import os

HELP = "Run one attempt inside a batch job: claim it, tell how it goes. Batch scripts call this."
EXAMPLES = """\
  heliograph job --stage evaluation --experiment E --token T --signal-sha256 S --input DIR -- COMMAND …
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stage", required=True)
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--token", required=True, help="names the attempt")
    parser.add_argument(
        "--signal-sha256", required=True, help="names the content of the signal that triggered it"
    )
    parser.add_argument("--input", required=True, help="what the stage works on")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="what to run, after --")


def run(args: argparse.Namespace) -> int:
    from heliograph import logs
    from heliograph.config import choose_drive, local_state_folder
    from heliograph.job import JobSpec, run_job
    from heliograph.names import check_name
    from heliograph.protocol.events import Outbox

    logs.set_up(args.log_level)
    drive = choose_drive(args.drive)
    spec = JobSpec(
        experiment=check_name(args.experiment, field="--experiment"),
        stage=check_name(args.stage, field="--stage"),
        token=check_name(args.token, field="--token"),
        signal_sha256=args.signal_sha256,
        input_path=args.input,
    )
    outbox = Outbox(drive, local_state_folder(None) / "spool" / drive.read_id())
    return run_job(drive, outbox, spec, args.command, os.environ)
