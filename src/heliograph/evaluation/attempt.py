"""Which attempt this process is: the one of the job that it runs in, or a run by hand."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping

from msgspec import Struct

from heliograph.drive import Drive
from heliograph.errors import BadSignal
from heliograph.names import check_name
from heliograph.protocol.signals import TRAINING_COMPLETE, read_signal

STAGE = "evaluation"


class Attempt(Struct, frozen=True, kw_only=True):
    """One try at evaluating an experiment."""

    experiment: str
    token: str
    job_id: str
    signal_sha256: str | None
    """the content of the training's signal; None where there is none"""
    by_hand: bool


def read_attempt(drive: Drive, experiment: str, environ: Mapping[str, str] = os.environ) -> Attempt:
    """Tell the attempt from the environment that `heliograph job` sets; without it, this is a run by hand.

    A run by hand for a training whose signal stands is about the same work as the job that it triggers.
    """
    token = environ.get("HELIOGRAPH_TOKEN")
    same = (environ.get("HELIOGRAPH_STAGE"), environ.get("HELIOGRAPH_EXPERIMENT")) == (STAGE, experiment)
    if token and same:
        return Attempt(
            experiment=experiment,
            token=check_name(token, field="HELIOGRAPH_TOKEN", file="environment"),
            job_id=environ.get("HELIOGRAPH_JOB_ID") or token,
            signal_sha256=environ.get("HELIOGRAPH_SIGNAL_SHA256") or None,
            by_hand=False,
        )
    token = f"manual-{uuid.uuid4().hex[:12]}"
    digest = _signal_sha256(drive, experiment)
    return Attempt(experiment=experiment, token=token, job_id=token, signal_sha256=digest, by_hand=True)


def _signal_sha256(drive: Drive, experiment: str) -> str | None:
    try:
        return read_signal(TRAINING_COMPLETE.path(drive, experiment), TRAINING_COMPLETE, experiment).sha256
    except (FileNotFoundError, NotADirectoryError, BadSignal):
        return None  # a model may be evaluated by hand before, or without, any signal
