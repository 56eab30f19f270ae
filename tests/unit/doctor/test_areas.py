"""Watcher, analysis, MLflow, Python and limits: what is said from facts."""

from __future__ import annotations

import resource
from datetime import timedelta
from pathlib import Path

import pytest

from heliograph.analysis.tools import R_PACKAGES
from heliograph.doctor import analysis, limits, mlflow, python, watcher
from heliograph.doctor.finding import Finding
from heliograph.drive import Drive
from heliograph.errors import BadConfig
from heliograph.executors.command import Answer
from heliograph.names import iso
from heliograph.state.lease import Holder
from heliograph.state.publish import Pointer
from support.drives import NOW

# Watcher --------------------------------------------------------------------------------------------


def holder(age_s: float) -> Holder:
    at = iso(NOW - timedelta(seconds=age_s))
    return Holder("ssrde", 17, 1, 5, at, memory_mb=31.0, slurm_calls_last_hour=60)


@pytest.mark.parametrize(
    ("age_s", "is_dead", "verdict", "told"),
    [
        (3, False, "ok", "host ssrde, pid 17, last beat 3 s ago, 31 MB, 60 calls of Slurm in the last hour"),
        (3, True, "warn", "the watcher is gone"),
        (300, False, "warn", "hangs, or the hosts' clocks differ"),
    ],
)
def test_the_lease_tells_who_watches(age_s: float, is_dead: bool, verdict: str, told: str) -> None:
    finding = watcher.judge_lease(holder(age_s), NOW, lambda _holder: is_dead)
    assert finding.verdict == verdict
    assert told in finding.told


def test_no_watcher_is_told() -> None:
    finding = watcher.judge_lease(None, NOW, lambda _holder: False)
    assert finding.verdict == "warn" and "heliograph watch" in finding.remedy


@pytest.mark.parametrize(
    ("backlog", "has_watcher", "verdict", "told"),
    [
        (watcher.Backlog(0), True, "ok", "empty"),
        (watcher.Backlog(3, 2.0), True, "ok", "3 events wait"),
        (watcher.Backlog(3, 200.0), True, "warn", "does not keep up"),
        (watcher.Backlog(3, 200.0), False, "warn", "no watcher takes them in"),
    ],
)
def test_a_backlog_is_told_by_its_age(
    backlog: watcher.Backlog, has_watcher: bool, verdict: str, told: str
) -> None:
    finding = watcher.judge_inbox(backlog, has_watcher)
    assert finding.verdict == verdict
    assert told in finding.told


def test_the_inbox_is_probed_by_the_files_own_times(drive: Drive) -> None:
    name = "20260131090500000000-host-1-000001.json"
    (drive.inbox / name).write_bytes(b"{}")
    (drive.inbox / ".still-written.tmp").write_bytes(b"")
    assert watcher.probe_inbox(drive).waiting == 1


def test_what_was_put_aside_is_told() -> None:
    assert watcher.judge_quarantine([]).verdict == "ok"
    finding = watcher.judge_quarantine(["a", "b"])
    assert (finding.verdict, finding.remedy) == ("warn", "heliograph quarantine")
    assert "2 put aside" in finding.told and "newest b" in finding.told


def test_published_databases_are_told_by_their_age_or_their_trouble() -> None:
    pointer = Pointer(1, "training.000001.db", 10, "0" * 64, iso(NOW - timedelta(minutes=3)), "ssrde")
    assert watcher.judge_published({"training": pointer}, NOW).told == "training 3 min ago"
    bad = watcher.judge_published({"training": pointer, "analysis": "never published"}, NOW)
    assert bad.verdict == "bad" and "analysis: never published" in bad.told


def test_a_generation_that_is_missing_or_short_is_seen(drive: Drive) -> None:
    assert set(watcher.probe_published(drive).values()) == {"never published"}
    pointer = Pointer(1, "training.000001.db", 10, "0" * 64, iso(NOW), "ssrde")
    (drive.published / "training.json").write_text(
        f'{{"generation": 1, "file": "{pointer.file}", "size": 10, "sha256": "{pointer.sha256}",'
        f'"published_at": "{pointer.published_at}", "host": "ssrde"}}'
    )
    assert watcher.probe_published(drive)["training"] == "its generation is missing"
    (drive.published / pointer.file).write_bytes(b"short")
    assert watcher.probe_published(drive)["training"] == "training.000001.db has 5 bytes"


