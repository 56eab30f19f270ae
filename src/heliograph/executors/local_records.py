"""What the local executor and its supervisors tell each other: small JSON files, a folder a job.

    FOLDER/jobs/17/    job.json     the job was taken (name, script's path, supervisor); else there is none
                       script       the copy that is run
                       start.json   the script runs; written by the very process that then becomes it
                       cancel       somebody wants it ended
                       end.json     how it ended
                       supervisor.log   what a supervisor says that fails
    FOLDER/slots/      0 1 …        locked by the jobs that run
                       turn         locked by the one that is next

Standard library only, and little of it: a supervisor lives as long as its job. The package's own `files`
would make it 17 MB instead of 11, so the atomic write stands here a second time.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

Record = dict[str, Any]

JOB, START, CANCEL, END, SCRIPT, LOG = (
    "job.json",
    "start.json",
    "cancel",
    "end.json",
    "script",
    "supervisor.log",
)
ID_PREFIX = "local-"
EX_DATAERR, EX_TEMPFAIL = 65, 75
"""exit codes of a supervisor that took no job: the script is wrong; this machine did not let it"""


def jobs_folder(folder: Path) -> Path:
    return folder / "jobs"


def slots_folder(folder: Path) -> Path:
    return folder / "slots"


def numbers(folder: Path) -> list[int]:
    """List the numbers of all jobs, ascending."""
    try:
        return sorted(int(path.name) for path in jobs_folder(folder).iterdir() if path.name.isdigit())
    except FileNotFoundError:
        return []


def allocate(folder: Path) -> int:
    """Make the folder of the next job and return its number: mkdir has exactly one winner.

    Numbers are never used again, because the highest is never pruned.
    """
    jobs_folder(folder).mkdir(parents=True, exist_ok=True)
    number = max(numbers(folder), default=0) + 1
    while True:
        try:
            (jobs_folder(folder) / str(number)).mkdir()
        except FileExistsError:
            number += 1
        else:
            return number


def write_record(path: Path, record: Record) -> None:
    """Write a record, whole or not at all. Each file has one writer and is written once."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_record(path: Path) -> Record | None:
    """Read a record; None where there is none (yet)."""
    try:
        content: Record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return content


def seconds_now() -> float:
    """Return the seconds since 1970: the form of every time in the records."""
    return time.time()


# Processes -------------------------------------------------------------------------------------------


def identity(pid: int) -> str:
    """Name a process for good: boot, pid and start time, for a pid alone is given to others later."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    state_and_more = _stat(pid)
    if state_and_more is None:
        raise ProcessLookupError(f"no process {pid}")
    return f"{boot}:{pid}:{state_and_more[19]}"


def pid_of(who: str) -> int:
    """Return the pid of an identity."""
    return int(who.split(":")[1])


def is_alive(who: str) -> bool:
    """Tell whether this very process still runs. One that waits to be reaped (Z) does not."""
    pid = pid_of(who)
    stat = _stat(pid)
    if stat is None or stat[0] in ("Z", "X"):
        return False
    try:
        return identity(pid) == who
    except ProcessLookupError:
        return False


def group_members(group: int) -> list[int]:
    """List the living processes of a process group."""
    members = []
    for path in Path("/proc").iterdir():
        stat = _stat(int(path.name)) if path.name.isdigit() else None
        if stat is not None and stat[0] not in ("Z", "X") and int(stat[2]) == group:
            members.append(int(path.name))
    return members


def _stat(pid: int) -> list[str] | None:
    """Return /proc/PID/stat from its third field on (state, parent, group …, 22nd: start time)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()  # the second, the command's name, may hold anything
