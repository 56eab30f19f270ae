"""Where the project's own files are, for the tests about the project itself."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "heliograph"


def own_files(*patterns: str) -> list[Path]:
    """The project's own files, tracked by git or about to be, that fit one of git's patterns."""
    listing = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"]
    names = subprocess.run([*listing, *patterns], capture_output=True, text=True, check=True).stdout.split(
        "\0"
    )
    return [ROOT / name for name in sorted({*names} - {""}) if (ROOT / name).is_file()]
