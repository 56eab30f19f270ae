"""How one stage of one experiment is run: what watcher.yaml says for all, and what differs for this one."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from heliograph.config import StageSettings, WatcherConfig


def stage_settings(config: WatcherConfig, stage: str, experiment: str) -> StageSettings:
    """Return the settings of a stage for an experiment.

    Entries of `experiments` whose pattern matches change what they name, the later ones last.
    """
    settings = config.stages[stage]
    for entry in config.experiments:
        if stage in entry.stages and fnmatchcase(experiment, entry.match):
            settings = _changed(settings, entry.stages[stage])
    return settings


def _changed(settings: StageSettings, changes: Mapping[str, Any]) -> StageSettings:
    """Change what is named. The entry was checked when the file was read."""
    values: dict[str, Any] = msgspec.to_builtins(settings)
    resources = values["resources"] | changes.get("resources", {})
    return msgspec.convert({**values, **changes, "resources": resources}, StageSettings)
