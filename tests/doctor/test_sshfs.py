"""The doctor on a real network drive: sshfs mounts of a private sshd, well, badly mounted and hanging."""

from __future__ import annotations

from pathlib import Path

import pytest

from heliograph.doctor.mount import SSHFS_OPTIONS
from support.doctoring import doctor, read_doctor, start_doctor
from support.drives import make_drive
from support.slurm_lab import wait_until
from support.sshfs_lab import TUNED, SshfsLab


def test_the_lab_mounts_as_the_doctor_recommends() -> None:
    assert TUNED == SSHFS_OPTIONS


def test_a_tuned_mount_passes_every_trial(sshfs_lab: SshfsLab) -> None:
    point = sshfs_lab.mount("tuned")
    make_drive(point)
    told = doctor(point, "drive")
    trials = ("mount", "access", "whole files", "one winner", "names", "clock", "file events")
    assert {check: told.verdicts("drive")[check] for check in trials} == dict.fromkeys(trials, "ok")
    assert "mount options" not in told.verdicts("drive")
    assert not (point / "state" / "doctor").exists()


def test_a_bare_mount_is_told_what_it_lacks(sshfs_lab: SshfsLab) -> None:
    point = sshfs_lab.mount("bare", options="")
    make_drive(point)
    options = doctor(point, "drive").of("drive")["mount options"]
    assert options.verdict == "warn"
    assert "without reconnect" in options.told and "without dir_cache=no" in options.told
    assert options.remedy.endswith(f" {point} -o {SSHFS_OPTIONS}")


def test_live_databases_on_a_network_drive_are_bad(
    sshfs_lab: SshfsLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = sshfs_lab.mount("tuned")
    make_drive(point)
    monkeypatch.setenv("HELIOGRAPH_STATE", str(point / "state" / "live"))
    told = doctor(point, "drive", "--role", "ssrde")
    assert told.verdicts("drive")["local state"] == "bad"
    assert told.exit_code == 10


def test_a_drive_that_hangs_is_told_and_nothing_else_hangs(sshfs_lab: SshfsLab) -> None:
    """The process that touches it cannot be ended even by SIGKILL; the doctor leaves it behind."""
    point = sshfs_lab.mount("tuned")
    make_drive(point)
    with sshfs_lab.frozen(point):
        told = doctor(point)
        asked_apart = doctor(point, "watcher")
    identity = told.of("drive")["identity"]
    assert identity.verdict == "bad" and "it hangs" in identity.told
    assert identity.remedy.startswith(f"fusermount3 -uz {point} && sshfs ")
    assert told.verdicts("drive")["mount"] == "ok", "the mount table answers all the same"
    assert {told.verdicts(area)[area] for area in ("slurm", "watcher", "mlflow")} == {"skipped"}
    assert told.verdicts("python")["python"] == "ok"
    assert told.exit_code == 10
    assert asked_apart.verdicts("drive") == {"identity": "bad"}
    assert asked_apart.verdicts("watcher") == {"watcher": "skipped"}


def test_a_drive_that_answers_again_is_well_again(sshfs_lab: SshfsLab) -> None:
    point = sshfs_lab.mount("tuned")
    make_drive(point)
    with sshfs_lab.frozen(point):
        assert doctor(point, "drive").exit_code == 10
    assert doctor(point, "drive").verdicts("drive")["whole files"] == "ok"


def meet(here: Path, there: Path, seconds: int) -> None:
    """Let the doctors of two mounts measure each other, and check what both say."""
    other = start_doctor(there, "--peer", "--seconds", str(seconds))
    told = doctor(here, "--peer", "--seconds", str(seconds))
    for found in (told, read_doctor(other)):
        verdicts = found.verdicts("peer")
        assert verdicts == {
            "clocks": "ok",
            "new names": "ok",
            "missing names": "ok",
            "one winner": "ok",
        }, found.of("peer")


def test_two_mounts_measure_each_other(sshfs_lab: SshfsLab) -> None:
    here, there = sshfs_lab.mount("here"), sshfs_lab.mount("there")
    make_drive(here)
    meet(here, there, 8)
    assert not (here / "state" / "doctor").exists()


@pytest.mark.slow
def test_a_mount_with_a_cache_of_folders_sees_new_names_late(sshfs_lab: SshfsLab) -> None:
    here, late = sshfs_lab.mount("here"), sshfs_lab.mount("late", options="")
    make_drive(here)
    other = start_doctor(late, "--peer", "--seconds", "50")
    told = doctor(here, "--peer", "--seconds", "50").of("peer")
    assert told["new names"].verdict == "warn", "listed up to 20 s late"
    assert "dir_cache=no" in told["new names"].remedy
    assert told["missing names"].verdict == "ok", "what is opened by its name is found at once"
    assert read_doctor(other).verdicts("peer")["new names"] == "warn"


def test_a_drive_that_begins_to_hang_is_told_and_cleaned_up_later(sshfs_lab: SshfsLab) -> None:
    point = sshfs_lab.mount("tuned")
    make_drive(point)
    process = start_doctor(point, "--peer", "--seconds", "60")
    left = sshfs_lab.export / "state" / "doctor"
    wait_until(lambda: any(left.glob("*.peer/listed/*.json")), "the peer has written a note")
    with sshfs_lab.frozen(point):
        told = read_doctor(process)
    assert told.of("peer")["peer"].verdict == "bad" and "it hangs" in told.of("peer")["peer"].told
    assert left.exists()
    assert doctor(point, "drive").verdicts("drive")["whole files"] == "ok"
    assert not left.exists()


def test_alone_is_told(sshfs_lab: SshfsLab) -> None:
    point = sshfs_lab.mount("tuned")
    make_drive(point)
    finding = doctor(point, "--peer", "--seconds", "2").of("peer")["peer"]
    assert finding.verdict == "warn" and "no other host was seen" in finding.told
