"""Copies the R project to a drive, and brings it up to date without touching what a user changed.

`.heliograph_installed.json` beside the project remembers the SHA-256 of every file as it was written. A file
that still has it is replaced by a newer one; a file that a user changed stays, and the newer one is put
beside it as FILE.new.
"""

from __future__ import annotations

import hashlib
import logging
from importlib.resources import as_file, files
from pathlib import Path

import msgspec
from msgspec import Struct

from heliograph.drive import Drive
from heliograph.files import make_folder, remove_file, sha256_file, write_atomic

log = logging.getLogger(__name__)

RECORD = ".heliograph_installed.json"


class Record(Struct):
    """What was installed: path relative to the project, SHA-256 of the content as it was written."""

    files: dict[str, str] = {}


def shipped_files() -> dict[str, bytes]:
    """Return the R project as it comes with this version: relative path, content."""
    with as_file(files("heliograph").joinpath("analysis", "project")) as project:
        root = Path(project)
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }


def install_project(drive: Drive) -> list[str]:
    """Bring the R project of a drive up to date; return a sentence for each thing that was done.

    Raises OSError where the drive cannot be written.
    """
    project = drive.analysis
    shipped, known = shipped_files(), _read_record(project).files
    done = [_install_file(project, name, content, known.get(name)) for name, content in shipped.items()]
    done += [_retire_file(project, name, known[name]) for name in sorted(known.keys() - shipped.keys())]
    record = Record({name: hashlib.sha256(content).hexdigest() for name, content in shipped.items()})
    if record.files != known:
        raw = msgspec.json.format(msgspec.json.encode(record), indent=2)
        write_atomic(project / RECORD, raw + b"\n")
    return [what for what in done if what is not None]


def _install_file(project: Path, name: str, content: bytes, known_sha256: str | None) -> str | None:
    path = project / name
    if not path.exists():
        make_folder(path.parent)
        write_atomic(path, content)
        return f"wrote  analysis/{name}"
    if path.read_bytes() == content:
        return None
    if sha256_file(path) == known_sha256:
        write_atomic(path, content)
        return f"updated analysis/{name}"
    beside = path.with_name(f"{path.name}.new")
    if beside.exists() and beside.read_bytes() == content:
        return None
    write_atomic(beside, content)
    return f"kept   analysis/{name}, which was changed here; the newer one is {beside.name} beside it"


def _retire_file(project: Path, name: str, known_sha256: str) -> str | None:
    """Remove a file that this version no longer has; `_targets.R` would go on sourcing what is in R/."""
    path = project / name
    if not path.exists():
        return None
    if sha256_file(path) == known_sha256:
        remove_file(path)
        return f"removed analysis/{name}, which is no longer part of the project"
    return f"kept   analysis/{name}, which was changed here and is no longer part of the project"


def _read_record(project: Path) -> Record:
    path = project / RECORD
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except FileNotFoundError:
        return Record()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("%s cannot be read, so every changed file counts as changed by a user: %s", path, error)
        return Record()
