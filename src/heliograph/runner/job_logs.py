"""At the end of a job: a log that grew large is kept whole as .gz, and its end stays where it was."""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import stat
from pathlib import Path

from heliograph.files import atomic_file

log = logging.getLogger(__name__)
KEPT = 64 << 10
_CHUNK = 1 << 20


def own_logs(folder: Path) -> list[Path]:
    """List the files below `folder` that this process writes its output to; anything else is not our log."""
    found = []
    for descriptor in (1, 2):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_relative_to(folder.resolve()) and stat.S_ISREG(os.fstat(descriptor).st_mode):
            found.append(path)
    return list(dict.fromkeys(found))


def compress_large(paths: list[Path], over_bytes: int) -> None:
    """Compress the logs that are larger. One that cannot be stays as it is: the job has done its work."""
    for path in paths:
        try:
            if path.stat().st_size > over_bytes:
                _compress(path)
        except OSError as error:
            log.warning("%s stays as large as it is: %s", path, error)


def _compress(path: Path) -> None:
    """Write the whole log to .gz, then cut it in place: the job, and Slurm after it, still append to it.

    A log that was compressed before, by an earlier start of the job, is appended to: gzip reads one after the
    other. Dying before the cut leaves the log whole.
    """
    whole = path.with_name(f"{path.name}.gz")
    with path.open("rb") as source, atomic_file(whole) as target:
        if whole.exists():
            with whole.open("rb") as before:
                shutil.copyfileobj(before, target, _CHUNK)
        with gzip.GzipFile(fileobj=target, mode="wb", filename="") as packed:
            shutil.copyfileobj(source, packed, _CHUNK)
        source.seek(-KEPT, os.SEEK_END)
        kept = source.read()
    kept = kept.partition(b"\n")[2] or kept
    head = f"[heliograph: this is the end; the whole log is {whole.name} beside it]\n"
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(head.encode() + kept)
