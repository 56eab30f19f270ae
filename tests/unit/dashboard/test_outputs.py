"""What of the drive is handed out, and above all what is not."""

import os
import socket
from pathlib import Path

import pytest

from heliograph.dashboard import outputs
from heliograph.dashboard.experiment import find_experiment
from heliograph.dashboard.outputs import LONGEST_TAIL, NoSuchFile, read_log_tail, read_output
from heliograph.drive import Drive
from heliograph.errors import UnknownExperiment
from heliograph.state.views import ExperimentView, OutputView, Overview, StageView

FIGURE = "analysis/figures/baseline/learning_curve.png"


@pytest.fixture
def view(overview: Overview) -> ExperimentView:
    return find_experiment(overview, "baseline")


def with_output(path: str) -> ExperimentView:
    """An experiment whose published outputs name this path, as a hostile job could have it."""
    return changed(outputs=[OutputView(type="figure", path=path)])


def with_log(path: object) -> ExperimentView:
    made = changed()
    made.evaluation.log_path = str(path)
    return made


def changed(**fields: object) -> ExperimentView:
    stages = {
        name: StageView(stage=name, status="completed") for name in ("training", "evaluation", "analysis")
    }
    return ExperimentView(experiment="baseline", status="completed", **stages, **fields)


def test_a_published_output_is_read(own_drive: Drive, view: ExperimentView) -> None:
    file = read_output(own_drive, view, FIGURE)
    assert file.content == (own_drive.root / FIGURE).read_bytes()
    assert (file.kind.media_type, file.name) == ("image/png", "learning_curve.png")


@pytest.mark.parametrize(
    "path",
    [
        *("analysis/figures/baseline/other.png", "../etc/passwd", "/etc/passwd", ".drive_id", "", "."),
        *(f"./{FIGURE}", f"analysis/../{FIGURE}", f"{FIGURE}\0", "state/training.db", FIGURE.upper()),
    ],
)
def test_what_is_not_published_is_not_read(own_drive: Drive, view: ExperimentView, path: str) -> None:
    with pytest.raises(NoSuchFile):
        read_output(own_drive, view, path)


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "../../../../etc/passwd", "analysis/../state/training.db", ".drive_id"),
        *(
            "models/baseline/final/model.safetensors",
            "analysis/\0",
            "analysis",
            "analysis/figures",
            "x" * 5000,
        ),
    ],
)
def test_publishing_a_path_does_not_make_it_readable(own_drive: Drive, path: str) -> None:
    with pytest.raises(NoSuchFile):
        read_output(own_drive, with_output(path), path)


