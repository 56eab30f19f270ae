"""What a failure leads to: whether it is tried again, when, and with what resources. All pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from heliograph.config import Resources, Retry, StageSettings
from heliograph.executors.base import FailureClass

RETRIED = frozenset(
    (FailureClass.TRANSIENT, FailureClass.RESOURCES, FailureClass.NODE, FailureClass.VANISHED)
)
_UNITS = {"": 1, "K": 1 / 1024, "M": 1, "G": 1024, "T": 1024 * 1024}  # in MB, Slurm's default unit


def make_token(experiment: str, stage: str, signal_sha256: str, attempt: int) -> str:
    """Return the token of an attempt. It follows from the work alone, so a watcher that lost its memory
    finds under it what an earlier one had submitted."""
    text = "\n".join((experiment, stage, signal_sha256, str(attempt)))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def retry_delay(retry: Retry, attempt: int, token: str) -> timedelta:
    """Return how long to wait after an attempt: exponential, with a jitter that follows from the token."""
    delay_s = min(retry.first_delay_s * retry.factor ** (attempt - 1), retry.longest_delay_s)
    share = int(hashlib.sha256(token.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
    return timedelta(seconds=delay_s * (1 + retry.jitter * (2 * share - 1)))


def next_attempt_at(
    failure_class: FailureClass,
    attempt: int,
    settings: StageSettings,
    retry: Retry,
    token: str,
    now: datetime,
) -> datetime | None:
    """Return when a failed attempt is followed by another; None if it is not."""
    if failure_class not in RETRIED or attempt >= settings.max_attempts:
        return None
    return now + retry_delay(retry, attempt, token)


def escalate(
    resources: Resources, failure_class: str | None, reason: str, settings: StageSettings
) -> Resources:
    """Return the resources of the next attempt: twice the memory or time after running out, up to the most.

    Slurm's reason tells which of the two it was; where it does not, both grow.
    """
    if failure_class != FailureClass.RESOURCES:
        return resources
    timed_out, out_of_memory = "TIMEOUT" in reason, "OUT_OF_MEMORY" in reason
    changes = {}
    if out_of_memory or not timed_out:
        changes["mem"] = _larger_mem(resources.mem, settings.most_mem)
    if timed_out or not out_of_memory:
        changes["time"] = _larger_time(resources.time, settings.most_time)
    return msgspec.structs.replace(resources, **changes)


def with_requested(resources: Resources, asked: Mapping[str, str], settings: StageSettings) -> Resources:
    """Return resources with the memory and time that a person asked for, up to the configured most."""
    changes = {}
    if mem := asked.get("mem"):
        changes["mem"] = min(mem, settings.most_mem, key=mem_mb)
    if time := asked.get("time"):
        changes["time"] = min(time, settings.most_time, key=time_s)
    return msgspec.structs.replace(resources, **changes)


def mem_mb(text: str) -> float:
    """Read Slurm's memory, for instance 32G, as MB."""
    return int(text.rstrip("KMGT")) * _UNITS[text.lstrip("0123456789")]


def _larger_mem(mem: str, most: str) -> str:
    now, limit = mem_mb(mem), mem_mb(most)
    return mem if now >= limit else f"{int(min(2 * now, limit))}M"


def time_s(text: str) -> int:
    """Read Slurm's time as seconds: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S."""
    days, dash, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    if dash:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:
        hours, minutes, seconds = 0, *(*parts, 0)[:2]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def _larger_time(time: str, most: str) -> str:
    now, limit = time_s(time), time_s(most)
    if now >= limit:
        return time
    minutes, seconds = divmod(min(2 * now, limit), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def one_line(text: str, longest: int = 500) -> str:
    """Reduce what others said to one line that a log, a row and a page can hold."""
    flat = _CONTROL.sub(" ", text).strip()
    return flat if len(flat) <= longest else flat[: longest - 1] + "…"
