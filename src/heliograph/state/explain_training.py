"""Why the training is where it is, or why its signal leads to nothing."""

from __future__ import annotations

import shlex
from datetime import datetime

from heliograph.state.explain_facts import Facts, SignalFacts, TrainingFacts
from heliograph.state.explanation import Case, Step
from heliograph.words import duration, moment, one_line, rough, since_s

SILENT_TRAINING_S = 300.0
"""A run beats every 30 s; one whose drive is away beats late."""
SIGNALS = {
    "training": ".training_complete",
    "evaluation": ".eval_complete",
    "analysis": ".analysis_complete",
}


def explain_training(facts: Facts, now: datetime) -> Case:
    """Tell where the training is."""
    run = facts.training
    if run is not None and run.status in ("started", "running"):
        return _running(run, facts, now)
    if run is not None and run.status == "failed":
        return _failed(run, facts, now)
    if broken := blocking(facts, "training"):
        return signal_quarantined(facts, broken)
    if run is None:
        return _unknown(facts)
    follows = any(not attempt.is_by_hand for job in facts.jobs for attempt in job.attempts)
    if facts.accepted("training") is None and not follows:
        return signal_missing(facts, "training", run.completed_at, now)
    return Case(code="completed", headline="Its training is complete.", since=run.completed_at)


def _running(run: TrainingFacts, facts: Facts, now: datetime) -> Case:
    where = one_line(run.hostname or "its host")
    who = f" ({one_line(run.user)})" if run.user else ""
    how_far = ""
    if run.step is not None and run.total_steps:
        how_far = f" Step {run.step:,} of {run.total_steps:,}, {int(100 * run.step / run.total_steps)} %."
    elif run.step is not None:
        how_far = f" Step {run.step:,}."
    began = run.started_at or run.heartbeat_at
    log = Step("Read its log:", f"{facts.command} logs {facts.experiment} training -f")
    silent_s = since_s(run.heartbeat_at or began, now)
    if began is None or silent_s is None:
        return Case(code="training_running", headline=f"Its training runs on {where}{who}.", steps=[log])
    if silent_s > SILENT_TRAINING_S:
        return _silent(run, facts, f"{where}{who}", how_far, now)
    return Case(
        code="training_running",
        headline=f"Its training runs on {where}{who} for {duration(since_s(began, now) or 0)}.{how_far}",
        sentences=[
            f"Its last sign of life was {rough(silent_s)} ago.",
            "The evaluation follows by itself as soon as the training is complete.",
        ],
        steps=[log],
        since=began,
    )


def _silent(run: TrainingFacts, facts: Facts, where: str, how_far: str, now: datetime) -> Case:
    last = run.heartbeat_at or run.started_at or ""
    silent = rough(since_s(last, now) or 0.0)
    return Case(
        code="training_silent",
        headline=f"Its training is recorded as running, but has given no sign of life for {silent}.",
        sentences=[
            f"It ran on {where}; it was last heard of {moment(last, now)} UTC.",
            *([how_far.strip()] if how_far else []),
            "Either it was ended without a chance to tell: power, memory, SIGKILL.",
            "Or that host does not reach the drive; then it goes on, and its signs of life come later.",
        ],
        steps=[
            Step(f"Look on {one_line(run.hostname or 'its host')} whether it still runs."),
            Step("If it does, bring what waits there to the drive:", f"{facts.command} sync"),
            _train_again("If it has died, start it again", run, facts),
        ],
        since=last,
    )


def _failed(run: TrainingFacts, facts: Facts, now: datetime) -> Case:
    when = f" {rough(since_s(run.completed_at, now) or 0)} ago" if run.completed_at else ""
    return Case(
        code="training_failed",
        headline=f"Its training failed{when}.",
        sentences=[
            "A training is never started again by itself, and nothing follows one that has failed.",
        ],
        steps=[
            Step("Read the whole log:", f"{facts.command} logs {facts.experiment} training"),
            _train_again("Mend what the message names, then start it again", run, facts),
        ],
        since=run.completed_at,
    )


def _train_again(text: str, run: TrainingFacts, facts: Facts) -> Step:
    """Tell how it is trained again: by its own script, or by our trainer where there is a configuration."""
    config = facts.config_path or run.config_path
    if not config:
        return Step(f"{text}, by the script that you train it with.")
    command = f"{facts.command} train --config {shlex.quote(one_line(config))} --overwrite"
    return Step(f"{text}, by the script that you train it with, or:", command)


def _unknown(facts: Facts) -> Case:
    steps = []
    if facts.config_path:
        told = f"{facts.config_path} is there, but no training has told of itself yet."
        command = f"{facts.command} train --config {shlex.quote(facts.config_path)}"
        steps.append(Step("Start it, by your own script with the hook in it, or:", command))
    elif facts.has_model_folder:
        folder = f"models/{facts.experiment}"
        told = f"{folder}/ is there, but no run has told of itself, and there is no signal in it."
        steps.append(Step(f"When the model is whole, publish {folder}/.training_complete (docs/schemas)."))
    else:
        told = "Only later stages are known, so there may have been a run by hand."
    return Case(
        code="training_unknown",
        headline="Nothing is known of its training.",
        sentences=[told],
        steps=steps,
    )


# Signals, of whichever stage --------------------------------------------------------------------------


def blocking(facts: Facts, stage: str) -> SignalFacts | None:
    """Return the signal of this stage's end that was put aside and not followed by a good one."""
    return next((signal for signal in facts.quarantined() if signal.stage == stage), None)


def signal_quarantined(facts: Facts, broken: SignalFacts) -> Case:
    """A signal cannot be used: nothing follows until it is corrected."""
    name = SIGNALS[broken.stage]
    kept = one_line(broken.kept_as or "")
    steps = [Step("Publish the signal again, corrected: it is taken up at once.")]
    if kept:
        quoted = shlex.quote(kept)
        steps.insert(0, Step("See what was found:", f"{facts.command} quarantine show {quoted}"))
        steps.append(
            Step(
                "If what it announces has been mended, have the same signal looked at again:",
                f"{facts.command} quarantine release {quoted}",
            )
        )
    return Case(
        code="signal_quarantined",
        headline=f"Its signal {name} was put aside, because it cannot be used.",
        sentences=["Nothing follows until there is a good one."],
        steps=steps,
        since=broken.seen_at,
    )


def signal_missing(facts: Facts, stage: str, completed_at: str | None, now: datetime) -> Case:
    """A stage is complete, and nothing was heard of its signal."""
    name = SIGNALS[stage]
    when = f" ({moment(completed_at, now)} UTC)" if completed_at else ""
    if stage in facts.signal_files:
        return Case(
            code="signal_not_taken_up",
            headline=f"Its signal {name} stands on the drive, and has not been taken up yet.",
            sentences=[
                f"{stage.capitalize()} is complete{when}. The watcher takes the signal up in its next pass."
            ],
            steps=[Step("If that lasts, read what the watcher says:", facts.watcher_log())],
            since=completed_at,
        )
    host = one_line((facts.training.hostname if facts.training else None) or "the host that trained it")
    where = host if stage == "training" else "the host that ran it"
    return Case(
        code="signal_missing",
        headline=f"{stage.capitalize()} is complete{when}, but its signal {name} is not on the drive.",
        sentences=["The next stage follows that signal, so it waits."],
        steps=[Step(f"What could not be delivered waits on {where}; there:", f"{facts.command} sync")],
        since=completed_at,
    )
