"""What each event does to a database: one small function an event, each running named queries.

Applying the journal to an empty database in order gives the same rows again, ids included. So nothing here
asks for the time, the host or another database: all that is needed stands in the event.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import msgspec

from heliograph.errors import BadEvent
from heliograph.names import iso
from heliograph.protocol import events as ev
from heliograph.state.databases import Database

_Apply = Callable[["_Writer", Any], None]


class _Writer:
    """Runs the named queries of one database with an event's fields as parameters."""

    def __init__(self, connection: sqlite3.Connection, database: Database, event: ev.Event) -> None:
        self._connection = connection
        self._sql = database.sql()
        self.database = database
        self.at = iso(event.at)
        self.id = event.id
        body = event.body
        self.kind = str(body.__struct_config__.tag)
        self.fields: dict[str, Any] = {name: _plain(getattr(body, name)) for name in body.__struct_fields__}
        self.fields["at"] = self.at
        self.fields["by"] = f"{event.user}@{event.host}"

    def run(self, query: str, **more: Any) -> sqlite3.Cursor:
        """Run a named query. Raises BadEvent where the stage's database knows nothing of what happened."""
        if query not in self._sql:
            raise self.bad("body.stage", f"is not the stage of a {self.kind}", self.fields["stage"])
        return self._connection.execute(
            self._sql[query], self.fields | {k: _plain(v) for k, v in more.items()}
        )

    def bad(self, field: str, problem: str, value: object) -> BadEvent:
        """Return the error that names what of this event contradicts what is known."""
        remedy = "docs/schemas/event.json describes events."
        return BadEvent(file=f"{self.id}.json", field=field, problem=problem, value=value, remedy=remedy)

    def check_token(self) -> None:
        """Raise BadEvent for the token of another experiment's attempt: it names one for ever."""
        token, jobs = self.fields.get("token"), self.database.jobs
        row = self.run("job_by_token").fetchone() if token and jobs else None
        if row is not None and row["experiment_name"] != self.fields["experiment"]:
            raise self.bad("body.token", f"names an attempt at {row['experiment_name']}", token)


def _plain(value: Any) -> Any:
    """Turn a field into what SQLite takes: times as ISO 8601, lists and mappings as JSON."""
    if hasattr(value, "isoformat"):
        return iso(value)
    if isinstance(value, (dict, list)):
        return msgspec.json.encode(value).decode()
    return value


def apply_event(connection: sqlite3.Connection, database: Database, event: ev.Event) -> None:
    """Change the rows as one event asks. Runs inside the caller's transaction. Raises BadEvent."""
    write = _Writer(connection, database, event)
    write.check_token()
    _APPLY[type(event.body)](write, event.body)


def _training_failed(write: _Writer, body: ev.TrainingFailed) -> None:
    write.run("fail_training", error_message=f"{body.error_type}: {body.error_message}")


def _training_completed(write: _Writer, body: ev.TrainingCompleted) -> None:
    """Merge the metadata here: SQLite's json_patch took 14 s for two objects of 60,000 keys."""
    row = write.run("training_run").fetchone()
    before = msgspec.json.decode(row["metadata"], type=dict[str, Any]) if row else {}
    write.run("complete_training", metadata=before | body.metadata)


def _signal_accepted(write: _Writer, body: ev.SignalAccepted) -> None:
    write.run("accept_signal")
    content = body.content
    if body.stage == "training":
        names = ("checkpoint_path", "config_path", "hostname", "user")
        told = {name: content.get(name) for name in names}
        write.run("complete_training_by_signal", timestamp=content["timestamp"], **told)
    elif content.get("manifest_path"):
        write.run("set_manifest", manifest_path=content["manifest_path"], job_id=content["job_id"])


def _attempt_queued(write: _Writer, body: ev.AttemptQueued) -> None:
    write.run("queue_attempt")
    write.run("followed")
    if body.input_path and "set_checkpoint" in write.database.sql():
        write.run("set_checkpoint")


def _job_started(write: _Writer, body: ev.JobStarted) -> None:
    write.run("start_attempt")
    if body.input_path and "set_checkpoint" in write.database.sql():
        write.run("set_checkpoint")


def _job_ended(write: _Writer, body: ev.JobEnded) -> None:
    if body.part is None:
        write.run("end_job")
        write.run("end_job_by_hand")
    elif body.exit_code != 0:
        write.run("fail_part", error_message=body.error_message or f"exit code {body.exit_code}")


def _retry_requested(write: _Writer, body: ev.RetryRequested) -> None:
    if write.database.jobs is not None:
        asked = {"mem": body.mem, "time": body.time}
        write.run("ask_retry", resources={name: value for name, value in asked.items() if value})


def _cancel_requested(write: _Writer, _: ev.CancelRequested) -> None:
    if write.database.jobs is not None:
        write.run("ask_cancel")


def _results_added(write: _Writer, body: ev.ResultsAdded) -> None:
    for metric, value in body.metrics.items():
        write.run("add_result", metric=metric, value=value)


def _only(query: str) -> _Apply:
    def apply(write: _Writer, _: Any) -> None:
        write.run(query)

    return apply


_APPLY: dict[type, _Apply] = {
    ev.TrainingStarted: _only("start_training"),
    ev.TrainingHeartbeat: _only("beat_training"),
    ev.CheckpointSaved: _only("add_checkpoint"),
    ev.TrainingCompleted: _training_completed,
    ev.TrainingFailed: _training_failed,
    ev.SignalPublished: lambda _write, _body: None,  # a doorbell; the signal itself is what counts
    ev.SignalAccepted: _signal_accepted,
    ev.SignalQuarantined: _only("quarantine_signal"),
    ev.AttemptQueued: _attempt_queued,
    ev.AttemptSubmitted: _only("submit_attempt"),
    ev.AttemptObserved: _only("observe_attempt"),
    ev.AttemptConcluded: _only("conclude_attempt"),
    ev.RetryRequested: _retry_requested,
    ev.CancelRequested: _cancel_requested,
    ev.ReleaseRequested: _only("release_signal"),
    ev.JobStarted: _job_started,
    ev.JobHeartbeat: _only("beat_attempt"),
    ev.RunLinked: _only("link_run"),
    ev.ResultsAdded: _results_added,
    ev.OutputAdded: _only("add_output"),
    ev.JobEnded: _job_ended,
}
