"""What hostile files say reaches neither a terminal as control signs, nor a log file as a broken line."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import msgspec
import pytest

from heliograph import logs
from heliograph.cli.main import main
from heliograph.drive import Drive
from heliograph.protocol.quarantine import Reason, keep_aside, list_quarantine
from heliograph.stages.builtin import STAGES
from heliograph.state.inbox import Inbox
from heliograph.state.store import Store
from heliograph.watcher.desk import SignalDesk
from heliograph.watcher.look import Looker
from hostile.cases import put_event, put_signal, read_corpus
from support.drives import NOW

HOSTILE = 'a\x1b[2J\x1b]0;title\x07\r\n{"level": "INFO", "event": "forged"}\x9b31m\u202e\u2028\x00\x7f\ud800"'


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("heliograph.x", logging.ERROR, "f.py", 1, "%s", (message,), None)
    made.__dict__.update(extra)
    return made


def with_traceback(message: str) -> logging.LogRecord:
    made = record("it failed")
    try:
        raise ValueError(message)
    except ValueError as error:
        made.exc_info = (type(error), error, error.__traceback__)
    return made


@pytest.mark.parametrize(
    "one",
    [
        record(HOSTILE),
        record("x", experiment=HOSTILE, stage=HOSTILE, token=HOSTILE, job_id=HOSTILE),
        with_traceback(HOSTILE),
    ],
    ids=["message", "context", "traceback"],
)
def test_no_control_sign_passes(one: logging.LogRecord) -> None:
    for_people = logs.TerminalFormatter().format(one)
    assert all(line.isprintable() for line in for_people.split("\n"))
    if one.exc_info is None:
        assert "\n" not in for_people
    line = logs.JsonFormatter().format(one)
    assert line.isascii()
    assert not any(ord(letter) < 32 for letter in line)
    assert set(json.loads(line)) >= {"time", "level", "event"}
    msgspec.json.decode(line)  # a stricter reader: it takes no halves of surrogate pairs


def test_the_whole_corpus_through_the_log(drive: Drive, spot: Path) -> None:
    """Put aside every hostile signal and event with both handlers attached; then read what they wrote."""
    for number, case in enumerate(read_corpus("signals")):
        if case.make != "huge":
            put_signal(case, drive, f"broken-{number:03d}")
    for number, case in enumerate(read_corpus("events")):
        if case.make != "huge":
            put_event(case, drive, number)
    terminal = io.StringIO()
    for_people, to_file = logging.StreamHandler(terminal), logs.DriveLogHandler(drive.watcher_log)
    for_people.setFormatter(logs.TerminalFormatter())
    to_file.setFormatter(logs.JsonFormatter())
    logger = logging.getLogger("heliograph")
    logger.addHandler(for_people)
    logger.addHandler(to_file)
    try:
        with Store(spot / "state") as store:
            desk, looker = SignalDesk(store), Looker(drive, STAGES, settle_s=0)
            for experiment in looker.list_models()[0]:
                asides = desk.asides(experiment, looker.look(experiment, NOW)[1])
                desk.put_aside(asides, ["kept"] * len(asides), NOW)
            Inbox(drive, settle_s=0).take(store, NOW, 1)
    finally:
        logger.removeHandler(for_people)
        logger.removeHandler(to_file)
    shown = terminal.getvalue().splitlines()
    written = drive.watcher_log.read_text(encoding="ascii").splitlines()
    assert len(shown) == len(written) > 250
    assert all(line.isprintable() for line in shown)
    assert {json.loads(line)["level"] for line in written} <= {"ERROR", "WARN", "INFO"}
    assert not any(json.loads(line)["event"] == "forged" for line in written)


def test_a_quarantine_that_others_wrote_into_is_listed_harmlessly(
    drive: Drive, spot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_aside(drive, drive.models / "e1" / ".training_complete", b"{}", "a" * 64, "because", NOW)
    hostile = drive.quarantine / "\x1b[31mred\nline"
    hostile.mkdir()
    text = HOSTILE.replace("\ud800", "")
    (hostile / "reason.json").write_bytes(msgspec.json.encode(Reason(text, text, text, text)))
    (drive.quarantine / "link").symlink_to(spot)
    (drive.quarantine / "deep").mkdir()
    (drive.quarantine / "deep" / "reason.json").write_bytes(b"[" * 100_000)
    assert len(list_quarantine(drive)) == 3
    assert main(["--drive", str(drive.root), "quarantine"]) == 0
    shown = capsys.readouterr().out
    assert all(line.isprintable() for line in shown.split("\n"))


def test_an_error_of_a_command_is_one_harmless_line(drive: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    drive.watcher_config.write_text('"exec\\e[31mutor\\n": "\\e[2J"\n')
    assert main(["--drive", str(drive.root), "watch", "--once"]) == 3
    shown = capsys.readouterr().err
    assert shown.rstrip("\n").isprintable()
    assert "watcher.yaml" in shown
