"""How much memory the watcher takes, as Linux tells it."""

from __future__ import annotations

import os
from pathlib import Path


def resident_mb() -> float:
    """Return this process's resident memory in MB, as Linux tells it."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
