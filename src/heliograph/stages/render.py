"""Rendering a batch script: `slurm_eval_{experiment}.sh` from a template and checked values.

Names and Slurm words are checked by their schema, every path is quoted for the shell, and the template
fails on a value that it does not get.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from heliograph.config import Resources, StageSettings
from heliograph.drive import Drive
from heliograph.errors import BadConfig
from heliograph.names import check_name
from heliograph.stages.stage import Stage

if TYPE_CHECKING:
    import jinja2


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
    return (
        _templates()
        .get_template("job.sh.j2")
        .render(
            job_name=stage.job_name(values.experiment, values.token),
            log_folder=drive.stage_logs(stage.name),
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
            command=[shlex.quote(word) for word in job_command(stage, drive, values, python)],
        )
    )


def job_command(stage: Stage, drive: Drive, values: ScriptValues, python: str) -> list[str]:
    """Return the command that the script runs: the in-job runner around the stage's own command."""
    heliograph = [python, "-m", "heliograph", "--drive", str(drive.root)]
    return [
        *heliograph,
        "job",
        *("--stage", stage.name, "--experiment", values.experiment, "--token", values.token),
        *("--signal-sha256", values.signal_sha256, "--input", values.input_path),
        "--",
        *heliograph,
        *stage.arguments(values.experiment, values.input_path),
    ]
