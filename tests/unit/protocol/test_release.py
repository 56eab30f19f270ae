"""What is taken out of the quarantine goes where it came from, and never anywhere else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from heliograph.drive import Drive
from heliograph.durable import install_hook
from heliograph.errors import CannotRelease, UsageError
from heliograph.protocol import events as ev
from heliograph.protocol.quarantine import keep_aside, list_quarantine, move_aside
from heliograph.protocol.release import Released, find_entry, release
from support.drives import NOW

RAW = b'{"timestamp": "yesterday"}\n'


@pytest.fixture
def posted() -> list[ev.ReleaseRequested]:
    return []


def kept_signal(drive: Drive, experiment: str = "exp_01", raw: bytes = RAW, *, stands: bool = True) -> str:
    """Put a broken signal aside; return the entry's name."""
    path = drive.model_folder(experiment) / ".training_complete"
    path.parent.mkdir(exist_ok=True)
    if stands:
        path.write_bytes(raw)
    return keep_aside(drive, path, raw, "1" * 64, "timestamp: not a time", NOW)


def kept_event(drive: Drive, name: str | None = None, raw: bytes | None = None) -> tuple[str, ev.Event]:
    event = ev.make_event(ev.CancelRequested(experiment="exp_01", stage="evaluation"), NOW)
    path = drive.inbox / f"{name or event.id}.json"
    path.write_bytes(ev.encode_event(event) if raw is None else raw)
    return move_aside(drive, path, "cannot be applied", NOW), event


def let_go(drive: Drive, name: str, posted: list[ev.ReleaseRequested]) -> Released:
    return release(drive, find_entry(drive, name), posted.append)


def test_a_signal_is_looked_at_again_as_if_never_seen(
    drive: Drive, posted: list[ev.ReleaseRequested]
) -> None:
    name = kept_signal(drive)
    released = let_go(drive, name, posted)
    path = drive.model_folder("exp_01") / ".training_complete"
    assert posted == [
        ev.ReleaseRequested(experiment="exp_01", stage="training", path=str(path), sha256="1" * 64)
    ]
    assert released.told[0] == "models/exp_01/.training_complete stands where it was, and is left as it is."
    assert list_quarantine(drive) == []
    assert [kept.name for kept in list_quarantine(drive, released=True)] == [name]


def test_a_signal_that_is_gone_is_put_back(drive: Drive, posted: list[ev.ReleaseRequested]) -> None:
    released = let_go(drive, kept_signal(drive, stands=False), posted)
    assert released.put_back == "models/exp_01/.training_complete"
    assert (drive.model_folder("exp_01") / ".training_complete").read_bytes() == RAW
    assert len(posted) == 1


def test_what_stands_there_is_never_replaced(drive: Drive, posted: list[ev.ReleaseRequested]) -> None:
    name = kept_signal(drive)
    path = drive.model_folder("exp_01") / ".training_complete"
    path.unlink()
    path.symlink_to("/nowhere")
    assert let_go(drive, name, posted).put_back is None
    assert path.is_symlink()


def test_a_folder_that_is_gone_is_not_made_again(drive: Drive, posted: list[ev.ReleaseRequested]) -> None:
    name = kept_signal(drive, stands=False)
    drive.model_folder("exp_01").rmdir()
    assert let_go(drive, name, posted).told[0] == "models/exp_01/ is gone, so the signal was not put back."
    assert not drive.model_folder("exp_01").exists()


def test_releasing_twice_changes_nothing_more(drive: Drive, posted: list[ev.ReleaseRequested]) -> None:
    name = kept_signal(drive)
    let_go(drive, name, posted)
    assert let_go(drive, name, posted).told == ["It was released before; nothing is left to do."]
    assert len(posted) == 1


def test_an_event_goes_back_under_its_own_name(drive: Drive, posted: list[ev.ReleaseRequested]) -> None:
    name, event = kept_event(drive, name="another-name")
    released = let_go(drive, name, posted)
    assert released.experiment == "exp_01"
    assert ev.read_event(drive.inbox / f"{event.id}.json") == event
    assert posted == []
    assert list_quarantine(drive) == []


def test_an_event_that_is_broken_stays_and_says_why(drive: Drive, posted: list[ev.ReleaseRequested]) -> None:
    name, _ = kept_event(drive, raw=b'{"id": "x"')
    with pytest.raises(CannotRelease, match=r"its content: \(file\): is not JSON"):
        let_go(drive, name, posted)
    assert [kept.name for kept in list_quarantine(drive)] == [name]


def test_what_is_no_file_stays(drive: Drive, posted: list[ev.ReleaseRequested]) -> None:
    os.mkfifo(drive.inbox / "fifo.json")
    name = move_aside(drive, drive.inbox / "fifo.json", "no plain file", NOW)
    with pytest.raises(CannotRelease, match="it is no file but something that cannot be read"):
        let_go(drive, name, posted)


