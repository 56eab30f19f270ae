"""Claims: which job runs an attempt. A claim is made once, by a rename that has one winner.

state/locks/claims/TOKEN/job_id
"""

from __future__ import annotations

import re

from heliograph.drive import Drive
from heliograph.files import read_untrusted

_MOST = 1 << 12
_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def read_claim(drive: Drive, token: str) -> str | None:
    """Return the id of the job that claimed an attempt; None where no claim can be seen or understood."""
    try:
        text = read_untrusted(drive.claim(token) / "job_id", _MOST).decode("utf-8", "replace").strip()
    except OSError:
        return None
    return text if _JOB_ID.fullmatch(text) else None
