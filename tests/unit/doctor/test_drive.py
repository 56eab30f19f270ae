"""What is said of a drive, from facts; and what the probes find on a real one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from heliograph.doctor import drive as judge
from heliograph.doctor import semantics
from heliograph.doctor.finding import Role
from heliograph.doctor.scratch import homes, remove_left_behind, scratch
from heliograph.drive import Drive
from heliograph.mounts import Mount
from heliograph.names import host_name

EXT4 = Mount("/", "ext4", "/dev/sda1", "rw")
SSHFS = Mount("/mnt/x", "fuse.sshfs", "a:/b", "rw")


def test_an_empty_local_folder_may_be_an_unmounted_drive() -> None:
    local = judge.judge_missing_id(Path("/mnt/x"), EXT4)
    assert local.verdict == "bad" and "local disk" in local.told and "heliograph init" in local.remedy
    assert "local disk" not in judge.judge_missing_id(Path("/mnt/x"), SSHFS).told


@pytest.mark.parametrize(
    ("space", "verdict", "told"),
    [
        (judge.Space("/x", 100, 1000, 100, 1000), "ok", "(10 %)"),
        (judge.Space("/x", 99, 1000, 100, 1000), "bad", "(10 %)"),
        (judge.Space("/x", 500, 1000, 99, 1000), "bad", "inodes"),
        (judge.Space("/x", 500, 1000, 0, 0), "ok", "(50 %)"),
        (judge.Space("/x", 0, 0, 0, 0), "ok", "0.0 GB"),
    ],
)
def test_less_than_a_tenth_of_space_or_inodes_is_bad(space: judge.Space, verdict: str, told: str) -> None:
    (finding,) = judge.judge_space(space)
    assert finding.verdict == verdict
    assert told in finding.told


def test_a_large_local_disk_still_needs_some_bytes() -> None:
    assert judge.judge_space(judge.Space("/x", 900, 1000, 9, 10), "local space", 901)[0].verdict == "bad"


@pytest.mark.parametrize(
    ("role", "errors", "read_only", "verdict", "told"),
    [
        ("ssrde", {"models": "", "logs": ""}, False, "ok", "all 2 folders"),
        ("ssrde", {"models": "", "logs": "EACCES"}, False, "bad", "logs/ (EACCES)"),
        ("wild_west", {"models": "ENOENT"}, False, "bad", "missing: models/"),
        ("wild_west", {"models": "EROFS"}, False, "bad", "read-only"),
        ("all", {"models": "EACCES"}, True, "bad", "read-only"),
        ("monitoring", {"models": "EROFS", "config": "EACCES"}, True, "ok", "read-only"),
        ("monitoring", {"models": "", "config": "EACCES"}, False, "warn", "write to models/;"),
    ],
)
def test_access_is_judged_by_what_a_role_needs(
    role: Role, errors: dict[str, str], read_only: bool, verdict: str, told: str
) -> None:
    finding = judge.judge_access(judge.Access(read_only, errors), role, Path("/mnt/x"))
    assert finding.verdict == verdict
    assert told in finding.told
    assert bool(finding.remedy) == (verdict != "ok")


def test_a_role_writes_where_it_has_work(drive: Drive) -> None:
    wild_west = {str(p.relative_to(drive.root)) for p in judge.needed_folders(drive, "wild_west")}
    assert wild_west == {"models", "state/inbox", "logs/training"}
    assert judge.needed_folders(drive, "ssrde") == drive.folders()


def test_the_access_probe_tells_the_errors_and_leaves_nothing(drive: Drive) -> None:
    drive.stage_logs("training").rmdir()
    access = judge.probe_access(drive, "wild_west")
    assert access.folders == {"models": "", "state/inbox": "", "logs/training": "ENOENT"}
    assert [*drive.models.iterdir(), *drive.inbox.iterdir()] == []


@pytest.mark.parametrize(
    ("is_network", "heard", "verdict"), [(True, None, "ok"), (False, True, "ok"), (False, False, "warn")]
)
def test_file_events_are_expected_of_a_local_drive_only(
    is_network: bool, heard: bool | None, verdict: str
) -> None:
    assert judge.judge_file_events(is_network, heard).verdict == verdict


@pytest.mark.parametrize(
    ("mount", "role", "verdict"),
    [(EXT4, "ssrde", "ok"), (SSHFS, "ssrde", "bad"), (SSHFS, "all", "bad"), (SSHFS, "wild_west", "warn")],
)
def test_live_databases_stand_on_a_local_disk(mount: Mount, role: Role, verdict: str) -> None:
    assert judge.judge_local_state("/home/me/.local/state", mount, role).verdict == verdict


@pytest.mark.parametrize(
    ("whole", "verdict", "told"),
    [
        (semantics.Whole(), "ok", ""),
        (semantics.Whole(rename_over="EPERM"), "bad", "posix-rename"),
        (semantics.Whole(fsync_file="EIO"), "bad", "fsync: EIO"),
        (semantics.Whole(rename_new="EXDEV", rename_over="EPERM"), "bad", "rename: EXDEV"),
        (semantics.Whole(fsync_folder="EIO"), "bad", "fsync of a folder"),
        (semantics.Whole(content_is_new=False), "bad", "old content"),
    ],
)
def test_whole_files_need_every_step(whole: semantics.Whole, verdict: str, told: str) -> None:
    finding = semantics.judge_whole(whole)
    assert finding.verdict == verdict
    assert told in finding.told


@pytest.mark.parametrize(
    ("race", "verdict"),
    [
        (semantics.Race([1, 1], [1, 1]), "ok"),
        (semantics.Race([1, 2], [1, 1]), "bad"),
        (semantics.Race([1, 1], [0, 1]), "bad"),
    ],
)
def test_a_race_has_one_winner(race: semantics.Race, verdict: str) -> None:
    assert semantics.judge_race(race).verdict == verdict


@pytest.mark.parametrize(
    ("names", "verdict", "told"),
    [
        (semantics.Names(case=True, unicode=True), "ok", ""),
        (semantics.Names(case=False, unicode=True), "warn", "by case only"),
        (semantics.Names(case=False, unicode=False), "warn", "by case or form of Unicode only"),
        (semantics.Names(case=True, unicode=True, long="ENAMETOOLONG"), "bad", "ENAMETOOLONG"),
    ],
)
def test_names_are_kept_apart(names: semantics.Names, verdict: str, told: str) -> None:
    finding = semantics.judge_names(names)
    assert finding.verdict == verdict
    assert told in finding.told


@pytest.mark.parametrize(
    ("before", "mtime", "after", "skew"),
    [
        (100.2, 100.25, 100.3, 0.0),
        (100.2, 100.0, 100.3, 0.0),  # whole seconds, cut off
        (100.2, 90.0, 100.3, -9.2),
        (100.2, 90.5, 100.3, -9.7),
        (100.2, 110.3, 100.3, 10.0),
    ],
)
def test_the_skew_is_what_cannot_be_explained(before: float, mtime: float, after: float, skew: float) -> None:
    assert semantics.skew_s(semantics.Clock(before, mtime, after)) == pytest.approx(skew)


@pytest.mark.parametrize(
    ("mtime", "verdict", "told"),
    [
        (1000.5, "ok", "agree"),
        (990.5, "warn", "behind"),
        (1010.5, "warn", "ahead of"),
        (1400.5, "bad", "too early"),
    ],
)
def test_a_skew_is_told_and_a_large_one_is_bad(mtime: float, verdict: str, told: str) -> None:
    finding = semantics.judge_clock(semantics.Clock(1000.0, mtime, 1000.9))
    assert finding.verdict == verdict
    assert told in finding.told


@pytest.mark.parametrize(
    ("speed", "verdict", "told"),
    [
        (semantics.Speed(0.002, 0.01, 3), "ok", "2.0 ms"),
        (semantics.Speed(1.5, 0.01, 3), "warn", "1.5 s"),
        (semantics.Speed(0.002, 1.2, 3), "warn", "does not manage"),
    ],
)
def test_a_slow_drive_is_told(speed: semantics.Speed, verdict: str, told: str) -> None:
    finding = semantics.judge_speed(speed, inbox_every_s=1.0)
    assert finding.verdict == verdict
    assert told in finding.told


def test_a_local_disk_passes_every_trial(tmp_path: Path) -> None:
    assert semantics.judge_whole(semantics.probe_whole(tmp_path)).verdict == "ok"
    assert semantics.judge_race(semantics.probe_race(tmp_path)).verdict == "ok"
    assert semantics.judge_names(semantics.probe_names(tmp_path)).verdict == "ok"
    assert semantics.judge_clock(semantics.probe_clock(tmp_path)).verdict == "ok"
    assert judge.hears_files(tmp_path)


def test_the_scratch_folder_goes_and_takes_what_the_dead_left(tmp_path: Path) -> None:
    home = tmp_path / "doctor"
    dead = home / f"{host_name()}.{os.getpid()}.1.abcdef.drive"
    alive_elsewhere = home / "otherhost.17.1.abcdef.peer"
    dead.mkdir(parents=True)
    (dead / "file").write_bytes(b"")
    (home / "races" / "17").mkdir(parents=True)
    alive_elsewhere.mkdir()
    with pytest.raises(KeyboardInterrupt), scratch(home, "drive") as folder:
        assert folder.is_dir() and not dead.exists()
        remove_left_behind(home)
        assert folder.is_dir(), "ours is not what somebody left behind"
        raise KeyboardInterrupt
    assert sorted(home.iterdir()) == [alive_elsewhere, home / "races"]
    alive_elsewhere.rmdir()
    with scratch(home, "drive"):
        pass
    assert not home.exists()


def test_hidden_in_models_where_state_cannot_be_written(drive: Drive) -> None:
    assert homes(drive) == [drive.state / "doctor", drive.models / ".doctor"]