def test_databases_that_differ_are_bad() -> None:
    assert watcher.judge_databases([]).verdict == "ok"
    finding = watcher.judge_databases(["training.db: malformed"])
    assert finding.verdict == "bad" and finding.remedy.startswith("heliograph db rebuild")


def test_an_error_gives_its_remedy_apart() -> None:
    error = BadConfig(file="watcher.yaml", field="polll", problem="unknown key", value=1, remedy="Drop it.")
    finding = watcher.AREA.from_error("watcher.yaml", error)
    assert finding == Finding(
        "watcher", "watcher.yaml", "bad", "watcher.yaml: polll: unknown key, found 1", "Drop it."
    )


# Analysis -------------------------------------------------------------------------------------------


def r_says(**changes: str) -> Answer:
    versions = {"R": "4.2.2"} | dict.fromkeys(R_PACKAGES, "1.0") | {"targets": "1.4.1"} | changes
    return Answer("Rscript", 0, "".join(f"{name}\t{version}\t\n" for name, version in versions.items()))


def test_r_with_everything_is_well() -> None:
    assert [f.verdict for f in analysis.judge_r(r_says())] == ["ok", "ok", "ok"]


def test_a_package_of_r_that_is_missing_comes_with_its_debian_name() -> None:
    _, packages, _ = analysis.judge_r(r_says(**{"data.table": "", "ggplot2": ""}))
    assert packages.verdict == "bad"
    assert packages.remedy == "apt install r-cran-data.table r-cran-ggplot2"


def test_without_targets_the_fallback_runs() -> None:
    engine = analysis.judge_r(r_says(targets=""))[-1]
    assert engine.verdict == "warn" and "fallback" in engine.told


def test_an_r_that_does_not_work_is_bad() -> None:
    (finding,) = analysis.judge_r(Answer("Rscript", 1, "", "Error: libR.so not found"))
    assert finding.verdict == "bad" and "libR.so" in finding.told
    assert analysis.judge_missing_r().verdict == "bad"


def test_programs_are_told_by_their_version_or_their_last_words() -> None:
    info = "System: Linux\nVersion: #1 SMP\nWeasyPrint version: 70.0\nPango version: 15012\n"
    assert (
        analysis.judge_program("weasyprint", Answer("w", 0, info), "").told == "WeasyPrint 70.0, Pango 15012"
    )
    broken = Answer("w", 1, "", "Traceback\nOSError: cannot load library 'libpango-1.0-0'")
    finding = analysis.judge_program("weasyprint", broken, "")
    assert finding.told == "it does not start: OSError: cannot load library 'libpango-1.0-0'"
    assert "libpango-1.0-0" in finding.remedy
    assert "pip install" in analysis.judge_program("duckdb", None, "duckdb is not installed. Do").remedy
    assert analysis.judge_pandoc(Answer("pandoc", 0, "pandoc 2.17\nmore")).told == "2.17"
    assert analysis.judge_pandoc(Answer("pandoc", 127, "", "pandoc: command not found")).verdict == "bad"


# MLflow ---------------------------------------------------------------------------------------------


def test_mlflow_is_not_needed_but_told() -> None:
    assert mlflow.judge_unset().verdict == "skipped"
    assert mlflow.judge_server("http://a:5000", "3.17.2", None).verdict == "ok"
    assert mlflow.judge_server("http://a:5000", None, "no answer within 5 s").verdict == "warn"


@pytest.mark.parametrize(
    ("environment", "configured", "told"),
    [(None, "http://a", 0), ("http://a", None, 0), ("http://a/", "http://a", 0), ("http://b", "http://a", 1)],
)
def test_two_addresses_are_told(environment: str | None, configured: str | None, told: int) -> None:
    assert len(mlflow.judge_addresses(environment, configured)) == told


