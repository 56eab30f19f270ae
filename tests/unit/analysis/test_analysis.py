"""The whole analysis with real R, DuckDB, pandoc and WeasyPrint, under the fallback."""

from __future__ import annotations

import csv
import json
import logging
import math
import re
from collections import Counter

import pytest

from heliograph.analysis.pipeline import AnalysisOutcome, run_analysis
from heliograph.drive import Drive
from heliograph.protocol.events import JobHeartbeat, OutputAdded, SignalPublished, read_event
from heliograph.protocol.signals import ANALYSIS_COMPLETE, read_signal
from heliograph.stages.checks import check_analysis
from unit.analysis.conftest import make_attempt, make_settings
from unit.analysis.evaluations import EXPERIMENT, ITEMS, Shape, rewrite, write_evaluation

EXPECTED = {
    *(
        f"analysis/figures/exp_1/{name}.{kind}"
        for name in (
            "accuracy_by_group-pairs",
            "learning_curve",
            "learning_curve_by_group-pairs",
            "metric-perplexity",
        )
        for kind in ("png", "pdf")
    ),
    *(
        f"analysis/tables/exp_1/{name}.{kind}"
        for name in ("accuracy_by_group", "learning_curve", "other_metrics")
        for kind in ("csv", "tex")
    ),
    "analysis/reports/exp_1/report.html",
    "analysis/reports/exp_1/report.pdf",
}


def wilson(k: int, n: int) -> tuple[float, float]:
    z, p = 1.959963984540054, k / n
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (p + z**2 / (2 * n) - half) / (1 + z**2 / n), (p + z**2 / (2 * n) + half) / (1 + z**2 / n)


def contents(drive: Drive, folder: str) -> dict[str, bytes]:
    root = drive.analysis / folder / EXPERIMENT
    return {path.name: path.read_bytes() for path in root.iterdir() if path.suffix}


def targets_made(caplog: pytest.LogCaptureFixture) -> list[str]:
    return re.findall(r"dispatched target (\w+)", caplog.text)


def test_every_output_is_there_and_nothing_half_written(analysed: Drive, outcome: AnalysisOutcome) -> None:
    assert set(outcome.files) == EXPECTED
    found = {
        str(path.relative_to(analysed.root))
        for folder in ("figures", "tables", "reports")
        for path in (analysed.analysis / folder).rglob("*")
        if path.is_file()
    }
    assert found == EXPECTED | {outcome.manifest_path, "analysis/reports/exp_1/.analysis_complete"}
    assert list((analysed.analysis / ".locks").iterdir()) == []


def test_the_signal_says_what_was_made_and_passes_the_watchers_check(analysed: Drive) -> None:
    signal = read_signal(ANALYSIS_COMPLETE.path(analysed, EXPERIMENT), ANALYSIS_COMPLETE, EXPERIMENT)
    assert signal.content.engine == "fallback"
    assert signal.content.job_id == "815"
    assert signal.content.manifest_path == "analysis/reports/exp_1/manifest.json"
    assert check_analysis(analysed, signal).endswith("manifest.json")


def test_events_tell_every_output_and_the_signal(analysed: Drive, outcome: AnalysisOutcome) -> None:
    bodies = [read_event(path).body for path in sorted(analysed.inbox.glob("*.json"))]
    outputs = {body.output_path: body.output_type for body in bodies if isinstance(body, OutputAdded)}
    assert set(outputs) == EXPECTED
    assert Counter(outputs.values()) == {"figure": 8, "table": 6, "report": 2}
    assert [body.sha256 for body in bodies if isinstance(body, SignalPublished)] == [outcome.signal_sha256]
    assert isinstance(bodies[-1], SignalPublished)
    assert {body.doing for body in bodies if isinstance(body, JobHeartbeat)} >= {
        "load_evaluation_data",
        "finalize_outputs",
    }


