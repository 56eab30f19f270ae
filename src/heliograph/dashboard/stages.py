"""One stage of one experiment as it is shown: on the overview, on the experiment's page, in the terminal."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePosixPath
from urllib.parse import quote, urlsplit

from msgspec import Struct

from heliograph.dashboard import words
from heliograph.state.views import ExperimentView, StageView, age_s

_HEADLINES = {
    "queued": ("", "queued_at"),
    "running": ("since", "started_at"),
    "completed": ("", "completed_at"),
    "failed": ("", "completed_at"),
}
_LONGEST_MESSAGE = 4000


class Moment(Struct, frozen=True):
    """A point in time: what happened, when for machines (ISO 8601), when for people."""

    label: str
    at: str
    shown: str


class Link(Struct, frozen=True):
    """A link. One that leads away from the dashboard is opened beside it."""

    text: str
    href: str
    leads_away: bool = False


class StageShown(Struct, frozen=True, kw_only=True):
    """One stage: a word, a sign and a colour (by `status`), and all that is known of it."""

    stage: str
    status: str
    word: str
    """the status as it is said: also held, and cancelled"""
    sign: str
    headline: Moment | None
    """the one time that matters in this status"""
    moments: list[Moment]
    """every time that is known"""
    took: str | None
    percent: int | None
    """how much of the work is done; only while it runs"""
    message: str | None
    again: str | None
    """when it is tried (again)"""
    failure: str | None
    """what the class of the failure asks for"""
    asked: str | None
    """what somebody asked of the watcher: to cancel it, to try it again"""
    job: str | None
    place: str | None
    """where it runs or failed, and how often the scheduler has put it back"""
    log_path: str | None
    links: list[Link]


def show_stages(view: ExperimentView, now: datetime) -> list[StageShown]:
    """Turn what is known of an experiment's stages into what is shown of them, in their order."""
    stages = view.stages()
    before = [None, *stages]
    return [_show_stage(view.experiment, *pair, now) for pair in zip(stages, before, strict=False)]


def _show_stage(experiment: str, view: StageView, before: StageView | None, now: datetime) -> StageShown:
    return StageShown(
        stage=view.stage,
        status=view.status,
        word=_word(view),
        sign=words.sign(_word(view)),
        headline=_headline(view, now),
        moments=[m for m in (_moment(view, *pair, now) for pair in _MOMENTS) if m],
        took=_took(view, now),
        percent=_percent(view),
        message=_message(view, before),
        again=_again(view, now),
        failure=words.FAILURES.get(view.failure_class or ""),
        asked=_asked(view, now),
        job=_job(view),
        place=_place(view),
        log_path=words.one_line(view.log_path) if view.log_path else None,
        links=_links(experiment, view),
    )


_MOMENTS = (("queued", "queued_at"), ("started", "started_at"), ("ended", "completed_at"))


def _moment(view: StageView, label: str, field: str, now: datetime) -> Moment | None:
    at: str | None = getattr(view, field)
    return Moment(label, at, words.moment(at, now)) if at else None


def _headline(view: StageView, now: datetime) -> Moment | None:
    label, field = _HEADLINES.get(view.status, ("", "completed_at"))
    return _moment(view, label, field, now)


def _took(view: StageView, now: datetime) -> str | None:
    if view.status == "running" and view.started_at:
        return words.duration(age_s(view.started_at, now))
    return words.duration(view.duration_s) if view.duration_s is not None else None


def _percent(view: StageView) -> int | None:
    """Return the progress, rounded down: 100 % is for what has ended."""
    return int(100 * view.progress) if view.status == "running" and view.progress is not None else None


def _message(view: StageView, before: StageView | None) -> str | None:
    """Return why it waits or failed. That a stage waits for one that has not ended is to be seen anyway."""
    is_plain = view.status == "waiting" and before is not None and before.status != "completed"
    if is_plain or not view.message:
        return None
    return words.printable(view.message[:_LONGEST_MESSAGE], keep="\n\t")


def _again(view: StageView, now: datetime) -> str | None:
    if view.retry_at is None or view.status not in ("queued", "failed"):
        return None
    verb = "not before" if view.status == "queued" else "next attempt"
    return f"{verb} {words.until(view.retry_at, now)}"


def _word(view: StageView) -> str:
    if view.status == "failed" and view.failure_class == "cancelled":
        return "cancelled"
    is_held = view.status == "queued" and view.job_id is None and view.scheduler_state == "HOLD"
    return "held" if is_held else view.status


def _asked(view: StageView, now: datetime) -> str | None:
    """Say what was asked and is not done yet; and who cancelled what is."""
    who = f" by {words.one_line(view.requested_by)}" if view.requested_by else ""
    if view.cancel_requested_at and view.status in ("queued", "running"):
        return f"cancel asked{who}, {words.moment(view.cancel_requested_at, now)}"
    if not view.requested_by:
        return None
    if _word(view) == "cancelled":
        return f"cancelled{who}"
    is_due = view.status == "queued" or (view.status in ("failed", "completed") and view.retry_at is not None)
    return f"retry asked{who}" if is_due else None


def _job(view: StageView) -> str | None:
    """Say which attempt it is, from the second on, and which job: attempt 2 · slurm 4711."""
    parts = []
    if view.attempt is not None and view.attempt > 1:
        parts.append(f"attempt {view.attempt}")
    if view.executor and view.job_id:
        parts.append(f"{words.one_line(view.executor)} {words.one_line(view.job_id)}")
    return " · ".join(parts) or None


def _place(view: StageView) -> str | None:
    """Say where it runs or failed, and how often the scheduler put it back: on node07, put back 2 times."""
    if view.status not in ("running", "failed", "queued"):
        return None
    parts = [f"on {words.one_line(view.node)}"] if view.node and view.status != "queued" else []
    if view.restarts:
        parts.append(f"put back {'once' if view.restarts == 1 else f'{view.restarts} times'}")
    return ", ".join(parts) or None


def _links(experiment: str, view: StageView) -> list[Link]:
    links = []
    if view.log_path:
        address = f"/experiments/{quote(experiment)}/logs/{quote(view.stage)}"
        links.append(Link("log", address))
        if PurePosixPath(view.log_path).suffix == ".log":
            links.append(Link("errors", f"{address}/errors"))
    if view.mlflow_url and is_web_address(view.mlflow_url):
        links.append(Link("MLflow", view.mlflow_url, leads_away=True))
    return links


def is_web_address(url: str) -> bool:
    """Tell whether a link may lead there: what others wrote down may also be `javascript:`, a file, or hold
    control signs that a terminal would obey."""
    if not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)
