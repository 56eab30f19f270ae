#!/usr/bin/env python3
"""Prepare this machine for `make demo` or `make test`: system packages, .venv, Python packages.

Standard library only, because it runs before anything is installed. The first half decides and is pure;
the second half acts. A run that finds everything in place takes a tenth of a second and prints nothing.

Exit code 0: ready. For the demo also when system packages are missing: it says so and goes on without.
Exit code 1: not ready; the last lines say what to do.
"""

import argparse
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PACKAGES = ROOT / "tools" / "packages.toml"
CONSTRAINTS = ROOT / "constraints.txt"
SYSTEMD = Path("/run/systemd/system")  # sd_booted(3): the test for a running systemd
EXTRAS = {"demo": "all", "test": "all,dev"}  # of pyproject.toml

# no questions, and no restart of other daemons on this machine, which Ubuntu's needrestart would do
APT_ENVIRONMENT = ["env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1"]
APT = [*APT_ENVIRONMENT, "apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
APT_INSTALL = ["install", "-y", "--no-install-recommends"]


@dataclass(frozen=True)
class Group:
    """System packages that serve one purpose: a table of packages.toml, whose head explains the fields."""

    what: str
    without: str
    packages: Sequence[str]
    commands: Sequence[str] = ()
    elsewhere: str = ""
    services: Mapping[str, Sequence[str]] = field(default_factory=dict)


# ---- what to do: pure ------------------------------------------------------------------------------------


def parse_groups(text: str, wanted: str) -> list[Group]:
    """Read packages.toml: the groups of the demo, and for `test` those of the tests too."""
    sets = {"demo"} if wanted == "demo" else {"demo", "test"}
    tables = [table for table in tomllib.loads(text).values() if table.pop("set") in sets]
    return [Group(**table) for table in tables]


def parse_installed(dpkg_query: str) -> set[str]:
    """Names from lines of `dpkg-query`'s ${Package} ${db:Status-Status}, if they are really installed."""
    pairs = (line.split() for line in dpkg_query.splitlines())
    return {pair[0] for pair in pairs if pair[1:] == ["installed"]}


def parse_available(apt_cache_policy: str) -> set[str]:
    """Names from `apt-cache policy NAME...` that have a candidate; names unknown to it are not in there."""
    available, name = set(), ""
    for line in apt_cache_policy.splitlines():
        if line and not line.startswith(" "):
            name = line.removesuffix(":")
        elif line.strip().startswith("Candidate:") and not line.endswith("(none)"):
            available.add(name)
    return available


def select_missing(
    groups: Iterable[Group], installed: Collection[str], has_command: Callable[[str], bool]
) -> list[Group]:
    """Reduce groups to their packages that are not installed; a group that is complete falls out."""
    missing = []
    for group in groups:
        if not any(map(has_command, group.commands)):
            absent = [name for name in group.packages if name not in installed]
            missing += [replace(group, packages=absent)] if absent else []
    return missing


def list_packages(groups: Iterable[Group]) -> list[str]:
    """All packages of the groups, sorted."""
    return sorted(name for group in groups for name in group.packages)


def list_services(groups: Iterable[Group]) -> list[str]:
    """The daemons that installing the groups' packages starts."""
    return [unit for group in groups for name in group.packages for unit in group.services.get(name, ())]


def describe_missing(groups: Sequence[Group], available: Collection[str]) -> str:
    """Say what is missing, what will not work, and the one line to ask an administrator for.

    `available`: what this machine's archives have; empty if they were never listed, which tells nothing.
    """
    lines = ["", "Missing on this machine:"]
    for group in groups:
        lines.append(f"  - {group.what}: without, {group.without}")
        if available and (gone := [name for name in group.packages if name not in available]):
            lines.append(f"    not in this system's archives: {' '.join(gone)}")
            lines += [f"    {group.elsewhere}"] if group.elsewhere else []
    wanted = [name for name in list_packages(groups) if not available or name in available]
    if wanted:
        install = " ".join(["sudo apt-get", *APT_INSTALL, *wanted])
        lines += [
            "",
            "Whoever administers this machine installs it with this one line (on Debian and Ubuntu;",
        ]
        lines += ["elsewhere, what corresponds to these packages):", ""]
        lines += [f"  sudo apt-get update && {install}", ""]
    if units := list_services(groups):
        lines += [f"(This also starts {', '.join(units)}, which the tests do not need running.)", ""]
    return "\n".join(lines)


def fingerprint(inputs: Iterable[bytes], wanted: str) -> str:
    """What .venv was made from, in one word that changes with any of it."""
    return hashlib.sha256(b"\0".join([*inputs, wanted.encode()])).hexdigest()


# ---- doing it --------------------------------------------------------------------------------------------


class Failure(Exception):
    """A reason to stop that is for the user: its text is all that is printed."""


def say(text: str) -> None:
    """Print a line at once, so that it stands above what a child prints."""
    print(text, flush=True)


def capture(command: Sequence[str]) -> str:
    """Standard output of a query; its exit code does not matter (dpkg-query's is 1 for unknown names)."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:  # no such program, or a script whose interpreter is gone
        return ""


def succeeds(command: Sequence[str]) -> bool:
    """Run a long command: shown as it goes on a terminal, elsewhere only when it fails."""
    if sys.stdout.isatty():
        return subprocess.run(command, check=False).returncode == 0
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    done = subprocess.run(command, stdin=null, stdout=pipe, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        say(done.stdout)
    return done.returncode == 0


def find_root_prefix() -> list[str] | None:
    """What to put before a command to run it as root: nothing, or sudo; None where there is no way."""
    if os.geteuid() == 0:
        return []
    if not shutil.which("sudo"):
        return None
    if succeeds_quietly(["sudo", "-n", "true"]):
        return ["sudo", "-n"]
    if sys.stdin.isatty():  # somebody is there who can be asked for the password
        say("    sudo is needed to install them, and may now ask for your password (Ctrl-C: go on without).")
        return ["sudo"] if ask_sudo() else None
    return None


def ask_sudo() -> bool:
    """Let sudo ask for the password; Ctrl-C at its prompt means no."""
    try:
        return subprocess.run(["sudo", "-v"], check=False).returncode == 0
    except KeyboardInterrupt:
        return False


def succeeds_quietly(command: Sequence[str]) -> bool:
    """Run a command for its exit code alone."""
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def find_missing(groups: Sequence[Group]) -> list[Group]:
    """The groups that this machine lacks packages of."""
    query = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *list_packages(groups)]
    installed = parse_installed(capture(query))
    return select_missing(groups, installed, lambda command: shutil.which(command) is not None)


def find_available(groups: Sequence[Group]) -> set[str]:
    """The packages that apt could install now."""
    return parse_available(capture(["apt-cache", "policy", *list_packages(groups)]))


def is_on(unit: str) -> bool:
    """Does systemd start this daemon, or, in containers without systemd, is there a script that would?"""
    if SYSTEMD.is_dir():
        return any(
            succeeds_quietly(["systemctl", question, unit]) for question in ("is-enabled", "is-active")
        )
    return unit.endswith(".service") and init_script(unit).exists()


def init_script(unit: str) -> Path:
    """Where Debian keeps the script that starts a daemon on a machine without systemd."""
    return Path("/etc/init.d", unit.removesuffix(".service"))


def switch_off(units: Sequence[str], prefix: Sequence[str]) -> None:
    """Stop daemons that the installation started: what was wanted are their programs."""
    systemd = SYSTEMD.is_dir()
    for unit in units:
        stop = ["systemctl", "disable", "--now", unit] if systemd else [str(init_script(unit)), "stop"]
        if not succeeds_quietly([*prefix, *stop]):
            say(f"    warning: could not stop {unit}, which came with the packages: {' '.join(stop)}")
    if units:
        say(f"    {', '.join(units)}: stopped again. The tests start private ones of their own.")
    if units and systemd:
        say(f"    To have them run on this machine: sudo systemctl enable --now {' '.join(units)}")


def install_packages(missing: Sequence[Group]) -> None:
    """Install with apt what can be installed; leaves the checking to the caller."""
    names = list_packages(missing)
    say(f"==> System packages: {len(names)} are missing ({'; '.join(group.what for group in missing)})")
    prefix = find_root_prefix() if shutil.which("apt-get") else None
    if prefix is None:
        return
    succeeds([*prefix, *APT, "update"])
    available = find_available(missing)
    wanted = [name for name in names if name in available]
    were_off = [unit for unit in list_services(missing) if not is_on(unit)]
    if wanted:
        succeeds([*prefix, *APT, *APT_INSTALL, *wanted])
    switch_off([unit for unit in were_off if is_on(unit)], prefix)


def has_venv_module() -> bool:
    """Can this Python make an environment with pip? On Debian that takes a package of its own."""
    importlib.invalidate_caches()
    return importlib.util.find_spec("ensurepip") is not None


def venv_group() -> Group:
    """The package that gives Debian's own Python the ability to make environments."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    return Group(f"environments for {sys.executable}", "nothing can be set up", [name])


def prepare_system(wanted: str) -> bool:
    """Install missing system packages; True if all are there now."""
    groups = parse_groups(PACKAGES.read_text(encoding="utf-8"), wanted)
    if not has_venv_module():
        groups.insert(0, venv_group())
    missing = find_missing(groups)
    if missing:
        install_packages(missing)
        missing = find_missing(groups)
    if missing:
        say(describe_missing(missing, find_available(missing)))
    return not missing


def make_venv() -> None:
    """Make .venv anew."""
    if not has_venv_module():
        raise Failure(
            f"{sys.executable} cannot make environments. Install {venv_group().packages[0]} as said above,"
            " or name another Python: make PYTHON=/path/to/python3.12 ..."
        )
    if not succeeds([sys.executable, "-m", "venv", "--clear", str(VENV)]):
        raise Failure(f"Could not make {VENV}: the lines above say why.")


def venv_works() -> bool:
    """Is there a .venv with pip, made here? One that was moved or copied still runs the old place's."""
    return str(VENV) in capture([str(VENV / "bin" / "pip"), "--version"])


def prepare_python(wanted: str) -> None:
    """Install the package, editable, with everything it needs in the versions of constraints.txt."""
    python, stamp = VENV / "bin" / "python", VENV / ".prepared"
    sources = [(ROOT / "pyproject.toml").read_bytes(), CONSTRAINTS.read_bytes(), str(ROOT).encode()]
    enough = {fingerprint(sources, name) for name in (wanted, "test")}  # the tests' set contains the demo's
    if stamp.exists() and stamp.read_text() in enough and python.exists():
        return
    if not venv_works():
        make_venv()
    say(f"==> Python packages for Python {sys.version.split()[0]} into {VENV} (minutes, the first time)")
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "-c", str(CONSTRAINTS)]
    package = f"{ROOT}[{EXTRAS[wanted]}]"
    # pip and setuptools first, pinned: every machine then resolves and builds with the same ones
    for step in ([*pip, "pip", "setuptools"], [*pip, "--no-build-isolation", "-e", package]):
        if not succeeds(step):
            raise Failure(
                "pip failed, and the lines above say why. Its settings: pip config list; PIP_INDEX_URL"
            )
    stamp.write_text(fingerprint(sources, wanted))


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare everything for the given target; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("wanted", choices=sorted(EXTRAS), help="what to prepare for")
    wanted = parser.parse_args(arguments).wanted
    started = time.monotonic()
    try:
        complete = prepare_system(wanted)
        prepare_python(wanted)
    except Failure as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run it again to go on.", file=sys.stderr)
        return 130
    if (took_s := time.monotonic() - started) > 2:
        say(f"==> Prepared in {took_s:.0f} s")
    if not complete and wanted == "test":
        print("The tests need all of it. Those that can run: .venv/bin/python -m pytest", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
