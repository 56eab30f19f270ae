"""What the doctor found, for people: a group an area, a line a check, and at the end what needs attention."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from heliograph.dashboard.words import one_line, printable
from heliograph.doctor.areas import MEASUREMENTS
from heliograph.doctor.finding import ATTENTION, Finding, Verdict, worst

_SIGNS: dict[Verdict, tuple[str, str]] = {
    "bad": ("✗", "bold red"),
    "warn": ("!", "yellow"),
    "ok": ("✓", "green"),
    "skipped": ("·", "dim"),
}
_VERDICT_COLUMNS = 11
_CHECK_COLUMNS = 15


def mark(verdict: Verdict) -> tuple[str, str]:
    """Return a verdict's sign and word, padded, with its style: colour is never the only sign."""
    sign, style = _SIGNS[verdict]
    return f"{sign} {verdict:<{_VERDICT_COLUMNS - 2}}", style


def print_area(console: Console, area: str, findings: Sequence[Finding]) -> None:
    """Print an area's checks, one line each; what needs attention is told in full at the end."""
    console.print(Text.assemble("\n", (area, "bold")))
    for finding in findings:
        told_style = "dim" if finding.verdict in ("ok", "skipped") else ""
        start = Text.assemble("  ", mark(finding.verdict), f"{one_line(finding.check):<{_CHECK_COLUMNS}} ")
        told = Text(one_line(finding.told), told_style)
        if area in MEASUREMENTS:  # the numbers are what was asked for
            lines = told.wrap(console, max(30, console.width - start.cell_len)) or [told]
            for number, line in enumerate(lines):
                line.rstrip()
                console.print(start if number == 0 else " " * start.cell_len, line, sep="", soft_wrap=True)
        else:
            console.print(start + told, no_wrap=True, overflow="ellipsis")


def print_summary(console: Console, findings: Sequence[Finding]) -> None:
    """Print how it stands and, in full, what needs attention, the bad first, each with what to do."""
    counts = {verdict: sum(f.verdict == verdict for f in findings) for verdict in ATTENTION}
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    sign, style = _SIGNS[worst(findings)]
    console.print(Text.assemble("\n", (f"{sign} {told or 'nothing was looked at'}", style)))
    told_already: set[str] = set()  # a broken watcher.yaml is found by every area that reads it
    for verdict in ("bad", "warn"):
        for finding in findings:
            if finding.verdict == verdict and finding.told not in told_already:
                told_already.add(finding.told)
                _print_in_full(console, finding)


def _print_in_full(console: Console, finding: Finding) -> None:
    console.print(Text.assemble("\n", mark(finding.verdict), (f"{finding.area}: {finding.check}", "bold")))
    indent = " " * _VERDICT_COLUMNS
    for line in textwrap.wrap(one_line(finding.told), max(40, console.width - _VERDICT_COLUMNS)):
        console.print(Text(indent + line), soft_wrap=True)
    if finding.remedy:
        # never wrapped by us: a command is copied as it stands
        line_of_remedy = Text.assemble(indent, ("→ ", "bold"), (printable(finding.remedy), "cyan"))
        console.print(line_of_remedy, soft_wrap=True)
