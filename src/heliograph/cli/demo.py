"""heliograph demo"""

from __future__ import annotations

import argparse
import signal
import sys

HELP = "Show the whole pipeline on this machine: train, evaluate, analyse two small language models."
EXAMPLES = """\
  heliograph demo                    about five minutes; a second run shows what is there already
  heliograph demo --fresh            from the beginning, removing what an earlier demo made
  heliograph demo --folder /tmp/x    in another folder
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", default="heliograph-demo", help="where (default: ./heliograph-demo)")
    parser.add_argument("--fresh", action="store_true", help="begin anew")


def run(args: argparse.Namespace) -> int:
    from pathlib import Path

    from heliograph.errors import MissingPart

    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingPart(
            part=error.name, needed_for="the demo", remedy="Install it: pip install 'heliograph[all]'"
        ) from None
    from rich.console import Console

    from heliograph.demo.run import run_demo

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what the demo started is ended too
    return run_demo(Path(args.folder).absolute(), Console(soft_wrap=True), fresh=args.fresh)
