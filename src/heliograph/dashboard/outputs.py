"""Files of the drive that the dashboard hands out: outputs of analyses, and the ends of logs.

Nothing here takes a path from whoever asks: it is compared with what was published, and that is what is
opened, after symbolic links were resolved and found to stay inside `analysis/` or `logs/`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from msgspec import Struct

from heliograph.dashboard.words import printable
from heliograph.drive import Drive
from heliograph.errors import BadSignal, HeliographError
from heliograph.files import read_untrusted
from heliograph.state.views import ExperimentView

LARGEST_OUTPUT = 64 << 20
LONGEST_TAIL = 200_000

_OWN_PAGE = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:; sandbox"


class NoSuchFile(HeliographError):
    """{what} cannot be shown. {remedy}"""

    exit_code = 3


class Kind(Struct, frozen=True):
    """How files of one format are handed out."""

    media_type: str
    policy: str | None = None
    """the content security policy, where the dashboard's own would be wrong"""
    is_download: bool = False


# A report is a page that others wrote: it runs no script, sends nothing, and belongs to no origin.
_KINDS = {
    ".png": Kind("image/png"),
    ".pdf": Kind("application/pdf", "default-src 'none'; object-src 'self'; frame-ancestors 'none'"),
    ".html": Kind("text/html; charset=utf-8", _OWN_PAGE),
    ".csv": Kind("text/csv; charset=utf-8", is_download=True),
    ".tex": Kind("text/plain; charset=utf-8"),
    ".json": Kind("text/plain; charset=utf-8"),
}
_UNKNOWN = Kind("application/octet-stream", is_download=True)


class OutputFile(Struct, frozen=True):
    """An output's content, and how it is handed out."""

    content: bytes
    kind: Kind
    name: str


def read_output(drive: Drive, view: ExperimentView, path: str) -> OutputFile:
    """Read one of the outputs that are published for this experiment. Raises NoSuchFile or OSError."""
    published = next((output.path for output in view.outputs if output.path == path), None)
    if published is None:
        raise NoSuchFile(what="That output", remedy="The experiment's page lists all that there are.")
    content = _read(_inside(drive, drive.root / published, drive.analysis), published)
    name = PurePosixPath(published)
    return OutputFile(content, _KINDS.get(name.suffix.lower(), _UNKNOWN), name.name)


def read_log_tail(drive: Drive, view: ExperimentView, stage: str, *, errors: bool = False) -> str:
    """Read the end of the log that a stage's latest attempt recorded, as harmless text.

    `errors` asks for the file beside it that holds the error output. Raises NoSuchFile or OSError.
    """
    recorded = next((one.log_path for one in view.stages() if one.stage == stage), None)
    if not recorded or (errors and not recorded.endswith(".log")):
        raise NoSuchFile(what="That log", remedy="No attempt at this stage has recorded one.")
    path = Path(recorded.removesuffix(".log") + ".err" if errors else recorded)
    shown = shown_path(drive, path)
    tail, left_out = _read_tail(_inside(drive, path, drive.logs), shown)
    text = tail.decode("utf-8", "backslashreplace").replace("\r\n", "\n").replace("\r", "\n")
    note = f"[the last {len(tail):,} bytes of {shown}; {left_out:,} bytes before them are left out]\n"
    return (note if left_out else "") + printable(text, keep="\n\t")


def shown_path(drive: Drive, path: Path) -> str:
    """Write a path as people know it: below the drive."""
    return printable(str(path.relative_to(drive.root)) if path.is_relative_to(drive.root) else path.name)


def _inside(drive: Drive, path: Path, folder: Path) -> Path:
    try:
        return drive.inside(path, folder, field="path", file="what is published")
    except BadSignal as error:
        raise NoSuchFile(what="That file", remedy=str(error)) from None


def _read(path: Path, shown: str) -> bytes:
    with _told(printable(shown), gone="It was published, and removed since."):
        return read_untrusted(path, LARGEST_OUTPUT)


def _read_tail(path: Path, shown: str) -> tuple[bytes, int]:
    """Return the file's end, from the beginning of a line, and how many bytes stand before it."""
    with _told(shown, gone="The job may not have begun to write it."):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        os.close(handle)
        raise NoSuchFile(what=shown, remedy="It is no regular file.")
    with os.fdopen(handle, "rb") as file:
        start = max(0, facts.st_size - LONGEST_TAIL)
        file.seek(start)
        tail = file.read(LONGEST_TAIL)
    if start and b"\n" in tail:
        tail = tail[tail.index(b"\n") + 1 :]
    return tail, facts.st_size - len(tail) if start else 0


@contextmanager
def _told(shown: str, *, gone: str) -> Iterator[None]:
    """Tell apart what is wrong with one file from what is wrong with the drive."""
    try:
        yield
    except FileNotFoundError:
        raise NoSuchFile(what=shown, remedy=gone) from None
    except PermissionError:
        raise NoSuchFile(what=shown, remedy="Whoever runs the dashboard may not read it.") from None
    except OSError as error:
        if error.errno not in (errno.EFBIG, errno.EINVAL):
            raise
        raise NoSuchFile(what=shown, remedy=f"The reason: {error.strerror}.") from None
