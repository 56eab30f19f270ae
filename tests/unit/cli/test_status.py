from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from heliograph.cli.main import main
from heliograph.drive import Drive
from heliograph.names import utc_now
from heliograph.state.views import ExperimentView, Overview, Snapshots, read_experiment, read_overview
from unit.dashboard.scenes import everything_on, publish_scene


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Drive:
    """A drive on which something of everything has happened by now. Only to be read."""
    return publish_scene(tmp_path_factory.mktemp("status") / "drive", utc_now())


def status(drive: Drive, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["--drive", str(drive.root), "status", *arguments]) == 0
    return capsys.readouterr().out


def test_every_stage_of_every_experiment_has_a_line(
    published: Drive, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = status(published, capsys).splitlines()
    with Snapshots(published) as snapshots:
        snapshots.refresh()
        overview = read_overview(snapshots)
    assert "9 experiments: 3 failed, 3 running, 1 queued, 1 waiting, 1 completed" in lines
    for view in overview.experiments:
        start = next(n for n, line in enumerate(lines) if line.startswith(f"{view.experiment}  "))
        block = lines[start : lines.index("", start) if "" in lines[start:] else None]
        for stage in view.stages():
            line = next(line for line in block if line.split()[:1] == [stage.stage])
            assert line.split()[2] == stage.status


def test_what_needs_attention_stands_first(published: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    text = status(published, capsys)
    assert text.index("\nhostile  ✗") < text.index("\ntraining-runs  ▶") < text.index("\nbaseline  ✓")


def test_messages_retries_progress_and_jobs_are_told(
    published: Drive, capsys: pytest.CaptureFixture[str]
) -> None:
    text = status(published, capsys)
    assert "      OUT_OF_MEMORY: the job used more than its 32G\n      on node07\n      next attempt " in text
    assert "37 % · slurm 4721" in text
    assert "      Resources\n" in text
    assert f"      log {published.root}/logs/evaluation/4722.log\n" in text


def test_a_pipe_gets_no_colours_no_control_signs_and_80_columns(published: Drive) -> None:
    command = [sys.executable, "-m", "heliograph", "--drive", str(published.root), "status"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(sign.isprintable() or sign == "\n" for sign in result.stdout)
    free = [line for line in result.stdout.splitlines() if str(published.root) not in line]
    assert max(map(len, free)) <= 80


def test_the_head_tells_of_drive_and_watcher(published: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    drive, headline, *_ = status(published, capsys).splitlines()
    assert drive == f"heliograph  {published.root}"
    assert headline.startswith(("Live. The watcher's last beat was ", "The watcher has been silent for "))


def test_a_drive_without_a_watcher_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drive = publish_scene(tmp_path / "drive", utc_now())
    (drive.lease / "holder.json").unlink()
    assert "No watcher runs. What is shown was published " in status(drive, capsys)


def test_signals_that_were_put_aside_are_told_first(
    published: Drive, capsys: pytest.CaptureFixture[str]
) -> None:
    text = status(published, capsys)
    assert "! 2 signals were put aside" in text
    assert text.index('not JSON: <script>alert("x")</script>\\x1b[31m red \\x00') < text.index("\nhostile")
    assert "evaluation-waits: models/evaluation-waits/.training_complete" in text


def test_the_row_of_a_signal_that_was_put_aside_says_where_to_look(
    published: Drive, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = status(published, capsys).splitlines()
    row = next(n for n, line in enumerate(lines) if line.startswith("evaluation-waits  "))
    assert lines[row + 1] == "  ! 1 signal was put aside: heliograph why evaluation-waits"


def test_one_experiment_in_full(published: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    lines = status(published, capsys, "baseline").splitlines()
    assert "    MLflow  https://mlflow.example.org/#/experiments/1/runs/def456" in lines
    assert "final                69.8 %         80.1 %                  91.7 %" in [x.rstrip() for x in lines]
    assert "  analysis/reports/baseline/report.pdf" in lines
    assert any(line.split()[:4] == ["checkpoint-4000", "4,000", "4", "498"] for line in lines)


def test_more_data_sets_than_fit_stand_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    from heliograph.dashboard.experiment import ResultRow
    from heliograph.dashboard.terminal import _print_results, make_console

    rows = [ResultRow(f"a-data-set-with-a-long-name-{n}", "accuracy", ["50.0 %"]) for n in range(9)]
    _print_results(make_console(), rows, ["final"])
    text = capsys.readouterr().out
    assert text.count("Checkpoint") == 3
    assert text.count("50.0 %") == 9
    assert max(map(len, text.splitlines())) <= 80


def test_a_failure_is_told_in_full_and_harmless(published: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    text = status(published, capsys, "hostile")
    assert '<script>alert("x")</script>\\x1b[31m red \\x00 \\u202etxt.exe' in text
    assert "Trying again would not help: it has to be mended first." in text
    assert "\x1b" not in text and "\u202e" not in text


def test_json_is_what_the_views_tell(published: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    with Snapshots(published) as snapshots:
        snapshots.refresh()
        overview, one = read_overview(snapshots), read_experiment(snapshots, "baseline")
    assert msgspec.json.decode(status(published, capsys, "--json"), type=Overview) == overview
    assert msgspec.json.decode(status(published, capsys, "baseline", "--json"), type=ExperimentView) == one


def test_a_terminal_that_is_not_utf_8_loses_signs_and_nothing_else(
    published: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert main(["--drive", str(published.root), "status"]) == 0
    sys.stdout.flush()
    assert b"\nhostile  ? failed\n" in raw.getvalue()


def test_no_line_ends_in_spaces(published: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    assert [line for line in status(published, capsys).splitlines() if line.endswith(" ")] == []


def test_looking_writes_nothing(published: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything_on(published)
    status(published, capsys)
    status(published, capsys, "baseline")
    assert everything_on(published) == before


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["basline"], 3, "No experiment is called 'basline'. Did you mean baseline?"),
        (["\x1b[31m"], 3, "No experiment is called '\\x1b[31m'. The overview lists them"),
        (["baseline", "--drive", "/nowhere"], 4, "/nowhere is not a heliograph drive"),
    ],
)
def test_mistakes_get_a_sentence(
    published: Drive, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    assert main(["--drive", str(published.root), "status", *arguments]) == code
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


def test_a_drive_with_nothing_published_gets_a_sentence(
    drive: Drive, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--drive", str(drive.root), "status"]) == 5
    assert "nothing is published on this drive yet" in capsys.readouterr().err


def test_a_drive_with_no_experiment_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drive = publish_scene(tmp_path / "drive", utc_now(), play=lambda scene: None)
    assert "No experiment is known yet." in status(drive, capsys)
