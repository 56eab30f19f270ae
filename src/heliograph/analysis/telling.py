"""What an analysis tells others: events, and the signal that says how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from heliograph.analysis.attempt import STAGE, Attempt
from heliograph.analysis.process import TARGETS, Failure, Killed
from heliograph.drive import Drive
from heliograph.errors import HeliographError
from heliograph.names import host_name
from heliograph.protocol.events import JobEnded, JobHeartbeat, JobStarted, Outbox, SignalPublished
from heliograph.protocol.signals import (
    ANALYSIS_FAILED,
    SignalContent,
    SignalKind,
    StageFailure,
    publish_signal,
)


class Settings(Struct, frozen=True, kw_only=True):
    """What an analysis is run with."""

    drive: Drive
    outbox: Outbox
    state_folder: Path
    """local: the lock stands there"""
    environ: Mapping[str, str]
    tracking_uri: str | None
    now: Callable[[], datetime]


def publish(settings: Settings, kind: SignalKind, content: SignalContent) -> str:
    """Publish a signal and ring the watcher's bell; return the signal's sha256."""
    signal = publish_signal(settings.drive, kind, content)
    settings.outbox.post(
        SignalPublished(
            experiment=content.experiment, stage=STAGE, path=str(signal.path), sha256=signal.sha256
        )
    )
    return signal.sha256


def publish_failure(
    settings: Settings, attempt: Attempt, told: Failure, tail: list[str], error_type: str
) -> None:
    """Publish `.analysis_failed`: what failed, in which target, and the end of the log."""
    content = StageFailure(
        timestamp=settings.now(),
        experiment=attempt.experiment,
        job_id=attempt.job_id,
        error_message=str(told),
        error_type=error_type,
        failing_part=told.target,
        log_tail=tail,
    )
    publish(settings, ANALYSIS_FAILED, content)


def beat(settings: Settings, attempt: Attempt, target: str) -> None:
    """Tell which of the six targets is made now."""
    done = TARGETS.index(target)
    settings.outbox.post(
        JobHeartbeat(
            experiment=attempt.experiment,
            stage=STAGE,
            token=attempt.token,
            done=done,
            total=len(TARGETS),
            doing=target,
        )
    )


@contextmanager
def telling_by_hand(settings: Settings, attempt: Attempt) -> Iterator[None]:
    """Tell of begin and end of a run by hand; for a job, `heliograph job` does so."""
    if not attempt.by_hand:
        yield
        return
    settings.outbox.post(
        JobStarted(
            experiment=attempt.experiment,
            stage=STAGE,
            token=attempt.token,
            job_id=attempt.job_id,
            hostname=host_name(),
            signal_sha256=attempt.signal_sha256,
            input_path=str(settings.drive.evaluation_folder(attempt.experiment)),
        )
    )
    code, message = 1, "an unforeseen error; see the output of the command"
    try:
        yield
        code, message = 0, ""
    except Killed as end:
        code, message = end.exit_code, str(end)
        raise
    except HeliographError as error:
        code, message = error.exit_code, str(error)
        raise
    finally:
        settings.outbox.post(
            JobEnded(
                experiment=attempt.experiment,
                stage=STAGE,
                token=attempt.token,
                exit_code=code,
                error_message=message or None,
            )
        )
