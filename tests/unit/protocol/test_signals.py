import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from heliograph.drive import Drive
from heliograph.errors import BadName, BadSignal
from heliograph.protocol import signals
from support.drives import NOW, training_signal

SPECIFIED = {
    "timestamp": "2025-09-30T14:32:15Z",
    "experiment": "experiment_01",
    "checkpoint_path": "/mnt/shared/subject-drop/models/experiment_01/final",
    "hostname": "wild_west",
    "user": "tmorton",
    "config_path": "/mnt/shared/subject-drop/config/experiments/experiment_01.yaml",
    "num_epochs": 10,
    "final_loss": 2.34,
    "total_steps": 50000,
    "git_commit": "a94429c",
}


def parse(content: dict[str, Any] | bytes, folder: str = "experiment_01") -> signals.Signal:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return signals.parse_signal(raw, signals.TRAINING_COMPLETE, Path("/drive/.training_complete"), folder)


def test_the_specified_example_is_read_field_by_field() -> None:
    content = parse(SPECIFIED).content
    assert content.timestamp == datetime(2025, 9, 30, 14, 32, 15, tzinfo=UTC)
    assert {k: getattr(content, k) for k in SPECIFIED if k != "timestamp"} == {
        k: v for k, v in SPECIFIED.items() if k != "timestamp"
    }


def test_what_is_published_is_read_back_pretty_and_without_leftovers(drive: Drive) -> None:
    published = signals.publish_signal(drive, signals.TRAINING_COMPLETE, training_signal(drive, "e1"))
    assert published.path == drive.model_folder("e1") / ".training_complete"
    assert os.listdir(published.path.parent) == [".training_complete"]
    assert published.path.read_text().startswith('{\n  "timestamp": "2026-01-31T09:05:00Z"')
    again = signals.read_signal(published.path, signals.TRAINING_COMPLETE, "e1")
    assert again.content == training_signal(drive, "e1")


def test_layout_and_order_do_not_change_the_identity_but_every_value_does() -> None:
    first = parse(SPECIFIED).sha256
    assert parse(json.dumps(SPECIFIED, indent=7, sort_keys=True).encode()).sha256 == first
    assert parse(SPECIFIED | {"final_loss": 2.35}).sha256 != first
    assert parse(SPECIFIED | {"note_of_another_tool": 1}).sha256 != first


@pytest.mark.parametrize(
    ("change", "field", "problem"),
    [
        ({"timestamp": "yesterday"}, "timestamp", "no time"),
        ({"timestamp": "2025-09-30T14:32:15"}, "timestamp", "offset"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "timestamp", "no time"),
        ({"timestamp": "9999-12-31T23:59:59-14:00"}, "timestamp", "no time"),
        ({"experiment": "../../x"}, "experiment", "1 to 128 letters"),
        ({"experiment": "; rm -rf ~"}, "experiment", "1 to 128 letters"),
        ({"experiment": "experiment_02"}, "experiment", "differs from the folder"),
        ({"hostname": ""}, "hostname", "length >= 1"),
        ({"user": 7}, "user", "Expected `str`, got `int`"),
        ({"total_steps": -1}, "total_steps", ">= 0"),
        ({"total_steps": 10**30}, "total_steps", ""),
        ({"final_loss": "low"}, "final_loss", "Expected `float | null`, got `str`"),
        ({"git_commit": "HEAD; true"}, "git_commit", "hexadecimal"),
        ({"checkpoint_path": "x" * 5000}, "checkpoint_path", "length <= 4096"),
    ],
)
def test_a_wrong_field_is_named_with_its_value(change: dict[str, Any], field: str, problem: str) -> None:
    with pytest.raises(BadSignal) as caught:
        parse(SPECIFIED | change)
    assert caught.value.facts["field"] == field
    assert problem in caught.value.facts["problem"]
    assert caught.value.facts["remedy"]
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("field", ["timestamp", "experiment", "checkpoint_path", "hostname", "user"])
def test_a_missing_required_field_is_named(field: str) -> None:
    with pytest.raises(BadSignal, match=f"{field}: is missing"):
        parse({k: v for k, v in SPECIFIED.items() if k != field})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"timestamp": NaN}',
        b'{"user": "a", "user": "b"}',
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b"\x00" * 512,
        b'{"user": "\\ud800"}',
        b'{"\\udfff": 1}',
    ],
)
def test_what_is_no_json_object_is_bad_and_named_without_control_signs(raw: bytes) -> None:
    with pytest.raises(BadSignal) as caught:
        parse(raw)
    assert "/drive/.training_complete" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_fifo_a_link_and_a_huge_file_are_no_signals(drive: Drive, tmp_path: Path) -> None:
    folder = drive.model_folder("e1")
    folder.mkdir()
    path = folder / ".training_complete"
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        signals.read_signal(path, signals.TRAINING_COMPLETE, "e1")
    path.unlink()
    (tmp_path / "elsewhere").write_text("{}")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        signals.read_signal(path, signals.TRAINING_COMPLETE, "e1")
    path.unlink()
    path.write_bytes(b" " * (signals.LARGEST_SIGNAL + 1))
    with pytest.raises(OSError, match="larger than"):
        signals.read_signal(path, signals.TRAINING_COMPLETE, "e1")


def test_nothing_invalid_can_be_published(drive: Drive) -> None:
    with pytest.raises(BadName):
        hostile = msgspec.structs.replace(training_signal(drive, "ok"), experiment="../x")
        signals.publish_signal(drive, signals.TRAINING_COMPLETE, hostile)
    with pytest.raises(BadSignal):
        signals.publish_signal(drive, signals.TRAINING_COMPLETE, training_signal(drive, "e1", user=""))
    assert list(drive.models.rglob("*complete*")) == []


def test_a_loss_that_is_no_number_is_published_as_none(drive: Drive) -> None:
    content = training_signal(drive, "e1", final_loss=float("nan"), timestamp=NOW)
    published = signals.publish_signal(drive, signals.TRAINING_COMPLETE, content)
    assert published.content.final_loss is None


@pytest.mark.parametrize("field", ["experiment", "git_commit"])
def test_a_last_newline_does_not_slip_through(field: str) -> None:
    with pytest.raises(BadSignal, match=field):
        parse(SPECIFIED | {field: f"{SPECIFIED[field]}\n"}, folder="experiment_01\n")
