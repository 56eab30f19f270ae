"""Files that change between two looks, or between the check and the use."""

from __future__ import annotations

import errno
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from heliograph import files
from heliograph.drive import Drive
from heliograph.errors import BadInput
from heliograph.protocol import signals
from heliograph.stages import checks
from heliograph.stages.builtin import STAGES
from heliograph.stages.safetensors_header import check_safetensors
from heliograph.watcher.look import Looker
from support.drives import NOW, make_model, publish_training, safetensors_bytes, training_signal

SECRET = b"the content of a file outside of the drive"


@contextmanager
def meanwhile(act: Callable[[], None]) -> Iterator[None]:
    """Do something again and again, as fast as it goes, while the body runs."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.is_set():
            act()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def replace_by_link(path: Path, target: Path) -> None:
    """Put a link in the place of a file or folder, in one step."""
    beside = path.with_name(f".{path.name}.link")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    os.replace(beside, path)


def test_a_link_that_is_swapped_in_after_the_check_is_found_out_at_the_opening(
    drive: Drive, spot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly between check and use: `inside` was content, then the weights became a link."""
    secret = spot / "secret.safetensors"
    secret.write_bytes(safetensors_bytes())
    weights = make_model(drive, "e1") / "model.safetensors"
    inside = Drive.inside

    def swap_after(self: Drive, path: str | Path, folder: Path, *, field: str, file: object) -> Path:
        found = inside(self, path, folder, field=field, file=file)
        if field == "model.safetensors":
            replace_by_link(weights, secret)
        return found

    monkeypatch.setattr(Drive, "inside", swap_after)
    signal = signals.Signal(signals.TRAINING_COMPLETE, drive.models, "", training_signal(drive, "e1"))
    with pytest.raises(OSError, match="leads out of") as caught:
        checks.check_model(drive, signal)
    assert caught.value.errno == errno.ELOOP


def test_a_parent_folder_that_is_swapped_is_found_out_too(drive: Drive, spot: Path) -> None:
    """O_NOFOLLOW looks at the last name only; the kernel's word of what was opened covers all of them."""
    outside = spot / "outside"
    outside.mkdir()
    (outside / "model.safetensors").write_bytes(safetensors_bytes())
    final = make_model(drive, "e1")
    final.rename(final.with_name("was"))
    final.symlink_to(outside)
    with pytest.raises(OSError, match="leads out of"):
        check_safetensors(final / "model.safetensors", inside=drive.model_folder("e1"))
    with pytest.raises(OSError, match="leads out of"):
        files.sha256_file(final / "model.safetensors", inside=drive.model_folder("e1"))
    assert (
        check_safetensors(final.with_name("was") / "model.safetensors", inside=drive.model_folder("e1")) == 1
    )


def test_what_is_swapped_all_the_time_never_gives_a_byte_of_the_outside(drive: Drive, spot: Path) -> None:
    secret = spot / "secret"
    secret.write_bytes(SECRET)
    path = drive.model_folder("e1")
    path.mkdir()
    path /= "file"
    path.write_bytes(b"good")
    turns = itertools.count()

    def swap() -> None:
        if next(turns) % 2:
            replace_by_link(path, secret)
        else:
            files.write_atomic(path, b"good")

    seen = []
    with meanwhile(swap):
        for _ in range(2000):
            try:
                seen.append(files.read_untrusted(path, 1000, follow=True, inside=drive.root))
            except OSError as error:
                assert error.errno == errno.ELOOP
    assert set(seen) == {b"good"}


def test_a_signal_that_changes_while_it_is_read_is_never_put_aside(drive: Drive) -> None:
    """Written in place, byte by byte, by a tool that knows no rename; then whole."""
    path = publish_training(drive, "e1").path
    whole = path.read_bytes()
    looker = Looker(drive, STAGES, settle_s=2)
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert looker.look("e1", NOW + timedelta(seconds=length)) == ({}, [])
    path.write_bytes(whole)
    seen, broken = looker.look("e1", NOW + timedelta(seconds=1000))
    assert (list(seen), broken) == ([".training_complete"], [])


def test_a_signal_that_is_replaced_all_the_time_is_read_whole_or_not_at_all(drive: Drive) -> None:
    path = publish_training(drive, "e1").path
    contents = [path.read_bytes(), path.read_bytes().replace(b"wild_west", b"another_host" * 200)]
    turns = itertools.count()
    hosts = set()
    with meanwhile(lambda: files.write_atomic(path, contents[next(turns) % 2])):
        for _ in range(300):
            signal = signals.read_signal(path, signals.TRAINING_COMPLETE, "e1")
            hosts.add(signal.content.hostname)
    assert hosts <= {"wild_west", "another_host" * 200}


def test_weights_that_are_still_copied_are_waited_for(drive: Drive) -> None:
    """The signal is there before the weights, as on a drive that shows things out of order."""
    publish_training(drive, "e1")
    weights = drive.final_model("e1") / "model.safetensors"
    whole = weights.read_bytes()
    looker = Looker(drive, STAGES, settle_s=2)
    for length in range(0, len(whole), 9):
        weights.write_bytes(whole[:length])
        assert looker.look("e1", NOW + timedelta(seconds=length)) == ({}, [])
    weights.write_bytes(whole)
    assert looker.look("e1", NOW + timedelta(seconds=1000)) == ({}, []), "they may still grow"
    seen, _ = looker.look("e1", NOW + timedelta(seconds=1002))
    assert list(seen) == [".training_complete"]


@pytest.mark.parametrize("where", ["models", "evaluation"])
def test_an_experiments_folder_that_leads_out_is_not_inside(drive: Drive, spot: Path, where: str) -> None:
    outside = spot / "outside"
    (outside / "final").mkdir(parents=True)
    folder = drive.root / where / "e1"
    folder.symlink_to(outside)
    with pytest.raises(BadInput, match="is not on the drive"):
        drive.inside("final", folder, field="f", file="x")
