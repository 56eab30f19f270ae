"""Large logs at a job's end."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from heliograph.runner import job_logs


def lines(count: int, word: str = "line") -> str:
    return "".join(f"{word} {number:07d}\n" for number in range(count))


def test_a_large_log_is_kept_whole_beside_its_end(tmp_path: Path) -> None:
    log, small = tmp_path / "17.log", tmp_path / "17.err"
    log.write_text(lines(20_000))
    small.write_text(lines(10))
    job_logs.compress_large([log, small, tmp_path / "none"], 100_000)
    assert gzip.decompress((tmp_path / "17.log.gz").read_bytes()).decode() == lines(20_000)
    head, _, rest = log.read_text().partition("\n")
    assert head == "[heliograph: this is the end; the whole log is 17.log.gz beside it]"
    assert lines(20_000).endswith(f"\n{rest}")
    assert job_logs.KEPT - 20 < len(rest) <= job_logs.KEPT
    assert sorted(os.listdir(tmp_path)) == ["17.err", "17.log", "17.log.gz"]
    assert small.read_text() == lines(10)


def test_who_appends_goes_on_appending(tmp_path: Path) -> None:
    log = tmp_path / "17.log"
    with log.open("a") as writer:
        writer.write(lines(20_000))
        writer.flush()
        job_logs.compress_large([log], 100_000)
        writer.write("last words\n")
    assert log.read_text().endswith("line 0019999\nlast words\n")
    assert log.stat().st_size < job_logs.KEPT + 200


def test_a_second_start_of_the_job_adds_to_what_was_compressed(tmp_path: Path) -> None:
    log = tmp_path / "17.log"
    log.write_text(lines(20_000, "first"))
    job_logs.compress_large([log], 100_000)
    with log.open("a") as writer:
        writer.write(lines(20_000, "again"))
    job_logs.compress_large([log], 100_000)
    whole = gzip.decompress((tmp_path / "17.log.gz").read_bytes()).decode()
    assert whole.startswith(lines(20_000, "first"))
    assert whole.endswith(lines(20_000, "again"))


def test_one_line_without_an_end_is_cut_all_the_same(tmp_path: Path) -> None:
    log = tmp_path / "17.log"
    log.write_text("x" * 200_000)
    job_logs.compress_large([log], 100_000)
    assert len(log.read_text()) > job_logs.KEPT


def test_a_folder_that_takes_nothing_leaves_the_log_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "17.log"
    log.write_text(lines(20_000))
    (tmp_path / "17.log.gz").mkdir()
    job_logs.compress_large([log], 100_000)
    assert log.read_text() == lines(20_000)
    assert "stays as large as it is" in caplog.text


def test_only_files_of_the_logs_folder_are_our_logs(tmp_path: Path) -> None:
    assert job_logs.own_logs(tmp_path) == []
    for folder in (tmp_path / "logs", tmp_path / "other"):
        folder.mkdir()
    kept = [os.dup(number) for number in (1, 2)]
    try:
        for number, path in ((1, tmp_path / "logs" / "1.log"), (2, tmp_path / "other" / "1.err")):
            opened = os.open(path, os.O_WRONLY | os.O_CREAT)
            os.dup2(opened, number)
            os.close(opened)
        found = job_logs.own_logs(tmp_path / "logs")
    finally:
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)
    assert found == [tmp_path / "logs" / "1.log"]
