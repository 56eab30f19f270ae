"""Rendering a batch script: `slurm_eval_{experiment}.sh` from a template and checked values.

Names and Slurm words are checked by their schema, every path is quoted for the shell, and the template
fails on a value that it does not get.
"""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from heliograph.config import Resources, StageSettings
from heliograph.drive import Drive
from heliograph.errors import BadConfig, HeliographError
from heliograph.executors.directives import output_paths, parse_directives, time_limit_s
from heliograph.names import check_name
from heliograph.stages.stage import Stage

if TYPE_CHECKING:
    import jinja2

log = logging.getLogger(__name__)
MOST_PARTS = 1000  # Slurm's own limit of an array (MaxArraySize) is 1001 unless a site changed it


class ScriptValues(Struct, frozen=True, kw_only=True):
    """What one attempt's script is made of."""

    experiment: str
    token: str
    attempt: int
    signal_sha256: str
    input_path: str
    resources: Resources
    variables: Mapping[str, str] = {}
    """environment variables of the job: MLFLOW_TRACKING_URI, HELIOGRAPH_STATE"""
    parts: Sequence[str] = ()
    """what each task of a job array does; empty for a job that is none (see parts_of)"""


@cache
def _templates() -> jinja2.Environment:
    import jinja2  # only the watcher renders, and only when there is something to submit

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("heliograph.stages"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - a shell script, quoted by the filter q
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["q"] = lambda value: shlex.quote(str(value))
    return environment


def build_script(
    stage: Stage, settings: StageSettings, drive: Drive, values: ScriptValues, python: str = sys.executable
) -> str:
    """Return the batch script of one attempt. Raises BadConfig for a drive whose path Slurm cannot take."""
    check_name(values.experiment, field="experiment")
    check_name(values.token, field="token")
    if not str(drive.root).isprintable() or "%" in str(drive.root):
        raise BadConfig(
            file="command line",
            field="--drive",
            problem="Slurm reads % in paths as a pattern, and control signs break its directives",
            value=str(drive.root),
            remedy="Mount the drive under another path.",
        )
    heliograph = [python, "-m", "heliograph", "--drive", str(drive.root)]
    own = stage.arguments(values.experiment, values.input_path)
    return (
        _templates()
        .get_template("job.sh.j2")
        .render(
            job_name=stage.job_name(values.experiment, values.token),
            log_folder=drive.stage_logs(stage.name),
            log_name="%A_%a" if values.parts else "%j",
            warn_before_end_s=_warn_before_end_s(settings, values.resources.time),
            parts=values.parts,
            at_once=settings.array_at_once,
            resources=msgspec.structs.asdict(values.resources),
            extra_directives=settings.extra_directives,
            modules=settings.modules,
            setup=settings.setup,
            stage=stage.name,
            experiment=values.experiment,
            attempt=values.attempt,
            drive=drive.root,
            environment=Path(python).parent,
            variables=values.variables,
            working_folder=drive.root / stage.working_folder,
            runner=[shlex.quote(word) for word in _runner(stage, settings, values, heliograph)],
            command=[shlex.quote(word) for word in (*heliograph, *own)],
        )
    )


def _runner(stage: Stage, settings: StageSettings, values: ScriptValues, heliograph: list[str]) -> list[str]:
    """Return the in-job runner's command; the stage's own command follows it."""
    return [
        *heliograph,
        "job",
        *("--stage", stage.name, "--experiment", values.experiment, "--token", values.token),
        *("--signal-sha256", values.signal_sha256, "--input", values.input_path),
        *("--compress-logs-over-mb", str(settings.compress_logs_over_mb)),
    ]


def _warn_before_end_s(settings: StageSettings, time: str) -> int:
    """Return how long before the end the job is warned; a short one does not give up more than a quarter.

    sbatch's man page: the signal may be sent up to 60 seconds earlier than specified.
    """
    limit_s = time_limit_s({"time": time})
    return 0 if limit_s is None else min(settings.warn_before_end_s, limit_s // 4)


def parts_of(stage: Stage, drive: Drive, experiment: str, input_path: str) -> list[str]:
    """Return the parts that a job array does, one a task; none where one job is to do all. Reads the drive.

    A configuration that cannot be read makes no array: the job itself then tells what is wrong with it.
    """
    if stage.parts is None:
        return []
    try:
        parts = stage.parts(drive, experiment, input_path)
    except (HeliographError, OSError) as error:
        log.warning("no job array: %s", error, extra={"experiment": experiment, "stage": stage.name})
        return []
    return parts if 1 < len(parts) <= MOST_PARTS else []


def log_path(script: str, job_id: str) -> str:
    """Return where the job of a script writes its log; of a job array, where its first task does."""
    return output_paths(parse_directives(script), {"j": job_id, "A": job_id, "a": "0"})[0]
