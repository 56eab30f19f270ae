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
import re
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
_TEMPORARY = re.compile(r"\..+\.(?P<host>[^.]+)\.(?P<pid>[0-9]{1,9})\.[0-9]+\.tmp")
_LONGEST_OWNER = 4096
_IS_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.EPERM)
_SEEN_AFTER_S = 60.0  # NFS goes on believing for 30 s that a name is missing which it once saw missing
_LOOK_AGAIN_S = 1.0
LASTING = (
    *(errno.EINVAL, errno.EFBIG, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EACCES),
    *(errno.ENAMETOOLONG, errno.ENOTDIR),
)
"""Errors that stay until somebody mends the file. Others (a stale handle, a drive that is away) may pass."""
_IN_WORDS = {
    errno.ELOOP: "a symbolic link, or one that leads to itself",
    errno.ENXIO: "not a regular file",  # a socket, or a device that is not there
}


def temporary_name(path: Path) -> Path:
    """Return a name beside `path` that nobody else uses: hidden, with host, pid and a counter."""
    return path.with_name(f".{path.name}.{host_name()}.{os.getpid()}.{next(_counter)}.tmp")


def remove_leftovers(folder: Path) -> int:
    """Remove what `temporary_name` named in `folder` for processes of this host that are gone; return how
    many. Those of other hosts are let be: nobody here knows who lives there."""
    removed = 0
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _TEMPORARY.fullmatch(path.name)
        if match is None or match["host"] != host_name() or _is_alive(int(match["pid"])):
            continue
        if path.is_dir() and not path.is_symlink():
            with durable("rmtree", path):
                shutil.rmtree(path)
        else:
            remove_file(path)
        removed += 1
    return removed


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def sync_folder(folder: Path) -> None:
    """Make a rename or mkdir in `folder` durable. File systems that cannot (FUSE: EINVAL) are let be."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with durable("fsync", folder):
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


def make_folder(path: Path) -> None:
    """Make `path` with all that is missing above it, unless it is there."""
    if not path.is_dir():
        with durable("mkdir", path):
            path.mkdir(parents=True, exist_ok=True)


def remove_file(path: Path) -> None:
    """Remove `path`, if it is there."""
    with durable("unlink", path):
        path.unlink(missing_ok=True)


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


def open_untrusted(path: Path | str, *, follow: bool = False, inside: Path | None = None) -> int:
    """Open a file that anybody may have written for reading; return the handle, which the caller closes.

    Raises OSError when there is none, when it is no regular file (a FIFO or device must not hang us), when it
    is a symbolic link (unless `follow`), or when what was opened does not stand below `inside`. The last is
    asked of the kernel after the opening, so no link that is swapped meanwhile leads away.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    except OSError as error:
        raise OSError(error.errno, _IN_WORDS.get(error.errno or 0, error.strerror), str(path)) from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, _IN_WORDS[errno.ENXIO], str(path))
        if inside is not None:
            opened = Path(f"/proc/self/fd/{handle}").readlink()
            if not opened.is_relative_to(os.path.realpath(inside)):
                raise OSError(errno.ELOOP, f"leads out of {inside}", str(path))
    except BaseException:
        os.close(handle)
        raise
    return handle


def read_untrusted(
    path: Path | str, largest: int, *, follow: bool = False, inside: Path | None = None
) -> bytes:
    """Read a small file that anybody may have written, opened anew (see `open_untrusted`).

    Raises OSError, also (EFBIG) when it has more than `largest` bytes; no more than that is read.
    """
    with os.fdopen(open_untrusted(path, follow=follow, inside=inside), "rb", buffering=0) as file:
        content = bytearray()
        while len(content) <= largest and (chunk := file.read(min(_CHUNK, largest + 1 - len(content)))):
            content += chunk
    if len(content) > largest:
        raise OSError(errno.EFBIG, f"larger than {largest} bytes", str(path))
    return bytes(content)


def sha256_file(path: Path, *, inside: Path | None = None) -> str:
    """Return the SHA-256 of a file as hex, read in pieces of 1 MiB; for `inside` see `open_untrusted`."""
    digest = hashlib.sha256()
    with os.fdopen(open_untrusted(path, follow=True, inside=inside), "rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
