"""`heliograph why`: an explanation for a terminal of 80 columns, a pipe or a log."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from heliograph.dashboard import words
from heliograph.dashboard.terminal import COLOURS, print_wrapped
from heliograph.state.explanation import Explanation, Step
from heliograph.state.log_files import LogEnd

_INDENT = 2
_RESOURCES = {
    "mem": "memory",
    "time": "time limit",
    "cpus_per_task": "cores",
    "gres": "gres",
    "partition": "partition",
    "account": "account",
    "qos": "qos",
    "constraint": "constraint",
    "exclude": "without",
}


def print_explanation(console: Console, answer: Explanation) -> None:
    """Print what is to be known first, the answer, the facts behind it, and what one can do."""
    for said in answer.first:
        print_wrapped(console, Text(said, style="bold red"), Text("! ", style="bold red"))
    if answer.first:
        console.print()
    _print_stages(console, answer)
    console.print()
    print_wrapped(console, Text(answer.headline, style="bold"), _INDENT)
    for said in answer.sentences:
        print_wrapped(console, Text(said), _INDENT)
    _print_facts(console, answer)
    _print_quarantined(console, answer.quarantined)
    for log in answer.logs:
        _print_log(console, log)
    _print_steps(console, answer.steps)


def _print_stages(console: Console, answer: Explanation) -> None:
    console.print(Text(answer.experiment, style="bold"), soft_wrap=True)
    stages = []
    for one in answer.stages:
        name = Text(one.stage, style="bold" if one.stage == answer.stage else "dim")
        status = (f"{words.sign(one.status)} {one.status}", COLOURS.get(one.status, ""))
        stages.append(Text.assemble(name, " ", status))
    print_wrapped(console, Text("   ").join(stages), _INDENT)


def _print_facts(console: Console, answer: Explanation) -> None:
    facts = _facts(answer)
    if facts:
        console.print()
    for label, value in facts:
        print_wrapped(console, Text(value), Text(f"  {label:<10}", style="dim"))


def _facts(answer: Explanation) -> list[tuple[str, str]]:
    attempt = "" if answer.attempt is None else f"{answer.attempt}"
    if answer.attempt and answer.most_attempts:
        is_more = answer.attempt > answer.most_attempts  # somebody asked for it
        attempt += (
            f", {answer.most_attempts} come by themselves" if is_more else f" of {answer.most_attempts}"
        )
    job = f"{answer.executor} {answer.job_id}" if answer.job_id else answer.executor or ""
    job += f" on {answer.node}" if answer.node else ""
    times = "once" if answer.restarts == 1 else f"{answer.restarts} times"
    job += f", put back by Slurm {times}" if answer.restarts else ""
    said = answer.scheduler_words or ""
    failure = answer.failure_class or ""
    if answer.failure_means:
        failure += f": {answer.failure_means}"
    code = "" if answer.exit_code is None else f"exit code {answer.exit_code}"
    facts = {
        "attempt": attempt,
        "job": job,
        "asked for": resources_shown(answer.resources),
        "it says": " ".join(part for part in (answer.scheduler_state, said) if part),
        "message": (answer.error_message or "").strip(),
        "ended": code,
        "failure": failure,
        "next": resources_shown(answer.next_resources) if answer.next_resources != answer.resources else "",
    }
    if not said or answer.code in ("held", "refused"):  # there the sentences tell it
        del facts["it says"]
    return [(label, value) for label, value in facts.items() if value]


def resources_shown(resources: dict[str, Any]) -> str:
    """Write resources as people read them: memory 32G, time limit 02:00:00, 8 cores."""
    shown = []
    for name, label in _RESOURCES.items():
        value = resources.get(name)
        if value is not None:
            value = words.one_line(str(value))
            shown.append(f"{value} {label}" if name == "cpus_per_task" else f"{label} {value}")
    return ", ".join(shown)


def _print_quarantined(console: Console, reasons: list[str]) -> None:
    for reason in reasons:
        console.print()
        print_wrapped(console, Text("Put aside, because it cannot be used:", style="bold red"), _INDENT)
        print_wrapped(console, Text(reason), 2 * _INDENT)


def _print_log(console: Console, log: LogEnd) -> None:
    console.print()
    print_wrapped(console, Text.assemble("The end of ", (log.path, "bold"), style=""), _INDENT)
    for line in log.lines:
        console.print(Text(f"  │ {line}", style="dim"), soft_wrap=True)


def _print_steps(console: Console, steps: list[Step]) -> None:
    if not steps:
        return
    console.print()
    print_wrapped(console, Text("What you can do", style="bold"), _INDENT)
    for step in steps:
        print_wrapped(console, Text(step.text), 2 * _INDENT)
        if step.command:
            # never wrapped: it is there to be copied
            console.print(Text(f"      {step.command}", style="cyan"), soft_wrap=True)
