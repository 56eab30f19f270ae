"""The lab itself: hosts that share a drive and nothing else, and an end that leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support import hosts_files as files
from support.hosts import HANGING, HostLab
from support.slurm_lab import wait_until

# Starts a lab, a process on a host that hangs in the drive, and says what a killed test leaves behind.
LAB = """
import os, sys
from support.hosts import HANGING, HostLab
lab = HostLab(*HANGING)
lab.start()
frozen = lab.nas.frozen()
frozen.__enter__()
lab.ssrde.start("ls", "-la", f"{lab.here}/drive")
print(lab.folder, *(host.pid for host in (lab.switch, lab.nas, *lab.hosts)), flush=True)
sys.stdin.read()
"""


def test_a_host_has_a_name_a_network_and_mounts_of_its_own(lab: HostLab) -> None:
    for host in lab.hosts:
        assert host.run("cat", "/proc/sys/kernel/hostname").stdout.strip() == host.name
        host.run("sh", "-c", f"echo {host.name} > {lab.here}/drive/{host.name} && touch {lab.here}/local")
    assert {path.name for path in lab.store.iterdir()} == {"wild_west", "SSRDE", "monitoring"}
    assert (lab.ssrde.own / "local").exists()
    assert str(lab.folder) not in Path("/proc/self/mountinfo").read_text()


def test_a_disk_that_is_full_or_read_only_takes_nothing(lab: HostLab) -> None:
    write = "import os; f = open(os.environ['SHARED_DRIVE'] + '/new', 'wb'); f.write(b'1'); f.close()"
    for trouble in (lab.full(), lab.read_only(), lab.wild_west.read_only()):
        with trouble:
            assert lab.wild_west.python(write, check=False).returncode == 1
        lab.wild_west.python(write)


def test_a_cut_link_and_its_mend(lab: HostLab) -> None:
    with lab.ssrde.cut():
        assert lab.ssrde.run("ls", lab.here / "drive", check=False).returncode != 0
        lab.wild_west.run("ls", lab.here / "drive")
    lab.wait_until(
        lambda: lab.ssrde.run("ls", lab.here / "drive", check=False).returncode == 0, "SSRDE is back"
    )


@pytest.mark.parametrize("lab", [HANGING], ids=["hanging"], indirect=True)
def test_nothing_is_left_of_a_lab_whose_test_was_killed(lab: HostLab) -> None:
    """A process of the killed lab hangs in its drive, where SIGKILL does not end it. Another lab lives on."""
    environ = os.environ | {
        "PYTHONPATH": f"{Path(files.__file__).parents[1]}:{os.environ.get('PYTHONPATH', '')}"
    }
    test = subprocess.Popen(
        [sys.executable, "-c", LAB], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert test.stdin is not None
    assert test.stdout is not None
    with test.stdin, test.stdout:
        folder, *pids = test.stdout.readline().split()
        namespaces = {files.namespace_of(pid) for pid in pids}
        assert None not in namespaces
        assert len(namespaces) == 5
        test.send_signal(signal.SIGKILL)
        test.wait(60)
        wait_until(lambda: not Path(folder).exists(), "the guard has removed the lab")
    assert not any(files.namespace_of(pid.name) in namespaces for pid in Path("/proc").glob("[0-9]*"))
    lab.ssrde.run("ls", lab.here / "drive")
