"""The live databases: events go in, each once; rows come out. One process a drive opens them for writing."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from heliograph.durable import durable
from heliograph.files import make_folder
from heliograph.names import iso
from heliograph.protocol.events import Body, Event, encode_event, make_event, parse_event
from heliograph.state.databases import DATABASES, Database, open_live
from heliograph.state.projection import apply_event

log = logging.getLogger(__name__)
Row = dict[str, Any]


class Store:
    """The three live databases in a local folder."""

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self.folder = folder
        self._connections: dict[str, sqlite3.Connection] = {}
        self.changes = dict.fromkeys(DATABASES, 0)
        """counts the commits of each database by this process: what is published may be behind it"""
        try:
            for stage, database in DATABASES.items():
                self._connections[stage] = open_live(database, folder / database.file_name)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def connection(self, stage: str) -> sqlite3.Connection:
        return self._connections[stage]

    @contextlib.contextmanager
    def _transaction(self, stage: str) -> Iterator[sqlite3.Connection]:
        connection = self._connections[stage]
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            with durable("commit", stage):
                connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self.changes[stage] += 1

    # events in

    def apply(self, events: Sequence[Event]) -> list[Event]:
        """Apply events that were not applied before, one transaction a database; return those."""
        fresh: list[Event] = []
        for stage in DATABASES:
            mine = [event for event in events if event.body.stage == stage]
            if mine:
                with self._transaction(stage) as connection:
                    fresh += [e for e in mine if _apply_once(connection, DATABASES[stage], e)]
        for event in events:
            if event.body.stage not in DATABASES:
                log.warning(
                    "event %s is of the unknown stage %s and changes nothing", event.id, event.body.stage
                )
        return fresh

    def record(self, body: Body, now: datetime) -> Event:
        """Apply something that this process itself decided or saw. Raises BadEvent for what the journal could
        not be read back from."""
        event = make_event(body, now)
        parse_event(encode_event(event), "an event of this process")
        self.apply([event])
        return event

    def replay(self, stage: str, numbered: Iterable[tuple[int, Event]]) -> int:
        """Apply events of the journal under their own numbers; return how many were new."""
        count = 0
        with self._transaction(stage) as connection:
            for seq, event in numbered:
                count += _apply_once(connection, DATABASES[stage], event, seq)
        return count

    # the journal's side

    def not_journaled(self, stage: str, most: int = 1000) -> list[tuple[int, str, str]]:
        """Return (number, id, JSON) of events that the journal does not hold yet, in order."""
        return [tuple(row) for row in self._run(stage, "not_journaled", most=most)]

    def mark_journaled(self, stage: str, last: int) -> None:
        with self._transaction(stage):
            self._run(stage, "mark_journaled", last=last)
        self.changes[stage] -= 1  # nothing that anybody reads has changed

    def last_event(self, stage: str) -> int:
        return int(self._run(stage, "last_event").fetchone()[0])

    def event_id(self, stage: str, seq: int) -> str | None:
        row = self._run(stage, "event_at", seq=seq).fetchone()
        return None if row is None else str(row[0])

    # rows out

    def _run(self, stage: str, query: str, **values: Any) -> sqlite3.Cursor:
        return self._connections[stage].execute(DATABASES[stage].sql()[query], values)

    def rows(self, stage: str, query: str, **values: Any) -> list[Row]:
        """Run a named query of the stage's database."""
        return [dict(row) for row in self._run(stage, query, **values)]

    def row(self, stage: str, query: str, **values: Any) -> Row | None:
        found = self.rows(stage, query, **values)
        return found[0] if found else None


def _apply_once(
    connection: sqlite3.Connection, database: Database, event: Event, seq: int | None = None
) -> bool:
    """Apply one event unless its id was applied before; tell whether it was applied."""
    sql = database.sql()["add_event" if seq is None else "add_event_at"]
    cursor = connection.execute(
        sql,
        {
            "seq": seq,
            "id": event.id,
            "at": iso(event.at),
            "kind": event.body.__struct_config__.tag,
            "experiment": event.body.experiment,
            "json": encode_event(event).decode(),
        },
    )
    if cursor.rowcount == 0:
        return False
    apply_event(connection, database, event)
    return True
