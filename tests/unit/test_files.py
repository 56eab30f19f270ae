import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from heliograph import durable, files


def test_a_file_appears_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_atomic(path, b"one")
    files.write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a.json"]


def test_an_exception_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_atomic(path, b"old")
    with pytest.raises(RuntimeError), files.atomic_file(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_reader_beside_a_writer_never_sees_half(tmp_path: Path) -> None:
    path = tmp_path / "a"
    contents = [bytes([48 + n % 10]) * 20_000 for n in range(200)]
    files.write_atomic(path, contents[0])
    stop = threading.Event()
    torn = []

    def read() -> None:
        while not stop.is_set():
            seen = files.read_untrusted(path, 1 << 20)
            if len(set(seen)) != 1 or len(seen) != 20_000:
                torn.append(seen)

    reader = threading.Thread(target=read)
    reader.start()
    for content in contents:
        files.write_atomic(path, content)
    stop.set()
    reader.join()
    assert torn == []


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_process_that_dies_at_a_step_leaves_the_old_file_or_the_new(
    tmp_path: Path, step: str, moment: str
) -> None:
    path = tmp_path / "a"
    files.write_atomic(path, b"old")
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from heliograph import durable, files\n"
        "def die(when, kind, what): os._exit(9) if [when, kind] == sys.argv[2:] else None\n"
        "durable.install_hook(die)\n"
        "files.write_atomic(Path(sys.argv[1]), b'new')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path), moment, step], check=False)
    assert done.returncode == 9
    expected = b"new" if (step, moment) == ("rename", "after") else b"old"
    assert path.read_bytes() == expected


def test_a_folder_is_made_by_exactly_one(tmp_path: Path) -> None:
    made = []
    barrier = threading.Barrier(8)

    def make() -> None:
        barrier.wait()
        made.append(files.make_folder_once(tmp_path / "claim"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False] * 7 + [True]


def test_every_step_is_announced_before_and_after(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []
    durable.install_hook(lambda when, kind, _: seen.append((when, kind)))
    try:
        files.write_atomic(tmp_path / "a", b"x")
        files.make_folder_once(tmp_path / "b")
    finally:
        durable.install_hook(None)
    steps = ["fsync", "rename", "fsync", "mkdir", "fsync"]
    assert seen == [(when, kind) for kind in steps for when in ("before", "after")]
