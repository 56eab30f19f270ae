import shutil
from pathlib import Path

import pytest

from heliograph.drive import Drive
from heliograph.errors import BadEvent
from heliograph.protocol import events as ev
from heliograph.protocol.outbox import Outbox
from support.drives import NOW

BEAT = ev.TrainingHeartbeat(experiment="e1", stage="training", run="run-1", step=5, metrics={"loss": 1.5})


def test_an_event_survives_writing_and_reading(drive: Drive, tmp_path: Path) -> None:
    posted = Outbox(drive, tmp_path / "spool").post(BEAT, NOW)
    (path,) = drive.inbox.iterdir()
    assert path.stem == posted.id
    assert ev.read_event(path) == posted
    assert posted.body == BEAT
    assert posted.at == NOW


def test_ids_are_never_used_twice_and_sort_by_time() -> None:
    ids = [ev.new_event_id(now_ns=n // 10) for n in range(1000)]
    assert len(set(ids)) == 1000
    assert ids == sorted(ids)
    assert all(ev.EVENT_NAME.fullmatch(one) for one in ids)


def test_what_the_drive_does_not_take_waits_in_the_spool(drive: Drive, tmp_path: Path) -> None:
    outbox = Outbox(drive, tmp_path / "spool")
    away = drive.root.with_name("unmounted")
    drive.root.rename(away)
    drive.root.mkdir()  # an unmounted drive is an empty local folder
    first, second = outbox.post(BEAT), outbox.post(BEAT)
    assert list(drive.root.iterdir()) == []
    assert [path.stem for path in outbox.waiting()] == [first.id, second.id]
    with pytest.raises(Exception, match="not a heliograph drive"):
        outbox.deliver()
    drive.root.rmdir()
    away.rename(drive.root)
    assert outbox.deliver() == 2
    assert sorted(path.stem for path in drive.inbox.iterdir()) == [first.id, second.id]
    assert outbox.waiting() == []


def test_a_missing_inbox_is_no_error_of_the_poster(drive: Drive, tmp_path: Path) -> None:
    shutil.rmtree(drive.inbox)
    outbox = Outbox(drive, tmp_path / "spool")
    outbox.post(BEAT)
    assert len(outbox.waiting()) == 1


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"", "(file)"),
        (b"{}", "id"),
        (b'{"id": "x", "at": "2026-01-31T09:05:00Z", "host": "h", "pid": 1, "user": "u"}', "body"),
        (
            b'{"id":"x","at":"2026-01-31T09:05:00Z","host":"h","pid":1,"user":"u","body":{"kind":"no.such"}}',
            "body.kind",
        ),
        (
            b'{"id":"x","at":"2026-01-31T09:05:00Z","host":"h","pid":1,"user":"u","body":'
            b'{"kind":"training.heartbeat","experiment":"../x","stage":"training","run":"run-1","step":1}}',
            "body.experiment",
        ),
        (
            b'{"id":"../../etc/passwd","at":"2026-01-31T09:05:00Z","host":"h","pid":1,"user":"u","body":'
            b'{"kind":"training.heartbeat","experiment":"x","stage":"training","run":"run-1","step":1}}',
            "id",
        ),
        (b"[" * 100_000, "(file)"),
    ],
)
def test_a_broken_event_is_named_with_its_field(raw: bytes, field: str) -> None:
    with pytest.raises(BadEvent) as caught:
        ev.parse_event(raw, "inbox/file.json")
    assert caught.value.facts["field"] == field
    assert "inbox/file.json" in str(caught.value)


def test_an_event_under_another_name_is_refused(drive: Drive, tmp_path: Path) -> None:
    posted = Outbox(drive, tmp_path / "spool").post(BEAT)
    path = ev.event_path(drive, posted.id)
    other = path.with_name(f"{ev.new_event_id()}.json")
    path.rename(other)
    with pytest.raises(BadEvent, match="differs from the file's name"):
        ev.read_event(other)
