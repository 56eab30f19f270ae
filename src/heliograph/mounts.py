"""What kind of file system a path is on, told from the mount table alone, never by touching the drive."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

# File systems that another host may write, as observed; everything unknown counts as one of them.
_LOCAL_TYPES = frozenset(
    (
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "reiserfs", "bcachefs", "overlay"),
        *("tmpfs", "ramfs", "rootfs", "squashfs", "vfat", "exfat", "ntfs", "ntfs3", "apfs"),
    )
)
_OCTAL = re.compile(r"\\([0-7]{3})")


class Mount(msgspec.Struct, frozen=True):
    """One line of /proc/self/mountinfo."""

    point: str
    type: str
    source: str
    options: str
    """of the file system itself, as `vers=4.2` of NFS"""
    flags: str = ""
    """of this mount of it, as `ro`"""

    @property
    def is_network(self) -> bool:
        """Tell whether another host may write here. A type we do not know counts as network."""
        return self.type not in _LOCAL_TYPES


def _unescape(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match.group(1), 8)), text)


def parse_mounts(text: str) -> list[Mount]:
    """Parse /proc/self/mountinfo: mount point and flags are fields 5 and 6, the rest follows ` - `."""
    mounts = []
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        left, right = before.split(" "), after.split(" ")
        if separator and len(left) >= 6 and len(right) >= 2:
            options = right[2] if len(right) > 2 else ""
            mounts.append(Mount(_unescape(left[4]), right[0], _unescape(right[1]), options, left[5]))
    return mounts


def find_mount(path: Path, mounts: list[Mount]) -> Mount | None:
    """Return the mount that holds `path` (absolute): the longest prefix; of equals the later line wins."""
    best: Mount | None = None
    for mount in mounts:
        prefix = mount.point.rstrip("/") + "/"
        if f"{path}/".startswith(prefix) and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def mount_of(path: Path) -> Mount:
    """Return the mount that holds `path` now."""
    table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    mount = find_mount(Path(os.path.abspath(path)), parse_mounts(table))
    return mount or Mount("/", "unknown", "", "")


class MountWatch:
    """Notices, without touching it, that a drive is not mounted as it was at the beginning."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._first = mount_of(folder)

    def trouble(self) -> str | None:
        """Return what is wrong with the mount now; None while it is the one of the beginning."""
        now, first = mount_of(self._folder), self._first
        if (now.point, now.type, now.source) == (first.point, first.type, first.source):
            return None
        was, is_now = f"{first.source} ({first.type})", f"{now.point} ({now.type})"
        return f"it was mounted from {was}, and now it is a part of {is_now}"
