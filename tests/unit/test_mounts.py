from pathlib import Path

import pytest

from heliograph import mounts
from heliograph.mounts import Mount, find_mount, mount_of, parse_mounts

TABLE = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:26 / /mnt/shared rw,nosuid - nfs4 filer:/export rw,vers=4.2,lookupcache=positive
31 22 0:27 / /mnt/with\040space rw - fuse.sshfs me@host:/ rw,user_id=0
32 22 0:28 / /mnt/over rw - tmpfs tmpfs rw
33 22 0:29 / /mnt/over rw - cifs //srv/share rw
34 22 0:30 / /mnt/odd rw - nextgenfs thing rw
"""


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/home/x", "ext4", False),
        ("/mnt/shared", "nfs4", True),
        ("/mnt/shared/subject-drop", "nfs4", True),
        ("/mnt/shared-but-other", "ext4", False),
        ("/mnt/with space/a", "fuse.sshfs", True),
        ("/mnt/over/a", "cifs", True),
        ("/mnt/odd", "nextgenfs", True),
    ],
)
def test_the_mount_of_a_path_is_told_from_the_table(path: str, kind: str, network: bool) -> None:
    mount = find_mount(Path(path), parse_mounts(TABLE))
    assert mount is not None
    assert (mount.type, mount.is_network) == (kind, network)


def test_this_machine_has_a_table(tmp_path: Path) -> None:
    assert mount_of(tmp_path).type != "unknown"


def test_a_mount_that_is_another_now_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = {"now": Mount("/mnt/shared", "fuse.sshfs", "nas:/lab", "rw")}
    monkeypatch.setattr(mounts, "mount_of", lambda _: table["now"])
    watch = mounts.MountWatch(Path("/mnt/shared/subject-drop"))
    assert watch.trouble() is None
    table["now"] = Mount("/mnt/shared", "fuse.sshfs", "nas:/lab", "ro,reconnected")
    assert watch.trouble() is None, "the same drive with other options"
    table["now"] = Mount("/", "ext4", "/dev/vda1", "rw")
    assert watch.trouble() == "it was mounted from nas:/lab (fuse.sshfs), and now it is a part of / (ext4)"
