"""why, logs, retry, cancel and quarantine as people call them, on a drive on which much has happened."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from heliograph.cli.main import main
from heliograph.drive import Drive
from heliograph.names import utc_now
from heliograph.protocol.events import CancelRequested, RetryRequested, make_event, read_event
from heliograph.protocol.quarantine import keep_aside, move_aside
from heliograph.state.explanation import Explanation
from unit.dashboard.scenes import HOSTILE, everything_on, publish_scene, write_beat


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    """A drive on which something of everything has happened by now."""
    return publish_scene(tmp_path / "drive", utc_now())


@pytest.fixture(autouse=True)
def _columns(monkeypatch: pytest.MonkeyPatch, drive: Drive) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("SHARED_DRIVE", str(drive.root))


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run a command; return what it prints, on the error output where it fails."""
    assert main(arguments) == code
    printed = capsys.readouterr()
    return printed.err if code else printed.out


def inbox(drive: Drive) -> list[object]:
    return [read_event(path).body for path in sorted(drive.inbox.iterdir())]


def terminal(*arguments: str) -> str:
    """Run a command on a terminal of 80 columns."""
    command = f"{sys.executable} -m heliograph {' '.join(arguments)}"
    script = ["script", "-qec", f"stty cols 80; {command}", "/dev/null"]
    return subprocess.run(script, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout


# why --------------------------------------------------------------------------------------------------


def test_why_answers_in_a_page_of_80_columns_without_anything_that_acts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = said(capsys, "why", "hostile")
    lines = text.splitlines()
    assert lines[0] == "hostile"
    assert lines[1] == "  training ✓ completed   evaluation ✗ failed   analysis · waiting"
    assert "  Evaluation failed 6 h ago, and no other attempt follows by itself." in lines
    assert "      heliograph retry hostile --stage evaluation" in lines
    assert max(map(len, lines)) <= 80
    assert not any(line.endswith(" ") for line in lines)
    assert all(sign.isprintable() or sign == "\n" for sign in text)


def test_why_in_json_is_the_explanation(capsys: pytest.CaptureFixture[str]) -> None:
    answer = msgspec.json.decode(said(capsys, "why", "evaluation-queued", "--json"), type=Explanation)
    assert (answer.code, answer.scheduler_words, answer.job_id) == ("pending", "Resources", "4720")
    assert answer.steps[-1].command == "heliograph cancel evaluation-queued --stage evaluation"


def test_why_uses_colours_on_a_terminal() -> None:
    assert "\x1b[1;31m✗ failed\x1b[0m" in terminal("why", "hostile")


def test_why_tells_mistakes_in_a_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "Did you mean baseline?" in said(capsys, "why", "basline", code=3)
    assert "no stage is called 'x'" in said(capsys, "why", "baseline", "--stage", "x", code=2)
    assert "is not a heliograph drive" in said(capsys, "--drive", str(tmp_path), "why", "e", code=4)


def test_looking_writes_nothing(drive: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything_on(drive)
    for arguments in (["why", "hostile"], ["logs", "baseline", "evaluation"], ["quarantine"]):
        said(capsys, *arguments)
    assert everything_on(drive) == before


# retry, cancel ----------------------------------------------------------------------------------------


def test_a_retry_is_posted_and_says_what_comes(drive: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "retry", "hostile", "--mem", "64G", "--no-wait")
    assert inbox(drive) == [RetryRequested(experiment="hostile", stage="evaluation", mem="64G")]
    assert text.splitlines() == [
        "Asked: evaluation of hostile: attempt 2, at once, with memory 64G.",
        "It could not succeed as it was: another attempt helps only if that has been mended.",
        "It stands in the inbox; the watcher takes it up within seconds.",
        "How it goes on: heliograph why hostile",
    ]


def test_a_refused_retry_posts_nothing(drive: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Cancel it first" in said(capsys, "retry", "evaluation-runs", code=2)
    assert "more than the 256G" in said(capsys, "retry", "hostile", "--mem", "1T", code=2)
    assert "Did you mean hostile?" in said(capsys, "retry", "hostil", code=3)
    assert inbox(drive) == []


def test_without_a_watcher_the_request_waits_in_the_inbox(
    drive: Drive, capsys: pytest.CaptureFixture[str]
) -> None:
    (drive.lease / "holder.json").unlink()
    asked = json.loads(said(capsys, "cancel", "evaluation-retried", "--yes", "--json"))
    assert (asked["what"], asked["watcher_is_alive"], asked["taken_up"]) == ("cancel", False, False)
    assert asked["told"].startswith("No watcher is alive. It stands in the inbox")
    assert "1 event waits in the inbox." in said(capsys, "why", "evaluation-retried")


def test_a_watcher_that_does_not_take_it_up_is_told(drive: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    write_beat(drive, utc_now())
    text = said(capsys, "cancel", "evaluation-runs", "--wait", "0.1")
    assert "The watcher has not taken it up yet. It stands in the inbox, and is not lost." in text
    assert inbox(drive) == [CancelRequested(experiment="evaluation-runs", stage="evaluation")]


@pytest.mark.parametrize(("answer", "posted"), [("y\n", 1), ("\n", 0), ("n\n", 0)])
def test_cancel_asks_first_on_a_terminal(drive: Drive, answer: str, posted: int) -> None:
    command = f"{sys.executable} -m heliograph cancel evaluation-runs --no-wait"
    script = ["script", "-qc", command, "/dev/null"]
    shown = subprocess.run(script, input=answer, capture_output=True, text=True, check=False).stdout
    assert "(slurm 4721 on node07) ends, and no other follows. Cancel it? [y/N]" in shown
    assert len(inbox(drive)) == posted


@pytest.mark.parametrize("wait", ["-1", "soon", "1e9"])
def test_a_wait_is_a_number_of_seconds(capsys: pytest.CaptureFixture[str], wait: str) -> None:
    with pytest.raises(SystemExit):
        main(["retry", "hostile", f"--wait={wait}"])
    assert "a number of seconds is meant" in capsys.readouterr().err


# logs -------------------------------------------------------------------------------------------------


def raw(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> bytes:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="utf-8"))
    assert main(arguments) == 0
    sys.stdout.flush()
    return out.getvalue()


def test_a_pipe_gets_the_log_byte_for_byte(monkeypatch: pytest.MonkeyPatch, drive: Drive) -> None:
    folder = drive.stage_logs("evaluation")
    both = (folder / "4711.log").read_bytes() + (folder / "4711.err").read_bytes()
    assert raw(monkeypatch, "logs", "baseline", "evaluation") == both
    assert raw(monkeypatch, "logs", "baseline", "evaluation", "--errors") == b"a warning\n"
    assert raw(monkeypatch, "logs", "baseline", "evaluation", "-n", "1") == b"bell \x07 <b>\na warning\n"


def test_a_terminal_gets_it_harmless_with_titles(drive: Drive) -> None:
    (drive.stage_logs("evaluation") / "4711.err").write_text("password=hunter2\n")
    lines = [line.rstrip("\r") for line in terminal("logs", "baseline", "evaluation").split("\n")]
    assert lines == [
        *("\x1b[1;36m── logs/evaluation/4711.log\x1b[0m", "evaluating baseline", "20 %", "bell \\x07 <b>"),
        *("\x1b[1;36m── logs/evaluation/4711.err\x1b[0m", "password=***", ""),
    ]


def test_logs_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(said(capsys, "logs", "baseline", "evaluation", "--errors", "--json"))
    assert told == {
        "experiment": "baseline",
        "stage": "evaluation",
        "attempt": 1,
        "job_id": "4711",
        "files": [{"path": "logs/evaluation/4711.err", "lines": ["a warning"]}],
    }


def test_following_ends_with_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "logs", "baseline", "evaluation", "-f", "--json").splitlines()
    assert [json.loads(line)["line"] for line in lines][-1] == "a warning"


def test_the_log_of_a_training_is_its_own(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    drive.training_log("baseline").write_bytes(b'{"time":"x","level":"INFO","event":"alive"}\n')
    assert raw(monkeypatch, "logs", "baseline", "training").startswith(b'{"time"')


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["baseline", "eval"], 2, "no stage is called 'eval'. The stages are training, evaluation, analysis"),
        (["baseline", "evaluation", "--attempt", "4"], 3, "has no job of attempt 4. Attempts with a job: 1."),
        (["baseline", "training", "--errors"], 2, "a training has one log"),
        (["baseline"], 3, "There is no log yet: analysis of baseline, attempt 1, slurm 4712."),
        (["evaluation-waits", "evaluation"], 3, "evaluation of evaluation-waits has no log yet"),
        (["basline"], 3, "Did you mean baseline?"),
    ],
)
def test_a_log_that_is_not_there_is_told(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, told: str
) -> None:
    assert told in said(capsys, "logs", *arguments, code=code)


