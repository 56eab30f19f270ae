"""Gathering what an explanation needs: published rows, lease, inbox, settings, logs. It only reads."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace

from heliograph.config import Resources, StageSettings, WatcherConfig, load_watcher_config
from heliograph.drive import Drive
from heliograph.errors import BadInput, UnknownExperiment, UsageError
from heliograph.errors import quote as quoted
from heliograph.names import is_name
from heliograph.protocol.events import EVENT_NAME
from heliograph.protocol.signals import ALL_KINDS
from heliograph.stage_settings import stage_settings
from heliograph.state.databases import DATABASES
from heliograph.state.explain import explain
from heliograph.state.explain_facts import (
    Facts,
    SignalFacts,
    StageFacts,
    WatcherFacts,
    attempt_facts,
    signal_facts,
    training_facts,
)
from heliograph.state.explanation import Explanation
from heliograph.state.lease import is_dead_here, read_holder
from heliograph.state.log_files import LogEnd, harmless_ends, job_logs, training_logs
from heliograph.state.views import Snapshots, age_s, experiment_names
from heliograph.watcher.policy import escalate

_LINES = 12
_MOST_LOGS = 4
_WITH_LOGS = frozenset(
    ("training_silent", "training_failed", "running_silent", "ending", "retry_due", "failed", "backoff")
)
JOB_STAGES = tuple(name for name, database in DATABASES.items() if database.jobs is not None)


def explain_experiment(
    snapshots: Snapshots, name: str, now: datetime, *, stage: str | None = None, command: str = "heliograph"
) -> Explanation:
    """Explain one experiment by what is published now. Raises UnknownExperiment or UsageError."""
    if stage is not None and stage not in DATABASES:
        raise UsageError(
            reason=f"no stage is called {quoted(stage)}", remedy=f"The stages are {', '.join(DATABASES)}"
        )
    facts = gather(snapshots, name, now, command=command)
    answer = explain(facts, now, stage)
    if answer.code not in _WITH_LOGS:
        return answer
    return explain(
        replace(facts, logs={answer.stage: _logs(snapshots.drive, facts, answer.stage)}), now, stage
    )


def gather(snapshots: Snapshots, name: str, now: datetime, *, command: str = "heliograph") -> Facts:
    """Gather what is known of one experiment, without its logs. Raises UnknownExperiment."""
    drive = snapshots.drive
    runs = snapshots.rows("training", "training_run", experiment=name)
    facts = Facts(
        experiment=name,
        watcher=watcher_facts(snapshots, now),
        training=training_facts(runs[0]) if runs else None,
        jobs=_jobs(snapshots, name),
        signals=_signals(snapshots, name),
        signal_files=_signal_files(drive, name),
        has_model_folder=is_name(name) and drive.model_folder(name).is_dir(),
        config_path=_config_path(drive, name),
        drive=str(drive.root),
        command=command,
    )
    known = runs or facts.signals or facts.has_model_folder or facts.config_path
    if not known and not any(job.attempts for job in facts.jobs):
        raise _unknown(snapshots, name)
    return facts


def _unknown(snapshots: Snapshots, name: str) -> UnknownExperiment:
    near = difflib.get_close_matches(name, experiment_names(snapshots), n=3)
    remedy = f"Did you mean {', '.join(near)}?" if near else "heliograph status lists all that are known."
    return UnknownExperiment(name=quoted(name), remedy=remedy)


def watcher_facts(snapshots: Snapshots, now: datetime) -> WatcherFacts:
    """Tell how the watcher is, by its lease and the inbox."""
    holder = read_holder(snapshots.drive)
    waiting = sorted(p.stem for p in snapshots.drive.inbox.iterdir() if EVENT_NAME.fullmatch(p.stem))
    oldest_s = now.timestamp() - int(waiting[0][:20]) / 1e9 if waiting else 0.0
    return WatcherFacts(
        host=holder.host if holder else None,
        pid=holder.pid if holder else None,
        beat_age_s=age_s(holder.at, now) if holder else None,
        is_dead=holder is not None and is_dead_here(holder),
        published_at=snapshots.published_at(),
        inbox_waiting=len(waiting),
        inbox_oldest_s=max(0.0, oldest_s),
    )


def _jobs(snapshots: Snapshots, name: str) -> list[StageFacts]:
    config = read_config(snapshots.drive)
    found = []
    for stage in JOB_STAGES:
        attempts = [attempt_facts(row) for row in snapshots.rows(stage, "jobs_of", experiment=name)]
        settings = stage_settings(config, stage, name) if config else None
        job = StageFacts(stage=stage, attempts=attempts)
        found.append(replace(job, **_allowed(job, settings)) if settings else job)
    return found


def read_config(drive: Drive) -> WatcherConfig | None:
    """Read the watcher's settings; None where they are broken, which the watcher itself tells."""
    try:
        return load_watcher_config(drive)
    except BadInput:
        return None


def _allowed(job: StageFacts, settings: StageSettings) -> dict[str, object]:
    return {"max_attempts": settings.max_attempts, "larger": _larger(job, settings)}


def _larger(job: StageFacts, settings: StageSettings) -> dict[str, str]:
    """Return what another attempt after the last would ask for, where that is more."""
    last = job.last
    if last is None or last.status != "failed":
        return {}
    try:
        had = msgspec.convert(last.resources, Resources)
    except msgspec.ValidationError:
        return {}
    more = escalate(had, last.failure_class, last.error_message or "", settings)
    values = {"mem": _short_mem(more.mem), "time": more.time}
    return {name: value for name, value in values.items() if getattr(more, name) != getattr(had, name)}


def _short_mem(mem: str) -> str:
    """Write 65536M as 64G."""
    number = int(mem[:-1]) if mem.endswith("M") else 1
    return f"{number // 1024}G" if number % 1024 == 0 else mem


def _signals(snapshots: Snapshots, name: str) -> list[SignalFacts]:
    return [
        signal_facts(stage, row)
        for stage in DATABASES
        for row in snapshots.rows(stage, "signals_of", experiment=name)
    ]


def _signal_files(drive: Drive, name: str) -> list[str]:
    """List the stages whose done signal stands on the drive."""
    if not is_name(name):
        return []
    done = [kind for kind in ALL_KINDS if kind.file_name.endswith("_complete")]
    return [kind.stage for kind in done if kind.path(drive, name).exists()]


def _config_path(drive: Drive, name: str) -> str | None:
    """Return where the experiment's configuration stands, below the drive."""
    path = drive.experiment_configs / f"{name}.yaml"
    return str(path.relative_to(drive.root)) if is_name(name) and path.is_file() else None


def _logs(drive: Drive, facts: Facts, stage: str) -> list[LogEnd]:
    paths: list[Path]
    if stage not in JOB_STAGES:
        paths = training_logs(drive, facts.experiment) if is_name(facts.experiment) else []
    else:
        attempts = next(job.attempts for job in facts.jobs if job.stage == stage)
        job_id = next((a.job_id for a in reversed(attempts) if a.job_id), None)
        paths = _latest(job_logs(drive, stage, job_id))
    return harmless_ends(drive, paths, _LINES)


def _latest(paths: Sequence[Path]) -> list[Path]:
    """Return at most four logs, those written last; an array has hundreds."""
    if len(paths) <= _MOST_LOGS:
        return list(paths)
    chosen = sorted(paths, key=lambda path: path.lstat().st_mtime)[-_MOST_LOGS:]
    return [path for path in paths if path in chosen]
