"""A training by the hook without a neural network: `python -m support.hook_run EXPERIMENT [WAIT_FOR]`.

It logs three steps, saves a checkpoint, and completes; with WAIT_FOR only when that local file is there. It
prints what it does as it does it, last `completed` or `waits in FOLDER`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from heliograph import TrainingRun
from heliograph.config import choose_drive
from heliograph.training.config import ExperimentConfig, HookSettings
from support.drives import safetensors_bytes

VALUES = 200_000


def save(folder: Path) -> None:
    """Write a model that passes every check and is no real one: 0.8 MB."""
    (folder / "model.safetensors").write_bytes(safetensors_bytes(VALUES))
    (folder / "config.json").write_text("{}")


def main(experiment: str, wait_for: str | None = None) -> None:
    config = ExperimentConfig(name=experiment, hook=HookSettings(heartbeat_every_s=0.5))
    with TrainingRun(config, choose_drive(None)) as run:
        for step in (1, 2, 3):
            run.log(step=step, loss=1 / step)
        run.save_checkpoint(step=2, save=save)
        print("trained", flush=True)
        while wait_for is not None and not Path(wait_for).exists():
            time.sleep(0.05)
        run.complete(save=save)
        print(f"waits in {run.waits_in}" if run.signal is None else "completed", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
