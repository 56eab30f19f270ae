"""Runs a command of heliograph, or a stand-in worker, which dies at one of its durable steps.

    python tests/crash/launch.py "after step 3" REACHED heliograph watch --until-idle

The step that it died at is told in the file REACHED.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from crash.dying import Deadly, Where
from heliograph.durable import install_hook


def main(where: str, reached: Path, module: str, arguments: list[str]) -> int:
    moment, kind, number = where.split()
    place = Where(moment, int(number), None if kind == "step" else kind)
    install_hook(Deadly(place, reached.write_text))
    if module == "heliograph":
        from heliograph.cli.main import main as command

        return command(arguments)
    return int(import_module(module).main())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4:]))
