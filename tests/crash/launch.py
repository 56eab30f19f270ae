"""Runs a command of heliograph, or a stand-in worker, which dies at one of its durable steps.

    python tests/crash/launch.py "after step 3" REACHED heliograph watch --until-idle

The step that it died at is told in the file REACHED. With `count` in place of a step nothing dies,
and REACHED gets a line for each step. CRASH_PYTHON names the interpreter that jobs are run with.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

from crash.dying import hook_for
from heliograph.durable import install_hook


def main(where: str, reached: Path, module: str, arguments: list[str]) -> int:
    install_hook(hook_for(where, reached))
    sys.executable = os.environ.get("CRASH_PYTHON", sys.executable)
    if module == "heliograph":
        from heliograph.cli.main import main as command

        return command(arguments)
    return int(import_module(module).main())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4:]))
