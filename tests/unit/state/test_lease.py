import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest

from heliograph.drive import Drive
from heliograph.errors import LeaseHeld
from heliograph.names import host_name
from heliograph.state.lease import Lease, held, process_start, read_holder
from support.drives import NOW


def no_sleep(_: float) -> None:
    return None


def write_holder(drive: Drive, **changes: object) -> None:
    fields = {"host": "elsewhere", "pid": 1, "process_started": 1, "beat": 7}
    fields |= {"at": "2026-01-31T09:04:00.000Z"}
    drive.lease.mkdir(exist_ok=True)
    (drive.lease / "holder.json").write_text(json.dumps(fields | changes))


def test_one_holds_it_and_gives_it_back(drive: Drive) -> None:
    lease = Lease(drive)
    lease.take(NOW)
    holder = read_holder(drive)
    assert holder is not None
    assert (holder.host, holder.pid) == (host_name(), os.getpid())
    with pytest.raises(LeaseHeld, match=f"host {host_name()}, pid {os.getpid()}"):
        Lease(drive).take(NOW, wait_s=0)
    lease.release()
    assert not drive.lease.exists()
    Lease(drive).take(NOW)


def test_a_dead_process_of_this_host_is_succeeded_at_once(drive: Drive) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    started = process_start(child.pid) or 0
    child.wait()
    write_holder(drive, host=host_name(), pid=child.pid, process_started=started)
    Lease(drive).take(NOW, wait_s=0)


def test_a_pid_that_was_used_again_is_not_the_holder(drive: Drive) -> None:
    write_holder(drive, host=host_name(), pid=os.getppid(), process_started=-1)
    Lease(drive).take(NOW, wait_s=0)


def test_another_host_lives_while_its_counter_beats(drive: Drive) -> None:
    write_holder(drive)

    def beats(_: float) -> None:
        write_holder(drive, beat=8)

    with pytest.raises(LeaseHeld, match="host elsewhere, pid 1, last seen 60 s ago"):
        Lease(drive).take(NOW, wait_s=30, sleep=beats)
    lease = Lease(drive)
    lease.take(NOW + timedelta(seconds=60), wait_s=30, sleep=no_sleep)
    assert lease.is_ours()


def test_a_clock_that_is_far_off_does_no_harm(drive: Drive) -> None:
    write_holder(drive, at="2031-01-01T00:00:00.000Z")

    def beats(_: float) -> None:
        write_holder(drive, beat=8, at="1999-01-01T00:00:00.000Z")

    with pytest.raises(LeaseHeld):
        Lease(drive).take(NOW, wait_s=30, sleep=beats)


def test_a_moment_is_not_taken_from_a_holder_elsewhere(drive: Drive) -> None:
    write_holder(drive)
    with pytest.raises(LeaseHeld), held(drive, NOW):
        pass


def test_a_holder_that_was_succeeded_notices(drive: Drive) -> None:
    lease = Lease(drive)
    lease.take(NOW)
    write_holder(drive)
    with pytest.raises(LeaseHeld, match="elsewhere"):
        lease.check()
    lease.release()
    assert drive.lease.exists(), "it is no longer ours to give back"


def test_what_cannot_be_read_says_nothing(drive: Drive) -> None:
    lease = Lease(drive)
    lease.take(NOW)
    (drive.lease / "holder.json").write_text('{"host": ')
    lease.check()


def test_a_process_that_waits_to_be_reaped_is_gone(drive: Drive) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = process_start(child.pid)
    assert started is not None
    assert child.stdin is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process_start(child.pid) is None
    write_holder(drive, host=host_name(), pid=child.pid, process_started=started)
    Lease(drive).take(NOW, wait_s=0)
    child.wait()
