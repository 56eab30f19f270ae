"""How the drive is mounted, told from the mount table and the list of processes, never by touching it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from heliograph.doctor.finding import Area, Finding
from heliograph.mounts import Mount

AREA = Area("drive")
SSHFS_OPTIONS = "reconnect,dir_cache=no,ServerAliveInterval=5,ServerAliveCountMax=2,ConnectTimeout=5"
NFS_OPTIONS = "vers=4.2,hard,lookupcache=positive,actimeo=1"
_OFF = ("no", "0", "false", "off")
_SSHFS_CACHE_S = "20"  # sshfs(1): dcache_timeout
_NFS_MAJOR_MINOR = (4, 1)
_MEASURE = "heliograph doctor --peer   # on two hosts at the same time"


class Lack(NamedTuple):
    """An option that is not as it ought to be."""

    option: str
    follows: str


# Reading --------------------------------------------------------------------------------------------


def parse_options(text: str) -> dict[str, str]:
    """Read `a,b=1` into {a: "", b: "1"}."""
    pairs = (word.partition("=") for word in text.split(",") if word)
    return {name: value for name, _, value in pairs}


def options_of(argv: Sequence[str]) -> dict[str, str]:
    """Collect every -o of a command line, written as `-o a,b=1` or `-oa,b=1`."""
    found: dict[str, str] = {}
    words = iter(argv)
    for word in words:
        if word == "-o":
            found |= parse_options(next(words, ""))
        elif word.startswith("-o"):
            found |= parse_options(word[2:])
    return found


def find_sshfs(mount: Mount, command_lines: Iterable[Sequence[str]]) -> dict[str, str] | None:
    """Return the options of the sshfs that serves a mount, from the command lines of all processes; None
    where it cannot be seen. Options of ssh are among them where they were given by -o.

    It is told by what is mounted and where; a mount point given as a relative path is told by its last part.
    """
    for argv in command_lines:
        program = Path(argv[0]).name if argv else ""
        if program in ("sshfs", "mount.sshfs", "mount.fuse.sshfs") and _serves(argv, mount):
            return options_of(argv)
    return None


def _serves(argv: Sequence[str], mount: Mount) -> bool:
    last = Path(mount.point).name
    points = [word for word in argv[1:] if word.rstrip("/") == mount.point or Path(word).name == last]
    return mount.source in argv[1:] and bool(points)


def command_lines(proc: Path = Path("/proc")) -> list[list[str]]:
    """Return the command line of every process that we may see."""
    found = []
    for path in proc.glob("[0-9]*/cmdline"):
        try:
            raw = path.read_bytes()
        except OSError:  # it has ended, or is not ours to see
            continue
        found.append([word.decode("utf-8", "replace") for word in raw.split(b"\0")[:-1]])
    return found


# Judging --------------------------------------------------------------------------------------------


def judge_mount(mount: Mount, sshfs: dict[str, str] | None = None) -> list[Finding]:
    """Tell what kind of file system the drive is on, what follows, and what to change."""
    if mount.type == "fuse.sshfs":
        return _judge_sshfs(mount, sshfs)
    if mount.type in ("nfs", "nfs4"):
        return _judge_nfs(mount)
    if mount.is_network:
        told = f"{mount.type} from {mount.source}: heliograph was never tested on this kind of file system"
        return [AREA.warn("mount", told, _MEASURE)]
    return [AREA.ok("mount", f"{mount.type} on {mount.source}, local to this host")]


def _judge_sshfs(mount: Mount, options: dict[str, str] | None) -> list[Finding]:
    where = f"sshfs from {mount.source}"
    remedy = mount_again(mount)
    if options is None:
        told = f"{where}: the mount table does not show its options, and no sshfs process of it can be seen"
        return [AREA.warn("mount", told, f"{remedy}   # compare with how it is mounted now")]
    lacks = sshfs_lacks(options)
    if not lacks:
        return [AREA.ok("mount", f"{where}, with the options that are recommended")]
    return [AREA.ok("mount", where), AREA.warn("mount options", _tell(lacks), remedy)]


def sshfs_lacks(options: dict[str, str]) -> list[Lack]:
    """List what a mount by sshfs lacks. Options of ssh may also stand in a configuration file of ssh, which
    cannot be seen from here."""
    lacks = []
    if "reconnect" not in options:
        lacks.append(
            Lack("reconnect", "a broken connection leaves an empty local folder in the drive's place")
        )
    if options.get("dir_cache", options.get("cache", "yes")) not in _OFF:
        late = options.get("dcache_dir_timeout") or options.get("dcache_timeout") or _SSHFS_CACHE_S
        lacks.append(Lack("dir_cache=no", f"what other hosts write is listed up to {late} s late"))
    wished = ("ServerAliveInterval", "ServerAliveCountMax", "ConnectTimeout")
    if missing := [name for name in wished if name not in options]:
        wanted = ",".join(w for w in SSHFS_OPTIONS.split(",") if w.partition("=")[0] in missing)
        lacks.append(Lack(wanted, "a dead connection hangs for minutes (unless ssh_config says so)"))
    if "rename" in options.get("workaround", "").split(":"):
        lacks.append(Lack("no workaround=rename", "a replaced file is missing for a moment"))
    return lacks


def _judge_nfs(mount: Mount) -> list[Finding]:
    options = parse_options(mount.options)
    where = f"NFS {options.get('vers', '?')} from {mount.source}"
    lacks = nfs_lacks(options)
    if not lacks:
        return [AREA.ok("mount", f"{where}, with the options that are recommended")]
    return [AREA.ok("mount", where), AREA.warn("mount options", _tell(lacks), mount_again(mount))]


def nfs_lacks(options: dict[str, str]) -> list[Lack]:
    """List what a mount by NFS lacks. The kernel shows lookupcache=positive as lookupcache=pos, and actimeo
    as its four parts."""
    lacks = []
    if _version(options.get("vers", "")) < _NFS_MAJOR_MINOR:
        lacks.append(Lack("vers=4.2", "older versions than 4.1 were never tested"))
    if "soft" in options:
        lacks.append(Lack("hard", "a slow server makes writes fail half-way"))
    if "noac" in options:
        return lacks
    if options.get("lookupcache", "all") not in ("pos", "positive", "none"):
        lacks.append(Lack("lookupcache=positive", "a name once seen missing stays missing for up to 30 s"))
    longest = max(_seconds(options, "acdirmax", 60), _seconds(options, "acregmax", 60))
    if longest > 1:
        lacks.append(Lack("actimeo=1", f"what other hosts write is seen up to {longest} s late"))
    return lacks


def _seconds(options: dict[str, str], name: str, without: int) -> int:
    text = options.get(name) or options.get("actimeo", "")
    return int(text) if text.isdigit() else without


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit()) or (0,)


def _tell(lacks: Sequence[Lack]) -> str:
    return "; ".join(f"without {lack.option}, {lack.follows}" for lack in lacks)


def mount_again(mount: Mount) -> str:
    """Return the commands that mount a network drive as recommended."""
    point, source = shlex.quote(mount.point), shlex.quote(mount.source)
    if mount.type == "fuse.sshfs":
        return f"fusermount3 -uz {point} && sshfs {source} {point} -o {SSHFS_OPTIONS}"
    if mount.type in ("nfs", "nfs4"):
        return f"umount {point} && mount -t nfs4 -o {NFS_OPTIONS} {source} {point}   # and in /etc/fstab"
    return f"umount -l {point} && mount {point}"


def is_read_only(mount: Mount) -> bool:
    """Tell whether the mount table says that nothing can be written."""
    return "ro" in (*mount.flags.split(","), *mount.options.split(","))