# quarantine -------------------------------------------------------------------------------------------


def put_aside(drive: Drive, content: bytes = b"not JSON \x1b[31m\n") -> str:
    path = drive.model_folder("exp_01") / ".training_complete"
    path.parent.mkdir()
    path.write_bytes(content)
    return keep_aside(drive, path, content, "1" * 64, f"{path}: not JSON, found {HOSTILE}", utc_now())


def test_the_quarantine_is_listed_with_reasons(drive: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "quarantine") == "Nothing was put aside.\n"
    name = put_aside(drive)
    lines = said(capsys, "quarantine").splitlines()
    assert lines[0] == name
    assert any("<script>" in line for line in lines)
    assert all(sign.isprintable() for line in lines for sign in line)
    assert lines[-2:] == ["  heliograph quarantine show NAME", "  heliograph quarantine release NAME"]
    assert said(capsys, "quarantine", "list").splitlines() == lines
    assert [one["name"] for one in json.loads(said(capsys, "quarantine", "--json"))] == [name]


def test_one_entry_is_shown_harmless_or_raw(
    drive: Drive, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = put_aside(drive)
    text = said(capsys, "quarantine", "show", "exp_01")
    assert "  where  models/exp_01/.training_complete\n" in text
    assert "  │ not JSON \\x1b[31m\n" in text
    assert f"    heliograph quarantine release {name}\n" in text
    told = json.loads(said(capsys, "quarantine", "show", name, "--json"))
    assert (told["what"], told["content"], told["size"]) == ("signal", "file", 15)
    assert raw(monkeypatch, "quarantine", "show", name, "--raw") == b"not JSON \x1b[31m\n"


def test_a_huge_entry_is_shown_in_part(drive: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    put_aside(drive, b"x" * 500_000)
    text = said(capsys, "quarantine", "show", "exp_01")
    assert len(text) < 20_000
    assert "only its beginning; --raw gives all of it" in text


def test_a_signal_is_released(drive: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    put_aside(drive)
    text = said(capsys, "quarantine", "release", "exp_01")
    assert "  heliograph why exp_01\n" in text
    assert [type(body).__name__ for body in inbox(drive)] == ["ReleaseRequested"]
    assert said(capsys, "quarantine") == "Nothing was put aside.\n"
    assert "It was released before" in said(capsys, "quarantine", "release", "exp_01")


def test_an_event_is_released_into_the_inbox(drive: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    event = make_event(CancelRequested(experiment="baseline", stage="analysis"))
    path = drive.inbox / f"{event.id}.json"
    path.write_bytes(msgspec.json.encode(event))
    move_aside(drive, path, "cannot be applied", utc_now())
    assert inbox(drive) == []
    assert json.loads(said(capsys, "quarantine", "release", "inbox", "--json"))["what"] == "event"
    assert inbox(drive) == [event.body]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["show"], "name the entry that is to be shown. heliograph quarantine lists them"),
        (["release"], "name the entry that is to be released."),
        (["list", "x"], "list takes no name"),
        (["show", "nothing"], "nothing is kept as 'nothing'. heliograph quarantine lists what is"),
    ],
)
def test_mistakes_get_a_sentence(capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    assert told in said(capsys, "quarantine", *arguments, code=2)
