"""Every command explains itself."""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from heliograph import cli
from heliograph.cli.main import VERBS


def run(*arguments: str) -> str:
    """Standard output of a `heliograph` command that must succeed."""
    script = Path(sys.executable).with_name("heliograph")
    result = subprocess.run([script, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_file_is_a_verb_and_every_verb_a_file() -> None:
    assert {m.name for m in pkgutil.iter_modules(cli.__path__)} - {"main"} == {*VERBS}


def test_help_lists_every_verb() -> None:
    listed = {line.split()[0] for line in run("--help").splitlines() if line.strip()}
    assert {*VERBS} - listed == set()


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_says_what_it_does_and_shows_examples(verb: str) -> None:
    module = importlib.import_module(f"heliograph.cli.{verb}")
    assert module.HELP[0].isupper() and module.HELP.endswith(".")
    assert "heliograph" in module.EXAMPLES and f" {verb}" in module.EXAMPLES
    assert module.EXAMPLES.strip() in run(verb, "--help")
