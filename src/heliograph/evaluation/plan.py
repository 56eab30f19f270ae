"""What one command evaluates: configuration and arguments, checked against what stands on the drive."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from heliograph.drive import Drive
from heliograph.errors import UnknownExperiment
from heliograph.names import check_name
from heliograph.stages.checkpoints import choose_checkpoints
from heliograph.stages.evaluation_config import (
    EvaluationConfig,
    choose_datasets,
    load_evaluation_config,
    path_on_drive,
)


class Options(Struct, frozen=True, kw_only=True):
    """What the command line says; None leaves it to the configuration."""

    experiment: str
    checkpoint: str | None = None
    """the checkpoint that the training ended with; None is models/EXPERIMENT/final"""
    config: Path | None = None
    checkpoints: Literal["final", "all"] | list[str] | None = None
    datasets: list[str] | None = None
    part: str | None = None
    """the one checkpoint, of those, that this task of a job array evaluates"""


class Plan(Struct, frozen=True, kw_only=True):
    """What is evaluated: every data set at every checkpoint, the last of which counts for the summary.

    Of a task of a job array it is one checkpoint; none where the configuration has changed meanwhile and no
    longer asks for it.
    """

    experiment: str
    config: EvaluationConfig
    checkpoints: list[Path]
    datasets: list[str]
    tokenizer: Path | None


def make_plan(drive: Drive, options: Options) -> Plan:
    """Decide what is evaluated. Raises BadName, UnknownExperiment, BadConfig, or BadSignal for a checkpoint
    outside the experiment's folder."""
    experiment = check_name(options.experiment, field="--experiment")
    models = drive.model_folder(experiment)
    if not models.is_dir():
        raise UnknownExperiment(name=experiment, remedy=f"There is no folder {models}.")
    config = load_evaluation_config(drive, options.config)
    file = options.config or drive.base_eval
    config = _override(config, options)
    main = drive.final_model(experiment)
    if options.checkpoint is not None:
        main = drive.inside(options.checkpoint, models, field="--checkpoint", file="command line")
    checkpoints = choose_checkpoints(drive, experiment, main, config.checkpoints)
    for path in checkpoints:
        drive.inside(path, models, field="checkpoints", file=file)
    tokenizer = None
    if config.tokenizer is not None:
        tokenizer = path_on_drive(drive, config.tokenizer, field="tokenizer", file=file)
    checkpoints = choose_checkpoints(drive, experiment, main, config.checkpoints)
    if options.part is not None:
        checkpoints = [path for path in checkpoints if path.name == options.part]
    named_by = "command line" if options.datasets is not None else file
    return Plan(
        experiment=experiment,
        config=config,
        checkpoints=checkpoints,
        datasets=choose_datasets(drive, config.datasets, file=named_by),
        tokenizer=tokenizer,
    )


def _override(config: EvaluationConfig, options: Options) -> EvaluationConfig:
    if options.checkpoints is not None:
        config = msgspec.structs.replace(config, checkpoints=options.checkpoints)
    if options.datasets is not None:
        config = msgspec.structs.replace(config, datasets=options.datasets)
    return config
