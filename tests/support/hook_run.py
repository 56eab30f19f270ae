"""A training by the hook without a neural network: `python -m support.hook_run EXPERIMENT [FILE FILE]`.

It logs three steps, saves a checkpoint, and completes; with two local files given, it waits for the first
before it saves and for the second before it completes. It prints how far it is: `begun`, `saved`, and in the
end `completed` or `waits in FOLDER`.
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


def wait_for(files: list[str]) -> None:
    """Wait for the next of these files, if any is left."""
    while files and not Path(files[0]).exists():
        time.sleep(0.05)
    del files[:1]


def main(experiment: str, *files: str) -> None:
    waits = list(files)
    config = ExperimentConfig(name=experiment, hook=HookSettings(heartbeat_every_s=0.5))
    with TrainingRun(config, choose_drive(None)) as run:
        for step in (1, 2, 3):
            run.log(step=step, loss=1 / step)
        print("begun", flush=True)
        wait_for(waits)
        run.save_checkpoint(step=2, save=save)
        print("saved", flush=True)
        wait_for(waits)
        run.complete(save=save)
        print(f"waits in {run.waits_in}" if run.signal is None else "completed", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
