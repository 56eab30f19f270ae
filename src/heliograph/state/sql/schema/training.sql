CREATE TABLE training_runs (
    id                INTEGER PRIMARY KEY,
    experiment_name   TEXT UNIQUE NOT NULL,
    status            TEXT NOT NULL CHECK (status IN ('started', 'running', 'completed', 'failed')),
    started_at        TIMESTAMP,
    completed_at      TIMESTAMP,
    checkpoint_path   TEXT,
    config_path       TEXT,
    hostname          TEXT,
    user              TEXT,
    mlflow_run_id     TEXT,
    metadata          TEXT NOT NULL DEFAULT '{}',
    -- beyond the specification: which start of the training this is, how far it is, why it failed
    run               TEXT,
    step              INTEGER,
    total_steps       INTEGER,
    heartbeat_at      TIMESTAMP,
    error_message     TEXT
);
CREATE INDEX training_runs_by_status ON training_runs (status);

CREATE TABLE checkpoints (
    id              INTEGER PRIMARY KEY,
    training_run_id INTEGER NOT NULL REFERENCES training_runs (id),
    checkpoint_path TEXT NOT NULL,
    step            INTEGER,
    epoch           REAL,
    created_at      TIMESTAMP NOT NULL,
    metrics         TEXT NOT NULL DEFAULT '{}',
    -- beyond the specification
    size_bytes      INTEGER,
    UNIQUE (training_run_id, checkpoint_path)
);
