"""What an analysis tells others: events, and the signal that says how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from heliograph.analysis.attempt import STAGE, Attempt
from heliograph.analysis.process import TARGETS, Failure
from heliograph.drive import Drive
from heliograph.protocol.events import JobHeartbeat, SignalPublished
from heliograph.protocol.outbox import Outbox
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
