"""heliograph carries a trained model from one server to the next.

from heliograph import TrainingRun
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heliograph.training.run import TrainingRun

__version__ = "0.1.0"
__all__ = ["TrainingRun", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "TrainingRun":  # imported on first use: the watcher does not need it
        from heliograph.training.run import TrainingRun

        return TrainingRun
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