def test_a_symbolic_link_that_leads_out_is_not_followed(own_drive: Drive, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (own_drive.root / FIGURE).unlink()
    (own_drive.root / FIGURE).symlink_to(tmp_path / "secret.png")
    with pytest.raises(NoSuchFile):
        read_output(own_drive, with_output(FIGURE), FIGURE)


def test_a_pipe_or_a_socket_does_not_hang_the_reader(own_drive: Drive) -> None:
    (own_drive.root / FIGURE).unlink()
    os.mkfifo(own_drive.root / FIGURE)
    with pytest.raises(NoSuchFile, match="not a regular file"):
        read_output(own_drive, with_output(FIGURE), FIGURE)
    log = own_drive.stage_logs("evaluation") / "pipe.log"
    os.mkfifo(log)
    with pytest.raises(NoSuchFile, match="no regular file"):
        read_log_tail(own_drive, with_log(log), "evaluation")


def test_a_socket_is_an_error_of_the_drive(own_drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own_drive.stage_logs("evaluation"))  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s.log")
        with pytest.raises(OSError):
            read_log_tail(own_drive, with_log(own_drive.stage_logs("evaluation") / "s.log"), "evaluation")


def test_an_output_that_was_removed_or_is_huge_says_so(
    own_drive: Drive, view: ExperimentView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "LARGEST_OUTPUT", 10)
    with pytest.raises(NoSuchFile, match="larger than 10 bytes"):
        read_output(own_drive, view, FIGURE)
    (own_drive.root / FIGURE).unlink()
    with pytest.raises(NoSuchFile, match="removed since"):
        read_output(own_drive, view, FIGURE)


@pytest.mark.parametrize(
    ("name", "media_type", "is_download"),
    [
        ("a.PNG", "image/png", False),
        ("a.pdf", "application/pdf", False),
        ("a.html", "text/html; charset=utf-8", False),
        ("a.csv", "text/csv; charset=utf-8", True),
        ("a.tex", "text/plain; charset=utf-8", False),
        ("a.svg", "application/octet-stream", True),
        ("a.js", "application/octet-stream", True),
        ("a", "application/octet-stream", True),
    ],
)
def test_only_formats_that_can_do_no_harm_are_opened(
    own_drive: Drive, name: str, media_type: str, is_download: bool
) -> None:
    path = f"analysis/tables/{name}"
    (own_drive.root / path).write_bytes(b"x")
    kind = read_output(own_drive, with_output(path), path).kind
    assert (kind.media_type, kind.is_download) == (media_type, is_download)


def test_a_log_is_harmless_text(own_drive: Drive, view: ExperimentView) -> None:
    text = read_log_tail(own_drive, with_log(own_drive.stage_logs("evaluation") / "4711.log"), "evaluation")
    assert text == "\\x1b[32mevaluating\\x1b[0m baseline\n10 %\n20 %\nbell \\x07 <b>\n"


def test_the_error_output_stands_beside_the_log(own_drive: Drive) -> None:
    log = with_log(own_drive.stage_logs("evaluation") / "4711.log")
    assert read_log_tail(own_drive, log, "evaluation", errors=True) == "a warning\n"


def test_bytes_that_are_no_text_are_shown_as_escapes(own_drive: Drive) -> None:
    path = own_drive.stage_logs("evaluation") / "binary.log"
    path.write_bytes(b"\xff\xfe ok \xc3\xa9\n")
    assert read_log_tail(own_drive, with_log(path), "evaluation") == "\\xff\\xfe ok é\n"


def test_of_a_long_log_only_the_end_is_read_from_the_beginning_of_a_line(own_drive: Drive) -> None:
    path = own_drive.stage_logs("evaluation") / "long.log"
    path.write_bytes(b"".join(b"line %07d\n" % n for n in range(100_000)))
    head, *lines = read_log_tail(own_drive, with_log(path), "evaluation").splitlines()
    shown = sum(len(line) + 1 for line in lines)
    assert head == (
        f"[the last {shown:,} bytes of logs/evaluation/long.log; {1_300_000 - shown:,} bytes before them "
        "are left out]"
    )
    assert LONGEST_TAIL - 13 < shown <= LONGEST_TAIL
    assert (lines[0][:5], lines[-1]) == ("line ", "line 0099999")


def test_a_log_of_one_endless_line_is_cut(own_drive: Drive) -> None:
    path = own_drive.stage_logs("evaluation") / "endless.log"
    path.write_bytes(b"x" * 300_000)
    assert read_log_tail(own_drive, with_log(path), "evaluation").endswith("\n" + "x" * LONGEST_TAIL)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../../.drive_id",
        "../state/training.db",
        "\0",
        "/",
        "evaluation",
        "evaluation/none.log",
    ],
)
def test_a_recorded_log_is_read_only_inside_logs(own_drive: Drive, path: str) -> None:
    with pytest.raises(NoSuchFile):
        read_log_tail(own_drive, with_log(path), "evaluation")


def test_the_error_output_cannot_lead_out_either(own_drive: Drive) -> None:
    logs = own_drive.stage_logs("evaluation")
    (logs / "x.err").symlink_to("/etc/passwd")
    with pytest.raises(NoSuchFile):
        read_log_tail(own_drive, with_log(logs / "x.log"), "evaluation", errors=True)


def test_a_log_that_may_not_be_read_is_no_trouble_of_the_drive(
    own_drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, flags: int) -> int:
        raise PermissionError(13, "Permission denied", str(path))  # nothing is ever refused to root

    path = own_drive.stage_logs("evaluation") / "4711.log"
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(NoSuchFile, match="may not read it"):
        read_log_tail(own_drive, with_log(path), "evaluation")


def test_a_log_with_another_name_has_no_error_output(own_drive: Drive) -> None:
    log = with_log(own_drive.stage_logs("evaluation") / "4711.txt")
    with pytest.raises(NoSuchFile):
        read_log_tail(own_drive, log, "evaluation", errors=True)


def test_a_stage_without_a_log_or_no_stage_at_all(own_drive: Drive, view: ExperimentView) -> None:
    for stage in ("training", "nonsense"):
        with pytest.raises(NoSuchFile, match="No attempt at this stage"):
            read_log_tail(own_drive, view, stage)


def test_an_unknown_experiment_is_answered_with_the_nearest_names(overview: Overview) -> None:
    with pytest.raises(UnknownExperiment, match=r"'basline'\. Did you mean baseline"):
        find_experiment(overview, "basline")
