"""The #SBATCH lines of a batch script, as far as they mean something on one machine.

Read by the local supervisor, so: standard library only, and little of it.
"""

from __future__ import annotations

import re
import shlex
import signal

_MARK = "#SBATCH"
_SHORT = {"-J": "job-name", "-o": "output", "-e": "error", "-t": "time"}
_DEFAULT_OUTPUT = "slurm-%j.out"  # Slurm's own
_NO_LIMIT = frozenset(["0", "unlimited", "infinite"])
_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
_WARNING = re.compile(r"B:(?:SIG)?([A-Z0-9]+)(?:@(\d+))?")
_WARNING_S = 60  # Slurm's own
_PATTERN = re.compile(r"%(.)")


def parse_directives(script: str) -> dict[str, str]:
    """Return {long option: value} of a script's #SBATCH lines, of equal ones the last.

    Like sbatch, looks no further than the first line that is neither empty nor a comment.
    """
    found: dict[str, str] = {}
    for line in script.splitlines():
        if line.strip() and not line.startswith("#"):
            break
        if line.startswith(_MARK):
            found |= _options(line[len(_MARK) :])
    return found


def _options(text: str) -> dict[str, str]:
    """Read `--time=5 -o "a b.log" --exclusive  # why` into options; a flag's value is empty."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError:  # a quote that is not closed
        words = text.split()
    found: dict[str, str] = {}
    waiting: str | None = None
    for word in words:
        if word.startswith("--"):
            option, equals, value = word[2:].partition("=")
            found[option] = value
            waiting = None if equals else option
        elif word[:2] in _SHORT:
            option, value = _SHORT[word[:2]], word[2:]
            found[option] = value
            waiting = None if value else option
        elif waiting is not None:
            found[waiting], waiting = word, None
    return found


def time_limit_s(directives: dict[str, str]) -> int | None:
    """Return the seconds of --time, None where there is no limit.

    Slurm's forms: minutes, m:s, h:m:s, days-hours, days-h:m, days-h:m:s. Raises ValueError for others.
    """
    text = directives.get("time", "0").strip()
    if text.lower() in _NO_LIMIT:
        return None
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"--time={text}: not a time; write [days-]hours:minutes:seconds")
    days, first, second, third = (int(part) if part else 0 for part in match.groups())
    if match[1] is not None:
        return days * 86400 + first * 3600 + second * 60 + third
    if match[4] is not None:
        return first * 3600 + second * 60 + third
    return first * 60 + second


def warning(directives: dict[str, str]) -> tuple[int, int] | None:
    """Return (signal, seconds before the time limit) of `--signal=B:USR1@120`, None where there is none.

    Without B: Slurm warns steps started by srun, not the script: nothing to do on one machine.
    """
    match = _WARNING.fullmatch(directives.get("signal", ""))
    if match is None:
        return None
    before_s = int(match[2]) if match[2] else _WARNING_S
    if match[1].isdigit():
        return int(match[1]), before_s
    number = getattr(signal, f"SIG{match[1]}", None)
    return (int(number), before_s) if isinstance(number, signal.Signals) else None


def output_paths(directives: dict[str, str], facts: dict[str, str]) -> tuple[str, str]:
    """Return the paths of standard output and error; without --error both are one."""
    output = fill(directives.get("output") or _DEFAULT_OUTPUT, facts)
    error = directives.get("error")
    return output, fill(error, facts) if error else output


def fill(pattern: str, facts: dict[str, str]) -> str:
    """Fill %j, %x and the like from `facts`; %% is a percent sign, unknown ones stay as they are."""
    return _PATTERN.sub(lambda match: {**facts, "%": "%"}.get(match[1], match[0]), pattern)
