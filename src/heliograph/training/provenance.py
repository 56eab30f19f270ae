"""Where a training run comes from: command, code, versions. Collected once, at the start."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import heliograph
from heliograph.names import host_name, user_name

_GIT_WITHIN_S = 10.0
_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy")


def build_git(*words: str) -> list[str]:
    """Build a git command that only reads."""
    return ["git", "--no-optional-locks", *words]


def parse_commit(revision: str, status: str) -> str | None:
    """Return the commit, with "-dirty" where tracked files differ from it; None outside a repository."""
    commit = revision.strip()
    return (f"{commit}-dirty" if status.strip() else commit) or None


def git_commit(folder: Path) -> str | None:
    """Return the commit of the code in `folder`; None where there is no git, no repository, no answer."""
    try:
        revision = _ask(build_git("rev-parse", "HEAD"), folder)
        status = _ask(build_git("status", "--porcelain", "--untracked-files=no"), folder)
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_commit(revision, status)


def _ask(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=_GIT_WITHIN_S, check=True
    )
    return done.stdout


def versions() -> dict[str, str]:
    """Return the versions of Python, heliograph and the packages that make a model what it is."""
    from importlib import metadata  # 15 ms that only a run pays

    found = {"python": platform.python_version(), "heliograph": heliograph.__version__}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def collect() -> dict[str, Any]:
    """Collect all of it for training_metadata.json. The commit is that of the folder one started in."""
    return {
        "hostname": host_name(),
        "user": user_name(),
        "pid": os.getpid(),
        "command": sys.argv,
        "working_folder": str(Path.cwd()),
        "git_commit": git_commit(Path.cwd()),
        "versions": versions(),
    }
