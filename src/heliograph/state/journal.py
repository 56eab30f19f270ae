"""The journal: every event in the order in which it was applied, as immutable files on the drive.

    state/events/evaluation/000000000001-000000000014.0001.jsonl      one event a line, numbered 1 to 14

The databases are projections of these files. Losing a database costs nothing; a database that an older host
left behind is brought up to date.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from msgspec import Struct

from heliograph.drive import Drive
from heliograph.errors import StateError
from heliograph.files import make_folder, write_atomic
from heliograph.protocol.events import Event, parse_event
from heliograph.state.batch_names import Batch, batch_name, batches
from heliograph.state.databases import DATABASES
from heliograph.state.store import Store

log = logging.getLogger(__name__)


def read_batch(batch: Batch) -> Iterator[tuple[int, Event]]:
    """Read the events of one file with their numbers. Raises StateError when the file is not whole."""
    lines = batch.path.read_bytes().splitlines()
    if len(lines) != batch.last - batch.first + 1:
        raise StateError(
            database=batch.path,
            reason=f"it has {len(lines)} events, and its name promises {batch.last - batch.first + 1}",
            remedy="Restore this file from the backup.",
        )
    for seq, line in enumerate(lines, start=batch.first):
        yield seq, parse_event(line, batch.path)


class Pending(Struct, frozen=True):
    """Events that the journal does not hold yet, as the file that they will be."""

    stage: str
    first: int
    last: int
    content: bytes


def pending(store: Store) -> list[Pending]:
    """Return what is to be written next: at most one file a stage."""
    found = []
    for stage in DATABASES:
        if events := store.not_journaled(stage):
            content = "".join(f"{json}\n" for _, _, json in events).encode()
            found.append(Pending(stage, events[0][0], events[-1][0], content))
    return found


def write(drive: Drive, batch: Pending, term: int) -> None:
    """Write one file of the journal, for the lease of that term. Repeatable: the same numbers hold the same
    events."""
    folder = drive.journal / batch.stage
    make_folder(folder)
    write_atomic(folder / batch_name(batch.first, batch.last, term), batch.content)


def append(drive: Drive, store: Store, term: int) -> int:
    """Write what the journal does not hold yet, for whoever holds the lease of that term; return how many
    events. Repeatable at any point."""
    written = 0
    while batches_to_write := pending(store):
        for batch in batches_to_write:
            write(drive, batch, term)
            store.mark_journaled(batch.stage, batch.last)
            written += batch.last - batch.first + 1
    return written


def catch_up(drive: Drive, store: Store) -> int:
    """Bring the databases level with the journal before anything is written; return how many events.

    Raises StateError when database and journal tell different stories (another host went on with this
    drive, and this one had decided things that it never wrote down there).
    """
    replayed = 0
    for stage in DATABASES:
        written = batches(drive, stage)
        if not written:
            continue
        known = store.last_event(stage)
        ahead = [batch for batch in written if batch.last > known]
        settled = [batch for batch in written if batch.last <= known]
        if settled:
            _check_same_story(store, stage, settled[-1])
            store.mark_journaled(stage, settled[-1].last)
        for batch in ahead:
            replayed += store.replay(stage, read_batch(batch))
            _check_same_story(store, stage, batch)
    if replayed:
        log.info("replayed %d events of the journal", replayed)
    return replayed


def _check_same_story(store: Store, stage: str, batch: Batch) -> None:
    *_, (seq, event) = read_batch(batch)
    if store.event_id(stage, seq) != event.id:
        raise StateError(
            database=store.folder / DATABASES[stage].file_name,
            reason=f"event {seq} is not the one that the journal holds in {batch.path.name}",
            remedy="Another host went on with this drive. Rebuild: heliograph db rebuild.",
        )
