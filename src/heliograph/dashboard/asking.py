"""Asking the watcher for something and seeing what comes of it, for `heliograph retry` and `cancel`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from msgspec import Struct
from rich.console import Console
from rich.text import Text

from heliograph.dashboard.explaining import explain_experiment, gather, watcher_facts
from heliograph.dashboard.reader import reading
from heliograph.names import utc_now
from heliograph.protocol.events import CancelRequested
from heliograph.state.explanation import Explanation
from heliograph.state.views import Snapshots
from heliograph.watcher.requests import Request, is_done, post_request

WAIT_S = 15.0
_LOOK_EVERY_S = 0.3


class Asked(Struct, frozen=True, kw_only=True):
    """What was asked, and what came of it so far."""

    experiment: str
    stage: str
    what: str
    """retry or cancel"""
    will: str
    notes: list[str]
    event_id: str
    watcher_is_alive: bool
    taken_up: bool
    """the published databases hold the request"""
    done: bool
    """what was asked for has been done: another attempt is there, or the attempt has ended"""
    told: str
    """what came of it, in a sentence"""
    explanation: Explanation
    """where the stage stands now"""


def ask(
    snapshots: Snapshots,
    request: Request,
    *,
    wait_s: float | None,
    command: str = "heliograph",
    clock: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], None] = time.sleep,
) -> Asked:
    """Post a request and wait until it is done, at most `wait_s` (None: 15 s where a watcher lives)."""
    body = request.body
    event = post_request(snapshots.drive, body)
    with reading(snapshots):
        is_alive = watcher_facts(snapshots, clock()).is_alive
    left_s = wait_s if wait_s is not None else (WAIT_S if is_alive else 0.0)
    taken_up, done = _look(snapshots, request, event.id, clock())
    while left_s > 0 and not done:
        sleep(min(_LOOK_EVERY_S, left_s))
        left_s -= _LOOK_EVERY_S
        taken_up, done = _look(snapshots, request, event.id, clock())
    now = clock()
    with reading(snapshots):
        answer = explain_experiment(snapshots, body.experiment, now, stage=body.stage, command=command)
    return Asked(
        experiment=body.experiment,
        stage=body.stage,
        what="cancel" if isinstance(body, CancelRequested) else "retry",
        will=request.will,
        notes=request.notes,
        event_id=event.id,
        watcher_is_alive=is_alive,
        taken_up=taken_up,
        done=done,
        told=_told(is_alive, taken_up, done, waited=wait_s != 0, command=command),
        explanation=answer,
    )


def _look(snapshots: Snapshots, request: Request, event_id: str, now: datetime) -> tuple[bool, bool]:
    """Tell whether the request is in the databases, and whether it has been done."""
    body = request.body
    with reading(snapshots):
        taken_up = bool(snapshots.rows(body.stage, "event_seq", id=event_id))
        if not taken_up:
            return False, False
        facts = gather(snapshots, body.experiment, now)
    job = next(job for job in facts.jobs if job.stage == body.stage)
    attempts = [attempt for attempt in job.attempts if not attempt.is_by_hand]
    return True, is_done(request, attempts[-1] if attempts else None)


def _told(is_alive: bool, taken_up: bool, done: bool, *, waited: bool, command: str) -> str:
    if done:
        return "Done: the watcher has taken it up." if is_alive else "Done."
    if not is_alive:
        return f"No watcher is alive. It stands in the inbox, and is done when one starts: {command} watch"
    if taken_up:
        return "The watcher has taken it up; what follows comes within its next passes."
    if not waited:
        return "It stands in the inbox; the watcher takes it up within seconds."
    return "The watcher has not taken it up yet. It stands in the inbox, and is not lost."


def print_asked(console: Console, asked: Asked, command: str = "heliograph") -> None:
    """Print what was asked, and what came of it."""
    console.print(Text.assemble(("Asked: ", "bold"), asked.will), soft_wrap=True)
    for note in asked.notes:
        console.print(Text(note, style="yellow"), soft_wrap=True)
    console.print(Text(asked.told, style="green" if asked.done else ""), soft_wrap=True)
    if asked.taken_up:
        console.print(Text(asked.explanation.headline, style="bold"), soft_wrap=True)
    if not asked.done:
        console.print(Text(f"How it goes on: {command} why {asked.experiment}", style="dim"), soft_wrap=True)
