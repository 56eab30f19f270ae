"""constraints.txt pins what pyproject.toml asks for, and is what runs here."""

import importlib.metadata
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from meta.project import ROOT

PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[0-9][0-9a-z.]*)")
LINES = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = [
    *PROJECT["dependencies"],
    *(line for extra in PROJECT["optional-dependencies"].values() for line in extra),
]
REQUIREMENTS = {canonicalize_name(r.name): r for r in map(Requirement, WANTED) if r.name != "heliograph"}


def pins() -> dict[str, str]:
    """Canonical name → version; a line that is no plain pin (a URL, a host, a local version) fails."""
    matches = [PIN.fullmatch(line) for line in LINES]
    assert all(matches), [line for line, match in zip(LINES, matches, strict=True) if not match]
    return {canonicalize_name(match["name"]): match["version"] for match in matches if match}


@pytest.mark.parametrize("name", sorted(REQUIREMENTS))
def test_what_is_asked_for_is_pinned_and_that_version_runs(name: str) -> None:
    assert pins()[name] in REQUIREMENTS[name].specifier
    assert importlib.metadata.version(name).partition("+")[0] == pins()[name]


def test_no_package_is_pinned_twice() -> None:
    assert len(LINES) == len(pins())
