"""The tests of the R functions, one file of testthat at a time. R and its packages must be there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3] / "src/heliograph/analysis/project"
FILES = sorted((PROJECT / "tests" / "testthat").glob("test-*.R"))
RUN = "options(warn = 2); testthat::test_file(commandArgs(TRUE), reporter = 'check', stop_on_failure = TRUE)"


def test_there_are_tests() -> None:
    assert len(FILES) >= 8


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_r(file: Path) -> None:
    environ = {**os.environ, "HELIOGRAPH_DUCKDB": str(Path(sys.executable).with_name("duckdb"))}
    result = subprocess.run(
        ["Rscript", "-e", RUN, file], cwd=PROJECT, env=environ, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "FAIL 0" in result.stdout
