"""The hook: a few lines in a training script, after which everything else happens by itself.

    from heliograph import TrainingRun

    with TrainingRun.from_config("experiment_01.yaml") as run:
        for step, loss in train():
            run.log(step=step, loss=loss)
        run.complete(model=model, tokenizer=tokenizer)

What the user can mend (a wrong config, an experiment that is there already, no drive) is raised before the
first step. After that nothing is: when the drive or MLflow does not answer, training goes on, one warning
says where the data waits on the local disk, and `heliograph sync` brings it later. An exception in the body
marks the run as failed and goes on its way; there is no `.training_complete` then.

In distributed training only the process with RANK 0 (or without RANK) does anything.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from heliograph.config import choose_drive
from heliograph.drive import Drive
from heliograph.errors import UsageError
from heliograph.protocol.signals import Signal
from heliograph.tracking import RunStatus
from heliograph.training.active import ActiveRun
from heliograph.training.config import ExperimentConfig, find_config, load_experiment
from heliograph.training.folders import Write, model_writer

_LONGEST_MESSAGE = 2000
_MOST_TRACE_LINES = 60


class TrainingRun:
    """One run of an experiment; a context manager whose body is the training."""

    def __init__(
        self,
        config: ExperimentConfig,
        drive: Drive,
        *,
        config_path: Path | None = None,
        overwrite: bool = False,
    ) -> None:
        self.config = config
        self.drive = drive
        self.config_path = config_path
        self.overwrite = overwrite
        self.signal: Signal | None = None
        """the published `.training_complete`"""
        self._active: ActiveRun | None = None

    @classmethod
    def from_config(
        cls, path: str | Path, *, drive: str | None = None, overwrite: bool = False
    ) -> TrainingRun:
        """Read a config file, named as it stands or below the drive's config/experiments/.

        The drive is the one named, else SHARED_DRIVE. `overwrite` moves an earlier run of the experiment
        aside. Raises BadConfig, NoDrive.
        """
        chosen = choose_drive(drive)
        file = find_config(path, chosen)
        return cls(load_experiment(file), chosen, config_path=file.absolute(), overwrite=overwrite)

    @property
    def waits_in(self) -> Path | None:
        """The local folder in which models wait that the drive did not take; None if there are none."""
        return None if self._active is None or self._active.staged.is_empty else self._active.staged.folder

    def __enter__(self) -> Self:
        """Start the run. Raises UsageError, DriveError."""
        if os.environ.get("RANK", "0") in ("0", ""):
            self._active = ActiveRun(self.config, self.drive, self.config_path, overwrite=self.overwrite)
            with self._without_failing("the start could not be told"):
                self._active.begin()
        return self

    def expect_steps(self, total_steps: int) -> None:
        """Say how many steps there will be, where the config does not."""
        if self._active:
            self._active.total_steps = total_steps

    def log(self, *, step: int, **values: float) -> None:
        """Log values of one step: numbers, or tensors that hold one. Returns at once; never raises.

        `loss`, `epoch` and `tokens_seen` also go into the metadata and the signal.
        """
        if self._active:
            self._active.meter.log(step, values)

    def save_checkpoint(
        self,
        *,
        step: int,
        model: Any = None,
        tokenizer: Any = None,
        optimizer: Any = None,
        path: str | Path | None = None,
        save: Write | None = None,
        metrics: Mapping[str, float] = {},
        epoch: float | None = None,
        tokens_seen: int | None = None,
    ) -> None:
        """Save checkpoints/checkpoint-STEP from a model, a folder that holds one, or a function that fills
        an empty folder. Never raises."""
        if self._active is None:
            return
        with self._without_failing(f"checkpoint {step} is not saved"):
            metadata = self._active.metadata(step, metrics, epoch, tokens_seen)
            write = model_writer(
                model=model, tokenizer=tokenizer, optimizer=optimizer, path=path, save=save, metadata=metadata
            )
            folder = self._active.save(Path("checkpoints") / f"checkpoint-{int(step)}", write)
            if folder is not None:
                self._active.announce(folder)

    def complete(
        self,
        *,
        model: Any = None,
        tokenizer: Any = None,
        path: str | Path | None = None,
        save: Write | None = None,
    ) -> Signal | None:
        """Save the final model and publish `.training_complete`, which starts the evaluation. Never raises.

        A `path` below the run's own model folder is left where it is. Returns the signal, or None when there
        is none: a warning has said why, and `waits_in` where the model is.
        """
        active = self._active
        if active is None:
            return None
        with self._without_failing("the final model is not saved, the run is not complete"):
            if active.outcome != "running":
                raise UsageError(reason="this run has ended already", remedy="Call complete() once.")
            if path is not None and _is_inside(path, active.claim.folder):
                target: Path | None = Path(path).absolute()
            else:
                metadata = active.metadata(active.meter.step, {}, None, None)
                write = model_writer(
                    model=model, tokenizer=tokenizer, path=path, save=save, metadata=metadata
                )
                target = active.save(Path("final"), write)
            final = active.claim.folder / "final" if target is None else target
            self.signal = active.publish(final, is_on_drive=target is not None)
        return self.signal

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        active = self._active
        if active is None:
            return
        with self._without_failing("the end could not be told"):
            if active.outcome == "running" and error is None:
                active.fail("NotCompleted", "run.complete(…) was not called, or did not succeed", [])
            elif active.outcome == "running" and error is not None:
                lines = "".join(traceback.format_exception(error)).splitlines()
                active.fail(type(error).__name__, str(error)[:_LONGEST_MESSAGE], lines[-_MOST_TRACE_LINES:])
        with self._without_failing("the end could not be told in full"):
            active.close(_run_status(active.outcome, error))

    @contextmanager
    def _without_failing(self, what: str) -> Iterator[None]:
        """The hook's promise: whatever goes wrong in here is a warning, and training goes on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - see above
            if self._active:
                self._active.run_log.warn(what, f"{what}: {error or type(error).__name__}")


def _is_inside(path: str | Path, folder: Path) -> bool:
    return Path(path).resolve().is_relative_to(folder.resolve())


def _run_status(outcome: str, error: BaseException | None) -> RunStatus:
    if outcome in ("completed", "staged"):
        return "FINISHED"
    return "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
