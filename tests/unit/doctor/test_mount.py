"""What a mount is said to be, and to lack."""

from pathlib import Path

import pytest

from heliograph.doctor import mount
from heliograph.mounts import Mount

SSHFS = Mount("/mnt/shared", "fuse.sshfs", "me@filer:/export", "rw,user_id=0,group_id=0", "rw,nosuid")
ALL = mount.parse_options(mount.SSHFS_OPTIONS)
GOOD_NFS = "rw,vers=4.2,hard,lookupcache=pos,acregmin=1,acregmax=1,acdirmin=1,acdirmax=1"


def nfs(options: str) -> Mount:
    return Mount("/mnt/shared", "nfs4", "filer:/export", options)


def test_options_are_read_from_both_spellings_of_o() -> None:
    argv = ["sshfs", "-o", "reconnect,port=22", "a:/b", "/mnt", "-oallow_other", "-f"]
    assert mount.options_of(argv) == {"reconnect": "", "port": "22", "allow_other": ""}


@pytest.mark.parametrize("point", ["/mnt/shared", "/mnt/shared/", "shared"])
def test_the_sshfs_of_a_mount_is_found_among_all_processes(point: str) -> None:
    others = [["bash"], [], ["sshfs", "me@filer:/export", "/mnt/other", "-oreconnect"], ["ssh", "me@filer"]]
    ours = ["/usr/bin/sshfs", "me@filer:/export", point, "-o", "dir_cache=no"]
    assert mount.find_sshfs(SSHFS, [*others, ours]) == {"dir_cache": "no"}
    assert mount.find_sshfs(SSHFS, others) is None


def test_our_own_command_line_is_among_those_of_all_processes() -> None:
    own = Path("/proc/self/cmdline").read_bytes().split(b"\0")[0].decode()
    assert any(line[:1] == [own] for line in mount.command_lines())


def test_a_tuned_sshfs_lacks_nothing() -> None:
    assert mount.sshfs_lacks(ALL) == []
    assert [f.verdict for f in mount.judge_mount(SSHFS, ALL)] == ["ok"]


@pytest.mark.parametrize(
    ("change", "lack"),
    [
        ({"reconnect": None}, "reconnect"),
        ({"dir_cache": None}, "dir_cache=no"),
        ({"dir_cache": "yes"}, "dir_cache=no"),
        ({"ServerAliveInterval": None}, "ServerAliveInterval=5"),
        ({"ServerAliveCountMax": None, "ConnectTimeout": None}, "ServerAliveCountMax=2,ConnectTimeout=5"),
        ({"workaround": "nonodelay:rename"}, "no workaround=rename"),
    ],
)
def test_each_option_that_sshfs_lacks_is_named(change: dict[str, str | None], lack: str) -> None:
    options = {name: value for name, value in (ALL | change).items() if value is not None}
    assert [found.option for found in mount.sshfs_lacks(options)] == [lack]
    _, warning = mount.judge_mount(SSHFS, options)
    assert (warning.verdict, warning.check) == ("warn", "mount options")
    assert warning.remedy.endswith(f"sshfs me@filer:/export /mnt/shared -o {mount.SSHFS_OPTIONS}")


def test_how_late_names_are_listed_is_told_as_it_is_set() -> None:
    assert "up to 20 s late" in mount.sshfs_lacks({**ALL, "dir_cache": "yes"})[0].follows
    assert (
        "up to 3 s late" in mount.sshfs_lacks({**ALL, "dir_cache": "yes", "dcache_timeout": "3"})[0].follows
    )


def test_an_older_sshfs_calls_the_same_option_cache() -> None:
    options = {name: value for name, value in ALL.items() if name != "dir_cache"} | {"cache": "no"}
    assert mount.sshfs_lacks(options) == []


def test_an_sshfs_that_cannot_be_seen_is_no_good_one() -> None:
    (finding,) = mount.judge_mount(SSHFS, None)
    assert finding.verdict == "warn"
    assert "no sshfs process" in finding.told


@pytest.mark.parametrize(
    "options", [GOOD_NFS, "rw,vers=4.1,hard,lookupcache=positive,actimeo=1", "rw,vers=4.2,hard,noac"]
)
def test_a_tuned_nfs_lacks_nothing(options: str) -> None:
    assert [f.verdict for f in mount.judge_mount(nfs(options))] == ["ok"]


@pytest.mark.parametrize(
    ("options", "lack"),
    [
        (GOOD_NFS.replace("vers=4.2", "vers=4.0"), "vers=4.2"),
        (GOOD_NFS.replace("vers=4.2", "vers=3"), "vers=4.2"),
        (GOOD_NFS.replace("hard", "soft"), "hard"),
        (GOOD_NFS.replace("lookupcache=pos,", ""), "lookupcache=positive"),
        (GOOD_NFS.replace("acdirmax=1", "acdirmax=60"), "actimeo=1"),
    ],
)
def test_each_option_that_nfs_lacks_is_named(options: str, lack: str) -> None:
    assert [found.option for found in mount.nfs_lacks(mount.parse_options(options))] == [lack]
    assert "mount -t nfs4 -o vers=4.2,hard" in mount.judge_mount(nfs(options))[1].remedy


def test_an_nfs_mounted_without_options_lacks_two() -> None:
    lacks = mount.nfs_lacks(mount.parse_options("rw,relatime,vers=4.2,rsize=1048576,hard,proto=tcp"))
    assert [(found.option, "up to" in found.follows) for found in lacks] == [
        ("lookupcache=positive", True),
        ("actimeo=1", True),
    ]


@pytest.mark.parametrize("kind", ["cifs", "9p", "lustre", "ceph", "nextgenfs"])
def test_other_network_drives_are_told_as_untested(kind: str) -> None:
    (finding,) = mount.judge_mount(Mount("/mnt/x", kind, "//srv/x", "rw"))
    assert finding.verdict == "warn"
    assert "never tested" in finding.told and "--peer" in finding.remedy


def test_a_local_disk_is_well() -> None:
    assert mount.judge_mount(Mount("/", "ext4", "/dev/sda1", "rw"))[0].verdict == "ok"


def test_a_remedy_quotes_what_a_shell_would_split() -> None:
    spaced = Mount("/mnt/with space", "fuse.sshfs", "me@filer:/a b", "rw")
    assert "fusermount3 -uz '/mnt/with space' && sshfs 'me@filer:/a b'" in mount.mount_again(spaced)


@pytest.mark.parametrize(
    ("flags", "options", "read_only"), [("rw", "rw", False), ("ro,nosuid", "rw", True), ("rw", "ro", True)]
)
def test_read_only_is_told_by_the_mount_or_the_file_system(flags: str, options: str, read_only: bool) -> None:
    assert mount.is_read_only(Mount("/", "ext4", "/dev/sda1", options, flags)) is read_only