def test_an_event_does_not_replace_another(drive: Drive, posted: list[ev.ReleaseRequested]) -> None:
    name, event = kept_event(drive)
    (drive.inbox / f"{event.id}.json").write_bytes(b"another")
    with pytest.raises(CannotRelease, match="stands there already"):
        let_go(drive, name, posted)
    assert (drive.inbox / f"{event.id}.json").read_bytes() == b"another"


# Hostile entries --------------------------------------------------------------------------------------


def hostile(drive: Drive, path: str, sha256: str = "1" * 64, name: str = "evil") -> str:
    folder = drive.quarantine / name
    folder.mkdir()
    (folder / "content").write_bytes(RAW)
    told = {"path": path, "reason": "x", "quarantined_at": "soon", "sha256": sha256}
    (folder / "reason.json").write_text(json.dumps(told))
    return name


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/cron.d/evil", "../../../etc/passwd", "", "/", "models/exp_01/final/config.json"),
        *("models/../../.training_complete", "models/.training_complete", ".training_complete"),
        *("models/a\x00b/.training_complete", "evaluation/exp_01/.training_complete", "x" * 10_000),
    ],
)
def test_a_place_where_no_signal_can_stand_is_refused(
    drive: Drive, posted: list[ev.ReleaseRequested], path: str
) -> None:
    with pytest.raises(CannotRelease, match="names a place where no signal can stand"):
        let_go(drive, hostile(drive, path), posted)
    assert posted == []


def test_a_signal_of_another_mount_point_is_put_back_on_this_drive(
    drive: Drive, posted: list[ev.ReleaseRequested]
) -> None:
    """The watcher's host may know the drive by another path: that path is what its databases hold."""
    drive.model_folder("exp_01").mkdir()
    path = "/mnt/elsewhere/models/exp_01/.training_complete"
    assert let_go(drive, hostile(drive, path), posted).put_back == "models/exp_01/.training_complete"
    assert posted[0].path == path


def test_a_link_that_leads_out_is_not_followed(
    drive: Drive, tmp_path: Path, posted: list[ev.ReleaseRequested]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (drive.models / "exp_01").symlink_to(outside)
    with pytest.raises(CannotRelease, match=r"would lead out of models/ by a symbolic link"):
        let_go(drive, hostile(drive, "models/exp_01/.training_complete"), posted)
    assert list(outside.iterdir()) == []
    assert posted == []


def test_content_that_is_a_link_is_not_read(
    drive: Drive, tmp_path: Path, posted: list[ev.ReleaseRequested]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    drive.model_folder("exp_01").mkdir()
    name = hostile(drive, "models/exp_01/.training_complete")
    (drive.quarantine / name / "content").unlink()
    (drive.quarantine / name / "content").symlink_to(secret)
    assert let_go(drive, name, posted).put_back is None
    assert not (drive.model_folder("exp_01") / ".training_complete").exists()


def test_an_entry_that_is_a_link_is_none(drive: Drive, tmp_path: Path) -> None:
    (drive.quarantine / "link").symlink_to(tmp_path)
    assert list_quarantine(drive) == []
    with pytest.raises(UsageError, match="nothing is kept as 'link'"):
        find_entry(drive, "link")


@pytest.mark.parametrize("name", ["../inbox", "released", "/etc", "", "x\x1b[31m"])
def test_a_name_leads_nowhere_else(drive: Drive, name: str) -> None:
    kept_signal(drive, "a")
    kept_signal(drive, "b")
    with pytest.raises(UsageError):
        find_entry(drive, name)


def test_a_part_of_a_name_will_do_if_it_is_the_only_one(drive: Drive) -> None:
    name = kept_signal(drive, "exp_01")
    kept_signal(drive, "exp_02")
    assert find_entry(drive, "exp_01").kept.name == name
    with pytest.raises(UsageError, match="'exp_0' may mean several"):
        find_entry(drive, "exp_0")


# Dying half-way ---------------------------------------------------------------------------------------


class Died(Exception):
    pass


@pytest.mark.parametrize("what", ["signal", "event"])
@pytest.mark.parametrize("step", range(8))
def test_a_release_that_died_is_finished_by_the_next(
    drive: Drive, posted: list[ev.ReleaseRequested], what: str, step: int
) -> None:
    """Whatever was done before it died, doing it again leads to the same end."""
    if what == "signal":
        name, event = kept_signal(drive, stands=False), None
    else:
        name, event = kept_event(drive)
    count = 0

    def die(moment: str, kind: str, _: str) -> None:
        nonlocal count
        if count == step:
            raise Died(f"{moment} {kind}")
        count += 1

    install_hook(die)
    try:
        let_go(drive, name, posted)
    except Died:
        pass
    finally:
        install_hook(None)
    let_go(drive, name, posted)
    assert list_quarantine(drive) == []
    assert [kept.name for kept in list_quarantine(drive, released=True)] == [name]
    if event is None:
        assert (drive.model_folder("exp_01") / ".training_complete").read_bytes() == RAW
        assert len(posted) >= 1
    else:
        assert ev.read_event(drive.inbox / f"{event.id}.json") == event
