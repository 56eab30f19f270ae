"""What runs for months, or beside a training, imports next to nothing."""

import subprocess
import sys

import pytest

ALLOWED = {"heliograph", "msgspec", "yaml", "typing_extensions"}  # the last by msgspec, where it is installed
# what a module without __spec__ is: a name that Cython made up
LIST_IMPORTS = """
import importlib, sys
before = set(sys.modules)
importlib.import_module(sys.argv[1])
new = [name for name in set(sys.modules) - before if getattr(sys.modules[name], '__spec__', None)]
print(*{name.partition(".")[0] for name in new} - sys.stdlib_module_names)
"""


def third_party_imports(module: str) -> set[str]:
    """Top-level packages outside the standard library that a fresh Python loads with the module."""
    command = [sys.executable, "-c", LIST_IMPORTS, module]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    "module",
    ["heliograph.watcher.daemon", "heliograph.training.run", "heliograph.job", "heliograph.cli.main"],
)
def test_only_light_packages_are_imported(module: str) -> None:
    assert third_party_imports(module) <= ALLOWED


def test_a_heavy_import_would_be_seen() -> None:
    assert "jinja2" in third_party_imports("jinja2")
