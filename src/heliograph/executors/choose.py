"""Which executor runs the jobs: the one that watcher.yaml names, or the one that is there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from heliograph.config import WatcherConfig
from heliograph.executors.base import Executor
from heliograph.executors.local import LocalExecutor
from heliograph.executors.slurm import SlurmExecutor, slurm_answers

_PING_S = 10.0  # a hung controller is told as DOWN after 5 s


def choose_executor(
    config: WatcherConfig, state_folder: Path, environ: Mapping[str, str] = os.environ
) -> Executor:
    """Return the executor of a watcher. `auto` takes Slurm where a controller answers, else this machine.

    The local executor keeps its jobs in `state_folder`/local.
    """
    kind: str = config.executor
    if kind == "auto":
        kind = SlurmExecutor.name if slurm_answers(_PING_S, environ) else LocalExecutor.name
    return executor_by_name(kind, config, state_folder, environ)


def executor_by_name(
    name: str, config: WatcherConfig, state_folder: Path, environ: Mapping[str, str] = os.environ
) -> Executor:
    """Return the executor of that name, `slurm` or `local`; for jobs that were handed to it before, too."""
    if name == SlurmExecutor.name:
        return SlurmExecutor(
            config.slurm.command_timeout_s,
            poll_every_s=config.slurm.poll_every_s,
            settle_s=config.slurm.settle_s,
            environ=environ,
        )
    return LocalExecutor(state_folder / "local", config.local.slots, environ=environ)
