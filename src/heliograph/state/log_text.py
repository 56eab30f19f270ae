"""What stands in logs, made harmless and readable. All pure.

A log holds what others wrote: signs that act on a terminal, passwords that slipped in, JSON for machines.
"""

from __future__ import annotations

import json
import re

from heliograph.words import printable

_ANSI = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, movements of the cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # titles, links
    r"|\x1b[ -/]*[0-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
_MASK = "***"
_SECRETS = (
    # https://user:password@host, and tokens in an address
    re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]{1,30}://[^/\s:@]{0,100}:)[^/\s@]+(?=@)", re.IGNORECASE),
    re.compile(
        r"(?P<keep>[?&](?:[a-z0-9_.-]{0,40}(?:token|key|secret|signature|password|passwd|auth)|sig)=)[^&\s\"']+",
        re.IGNORECASE,
    ),
    re.compile(
        r"(?P<keep>\b(?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)(?:(?:basic|bearer|token|digest)\s+)?[^\s\"',]+",
        re.IGNORECASE,
    ),
    re.compile(r"(?P<keep>\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE),
    re.compile(
        r"(?P<keep>\b(?!(?:pad|eos|bos|unk|mask|sep|cls|next|special)_token)[a-z0-9_.-]{0,40}"
        r"(?:password|passwd|passphrase|secret|api[_-]?key|access[_-]?key|[_-]token)"
        r"[\"']?\s*[:=]\s*)(?:\"[^\"]+\"|'[^']+'|[^\s\"',;]+)",
        re.IGNORECASE,
    ),
    re.compile(r"(?P<keep>\btoken=)[^\s\"',;&]+", re.IGNORECASE),
    # what well-known services give out
    re.compile(r"(?P<keep>\b(?:hf|ghp|gho|ghs|github_pat|glpat|xox[abp]|sk|pypi)[-_])[A-Za-z0-9_-]{16,}"),
)
# not a secret, though it stands where one would: numbers, and "there is none"
_NO_SECRET = re.compile(r"[0-9.,e+-]+|true|false|none|null", re.IGNORECASE)
_LONGEST_LINE = 2000


def mask_secrets(text: str) -> str:
    """Hide what is obviously a secret: in addresses, after `password=`, `token:`, `Authorization:`."""

    def hide(match: re.Match[str]) -> str:
        value = match[0][len(match["keep"]) :].strip("\"'")
        return match[0] if _NO_SECRET.fullmatch(value) else match["keep"] + _MASK

    for pattern in _SECRETS:
        text = pattern.sub(hide, text)
    return text


def harmless(line: str) -> str:
    """Make one line safe for a terminal and a page: no colours, no control signs, no secrets, not endless.

    Of a progress bar that was written over itself, the last state stays.
    """
    parts = [part for part in line.rstrip("\r\n").split("\r") if part.strip()]
    plain = _ANSI.sub("", parts[-1] if parts else "")
    shown = mask_secrets(printable(plain, keep="\t"))
    return shown if len(shown) <= _LONGEST_LINE else shown[: _LONGEST_LINE - 1] + "…"


def readable(line: str) -> tuple[str, str]:
    """Turn a log line into (level, text): JSON lines as a person reads them, others harmless as they are.

    The level is empty where the line tells none.
    """
    facts = _json_line(line)
    if facts is None:
        return "", harmless(line)
    moment = str(facts.pop("time", ""))[11:19]
    level = str(facts.pop("level", ""))
    said = str(facts.pop("event", ""))
    trace = str(facts.pop("traceback", ""))
    about = "/".join(str(facts.pop(name)) for name in ("experiment", "stage") if name in facts)
    for name in ("logger", "host", "pid", "run", "token", "job_id"):
        facts.pop(name, None)
    more = " ".join(f"{name}={_short(value)}" for name, value in facts.items())
    shown = "  ".join(harmless(part) for part in (moment, f"{level:5}", about, said, more) if part.strip())
    return level, "\n".join([shown, *(harmless(part) for part in trace.splitlines())])


def _json_line(line: str) -> dict[str, object] | None:
    """Read a line as one of this software's JSON log lines; None for any other."""
    if not line.startswith("{"):
        return None
    try:
        facts = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) and "event" in facts and "level" in facts else None


def _short(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
