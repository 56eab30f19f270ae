"""Files that appear whole or not at all, and reads that trust nobody.

What was measured on network drives decides how: a temporary file in the same folder, fsync, rename to a
never-used name was never torn; replacing a name sometimes gives a reader a truncated or stale file, so
readers must be ready to look again (`read_untrusted` raises OSError for all that may pass).
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from heliograph.durable import durable
from heliograph.names import host_name

_counter = itertools.count()
_CHUNK = 1 << 20
_LONGEST_OWNER = 4096
_IS_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.EPERM)
_SEEN_AFTER_S = 60.0  # NFS goes on believing for 30 s that a name is missing which it once saw missing
_LOOK_AGAIN_S = 1.0


def temporary_name(path: Path) -> Path:
    """Return a name beside `path` that nobody else uses: hidden, with host, pid and a counter."""
    return path.with_name(f".{path.name}.{host_name()}.{os.getpid()}.{next(_counter)}.tmp")


def sync_folder(folder: Path) -> None:
    """Make a rename or mkdir in `folder` durable. File systems that cannot (FUSE: EINVAL) are let be."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


@contextmanager
def atomic_file(path: Path, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """Open a file that takes the name `path` only when it was written to the end and synced.

    Replaces what has the name. On an exception nothing is left behind.
    """
    temporary = temporary_name(path)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            with durable("fsync", path):
                os.fsync(file.fileno())
        with durable("rename", path):
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_atomic(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write `content` to `path`, whole or not at all, replacing what was there."""
    with atomic_file(path, mode) as file:
        file.write(content)


def write_new(path: Path, content: bytes, mode: int = 0o644) -> bool:
    """Write `content` to `path` unless something has that name already; tell whether it was written."""
    if path.exists():
        return False
    write_atomic(path, content, mode)
    return True


def make_folder_once(path: Path) -> bool:
    """Make `path`, and tell whether it was this call that made it: mkdir has exactly one winner.

    mkdir is the one call that answers losers with EEXIST on every drive that was measured.
    """
    try:
        with durable("mkdir", path):
            os.mkdir(path)
    except FileExistsError:
        return False
    sync_folder(path.parent)
    return True


def take_once(folder: Path, name: str, owner: str) -> str:
    """Take `folder` for `owner`, unless it is taken; return whose it is, which the file `name` in it says.

    It is made aside and renamed into place whole: who dies in the middle has taken nothing. Renaming onto a
    folder that is not empty fails, so there is one winner; losers see ENOTEMPTY, EEXIST or, on sshfs, EPERM.
    Whose it is, is always read back: an error may also mean that only the answer was lost.
    Raises OSError where it cannot be told.
    """
    try:
        return _owner(folder / name)
    except FileNotFoundError:
        pass
    aside = temporary_name(folder)
    refusal = None
    try:
        with durable("mkdir", aside):
            os.mkdir(aside)
        write_atomic(aside / name, owner.encode())
        with durable("rename", folder):
            os.rename(aside, folder)
        sync_folder(folder.parent)
    except OSError as error:
        refusal = error
        shutil.rmtree(aside, ignore_errors=True)
    is_lost = refusal is not None and refusal.errno in _IS_TAKEN
    until = time.monotonic() + (_SEEN_AFTER_S if is_lost else 0)
    while True:
        try:
            return _owner(folder / name)
        except OSError as error:
            if time.monotonic() >= until:
                raise refusal or error from None
            time.sleep(_LOOK_AGAIN_S)


def _owner(path: Path) -> str:
    return read_untrusted(path, _LONGEST_OWNER).decode("utf-8", "replace")


def read_untrusted(path: Path, largest: int, *, follow: bool = False) -> bytes:
    """Read a small file that anybody may have written, opened anew.

    Raises OSError when there is none, when it is not a regular file (a FIFO or device must not hang us, a
    symbolic link must not lead away, unless `follow`), or (EFBIG) when it has more than `largest` bytes.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    handle = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        content = bytearray()
        while chunk := os.read(handle, _CHUNK):
            content += chunk
            if len(content) > largest:
                raise OSError(errno.EFBIG, f"larger than {largest} bytes", str(path))
        return bytes(content)
    finally:
        os.close(handle)


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as hex, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
