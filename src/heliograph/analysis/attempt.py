"""Which attempt at an analysis this process is."""

from __future__ import annotations

from collections.abc import Mapping

from heliograph.names import check_name
from heliograph.stages.attempt import Attempt, attempt_by_hand, attempt_of_job

STAGE = "analysis"

__all__ = ["STAGE", "Attempt", "read_attempt"]


def read_attempt(experiment: str, environ: Mapping[str, str]) -> Attempt:
    """Tell the attempt from the environment that `heliograph job` sets; without it, this is a run by hand.

    Raises BadName.
    """
    check_name(experiment, field="EXPERIMENT")
    return attempt_of_job(STAGE, experiment, environ) or attempt_by_hand(experiment, None)
