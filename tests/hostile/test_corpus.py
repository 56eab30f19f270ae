"""Every case of the corpus, alone: the file goes through the function that the program reads it with."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from heliograph.drive import Drive
from heliograph.protocol import events as ev
from heliograph.state.inbox import Inbox
from heliograph.state.store import Store
from hostile import tell
from hostile.cases import (
    Case,
    as_nobody,
    event_values,
    params,
    put_config,
    put_event,
    put_model,
    put_results,
    put_signal,
)
from support.drives import NOW


@pytest.mark.parametrize("case", params("signals"))
def test_signal(case: Case, drive: Drive) -> None:
    place = put_signal(case, drive, "broken-000")
    with as_nobody(case.make == "unreadable"):
        told = tell.of_signal(place)
    assert told == case.expected(place)
    assert told is None or told.isprintable()
    assert os.path.lexists(place.path), "the original belongs to whoever wrote it"


@pytest.mark.parametrize("case", params("events"))
def test_event(case: Case, drive: Drive, spot: Path) -> None:
    place, before = put_event(case, drive, 7)
    with Store(spot / "state") as store:
        told = tell.of_event(
            place, [ev.parse_event(json.dumps(one).encode(), "before") for one in before], store
        )
        assert store.connection("training").execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert told == case.expected(place)
    assert told is None or told.isprintable()


@pytest.mark.parametrize("case", params("configs"))
def test_config(case: Case, drive: Drive) -> None:
    place = put_config(case, drive)
    with as_nobody(case.make == "unreadable"):
        told = tell.of_config(place, case.file or "")
    assert told == case.expected(place)
    assert told is None or told.isprintable()


@pytest.mark.parametrize("case", params("models"))
def test_model(case: Case, drive: Drive) -> None:
    place = put_model(case, drive)
    told = tell.of_model(place)
    assert told == case.expected(place)
    assert told is not None
    assert told.isprintable()


@pytest.mark.parametrize("case", params("results"))
def test_results(case: Case, drive: Drive) -> None:
    place = put_results(case, drive)
    told = tell.of_results(place, case.file or "")
    assert told == case.expected(place)
    assert told is not None
    assert told.isprintable()


def test_an_event_that_the_watcher_may_not_read_is_put_aside(drive: Drive) -> None:
    """With a umask of 077 every event of another user is such a one; it must not wait for ever, unsaid."""
    path = drive.inbox / f"{event_values('request.cancel', 'e1', 1, {})['id']}.json"
    path.write_text("{}")
    path.chmod(0)
    for folder in (drive.inbox, drive.quarantine):
        folder.chmod(0o777)
    with as_nobody(True):
        assert Inbox(drive, settle_s=0).read(NOW) == []
    (kept,) = drive.quarantine.iterdir()
    assert "found 'Permission denied'" in (kept / "reason.json").read_text()
    assert list(drive.inbox.iterdir()) == []
