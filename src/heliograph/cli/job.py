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
    parser.add_argument("--part", metavar="NAME", help="of a job array: what this task does")
    parser.add_argument("--parts", type=int, default=0, metavar="N", help="of how many parts, one a task")
    parser.add_argument(
        "--compress-logs-over-mb", type=int, metavar="N", help="compress this job's logs at its end if larger"
    )
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="what to run, after --")


def run(args: argparse.Namespace) -> int:
    from heliograph import logs
    from heliograph.config import choose_drive, local_state_folder
    from heliograph.job import JobSpec, run_job
    from heliograph.names import check_name
    from heliograph.protocol.outbox import Outbox
    from heliograph.runner.job_logs import compress_large, own_logs

    logs.set_up(args.log_level)
    drive = choose_drive(args.drive)
    spec = JobSpec(
        experiment=check_name(args.experiment, field="--experiment"),
        stage=check_name(args.stage, field="--stage"),
        token=check_name(args.token, field="--token"),
        signal_sha256=args.signal_sha256,
        input_path=args.input,
        part=None if args.part is None else check_name(args.part, field="--part"),
        parts=args.parts,
    )
    outbox = Outbox(drive, local_state_folder(None) / "spool" / drive.read_id())
    code = run_job(drive, outbox, spec, args.command, os.environ)
    if args.compress_logs_over_mb is not None:
        compress_large(own_logs(drive.stage_logs(spec.stage)), args.compress_logs_over_mb << 20)
    return code
