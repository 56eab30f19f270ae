"""Which attempt at an evaluation this process is."""

from __future__ import annotations

import os
from collections.abc import Mapping

from heliograph.drive import Drive
from heliograph.errors import BadSignal
from heliograph.protocol.signals import TRAINING_COMPLETE, read_signal
from heliograph.stages.attempt import Attempt, attempt_by_hand, attempt_of_job

STAGE = "evaluation"

__all__ = ["STAGE", "Attempt", "read_attempt"]


def read_attempt(drive: Drive, experiment: str, environ: Mapping[str, str] = os.environ) -> Attempt:
    """Tell the attempt from the environment that `heliograph job` sets; without it, this is a run by hand.

    A run by hand for a training whose signal stands is about the same work as the job that it triggers.
    """
    in_job = attempt_of_job(STAGE, experiment, environ)
    return in_job or attempt_by_hand(experiment, _signal_sha256(drive, experiment))


def _signal_sha256(drive: Drive, experiment: str) -> str | None:
    try:
        return read_signal(TRAINING_COMPLETE.path(drive, experiment), TRAINING_COMPLETE, experiment).sha256
    except (FileNotFoundError, NotADirectoryError, BadSignal):
        return None  # a model may be evaluated by hand before, or without, any signal
