"""The Makefile, its help, and what continuous integration runs."""

import os
import re
import subprocess

from meta.project import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = re.findall(r"^\.PHONY: (\S+)$", MAKEFILE, flags=re.MULTILINE)


def make(*arguments: str) -> str:
    return subprocess.run(
        ["make", "-s", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def test_make_alone_explains_every_target() -> None:
    explained = {line.split()[1]: line.split(maxsplit=2)[2] for line in make().splitlines()}
    assert sorted(explained) == sorted(TARGETS)
    assert all(len(sentence) > 10 for sentence in explained.values())


def test_every_rule_is_a_declared_target() -> None:
    assert re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE) == TARGETS


def test_arguments_reach_the_demo_and_the_tests() -> None:
    assert "heliograph demo --seed 3" in make("-n", "demo", "DEMO_ARGS=--seed 3")
    assert make("-n", "test", "PYTEST_ARGS=-k drive").rstrip().endswith("-k drive")


def test_an_unfit_python_is_told_apart() -> None:
    environment = {**os.environ, "PYTHON": "false"}
    result = subprocess.run(
        [ROOT / "tools" / "find-python"], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "none of these is one: false" in result.stderr


def test_continuous_integration_runs_lint_and_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert {"lint", "test"} <= set(re.findall(r"^timed_make (\S+)", script.read_text(), flags=re.MULTILINE))
