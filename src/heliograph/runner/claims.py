"""Who does an attempt's work, however often it was submitted, started again, or torn apart.

    state/locks/claims/TOKEN/   job_id       the job that may run; of a job array, the array's; or nobody
                                restart-N/   it was started again, for the N-th time (array: PART.restart-N)
                                ended-N/     array: the N-th part that ended; the file `part` says which

A restart of a job takes over from its earlier start. Slurm ends that one first, unless its node is out of
reach: then it may go on. It notices within a heartbeat of reaching the drive that it was superseded, stops,
and tells nothing more. What both write until then is the same work under the same job: whole files that
replace each other whole.
"""

from __future__ import annotations

import re

from heliograph.drive import Drive
from heliograph.errors import DriveError
from heliograph.files import make_folder_once, read_untrusted, take_once

_RESTART = re.compile(r"(?:(?P<part>.+)\.)?restart-(?P<count>[0-9]{1,9})")


_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST = 1 << 12
NOBODY = "nobody"
"""whose an attempt is that no job may begin any more"""


def read_claim(drive: Drive, token: str) -> str | None:
    """Return the id of the job that claimed an attempt; None where no claim can be seen or understood."""
    try:
        text = read_untrusted(drive.claim(token) / "job_id", _MOST).decode("utf-8", "replace").strip()
    except OSError:
        return None
    return text if _JOB_ID.fullmatch(text) else None


def close_claim(drive: Drive, token: str) -> None:
    """Let no job claim an attempt any more, unless one has. Raises OSError where that cannot be told.

    An attempt is concluded, and a job of its name may still wait: submitted twice, or again by hand. It must
    not begin while the next attempt works.
    """
    take_once(drive.claim(token), "job_id", NOBODY)


class Claim:
    """One attempt's claim, as one job (or one part of a job array) sees it."""

    def __init__(self, drive: Drive, token: str, *, part: str | None, restarts: int) -> None:
        self.folder = drive.claim(token)
        self.part = part
        self.restarts = restarts

    def take(self, job_id: str) -> bool:
        """Claim the attempt for a job; tell whether it may run. The same job may claim again, started anew.

        Raises DriveError where it cannot be told whose it is: then the job has to fail, for to leave quietly
        would leave the work undone if nobody else does it.
        """
        try:
            if take_once(self.folder, "job_id", job_id) != job_id:
                return False
            if self.restarts:
                make_folder_once(self.folder / self._restart(self.restarts))
        except OSError as error:
            raise DriveError(
                folder=self.folder,
                reason=f"the attempt cannot be claimed: {error.strerror or error}",
                remedy="The watcher tries again; see that jobs may write below state/locks.",
            ) from error
        return True

    def _restart(self, count: int) -> str:
        return f"{self.part}.restart-{count}" if self.part else f"restart-{count}"

    def is_superseded(self) -> bool:
        """Tell whether the same job, or part, was started again since. What cannot be read tells nothing."""
        try:
            names = [path.name for path in self.folder.iterdir()]
        except OSError:
            return False
        marks = [mark for name in names if (mark := _RESTART.fullmatch(name))]
        return any(mark["part"] == self.part and int(mark["count"]) > self.restarts for mark in marks)

    def has_ended_last(self, count: int) -> bool:
        """Put down that this part has ended; tell whether it was the last of `count`. Raises OSError.

        Parts take the numbers one after another, each of which has one winner. So nothing hangs on how soon
        one host sees what another wrote; and a part that is started again finds its own number.
        """
        for number in range(count):
            if take_once(self.folder / f"ended-{number}", "part", self.part or "") == self.part:
                return number == count - 1
        return False
