-- One row an attempt. `training_run_id` points into training.db: SQLite has no foreign keys across files.
CREATE TABLE evaluation_jobs (
    id              INTEGER PRIMARY KEY,
    experiment_name TEXT NOT NULL,
    training_run_id INTEGER,
    status          TEXT NOT NULL CHECK (status IN ('queued', 'running', 'completed', 'failed')),
    slurm_job_id    TEXT,
    submitted_at    TIMESTAMP,
    started_at      TIMESTAMP,
    completed_at    TIMESTAMP,
    checkpoint_path TEXT,
    mlflow_run_id   TEXT,
    error_message   TEXT,
    metadata        TEXT NOT NULL DEFAULT '{}',
    -- beyond the specification: what makes "exactly once" and its explanation
    attempt         INTEGER NOT NULL,
    token           TEXT NOT NULL UNIQUE,
    signal_sha256   TEXT,
    queued_at       TIMESTAMP NOT NULL,
    not_before      TIMESTAMP,
    executor        TEXT NOT NULL,
    hostname        TEXT,
    resources       TEXT NOT NULL DEFAULT '{}',
    scheduler_state TEXT,
    pending_reason  TEXT,
    exit_code       INTEGER,
    failure_class   TEXT,
    retry_at        TIMESTAMP,
    heartbeat_at    TIMESTAMP,
    progress_done   INTEGER,
    progress_total  INTEGER,
    script_path     TEXT,
    log_path        TEXT
);
CREATE INDEX evaluation_jobs_by_experiment ON evaluation_jobs (experiment_name, id);
CREATE INDEX evaluation_jobs_to_retry ON evaluation_jobs (experiment_name) WHERE retry_at IS NOT NULL;
CREATE INDEX evaluation_jobs_open ON evaluation_jobs (status) WHERE status IN ('queued', 'running');

CREATE TABLE evaluation_results (
    id                INTEGER PRIMARY KEY,
    evaluation_job_id INTEGER NOT NULL REFERENCES evaluation_jobs (id),
    dataset_name      TEXT NOT NULL,
    metric_name       TEXT NOT NULL,
    metric_value      REAL,
    evaluated_at      TIMESTAMP NOT NULL,
    -- beyond the specification
    checkpoint        TEXT NOT NULL,
    UNIQUE (evaluation_job_id, dataset_name, checkpoint, metric_name)
);
