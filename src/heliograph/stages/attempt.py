"""What a stage's own program knows of its attempt: the one of the job that it runs in, or a run by hand.

In a job, `heliograph job` says in the environment which attempt this is, and tells of begin and end. A run by
hand makes a token of its own, and tells of itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from msgspec import Struct

from heliograph.errors import HeliographError
from heliograph.names import check_name, host_name
from heliograph.protocol.events import JobEnded, JobStarted
from heliograph.protocol.outbox import Outbox


class Interrupted(Exception):
    """The work was ended by a signal of the operating system; what is finished is kept."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.exit_code = 128 + number

    def __str__(self) -> str:
        return "it was stopped; what is finished is kept"


class Attempt(Struct, frozen=True, kw_only=True):
    """One try at a stage of an experiment."""

    experiment: str
    token: str
    job_id: str
    signal_sha256: str | None
    """the content of the signal that asked for it; None where there is none"""
    by_hand: bool


def attempt_of_job(stage: str, experiment: str, environ: Mapping[str, str]) -> Attempt | None:
    """Read the attempt that `heliograph job` runs; None where this is no such job. Raises BadName."""
    token = environ.get("HELIOGRAPH_TOKEN")
    same = (environ.get("HELIOGRAPH_STAGE"), environ.get("HELIOGRAPH_EXPERIMENT")) == (stage, experiment)
    if not token or not same:
        return None
    return Attempt(
        experiment=experiment,
        token=check_name(token, field="HELIOGRAPH_TOKEN", file="environment"),
        job_id=environ.get("HELIOGRAPH_JOB_ID") or token,
        signal_sha256=environ.get("HELIOGRAPH_SIGNAL_SHA256") or None,
        by_hand=False,
    )


def attempt_by_hand(experiment: str, signal_sha256: str | None) -> Attempt:
    """Make an attempt for a run by hand."""
    token = f"manual-{uuid.uuid4().hex[:12]}"
    return Attempt(
        experiment=experiment, token=token, job_id=token, signal_sha256=signal_sha256, by_hand=True
    )


class Ending(Struct):
    """How a run by hand ended. Whoever ends it without an exception sets both."""

    exit_code: int = 1
    message: str | None = "an unforeseen error; see the output of the command"

    def set(self, exit_code: int, message: str | None = None) -> None:
        self.exit_code, self.message = exit_code, message


@contextmanager
def telling_by_hand(outbox: Outbox, stage: str, attempt: Attempt, input_path: str) -> Iterator[Ending]:
    """Tell of begin and end of a run by hand; in a job, do nothing."""
    ending = Ending()
    if not attempt.by_hand:
        yield ending
        return
    outbox.post(
        JobStarted(
            experiment=attempt.experiment,
            stage=stage,
            token=attempt.token,
            job_id=attempt.job_id,
            hostname=host_name(),
            signal_sha256=attempt.signal_sha256,
            input_path=input_path,
        )
    )
    try:
        yield ending
    except (Interrupted, HeliographError) as error:
        ending.set(error.exit_code, str(error))
        raise
    finally:
        outbox.post(
            JobEnded(
                experiment=attempt.experiment,
                stage=stage,
                token=attempt.token,
                exit_code=ending.exit_code,
                error_message=ending.message,
            )
        )
