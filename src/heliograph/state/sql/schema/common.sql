-- Tables that each of the three databases has.

-- Every event that was applied, in the order in which it was applied. `id` keeps one from being applied twice.
CREATE TABLE events (
    seq        INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    at         TIMESTAMP NOT NULL,
    kind       TEXT NOT NULL,
    experiment TEXT NOT NULL,
    json       TEXT NOT NULL,
    journaled  INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX events_by_experiment ON events (experiment, seq);
CREATE INDEX events_not_journaled ON events (seq) WHERE journaled = 0;

-- Every content of a signal that was ever seen, and what became of it.
CREATE TABLE signals (
    id         INTEGER PRIMARY KEY,
    experiment TEXT NOT NULL,
    path       TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('accepted', 'quarantined')),
    reason     TEXT,
    kept_as    TEXT,
    seen_at    TIMESTAMP NOT NULL,
    content    TEXT,
    UNIQUE (path, sha256)
);
CREATE INDEX signals_by_experiment ON signals (experiment, id);
