"""What a failure leads to: whether it is tried again, when, and with what resources. All pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from heliograph.config import Resources, Retry, StageSettings
from heliograph.executors.base import FailureClass
from heliograph.executors.failures import OUT_OF_TIME

RETRIED = frozenset(
    (FailureClass.TRANSIENT, FailureClass.RESOURCES, FailureClass.NODE, FailureClass.VANISHED)
)
_MOST_EXCLUDED = 8  # a cluster may have few nodes: with all of them excluded, no job would ever run
_NODES = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[0-9,-]+\][A-Za-z0-9._-]*)*")
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
    resources: Resources,
    failure_class: str | None,
    reason: str,
    settings: StageSettings,
    nodes: str | None = None,
) -> Resources:
    """Return the resources of the next attempt.

    After running out (RESOURCES): twice the memory or time, up to the most that is configured. Slurm's reason
    tells which of the two it was; where it does not, both grow. After a failure of the node (NODE), `nodes`,
    where the attempt ran, are not taken again; preempted jobs did not fail by their node.
    """
    if failure_class == FailureClass.NODE and nodes and "PREEMPTED" not in reason:
        return msgspec.structs.replace(resources, exclude=_exclude(resources.exclude, nodes, settings))
    if failure_class != FailureClass.RESOURCES:
        return resources
    changes = {}
    if _is_short_of_memory(reason):
        changes["mem"] = _larger_mem(resources.mem, settings.most_mem)
    if _is_short_of_time(reason):
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


def told_exhausted(
    resources: Resources,
    failure_class: str | None,
    reason: str,
    settings: StageSettings,
    exit_code: int | None = None,
) -> str | None:
    """Say why another attempt would run out as this one did, or None where one may help.

    For the verdict on an attempt: with a sentence there is no time for the next attempt, and the sentence is
    part of the reason. `reason` is all that is told of the failure, `exit_code` the job's own: a job that
    was warned of its time limit and left by itself (OUT_OF_TIME) has kept what is finished, so that the next
    one gets further with the same time.
    """
    if failure_class != FailureClass.RESOURCES or exit_code == OUT_OF_TIME:
        return None
    if escalate(resources, failure_class, reason, settings) != resources:
        return None
    ceilings = [f"most_mem: {settings.most_mem}"] if _is_short_of_memory(reason) else []
    ceilings += [f"most_time: {settings.most_time}"] if _is_short_of_time(reason) else []
    return f"it already had the most that is configured ({', '.join(ceilings)}), so it is not tried again"


def _is_short_of_memory(reason: str) -> bool:
    return "OUT_OF_MEMORY" in reason or "TIMEOUT" not in reason


def _is_short_of_time(reason: str) -> bool:
    return "TIMEOUT" in reason or "OUT_OF_MEMORY" not in reason


def _exclude(before: str | None, nodes: str, settings: StageSettings) -> str | None:
    """Add nodes to those that are not taken: what is configured stays, of the others the last few.

    What is no list of nodes in Slurm's words is left out: it would make every further submission fail.
    """
    configured = _split_nodes(settings.resources.exclude or "")
    failed = [node for node in _split_nodes(f"{before or ''},{nodes}") if node not in configured]
    failed = [node for node in failed if _NODES.fullmatch(node)]
    latest = list(dict.fromkeys(reversed(failed)))[:_MOST_EXCLUDED]
    return ",".join([*configured, *reversed(latest)]) or None


def _split_nodes(text: str) -> list[str]:
    """Split `node[07-08,11],gpu1` at the commas outside brackets."""
    return [part for part in re.split(r",(?![^\[]*\])", text) if part]


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
