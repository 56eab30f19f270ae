"""The layers of the architecture, as `.importlinter` writes them down."""

import subprocess
import sys
from pathlib import Path

from meta.project import ROOT


def test_imports_point_downwards_only() -> None:
    lint = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    result = subprocess.run(lint, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
