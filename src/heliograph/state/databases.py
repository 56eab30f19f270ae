"""The three databases: which tables each has, how one is opened, made and brought up to date."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from msgspec import Struct

from heliograph.durable import durable
from heliograph.errors import StateError
from heliograph.state.queries import queries, read_sql


class Database(Struct, frozen=True):
    """One database: it holds what concerns one stage. `jobs` is None where no jobs are submitted."""

    stage: str
    jobs: str | None = None
    parent: str | None = None

    @property
    def file_name(self) -> str:
        return f"{self.stage}.db"

    def sql(self) -> dict[str, str]:
        """Return every named query of this database."""
        common = queries("events") | queries(self.stage)
        if self.jobs is None or self.parent is None:
            return common
        return common | queries("jobs", jobs=self.jobs, parent=self.parent)


TRAINING = Database("training")
EVALUATION = Database("evaluation", jobs="evaluation_jobs", parent="training_run_id")
ANALYSIS = Database("analysis", jobs="analysis_jobs", parent="evaluation_job_id")
DATABASES = {database.stage: database for database in (TRAINING, EVALUATION, ANALYSIS)}

# One entry a version, applied in order; PRAGMA user_version says how many a file has had.
_MIGRATIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    TRAINING.stage: (("schema/common.sql", "schema/training.sql"),),
    **{
        stage: (("schema/common.sql", f"schema/{stage}.sql"), (f"schema/{stage}_2.sql",))
        for stage in (EVALUATION.stage, ANALYSIS.stage)
    },
}


def open_live(database: Database, path: Path) -> sqlite3.Connection:
    """Open the live database, on a local disk, made and migrated where needed. The caller closes it.

    WAL with synchronous=FULL: a commit that returned is on the disk. Raises StateError when the file is
    not such a database or comes from a newer heliograph.
    """
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=30.0)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection, database, path)
    except sqlite3.DatabaseError as error:
        raise StateError(
            database=path, reason=str(error), remedy="Rebuild it from the journal: heliograph db rebuild."
        ) from None
    return connection


def _migrate(connection: sqlite3.Connection, database: Database, path: Path) -> None:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    steps = _MIGRATIONS[database.stage]
    if version > len(steps):
        raise StateError(
            database=path,
            reason=f"its version is {version}, and this heliograph knows {len(steps)}",
            remedy="Install the newer heliograph that made it.",
        )
    for number, scripts in enumerate(steps[version:], start=version + 1):
        script = "\n".join(read_sql(name) for name in scripts)
        with durable("migrate", path):
            connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")


def open_snapshot(path: Path) -> sqlite3.Connection:
    """Open a private, verified copy of a published database: read-only, no locks. The caller closes it."""
    connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True, isolation_level=None)
    connection.row_factory = sqlite3.Row
    return connection
