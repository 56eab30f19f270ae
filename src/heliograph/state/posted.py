"""Reading what others posted to the inbox: more is asked of it than of the journal's events."""

from __future__ import annotations

from pathlib import Path

from heliograph.errors import BadEvent
from heliograph.files import read_untrusted
from heliograph.problems import Problem, read_json
from heliograph.protocol.events import DECISIONS, LARGEST_EVENT, Event, bad_event, parse_event
from heliograph.state.databases import DATABASES


def read_posted(path: Path) -> tuple[Event, int]:
    """Read one file of the inbox; return the event and its length in bytes.

    It bears its file's name, says nothing twice, belongs to a stage that is known, and is nothing that only
    the watcher decides. Raises OSError (look again) or BadEvent.
    """
    raw = read_untrusted(path, LARGEST_EVENT)
    event = parse_event(raw, path)
    try:
        read_json(raw)
    except ValueError as error:
        raise bad_event(path, Problem("(file)", str(error), raw[:60].decode("utf-8", "replace"))) from None
    if path.name != f"{event.id}.json":
        raise bad_event(path, Problem("id", "differs from the file's name", event.id))
    if event.body.stage not in DATABASES:
        known = ", ".join(DATABASES)
        raise bad_event(path, Problem("body.stage", f"is no stage; there are {known}", event.body.stage))
    if isinstance(event.body, DECISIONS):
        raise BadEvent(
            file=path,
            field="body.kind",
            problem="only the watcher decides this, and it believes nobody who posts it",
            value=event.body.__struct_config__.tag,
            remedy="Post what happened; what follows from it is the watcher's to say.",
        )
    return event, len(raw)
