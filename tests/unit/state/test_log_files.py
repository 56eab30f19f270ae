import gzip
import os
from pathlib import Path

import pytest

from heliograph.drive import Drive
from heliograph.state.log_files import harmless_ends, job_logs, read_end, training_logs
from heliograph.state.log_follow import Follower


def log_of(drive: Drive, name: str, content: bytes) -> Path:
    path = drive.stage_logs("evaluation") / name
    path.write_bytes(content)
    return path


def test_the_logs_of_a_job_are_found_and_those_of_no_other(drive: Drive) -> None:
    for name in (
        "47.log",
        "47.err",
        "471.log",
        "47_2.log",
        "47_10.err",
        "47_2.err.gz",
        "47.log.gz",
        "47.txt",
    ):
        log_of(drive, name, b"x")
    names = [path.name for path in job_logs(drive, "evaluation", "47")]
    assert names == ["47.log", "47.err", "47_2.log", "47_2.err.gz", "47_10.err"]
    only_errors = [path.name for path in job_logs(drive, "evaluation", "47", errors=True)]
    assert only_errors == ["47.err", "47_2.err.gz", "47_10.err"]


@pytest.mark.parametrize("job_id", [None, "", "../training/x", ".*", "47\n", "a/b"])
def test_a_hostile_job_id_has_no_logs(drive: Drive, job_id: str | None) -> None:
    log_of(drive, "47.log", b"x")
    assert job_logs(drive, "evaluation", job_id) == []


def test_what_is_not_there_has_no_logs(tmp_path: Path) -> None:
    empty = Drive(tmp_path)
    assert job_logs(empty, "evaluation", "47") == []
    assert training_logs(empty, "exp_01") == []


@pytest.mark.parametrize(
    ("content", "lines", "expected"),
    [
        (b"", 3, []),
        (b"a\nb\nc\n", 2, ["b", "c"]),
        (b"a\nb\nc", 2, ["b", "c"]),
        (b"a\nb\nc\n", 9, ["a", "b", "c"]),
        (b"a\n\n\n", 2, ["", ""]),
        (b"a\nb\n", 0, []),
        (b"1 %\r2 %\rb\nc\n", 2, ["1 %\r2 %\rb", "c"]),
        (b"\xff\xfe\n", 1, ["\\xff\\xfe"]),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_end_is_the_last_lines(
    drive: Drive, content: bytes, lines: int, expected: list[str], packed: bool
) -> None:
    path = log_of(drive, "47.log.gz" if packed else "47.log", gzip.compress(content) if packed else content)
    end = read_end(drive, path, lines)
    assert end.lines == expected
    kept = content[end.left_out :].decode("utf-8", "backslashreplace")
    assert (kept.removesuffix("\n").split("\n") if kept else []) == expected


def test_a_huge_log_is_read_from_its_end_only(drive: Drive) -> None:
    path = log_of(drive, "47.log", b"")
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a sparse terabyte
        file.seek(1 << 40)
        file.write(b"\nlast but one\nlast\n")
    end = read_end(drive, path, 2)
    assert end.lines == ["last but one", "last"]
    assert end.left_out == (1 << 40) + 1


def test_one_endless_line_is_cut(drive: Drive) -> None:
    path = log_of(drive, "47.log", b"x" * (40 << 20))
    assert sum(map(len, read_end(drive, path, 5).lines)) < 20 << 20


def test_a_log_that_was_compressed_meanwhile_is_found(drive: Drive) -> None:
    path = log_of(drive, "47.log", b"a\n")
    log_of(drive, "47.log.gz", gzip.compress(b"a\nb\n"))
    path.unlink()
    assert read_end(drive, path, 5).lines == ["a", "b"]


def test_nothing_outside_the_logs_is_read(drive: Drive, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    link = drive.stage_logs("evaluation") / "47.log"
    link.symlink_to(secret)
    os.mkfifo(drive.stage_logs("evaluation") / "47.err")
    (drive.stage_logs("evaluation") / "47_1.log").mkdir()
    log_of(drive, "47_2.log.gz", gzip.compress(b"abc\n" * 1000)[:40])
    ends = harmless_ends(drive, job_logs(drive, "evaluation", "47"), 5)
    assert [end.lines for end in ends] == [
        ["(it cannot be read: leads out of the drive's logs)"],
        ["(it cannot be read: not a regular file)"],
        ["(it cannot be read: not a regular file)"],
        ["(it cannot be read: compressed, and damaged: Compressed file ended before the end-of-stream "
         "marker was reached)"],
    ]  # fmt: skip


# Following --------------------------------------------------------------------------------------------


def news(follower: Follower, *paths: Path) -> list[tuple[str, bytes, str | None]]:
    return [(piece.path.name, piece.content, piece.note) for piece in follower.look(paths)]


def test_only_what_is_new_is_read_and_absence_is_waited_for(drive: Drive) -> None:
    path = drive.stage_logs("evaluation") / "47.log"
    follower = Follower(drive)
    assert news(follower, path) == []
    path.write_bytes(b"a\nb")
    assert news(follower, path) == [("47.log", b"a\nb", None)]
    assert news(follower, path) == []
    with path.open("ab") as file:
        file.write(b"c\n")
    assert news(follower, path) == [("47.log", b"c\n", None)]


def test_a_log_that_became_shorter_is_read_anew(drive: Drive) -> None:
    path = log_of(drive, "47.log", b"a long line\n")
    follower = Follower(drive)
    news(follower, path)
    path.write_bytes(b"new\n")
    told = "it became shorter, and is read from its beginning"
    assert news(follower, path) == [("47.log", b"", told), ("47.log", b"new\n", None)]


def test_following_goes_on_in_the_compressed_log(drive: Drive) -> None:
    path = log_of(drive, "47.log", b"a\n")
    follower = Follower(drive)
    news(follower, path)
    packed = log_of(drive, "47.log.gz", gzip.compress(b"a\nb\n"))
    path.unlink()
    assert news(follower, packed) == [("47.log.gz", b"b\n", None)]


def test_a_log_replaced_on_the_drive_is_opened_anew(drive: Drive) -> None:
    path = log_of(drive, "47.log", b"a\n")
    follower = Follower(drive)
    news(follower, path)
    other = log_of(drive, "other", b"a\nb\n")
    os.replace(other, path)
    assert news(follower, path) == [("47.log", b"b\n", None)]
