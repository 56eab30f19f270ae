"""Rebuilding the databases from the journal, and comparing the two."""

from __future__ import annotations

import itertools
import logging
import shutil
import sqlite3
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from heliograph.drive import Drive
from heliograph.durable import durable
from heliograph.errors import StateError
from heliograph.files import remove_leftovers
from heliograph.names import host_name
from heliograph.protocol.events import DECISIONS, parse_event
from heliograph.state import journal
from heliograph.state.databases import DATABASES
from heliograph.state.lease import held
from heliograph.state.publish import Publisher
from heliograph.state.settle import live_folder
from heliograph.state.store import Store

log = logging.getLogger(__name__)


def rebuild(drive: Drive, state_folder: Path, now: datetime) -> list[str]:
    """Apply the journal to empty databases, then what only the live ones knew; put those aside.

    What only they knew is in the journal before they are put aside: to die at any point loses nothing.
    Returns a sentence for each database. Raises LeaseHeld while a watcher is alive.
    """
    live = live_folder(state_folder, drive)
    with held(drive, now) as lease:
        told = _rebuild(drive, live, now, lease.term)
        with Store(live) as store:
            Publisher(drive, store, host=host_name()).publish(now)
    return told


def _rebuild(drive: Drive, live: Path, now: datetime, term: int, *, decisions: bool = True) -> list[str]:
    """Do so for whoever holds the lease of that term.

    Without `decisions`, only what others told is taken over from the old databases: what their watcher
    decided, another has decided since.
    """
    aside, new = _free_name(live, now), live.with_name("live.new")
    if new.is_dir():
        with durable("rmtree", new):
            shutil.rmtree(new)
    with Store(new) as store:
        journal.catch_up(drive, store)
        extra = sum(_carry_over(store, stage, live, decisions) for stage in DATABASES)
        journal.append(drive, store, term)
        told = [f"{stage}.db: {store.last_event(stage)} events applied" for stage in DATABASES]
    if live.is_dir():
        remove_leftovers(live)
        with durable("rename", live):
            live.rename(aside)
    with durable("rename", new):
        new.rename(live)
    if extra:
        told.append(f"{extra} events that the journal lacked were taken over from the old databases")
    if aside.is_dir():
        told.append(f"the old databases are kept in {aside}")
    return told


def open_level(drive: Drive, live: Path, now: datetime, term: int) -> Store:
    """Open the live databases level with the journal, for a watcher that holds the lease of that term.

    Databases that cannot be read, or that tell another story than the journal (another host went on with this
    drive), are set aside and made anew. Raises StateError when the journal itself is damaged.
    """
    try:
        store = Store(live)
        try:
            journal.catch_up(drive, store)
        except BaseException:
            store.close()
            raise
        return store
    except StateError as error:
        log.error("the databases are made anew from the journal: %s", error)  # noqa: TRY400 - no fault of ours
    for line in _rebuild(drive, live, now, term, decisions=False):
        log.warning("%s", line)
    return Store(live)


def _free_name(live: Path, now: datetime) -> Path:
    """Return a name beside `live`, by the time, that nothing has yet."""
    name = f"live.{now:%Y%m%dT%H%M%SZ}"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(path for name in names if not (path := live.with_name(name)).exists())


def _carry_over(store: Store, stage: str, old_folder: Path, decisions: bool) -> int:
    """Apply events that an old database has and the journal lacks; a corrupt one gives what it can."""
    path = old_folder / DATABASES[stage].file_name
    if not path.is_file():
        return 0
    old = sqlite3.connect(path)
    try:
        lines = [row[0] for row in old.execute("SELECT json FROM events WHERE journaled = 0 ORDER BY seq")]
    except sqlite3.DatabaseError:
        return 0
    finally:
        old.close()
    events = [parse_event(line.encode(), path) for line in lines]
    return len(store.apply([one for one in events if decisions or not isinstance(one.body, DECISIONS)]))


def contents(store: Store, stage: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table of a database but the journal's bookkeeping, to compare two."""
    connection = store.connection(stage)
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {
        name: [tuple(row) for row in connection.execute(f"SELECT * FROM {name} ORDER BY 1")]  # noqa: S608
        for name in names
        if name != "events"
    }


def check(drive: Drive, state_folder: Path) -> list[str]:
    """Return what is wrong: failed integrity checks, and tables that differ from a rebuild."""
    problems: list[str] = []
    with (
        tempfile.TemporaryDirectory() as scratch,
        Store(live_folder(state_folder, drive)) as live,
        Store(Path(scratch)) as fresh,
    ):
        for stage in DATABASES:
            verdict = live.connection(stage).execute("PRAGMA integrity_check").fetchone()[0]
            if verdict != "ok":
                problems.append(f"{stage}.db: {verdict}")
        try:
            journal.catch_up(drive, fresh)
        except StateError as error:
            return [*problems, str(error)]
        for stage in DATABASES:
            if live.not_journaled(stage, most=1):
                problems.append(f"{stage}.db: the newest events are not in the journal yet")
                continue
            ours, theirs = contents(live, stage), contents(fresh, stage)
            problems += [
                f"{stage}.db: table {name} differs from the journal"
                for name in ours
                if ours[name] != theirs[name]
            ]
    return problems