# Python ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("msgspec>=0.19", python.Requirement("msgspec", "0.19", "")),
        ('torch>=2.6; extra == "train"', python.Requirement("torch", "2.6", "train")),
        ("types-PyYAML; extra == 'dev'", python.Requirement("types-PyYAML", "", "dev")),
        ('heliograph[train,eval]; extra == "all"', None),
    ],
)
def test_requirements_are_read(text: str, found: python.Requirement | None) -> None:
    assert python.parse_requirement(text) == found


def test_what_is_missing_or_old_is_told_by_what_it_is_for() -> None:
    wanted = [
        python.Requirement("msgspec", "0.19", ""),
        python.Requirement("torch", "2.6", "train"),
        python.Requirement("psutil", "6", "train"),
        python.Requirement("fastapi", "0.115", "web"),
    ]
    have = {"msgspec": "0.22.0", "torch": "2.10.0+cpu", "psutil": "5.9"}
    complete, train = python.judge_packages(wanted, "wild_west", have.get)
    assert (complete.verdict, complete.told) == ("ok", "complete for base")
    assert (train.verdict, train.check) == ("warn", "extra train")
    assert train.told.startswith("psutil 5.9 is older than 6: heliograph train does not run")
    (base, *_) = [f for f in python.judge_packages(wanted, "ssrde", {}.get) if f.check == "base"]
    assert base.verdict == "bad" and "msgspec is missing" in base.told


def test_pins_are_compared_without_local_versions() -> None:
    pins = python.parse_pins("# why\ntorch==2.13.0\nnumpy==2.4.6\n")
    assert pins == {"torch": "2.13.0", "numpy": "2.4.6"}
    assert python.judge_pins(pins, {"torch": "2.13.0+cpu"}).verdict == "ok"
    other = python.judge_pins(pins, {"torch": "2.12.0", "numpy": "2.4.6"})
    assert other.verdict == "warn" and "torch 2.12.0 (tested: 2.13.0)" in other.told


def test_an_old_python_is_bad() -> None:
    assert python.judge_python((3, 11, 2), "/usr/bin/python").verdict == "ok"
    assert python.judge_python((3, 10, 12), "/usr/bin/python").verdict == "bad"


# Limits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("watches", "verdict", "remedy"),
    [
        (limits.Watches(8192, 128, 10), "ok", ""),
        (limits.Watches(8192, 128, 2000), "warn", "max_user_watches=524288"),
        (limits.Watches(8192, 128, 200_000), "warn", "max_user_watches=2400008"),
        (limits.Watches(8192, 4, 10), "warn", "max_user_instances"),
    ],
)
def test_half_of_the_watches_is_left_free(watches: limits.Watches, verdict: str, remedy: str) -> None:
    finding = limits.judge_inotify(watches)
    assert finding.verdict == verdict
    assert remedy in finding.remedy


@pytest.mark.parametrize(("limit", "verdict"), [(1024, "ok"), (64, "warn"), (resource.RLIM_INFINITY, "ok")])
def test_open_files(limit: int, verdict: str) -> None:
    assert limits.judge_open_files(limit).verdict == verdict


@pytest.mark.parametrize(("is_synchronised", "verdict"), [(True, "ok"), (False, "warn"), (None, "skipped")])
def test_the_clock(is_synchronised: bool | None, verdict: str) -> None:
    assert limits.judge_clock(is_synchronised).verdict == verdict


def test_the_kernel_is_asked_without_changing_the_clock() -> None:
    assert limits.probe_clock() in (True, False, None)


def test_a_drive_where_nothing_is_published_has_no_open_experiments(drive: Drive) -> None:
    assert limits.count_open(drive) == 0


def test_every_area_is_a_module_with_steps() -> None:
    from importlib import import_module

    from heliograph.doctor.areas import AREAS, MEASUREMENTS, SILENCE_S

    names = {*AREAS, *MEASUREMENTS, "presence"}
    assert names == {*SILENCE_S}
    assert all(callable(import_module(f"heliograph.doctor.{name}").steps) for name in names)
    folder = Path(analysis.__file__).parent
    assert names <= {path.stem for path in folder.glob("*.py")}
