"""Where a run comes from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from heliograph.training import provenance
from heliograph.training.meter import flatten


@pytest.mark.parametrize(
    ("revision", "status", "commit"),
    [("a94429c\n", "", "a94429c"), ("a94429c\n", " M train.py\n", "a94429c-dirty"), ("", "", None)],
)
def test_the_commit_says_whether_the_tree_was_dirty(revision: str, status: str, commit: str | None) -> None:
    assert provenance.parse_commit(revision, status) == commit


def test_real_git(tmp_path: Path) -> None:
    assert provenance.git_commit(tmp_path) is None
    assert provenance.git_commit(tmp_path / "missing") is None
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", str(tmp_path)]
    (tmp_path / "train.py").write_text("1")
    for words in (["init", "-q"], ["add", "train.py"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    clean = provenance.git_commit(tmp_path)
    assert clean is not None and len(clean) == 40
    (tmp_path / "train.py").write_text("2")
    assert provenance.git_commit(tmp_path) == f"{clean}-dirty"


def test_nested_settings_become_parameters() -> None:
    settings = {"model": {"width": 8, "note": None}, "data": {"train": ["a", "b"]}, "odd key!": 1, "e": {}}
    assert flatten(settings) == {"model.width": "8", "data.train": "['a', 'b']", "odd key_": "1"}
