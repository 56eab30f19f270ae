import subprocess
import sys

import pytest

from heliograph.cli.main import VERBS, build_parser, main
from heliograph.drive import Drive


@pytest.mark.parametrize(
    "words",
    [
        ["--drive", "demo", "status"],
        ["status", "--drive", "watch"],
        ["--log-level", "DEBUG", "status", "init"],
    ],
)
def test_a_value_that_is_a_verb_is_no_verb(words: list[str]) -> None:
    assert build_parser(words).parse_args(words).verb == "status"


def test_the_drive_may_stand_before_or_after_the_verb() -> None:
    for words in (["--drive", "/d", "quarantine"], ["quarantine", "--drive", "/d"]):
        assert build_parser(words).parse_args(words).drive == "/d"


def test_the_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in VERBS)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["status"], 4, "SHARED_DRIVE"),
        (["--drive", "/no/such/drive", "watch", "--once"], 4, "not a heliograph drive"),
        (["--drive", "/proc/1/x", "init"], 4, "Run this as a user who may write there"),
    ],
)
def test_a_mistake_gives_a_sentence_and_no_traceback(words: list[str], code: int, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "heliograph", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_init_twice_changes_nothing(drive: Drive, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(drive.root)]) == 0
    drive.watcher_config.write_text("executor: local\n")
    before = {path: path.stat().st_mtime_ns for path in drive.root.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(["--drive", str(drive.root), "init"]) == 0
    assert "lacks nothing" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in drive.root.rglob("*") if path.is_file()} == before
