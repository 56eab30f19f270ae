"""The doctor on a local drive, on one that is read-only or none, and on a host that lacks things."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.doctor.finding import Context
from heliograph.doctor.guard import examine_guarded
from heliograph.drive import Drive
from heliograph.drive_setup import set_up_drive
from heliograph.names import utc_now
from heliograph.state.lease import held
from support.doctoring import doctor, start_doctor
from support.slurm_lab import wait_until


@pytest.fixture
def whole_drive(tmp_path: Path) -> Drive:
    """A drive as `heliograph init` makes it."""
    drive = Drive(tmp_path / "drive")
    set_up_drive(drive, utc_now())
    return drive


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_local_drive_is_well_and_nothing_is_left_on_it(whole_drive: Drive) -> None:
    before = everything_below(whole_drive.root)
    told = doctor(whole_drive.root, "drive", "limits", "python")
    semantics = ("whole files", "one winner", "names", "clock", "file events", "speed")
    assert {told.verdicts("drive")[check] for check in ("mount", "identity", "access", *semantics)} == {"ok"}
    assert told.verdicts("limits")["file events"] == "ok"
    assert told.verdicts("python")["python"] == "ok"
    assert everything_below(whole_drive.root) == before


def test_what_a_role_has_no_use_for_is_not_looked_at(whole_drive: Drive) -> None:
    told = doctor(whole_drive.root, "--role", "monitoring")
    assert {finding.area for finding in told.findings} == {"drive", "watcher", "mlflow", "python", "limits"}
    assert told.verdicts("drive")["access"] == "warn", "monitoring needs to read only"
    assert "whole files" not in told.verdicts("drive"), "so it does not even try"


def test_a_folder_that_is_no_drive_is_told_and_not_written_to(tmp_path: Path) -> None:
    told = doctor(tmp_path, "--role", "monitoring")
    assert told.exit_code == 10
    assert told.verdicts("drive") == {"mount": "ok", "identity": "bad"}
    assert told.verdicts("watcher") == {"watcher": "skipped"}
    assert [path.name for path in tmp_path.iterdir() if path.name != "local-state"] == []


def test_a_missing_folder_is_bad(whole_drive: Drive) -> None:
    whole_drive.stage_logs("training").rmdir()
    told = doctor(whole_drive.root, "drive", "--role", "wild_west")
    assert told.exit_code == 10
    assert told.of("drive")["access"].told == "missing: logs/training/"
    assert told.verdicts("drive")["whole files"] == "ok"


@pytest.fixture
def read_only(whole_drive: Drive, tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("a read-only mount needs root")
    point = tmp_path / "read-only"
    point.mkdir()
    subprocess.run(["mount", "--bind", whole_drive.root, point], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", point], check=True)
        yield point
    finally:
        subprocess.run(["umount", point], check=True)


def test_a_read_only_drive_is_all_that_monitoring_needs_and_not_enough_for_others(read_only: Path) -> None:
    assert doctor(read_only, "drive", "--role", "monitoring").verdicts("drive")["access"] == "ok"
    told = doctor(read_only, "drive", "--role", "wild_west")
    assert told.exit_code == 10
    assert told.of("drive")["access"].remedy == f"mount -o remount,rw {read_only}"
    assert told.verdicts("drive")["semantics"] == "skipped"


def test_r_and_all_it_needs_are_here(whole_drive: Drive) -> None:
    told = doctor(whole_drive.root, "analysis").of("analysis")
    assert {check: told[check].verdict for check in ("R", "packages", "pandoc", "DuckDB", "WeasyPrint")} == {
        "R": "ok",
        "packages": "ok",
        "pandoc": "ok",
        "DuckDB": "ok",
        "WeasyPrint": "ok",
    }
    assert told["R"].told[0].isdigit()


def test_missing_programs_are_told_with_what_to_install(whole_drive: Drive, tmp_path: Path) -> None:
    environ = os.environ | {"PATH": str(tmp_path)}
    told = doctor(whole_drive.root, "analysis", "slurm", environ=environ)
    assert told.exit_code == 10
    assert told.of("analysis")["R"].remedy.startswith("apt install r-base-core ")
    assert told.verdicts("analysis")["pandoc"] == "bad"
    assert told.verdicts("slurm") == {"commands": "skipped"}, "then jobs run on this host"


def test_a_broken_configuration_is_told_by_every_area_that_needs_it(whole_drive: Drive) -> None:
    whole_drive.watcher_config.write_text("slurm: {polll: 1}\n")
    told = doctor(whole_drive.root, "slurm", "watcher")
    assert told.of("watcher")["watcher.yaml"].told.endswith("slurm.polll: unknown key, found 'polll'")
    assert told.verdicts("slurm") == {"configuration": "bad"}


def test_a_data_set_that_is_not_there_is_bad(whole_drive: Drive) -> None:
    (whole_drive.dataset_configs / "pairs.yaml").write_text(
        "name: pairs\ntask: minimal_pairs\nformat: blimp\ndata: nowhere.jsonl\n"
    )
    finding = doctor(whole_drive.root, "watcher").of("watcher")["pairs.yaml"]
    assert finding.verdict == "bad" and "does not exist" in finding.told


def test_a_watcher_that_runs_is_told(whole_drive: Drive) -> None:
    with held(whole_drive, utc_now()):
        told = doctor(whole_drive.root, "watcher").of("watcher")
    assert told["lease"].verdict == "ok" and f"pid {os.getpid()}" in told["lease"].told
    assert [told[check].verdict for check in ("inbox", "quarantine", "published")] == ["ok"] * 3
    assert told["databases"].verdict == "ok"
    assert doctor(whole_drive.root, "watcher").verdicts("watcher")["lease"] == "warn"


def test_ctrl_c_ends_it_and_takes_away_what_was_written(whole_drive: Drive) -> None:
    before = everything_below(whole_drive.root)
    process = start_doctor(whole_drive.root, "--peer", "--seconds", "600")
    wait_until(lambda: any(whole_drive.doctor.glob("*.peer/listed/*.json")), "the peer has written a note")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    assert everything_below(whole_drive.root) == before


def test_one_that_is_killed_leaves_nothing_behind_either(whole_drive: Drive) -> None:
    """Its child finds that nobody listens any more."""
    before = everything_below(whole_drive.root)
    process = start_doctor(whole_drive.root, "--peer", "--seconds", "600")
    wait_until(lambda: any(whole_drive.doctor.glob("*.peer/listed/*.json")), "the peer has written a note")
    process.kill()
    process.communicate()
    wait_until(lambda: not whole_drive.doctor.exists(), "the child has cleaned up")
    assert everything_below(whole_drive.root) == before


def test_an_examination_that_breaks_is_a_finding(whole_drive: Drive) -> None:
    (finding,) = examine_guarded("no_such_area", Context(str(whole_drive.root)), 20.0)
    assert finding.verdict == "bad"
    assert "No module named 'heliograph.doctor.no_such_area'" in finding.told


def test_a_step_that_is_silent_for_too_long_is_given_up(whole_drive: Drive) -> None:
    """R takes longer than this to start."""
    findings = list(examine_guarded("analysis", Context(str(whole_drive.root)), 0.001))
    assert findings[-1].verdict == "bad" and "it hangs" in findings[-1].told


def test_in_a_terminal_bad_things_stand_last_with_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "heliograph", "--drive", str(tmp_path), "doctor", "--role", "wild_west"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 10
    lines = result.stdout.splitlines()
    assert any(line.startswith("  ✗ bad      identity        ") for line in lines)
    start = lines.index("✗ bad      drive: identity")
    assert any(line.startswith("           → mount ") for line in lines[start:])
    assert "\x1b" not in result.stdout
    assert not [line for line in lines if line != line.rstrip()]


def test_a_wrong_area_is_told_with_the_right_ones() -> None:
    command = [sys.executable, "-m", "heliograph", "doctor", "dirve"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "there is no area 'dirve'; there are drive, slurm" in result.stderr
