"""Which attempt this process is: the one of the job that it runs in, or a run by hand."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from msgspec import Struct

from heliograph.names import check_name

STAGE = "analysis"


class Attempt(Struct, frozen=True, kw_only=True):
    """One try at analysing an experiment."""

    experiment: str
    token: str
    job_id: str
    signal_sha256: str | None
    """the content of the evaluation's signal, as the job was told; None for a run by hand"""
    by_hand: bool


def read_attempt(experiment: str, environ: Mapping[str, str]) -> Attempt:
    """Tell the attempt from the environment that `heliograph job` sets; without it, this is a run by hand.

    Raises BadName.
    """
    check_name(experiment, field="EXPERIMENT")
    token = environ.get("HELIOGRAPH_TOKEN")
    same = (environ.get("HELIOGRAPH_STAGE"), environ.get("HELIOGRAPH_EXPERIMENT")) == (STAGE, experiment)
    if not token or not same:
        token = f"manual-{uuid.uuid4().hex[:12]}"
        return Attempt(experiment=experiment, token=token, job_id=token, signal_sha256=None, by_hand=True)
    return Attempt(
        experiment=experiment,
        token=check_name(token, field="HELIOGRAPH_TOKEN", file="environment"),
        job_id=environ.get("HELIOGRAPH_JOB_ID") or token,
        signal_sha256=environ.get("HELIOGRAPH_SIGNAL_SHA256") or None,
        by_hand=False,
    )
