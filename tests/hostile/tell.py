"""What is told of a case: each file goes through the very function that the program reads it with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from heliograph.config import WatcherConfig, load_config
from heliograph.drive import Drive
from heliograph.errors import BadInput
from heliograph.evaluation.tasks import load_dataset_config
from heliograph.protocol import signals
from heliograph.protocol.quarantine import list_quarantine
from heliograph.stages.builtin import STAGES
from heliograph.stages.checks import check_analysis, check_evaluation, check_model
from heliograph.stages.evaluation_config import load_evaluation_config
from heliograph.state.inbox import Inbox
from heliograph.state.store import Store
from heliograph.training.config import load_experiment
from heliograph.watcher.look import Looker
from hostile.place import Place
from support.drives import NOW, training_signal

WAITS = "(nothing is told; it is looked at again)"


def of_signal(place: Place) -> str | None:
    """Return the reason for which a signal is put aside, None if it is accepted, WAITS if neither."""
    seen, broken = Looker(place.drive, STAGES, settle_s=0).look(place.experiment, NOW)
    reasons = [one.reason for one in broken if one.path == place.path]
    if reasons:
        return reasons[0]
    return None if place.path.name in seen else WAITS


def of_event(place: Place, before: list[Any], store: Store) -> str | None:
    """Return the reason for which an event is put aside, None if it is applied, WAITS if neither."""
    store.apply(before)
    Inbox(place.drive, settle_s=0).take(store, NOW, 1)
    reasons = [one.reason.reason for one in list_quarantine(place.drive)]
    if reasons:
        return reasons[0]
    return WAITS if place.path.is_symlink() or place.path.exists() else None


def of_config(place: Place, file: str) -> str | None:
    """Return the error of a configuration file, None if it is taken."""
    readers: dict[str, Callable[[Path], Any]] = {
        "watcher": lambda path: load_config(path, WatcherConfig),
        "experiment": load_experiment,
        "base_eval": lambda path: load_evaluation_config(place.drive, path),
        "minimal_pairs": load_dataset_config,
        "perplexity": load_dataset_config,
    }
    return _error(lambda: readers[file](place.path))


def of_model(place: Place) -> str | None:
    """Return the error of a checkpoint, None if it is whole."""
    return _error(lambda: check_model(place.drive, _signal(place.drive)))


def of_results(place: Place, file: str) -> str | None:
    """Return the error of an evaluation's or an analysis' results, None if they are whole."""
    check = check_evaluation if file == "eval_metadata" else check_analysis
    content = signals.EvalComplete(timestamp=NOW, experiment="e1", job_id="17", status="complete")
    signal = signals.Signal(signals.EVAL_COMPLETE, place.drive.evaluation_folder("e1"), "", content)
    return _error(lambda: check(place.drive, signal))


def _signal(drive: Drive) -> signals.Signal:
    content = training_signal(drive, "e1")
    return signals.Signal(signals.TRAINING_COMPLETE, drive.model_folder("e1"), "", content)


def _error(read: Callable[[], Any]) -> str | None:
    try:
        read()
    except (BadInput, OSError) as error:
        return str(error)
    return None
