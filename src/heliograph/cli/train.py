"""heliograph train"""

from __future__ import annotations

import argparse

HELP = "Train a small language model from a config file, with the hook in place."
EXAMPLES = """\
  heliograph train --config experiment_01.yaml
  heliograph --drive /mnt/shared/subject-drop train --config experiment_01.yaml --overwrite

The file is looked for as named, then in the drive's config/experiments/. When the model is saved, its signal
.training_complete starts the evaluation; nothing else is to be done. An experiment that is there already is
left alone, unless --overwrite is given; then its old folder is moved aside to models/.superseded/.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="FILE", help="the experiment's YAML file")
    parser.add_argument("--overwrite", action="store_true", help="move an earlier run of it aside")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    import json
    import logging

    from heliograph import logs
    from heliograph.state.settle import settle_here
    from heliograph.training.progress import choose_progress
    from heliograph.training.run import TrainingRun
    from heliograph.training.trainer import train

    logs.set_up(args.log_level)
    hook = TrainingRun.from_config(args.config, drive=args.drive, overwrite=args.overwrite)
    name = hook.config.name
    try:
        trained = train(hook, choose_progress(name))
    finally:
        settle_here(hook.drive)
    result = {
        "experiment": name,
        "signal": str(hook.signal.path) if hook.signal else None,
        "checkpoint_path": hook.signal.content.checkpoint_path if hook.signal else None,
        "waits_in": str(hook.waits_in) if hook.waits_in else None,
        "steps": trained.steps,
        "parameters": trained.parameters,
        "final_loss": trained.final_loss,
        "held_out_loss": trained.held_out_loss,
        "seconds": round(trained.seconds, 1),
    }
    if args.json:
        print(json.dumps(result))
    elif hook.signal:
        print(f"{name}: {trained.steps} steps in {trained.seconds:.0f} s, loss {trained.final_loss:.3f}")
        print(f"  model   {result['checkpoint_path']}")
        print(f"  signal  {result['signal']}")
    if hook.signal is None:
        logging.getLogger(__name__).error("%s is trained, but not published; see the warning above", name)
    return 0 if hook.signal else 4
