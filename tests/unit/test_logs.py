import json
import logging
from pathlib import Path

import pytest

from heliograph import logs


@pytest.fixture
def record() -> logging.LogRecord:
    made = logging.LogRecord(
        "heliograph.x", logging.WARNING, "f.py", 1, "bad \x1b[31m line\n%s", ("2",), None
    )
    made.experiment, made.stage, made.job_id = "e1", "evaluation", "17"
    return made


def test_a_line_for_files_is_one_json_object(record: logging.LogRecord) -> None:
    line = logs.JsonFormatter().format(record)
    assert "\n" not in line
    told = json.loads(line)
    assert (told["level"], told["experiment"], told["stage"], told["job_id"]) == (
        "WARN",
        "e1",
        "evaluation",
        "17",
    )
    assert told["event"] == "bad \x1b[31m line\n2"
    assert told["time"].endswith("Z")
    assert {"host", "pid"} <= told.keys()


def test_a_line_for_people_cannot_move_their_cursor(record: logging.LogRecord) -> None:
    line = logs.TerminalFormatter().format(record)
    assert "\x1b" not in line
    assert "\n" not in line
    assert "e1/evaluation" in line


def test_a_drive_that_does_not_take_the_line_is_no_error(tmp_path: Path, record: logging.LogRecord) -> None:
    handler = logs.DriveLogHandler(tmp_path / "gone" / "watcher.log")
    handler.setFormatter(logs.JsonFormatter())
    handler.handle(record)
    (tmp_path / "gone").mkdir()
    handler.handle(record)
    handler.handle(record)
    assert len((tmp_path / "gone" / "watcher.log").read_text().splitlines()) == 2
