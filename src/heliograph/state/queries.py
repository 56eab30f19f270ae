"""SQL lives in `sql/*.sql`; here the named queries are read, and nowhere else is SQL written in Python.

-- name: mark_journaled
-- The journal holds every event up to this number.
UPDATE events SET …;
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_QUERY = re.compile(r"^-- name: (\w+)\n((?:--[^\n]*\n)*)(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)


def read_sql(name: str) -> str:
    """Return one of the package's SQL files, for instance `schema/common.sql`."""
    return files("heliograph.state").joinpath("sql", name).read_text(encoding="utf-8")


@cache
def queries(name: str, **tables: str) -> dict[str, str]:
    """Return the queries of `sql/NAME.sql` by name, with {placeholders} for table names filled in."""
    text = read_sql(f"{name}.sql")
    found = {match[1]: match[3].strip().rstrip(";") for match in _QUERY.finditer(text)}
    return {key: sql.format(**tables) if tables else sql for key, sql in found.items()}
