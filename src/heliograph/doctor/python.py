"""Python and what is installed for this host's role, told from the packages' metadata: none is imported."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from msgspec import Struct

import heliograph
from heliograph.doctor.finding import Area, Context, Finding, Role, Step

AREA = Area("python")
_LEAST = (3, 11)
_REQUIREMENT = re.compile(
    r"""([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(>=\s*[0-9.]+)?.*?(?:extra == ["']([a-z]+)["'])?$"""
)
_EXTRAS: dict[Role, tuple[str, ...]] = {
    "wild_west": ("train",),
    "ssrde": ("eval", "analysis"),
    "monitoring": ("web", "mlflow", "alerts"),
    "all": ("train", "eval", "analysis", "web", "mlflow", "alerts"),
}
_WITHOUT = {
    "train": "heliograph train does not run (the hook in your own script does)",
    "eval": "no evaluation runs",
    "analysis": "no analysis runs",
    "web": "the dashboard does not run",
    "mlflow": "heliograph mlflow does not run",
    "alerts": "nobody is told by mail or chat",
}


class Requirement(Struct, frozen=True):
    """What heliograph asks for: a package, at least of this version, for one extra or (empty) always."""

    name: str
    at_least: str
    extra: str


def steps(context: Context) -> list[Step]:
    return [
        Step("python", lambda: [judge_python(sys.version_info[:3], sys.executable)]),
        Step("packages", lambda: _look_at_packages(context.role)),
        Step("constraints", lambda: [_look_at_constraints()]),
    ]


def judge_python(version: Sequence[int], executable: str) -> Finding:
    told = f"{'.'.join(map(str, version))}, {executable}"
    if tuple(version[:2]) < _LEAST:
        return AREA.bad("python", f"{told}: at least 3.11 is needed", "apt install python3.11-venv")
    return AREA.ok("python", told)


def parse_requirement(text: str) -> Requirement | None:
    """Read `torch>=2.6; extra == "train"`; None for an extra that names others of our own."""
    match = _REQUIREMENT.match(text)
    if match is None or match[1] == "heliograph":
        return None
    return Requirement(match[1], (match[2] or "").removeprefix(">=").strip(), match[3] or "")


def installed(name: str) -> str | None:
    """Return the version of a package that is installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _look_at_packages(role: Role) -> list[Finding]:
    texts = metadata.requires("heliograph") or []
    wanted = [found for text in texts if (found := parse_requirement(text))]
    return judge_packages(wanted, role, installed)


def judge_packages(
    wanted: Sequence[Requirement], role: Role, version_of: Callable[[str], str | None]
) -> list[Finding]:
    """Tell what is missing or too old: of the base, and of the extras that this role needs."""
    findings = []
    complete = []
    for extra in ("", *_EXTRAS[role]):
        lacking = [told for r in wanted if r.extra == extra and (told := _lack(r, version_of(r.name)))]
        label = f"extra {extra}" if extra else "base"
        if not lacking:
            complete.append(extra or "base")
        elif extra:
            told = f"{', '.join(lacking)}: {_WITHOUT[extra]}"
            findings.append(AREA.warn(label, told, f"pip install -c constraints.txt '.[{extra}]'"))
        else:
            told = f"{', '.join(lacking)}: nothing works without"
            findings.append(AREA.bad(label, told, "pip install -c constraints.txt ."))
    if complete:
        findings.insert(0, AREA.ok("packages", f"complete for {', '.join(complete)}"))
    return findings


def _lack(requirement: Requirement, version: str | None) -> str:
    if version is None:
        return f"{requirement.name} is missing"
    if _numbers(version) < _numbers(requirement.at_least):
        return f"{requirement.name} {version} is older than {requirement.at_least}"
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: 2.13.0+cpu is (2, 13, 0)."""
    match = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


# Constraints ----------------------------------------------------------------------------------------


def parse_pins(text: str) -> dict[str, str]:
    """Read the lines `name==version` of constraints.txt."""
    pairs = (line.split("==") for line in text.splitlines() if "==" in line and not line.startswith("#"))
    return {name.strip(): version.strip() for name, version in pairs}


def _look_at_constraints() -> Finding:
    """constraints.txt comes with a checkout, not with a wheel."""
    path = Path(heliograph.__file__).resolve().parents[2] / "constraints.txt"
    if not path.is_file():
        return AREA.skipped("constraints", "constraints.txt is in a checkout only; nothing to compare with")
    pins = parse_pins(path.read_text(encoding="utf-8"))
    return judge_pins(pins, {name: version for name in pins if (version := installed(name))})


def judge_pins(pins: Mapping[str, str], versions: Mapping[str, str]) -> Finding:
    """Compare what is installed with the versions that the tests ran with; 2.13.0+cpu counts as 2.13.0."""
    others = {name: v for name, v in versions.items() if v.partition("+")[0] != pins[name]}
    if not others:
        return AREA.ok("constraints", f"{len(versions)} packages are as they were tested")
    told = ", ".join(f"{name} {version} (tested: {pins[name]})" for name, version in list(others.items())[:3])
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return AREA.warn(
        "constraints", f"not the versions that were tested: {told}{more}", "pip install -c constraints.txt ."
    )