def test_the_table_holds_the_accuracies_and_their_wilson_intervals(analysed: Drive) -> None:
    with (analysed.tables(EXPERIMENT) / "accuracy_by_group.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    for row in rows:
        k = {"final": 30, "checkpoint-10": 29}[row["checkpoint"]]
        assert (int(row["k"]), int(row["n"]), row["step"]) == (k, ITEMS, {30: "20", 29: "10"}[k])
        found = (float(row["lower"]), float(row["upper"]))
        assert found == pytest.approx(wilson(k, ITEMS), abs=1e-12)


def test_the_outcome_gives_the_headline_metrics(outcome: AnalysisOutcome) -> None:
    expected = {"overall_accuracy": 0.75, "accuracy/pairs": 0.75, "perplexity/text": 20.0}
    assert outcome.metrics == pytest.approx(expected)
    assert outcome.warnings == []


def test_the_report_loads_nothing_and_tells_data_methods_and_results(analysed: Drive) -> None:
    html = (analysed.reports(EXPERIMENT) / "report.html").read_text(encoding="utf-8")
    assert re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']*""", html) == []
    assert "url(http" not in html
    assert "@import" not in html
    for told in ("Wilson", "75.0%", "a94429c", "node03", "Caveats", "data.table 1."):
        assert told in html
    assert (analysed.reports(EXPERIMENT) / "report.pdf").read_bytes().startswith(b"%PDF-")


def test_the_manifest_names_engine_versions_and_checksums(analysed: Drive) -> None:
    manifest = json.loads(analysed.analysis_manifest(EXPERIMENT).read_text(encoding="utf-8"))
    assert manifest["engine"] == "fallback"
    assert manifest["evaluation_token"] == "tok-1"
    assert manifest["r_version"].startswith("R version ")
    assert "ggplot2" in manifest["packages"]
    assert {file["path"] for file in manifest["files"]} == EXPECTED


def test_again_without_a_change_makes_nothing_new(
    quick_drive: Drive, caplog: pytest.LogCaptureFixture
) -> None:
    first = run_analysis(make_settings(quick_drive), make_attempt(), "fallback")
    before = {path: (quick_drive.root / path).stat().st_mtime_ns for path in first.files}
    caplog.set_level(logging.INFO)
    again = run_analysis(make_settings(quick_drive), make_attempt("tok-b"), "fallback")
    assert targets_made(caplog) == ["input_files", "result_files"]
    assert {path: (quick_drive.root / path).stat().st_mtime_ns for path in again.files} == before


@pytest.mark.slow
def test_a_new_evaluation_is_analysed_anew_and_stale_outputs_go(own_analysed: Drive) -> None:
    write_evaluation(own_analysed, Shape(right=20, perplexity=False), token="tok-2")
    outcome = run_analysis(make_settings(own_analysed), make_attempt("tok-b"), "fallback")
    assert outcome.metrics["accuracy/pairs"] == pytest.approx(0.5)
    assert outcome.warnings == ["No perplexity was measured."]
    assert "metric-perplexity.png" not in contents(own_analysed, "figures")
    assert "other_metrics.csv" not in contents(own_analysed, "tables")


def test_the_settings_on_the_drive_count(quick_drive: Drive) -> None:
    quick_drive.analysis_config.write_text("confidence_level: 0.5\n")
    run_analysis(make_settings(quick_drive), make_attempt(), "fallback")
    with (quick_drive.tables(EXPERIMENT) / "learning_curve.csv").open(encoding="utf-8") as file:
        row = list(csv.DictReader(file))[-1]
    assert 0.72 < float(row["lower"]) < 0.75 < float(row["upper"]) < 0.78


def test_a_report_text_that_a_user_changed_is_rendered_again_alone(
    quick_drive: Drive, caplog: pytest.LogCaptureFixture
) -> None:
    run_analysis(make_settings(quick_drive), make_attempt(), "fallback")
    rewrite(quick_drive.analysis / "report.Rmd", "# Question", "# Why")
    caplog.set_level(logging.INFO)
    run_analysis(make_settings(quick_drive), make_attempt("tok-b"), "fallback")
    made = ["input_files", "result_files", "report_files", "render_report"]
    assert targets_made(caplog)[:4] == made
    assert not {"generate_figures", "create_tables"} & set(targets_made(caplog))
