"""The child that examines one area: `python -m heliograph.doctor.child AREA CONTEXT`.

It tells each step before it begins, and each finding, as a line of JSON; so whoever listens knows at which
step it hangs. SIGTERM lets it clean up what it wrote.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from types import FrameType
from typing import Any

import msgspec
from msgspec import Struct

from heliograph.doctor.finding import Area, Context, Finding, Progress, Step
from heliograph.errors import BadConfig, HeliographError


class Begin(Struct, frozen=True, tag="begin"):
    """A step begins, or goes on; it may say nothing for so long, or for as long as its area says."""

    check: str
    silence_s: float | None = None
    progress: str = ""


class Found(Struct, frozen=True, tag="found"):
    """A finding."""

    finding: Finding


Message = Begin | Found


def tell(message: Message) -> None:
    """Write one line to whoever listens."""
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def examine(area: str, context: Context) -> None:
    """Take the steps of an area. What a step cannot do is a finding, too."""
    module: Any = import_module(f"heliograph.doctor.{area}")
    try:
        steps: list[Step] = module.steps(context)
    except BadConfig as error:
        tell(Found(Area(area).from_error("configuration", error)))
        return
    for step in steps:
        tell(Begin(step.check, step.silence_s))
        goes_on = True
        for finding in _findings(area, step, context):
            goes_on = goes_on and finding.verdict in ("ok", "warn")
            tell(Found(finding))
        if step.needed and not goes_on:
            break


def _findings(area: str, step: Step, context: Context) -> Iterator[Finding]:
    """Give the findings of a step, as they come."""
    try:
        for told in step.look():
            if isinstance(told, Finding):
                yield told
            elif isinstance(told, Progress):
                tell(Begin(step.check, step.silence_s, str(told)))
            else:
                tell(Begin(told, step.silence_s))
    except HeliographError as error:
        yield Area(area).from_error(step.check, error)
    except OSError as error:
        told = f"{error.filename or context.drive}: {error.strerror or error}"
        yield Area(area).bad(step.check, told, "Mend that first; what depends on it is not known.")


def _stop(_number: int, _frame: FrameType | None) -> None:
    """Leave by way of every `finally`: what was written is removed."""
    raise SystemExit(128 + signal.SIGTERM)


def main(area: str, context: str) -> None:
    signal.signal(signal.SIGTERM, _stop)
    examine(area, msgspec.json.decode(context, type=Context))


if __name__ == "__main__":
    main(*sys.argv[1:])
