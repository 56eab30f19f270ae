"""Reading data: as a stream, hashed, and every fault named by file and line."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heliograph.drive import Drive
from heliograph.errors import BadConfig, BadDataset
from heliograph.evaluation.data import LONGEST_DOCUMENT, Reading, SeenIds, data_files
from heliograph.evaluation.tasks import Dataset, open_dataset
from unit.evaluation.builders import pair_rows, write_dataset, write_json_lines


def refused(drive: Drive, name: str = "d") -> BadDataset:
    with pytest.raises(BadDataset) as caught:
        open_dataset(drive, name)
    assert caught.value.facts["remedy"]
    return caught.value


def test_one_file_has_the_hash_that_sha256sum_prints(drive: Drive) -> None:
    path = write_dataset(drive, "d", pair_rows())
    dataset = open_dataset(drive, "d")
    assert dataset.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert dataset.n_items == 12


def test_a_folder_is_read_in_the_order_of_names(drive: Drive) -> None:
    folder = drive.root / "data" / "d"
    for name in ("b", "a", "c"):
        write_json_lines(folder / f"{name}.jsonl", [{"item_id": name, "alternatives": ["x", "y"]}])
    (folder / "README.md").write_text("not data")
    (folder / ".hidden.jsonl").write_text("not data")
    write_dataset(drive, "d", [], data="data/d")
    dataset = open_dataset(drive, "d")
    assert [item.item_id for item in dataset.items()] == ["a", "b", "c"]
    listing = "".join(
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("a.jsonl", "b.jsonl", "c.jsonl")
    )
    assert dataset.sha256 == hashlib.sha256(listing.encode()).hexdigest()


def break_line(number: int, raw: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        lines = path.read_bytes().splitlines()
        lines[number - 1] = raw
        path.write_bytes(b"\n".join(lines))

    return change


@pytest.mark.parametrize(
    ("raw", "field", "problem"),
    [
        (b'{"item_id": "x", "alternatives": ["a\xff", "b"]}', "(line)", "is not UTF-8 at byte 37"),
        (b'{"item_id": "x", "alternatives": ["a", "b"]', "(line)", "is not JSON"),
        (b"not json", "(line)", "is not JSON"),
        (b"[1, 2]", "(line)", "is not a JSON object"),
        (b'{"alternatives": ["a", "b"]}', "item_id", "is missing"),
        (b'{"item_id": "", "alternatives": ["a", "b"]}', "item_id", "is blank"),
        (b'{"item_id": 1.5, "alternatives": ["a", "b"]}', "item_id", "is no text"),
        (b'{"item_id": true, "alternatives": ["a", "b"]}', "item_id", "is no text"),
        (b'{"item_id": "x"}', "alternatives", "is no list of two or more texts"),
        (b'{"item_id": "x", "alternatives": ["a"]}', "alternatives", "is no list of two or more texts"),
        (b'{"item_id": "x", "alternatives": "ab"}', "alternatives", "is no list of two or more texts"),
        (b'{"item_id": "x", "alternatives": ["a", ""]}', "alternatives[1]", "is blank"),
        (b'{"item_id": "x", "alternatives": ["a", " "]}', "alternatives[1]", "is blank"),
        (b'{"item_id": "x", "alternatives": ["a", 7]}', "alternatives[1]", "is no text"),
        (b'{"item_id": "x", "alternatives": ["a", "b"], "correct": 2}', "correct", "is no index"),
        (b'{"item_id": "x", "alternatives": ["a", "b"], "correct": -1}', "correct", "is no index"),
        (b'{"item_id": "x", "alternatives": ["a", "b"], "correct": true}', "correct", "is no index"),
        (b'{"item_id": "x", "alternatives": ["a", "b"], "form": {}}', "form", "is no text"),
        (b'{"item_id": "x", "alternatives": ["a", "b"], "context": 3}', "context", "is no text"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_broken_line_is_named(drive: Drive, raw: bytes, field: str, problem: str) -> None:
    path = write_dataset(drive, "d", pair_rows())
    break_line(7, raw)(path)
    error = refused(drive)
    assert error.facts["file"] == f"{path}:7"
    assert error.facts["field"] == field
    assert problem in error.facts["problem"]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"sentence_bad": "b"}, "sentence_good"),
        ({"sentence_good": "", "sentence_bad": "b"}, "sentence_good"),
        ({"sentence_good": "a", "sentence_bad": None}, "sentence_bad"),
        ({"sentence_good": "a", "sentence_bad": "b", "UID": []}, "UID"),
    ],
    ids=str,
)
def test_a_broken_line_of_blimp_is_named(drive: Drive, row: dict[str, Any], field: str) -> None:
    path = write_dataset(drive, "d", [{"sentence_good": "a", "sentence_bad": "b"}, row], format="blimp")
    error = refused(drive)
    assert (error.facts["file"], error.facts["field"]) == (f"{path}:2", field)


def test_an_id_that_stands_twice_is_named(drive: Drive) -> None:
    rows = pair_rows(8)
    path = write_dataset(drive, "d", [*rows, rows[3] | {"alternatives": ["other", "text"]}])
    error = refused(drive)
    assert error.facts["file"] == f"{path}:9"
    assert error.facts["field"] == "item_id"
    assert "'g1', form 'f1'" in error.facts["problem"]


def test_two_forms_of_an_item_share_their_id(drive: Drive) -> None:
    rows = pair_rows(2)
    assert rows[0]["item_id"] == rows[1]["item_id"]
    write_dataset(drive, "d", rows)
    assert open_dataset(drive, "d").n_items == 2


def test_blank_lines_and_line_ends_do_not_count(drive: Drive) -> None:
    path = write_dataset(drive, "d", [])
    path.write_bytes(b'\r\n{"item_id": 1, "alternatives": ["a", "b"]}\r\n\n  \n')
    (item,) = open_dataset(drive, "d").items()
    assert (item.item_id, item.texts, item.place) == ("1", ("a", "b"), f"{path}:2")


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_a_data_set_without_items(drive: Drive, content: bytes) -> None:
    write_dataset(drive, "d", []).write_bytes(content)
    assert "holds no item" in str(refused(drive))


def test_a_line_without_end(tmp_path: Path) -> None:
    path = tmp_path / "big.jsonl"
    with path.open("wb") as file:
        file.write(b"{}\n")
        file.truncate(LONGEST_DOCUMENT + 100)
    with pytest.raises(BadDataset, match=r"big\.jsonl:2: \(line\): is longer than 16 MiB"):
        list(Reading([path]).lines())


def test_data_that_changes_meanwhile_is_told(drive: Drive) -> None:
    path = write_dataset(drive, "d", pair_rows())
    dataset: Dataset = open_dataset(drive, "d")
    path.write_bytes(path.read_bytes().replace(b"cat", b"dog"))
    with pytest.raises(BadDataset, match="was changed while it was evaluated"):
        list(dataset.items())


def test_missing_data_is_told_with_the_yaml(drive: Drive) -> None:
    write_dataset(drive, "d", []).unlink()
    with pytest.raises(BadConfig, match=r"d\.yaml: data: does not exist, found 'data/d\.jsonl'"):
        open_dataset(drive, "d")


@pytest.mark.parametrize("path", ["../secret.jsonl", "/etc/passwd", "data/../../secret.jsonl", "data/out"])
def test_data_outside_the_drive_is_refused(drive: Drive, path: str) -> None:
    secret = drive.root.parent / "secret.jsonl"
    secret.write_text("{}")
    (drive.root / "data").mkdir()
    (drive.root / "data" / "out").symlink_to(secret)
    write_dataset(drive, "d", pair_rows(), data=path)
    with pytest.raises(BadConfig, match="leads out of the drive"):
        open_dataset(drive, "d")


def test_a_link_in_the_folder_that_leads_out_is_refused(drive: Drive) -> None:
    secret = drive.root.parent / "secret.jsonl"
    secret.write_text("{}")
    folder = drive.root / "data" / "d"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").symlink_to(secret)
    write_dataset(drive, "d", [], data="data/d")
    assert "leads out of the drive" in str(refused(drive))


def test_a_pipe_in_the_folder_does_not_hang(drive: Drive) -> None:
    folder = drive.root / "data" / "d"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "a.jsonl")
    with pytest.raises(BadDataset, match="is no regular file"):
        data_files(drive, folder, (".jsonl",))


def test_a_file_that_may_not_be_read_is_named(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, mode: str) -> None:  # chmod does not keep root out, who may run the tests
        raise PermissionError(13, "Permission denied", str(self))

    path = write_dataset(drive, "d", pair_rows())
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BadDataset, match=r"d\.jsonl: \(file\): may not be read"):
        list(Reading([path]).lines())


def test_a_folder_without_data(drive: Drive) -> None:
    (drive.root / "data").mkdir()
    write_dataset(drive, "d", [], data="data").unlink()
    assert "holds no file that ends in .jsonl" in str(refused(drive))


def test_ids_are_remembered_past_the_recent_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SeenIds, "_MOST_RECENT", 10)
    seen = SeenIds()
    assert all(seen.add("g", f"{i}") for i in range(100))
    assert not any(seen.add("g", f"{i}") for i in range(100))
    assert seen.add("g1", "0")  # not the same as "g", "10"
