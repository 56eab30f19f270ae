"""Where a case is put, and what its placeholders stand for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from heliograph.drive import Drive
from heliograph.errors import plain

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """A case on a drive."""

    drive: Drive
    path: Path
    experiment: str
    values: dict[str, Any] = field(default_factory=dict)
    """the event, where it is one"""

    @property
    def outside(self) -> Path:
        """A folder beside the drive."""
        folder = self.drive.root.with_name("outside")
        folder.mkdir(exist_ok=True)
        return folder

    def _placeholders(self) -> dict[str, str]:
        return {
            "{file}": plain(str(self.path)),
            "{id}": self.path.stem,
            "{model}": str(self.drive.final_model(self.experiment)),
            "{drive}": str(self.drive.root),
            "{experiment}": self.experiment,
            "{EXPERIMENT}": self.experiment.upper(),
        }

    def fill(self, value: T) -> T:
        """Return a value with its placeholders filled in, however deep they stand."""
        filled: Any = value
        if isinstance(value, str):
            for placeholder, text in self._placeholders().items():
                filled = filled.replace(placeholder, text)
        elif isinstance(value, dict):
            filled = {key: self.fill(inner) for key, inner in value.items()}
        elif isinstance(value, list):
            filled = [self.fill(inner) for inner in value]
        return filled
