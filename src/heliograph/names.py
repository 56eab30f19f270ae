"""Names and times as everybody writes them: what may stand in a path, a job name or an SQL row."""

from __future__ import annotations

import os
import re
import socket
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

from msgspec import Meta

from heliograph.errors import BadName

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_NAME = re.compile(NAME_PATTERN)
_IN_WORDS: dict[str, str] = {}


def whole(pattern: str, words: str = "") -> str:
    """Return a pattern for the whole text, as JSON Schema knows it. `$` alone lets a last newline pass.

    `words` say what it asks for: errors show them in place of the pattern.
    """
    complete = rf"^(?:{pattern})$(?!\n)"
    if words:
        _IN_WORDS[complete] = words
    return complete


def in_words(problem: str) -> str:
    """Put words in place of the pattern in a message of msgspec's."""
    for pattern, words in _IN_WORDS.items():
        problem = problem.replace(f"Expected `str` matching regex {pattern!r}", f"has to be {words}")
    return problem


NAME_SCHEMA = whole(
    NAME_PATTERN, "1 to 128 letters, digits, dots, dashes and underscores, the first a letter or digit"
)
# C0 and C1 control signs, line separators, and signs that turn the direction of writing: none of them stands
# in a path, a host or a user that anybody means, and each may deceive a terminal, a log or a reader.
ONE_LINE = whole(
    r"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*", "text on one line, without control signs"
)

SlurmTime = Annotated[
    str,
    Meta(
        pattern=whole(
            "([0-9]{1,4}-)?[0-9]{1,3}(:[0-5]?[0-9]){0,2}",
            'Slurm\'s time in quotes, [days-]hours:minutes:seconds, for instance "02:00:00"',
        ),
        description="Slurm's time: [days-]hours:minutes:seconds",
    ),
]
SlurmMem = Annotated[
    str,
    Meta(
        pattern=whole("[0-9]{1,9}[KMGT]?", "a whole number with K, M, G or T, for instance 32G"),
        description="memory as Slurm writes it, for instance 32G",
    ),
]


def is_name(text: object) -> bool:
    """Tell whether `text` may name an experiment, checkpoint, dataset or metric."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def check_name(text: object, *, field: str, file: object = "command line") -> str:
    """Return `text` if it is a name; raise BadName if not. A name is safe in a path and in a shell."""
    if isinstance(text, str) and is_name(text):
        return text
    raise BadName(
        file=file,
        field=field,
        problem="not a name",
        value=text,
        remedy="Use 1 to 128 letters, digits, dots, dashes and underscores, the first a letter or digit.",
    )


def utc_now() -> datetime:
    """Return the wall clock's time, UTC. Only `main`s and events ask; everybody else is handed `now`."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """Write a time as ISO 8601 in UTC, to the millisecond: 2026-01-31T09:05:00.123Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_iso(text: str) -> datetime:
    """Read what `iso` wrote, or any ISO 8601 time with an offset. Raises ValueError without one."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without an offset: {text!r}")
    return moment.astimezone(UTC)


@lru_cache(maxsize=1)
def host_name() -> str:
    """Return this host's short name, reduced to what a file name may hold."""
    short = socket.gethostname().split(".")[0]
    return re.sub(r"[^A-Za-z0-9-]", "-", short).strip("-") or "host"


def user_name() -> str:
    """Return who runs this process; falls back to the numeric id where the passwd database is silent."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
