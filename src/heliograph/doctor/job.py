"""A tiny job that looks at the drive from a compute node, with the settings of the evaluation's jobs."""

from __future__ import annotations

import contextlib
import secrets
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from heliograph.config import StageSettings, load_watcher_config
from heliograph.doctor.finding import Area, Context, Finding, Progress, Step
from heliograph.doctor.scratch import scratch
from heliograph.drive import Drive
from heliograph.errors import ExecutorError, PollFailed
from heliograph.executors.base import JobReport
from heliograph.executors.slurm import SlurmExecutor
from heliograph.files import read_untrusted
from heliograph.stages.builtin import EVALUATION

AREA = Area("job")
NO_DRIVE, NO_PYTHON = 76, 77
_LOOK_EVERY_S = 1.0
_POLL_EVERY_S = 10.0
_COMMAND_TIMEOUT_S = 15.0
_LARGEST_REPORT = 1 << 20
_TIME, _MEM = "00:05:00", "500M"
_NOT_OF_A_NODE = ("local state", "local space")  # there are no databases


class Report(Struct, frozen=True):
    """What `heliograph doctor --json` said on the node."""

    host: str
    findings: list[Finding]


def steps(context: Context) -> list[Step]:
    return [Step("job", lambda: _run_job(Drive(context.drive), context.seconds))]


def build_script(name: str, drive: Drive, settings: StageSettings, report: Path, python: str) -> str:
    """Return the script of the job: is the drive there, is Python, and what does the doctor say there?"""
    asked = settings.resources
    words = [("partition", asked.partition), ("account", asked.account), ("qos", asked.qos)]
    words += [("constraint", asked.constraint), ("exclude", asked.exclude)]
    directives = [f"#SBATCH --{option}={value}" for option, value in words if value]
    root, interpreter, target = (shlex.quote(str(path)) for path in (drive.root, python, report))
    command = f"{interpreter} -m heliograph --drive {root} doctor --role ssrde --json drive python"
    return "\n".join(
        [
            "#!/bin/bash",
            f"#SBATCH --job-name={name}",
            "#SBATCH --output=/dev/null",
            f"#SBATCH --time={_TIME}",
            f"#SBATCH --mem={_MEM}",
            "#SBATCH --cpus-per-task=1",
            "#SBATCH --no-requeue",
            *directives,
            *(f"#SBATCH {directive}" for directive in settings.extra_directives),
            *(f"module load {shlex.quote(module)}" for module in settings.modules),
            *settings.setup,
            f"test -r {root}/.drive_id || exit {NO_DRIVE}",
            f"test -x {interpreter} || exit {NO_PYTHON}",
            f"{command} >{target}.new",
            f"mv {target}.new {target}",
            "",
        ]
    )


def _run_job(drive: Drive, seconds: float) -> Iterator[Finding | str]:
    drive.read_id()
    config = load_watcher_config(drive)
    executor = SlurmExecutor(_COMMAND_TIMEOUT_S)
    name = f"heliograph_doctor.{secrets.token_hex(6)}"
    with scratch(drive.doctor, "job") as folder, tempfile.TemporaryDirectory() as local:
        report_path = folder / "report.json"
        script = Path(local) / "job.sh"
        settings = config.stages.get(EVALUATION.name, StageSettings())
        script.write_text(build_script(name, drive, settings, report_path, sys.executable))
        try:
            job_id = executor.submit(script, name)
        except ExecutorError as error:
            yield AREA.bad("submission", str(error), "heliograph doctor slurm")
            return
        try:
            yield from _wait(executor, job_id, name, report_path, time.monotonic() + seconds)
        finally:
            with contextlib.suppress(PollFailed):  # an ended job is let be
                executor.cancel(job_id, name)


def _wait(
    executor: SlurmExecutor, job_id: str, name: str, report: Path, ends_at: float
) -> Iterator[Finding | str]:
    """Look for the report each second, and ask Slurm rarely; what was seen last tells why there is none."""
    last: JobReport | None = None
    next_poll_at = time.monotonic() + _LOOK_EVERY_S
    while (left_s := ends_at - time.monotonic()) > 0:
        state = last.state.lower() if last else "submitted"
        yield Progress(f"job {job_id} is {state}, {left_s:.0f} s left")
        if (found := read_report(report)) is not None:
            yield from judge_report(found)
            return
        if last is not None and last.state.is_over and last.exit_code != 0:
            break  # after a good end the report is on its way, however late this host sees it
        if time.monotonic() >= next_poll_at:
            with contextlib.suppress(PollFailed):
                last = executor.poll({job_id: name}).get(job_id, last)
            next_poll_at = time.monotonic() + _POLL_EVERY_S
        time.sleep(_LOOK_EVERY_S)
    yield judge_silence(last)


def read_report(path: Path) -> Report | None:
    """Read what the node said; None while it is not there, or not whole."""
    try:
        return msgspec.json.decode(read_untrusted(path, _LARGEST_REPORT), type=Report)
    except (OSError, msgspec.DecodeError):
        return None


def judge_report(report: Report) -> list[Finding]:
    """Tell the node's findings that need attention; the rest in one line."""
    about_node = [f for f in report.findings if f.check not in _NOT_OF_A_NODE]
    others = [f for f in about_node if f.verdict in ("bad", "warn")]
    told = _told(about_node, "mount")
    fine = sum(f.verdict == "ok" for f in about_node)
    first = AREA.ok(report.host, f"this node sees the drive ({told}); {fine} checks are ok there")
    return [
        first,
        *(msgspec.structs.replace(f, area=AREA.name, check=f"{report.host} {f.check}") for f in others),
    ]


def _told(findings: Sequence[Finding], check: str) -> str:
    return next((f.told for f in findings if f.check == check), "?")


def judge_silence(job: JobReport | None) -> Finding:
    """Tell why there is no report, as far as the job's own end tells."""
    if job is None:
        told = "the job was submitted and neither ran nor could be found in time"
        return AREA.warn("job", told, "squeue --me   # then again with --seconds 300")
    where = f" on {job.nodes}" if job.nodes else ""
    if not job.state.is_over:
        told = f"the job did not end in time: {job.state}{where}, {job.reason or 'no reason given'}"
        return AREA.warn("job", f"{told}; it was cancelled", "heliograph doctor --job --seconds 600")
    if job.exit_code == NO_DRIVE:
        told = f"the drive is not there{where}: every job would fail"
        return AREA.bad("job", told, "Mount the drive on the compute nodes under the same path.")
    if job.exit_code == NO_PYTHON:
        told = f"{sys.executable} is not there{where}: every job would fail"
        return AREA.bad("job", told, "Install heliograph where the nodes see it, under the same path.")
    told = f"the job ended as {job.state}{where} (exit code {job.exit_code}, {job.reason or 'no reason'})"
    return AREA.bad("job", f"{told}, and its report cannot be seen here", "heliograph doctor --job   # again")
