"""The small parts: attempt, tools, R's log, the manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heliograph.analysis.attempt import read_attempt
from heliograph.analysis.manifest import read_manifest
from heliograph.analysis.process import TARGETS, target_begun
from heliograph.analysis.tools import R_PACKAGES, Tools, build_environment, find_tools
from heliograph.drive import Drive
from heliograph.errors import BadInput, BadName, MissingPart
from heliograph.files import sha256_file
from unit.analysis.conftest import make_attempt
from unit.analysis.evaluations import EXPERIMENT

JOB = {
    "HELIOGRAPH_TOKEN": "tok-1",
    "HELIOGRAPH_STAGE": "analysis",
    "HELIOGRAPH_EXPERIMENT": EXPERIMENT,
    "HELIOGRAPH_JOB_ID": "4711",
    "HELIOGRAPH_SIGNAL_SHA256": "ab",
}


def test_a_job_tells_its_attempt_by_the_environment() -> None:
    attempt = read_attempt(EXPERIMENT, JOB)
    assert (attempt.token, attempt.job_id, attempt.signal_sha256, attempt.by_hand) == (
        "tok-1",
        "4711",
        "ab",
        False,
    )


@pytest.mark.parametrize("changes", [{"HELIOGRAPH_STAGE": "evaluation"}, {"HELIOGRAPH_EXPERIMENT": "other"}])
def test_the_environment_of_another_job_makes_a_run_by_hand(changes: dict[str, str]) -> None:
    attempt = read_attempt(EXPERIMENT, JOB | changes)
    assert attempt.by_hand
    assert attempt.token.startswith("manual-")
    assert attempt.job_id == attempt.token
    assert read_attempt(EXPERIMENT, {}).token != attempt.token


def test_a_name_that_leads_astray_is_refused() -> None:
    with pytest.raises(BadName):
        read_attempt("../x", {})


def make_program(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_programs_are_found_by_name_then_beside_then_on_the_path(tmp_path: Path) -> None:
    rscript = make_program(tmp_path / "path" / "Rscript")
    on_path = make_program(tmp_path / "path" / "weasyprint")
    make_program(tmp_path / "path" / "duckdb")
    beside = make_program(tmp_path / "beside" / "duckdb")
    environ = {"PATH": str(tmp_path / "path")}
    assert find_tools(environ, tmp_path / "beside") == Tools(rscript, beside, on_path)
    named = make_program(tmp_path / "own" / "duck")
    assert find_tools(environ | {"HELIOGRAPH_DUCKDB": named}, tmp_path / "beside").duckdb == named


def test_a_program_that_is_missing_is_told_with_what_to_install(tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path)}
    with pytest.raises(MissingPart, match=r"apt install r-base-core pandoc .*r-cran-ggplot2"):
        find_tools(environ, tmp_path)
    make_program(tmp_path / "Rscript")
    with pytest.raises(MissingPart, match=r"duckdb is not installed.*heliograph\[analysis\]"):
        find_tools(environ, tmp_path)
    with pytest.raises(MissingPart, match=r"duckdb \(/nowhere/duckdb\)"):
        find_tools(environ | {"HELIOGRAPH_DUCKDB": "/nowhere/duckdb"}, tmp_path)


def test_python_and_r_name_the_same_packages() -> None:
    main = Path(__file__).parents[3] / "src/heliograph/analysis/project/engine/main.R"
    text = main.read_text(encoding="utf-8").partition("NEEDED_PACKAGES <- c(")[2].partition(")")[0]
    assert [name.strip().strip('"') for name in text.split(",")] == list(R_PACKAGES)


def test_r_sees_what_it_needs_and_no_password(drive: Drive) -> None:
    environ = {
        "PATH": "/bin",
        "HOME": "/home/me",
        "R_LIBS_USER": "/lib",
        "LD_LIBRARY_PATH": "/modules",
        "MLFLOW_TRACKING_PASSWORD": "secret",
        "PYTHONHOME": "/old",
        "R_HOME": "/old/R",
        "LANG": "de_DE",
    }
    seen = build_environment(environ, Tools("R", "/d", "/w"), drive, make_attempt())
    assert not {"MLFLOW_TRACKING_PASSWORD", "PYTHONHOME", "R_HOME", "LANG"} & seen.keys()
    assert seen["R_LIBS_USER"] == "/lib"
    assert seen["HELIOGRAPH_LD_LIBRARY_PATH"] == "/modules"
    assert (seen["TZ"], seen["LC_ALL"]) == ("UTC", "C.UTF-8")
    assert (seen["SHARED_DRIVE"], seen["HELIOGRAPH_EXPERIMENT"]) == (str(drive.root), EXPERIMENT)


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("2026-01-31T09:05:00Z dispatched target create_tables (not made yet)", "create_tables"),
        ("▶ +0000 UTC 2026-01-31 09:05 12.34 dispatched target create_tables", "create_tables"),
        ("+0000 UTC 2026-01-31 09:05 12.34 + create_tables dispatched", "create_tables"),
        ("2026-01-31T09:05:00Z completed target create_tables [0.1 seconds]", None),
        ("", None),
    ],
)
def test_the_target_that_begins_is_read_from_the_log(line: str, target: str | None) -> None:
    assert target_begun(line) == target


def test_the_six_targets_are_those_of_the_script() -> None:
    script = Path(__file__).parents[3] / "src/heliograph/analysis/project/_targets.R"
    text = script.read_text(encoding="utf-8")
    places = [text.index(name) for name in TARGETS]
    assert places == sorted(places)


def write_manifest(drive: Drive, **changes: Any) -> None:
    file = drive.reports(EXPERIMENT) / "report.html"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("report")
    output = {
        "path": str(file.relative_to(drive.root)),
        "type": "report",
        "sha256": sha256_file(file),
        "bytes": 6,
    }
    manifest = {
        "experiment": EXPERIMENT,
        "evaluation_token": "tok-1",
        "engine": "fallback",
        "r_version": "R version 4.2.2",
        "packages": {},
        "metrics": {"overall_accuracy": 0.5},
        "files": [output | changes.pop("output", {})],
        "warnings": [],
        "created_at": "2026-01-31T09:05:00Z",
    }
    drive.analysis_manifest(EXPERIMENT).write_text(json.dumps(manifest | changes))


def test_a_good_manifest_is_read(drive: Drive) -> None:
    write_manifest(drive)
    assert read_manifest(drive, EXPERIMENT, "tok-1").metrics == {"overall_accuracy": 0.5}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"experiment": "other"}, "is another one"),
        ({"evaluation_token": "tok-0"}, "is of another evaluation"),
        ({"output": {"path": "analysis/nothing.png"}}, "is missing"),
        ({"output": {"sha256": "00"}}, "has changed since"),
        ({"output": {"bytes": 7}}, "has changed since"),
        ({"output": {"path": "../../etc/passwd"}}, "not inside"),
        ({"output": {"type": "film"}}, "Invalid enum value 'film'"),
        ({"output": {"type": "figure"}}, "lists no report"),
    ],
)
def test_a_manifest_that_is_wrong_is_told(drive: Drive, changes: dict[str, Any], problem: str) -> None:
    write_manifest(drive, **changes)
    with pytest.raises(BadInput, match=problem):
        read_manifest(drive, EXPERIMENT, "tok-1")


def test_a_manifest_that_is_missing_or_torn_is_told(drive: Drive) -> None:
    with pytest.raises(BadInput, match="is missing"):
        read_manifest(drive, EXPERIMENT, None)
    write_manifest(drive)
    drive.analysis_manifest(EXPERIMENT).write_text('{"experiment":')
    with pytest.raises(BadInput, match="truncated"):
        read_manifest(drive, EXPERIMENT, None)
