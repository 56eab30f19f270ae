"""Running `heliograph doctor` as people do, and reading what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from heliograph.doctor.finding import Finding, Verdict

GIVE_UP_S = 120
"""much longer than it ever takes; a doctor that hangs fails its test"""


class Told(msgspec.Struct, frozen=True):
    """What `heliograph doctor --json` prints, with its exit code."""

    verdict: Verdict
    findings: list[Finding]
    exit_code: int = -1

    def of(self, area: str) -> dict[str, Finding]:
        return {finding.check: finding for finding in self.findings if finding.area == area}

    def verdicts(self, area: str) -> dict[str, Verdict]:
        return {check: finding.verdict for check, finding in self.of(area).items()}


def start_doctor(
    root: Path, *arguments: str, environ: Mapping[str, str] = os.environ
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "heliograph", "--drive", str(root), "doctor", "--json", *arguments]
    return subprocess.Popen(
        command, env=dict(environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def read_doctor(process: subprocess.Popen[str]) -> Told:
    out, err = process.communicate(timeout=GIVE_UP_S)
    assert process.returncode in (0, 10), out + err
    told = msgspec.json.decode(out, type=Told)
    return msgspec.structs.replace(told, exit_code=process.returncode)


def doctor(root: Path, *arguments: str, environ: Mapping[str, str] = os.environ) -> Told:
    """Run the doctor on a drive, and return what it told."""
    return read_doctor(start_doctor(root, *arguments, environ=environ))
