"""Evaluations that lack something, and names that want to break out."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

import pytest

from heliograph.analysis.pipeline import AnalysisOutcome, run_analysis
from heliograph.drive import Drive
from unit.analysis.conftest import make_attempt, make_settings
from unit.analysis.evaluations import EXPERIMENT, Shape, write_evaluation

HOSTILE = (
    "<script>alert(1)</script>",
    "```{r}\nfile.create('pwned')\n```",
    "say \"hi\" & 'bye' `code`",
    "\\end{tabular} 50% $x_1$ #{}~^|",
    "*bold* ![](http://example.org/x.png) [a](b)",
    "Überprüfung 一致 ـ",
    "NA",
    "=1+1",
    "x" * 300,
)


def analyse(drive: Drive, shape: Shape) -> AnalysisOutcome:
    write_evaluation(drive, shape)
    return run_analysis(make_settings(drive), make_attempt(), "fallback")


def report(drive: Drive) -> str:
    return (drive.reports(EXPERIMENT) / "report.html").read_text(encoding="utf-8")


def stems(outcome: AnalysisOutcome) -> set[str]:
    return {Path(path).stem for path in outcome.files}


@pytest.mark.slow
def test_hostile_names_come_out_as_text_everywhere(project_drive: Drive) -> None:
    shape = Shape(groups=HOSTILE, forms=("<i>", "b\\&"), field="a <b> & `c`", host="<img src=x>")
    outcome = analyse(project_drive, shape)
    html = report(project_drive)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<img src=x>" not in html
    assert "example.org/x.png)" in html
    assert 'src="http' not in html
    assert "<em>bold</em>" not in html
    assert "Überprüfung 一致" in html
    assert not list(project_drive.root.parent.rglob("pwned"))
    tex = (project_drive.tables(EXPERIMENT) / "accuracy_by_group.tex").read_text(encoding="utf-8")
    assert "\\textbackslash{}end\\{tabular\\} 50\\% \\$x\\_1\\$ \\#\\{\\}" in tex
    assert tex.count("\\end{tabular}") == 1
    with (project_drive.tables(EXPERIMENT) / "accuracy_by_group.csv").open(encoding="utf-8") as file:
        assert {row["item_group"] for row in csv.DictReader(file)} == set(HOSTILE)
    assert outcome.metrics["accuracy/pairs"] == pytest.approx(0.75)


def test_one_checkpoint_one_group_and_no_perplexity_are_said_in_sentences(project_drive: Drive) -> None:
    shape = Shape(
        checkpoints=[("final", None)], groups=["pairs"], forms=["all"], field=None, perplexity=False
    )
    outcome = analyse(project_drive, shape)
    expected = {"accuracy_by_group-pairs", "accuracy_by_group", "learning_curve", "report"}
    assert stems(outcome) == expected
    for sentence in ("Only one checkpoint was evaluated", "No perplexity was measured"):
        assert sentence in report(project_drive)


def test_perplexity_alone_is_a_report_too(project_drive: Drive) -> None:
    outcome = analyse(project_drive, Shape(accuracy=False))
    assert stems(outcome) == {"metric-perplexity", "other_metrics", "report"}
    assert outcome.metrics == pytest.approx({"perplexity/text": 20.0})
    html = report(project_drive)
    assert "No accuracy was measured" in html
    assert "Wilson" not in html


def test_the_printed_report_has_the_figures_and_the_formula(analysed: Drive, tmp_path: Path) -> None:
    pdf = analysed.reports(EXPERIMENT) / "report.pdf"
    text = subprocess.run(
        ["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True, check=True
    ).stdout
    for told in ("Figure 1.", "Figure 4.", "Table 1.", "Wilson", "√", "Appendix: software"):
        assert told in text
    images = subprocess.run(["pdfimages", "-list", pdf], capture_output=True, text=True, check=True).stdout
    assert len({line.split()[10] for line in images.splitlines()[2:]}) == 4
